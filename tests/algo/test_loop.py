"""What the loop stores, which noise it acts with, and what it says about it."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.dqn.learner import ACT, LEARN


class Told(gym.Env[Any, int]):
    """Observes (step, episode); pays step + 10 · action; even episodes terminate after 3 steps, odd ones are cut."""

    observation_space = spaces.Box(-1, 1e6, (2,), np.float32)
    action_space = spaces.Discrete(4)
    episode = -1

    def _obs(self) -> np.ndarray[Any, Any]:
        return np.array([self.t, self.episode], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self._obs(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self.t + 10.0 * action
        self.t += 1
        over = self.t == 3
        return self._obs(), reward, over and self.episode % 2 == 0, over and self.episode % 2 == 1, {}


def small(env: Any = Told, **settings: Any) -> jostle.DQN:
    defaults = {"num_envs": 3, "hidden": (16,), "batch_size": 16, "warmup": 20, "replay_size": 900}
    return jostle.DQN(env, **(defaults | settings))


def test_the_replay_holds_what_happened() -> None:
    agent = small().learn(120)
    r = agent.replay
    for t in range(r.added):
        step, episode = t % 4, t // 4  # three transitions and the reset's row
        assert (r.obs["obs"][t] == [step, episode]).all(), "row t begins with observation t"
        assert (r.valid[t] == (step < 3)).all()
        assert (r.terminated[t] == (step == 2 and episode % 2 == 0)).all()
        assert (r.truncated[t] == (step == 2 and episode % 2 == 1)).all()
        if step < 3:
            np.testing.assert_array_equal(r.reward[t], step + 10.0 * r.action[t])
    assert len(np.unique(r.action[: r.added])) == 4


@pytest.mark.parametrize("per_env", [True, False])
@pytest.mark.parametrize("resample", ["action", "update", "episode"])
def test_each_environment_acts_with_its_own_noise(per_env: bool, resample: Any) -> None:
    agent = small(
        num_envs=16, noisy="factorised", sigma0=4.0, noise_per_env=per_env, noise_resample=resample, warmup_random=False
    )
    slots = [ACT + i if per_env else ACT for i in range(16)]
    seen = set()
    for _ in range(10):
        acted = agent._act().tolist()
        for i, slot in enumerate(slots):
            with torch.no_grad(), agent.noise.using(slot):
                assert acted[i] == int(agent.network(torch.as_tensor(agent._obs[i : i + 1])).argmax())
        assert (len(set(acted)) > 1) == per_env, "the observations are equal, the noise is not"
        seen.add(tuple(acted))
    assert (len(seen) > 1) == (resample == "action")


def test_the_flip_rate_is_that_of_the_acting_noise() -> None:
    agent = small(noisy="factorised", sigma0=1.0)
    obs = torch.rand(400, 2)

    def rate(quiet: slice) -> float:
        agent.noise.draw()
        for layer in agent.noise.layers.values():
            layer.noise[quiet] = 0.0
        return agent._inspect(obs)["noise/flip_rate"]

    assert rate(slice(ACT, None)) == 0.0, "without acting noise nothing flips"
    assert max(rate(slice(LEARN, ACT)) for _ in range(20)) > 0.2
    with torch.no_grad(), agent.noise.using(mode="mean"):
        best = agent.network(obs).squeeze(1).argmax(1)
    flips = []
    for row in range(len(obs)):
        with torch.no_grad(), agent.noise.using(ACT + row % 3):
            flips.append(int(agent.network(obs[row : row + 1]).argmax()) != int(best[row]))
    assert agent._inspect(obs)["noise/flip_rate"] == pytest.approx(np.mean(flips))


def test_every_update_draws_all_three_kinds_of_noise() -> None:
    agent = small(noisy="factorised", dueling=True).learn(40)
    layers = [*agent.noise.layers.values(), *agent.target_noise.layers.values()]
    before = [layer.noise[:ACT].clone() for layer in layers]
    agent._update()
    for layer, old in zip(layers, before, strict=True):
        assert not (layer.noise[:ACT] == old).any()


def test_gradients_are_scaled_down_to_the_norm() -> None:
    agent = small(max_grad_norm=1e-3).learn(60)
    agent._update()
    norm = torch.stack([p.grad.norm() for p in agent.network.parameters()]).norm()  # type: ignore[union-attr]
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    free = small(max_grad_norm=0.0).learn(60)
    free._update()
    assert torch.stack([p.grad.norm() for p in free.network.parameters()]).norm() > 1.0  # type: ignore[union-attr]


def test_a_warm_up_that_has_just_begun_owes_no_updates() -> None:
    """The ratio counts from where learning begins: no burst of updates for the steps of the warm-up."""
    agent = small(warmup=300, replay_ratio=4.0)
    while agent.updates == 0:
        agent.advance()
        assert agent.steps < 400, "learning never begins"
    assert agent.steps in range(300, 310)
    assert agent.updates <= 2
    assert agent.drain_metrics()["charts/replay_ratio"] <= 16


def test_no_two_networks_share_a_stream_of_noise() -> None:
    agent = small(noisy="factorised")
    owners = [agent.noise, agent.target_noise, agent.actor("sampled").noise]
    seeds = {generator.initial_seed() for owner in owners for generator in owner._generators}  # type: ignore[union-attr]
    assert len(seeds) == 3


def test_predict_takes_over_the_weights_of_later_updates() -> None:
    agent = small(noisy="factorised")
    obs = np.random.default_rng(0).random((50, 2), dtype=np.float32)
    for noise in ("mean", "sampled"):
        agent.predict(obs, noise=noise)
        with torch.no_grad():
            for name, parameter in agent.network.named_parameters():
                parameter.zero_()
                if name.endswith("head.2.bias"):
                    parameter[agent.updates + 1] = 1.0
        agent.updates += 1
        assert set(agent.predict(obs, noise=noise)[0]) == {agent.updates}  # type: ignore[arg-type]
