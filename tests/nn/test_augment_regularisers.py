"""Dropout under the noise contract, and batch normalisation in encoders."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jostle.errors import ConfigError
from jostle.nn.encoders import make_encoder
from jostle.nn.noise import CLEAN, Noise, family
from jostle.nn.policy import QNetwork
from jostle.nn.regularise import Dropout, add_batch_norm, add_dropout

PICTURES = spaces.Box(0, 255, (3, 40, 40), np.uint8)


def test_every_row_has_the_mask_of_its_slot() -> None:
    layer = Dropout(50, 0.3)
    noise = Noise(layer, seed=0, role="test", slots=4)
    x = torch.randn(5, 50)
    draw = [2, 0, CLEAN, 3, 0]
    with noise.using(torch.tensor(draw)):
        y = layer(x)
    kept = layer.noise != 0
    for b, slot in enumerate(draw):
        expected = x[b] if slot == CLEAN else torch.where(kept[slot], x[b] / 0.7, 0.0)
        torch.testing.assert_close(y[b], expected)
    assert (kept[0] != kept[2]).any()
    with noise.using(3):
        torch.testing.assert_close(layer(x), torch.where(kept[3], x / 0.7, 0.0))
    for selection in ({"mode": "mean"}, {"draw": CLEAN}):
        with noise.using(**selection):
            assert torch.equal(layer(x), x)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.8])
def test_p_is_the_probability_of_a_zero_and_the_mean_stays(p: float) -> None:
    layer = Dropout(1000, p)
    Noise(layer, seed=0, role="test", slots=50)
    zeros = (layer.noise == 0).double().mean().item()
    assert zeros == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 50_000))
    assert layer.noise.mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(p / (1 - p) / 50_000) + 1e-6)


def test_masks_are_noise_and_not_a_matter_of_train_and_eval() -> None:
    network = QNetwork(PICTURES, 3, hidden=(8,))
    before = set(network.state_dict())
    width = network.encoder.out_features
    add_dropout(network.encoder, 0.5)
    assert set(network.state_dict()) == before
    noise = Noise(network, seed=0, role="online", slots=2, layers=family("input"))
    obs = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    features = network.encoder(obs)
    assert features.shape == (4, width)
    network.eval()
    assert torch.equal(network.encoder(obs), features)
    with noise.mean():
        assert not torch.allclose(network.encoder(obs), features)


@pytest.mark.parametrize(("kind", "convolutions"), [("nature", 3), ("impala", 15)])
def test_batch_norm_follows_every_convolution(kind: str, convolutions: int) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(PICTURES, kind)
    add_batch_norm(encoder)
    obs = torch.randint(0, 256, (16, 3, 40, 40), dtype=torch.uint8)
    moments: list[tuple[float, float]] = []
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == sum(isinstance(m, nn.Conv2d) for m in encoder.modules()) == convolutions
    for norm in norms:
        norm.register_forward_hook(
            lambda _module, _args, y: moments.append((y.mean((0, 2, 3)).abs().max().item(), y.std().item()))
        )
    features = encoder(obs)
    assert features.shape == (16, encoder.out_features)
    assert len(moments) == convolutions  # each is used, once
    assert max(mean for mean, _ in moments) < 1e-4
    assert all(0.9 < std < 1.01 for _, std in moments)
    encoder.eval()
    torch.testing.assert_close(encoder(obs)[:1], encoder(obs[:1]), atol=1e-4, rtol=1e-4)
    encoder.train()
    assert not torch.allclose(encoder(obs)[:1], encoder(obs[:2])[:1], atol=1e-2)  # the exception to the contract


def test_bad_arguments() -> None:
    for options in ({"features": 0}, {"features": 3, "p": 1.0}, {"features": 3, "p": -0.1}):
        with pytest.raises(ConfigError, match="0 ≤ p < 1"):
            Dropout(**options)
    layer = Dropout(3)
    with pytest.raises(ConfigError, match="no noise yet"):
        layer(torch.zeros(2, 3))
    noise = Noise(layer, seed=0, role="test")
    with pytest.raises(ConfigError, match="does not fit"), noise.using(torch.tensor([0, 0, 0])):
        layer(torch.zeros(2, 3))
