"""Classic control with every constant a quantity: what Gymnasium calls to make `jostle/CartPole-v1` and its like."""

import inspect
from typing import Any

from jostle.envs.diagnostics.classic.acrobot import AcrobotVectorEnv
from jostle.envs.diagnostics.classic.cart_pole import CartPoleVectorEnv
from jostle.envs.diagnostics.classic.mountain_car import MountainCarContinuousVectorEnv, MountainCarVectorEnv
from jostle.envs.diagnostics.classic.pendulum import PendulumVectorEnv
from jostle.envs.diagnostics.classic.world import ClassicEnv, ClassicVectorEnv
from jostle.errors import ConfigError, closest

__all__ = ["TASKS", "ClassicEnv", "ClassicVectorEnv", "make_classic", "make_classic_vector"]

_Task = (
    type[CartPoleVectorEnv]
    | type[PendulumVectorEnv]
    | type[AcrobotVectorEnv]
    | type[MountainCarVectorEnv]
    | type[MountainCarContinuousVectorEnv]
)
TASKS: dict[str, _Task] = {
    kind.name: kind
    for kind in (
        CartPoleVectorEnv,
        PendulumVectorEnv,
        AcrobotVectorEnv,
        MountainCarVectorEnv,
        MountainCarContinuousVectorEnv,
    )
}


def make_classic(*, name: str, render_mode: str | None = None, **options: Any) -> ClassicEnv:
    """One task without a time limit, which is a wrapper's; options are refused by name."""
    if options:
        raise ConfigError(f"jostle/{name} has no option {next(iter(options))!r}; {closest('', ['render_mode'])}")
    return ClassicEnv(TASKS[name](1, max_episode_steps=None, render_mode=render_mode))


def make_classic_vector(num_envs: int = 1, *, name: str, **options: Any) -> ClassicVectorEnv:
    """`num_envs` of a task; unknown options are refused by name."""
    known = [key for key in inspect.signature(TASKS[name]).parameters if key != "num_envs"]
    for key in options:
        if key not in known:
            raise ConfigError(f"jostle/{name} has no option {key!r}; {closest(key, known)}")
    return TASKS[name](num_envs, **options)
