"""Two policies, or two methods, on the same episodes."""

from jostle.stress.pairs.compare import compare_policies
from jostle.stress.pairs.found import Comparison

__all__ = ["Comparison", "compare_policies"]
