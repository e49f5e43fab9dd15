"""Is a run healthy? Checks of its newest checkpoint: weights, optimiser, noise, units, values, bonuses and more.

Each check is a function of a live agent (and of what was saved beside it) that says OK, warning or FAIL, what it found,
and what to do. FAIL means that something does not work; the bounds of warnings are rules of thumb.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jostle.algo.dqn.agent import DQN
from jostle.algo.ppo.agent import PPO
from jostle.algo.saved import check_saved
from jostle.doctor import ppo
from jostle.doctor.bonus import bonuses, replayed
from jostle.doctor.dqn import examine, fresh_replay, replay_state, streams, target
from jostle.doctor.kept import write_down
from jostle.doctor.shared import Check, checkpoints, dormant_share, finite
from jostle.errors import CheckpointError
from jostle.loading import rebuild
from jostle.store import Run, load_checkpoint, read_metrics

__all__ = [
    "Check",
    "diagnose",
    "dormant_share",
    "examine",
    "finite",
    "fresh_replay",
    "keep",
    "replay_state",
    "target",
]


def keep(path: str | Path, *, trust: bool = False) -> list[Check]:
    """`diagnose` a run and keep what is found in its ``doctor.json``, from where `jostle report` takes it.

    `jostle train` and `jostle resume` do so when a training has ended, and so do the jobs of a study.

    Raises:
        ConfigError, CheckpointError: as `diagnose`, or the file cannot be written.
    """
    checks = diagnose(path, trust=trust)
    newest = Run.open(Path(path)).checkpoints()[-1]
    write_down(Path(path), int(newest.name.removeprefix("step_")), checks)
    return checks


def diagnose(path: str | Path, *, trust: bool = False) -> list[Check]:
    """Check the newest checkpoint of a run, or a saved agent. Nothing in the folder is changed.

    Args:
        path: the folder.
        trust: the module that the folder may name may be imported to make its environment.

    Raises:
        ConfigError: its environment was made by a function, or names a module that is not trusted.
        CheckpointError: there is nothing to check, or it cannot be read.
    """
    path = Path(path)
    initial: Mapping[str, Any] = {}
    history: list[dict[str, Any]] = []
    planned: int | None = None
    checks: list[Check] = []
    if (path / "meta.json").exists():
        state, meta = load_checkpoint(path)
    else:
        run = Run.open(path)
        where, state, meta = run.newest()
        damaged = [p.name for p in run.checkpoints() if p.name > where.name]
        checks.append(checkpoints(where.name, damaged))
        training = run.config.get("training")
        planned = training.get("total") if isinstance(training, dict) else None
        try:
            initial = run.load_initial()
        except CheckpointError as error:
            checks.append(Check("first weights", "warning", str(error), "nothing: only comparisons need them"))
        if (path / "metrics.jsonl").exists():
            history = read_metrics(path)
    check_saved(state, meta)
    checks.append(finite(state))
    if checks[-1].status == "FAIL":
        return checks
    agent, _ = rebuild(state, {**meta, "config": meta["config"] | {"compile": False}}, trust=trust)
    weights: Mapping[str, Tensor] | None = initial.get("model")
    targets: Mapping[str, Tensor] | None = initial.get("frozen")
    try:
        if isinstance(agent, DQN):
            replay = agent.replay if agent.replay.ready else fresh_replay(agent)
            checks += examine(agent, replay, weights)
            checks.append(replay_state(agent, state))
            checks += streams(agent)
            checks += replayed(agent, targets)
        elif isinstance(agent, PPO):
            checks += ppo.examine(agent, history, planned)
            checks += bonuses(agent, targets)
    finally:
        agent.env.close()
    return checks
