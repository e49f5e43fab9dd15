"""A folder back into an agent."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium as gym

from jostle.algo import AGENTS
from jostle.algo.agent import Agent
from jostle.algo.parts.auxiliary import Auxiliary
from jostle.algo.settings import restored
from jostle.algo.training import Schedule, train
from jostle.bonus import Bonus
from jostle.envs import JostleEnv
from jostle.errors import CheckpointError, ConfigError
from jostle.nn.own import Own
from jostle.store import Run, load_checkpoint

Env: TypeAlias = str | JostleEnv | Callable[[], gym.Env[Any, Any]]


def load(
    path: str | Path,
    *,
    env: Env | None = None,
    device: str | None = None,
    replay: bool = True,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    encoder: Own | None = None,
    learning_rate: Callable[[float], float] | None = None,
) -> Agent:
    """The agent of a run folder (its newest good checkpoint) or of a folder written by `Agent.save`.

    Args:
        path: the folder.
        env: takes the place of the environment that the folder names; needed where that was made by a function.
        device: takes the place of the saved setting (cpu, cuda, auto …).
        replay: with False a saved replay is left unread, which is quicker where nothing more is learned from it.
        bonuses, aux: the agent's own, made anew, if it had any beside its settings; they take what was saved of them.
        encoder, learning_rate: the module and the functions that the agent was made with, which no folder holds.

    Raises:
        CheckpointError: there is nothing to load, or it is damaged.
        ConfigError: it does not fit the environment given, or there is no such device.
    """
    path = Path(path)
    without = () if replay else ("replay",)
    if (path / "meta.json").exists():
        state, meta = load_checkpoint(path, finite=("model",), without=without)
    else:
        _, state, meta = Run.open(path).newest(finite=("model",), without=without)
    return rebuild(
        state, meta, env=env, device=device, bonuses=bonuses, aux=aux, encoder=encoder, learning_rate=learning_rate
    )[0]


def rebuild(
    state: dict[str, Any],
    meta: dict[str, Any],
    *,
    env: Env | None = None,
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    encoder: Own | None = None,
    learning_rate: Callable[[float], float] | None = None,
) -> tuple[Agent, list[str]]:
    """The agent of a checkpoint's state and meta data, and why going on from it is inexact (empty: it is exact)."""
    kind = AGENTS.get(str(meta.get("algorithm")))
    if kind is None:
        raise CheckpointError(f"the checkpoint is of the algorithm '{meta.get('algorithm')}', unknown to this version.")
    if isinstance(env, JostleEnv) and env.num_envs != meta["num_envs"]:
        raise ConfigError(
            f"the agent was trained in {meta['num_envs']} environments together, and {env.id} was made with "
            f"{env.num_envs}: make it with num_envs={meta['num_envs']}, or evaluate the agent in it with "
            "jostle.evaluate(agent, env=…)."
        )
    if env is None and meta.get("made_by_function"):
        raise ConfigError(f"the environment was made by the function {meta['env']}, which no folder holds: give env=….")
    config = meta["config"] if device is None else meta["config"] | {"device": device}
    settings: Any = restored(kind.settings(), config, {"encoder": encoder, "learning_rate": learning_rate})
    agent = kind(
        meta["env"] if env is None else env,
        settings,
        seed=meta["seed"],
        num_envs=meta["num_envs"],
        env_options=None if isinstance(env, JostleEnv) else meta["env_options"],
        bonuses=bonuses,
        aux=aux,
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
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    encoder: Own | None = None,
    learning_rate: Callable[[float], float] | None = None,
    notify: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Agent:
    """Go on with a run from its newest good checkpoint to its planned end, or for ``steps`` more.

    Metrics logged after that checkpoint are cut away and come again. Where environment and replay were saved, the
    result is bit for bit that of a run that never stopped; else ``notify`` is told why not.

    Raises:
        CheckpointError: the folder holds no run, no good checkpoint, or is being written by another process.
        ConfigError: ``steps`` is not positive, or see `load`, also for ``env``, ``device``, ``bonuses`` and
            ``aux``.
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"steps={steps} cannot be used: it must be at least 1.")
    with Run.open(Path(path), write=True) as run:
        where, state, meta = run.newest(finite=("model",))
        agent, reasons = rebuild(
            state, meta, env=env, device=device, bonuses=bonuses, aux=aux, encoder=encoder, learning_rate=learning_rate
        )
        del state
        for reason in reasons:
            notify(f"the resumed run is not exactly the unbroken one: {reason}")
        schedule = Schedule.from_mapping(run.config.get("training"))
        if steps is not None:
            schedule = dataclasses.replace(schedule, total=agent.steps + steps)
        notify(f"resuming from {where.name} at step {agent.steps:,} of {schedule.total:,}")
        train(agent, schedule, run=run, metrics_offset=meta["metrics_offset"], progress=progress)
        return agent
