"""The ids of this engine, and what stands behind an id, an MJCF file or a task of a user's own."""

import copy
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from jostle.envs.engines.mujoco.engine import MujocoEngine
from jostle.envs.engines.mujoco.model import is_text
from jostle.envs.engines.mujoco.package import has_mujoco
from jostle.envs.engines.mujoco.task import Task
from jostle.envs.engines.mujoco.tasks.reach import MODEL as REACH
from jostle.envs.engines.mujoco.tasks.reach import Reach
from jostle.envs.engines.mujoco.tasks.runners import HalfCheetah, Hopper, Swimmer, Walker2d
from jostle.envs.engines.mujoco.tasks.still import InvertedPendulum, Pusher, Reacher
from jostle.envs.engines.mujoco.tasks.walkers import Ant, Humanoid
from jostle.errors import ConfigError, EnvError, closest

PREFIX = "jostle/"
OWN = ("task", "threads")
"""Options of the engine; the others are the task's."""


class Known(NamedTuple):
    """A task by id: where its model is, and what makes it."""

    model: str
    task: Callable[..., Task]


KNOWN: dict[str, Known] = {
    "Ant-v5": Known("ant.xml", Ant),
    "HalfCheetah-v5": Known("half_cheetah.xml", HalfCheetah),
    "Hopper-v5": Known("hopper.xml", Hopper),
    "Humanoid-v5": Known("humanoid.xml", Humanoid),
    "InvertedPendulum-v5": Known("inverted_pendulum.xml", InvertedPendulum),
    "Pusher-v5": Known("pusher_v5.xml", Pusher),
    "Reach-v0": Known(str(REACH), Reach),
    "Reacher-v5": Known("reacher.xml", Reacher),
    "Swimmer-v5": Known("swimmer.xml", Swimmer),
    "Walker2d-v5": Known("walker2d_v5.xml", Walker2d),
}


def mujoco_ids() -> list[str]:
    """The ids that are this engine's alone, without the package none."""
    return [PREFIX + name for name in KNOWN] if has_mujoco() else []


def runs_here(name: str) -> bool:
    """Whether this engine can make it: an id with or without its prefix, an MJCF file or text."""
    return name.removeprefix(PREFIX) in KNOWN or is_model(name)


def is_model(name: str) -> bool:
    """Whether this is the path of an MJCF file, or MJCF itself."""
    return is_text(name) or name.endswith((".xml", ".mjcf"))


def options_of_task(name: str) -> dict[str, Any]:
    """The options of an id with their defaults."""
    parameters = inspect.signature(KNOWN[name.removeprefix(PREFIX)].task).parameters
    return {"threads": 0} | {key: parameter.default for key, parameter in parameters.items()}


def make_engine(name: str, num_envs: int, options: dict[str, Any]) -> MujocoEngine:
    """The engine of an id, or of an MJCF file with the task that the options name.

    Raises:
        ConfigError: options that there are not, or no task.
        EnvError: no package, no model, or one that does not compile.
    """
    label, threads = shown(name), options.get("threads", 0)
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 0:
        raise ConfigError(f"threads={threads!r} of {label} cannot be used: give a number, or 0 for all processors.")
    own = {key: value for key, value in options.items() if key not in OWN}
    if is_model(name):
        task, model = _given_task(label, options.get("task"), own), name
    else:
        known = KNOWN[name.removeprefix(PREFIX)]
        if "task" in options:
            raise ConfigError(f"{name} has its task: give task= with the path of an MJCF file.")
        task, model = _made(known.task, name, own), str(asset(known.model))
    return MujocoEngine(model, task, num_envs, label, threads)


def shown(name: str) -> str:
    """The name for messages and records."""
    return "the MJCF text" if is_text(name) else name


def asset(name: str) -> Path:
    """A model that lies in Gymnasium's package; a whole path stays what it is.

    Raises:
        EnvError: this Gymnasium does not have it.
    """
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / name  # "/" leaves a whole path alone
    if not path.is_file():
        raise EnvError(f"Gymnasium {gymnasium.__version__} brings no model {name}: pip install -U gymnasium.")
    return path


def _given_task(name: str, given: Any, options: dict[str, Any]) -> Task:
    """A task of a user's own: an object (copied, so that it may serve again), a class, or "module:Name" of one."""
    if given is None:
        raise ConfigError(
            f"{name} is a model without a task: give task=, a subclass of "
            'jostle.envs.engines.mujoco.task.Task, or "module:Name" of one.'
        )
    if isinstance(given, Task):
        if options:
            raise ConfigError(f"the task of {name} is a made one and takes no options ({', '.join(sorted(options))}).")
        return copy.deepcopy(given)
    if isinstance(given, str):
        module, _, attribute = given.partition(":")
        try:
            given = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f'task={given!r} of {name} cannot be found ({error}): give "module:Name".') from error
    return _made(given, name, options)


def _made(maker: Callable[..., Task], name: str, options: dict[str, Any]) -> Task:
    try:
        known = inspect.signature(maker).parameters
    except (TypeError, ValueError) as error:  # nothing that is called, or a type of Python's own
        raise _no_task(maker, name) from error
    for option in options:
        if option not in known:
            raise ConfigError(f"{name} has no option {option}: {closest(option, [*known, *OWN])}")
    task = maker(**options)
    if not isinstance(task, Task):
        raise _no_task(task, name)
    return task


def _no_task(given: Any, name: str) -> ConfigError:
    return ConfigError(f"task={given!r} of {name} is none: give a subclass of jostle.envs.engines.mujoco.task.Task.")
