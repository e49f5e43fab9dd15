"""What ``train`` and ``resume`` say before, after, and when they are stopped."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jostle.algo.training import mean_return

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from jostle.algo.agent import Agent


def header(agent: "Agent", run_dir: Path) -> str:
    """What is about to be trained: environment, network, storage, folder."""
    c, env = agent.config, agent.env
    network: Any = agent.network
    parts = [f"{name} {' → '.join(_widths(part))}" for name, part in network.parts().items() if _widths(part)]
    layers = sum(hasattr(m, "weight_sigma") for m in agent.network.modules())
    noise = [f"NoisyNet ({c.noisy}), {layers} layers"] if c.noisy != "none" else []
    noise += [f"{c.input_noise} before the encoder"] if c.input_noise != "none" else []
    parameters = sum(p.numel() for p in agent.network.parameters())
    encoder: object = agent.network.encoder
    rows = {
        "env": f"{env.id} ({env.engine}), {env.num_envs} together, seed {agent.seed}",
        **({} if env.domain is None else {"domain": env.domain.describe_line()}),
        "network": f"{type(encoder).__name__} encoder; {'; '.join(parts)}; "
        f"{parameters:,} parameters; {', '.join(noise) or 'no noise'}; {agent.device}",
        **agent.storage(),
        "run": str(run_dir),
    }
    return "\n".join(f"{name:8} {value}" for name, value in rows.items())


def _widths(part: "Sequence[nn.Module]") -> list[str]:
    """The widths of the fully connected and recurrent layers in some modules, one behind the other."""
    from torch import nn

    from jostle.nn.recurrent import Recurrent

    found = []
    for layer in (layer for module in part for layer in module.modules()):
        if isinstance(layer, nn.Linear) or hasattr(layer, "weight_sigma"):
            found.append(str(layer.out_features))
        elif isinstance(layer, Recurrent):
            found.append(f"{type(layer).__name__} {layer.hidden_size}")
    return found


def summary(agent: "Agent", run_dir: Path) -> str:
    """What came of it, where it lies, and what to do with it."""
    where = quoted(run_dir)
    if agent.returns:
        last = f"the last {len(agent.returns)} episodes" if len(agent.returns) > 1 else "the only episode so far"
        found = f"mean return of {last}, while exploring: {mean_return(agent.returns):.4g}"
    else:
        found = "no episode has ended yet"
    seen = agent.coverage.summary()
    return "\n".join(
        [
            f"{agent.steps:,} steps, {agent.updates:,} updates; {found}" + (f"; {seen}" if seen else ""),
            f"results in {run_dir}",
            "next:",
            f"  jostle evaluate {where} --episodes 100",
            f"  jostle watch {where}",
            f"  jostle doctor {where}",
            f"  jostle resume {where} --steps {agent.steps}",
        ]
    )


def stopped(run_dir: Path) -> str:
    """Where a run that a signal or a failure ended was saved."""
    step = newest_step(run_dir)
    if step is None:
        return "stopped before anything was saved."
    return f"stopped; step {step:,} is saved in {run_dir}. To go on: jostle resume {quoted(run_dir)}"


def newest_step(run_dir: Path) -> int | None:
    """The step of the newest checkpoint, whole or not."""
    saved = sorted((run_dir / "checkpoints").glob("step_*"))
    return int(saved[-1].name.removeprefix("step_")) if saved else None


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
