"""An environment whose returns can be counted, and a policy that tells what it saw."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from jostle.stress import Condition, Perturbation, Suite
from jostle.view import PolicyView, Success, as_view

STEPS = 3
GREY = 100


class Scene(gym.Env[Any, int]):
    """A grey picture for three steps. The return is the episode's luck − ``loss`` + the number of actions 1.

    Luck depends on the level alone, which the episode draws from ``num_levels`` that begin with ``start_level``, or, if
    the environment lies, ``lie`` levels later.
    """

    observation_space = spaces.Box(0, 255, (32, 32, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(
        self,
        loss: float = 0.0,
        start_level: int = 0,
        num_levels: int = 1000,
        lie: int = 0,
        broken: bool = False,
        render_mode: Any = None,
    ) -> None:
        if broken:
            raise RuntimeError("broken")
        self.loss, self.first, self.count = loss, start_level + lie, num_levels

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        self.level = self.first + int(self.np_random.integers(self.count))
        return self._seen(), {"level_seed": self.level}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = self.t == STEPS
        reward = float(action) + over * (luck(self.level) - self.loss)
        return self._seen(), reward, over, False, {"level_seed": self.level, "lucky": luck(self.level) > 0}

    def _seen(self) -> Any:
        return np.full((32, 32, 3), GREY, np.uint8)


if "tests/Scene-v0" not in gym.registry:
    gym.register("tests/Scene-v0", entry_point=Scene)


def luck(level: int) -> float:
    """What a level pays: float32, as rewards are."""
    return float(np.float32(np.random.default_rng(level).normal()))


class Watchful(nn.Module):
    """Action values: action 1 where any pixel is not what the environment shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed = (x != GREY).flatten(1).any(1).float()
        return torch.stack([0.5 * torch.ones_like(changed), changed], 1)


def watchful(name: str = "watchful", **options: Any) -> PolicyView:
    """The view of that policy in that environment."""
    return as_view(Watchful(), kind="q", env="tests/Scene-v0", env_options=options, name=name)


SUITE = Suite(
    "three",
    (
        Condition("clean"),
        Condition("poorer", {"loss": 2.0}),
        Condition("bright", perturbation=Perturbation("brightness", 2)),
    ),
    "clean",
    Success("info", key="lucky"),
)
