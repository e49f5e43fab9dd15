"""What can be read off a network's weights alone."""

from jostle.explain.weights.compare import compare_weights
from jostle.explain.weights.filters import Kernels, kernels
from jostle.explain.weights.frequencies import Spectra, power_spectrum, relative_entropy, spectra
from jostle.explain.weights.fresh import drawn_like, refresh
from jostle.explain.weights.numbers import moments
from jostle.explain.weights.start import at_start, initial_weights, untrained
from jostle.explain.weights.statistics import WeightStatistics, weight_statistics
from jostle.explain.weights.tensors import WeightTensor, weight_tensors

__all__ = [
    "Kernels",
    "Spectra",
    "WeightStatistics",
    "WeightTensor",
    "at_start",
    "compare_weights",
    "drawn_like",
    "initial_weights",
    "kernels",
    "moments",
    "power_spectrum",
    "refresh",
    "relative_entropy",
    "spectra",
    "untrained",
    "weight_statistics",
    "weight_tensors",
]
