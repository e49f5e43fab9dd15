"""Twin worlds on MuJoCo: the same seed with another mass, and where that enters the decision."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.ablate import patch_layers, patch_units, twin_worlds
from jostle.view import as_view

pytest.importorskip("mujoco")


class Sees(nn.Module):
    """Six hidden units; only unit 2 reaches the action, by the angle's speed, by the cart's place, or by nothing."""

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 1)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
            self.hidden.weight[2] = 0
            if at is not None:
                self.hidden.weight[2, at] = 1.0
            self.out.weight.zero_()
            self.out.weight[0, 2] = 1.0
            self.hidden.bias.zero_()
            self.out.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x.float()).tanh())


def pole(at: int | None) -> Any:
    return as_view(Sees(at), kind="mean", env="jostle/InvertedPendulum-v5")


def test_a_heavier_pole_enters_by_the_unit_that_sees_its_speed() -> None:
    both = twin_worlds(pole(3), {"domain": {"pole.mass": 40.0}}, episodes=8, max_steps=8)
    assert both.env == "jostle/InvertedPendulum-v5"
    first = both.step == 0
    assert np.array_equal(both.first[first], both.second[first]), "the same seed: masses show from the second step on"
    later = both.step > 2
    assert (both.first[later] != both.second[later]).any(1).all()
    units = patch_units(both, "hidden")
    assert units.found == [2]
    assert units.share == pytest.approx([0, 0, 1, 0, 0, 0], abs=1e-6)
    layers = patch_layers(both)
    assert layers.parts == ["hidden", "out"]
    assert layers.share == pytest.approx([1, 1], abs=1e-6)
    assert np.abs(layers.null).max() < 1
    by_hand = np.tanh(both.second[:, 3]) - np.tanh(both.first[:, 3])
    assert layers.change_of_policy == pytest.approx(by_hand**2 / 2, abs=1e-6)


def test_a_policy_that_ignores_what_moves_shows_nothing() -> None:
    both = twin_worlds(pole(None), {"domain": {"pole.mass": 40.0}}, episodes=4, max_steps=6)
    assert both.differ > 0.5
    assert patch_units(both, "hidden").found == []
    assert patch_layers(both).share.tolist() == [0, 0]


def test_an_agent_with_memory_on_another_body() -> None:
    agent = jostle.PPO(
        "jostle/Hopper-v5", num_envs=2, num_steps=4, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=1, domain={"torso.mass": {"uniform": [2.0, 6.0]}},
    )  # fmt: skip
    both = twin_worlds(agent, {"domain": {"torso.mass": 12.0}}, episodes=3, max_steps=6)
    found = patch_layers(both)
    assert found.parts[:2] == ["memory", "observation"]
    assert found.share[-1] == pytest.approx(1, abs=1e-3)
    assert found.distance[2:].max() > 0
    nominal = twin_worlds(agent, {"domain": {"torso.mass": 12.0}}, episodes=3, max_steps=6)
    assert np.array_equal(both.second, nominal.second), "the same worlds again, whatever the training randomised"


def test_looks_of_objects_in_pictures() -> None:
    class Red(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            red = x[:, 0].float().mean((1, 2)) / 255
            return torch.stack([red, *[0 * red] * 5], 1)

    view = as_view(Red(), kind="mean", env="jostle/Reach-v0", env_options={"observation": "picture", "size": 32})
    both = twin_worlds(view, {"domain": {"target.rgba.r": 0.0}}, episodes=3, max_steps=3)
    assert set(both.objects) >= {"target", "arm", "table"}
    moved = (both.first != both.second).any(1)
    assert moved.any((1, 2)).all()
    near = both.objects["target"]
    assert (moved & near).sum() >= 0.8 * moved.sum(), "what changes is the target, and its light on its surroundings"
    with pytest.raises(ConfigError, match="did you mean"):
        twin_worlds(view, {"domain": {"targt.rgba.r": 0.0}}, episodes=2)
