"""Intrinsic rewards behind one small interface; they serve in anybody's own training loop."""

from typing import Any

import gymnasium as gym

from jostle.bonus.e3b import E3B
from jostle.bonus.icm import ICM
from jostle.bonus.interface import Bonus, Transitions
from jostle.bonus.rnd import RND
from jostle.bonus.warm_up import warm_up
from jostle.errors import ConfigError, closest

BONUSES: dict[str, type[Bonus]] = {"rnd": RND, "icm": ICM, "e3b": E3B}


def make_bonus(
    name: str, observation_space: gym.Space[Any], action_space: gym.Space[Any], num_envs: int, **options: Any
) -> Bonus:
    """A bonus by its name; options that are None keep the bonus's own defaults.

    Raises:
        ConfigError: an unknown name, or a space or option that the bonus cannot use.
    """
    if name not in BONUSES:
        raise ConfigError(f"There is no bonus {name!r}: {closest(name, BONUSES)}")
    given = {key: value for key, value in options.items() if value is not None}
    if name != "rnd":
        given["action_space"] = action_space
    return BONUSES[name](observation_space, num_envs, **given)


__all__ = ["BONUSES", "E3B", "ICM", "RND", "Bonus", "Transitions", "make_bonus", "warm_up"]
