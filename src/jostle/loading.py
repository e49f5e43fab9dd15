"""A folder back into an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium as gym

from jostle.algo.config import merged
from jostle.algo.dqn import DQN
from jostle.algo.training import Schedule, train
from jostle.envs import JostleEnv
from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run, load_checkpoint

AGENTS: dict[str, type[DQN]] = {"dqn": DQN}

Env: TypeAlias = str | JostleEnv | Callable[[], gym.Env[Any, Any]]


def load(path: str | Path, *, env: Env | None = None) -> DQN:
    """The agent of a run folder (its newest good checkpoint) or of a folder written by `Agent.save`.

    Args:
        path: the folder.
        env: takes the place of the environment that the folder names; needed where that was made by a function.

    Raises:
        CheckpointError: there is nothing to load, or it is damaged.
        ConfigError: it does not fit the environment given.
    """
    path = Path(path)
    if (path / "meta.json").exists():
        state, meta = load_checkpoint(path, finite=("model",))
    else:
        _, state, meta = Run.open(path).newest(finite=("model",))
    return rebuild(state, meta, env=env)[0]


def rebuild(state: dict[str, Any], meta: dict[str, Any], *, env: Env | None = None) -> tuple[DQN, list[str]]:
    """The agent of a checkpoint's state and meta data, and why going on from it is inexact (empty: it is exact)."""
    kind = AGENTS.get(str(meta.get("algorithm")))
    if kind is None:
        raise CheckpointError(f"the checkpoint is of the algorithm '{meta.get('algorithm')}', unknown to this version.")
    agent = kind(
        meta["env"] if env is None else env,
        merged(None, meta["config"]),
        seed=meta["seed"],
        num_envs=meta["num_envs"],
        env_options=meta["env_options"] if env is None or isinstance(env, str) else None,
    )
    try:
        return agent, agent.load_state_dict(state)
    except BaseException:
        agent.env.close()
        raise


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    env: Env | None = None,
    notify: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> DQN:
    """Go on with a run from its newest good checkpoint to its planned end, or for ``steps`` more.

    Metrics logged after that checkpoint are cut away and come again. Where environment and replay were saved, the
    result is bit for bit that of a run that never stopped; else ``notify`` is told why not.

    Raises:
        CheckpointError: the folder holds no run, no good checkpoint, or is being written by another process.
        ConfigError: ``steps`` is not positive.
    """
    with Run.open(Path(path), write=True) as run:
        where, state, meta = run.newest(finite=("model",))
        agent, reasons = rebuild(state, meta, env=env)
        del state
        for reason in reasons:
            notify(f"the resumed run is not exactly the unbroken one: {reason}")
        plan = run.config["training"]
        schedule = Schedule(**plan)
        if steps is not None:
            if steps < 1:
                raise ConfigError(f"steps={steps} cannot be used: it must be at least 1.")
            schedule = Schedule(**(plan | {"total": agent.steps + steps}))
        notify(f"resuming from {where.name} at step {agent.steps:,} of {schedule.total:,}")
        train(agent, schedule, run=run, metrics_offset=meta["metrics_offset"], progress=progress)
        return agent
