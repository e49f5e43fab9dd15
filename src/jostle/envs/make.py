"""`make_env`: one function for every environment."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args

import gymnasium as gym
from gymnasium.vector import VectorEnv

from jostle.envs.catalogue import engine_of, registered, unknown
from jostle.envs.domain.driver import DomainDriver
from jostle.envs.domain.options import DOMAIN_OPTIONS, whole_options
from jostle.envs.engines.envpool import INSTALL, EnvPoolEngine, envpool_ids
from jostle.envs.engines.gymnasium import (
    GymnasiumEngine,
    in_process,
    native,
    only_as_vector,
    register_plugins,
    require_env,
)
from jostle.envs.engines.mujoco.catalogue import make_engine, runs_here
from jostle.envs.engines.workers import in_workers
from jostle.envs.sources import EnvSource, Given, MakeOne, Unrepeatable, rows_of, take_apart
from jostle.envs.trust import vouched_id, vouched_options
from jostle.envs.vector import Engine, JostleEnv
from jostle.envs.world import world_of
from jostle.errors import ConfigError, EnvError, JostleError, closest
from jostle.plain import as_count, plain

EngineName = Literal["auto", "envpool", "gymnasium", "jostle", "mujoco"]
OWN_OPTIONS = ("engine", "frame_stack", "workers", "worker_timeout", "seed_global", *DOMAIN_OPTIONS)
"""Options that are `make_env`'s own; the others are the environment's."""


def make_env(
    id: EnvSource,
    num_envs: int | None = None,
    seed: int = 0,
    *,
    engine: EngineName = "auto",
    frame_stack: int = 0,
    render_mode: str | None = None,
    workers: int = 0,
    seed_global: bool = False,
    worker_timeout: float = 300.0,
    domain: Any = None,
    domain_schedule: Any = None,
    domain_privileged: bool = False,
    domain_seen: Any = None,
    domain_history: int = 0,
    **options: Any,
) -> JostleEnv:
    """Make a vector environment.

    Args:
        id: an id of EnvPool, of Gymnasium (``Name-v0`` or ``module:Name-v0``) or of jostle (``jostle/DeepSea-v0``); an
            MJCF file (``robot.xml``), with its ``task``; a function or class that makes one Gymnasium environment; a
            spec of Gymnasium; or a ready environment or vector environment, which serves itself, is not closed by
            jostle, and whose kind is made again by its spec where more are wanted.
        num_envs: how many environments are stepped together; None: 1, or as many as a ready one has.
        seed: environment i is seeded with ``seed + i``.
        engine: "auto" takes jostle's own environments, else EnvPool if it is installed and knows the id, else
            Gymnasium. "mujoco" makes Gymnasium's MuJoCo tasks with physics and looks that can vary.
        frame_stack: k > 0 stacks the last k frames of uint8 images; 0 leaves it to the engine (4 for Atari on EnvPool).
        render_mode: "rgb_array" for pictures from `render()`.
        workers: 0 steps Gymnasium environments in this process, k > 0 in k processes.
        seed_global: also seed what environments draw from beside their own generator: while they are reset and stepped,
            the global generators of `numpy.random` and `random` are theirs, and their spaces are seeded.
        worker_timeout: seconds after which a worker that does not answer is ended, with an error; 0: none.
        domain: what varies from episode to episode: a `jostle.domain.Space`, a YAML file or its data; None: nothing.
        domain_schedule: how the domain is drawn: "uniform" (None), "linear(steps=1e6)", "adr(high=…, low=…)",
            "doraemon(threshold=…)", "rollback(high=…, low=…)", "plr", a YAML file or its data.
        domain_privileged: tell each row's draw as the observation "privileged"; who sees it is the agents' setting
            `privileged`.
        domain_seen: the domain of the training, in whose ranges that is told; None: `domain`.
        domain_history: k > 0 to tell the last k observations and actions of each episode as the observation
            "domain_history" [k, E], zeros before its beginning: what a policy may find the draw out by.
        options: handed to the environments: the pool's configuration on EnvPool, the constructor on Gymnasium. A
            function takes none.

    Raises:
        ConfigError: an unknown id or option, or arguments that do not go together.
        EnvError: the environment cannot be made.

    >>> env = make_env("CartPole-v1", num_envs=2)
    >>> obs, info = env.reset()
    >>> obs.shape
    (2, 4)
    >>> env.close()
    """
    if isinstance(id, JostleEnv):
        raise ConfigError(f"{id.id} is made already, by make_env: use it as it is, or give a function or an id.")
    num_envs, seed, frame_stack, workers = as_count(num_envs), plain(seed), as_count(frame_stack), as_count(workers)
    seed_global, options = plain(seed_global), vouched_options(plain(options))
    randomised = whole_options(
        {
            "domain": domain, "domain_schedule": domain_schedule, "domain_privileged": plain(domain_privileged),
            "domain_seen": domain_seen, "domain_history": domain_history,
        }
    )  # fmt: skip
    given = take_apart(vouched_id(id) if isinstance(id, str) else id)
    num_envs = rows_of(id, 1) if num_envs is None else num_envs
    _check_arguments(num_envs, seed, frame_stack, render_mode, workers, seed_global)
    worker_timeout = _seconds(worker_timeout)
    chosen = _choose(given, engine, workers, seed_global, options)
    stack_here = frame_stack
    name = given.name
    runs: Engine
    if chosen == "envpool":
        assert isinstance(given.source, str)
        runs = EnvPoolEngine(name, num_envs, seed, frame_stack=frame_stack, render_mode=render_mode, options=options)
        stack_here = 0 if runs.stacks_itself else frame_stack
    elif chosen == "mujoco":
        runs = make_engine(name, num_envs, options)
        name = runs.id
    elif chosen == "jostle":
        runs = GymnasiumEngine(native(name, num_envs, render_mode, options), name, "jostle")
    elif isinstance(given.ready, VectorEnv) and not workers:
        runs = _ready_vector(given.ready, name, num_envs, render_mode, seed_global)
    elif isinstance(given.ready, gym.Env) and num_envs == 1 and not workers:
        runs = _ready_one(given.ready, name, render_mode, seed_global)
    elif workers:
        if isinstance(given.source, Unrepeatable):
            given.source()
        vector = in_workers(given.source, num_envs, workers, render_mode, options, worker_timeout, seed_global)
        runs = GymnasiumEngine(vector, name)
    elif isinstance(given.source, str) and only_as_vector(given.source):
        runs = GymnasiumEngine(native(name, num_envs, render_mode, options), name)
    else:
        runs = GymnasiumEngine(in_process(given.source, num_envs, render_mode, options, 0, seed_global), name)
    made_with: dict[str, tuple[object, object]] = {"engine": (engine, "auto"), "frame_stack": (frame_stack, 0)}
    made_with |= {"workers": (workers, 0), "worker_timeout": (worker_timeout, 300.0)}
    made_with["seed_global"] = (seed_global, False)
    try:
        return JostleEnv(
            runs,
            name,
            num_envs,
            seed,
            frame_stack=stack_here,
            render_mode=render_mode,
            options=options,
            source=given.source,
            made_with={k: v for k, (v, default) in made_with.items() if v != default} | randomised | options,
            domain=_driver(runs, name, num_envs, randomised),
            history=randomised.get("domain_history", 0),
        )
    except (MemoryError, ValueError) as error:
        runs.close()
        if isinstance(error, JostleError):
            raise
        text = " ".join(str(error).split())
        raise EnvError(f"{num_envs} of {name} cannot be made ({text}): use fewer, or other options.") from error


def _driver(engine: Engine, name: str, num_envs: int, randomised: Mapping[str, Any]) -> DomainDriver | None:
    """What draws the domain, where there is one, or where it would be told."""
    if "domain" not in randomised and "domain_privileged" not in randomised:
        return None
    world = world_of(engine)
    if world is None:
        raise ConfigError(f"{name} on {engine.name} offers nothing that a domain could vary: {where_it_varies(name)}.")
    return DomainDriver(
        world, num_envs, name, space=randomised.get("domain"), schedule=randomised.get("domain_schedule"),
        seen=randomised.get("domain_seen"), privileged="domain_privileged" in randomised,
    )  # fmt: skip


def where_it_varies(name: str) -> str:
    """What to do with an environment that offers no quantities."""
    own = f"jostle/{name}"
    if own in gym.registry or runs_here(own):
        return f"take {own}, the same task, of which much can vary (`jostle domain show {own}`)"
    return "take one that does (`jostle domain show ID` says what), or wrap it in jostle.envs.Randomise"


def capped(options: Mapping[str, Any], num_envs: int) -> dict[str, Any]:
    """The options of environments that a policy was trained in, for `num_envs` of them: no more workers than those."""
    workers = options.get("workers", 0)
    fewer = {"workers": num_envs} if isinstance(workers, Integral) and int(workers) > num_envs else {}
    return {**options, **fewer}


def _ready_vector(
    vector: VectorEnv[Any, Any, Any], name: str, num_envs: int, render_mode: str | None, seed_global: bool
) -> GymnasiumEngine:
    if num_envs != vector.num_envs:
        raise ConfigError(
            f"num_envs={num_envs} cannot be had of {name}, which was given as a ready vector of {vector.num_envs} "
            "environments: leave num_envs out, or give a function that makes one environment, or its id."
        )
    if seed_global:
        raise ConfigError(
            f"seed_global=True cannot be used with {name}, a ready vector environment whose rows jostle does not step "
            "itself: give a function that makes one environment, or its id."
        )
    _require_pictures(vector, name, render_mode)
    return GymnasiumEngine(vector, name, borrowed=True)


def _ready_one(env: gym.Env[Any, Any], name: str, render_mode: str | None, seed_global: bool) -> GymnasiumEngine:
    require_env(env, name, 0)
    _require_pictures(env, name, render_mode)
    return GymnasiumEngine(in_process(lambda: env, 1, None, {}, 0, seed_global), name, borrowed=True)


def _require_pictures(env: Any, name: str, render_mode: str | None) -> None:
    if render_mode is not None and env.render_mode != render_mode:
        raise EnvError(
            f'{name} was given as a ready object that draws no pictures: make it with render_mode="{render_mode}", or '
            "give a function that makes one, or its id."
        )


def _check_arguments(
    num_envs: int, seed: int, frame_stack: int, render_mode: str | None, workers: int, seed_global: bool
) -> None:
    whole = {"num_envs": num_envs, "seed": seed, "frame_stack": frame_stack, "workers": workers}
    for name, value in whole.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(f"{name}={value!r} cannot be used: it must be a whole number.")
    if num_envs < 1:
        raise ConfigError(f"num_envs={num_envs} must be at least 1.")
    if frame_stack < 0:
        raise ConfigError(f"frame_stack={frame_stack} must be 0 (the engine's own) or more.")
    if render_mode not in (None, "rgb_array"):
        raise ConfigError(f'render_mode={render_mode!r} is not known: use "rgb_array" or None.')
    if workers < 0:
        raise ConfigError(f"workers={workers} must be 0 (this process) or more.")
    if not isinstance(seed_global, bool):
        raise ConfigError(f"seed_global={seed_global!r} cannot be used: it must be True or False.")


def _seconds(timeout: float) -> float:
    if isinstance(timeout, Real) and not isinstance(timeout, bool) and 0 <= float(timeout) < math.inf:
        return float(timeout)
    raise ConfigError(f"worker_timeout={timeout!r} cannot be used: give seconds, or 0 for no limit.")


def _choose(given: Given, engine: EngineName, workers: int, seed_global: bool, options: dict[str, Any]) -> str:
    """The engine that makes what was given."""
    id: str | MakeOne = given.source
    if engine not in get_args(EngineName):
        raise ConfigError(f"engine={engine!r} is not known: {closest(str(engine), get_args(EngineName))}")
    if not isinstance(id, str):
        if engine not in ("auto", "gymnasium"):
            raise ConfigError(
                f"engine={engine!r} makes environments by id, and {_what(given)} was given: use engine='gymnasium'."
            )
        if options:
            raise ConfigError(
                f"the function {given.name} makes the environment itself and takes no options "
                f"({', '.join(sorted(options))}): give them to the environment inside it."
                if given.ready is None
                else f"{given.name} was given as {_what(given)} and takes no options ({', '.join(sorted(options))}): "
                "make it with them."
            )
        return "gymnasium"
    if engine == "auto":
        engine = "gymnasium" if workers else engine_of(id)
    if workers and engine != "gymnasium":
        raise ConfigError(f"workers={workers} is for Gymnasium environments, and {id} runs on {engine}: use workers=0.")
    if seed_global and engine != "gymnasium":
        raise ConfigError(
            f"seed_global=True is for environments that Gymnasium steps, and {id} runs on {engine}, which draws from "
            "nothing global: leave it out."
        )
    if engine == "envpool":
        ids = envpool_ids()
        if not ids:
            raise EnvError(f"EnvPool is not installed: {INSTALL}.")
        known = id in ids
    elif engine == "mujoco":
        known = runs_here(id)
    else:
        register_plugins(id)
        known = registered(id)
    if not known:
        raise unknown(id, engine)
    return engine


def _what(given: Given) -> str:
    if given.ready is None:
        return "a function"
    return "a ready vector environment" if isinstance(given.ready, VectorEnv) else "a ready environment"
