"""Domain randomisation of anybody's environment: `Randomise(env, space)`, a Gymnasium wrapper."""

from jostle.envs.randomise.worlds import world_in
from jostle.envs.randomise.wrapper import Randomise

__all__ = ["Randomise", "world_in"]
