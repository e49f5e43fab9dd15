"""Intrinsic rewards behind one small interface; they serve in anybody's own training loop."""

from jostle.bonus.interface import Bonus, Transitions
from jostle.bonus.rnd import RND
from jostle.bonus.warm_up import warm_up

BONUSES: dict[str, type[Bonus]] = {"rnd": RND}

__all__ = ["BONUSES", "RND", "Bonus", "Transitions", "warm_up"]
