"""Twin worlds: the planted unit and the planted part carry the change, and a policy that ignores it shows none."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from planted_nets import recall_view
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.ablate import Twins, patch_layers, patch_units, twin_worlds
from jostle.explain.tracing import fingerprint
from jostle.view import as_view

SPACE = spaces.Box(-20, 20, (3,), np.float32)


class Tinted(gym.Env[Any, Any]):
    """Two numbers of noise, and a colour that is the same all through."""

    def __init__(self, colour: float = 0.0, parts: bool = False) -> None:
        two = spaces.Box(-20, 20, (2,), np.float32)
        one = spaces.Box(-20, 20, (1,), np.float32)
        self.parts, self.colour = parts, colour
        self.observation_space = spaces.Dict({"body": two, "look": one}) if parts else SPACE
        self.action_space = spaces.Discrete(2)

    def _obs(self) -> Any:
        body = self.np_random.normal(size=2).astype(np.float32)
        look = np.array([self.colour], np.float32)
        return {"body": body, "look": look} if self.parts else np.concatenate([body, look])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        return self._obs(), 0.0, False, self.at == 5, {}


gym.register("Tinted-v0", Tinted, max_episode_steps=50)


class Sees(nn.Module):
    """Six hidden units: unit 4 sees the colour with some weight, the others the body."""

    def __init__(self, weight: float, parts: bool = False) -> None:
        super().__init__()
        self.parts = parts
        self.hidden = nn.Linear(3, 6)
        self.out = nn.Linear(6, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
            self.hidden.weight[:, 2] = 0
            self.hidden.weight[4] = torch.tensor([0.0, 0.0, weight])
            self.hidden.bias.zero_()
            self.out.bias.zero_()
            self.out.weight.copy_(torch.tensor([[1.0, -1, 0.5, 1, 2, 1], [0.0] * 6]))

    def forward(self, x: Any) -> torch.Tensor:
        if self.parts:
            x = torch.cat([x["body"], x["look"]], 1)
        return self.out(self.hidden(x.float()).tanh())


def twins(weight: float, parts: bool = False, colour: float = 1.5) -> Twins:
    view = as_view(Sees(weight, parts), kind="logits", env="Tinted-v0", env_options={"parts": parts})
    return twin_worlds(view, {"colour": colour}, episodes=8)


def test_the_unit_that_sees_the_colour_carries_the_change(tmp_path: Path) -> None:
    both = twins(1.0)
    assert both.differ == 1
    assert len(both) == 8 * 5
    assert np.array_equal(both.first[:, :2], both.second[:, :2]), "the same seed, and nothing else changed"
    before = fingerprint(both.view)
    units = patch_units(both, "hidden")
    assert units.found == [4]
    assert units.share == pytest.approx([0, 0, 0, 0, 1, 0], abs=1e-6)
    assert units.together == pytest.approx(1)
    layers = patch_layers(both)
    assert layers.parts == ["hidden", "out"]
    assert layers.share == pytest.approx([1, 1])
    assert np.abs(layers.null).max() < 1
    by_hand = 2 * np.tanh(1.5)  # the logits' difference
    shift = both.view.forward(both.second).logits - both.view.forward(both.first).logits
    assert shift[:, 0].numpy() == pytest.approx(np.full(40, by_hand), abs=1e-5)
    assert fingerprint(both.view) == before
    layers.save(tmp_path)
    units.save(tmp_path)
    small = patch_units(both, "hidden", units=[4, 1], batch=1)
    assert small.share == pytest.approx([1, 0], abs=1e-6)


def test_a_policy_that_ignores_the_colour_shows_nothing() -> None:
    both = twins(0.0)
    assert patch_units(both, "hidden").found == []
    found = patch_layers(both)
    assert found.share.tolist() == [0, 0]
    assert found.change_of_policy == pytest.approx(np.zeros(40), abs=1e-9)
    assert found.distance[0] == 0


def test_parts_of_an_observation() -> None:
    found = patch_layers(twins(1.0, parts=True))
    assert found.parts[:2] == ["observation.body", "observation.look"]
    assert found.share[:2] == pytest.approx([0, 1], abs=1e-6)


def test_what_is_remembered_and_what_is_seen() -> None:
    """The cue is shown once: afterwards the other cue is in the memory alone."""
    view = recall_view()
    cue = np.array([[1.0, 1], [1, 1], [0, 0], [0, 0]], np.float32)
    first, second = cue.copy(), cue.copy()
    second[:2, 0] = -1  # the steps at which it is shown
    h = torch.zeros(1, 4, 4)
    one, other = h.clone(), h.clone()
    one[0, 2:, 0], other[0, 2:, 0] = 1.0, -1.0
    step = np.array([0, 0, 1, 1])

    def some(rows: list[int]) -> Twins:
        states = one[:, rows], other[:, rows]
        return Twins(view, "recall", "cue", first[rows], second[rows], states, np.arange(2), step[rows], 0.5)

    shown, later = patch_layers(some([0, 1]), ["core"]), patch_layers(some([2, 3]), ["core"])
    assert shown.parts == ["memory", "observation", "core"]
    assert shown.share == pytest.approx([0, 1, 1], abs=1e-4)
    assert later.share == pytest.approx([1, 0, 1], abs=1e-4)


def test_themed_games_and_masses(tmp_path: Path) -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=1, env_options={"themes": [0]},
    )  # fmt: skip
    both = twin_worlds(agent, {"themes": [5]}, episodes=4)
    assert both.differ == 1
    assert len(both) == 4 * 7
    assert not both.states[0][:, :4].any()
    found = patch_layers(both)
    assert found.parts == ["memory", "observation", "encoder", "actor", "core", "policy"]
    assert found.share[-1] == pytest.approx(1, abs=1e-4)
    found.plot()
    pendulum = jostle.PPO("jostle/Pendulum-v1", num_envs=2, num_steps=4, hidden=(8,), seed=1)
    heavy = twin_worlds(pendulum, {"domain": {"rod.mass": 3.0}}, episodes=3, max_steps=10)
    assert heavy.differ == pytest.approx(0.9), "all but the first observations"
    assert np.array_equal(heavy.first[:3], heavy.second[:3])
    units = patch_units(heavy, "actor.0")
    assert units.share.sum() == pytest.approx(1, abs=0.3), "nearly linear for a small change"


def test_bad_input() -> None:
    view = as_view(Sees(1.0), kind="logits", env="Tinted-v0")
    for arguments, said in [
        ({"change": {}}, "differ in one thing"),
        ({"change": {"colour": 0.0}}, "nothing that Sees sees or remembers differs"),
        ({"change": {"colour": 1.0}, "episodes": 1}, "give two at least"),
    ]:
        with pytest.raises(ConfigError, match=said):
            twin_worlds(view, **arguments)
    with pytest.raises(ConfigError, match="did you mean hidden"):
        patch_units(twins(1.0), "hiden")
    with pytest.raises(ConfigError, match="no unit 6"):
        patch_units(twins(1.0), "hidden", units=[6])
