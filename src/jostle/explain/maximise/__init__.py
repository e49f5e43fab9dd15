"""What units want to see: activation maximisation."""

from jostle.explain.maximise.ascent import maximise_activation
from jostle.explain.maximise.regularise import blurred, square_norm, total_variation
from jostle.explain.maximise.result import Maximised

__all__ = ["Maximised", "blurred", "maximise_activation", "square_norm", "total_variation"]
