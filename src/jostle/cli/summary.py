"""What ``train`` and ``resume`` say before, after, and when they are stopped."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jostle.algo.training import mean_return

if TYPE_CHECKING:
    from jostle.algo.agent import Agent


def header(agent: "Agent", run_dir: Path) -> str:
    """What is about to be trained: environment, network, storage, folder."""
    c, env = agent.config, agent.env
    hidden = [str(m.out_features) for m in agent.network.modules() if hasattr(m, "weight_sigma") or _is_linear(m)]
    layers = sum(hasattr(m, "weight_sigma") for m in agent.network.modules())
    noise = [f"NoisyNet ({c.noisy}), {layers} layers"] if c.noisy != "none" else []
    noise += [f"{c.input_noise} before the encoder"] if c.input_noise != "none" else []
    parameters = sum(p.numel() for p in agent.network.parameters())
    encoder: object = agent.network.encoder
    rows = {
        "env": f"{env.id} ({env.engine}), {env.num_envs} together, seed {agent.seed}",
        "network": f"{type(encoder).__name__} encoder, layers of {' '.join(hidden)}; "
        f"{parameters:,} parameters; {', '.join(noise) or 'no noise'}; {agent.device}",
        **agent.storage(),
        "run": str(run_dir),
    }
    return "\n".join(f"{name:8} {value}" for name, value in rows.items())


def _is_linear(module: object) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)


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
