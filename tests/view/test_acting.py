"""Views of functions, of objects with ``predict``, and of random play."""

import random
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.view import as_view
from jostle.view.acting import RandomView

OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def lean(obs: np.ndarray) -> np.ndarray:
    """To the side where the pole falls: it balances it."""
    return (obs[:, 2] + obs[:, 3] > 0).astype(np.int64)


class Predicts:
    def predict(self, obs: np.ndarray) -> np.ndarray:
        return lean(obs)


class Wide:
    """What it does is not what its `predict` says: `predict` counts."""

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        return 1 - lean(obs)

    def predict(self, obs: np.ndarray, deterministic: bool = True) -> tuple[np.ndarray, None]:
        return lean(obs), None


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (lean, "lean"),
        (lambda obs: lean(obs).tolist(), "policy"),
        (partial(lean), "policy"),
        (Predicts(), "Predicts"),
        (Predicts().predict, "Predicts"),
        (Wide(), "Wide"),
        (lambda obs: torch.as_tensor(lean(obs)), "policy"),
    ],
)
def test_whatever_acts_can_be_tested(policy: Any, name: str) -> None:
    view = as_view(policy, env="CartPole-v1")
    assert view.name == name
    assert not view.stochastic
    assert view.actor(rows=3).act(OBS).tolist() == lean(OBS).tolist()
    found = jostle.evaluate(view, 4)
    assert found.mean > 100, "of 500: it balances the pole"
    assert found.episodes == jostle.evaluate(view, 4, noise="mc:3").episodes, "without noise all modes are one"
    with pytest.raises(ConfigError, match=f"{name} gives actions and shows nothing else: give a torch.nn.Module"):
        view.distribution(OBS)


def test_pairs_are_no_batches_of_two() -> None:
    """Two environments: a pair is (actions, state) all the same."""
    view = as_view(lambda obs: (lean(obs), None), env="CartPole-v1")
    assert view.actor(rows=2).act(OBS[:2]).tolist() == lean(OBS[:2]).tolist()


class Counting:
    """Acts by how often each environment was seen since its episode began; the count is its state."""

    def predict(self, obs: Any, state: Any = None, episode_start: Any = None) -> tuple[np.ndarray, np.ndarray]:
        count = np.zeros(len(obs), np.int64) if state is None else state
        count = np.where(episode_start, 0, count + 1)
        return count % 2, count


def test_a_state_is_handed_on_and_told_where_episodes_begin() -> None:
    view = as_view(Counting(), env="CartPole-v1")
    actor = view.actor(rows=3)
    all_begin, one_begins = np.ones(3, np.bool_), np.array([False, True, False])
    assert actor.act(OBS, all_begin).tolist() == [0, 0, 0]
    assert actor.act(OBS, np.zeros(3, np.bool_)).tolist() == [1, 1, 1]
    assert actor.act(OBS, one_begins, np.array([1])).tolist() == [0, 0, 0], (
        "rows that do not count keep their state too"
    )
    assert actor.act(OBS, np.zeros(3, np.bool_)).tolist() == [1, 1, 1]
    assert view.actor(rows=3).act(OBS, all_begin).tolist() == [0, 0, 0], "each actor has a state of its own"


class Drawing:
    """Draws from every global generator; greedy it is still."""

    def predict(self, obs: Any, deterministic: bool = True) -> np.ndarray:
        if deterministic:
            return np.zeros(len(obs), np.int64)
        first = np.random.randint(2, size=len(obs))  # noqa: NPY002  # as other people's policies do
        return (first + torch.randint(2, (len(obs),)).numpy() + random.randrange(2)) % 2


def test_sampled_actions_come_from_the_seed_and_move_no_generator() -> None:
    view = as_view(Drawing(), env="CartPole-v1")
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    def drawn(seed: int) -> list[list[int]]:
        actor = view.actor(rows=3, seed=seed, sample=True)
        return [actor.act(OBS).tolist() for _ in range(20)]

    one, two, other = drawn(1), drawn(1), drawn(2)
    assert one == two
    assert one != other
    assert len({tuple(actions) for actions in one}) > 3, "the numbers go on from call to call"
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002
    assert len({tuple(view.actor(rows=3).act(OBS)) for _ in range(5)}) == 1
    with pytest.raises(ConfigError, match="lean gives no probabilities to sample from: use actions='greedy'"):
        jostle.evaluate(as_view(lean, env="CartPole-v1"), 2, actions="sampled")


class Masked(gym.Env[Any, int]):
    """Every action but one is illegal, and which one it is only the mask says."""

    observation_space, action_space = spaces.Box(0, 1, (1,), np.float32), spaces.Discrete(5)

    def __init__(self, render_mode: Any = None) -> None:
        self.legal = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._seen(0)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.legal)
        obs, info = self._seen(self.t + 1)
        return obs, reward, self.t == 4, False, info

    def _seen(self, t: int) -> tuple[Any, dict[str, Any]]:
        self.t, self.legal = t, int(self.np_random.integers(5))
        return np.zeros(1, np.float32), {"action_mask": np.arange(5) == self.legal}


def test_legal_actions_are_told_to_whom_they_concern() -> None:
    def told(obs: Any, action_masks: Any = None) -> np.ndarray:
        return action_masks.argmax(1)

    assert jostle.evaluate(as_view(told, env=Masked), 3).mean == 4
    assert jostle.evaluate(as_view(lambda obs: np.zeros(len(obs), int), env=Masked), 8).mean < 4
    env = jostle.make_env(Masked, 1)
    chance = RandomView("random", env.single_observation_space, env.single_action_space, env_source=Masked)
    assert jostle.evaluate(chance, 3).mean == 4, "random play is legal"


def test_random_play_is_uniform_and_seeded() -> None:
    view = RandomView("random", spaces.Box(-9, 9, (4,)), spaces.Discrete(4, start=2))
    actor = view.actor(rows=3, seed=5)
    taken = np.array([actor.act(OBS) for _ in range(2000)])
    assert np.unique(taken).tolist() == [2, 3, 4, 5]
    assert np.bincount(taken.ravel())[2:] / taken.size == pytest.approx(0.25, abs=0.03)  # five standard errors
    assert taken[0].tolist() == view.actor(rows=3, seed=5).act(OBS).tolist()
    assert taken[:9].tolist() != np.array([view.actor(rows=3, seed=6).act(OBS) for _ in range(9)]).tolist()


def test_functions_of_tensors_say_what_they_return() -> None:
    def logits(obs: torch.Tensor) -> torch.Tensor:
        side = obs[:, 2] + obs[:, 3]
        return torch.stack([-side, side], 1)

    view = as_view(logits, kind="logits", env="CartPole-v1")
    torch.testing.assert_close(view.distribution(OBS).p, logits(torch.tensor(OBS)).softmax(1))
    assert jostle.evaluate(view, 4).episodes == jostle.evaluate(as_view(lean, env="CartPole-v1"), 4).episodes
    q = as_view(logits, kind="q", env="CartPole-v1", name="mine")
    assert (q.name, q.q(OBS).shape) == ("mine", (3, 1, 2))


def test_a_module_that_predicts_acts_by_it() -> None:
    class Both(nn.Linear):
        def predict(self, obs: np.ndarray) -> np.ndarray:
            return lean(obs)

    view = as_view(Both(4, 2), env="CartPole-v1")
    assert view.actor(rows=3).act(OBS).tolist() == lean(OBS).tolist()
    assert as_view(Both(4, 2), env="CartPole-v1", kind="q").q(OBS).shape == (3, 1, 2)


def test_spaces_may_be_the_objects_own() -> None:
    class Knows(Predicts):
        observation_space = gym.make("CartPole-v1").observation_space
        action_space = spaces.Discrete(2)

    view = as_view(Knows())
    assert jostle.evaluate(view, 2, env="CartPole-v1").mean > 100


def test_dictionaries_arrive_as_the_environment_gives_them() -> None:
    def act(obs: Any) -> np.ndarray:
        assert {key: x.shape[1:] for key, x in obs.items()} == {"image": (7, 7, 3), "direction": ()}
        return np.full(len(obs["image"]), 2)

    options = {"engine": "gymnasium"}
    found = jostle.evaluate(as_view(act, env="MiniGrid-Empty-5x5-v0", env_options=options), 2)
    assert len(found.episodes) == 2


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (lambda obs: 1, r"policy must return actions \[2\] for a batch of 2 observations, not \[\]: let it return an"),
        (lambda obs: lean(obs)[:, None], r"must return actions \[2\] for a batch of 2 observations, not \[2, 1\]"),
        (lambda obs: obs[:, 9], r"policy failed on the observations \[2, 4\] of float32 \(IndexError: .*batch of them"),
        (lambda: 0, "policy failed on the observations .*TypeError"),
        (lambda obs: lean(obs) + 7, "the action [78] for environment 0 is outside the range 0 to 1.*mend the policy"),
        (lambda obs: lean(obs) * 0.5, "integers are needed"),
    ],
)
def test_what_does_not_act_is_told_how_to(policy: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        jostle.evaluate(as_view(policy, env="CartPole-v1"), 2)


def test_what_cannot_be_viewed() -> None:
    for policy in (object(), "ppo", 3, None, Predicts):
        with pytest.raises(ConfigError, match="is no policy that can be viewed"):
            as_view(policy, env="CartPole-v1")
    with pytest.raises(ConfigError, match=r"lean does not know its spaces: give as_view\(policy, env="):
        as_view(lean)
