"""What techniques find, with the figures and files that are made of it."""

from jostle.explain.results.importance import Importance
from jostle.explain.results.maps import Maps

__all__ = ["Importance", "Maps"]
