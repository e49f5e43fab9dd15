"""What interventions say of made-up claims and effects: intervals, nulls, chances, and when one has failed."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.explain.asking import Subject
from jostle.explain.results.similarity import spearman
from jostle.explain.sanity.changes import ChangedObjects
from jostle.explain.sanity.intervening import EXCHANGES, Intervention, _on_pixels
from jostle.explain.tracing import Steps
from jostle.view import as_view

RNG = np.random.default_rng(0)
EPISODE = np.repeat(np.arange(12), 4)
EFFECT = np.repeat(RNG.uniform(1, 2, (1, 12)), 4, axis=1) + RNG.normal(size=(1, 48)) * 0.01


def made(claim: Any, alone: Any = None, even: Any = None, effect: Any = EFFECT) -> Intervention:
    ones = np.ones_like(effect)
    alone, even = (ones if each is None else each for each in (alone, even))
    return Intervention("m", "t", "e", ["ball"], ["moved"], effect, ones, claim, alone, even, EPISODE)


def noisy(much: float, seed: int) -> Any:
    return EFFECT + much * np.random.default_rng(seed).normal(size=EFFECT.shape)


def test_the_interval_is_over_episodes() -> None:
    found = made(noisy(0.2, 1)).agreement
    assert found.point == pytest.approx(spearman(noisy(0.2, 1), EFFECT))
    assert found.low < found.point - 0.02
    assert found.high > found.point + 0.02


def test_the_null_is_the_map_without_a_policy_that_agrees_more() -> None:
    good, bad = noisy(0.1, 2), noisy(2.0, 3)
    for alone, even in ((good, bad), (bad, good)):
        found = made(noisy(0.2, 1), alone, even)
        assert found.null.point == pytest.approx(spearman(good, EFFECT))
        assert found.beyond.point == pytest.approx(found.agreement.point - found.null.point)


def test_claims_are_exchanged_between_episodes_and_chance_is_never_nothing() -> None:
    assert made(EFFECT).p == pytest.approx(1 / (1 + EXCHANGES)), "the true claims are one of them"
    assert made(RNG.normal(size=EFFECT.shape)).p > 0.05
    assert made(EFFECT, effect=np.zeros_like(EFFECT)).p == 1


def test_it_fails_where_it_is_for_sure_no_better_and_not_where_nobody_knows() -> None:
    assert made(noisy(0.3, 1), alone=noisy(0.3, 2)).failed is None
    assert (
        made(noisy(0.3, 1), alone=noisy(0.3, 2)).beyond.low < 0 < made(noisy(0.3, 1), alone=noisy(0.3, 2)).beyond.high
    )
    assert "follows a map without a policy rather than it" in str(made(noisy(0.5, 1), alone=EFFECT).failed)
    assert "does not do what it says" in str(made(-EFFECT).failed)
    assert made(EFFECT, effect=np.zeros_like(EFFECT)).failed is None, "the policy minds nothing"


def test_claims_are_of_absolute_maps() -> None:
    values, pixels = np.array([[[1.0, -3.0], [0.0, 4.0]]]), np.zeros((1, 1, 2, 2), bool)
    pixels[0, 0, 0] = True
    changed: Any = SimpleNamespace(pixels=pixels)
    assert _on_pixels(values, changed).tolist() == [[4 / 8]]
    assert _on_pixels(np.zeros((1, 2, 2)), changed).tolist() == [[0]]


class Seen(nn.Module):
    """Remembers the brightest pixel that it was ever shown."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.most = nn.Parameter(torch.ones(2)), 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, float(x.max()))
        return x.float().mean((1, 2, 3))[:, None] * self.w


def test_what_is_put_elsewhere_stays_a_picture() -> None:
    module, space = Seen(), spaces.Box(0, 255, (1, 20, 20), np.uint8)
    view = as_view(module, observation_space=space, action_space=spaces.Discrete(2), kind="logits")
    first = np.full((1, 1, 20, 20), 250, np.uint8)
    first[..., :4, :4] = 100
    second = first.copy()
    second[..., :4, :4] = 200  # elsewhere it would be 350
    one, two = (Subject(view, Steps(obs, episode=np.zeros(1, np.int64)), "logit:0") for obs in (first, second))
    pixels = np.zeros((1, 1, 20, 20), bool)
    pixels[..., :4, :4] = True
    changed = ChangedObjects("e", ["ball"], ["brighter"], one, [two], pixels)
    assert changed.effect("logit:0")[0, 0] == pytest.approx(100 * 16 / 400, rel=1e-4)
    assert 0 < changed.elsewhere("logit:0")[0, 0] < changed.effect("logit:0")[0, 0], (
        "what is bright can become little more"
    )
    assert module.most <= 255
