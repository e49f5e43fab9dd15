"""The policy view: what evaluation, the stress test and the microscope see of any policy."""

from jostle.view.dispatch import as_view
from jostle.view.interface import Acts, MeanStd, Output, PolicyView, Probabilities, require_fit, source_of
from jostle.view.playing import Episode, Success, play

__all__ = [
    "Acts",
    "Episode",
    "MeanStd",
    "Output",
    "PolicyView",
    "Probabilities",
    "Success",
    "as_view",
    "play",
    "require_fit",
    "source_of",
]
