"""Episodes by the rules: the mask reaches whoever acts, in evaluation, the stress test, videos and random play."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import jostle
from jostle.bonus import RND, warm_up
from jostle.envs import make_env
from jostle.stress import Condition, Suite
from jostle.view import as_view, play
from jostle.view.sb3 import SB3View


class Rooms(gym.Env[Any, Any]):
    """Of five actions the one that the step says and its neighbour are legal; pictures; ten steps."""

    observation_space = spaces.Box(0, 255, (24, 24, 3), np.uint8)
    action_space = spaces.Discrete(5)
    render_mode = "rgb_array"
    illegal = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.render(), {"action_mask": self._mask()}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Rooms.illegal += int(not self._mask()[action])
        self.t += 1
        return self.render(), 1.0, self.t == 10, False, {"action_mask": self._mask() * (self.t < 10)}

    def render(self) -> Any:
        return np.full((24, 24, 3), 20 * self.t, np.uint8)

    def _mask(self) -> Any:
        return np.isin(np.arange(5), (self.t % 5, (self.t + 1) % 5)).astype(np.int8)


class Plain(nn.Module):
    """The same logits or values everywhere."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.tensor([3.0, 1.0, 2.0, 0.0, 1.5]).expand(len(obs), 5)


@pytest.fixture(scope="module")
def ppo() -> jostle.PPO:
    settings: dict[str, Any] = {"num_steps": 8, "minibatches": 1, "epochs": 1, "hidden": (8,)}
    return jostle.PPO(Rooms, num_envs=2, encoder="flat", **settings)


def test_modules_play_by_the_rules() -> None:
    for kind in ("logits", "q"):
        view = as_view(Plain(), kind=kind, env=Rooms)
        Rooms.illegal = 0
        for more in ({}, {"epsilon": 0.7}, *([{"actions": "sampled"}] if kind == "logits" else [])):
            assert jostle.evaluate(view, 5, num_envs=3, **more).mean == 10  # type: ignore[arg-type]
        assert Rooms.illegal == 0


def test_the_stress_test_plays_by_the_rules(ppo: jostle.PPO) -> None:
    Rooms.illegal = 0
    result = jostle.stress_test(ppo, suite=Suite("own", (Condition("seen"),), "seen"), episodes=4, num_envs=3)
    assert result.complete
    assert Rooms.illegal == 0


def test_videos_are_played_by_the_rules(ppo: jostle.PPO, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    from jostle.watch import record

    Rooms.illegal = 0
    assert record(ppo, tmp_path / "game.mp4", episodes=1, actions="sampled").returns == [10.0]
    assert Rooms.illegal == 0


def test_random_play_before_training_goes_by_the_rules() -> None:
    Rooms.illegal = 0
    env = make_env(Rooms, 3)
    bonus = RND(env.single_observation_space, 3, features=4)
    warm_up(bonus, env, 40, seed=0)
    assert Rooms.illegal == 0


class Noting:
    """Acts as it likes and keeps what it is given."""

    disagreement = None

    def __init__(self) -> None:
        self.masks: list[Any] = []

    def act(self, obs: Any, start: Any = None, among: Any = None, *mask: Any) -> Any:
        self.masks.append(mask)
        return np.zeros(len(obs), np.int64)


def test_the_mask_handed_on_is_that_of_the_observation() -> None:
    actor = Noting()
    play(actor, make_env(Rooms, 2), 2)
    assert len(actor.masks) == 10
    for t, (mask,) in enumerate(actor.masks):
        assert mask.tolist() == [[a in (t % 5, (t + 1) % 5) for a in range(5)]] * 2
    other = Noting()
    play(other, make_env("CartPole-v1", 2, engine="gymnasium"), 2)
    assert set(other.masks) == {()}  # who knows no masks plays where there are none


def test_models_that_know_masks_are_given_them() -> None:
    """MaskablePPO's `predict` takes ``action_masks``, those of Stable-Baselines3 itself do not."""

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.given: list[dict[str, Any]] = []

        def predict(self, obs: Any, deterministic: bool, **how: Any) -> Any:
            self.given.append(how)
            return np.zeros(len(obs), np.int64), None

        def set_training_mode(self, mode: bool) -> None: ...

    class MaskablePPO:
        policy, observation_space, action_space = Policy(), Rooms.observation_space, Rooms.action_space

        def get_vec_normalize_env(self) -> None: ...

    class PPO(MaskablePPO): ...

    mask, obs = np.arange(10).reshape(2, 5) % 3 > 0, np.zeros((2, 24, 24, 3), np.uint8)
    for model, among, expected in (
        (MaskablePPO(), None, mask),
        (MaskablePPO(), np.array([1]), mask[1:]),
    ):
        view = SB3View(model)
        view.actor(rows=2).act(obs, None, among, mask)
        view.actor(rows=2).act(obs)
        first, second = view.module.given  # type: ignore[misc]
        assert np.array_equal(first["action_masks"], expected)  # type: ignore[index]
        assert second == {}
    MaskablePPO.__name__ = "Base"
    view = SB3View(PPO())
    view.actor(rows=2).act(obs, None, None, mask)
    assert view.module.given == [{}]
