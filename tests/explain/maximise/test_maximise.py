"""Activation maximisation: planted templates are found, known maxima reached, nothing where nothing is looked at."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.ndimage import gaussian_filter
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.maximise import blurred, maximise_activation, square_norm, total_variation
from jostle.explain.tracing import fingerprint, trace
from jostle.view import as_view

PICTURE = spaces.Box(0, 255, (3, 16, 16), np.uint8)


class Template(nn.Module):
    """Unit k puts out tanh of its template's product with the picture; the last unit nothing."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * 256, 3)
        self.out = nn.Linear(3, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(3, 768, generator=torch.Generator().manual_seed(seed)))
            self.hidden.weight[2] = 0
            self.hidden.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden((x.float() / 255 - 0.5).flatten(1)))


def view_of(net: nn.Module, space: Any = PICTURE) -> Any:
    return as_view(net, kind="logits", observation_space=space, action_space=spaces.Discrete(2))


def pictures(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)


def test_planted_templates_are_found(tmp_path: Path) -> None:
    net = Template()
    view = view_of(net)
    before = fingerprint(view)
    found = maximise_activation(
        view, pictures(20), "hidden", starts=3, iterations=60, rate=0.1, null=[view_of(Template(7))]
    )
    weights = net.hidden.weight.detach().numpy().reshape(3, 3, 16, 16)
    for unit in (0, 1):
        assert np.array_equal(found.best[unit] > 127.5, weights[unit] > 0) or (
            np.mean((found.best[unit] > 127.5) == (weights[unit] > 0)) > 0.99
        )
        most = 0.5 * np.abs(weights[unit]).sum()  # black or white everywhere
        assert found.achieved[unit] == pytest.approx(np.full(3, most), rel=0.03)
        assert found.agreement[unit] > 0.8
        assert found.gain[unit] > 10
        assert found.null[0, unit] > 10
    assert not found.achieved[2].any()
    assert np.isnan(found.gain[2]), "a unit that looks at nothing gains nothing"
    assert found.largest[0] == pytest.approx(found.data[0].max())
    assert found.best.min() >= 0
    assert found.best.max() <= 255
    assert found.pictures is not None
    assert found.pictures.shape == (3, 16, 16, 3)
    assert fingerprint(view) == before
    assert [p.suffix for p in found.save(tmp_path)] == [".json", ".png", ".npz"]


def test_batches_make_no_difference_and_targets_are_maximised() -> None:
    view = view_of(Template())
    how: dict[str, Any] = {"starts": 2, "iterations": 10, "jitter": 2, "blur": 0.5, "tv": 0.1, "l2": 0.1}
    whole = maximise_activation(view, pictures(5), "hidden", **how)
    small = maximise_activation(view, pictures(5), "hidden", batch=1, **how)
    one = maximise_activation(view, pictures(5), "hidden", units=[1], **how)
    np.testing.assert_allclose(whole.starts, small.starts, atol=0.05)
    np.testing.assert_allclose(whole.starts[1], one.starts[0], atol=0.05)
    target = maximise_activation(view, pictures(5), target="logit:1", starts=2, iterations=40)
    assert target.names == ["logit:1"]
    assert (target.achieved > target.largest[0]).all()


def test_penalties_pull_where_they_should() -> None:
    view = view_of(Template())
    how: dict[str, Any] = {"units": [0], "starts": 2, "iterations": 60}
    free = maximise_activation(view, pictures(5), "hidden", **how)
    grey = maximise_activation(view, pictures(5), "hidden", l2=1e6, **how)
    assert np.abs(grey.best - 127.5).mean() < 0.3 * np.abs(free.best - 127.5).mean()
    smooth = maximise_activation(view, pictures(5), "hidden", tv=3000.0, **how)
    assert np.abs(np.diff(smooth.best, axis=-1)).mean() < 0.5 * np.abs(np.diff(free.best, axis=-1)).mean()


def test_a_known_maximum_of_a_vector() -> None:
    """−(x₀ − 1)² − 2 (x₁ + ½)² within bounds: its top is known, and reached from every start."""

    class Bowl(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = -((x[:, 0] - 1) ** 2) - 2 * (x[:, 1] + 0.5) ** 2
            return torch.stack([y, torch.zeros_like(y)], 1)

    space = spaces.Box(-3, 3, (2,), np.float32)
    steps = np.random.default_rng(0).uniform(-3, 3, (6, 2)).astype(np.float32)
    found = maximise_activation(view_of(Bowl(), space), steps, target="logit:0", starts=5, iterations=200)
    assert found.starts[0] == pytest.approx(np.tile([1.0, -0.5], (5, 1)), abs=0.02)
    assert found.achieved == pytest.approx(np.zeros((1, 5)), abs=1e-3)
    found.plot()
    endless = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    beyond = maximise_activation(view_of(Bowl(), endless), steps - 5, target="logit:0", iterations=100)
    reach = (steps - 5).max(0) + 0.5 * np.ptp(steps, axis=0)
    assert (beyond.best <= reach + 1e-4).all(), "without bounds no more than half a range beyond the steps"


def test_regularisers_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0], [3.0, 1.0]]]])
    assert total_variation(x).item() == pytest.approx((9 + 0) / 2 + (1 + 4) / 2)
    assert square_norm(x, 1.0).item() == pytest.approx((1 + 0 + 4 + 0) / 4)
    picture = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    ours = blurred(picture, 1.0)
    theirs = gaussian_filter(picture.numpy(), (0, 0, 1, 1), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert blurred(picture, 0.0) is picture


def test_recurrent_agents(tmp_path: Path) -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip
    recorded = trace(agent, tmp_path / "t", episodes=2)
    found = maximise_activation(agent, recorded, "core", units=[0, 3], starts=2, iterations=8)
    assert found.best.shape == (2, 3, 32, 32) or found.best.shape == (2, 32, 32, 3)
    assert (found.achieved.max(1) >= found.largest - 0.02).all()


def test_bad_input() -> None:
    view = view_of(Template())
    x = pictures(3)
    for arguments, said in [
        ({"layer": "hiden"}, "did you mean hidden"),
        ({"layer": "hidden", "units": [3]}, "no unit 3"),
        ({"units": [1]}, "say of which by layer"),
        ({"target": "policy"}, "several numbers"),
        ({"layer": "hidden", "starts": 0}, "greater than 0"),
    ]:
        with pytest.raises(ConfigError, match=said):
            maximise_activation(view, x, **arguments)
    vector = view_of(nn.Linear(4, 2), spaces.Box(-1, 1, (4,), np.float32))
    with pytest.raises(ConfigError, match="sees no pictures: leave tv"):
        maximise_activation(vector, np.zeros((2, 4), np.float32), tv=1.0)
    acts = as_view(lambda obs: (obs[:, 0] > 0).astype(int), env="CartPole-v1")
    with pytest.raises(ConfigError, match="cannot be maximised"):
        maximise_activation(acts, np.zeros((2, 4), np.float32))
