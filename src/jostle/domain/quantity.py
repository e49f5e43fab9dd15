"""What of a world can vary: one number, with its name, its unit and the bounds beyond which it makes no sense."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One number of a simulated world, such as the mass of one body.

    What has several numbers is several quantities, named by a dotted path: ``gravity.z``, ``torso.friction.slide``,
    ``floor.rgba.r``. What is chosen from a list is the index into `choices`.

    Args:
        name: dotted path, unique in its world.
        nominal: the value without randomisation.
        low, high: the values at which the world still makes sense, both included.
        unit: as in "kg", "N·m", "s"; empty for plain numbers.
        about: one short phrase for tables.
        choices: names of what the values 0, 1, 2 … stand for.
    """

    name: str
    nominal: float
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    about: str = ""
    choices: tuple[str, ...] = ()
