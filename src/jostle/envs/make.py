"""`make_env`: one function for every environment."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, Literal

import gymnasium as gym

from jostle.envs.catalogue import engine_of, nearest_ids, registered
from jostle.envs.engines.envpool import EnvPoolEngine, envpool_ids
from jostle.envs.engines.gymnasium import GymnasiumEngine, in_process, name_of, native, register_plugins
from jostle.envs.engines.workers import WorkerVectorEnv
from jostle.envs.trust import vouched_id, vouched_options
from jostle.envs.vector import Engine, JostleEnv
from jostle.errors import ConfigError, EnvError, JostleError, closest

EngineName = Literal["auto", "envpool", "gymnasium", "jostle"]


def make_env(
    id: str | Callable[[], gym.Env[Any, Any]],
    num_envs: int = 1,
    seed: int = 0,
    *,
    engine: EngineName = "auto",
    frame_stack: int = 0,
    render_mode: str | None = None,
    workers: int = 0,
    **options: Any,
) -> JostleEnv:
    """Make a vector environment.

    Args:
        id: an id of EnvPool, of Gymnasium (``Name-v0`` or ``module:Name-v0``) or of jostle (``jostle/DeepSea-v0``), or
            a function that makes one Gymnasium environment.
        num_envs: how many environments are stepped together.
        seed: environment i is seeded with ``seed + i``.
        engine: "auto" takes jostle's own environments, else EnvPool if it is installed and knows the id, else
            Gymnasium.
        frame_stack: k > 0 stacks the last k frames of uint8 images; 0 leaves it to the engine (4 for Atari on EnvPool).
        render_mode: "rgb_array" for pictures from `render()`.
        workers: 0 steps Gymnasium environments in this process, k > 0 in k processes.
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
    if isinstance(id, str):
        id = vouched_id(id)
    options = vouched_options(options)
    name = name_of(id)
    _check_arguments(num_envs, seed, frame_stack, render_mode, workers)
    chosen = _choose(id, engine, workers, options)
    stack_here = frame_stack
    runs: Engine
    if chosen == "envpool":
        assert isinstance(id, str)
        runs = EnvPoolEngine(id, num_envs, seed, frame_stack=frame_stack, render_mode=render_mode, options=options)
        stack_here = 0 if runs.stacks_itself else frame_stack
    elif chosen == "jostle":
        assert isinstance(id, str)
        runs = GymnasiumEngine(native(id, num_envs, render_mode, options), name, "jostle")
    elif workers:
        runs = GymnasiumEngine(WorkerVectorEnv(id, num_envs, workers, render_mode, options), name)
    else:
        runs = GymnasiumEngine(in_process(id, num_envs, render_mode, options), name)
    given = {"engine": (engine, "auto"), "frame_stack": (frame_stack, 0), "workers": (workers, 0)}
    try:
        return JostleEnv(
            runs,
            name,
            num_envs,
            seed,
            frame_stack=stack_here,
            render_mode=render_mode,
            options=options,
            source=id,
            made_with={key: value for key, (value, default) in given.items() if value != default} | options,
        )
    except (MemoryError, ValueError) as error:
        runs.close()
        if isinstance(error, JostleError):
            raise
        text = " ".join(str(error).split())
        raise EnvError(f"{num_envs} of {name} cannot be made ({text}): use fewer, or other options.") from error


def _check_arguments(num_envs: int, seed: int, frame_stack: int, render_mode: str | None, workers: int) -> None:
    whole = {"num_envs": num_envs, "seed": seed, "frame_stack": frame_stack, "workers": workers}
    for name, value in whole.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ConfigError(f"{name}={value!r} cannot be used: it must be a whole number.")
    if num_envs < 1:
        raise ConfigError(f"num_envs={num_envs} must be at least 1.")
    if frame_stack < 0:
        raise ConfigError(f"frame_stack={frame_stack} must be 0 (the engine's own) or more.")
    if render_mode not in (None, "rgb_array"):
        raise ConfigError(f'render_mode={render_mode!r} is not known: use "rgb_array" or None.')
    if workers < 0:
        raise ConfigError(f"workers={workers} must be 0 (this process) or more.")


def _choose(
    id: str | Callable[[], gym.Env[Any, Any]], engine: EngineName, workers: int, options: dict[str, Any]
) -> str:
    """The engine that makes `id`."""
    if engine not in ("auto", "envpool", "gymnasium", "jostle"):
        raise ConfigError(
            f"engine={engine!r} is not known: {closest(str(engine), ['auto', 'envpool', 'gymnasium', 'jostle'])}"
        )
    if not isinstance(id, str):
        if engine not in ("auto", "gymnasium"):
            raise ConfigError(
                f"engine={engine!r} makes environments by id, and a function was given: use engine='gymnasium'."
            )
        if options:
            raise ConfigError(
                f"the function {name_of(id)} makes the environment itself and takes no options "
                f"({', '.join(sorted(options))}): give them to the environment inside it."
            )
        return "gymnasium"
    if engine == "auto":
        engine = "gymnasium" if workers else engine_of(id)
    if workers and engine != "gymnasium":
        raise ConfigError(f"workers={workers} is for Gymnasium environments, and {id} runs on {engine}: use workers=0.")
    if engine == "envpool":
        ids = envpool_ids()
        if not ids:
            raise EnvError('EnvPool is not installed: pip install "jostle[envpool]".')
        known = id in ids
    else:
        register_plugins(id)
        known = registered(id)
    if not known:
        where = "" if engine == "gymnasium" else f" on {engine}"
        raise ConfigError(f"There is no environment {id}{where}: {nearest_ids(id)}")
    return engine
