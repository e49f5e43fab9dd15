"""The figure of ranges: what is filled is the mean of the runs' bounds, up to where the first of them ends."""

import numpy as np
import pytest

from jostle.errors import ConfigError
from jostle.scores.bands import plot_bands


def test_a_band_is_the_mean_of_the_runs() -> None:
    pytest.importorskip("matplotlib")
    one = np.array([0.0, 10, 20]), np.array([1.0, 0, -1]), np.array([1.0, 2, 3])
    two = np.array([0.0, 10]), np.array([1.0, 1]), np.array([1.0, 4])
    figure = plot_bands({"mass": {"adr": [one, two], "linear": [one]}, "length": {"adr": [two]}}, title="Pole")
    mass, length, *rest = figure.axes
    assert [mass.get_title(loc="left"), length.get_title(loc="left")] == ["mass", "length"]
    assert not any(panel.get_visible() for panel in rest)
    corners = mass.collections[0].get_paths()[0].vertices
    assert {(0.0, 1.0), (10.0, 0.5), (10.0, 3.0)} <= {tuple(map(float, v)) for v in corners}
    assert corners[:, 0].max() == 10
    assert len(mass.lines) == 6
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["adr (2 seeds)", "linear (1 seed)"]


def test_nothing_to_show() -> None:
    with pytest.raises(ConfigError, match="nothing to show"):
        plot_bands({})
