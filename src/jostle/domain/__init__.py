"""Domain randomisation: what varies, how it is drawn, and how its range moves. Knows no environment."""

from jostle.domain.quantity import Quantity

__all__ = ["Quantity"]
