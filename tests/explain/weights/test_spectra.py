"""Spectra of kernels that are known, and the bias of finite samples taken away."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import Small, view_of

from jostle.errors import ConfigError
from jostle.explain.weights import power_spectrum, relative_entropy, spectra


def test_spectra_of_known_filters() -> None:
    constant = power_spectrum(np.ones((1, 8, 8)), 8)[0]
    assert constant[0, 0] == pytest.approx(1)
    assert constant.sum() == pytest.approx(1)
    point = np.zeros((1, 3, 3))
    point[0, 1, 1] = -5
    assert power_spectrum(point, 8)[0] == pytest.approx(np.full((8, 8), 1 / 64))
    wave = np.cos(2 * np.pi * 2 * np.arange(8) / 8)[None, None].repeat(8, 1)
    p = power_spectrum(wave, 8)[0]
    assert p[0, 2] == pytest.approx(0.5)
    assert p[0, 6] == pytest.approx(0.5)
    edge = power_spectrum(np.array([[[1.0, -1.0]]]), 4)[0]  # |1 − e^{−iω}|² = 2 − 2 cos ω, the same in every row
    by_hand = np.tile(2 - 2 * np.cos(np.pi * np.arange(4) / 2), (4, 1))
    assert edge == pytest.approx(by_hand / by_hand.sum())
    assert power_spectrum(np.zeros((1, 3, 3)), 4)[0] == pytest.approx(np.full((4, 4), 1 / 16))
    with pytest.raises(ConfigError, match="smaller than kernels"):
        power_spectrum(np.ones((1, 5, 5)), 4)


def test_relative_entropy_by_hand() -> None:
    p, q = np.array([[0.5, 0.5], [0, 0]]), np.full((2, 2), 0.25)
    assert relative_entropy(p, q) == pytest.approx(np.log(2))
    assert relative_entropy(q, q) == 0
    assert relative_entropy(q, np.array([[0.5, 0.25], [0.125, 0.125]])) == pytest.approx(
        0.25 * (np.log(0.5) + 0 + 2 * np.log(2))
    )


def test_regular_kernels_are_found_and_fresh_ones_are_not(tmp_path: Path) -> None:
    fresh = Small(1, channels=16)
    nothing = spectra(view_of(fresh), "conv", initial=Small(2, channels=16))
    assert abs(nothing.mean_divergence) < 0.01
    assert nothing.p > 0.05
    assert abs(float(nothing.divergence.mean())) < 0.1, "the bias of finite samples is gone"
    smooth = Small(1, channels=16)
    with torch.no_grad():
        smooth.conv.weight.abs_()
    found = spectra(view_of(smooth), initial=fresh)
    assert found.mean_divergence > 0.3
    assert found.p == pytest.approx(1 / 201)
    assert found.initial is not None
    assert found.initial < 0.05
    own, null = found.radial
    assert own[0] == pytest.approx(256 * found.spectrum[0, 0])
    assert null == pytest.approx(np.ones(len(null)), abs=0.3)
    assert own[0] > 2 * null[0]
    assert len(found.save(tmp_path)) == 3
    with pytest.raises(ConfigError, match="no kernels in the plane"):
        spectra(view_of(fresh), "out")
