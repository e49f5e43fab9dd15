"""The last observations and actions of each episode, against a slow list of everything that happened."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.envs import make_env, random_actions
from jostle.errors import CheckpointError, ConfigError

KEY = "domain_history"


class Buttons(gym.Env[Any, Any]):
    """Numbers in two keys, a picture, a category, and what is privileged; three choices of actions, from 1 on."""

    def __init__(self, actions: spaces.Space[Any] | None = None, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Dict(
            {
                "speed": spaces.Box(-9, 9, (2,), np.float64),
                "angle": spaces.Box(-9, 9, (), np.float32),
                "picture": spaces.Box(0, 255, (4, 4), np.uint8),
                "kind": spaces.Discrete(3),
                "privileged": spaces.Box(-9, 9, (2,), np.float32),
            }
        )
        self.action_space = spaces.MultiDiscrete([2, 3], start=[1, -1]) if actions is None else actions
        self.render_mode = render_mode

    def _see(self) -> Any:
        return {key: space.sample() for key, space in self.observation_space.spaces.items()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        u = self.np_random.random()
        return self._see(), 0.0, u < 0.15, u > 0.85, {}


def vector(obs: Any) -> np.ndarray:
    """What of a batch of observations is remembered."""
    if not isinstance(obs, dict):
        return obs
    keys = [k for k in sorted(obs) if k in ("obs", "speed", "angle")]
    return np.concatenate([obs[k].reshape(len(obs[k]), -1) for k in keys], 1)


def encoded(actions: np.ndarray, space: spaces.Space[Any]) -> np.ndarray:
    """Indicators of choices; bounded numbers from −1 to 1."""
    if isinstance(space, spaces.Box):
        return 2 * (actions - space.low) / (space.high - space.low) - 1
    if isinstance(space, spaces.Discrete):
        return np.eye(space.n)[actions - space.start]
    if isinstance(space, spaces.MultiBinary):
        return np.concatenate([np.eye(2)[actions[:, i]] for i in range(space.n)], 1)
    return np.concatenate([np.eye(n)[actions[:, i] - space.start[i]] for i, n in enumerate(space.nvec)], 1)


def slow(seen: list[np.ndarray], done: list[np.ndarray], start: list[np.ndarray], k: int) -> np.ndarray:
    """[T + 1, N, k, E] from observations [T + 1] × [N, D], actions [T] × [N, A] and flags of first rows."""
    rows, width = len(seen[0]), seen[0].shape[1] + done[0].shape[1]
    out = np.zeros((len(seen), rows, k, width))
    for n in range(rows):
        begin = 0
        for t in range(len(seen)):
            if start[t][n]:
                begin = t
            for age in range(1, k + 1):
                if t - age >= begin:
                    out[t, n, k - age] = np.concatenate([seen[t - age][n], done[t - age][n]])
    return out


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "truncated": ("jostle/Pendulum-v1", {"max_episode_steps": 7}),
    "terminated": ("jostle/CartPole-v1", {}),
    "keys-and-choices": (Buttons, {}),
    "binary": (lambda: Buttons(spaces.MultiBinary(3)), {}),
    "bounded": (lambda: Buttons(spaces.Box(np.float32([0, -4]), np.float32([10, 2]))), {}),
    "from-two": (lambda: Buttons(spaces.Discrete(3, start=2)), {}),
}


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("name", CASES)
def test_the_past_is_what_happened(name: str, k: int) -> None:
    source, options = CASES[name]
    env = make_env(source, 4, seed=3, domain_history=k, **options)
    rng = np.random.default_rng(0)
    obs, info = env.reset()
    told, seen, start, done = [obs[KEY]], [vector(obs)], [info["start"]], []
    for _ in range(60):
        actions = random_actions(env.single_action_space, 4, rng)
        obs, _, terminated, truncated, info = env.step(actions)
        told.append(obs[KEY])
        seen.append(vector(obs))
        start.append(info["start"])
        done.append(encoded(actions, env.single_action_space))
        assert obs[KEY] in env.observation_space[KEY]
    np.testing.assert_allclose(np.stack(told), slow(seen, done, start, k), rtol=1e-6, atol=1e-6)
    assert sum(s.sum() for s in start[1:]) > 5, "episodes must end"
    ended = terminated | truncated
    assert told[-1][~np.asarray(start[-1])].any() or ended.any()
    env.close()


def test_a_reset_forgets() -> None:
    env = make_env("jostle/Pendulum-v1", 2, domain_history=3)
    env.reset()
    env.step(np.ones((2, 1), np.float32))
    assert not env.reset()[0][KEY].any()


def test_a_snapshot_goes_on_and_one_of_another_past_is_refused() -> None:
    env = make_env("jostle/Pendulum-v1", 3, seed=1, domain_history=4)
    env.reset()
    actions = np.random.default_rng(0).uniform(-2, 2, (12, 3, 1)).astype(np.float32)
    for a in actions[:6]:
        env.step(a)
    state = env.state_dict()
    went = [env.step(a)[0][KEY] for a in actions[6:]]
    env.reset()
    env.load_state_dict(state)
    np.testing.assert_array_equal([env.step(a)[0][KEY] for a in actions[6:]], went)
    with pytest.raises(CheckpointError, match="another domain_history"):
        make_env("jostle/Pendulum-v1", 3).load_state_dict(state)


@pytest.mark.parametrize(
    ("env", "options", "says"),
    [
        ("jostle/Pendulum-v1", {"domain_history": -1}, "give the number of steps to remember, 0 .none. to 1000"),
        ("jostle/Pendulum-v1", {"domain_history": 2000}, "domain_history=2000 cannot be used"),
        ("jostle/Pendulum-v1", {"domain_history": 2.5}, "domain_history=2.5 cannot be used"),
        ("jostle/Pendulum-v1", {"domain_history": True}, "domain_history=True cannot be used"),
        ("jostle/ThemedCatch-v0", {"domain_history": 4}, "remembers vectors of real numbers, and the observations of"),
    ],
)
def test_what_cannot_be_remembered_is_refused(env: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_env(env, 2, **options)


def test_a_key_that_is_there_already_is_refused() -> None:
    class Own(Buttons):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Dict({**self.observation_space.spaces, KEY: spaces.Box(-1, 1, (2,))})

    with pytest.raises(ConfigError, match="under the key 'domain_history' already: make it with domain_history=0"):
        make_env(Own, 1, domain_history=2)


def test_nothing_is_told_unless_asked() -> None:
    assert make_env("jostle/Pendulum-v1", 1, domain_history=0).single_observation_space.shape == (3,)
    assert "domain_history" not in jostle.make_env("jostle/Pendulum-v1", 1, domain_history=0).made_with
