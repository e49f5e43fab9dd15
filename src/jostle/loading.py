"""A folder back into an agent."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium as gym

from jostle.algo import AGENTS
from jostle.algo.agent import Agent
from jostle.algo.parts.auxiliary import Auxiliary
from jostle.algo.saved import check_saved
from jostle.algo.settings import merged
from jostle.algo.training import Schedule, train
from jostle.bonus import Bonus
from jostle.envs import JostleEnv, make_env
from jostle.envs.later import LaterEnv
from jostle.envs.trust import claimed
from jostle.errors import CheckpointError, ConfigError, JostleError
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
    trust: bool = False,
) -> Agent:
    """The agent of a run folder (its newest good checkpoint) or of a folder written by `Agent.save`.

    It can `predict` at once, also where its environment is not installed: ``agent.env`` is made when something is first
    asked of it, such as to learn.

    Args:
        path: the folder.
        env: takes the place of the environment that the folder names; without it one that was made by a function cannot
            be played or trained in.
        device: takes the place of the saved setting (cpu, cuda, auto …).
        replay: with False a saved replay is left unread, which is quicker where nothing more is learned from it.
        bonuses, aux: the agent's own, made anew, if it had any beside its settings; they take what was saved of them.
        trust: the module that the folder may name may be imported to make its environment.

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
    return rebuild(state, meta, env=env, device=device, bonuses=bonuses, aux=aux, trust=trust, later=True)[0]


def rebuild(
    state: dict[str, Any],
    meta: dict[str, Any],
    *,
    env: Env | None = None,
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    trust: bool = False,
    later: bool = False,
) -> tuple[Agent, list[str]]:
    """The agent of a checkpoint's state and meta data, and why going on from it is inexact (empty: it is exact).

    trust: the module that the meta data may name may be imported.
    later: the environments are made when something is first asked of them, where the checkpoint knows its spaces.
    """
    check_saved(state, meta)
    kind = AGENTS.get(meta["algorithm"])
    if kind is None:
        raise CheckpointError(f"the checkpoint is of the algorithm '{meta.get('algorithm')}', unknown to this version.")
    if isinstance(env, JostleEnv) and env.num_envs != meta["num_envs"]:
        raise ConfigError(
            f"the agent was trained in {meta['num_envs']} environments together, and {env.id} was made with "
            f"{env.num_envs}: make it with num_envs={meta['num_envs']}, or evaluate the agent in it with "
            "jostle.evaluate(agent, env=…)."
        )
    own = None if isinstance(env, JostleEnv) else claimed(meta["env_options"], trust=trust)
    if env is None and later and "env_facts" in meta:
        env, own = _later(meta, own, trust), None
    elif env is None:
        env = _named(meta, trust)
    settings: Any = merged(kind.settings(), meta["config"] if device is None else meta["config"] | {"device": device})
    agent: Agent | None = None
    try:
        agent = kind(
            env, settings, seed=meta["seed"], num_envs=meta["num_envs"], env_options=own, bonuses=bonuses, aux=aux
        )
        return agent, agent.load_state_dict(state)
    except BaseException as error:
        if agent is not None:
            agent.env.close()
        if isinstance(error, JostleError) or not isinstance(error, Exception):
            raise
        text = " ".join(str(error).split()) or "no reason given"
        raise CheckpointError(
            f"no {meta['algorithm']} can be made of what the checkpoint holds ({type(error).__name__}: {text}): use "
            "another checkpoint, or the version of jostle that wrote it"
        ) from error


def _named(meta: dict[str, Any], trust: bool) -> str:
    """The id of the environment that a checkpoint names."""
    if meta.get("made_by_function"):
        raise ConfigError(f"the environment was made by the function {meta['env']}, which no folder holds: give env=….")
    name: str = claimed(meta["env"], trust=trust)
    return name


def _later(meta: dict[str, Any], options: dict[str, Any] | None, trust: bool) -> LaterEnv:
    """The environments that a checkpoint names, to be made when they are needed."""

    def make() -> JostleEnv:
        return make_env(_named(meta, trust), meta["num_envs"], seed=meta["seed"], **(options or {}))

    return LaterEnv(
        meta["env_facts"],
        make,
        env_id=meta["env"],
        num_envs=meta["num_envs"],
        seed=meta["seed"],
        source=None if meta.get("made_by_function") else _named(meta, trust),
        made_with=options or {},
    )


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    env: Env | None = None,
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    trust: bool = False,
    notify: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Agent:
    """Go on with a run from its newest good checkpoint to its planned end, or for ``steps`` more.

    Metrics logged after that checkpoint are cut away and come again. Where environment and replay were saved, the
    result is bit for bit that of a run that never stopped; else ``notify`` is told why not.

    Raises:
        CheckpointError: the folder holds no run, no good checkpoint, or is being written by another process.
        ConfigError: ``steps`` is not positive, or see `load`, also for ``env``, ``device``, ``bonuses``,
            ``aux`` and ``trust``.
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"steps={steps} cannot be used: it must be at least 1.")
    with Run.open(Path(path), write=True) as run:
        where, state, meta = run.newest(finite=("model",))
        agent, reasons = rebuild(state, meta, env=env, device=device, bonuses=bonuses, aux=aux, trust=trust)
        del state
        for reason in reasons:
            notify(f"the resumed run is not exactly the unbroken one: {reason}")
        schedule = Schedule.from_mapping(run.config.get("training"))
        if steps is not None:
            schedule = dataclasses.replace(schedule, total=agent.steps + steps)
        notify(f"resuming from {where.name} at step {agent.steps:,} of {schedule.total:,}")
        train(agent, schedule, run=run, metrics_offset=meta.get("metrics_offset", 0), progress=progress)
        return agent
