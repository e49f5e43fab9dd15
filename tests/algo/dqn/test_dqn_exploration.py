"""Which actions are random, under which noise the others are taken, and by what the optimisers step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.dqn.learner import ACT, LEARN


class Still(gym.Env[Any, int]):
    """Always the same observation; environment i's episodes last ``first + i`` steps, or for ever."""

    observation_space, action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(4)

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.length, self.t = self.first + seed if seed is not None and self.first else getattr(self, "length", 0), 0
        return np.ones(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.ones(2, np.float32), 0.0, self.t == self.length, False, {}


def make(env: str | Callable[[], Any] = Still, **settings: Any) -> jostle.DQN:
    small: dict[str, Any] = {"num_envs": 4, "hidden": (8,), "batch_size": 8, "warmup": 10**6, "replay_size": 20_000}
    return jostle.DQN(env, **(small | settings))


# ---- random actions ----


def taken(agent: jostle.DQN, rows: int) -> np.ndarray[Any, Any]:
    """The actions [rows, N] of the next steps."""
    for _ in range(rows):
        agent.advance()
    return agent.replay.action[agent.replay.filled - rows : agent.replay.filled]


def test_each_environment_tosses_a_coin_of_its_own_for_an_action_of_its_own() -> None:
    envs, rows, epsilon = 64, 60, 0.3
    agent = make(num_envs=envs, epsilon_start=epsilon, epsilon_end=epsilon, warmup_random=False)
    actions = taken(agent, rows)
    other = actions != agent.predict(np.ones(2, np.float32))[0]
    expected = epsilon * 3 / 4  # a random action is the best one as often as each of the others
    assert abs(other.mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / other.size)
    a_step, a_column = other.mean(1), other.mean(0)
    assert a_step.max() < 0.6, "not all at once"
    assert a_column.min() > 0, "each now and then"
    assert min(len(np.unique(row)) for row in actions) > 2, "nor all the same one"
    seen = np.bincount(actions[other], minlength=4) / other.sum()
    assert (abs(seen[seen > 0] - 1 / 3) < 0.1).all()
    assert (seen > 0).sum() == 3


def test_in_the_warm_up_environments_do_not_act_alike() -> None:
    actions = taken(make(num_envs=16), 40)
    assert min(len(np.unique(row)) for row in actions) > 1
    assert (abs(np.bincount(actions.ravel()) / actions.size - 1 / 4) < 0.08).all()


def test_epsilon_falls_by_environment_steps() -> None:
    """Not by updates, of which there are far fewer, nor by rows."""
    agent = make(
        warmup=0, replay_ratio=0.2, learning_rate=1e-9, epsilon_start=1.0, epsilon_end=0.0, epsilon_steps=200
    )  # fmt: skip
    falling, fallen = taken(agent, 50), taken(agent, 30)
    assert 0 < agent.updates < 20
    best = agent.predict(np.ones(2, np.float32))[0]
    assert (falling[:10] != best).mean() > 0.5
    assert (fallen == best).all()
    assert agent.drain_metrics()["charts/epsilon"] == 0.0
    half = make(warmup=0, replay_ratio=0.2, epsilon_start=1.0, epsilon_end=0.0, epsilon_steps=200)
    taken(half, 26)
    assert half.drain_metrics()["charts/epsilon"] == 0.5  # of the last action, which was taken after 100 steps


def test_acting_and_replay_have_generators_of_their_own() -> None:
    first, second = (make(seed=seed).state_dict()["rng"] for seed in (0, 1))
    states = [rng[name]["state"]["state"] for rng in (first, second) for name in ("act", "replay")]
    assert len(set(states)) == 4


# ---- noise that is held for an episode ----


def acting_noise(agent: jostle.DQN) -> torch.Tensor:
    """[slots, …], of the first noisy layer."""
    return next(iter(agent.noise.layers.values())).noise[ACT:].clone()


def noisy(env: str | Callable[[], Any] = Still, **settings: Any) -> jostle.DQN:
    return make(env, noisy="factorised", noise_resample="episode", warmup_random=False, **settings)


def test_an_episode_that_begins_redraws_the_noise_of_its_environment_alone() -> None:
    agent, together = noisy(lambda: Still(2)), 0
    for _ in range(40):
        before = acting_noise(agent)
        agent.advance()
        changed = (acting_noise(agent) != before).any(1)
        assert changed.tolist() == agent._start.tolist()
        together += int(agent._start.any() and not agent._start.all())
    assert together > 15, "episodes must end apart"


def test_a_shared_draw_is_new_whenever_an_episode_begins() -> None:
    agent, apart = noisy(lambda: Still(2), noise_per_env=False), 0
    for _ in range(30):
        before = acting_noise(agent)
        agent.advance()
        assert (acting_noise(agent) != before).any() == agent._start.any()
        apart += int(agent._start.any() and not agent._start.all())
    assert apart > 10


@pytest.mark.parametrize("per_env", [True, False])
def test_episodes_that_are_begun_by_force_get_new_noise(per_env: bool, tmp_path: Path) -> None:
    """By somebody who resets the environments, and by a resume where episodes cannot go on."""
    agent = noisy(noise_per_env=per_env)
    agent.advance()
    held = acting_noise(agent)
    agent.advance()
    assert torch.equal(acting_noise(agent), held), "no episode ends here"
    agent.env.reset()
    agent.advance()
    moved = acting_noise(agent)
    assert (moved != held).any(1).all()
    loaded: Any = jostle.load(agent.save(tmp_path / "agent", replay=True), env=Still)
    assert (acting_noise(loaded) != moved).any(1).all()
    for one, other in zip(agent.noise.layers.values(), loaded.noise.layers.values(), strict=True):
        assert torch.equal(one.noise[LEARN], other.noise[LEARN]), "what learns goes on"
    if not per_env:
        acts_by_what_is_drawn(agent, torch.ones(1, 2))
        acts_by_what_is_drawn(loaded, torch.ones(1, 2))


def acts_by_what_is_drawn(agent: jostle.DQN, obs: torch.Tensor) -> None:
    """With one draw for all, that is by weights into which the noise is folded."""
    with torch.no_grad(), agent.noise.using(ACT):
        sampled = agent.network(obs)
    with torch.no_grad(), agent.noise.using(mode="folded"):
        torch.testing.assert_close(agent.network(obs), sampled, rtol=1e-5, atol=1e-6)


def test_a_loaded_agent_acts_by_the_noise_that_was_saved(tmp_path: Path) -> None:
    agent: Any = noisy("jostle/DeepSea-v0", noise_per_env=False, warmup=16).learn(60)
    loaded: Any = jostle.load(agent.save(tmp_path / "agent", replay=True))
    assert torch.equal(acting_noise(loaded), acting_noise(agent))
    acts_by_what_is_drawn(loaded, torch.as_tensor(agent._obs))


# ---- optimisers ----


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("eps", [1e-8, 0.02])
def test_steps_are_those_of_the_optimisers_formula(optimizer: Any, eps: float) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1); RMSprop centred and smoothed by 0.95, as Mnih et al. (2015) have it."""
    agent = make(
        optimizer=optimizer, optimizer_eps=eps, learning_rate=0.01, max_grad_norm=0.0, gamma=0.9, target_tau=0.5,
    )  # fmt: skip
    taken(agent, 20)
    agent.replay.reward[:] = np.random.default_rng(0).standard_normal(agent.replay.reward.shape)
    parameters, gradients = list(agent.network.parameters()), list[list[torch.Tensor]]()
    expected = [p.detach().double().clone() for p in parameters]
    agent.optimizer.register_step_pre_hook(
        lambda *_: gradients.append([p.grad.double().clone() for p in parameters])  # type: ignore[union-attr]
    )
    rng = np.random.default_rng(1)
    for _ in range(3):
        agent.learner.update(agent.replay.sample(8, rng))
    for i, p in enumerate(parameters):
        mean, square = torch.zeros_like(expected[i]), torch.zeros_like(expected[i])
        a, b = (0.9, 0.999) if optimizer == "adam" else (0.95, 0.95)
        for step, g in enumerate((gradient[i] for gradient in gradients), start=1):
            mean, square = a * mean + (1 - a) * g, b * square + (1 - b) * g**2
            if optimizer == "adam":
                move = mean / (1 - a**step) / ((square / (1 - b**step)).sqrt() + eps)
            else:
                move = g / ((square - mean**2).clamp(min=0).sqrt() + eps)
            expected[i] -= 0.01 * move
        used = torch.stack([gradient[i] for gradient in gradients]).abs().max(0).values > 1e-4
        torch.testing.assert_close(p.detach().double()[used], expected[i][used], rtol=1e-4, atol=1e-5)
        assert used.any()
