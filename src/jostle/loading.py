"""A folder back into an agent."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import gymnasium as gym

from jostle.algo import AGENTS, DQN, PPO
from jostle.algo.agent import Agent
from jostle.algo.changes import changes, in_words
from jostle.algo.evaluating import Evaluations, name_of_eval
from jostle.algo.parts.auxiliary import Auxiliary
from jostle.algo.saved import check_saved
from jostle.algo.schedule import Schedule, whole
from jostle.algo.settings import SAVED, Settings, merged, restored
from jostle.algo.stretches import record_change
from jostle.algo.training import Callback, train
from jostle.bonus import Bonus
from jostle.envs import JostleEnv, make_env
from jostle.envs.domain import domain_options
from jostle.envs.later import LaterEnv
from jostle.envs.trust import claimed
from jostle.errors import CheckpointError, ConfigError, JostleError
from jostle.nn.own import Own
from jostle.plain import plain
from jostle.store import Run, load_best, load_checkpoint

_FORMER = {
    "obs_scaling": "bytes", "action_scaling": "none", "bonus_codes": True, "value_weights": "equal",
    "value_norm": "none", "bonus_grad_norm": "joint",
}  # fmt: skip
"""What versions did that had no such settings yet: their runs go on so."""
_FORMER_NONE = {"bonus_learning_rate": "joint"}
"""What None meant in versions that did not have ``bonus_slope`` yet."""

Env: TypeAlias = str | JostleEnv | Callable[[], gym.Env[Any, Any]]


def load(
    path: str | Path,
    *,
    which: Literal["newest", "best"] = "newest",
    env: Env | None = None,
    device: str | None = None,
    replay: bool = True,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    encoder: Own | None = None,
    learning_rate: Callable[[float], float] | None = None,
    trust: bool = False,
) -> Agent:
    """The agent of a run folder (its newest good checkpoint) or of a folder written by `Agent.save`.

    It can `predict` at once, also where its environment is not installed: ``agent.env`` is made when something is first
    asked of it, such as to learn.

    Args:
        path: the folder.
        which: the newest good checkpoint, or the best one by the evaluations of the training (without a replay).
        env: takes the place of the environment that the folder names; without it one that was made by a function cannot
            be played or trained in. A ready one may have another number of rows: what each had of its own begins anew.
        device: takes the place of the saved setting (cpu, cuda, auto …).
        replay: with False a saved replay is left unread, which is quicker where nothing more is learned from it.
        bonuses, aux: the agent's own, made anew, if it had any beside its settings; they take what was saved of them.
        encoder, learning_rate: the module and the functions that the agent was made with, which no folder holds.
        trust: the module that the folder may name may be imported to make its environment.

    Raises:
        CheckpointError: there is nothing to load, or it is damaged.
        ConfigError: it does not fit the environment given, or there is no such device.
    """
    path = Path(path)
    without = () if replay else ("replay",)
    if which not in ("newest", "best"):
        raise ConfigError(f"which='{which}' is unknown: take 'newest' or 'best'.")
    if which == "best":
        Run.open(path)
        state, meta = load_best(path, finite=("model",), without=without)
    elif (path / "meta.json").exists():
        state, meta = load_checkpoint(path, finite=("model",), without=without)
    else:
        _, state, meta = Run.open(path).newest(finite=("model",), without=without)
    objects = {"encoder": encoder, "learning_rate": learning_rate}
    return rebuild(
        state, meta, env=env, device=device, bonuses=bonuses, aux=aux, objects=objects, trust=trust, later=True
    )[0]


def rebuild(
    state: dict[str, Any],
    meta: dict[str, Any],
    *,
    env: Env | None = None,
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    objects: Mapping[str, Any] = MappingProxyType({}),
    trust: bool = False,
    later: bool = False,
    over: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Agent, list[str]]:
    """The agent of a checkpoint's state and meta data, and why going on from it is inexact (empty: it is exact).

    objects: functions and modules among the settings, by name.
    trust: the module that the meta data may name may be imported.
    later: the environments are made when something is first asked of them, where the checkpoint knows its spaces.
    over: meta data that take the place of what was saved.
    """
    check_saved(state, meta)
    kind = AGENTS.get(meta["algorithm"])
    if kind is None:
        raise CheckpointError(f"the checkpoint is of the algorithm '{meta.get('algorithm')}', unknown to this version.")
    if isinstance(env, JostleEnv):
        over = {**over, "num_envs": env.num_envs}
    meta = {**meta, **over}
    own = None if isinstance(env, JostleEnv) else claimed(meta["env_options"], trust=trust)
    if env is None and later and "env_facts" in meta:
        env, own = _later(meta, own, trust), None
    elif env is None:
        env = _named(meta, trust)
    saved = _completed(kind, meta["config"])
    settings: Any = restored(kind.settings(), saved if device is None else saved | {"device": device}, objects)
    agent: Agent | None = None
    try:
        agent = kind(
            env, settings, seed=meta["seed"], num_envs=meta["num_envs"], env_options=own, bonuses=bonuses, aux=aux
        )
        agent.planned, agent.planned_from = meta.get("planned", 0), meta.get("planned_from", 0)
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


def _completed(kind: type[Agent], config: dict[str, Any]) -> dict[str, Any]:
    """A run's settings, with those that came later as the version that wrote them had it."""
    names = [field.name for field in dataclasses.fields(kind.settings)]
    former = _FORMER | {"sigma_decay": config.get("weight_decay", 0.0)}  # it was of everything
    none = {name: value for name, value in _FORMER_NONE.items() if config.get(name, "") is None}
    meant = none if _is_former(config) and config.get("bonus") else {}
    return {name: value for name, value in former.items() if name in names} | config | meant


def _is_former(config: Mapping[str, Any]) -> bool:
    """Whether a version wrote it in which None had the meanings of `_FORMER_NONE`."""
    return "bonus_slope" not in config


def _written(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's config.yaml; of a former version's None the checkpoint knows the meaning."""
    former = _is_former(config)
    return {k: v for k, v in config.items() if not (former and k in _FORMER_NONE and v is None)}


def resume(
    path: str | Path,
    *,
    steps: int | None = None,
    env: Env | None = None,
    device: str | None = None,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    callback: Callback[Agent] | Sequence[Callback[Agent]] | None = None,
    encoder: Own | None = None,
    num_envs: int | None = None,
    env_options: dict[str, Any] | None = None,
    restart_schedules: bool = False,
    eval_env: Env | None = None,
    trust: bool = False,
    notify: Callable[[str], None] = lambda _: None,
    progress: bool = False,
    **settings: Any,
) -> Agent:
    """Go on with a run from its newest good checkpoint to its planned end, or for ``steps`` more.

    Metrics logged after that checkpoint are cut away and come again. Where environment and replay were saved, and
    nothing is changed, the result is bit for bit that of a run that never stopped; else ``notify`` is told why not.

    What is changed here, or was in the run's config.yaml, holds from the checkpoint on. It is written to config.yaml,
    and to run.json's history, before training goes on. A run that was killed before its first checkpoint begins anew.

    Args:
        path: the run's folder.
        steps: train for so many steps more; the run's planned end is then there, and schedules go on towards it.
        env: see `load`.
        device: takes the place of the saved setting (cpu, cuda, auto …).
        bonuses, aux: see `load`.
        callback: see `Agent.learn`.
        encoder: see `load`; a learning rate that is a function is given again among the settings.
        num_envs: another number of environments: episodes, and what each environment had of its own, begin anew.
        env_options: options of the environment over those of the run; its spaces must stay the same.
        restart_schedules: schedules begin again here and go to the end, instead of going on.
        eval_env: where to evaluate, if no id says it.
        trust: see `load`.
        notify: is told what differs, and where the run goes on.
        progress: show a progress bar (on a terminal).
        settings: of the algorithm, over those of the run; also log_every, checkpoint_every, save_replay, keep and
            eval_every, eval_episodes, eval_noise, eval_env_options, eval_domain (see `Agent.learn`), and total.

    Raises:
        CheckpointError: the folder holds no run, no good checkpoint, or is being written by another process.
        ConfigError: ``steps`` is not positive; something is changed that cannot be; or see `load`, also for ``env``,
            ``device``, ``bonuses``, ``aux`` and ``trust``.
    """
    path = Path(path)
    steps = None if steps is None else whole("steps", steps, 1)
    plan_names = {field.name for field in dataclasses.fields(Schedule)}
    count = env.num_envs if isinstance(env, JostleEnv) else num_envs
    flags: dict[str, Any] = {
        "num_envs": None if count is None else whole("num_envs", count, 1),
        "env_options": None if env_options is None else domain_options(plain(env_options)),
        "config": {name: value for name, value in settings.items() if name not in plan_names},
        "training": {name: value for name, value in settings.items() if name in plan_names},
    }
    if device is not None:
        flags["config"]["device"] = device
    if eval_env is not None:
        flags["training"]["eval_env"] = name_of_eval(eval_env)
    objects = {name: value for name, value in settings.items() if callable(value)}
    if encoder is not None:
        objects["encoder"] = encoder
    more: dict[str, Any] = {"callback": callback, "eval_env": eval_env, "progress": progress}
    if Run.unstarted(path) and not any((path / "checkpoints").glob("step_*")):
        return _begin(path, flags, steps, env, bonuses, aux, objects, notify, trust, more)
    with Run.open(path, write=True) as run:
        where, state, meta = run.newest(finite=("model",))
        check_saved(state, meta)
        plan = Schedule.from_mapping(run.config.get("training"))
        kind = _kind_of(meta)
        before = {**meta, "config": _completed(kind, meta["config"])}
        begun: Settings = merged(kind.settings(), {"streams": before["config"].get("streams")})
        here: Settings = merged(begun, {**before["config"], **objects, **flags["config"]}, origin=SAVED)
        flags["config"] = {name: here.as_dict()[name] for name in flags["config"]}
        wanted = _overlaid({**run.config, "config": _written(run.config.get("config") or {})}, flags)
        changed = changes(before, wanted, kind.settings())
        schedule = plan.changed(flags["training"])
        if steps is not None:
            schedule = dataclasses.replace(schedule, total=int(meta["steps"]) + steps)
        if restart_schedules:
            schedule = dataclasses.replace(schedule, schedules_from=int(meta["steps"]))
        Evaluations(schedule, eval_env)
        if "env_options" in changed:
            state["env"] = None
        agent, reasons = _rebuilt(
            state, meta, wanted, changed, env=env, bonuses=bonuses, aux=aux, objects=objects, trust=trust
        )
        del state
        try:
            if isinstance(agent, DQN) and {"replay_ratio", "batch_size"} & set(changed):
                agent.rebase()
            Evaluations(schedule, eval_env).check(agent)
            run.keep = schedule.keep
            _write_down(run, agent, wanted, schedule, plan, changed)
            if changed:
                notify(f"changed from step {agent.steps:,} on: {in_words(changed)}")
            for reason in reasons:
                notify(f"the resumed run is not exactly the unbroken one: {reason}")
            notify(f"resuming from {where.name} at step {agent.steps:,} of {schedule.total:,}")
            train(agent, schedule, run=run, metrics_offset=meta.get("metrics_offset"), **more)
        except BaseException:
            if not isinstance(env, JostleEnv):
                agent.env.close()
            raise
        return agent


def _begin(
    path: Path,
    flags: dict[str, Any],
    steps: int | None,
    env: Env | None,
    bonuses: Sequence[Bonus],
    aux: Sequence[Auxiliary],
    objects: Mapping[str, Any],
    notify: Callable[[str], None],
    trust: bool,
    more: dict[str, Any],
) -> Agent:
    """Begin a run anew that was killed before its first checkpoint."""
    config = Run.unstarted_config(path)
    if config is None:
        raise CheckpointError(
            f"{path} was left before its config.yaml was written: train it again, with the same words"
        )
    wanted = _overlaid(config, flags)
    schedule = Schedule.from_mapping(wanted.get("training"))
    if steps is not None:
        schedule = dataclasses.replace(schedule, total=steps)
    kind = _kind_of(wanted)
    begun: Settings = merged(kind.settings(), {"streams": (config.get("config") or {}).get("streams")})
    final = merged(begun, {**wanted["config"], **objects}, origin=SAVED)
    _say_new_doubts(merged(begun, {**(config.get("config") or {}), **objects}), final)
    agent = kind(
        claimed(wanted["env"], trust=trust) if env is None else env,
        final,  # type: ignore[arg-type]  # its own
        seed=wanted["seed"],
        num_envs=wanted["num_envs"],
        env_options=None if isinstance(env, JostleEnv) else claimed(wanted["env_options"], trust=trust),
        bonuses=bonuses,
        aux=aux,
    )
    notify("the run was killed before its first checkpoint: it begins again")
    agent.train(schedule, path, more["callback"], more["eval_env"], again=True, progress=more["progress"])
    return agent


def _say_new_doubts(before: Settings, after: Settings) -> None:
    """Warn of what is known to go wrong with the settings, but for what has been said of them as they were."""
    known = list(before.doubts())
    for doubt in after.doubts():
        if doubt not in known:
            warnings.warn(doubt, stacklevel=3)


def _kind_of(description: Mapping[str, Any]) -> type[PPO] | type[DQN]:
    kind = AGENTS.get(str(description.get("algorithm")))
    if kind is None:
        raise CheckpointError(f"the run is of the algorithm '{description.get('algorithm')}', unknown to this version.")
    return kind


def _overlaid(config: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config.yaml with what is given over it; None says nothing."""
    out = dict(config)
    for name, value in flags.items():
        if isinstance(value, dict):
            given = {key: inner for key, inner in value.items() if inner is not None or name != "training"}
            out[name] = {**(config.get(name) or {}), **given}
        elif value is not None:
            out[name] = value
    return out


def _rebuilt(
    state: dict[str, Any], meta: dict[str, Any], wanted: dict[str, Any], changed: dict[str, list[Any]], **given: Any
) -> tuple[Agent, list[str]]:
    """The checkpoint's agent with what has changed."""
    beside = {name: after for name, (_, after) in changed.items() if name in ("num_envs", "env_options")}
    config = meta["config"] | {name: after for name, (_, after) in changed.items() if name not in beside}
    try:
        return rebuild(state, meta, over=beside | {"config": config}, **given)
    except ConfigError as error:
        if "env_options" in changed and "do not fit" in str(error):
            raise ConfigError(
                f"env_options={wanted['env_options']} change the environment's spaces, which the run's network is made "
                "for: choose options that leave them as they were, or train a new run."
            ) from error
        raise


def _write_down(
    run: Run, agent: Agent, wanted: dict[str, Any], schedule: Schedule, plan: Schedule, changed: dict[str, list[Any]]
) -> None:
    """The plan and what has changed, in config.yaml and run.json, before training goes on: a kill keeps them."""
    old, new = plan.as_dict(), schedule.as_dict()
    every = changed | {f"training.{name}": [old[name], new[name]] for name in new if new[name] != old[name]}
    if every:
        config = {**wanted, "training": new}
        if changed:
            config["config"] = {**agent.config.as_dict(), **wanted["config"]}
        run.reconfigure(config)
        record_change(run, agent.steps, every)
