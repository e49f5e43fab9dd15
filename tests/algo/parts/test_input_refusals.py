"""Pictures and settings that randomness in the input cannot work with, and two faults that nothing would tell."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.parts.auxiliary import INPUT
from jostle.errors import ConfigError
from jostle.nn.augment import make_input_layer
from jostle.nn.noise import Noise
from jostle.nn.pictures import Images


class Painter(gym.Env[Any, Any]):
    """Random observations of a space in episodes of five steps."""

    def __init__(self, space: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._step = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        return self.observation_space.sample(), 1.0, self._step == 5, False, {}


def picture(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


@pytest.mark.parametrize("kind", ["random-conv", "cutout", "grey", "inversion", "jitter", "shift"])
def test_layers_take_floats_only(kind: Any) -> None:
    """Bytes would cut φ down to whole numbers."""
    layer = make_input_layer(kind, Images(picture(8, 8, 3)))
    Noise(layer, seed=0, role="x").draw()
    with pytest.raises(ConfigError, match=r"float\(\) / 255"):
        layer(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("agent", "settings", "message"),
    [
        (jostle.PPO, {"input_noise": "grey", "input_use": "drac"}, "act with grey"),
        (jostle.DQN, {"input_noise": "grey", "input_use": "svea"}, "act with grey"),
        (jostle.DQN, {"input_noise": "random-conv", "input_use": "svea", "input_target": "same"}, "clean with svea"),
    ],
)
def test_settings_that_contradict_each_other(agent: Any, settings: dict[str, Any], message: str) -> None:
    """Grey is no noise, so an agent that acts on colours and learns grey would be evaluated on what it never saw."""
    with pytest.raises(ConfigError, match=message):
        agent.settings(**settings)


@pytest.mark.parametrize("agent", [jostle.PPO, jostle.DQN])
@pytest.mark.parametrize("settings", [{}, {"encoder": "impala", "input_noise": "random-conv"}])
def test_channels_in_the_middle_are_told(agent: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no picture"):
        agent(lambda: Painter(picture(64, 3, 64)), num_envs=2, **{"encoder": "nature"} | settings).learn(10)


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("ppo", {"dropout": 0.5, "feature_matching": 0.1}, "dropout.*other masks"),
        ("dqn", {"dropout": 0.5, "input_use": "svea"}, "dropout.*other masks"),
        ("ppo", {"dropout": 0.5, "input_use": "drac"}, "dropout.*other masks"),
        ("ppo", {"batch_norm": True, "input_use": "drac"}, "batch_norm.*statistics"),
        ("ppo", {"batch_norm": True, "feature_matching": 0.1}, "batch_norm.*statistics"),
        ("ppo", {"input_coef": 0.5}, "drac or svea"),
        ("ppo", {"input_target": "same"}, "only DQN"),
    ],
)
def test_settings_that_do_not_go_together(algorithm: str, settings: dict[str, Any], message: str) -> None:
    kind = {"ppo": jostle.PPO, "dqn": jostle.DQN}[algorithm]
    with pytest.raises(ConfigError, match=message):
        kind("jostle/ThemedCatch-v0", num_envs=2, input_noise="random-conv", **settings)  # type: ignore[operator]


def test_a_target_that_moves_slowly_has_the_newest_statistics() -> None:
    """It runs in evaluation mode: with the first statistics its values would be those of another network."""
    agent = jostle.DQN(
        "jostle/ThemedCatch-v0", num_envs=4, batch_norm=True, target_tau=0.5, warmup=20, batch_size=8, hidden=(8,)
    ).learn(80)
    pairs = zip(agent.network.named_buffers(), agent.target.named_buffers(), strict=True)
    moved = [(mine, theirs) for (name, mine), (_, theirs) in pairs if "running_mean" in name]
    assert moved
    for mine, theirs in moved:
        assert mine.abs().sum() > 0
        assert torch.equal(mine, theirs)


def test_feature_matching_heeds_the_flags_of_every_camera() -> None:
    """Rows in which one camera of two is clean are matched with both changed."""
    space = spaces.Dict({"eye": picture(16, 16, 3), "hand": picture(16, 16, 3)})
    agent = jostle.PPO(
        lambda: Painter(space), num_envs=16, num_steps=4, minibatches=1, encoder="impala", hidden=(8,),
        input_noise="random-conv", input_per="env", input_clean=0.5, feature_matching=0.1,
    )  # fmt: skip
    agent.learn(64)
    (term,) = agent.learner.aux
    slots = agent.rollout.draw[0, :, INPUT].long()
    flags = torch.stack([layer.clean[slots] for layer in term._layers])  # type: ignore[union-attr]
    assert (flags[0] != flags[1]).any()
    assert torch.equal(term._clean_rows(slots), flags.any(0))  # type: ignore[union-attr]
