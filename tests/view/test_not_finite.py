"""Policies whose logits, values or actions are no numbers end an evaluation or a stress test with a sentence."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.nn.finite import require_finite
from jostle.stress import Condition, Suite, stress_test
from jostle.view import as_view, play

SUITE = Suite("s", (Condition("seen"),), "seen")


class Steps(gym.Env[Any, Any]):
    """Four steps; the observation counts them."""

    observation_space = spaces.Box(0, 9, (2,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.full(2, self.t, np.float32), 1.0, self.t >= 4, False, {}


class Driven(Steps):
    action_space = spaces.Box(-2, 2, (2,), np.float32)


class Pairs(Steps):
    action_space = spaces.MultiDiscrete([2, 3])


class Broken(nn.Module):
    """Puts out a number instead of its last output in the third step."""

    def __init__(self, outputs: int, bad: float) -> None:
        super().__init__()
        self.outputs, self.bad = outputs, bad

    def forward(self, obs: Tensor) -> Tensor:
        out = torch.zeros(len(obs), self.outputs)
        out[:, -1] = torch.where(obs[:, 0] == 2, self.bad, 0.0)
        return out


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("kind", "env", "outputs"), [("logits", Steps, 3), ("q", Steps, 3), ("mean", Driven, 2)])
def test_a_module_that_puts_out_no_numbers(kind: Any, env: Any, outputs: int, bad: float) -> None:
    view = as_view(Broken(outputs, bad), kind=kind, env=env, name="mine")
    with pytest.raises(ConfigError, match=r"of mine are not finite .* in row 0, action 3") as refused:
        jostle.evaluate(view, 2)
    assert "Take an earlier checkpoint" in str(refused.value)


def test_logits_of_minus_infinity_are_impossible_actions() -> None:
    view = as_view(Broken(3, -np.inf), kind="logits", env=Steps)
    assert jostle.evaluate(view, 2, actions="sampled").mean == 4
    everything = as_view(Broken(1, -np.inf), kind="q", env=type("One", (Steps,), {"action_space": spaces.Discrete(1)}))
    with pytest.raises(ConfigError, match=r"action values of .* are not finite"):
        jostle.evaluate(everything, 2)


@pytest.mark.parametrize("noise", ["mean", "sampled", "mc:2"])
@pytest.mark.parametrize(
    ("kind", "env"), [(jostle.DQN, Steps), (jostle.PPO, Steps), (jostle.PPO, Driven), (jostle.PPO, Pairs)]
)
def test_an_agent_whose_weights_hold_nan(kind: Any, env: Any, noise: str) -> None:
    agent = kind(env, num_envs=2, noisy="factorised")
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.fill_(np.nan)
    for tried in (
        lambda: jostle.evaluate(agent, 3, noise=noise),
        lambda: jostle.evaluate(as_view(agent.network, env=env), 3, noise=noise),
        lambda: jostle.evaluate(agent, 3, noise=noise, actions="greedy" if kind is jostle.DQN else "sampled"),
        lambda: agent.predict(np.zeros(2, np.float32), noise=noise),
        lambda: stress_test(agent, SUITE, episodes=2, noise=noise),
    ):
        with pytest.raises(ConfigError, match="are not finite"):
            tried()


class Acts:
    disagreement: Any = None

    def __init__(self, action: Any) -> None:
        self.action = np.asarray(action)

    def act(self, obs: Any, start: Any = None, among: Any = None) -> Any:
        return np.repeat(self.action[None], len(obs), 0)


@pytest.mark.parametrize(
    ("env", "action", "what"),
    [
        (Driven, np.float32([0, np.nan]), "nan for environment 0"),
        (Driven, np.float32([0, 3]), "3.0 for environment 0 is outside"),
        (Driven, np.float32([0]), "shape"),
        (Steps, 3, "3 for environment 0 is outside the range 0 to 2"),
        (Steps, 1.5, "integers are needed"),
        (Pairs, [1, 3], "component"),
    ],
)
def test_actions_that_the_space_does_not_hold_are_the_policys(env: Any, action: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as refused:
        play(Acts(action), jostle.make_env(env, 2), 2)
    assert str(refused.value).startswith("the policy: ")
    assert "at step 1" in str(refused.value)
    assert "mend the policy" in str(refused.value)


def test_what_is_finite_passes_and_the_row_is_named() -> None:
    out = torch.zeros(2, 4, 3)
    require_finite(out, "p", "logits", 1)
    out[1, 2, 0] = torch.nan
    with pytest.raises(ConfigError, match=r"the logits of p are not finite \(nan in row 2, action 7 of"):
        require_finite(out, "p", "logits", 7, impossible=True)
    out[1, 2, 0] = -torch.inf
    require_finite(out, "p", "logits", 7, impossible=True)
    with pytest.raises(ConfigError, match="-inf in row 2"):
        require_finite(out, "p", "logits", 7)
