"""The examples of bonuses in other people's training loops."""

import copy
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from jostle.bonus import RND, Transitions

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recorder(RND):
    """Keeps what it is given and what it returns."""

    def update(self, t: Transitions) -> torch.Tensor:
        reward = super().update(t)
        self.seen.append((copy.deepcopy(t), reward))
        return reward


def test_the_single_file_loop_learns() -> None:
    returns = example("rnd_cleanrl_loop").train(size=5, steps=8 * 2048, seed=0, coefficients=(1.0, 1.0))
    assert np.mean(returns) > 0.9


def test_the_single_file_loop_gives_the_bonus_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("rnd_cleanrl_loop")
    seen: list[tuple[Transitions, torch.Tensor]] = []
    monkeypatch.setattr(Recorder, "seen", seen, raising=False)
    monkeypatch.setattr(module, "RND", Recorder)
    module.train(size=5, steps=2 * 2048, seed=0, coefficients=(0.0, 1.0))
    (first, _), (second, reward) = seen
    for t in (first, second):
        # An episode has 5 steps, then comes the row that resets; a first observation stands in the top left corner.
        ages = (torch.arange(128) + (0 if t is first else 128)) % 6
        assert torch.equal(t.valid, (ages != 5)[:, None].expand(128, 16))
        assert torch.equal(t.start, (ages == 0)[:, None].expand(128, 16))
        assert torch.equal(t.done, (ages == 4)[:, None].expand(128, 16))
        assert (t.obs[t.start][:, 0, 0] == 1).all()
        assert not t.next_obs[t.done].any()
    assert (reward[second.valid] > 0).all()


def test_the_callback_for_stable_baselines3() -> None:
    pytest.importorskip("stable_baselines3")
    module = example("rnd_stable_baselines3")
    env = module.make_vec_env("CartPole-v1", n_envs=3, seed=0)
    torch.manual_seed(0)
    bonus = Recorder(env.observation_space, 3, features=16)
    bonus.seen = []
    weights = [p.clone() for p in bonus.trainable_parameters()]
    rewards, returns = [], []

    class Checked(module.BonusCallback):
        def _on_rollout_end(self) -> None:
            rewards.append(self.model.rollout_buffer.rewards.copy())
            super()._on_rollout_end()
            buffer = self.model.rollout_buffer
            rewards.append(buffer.rewards.copy())
            returns.append(buffer.returns.copy())
            buffer.compute_returns_and_advantage(self.locals["values"], self.locals["dones"])
            returns.append(buffer.returns.copy())

    model = module.PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, device="cpu", seed=0)
    model.learn(2 * 64 * 3, callback=Checked(bonus, coefficient=0.5))
    assert len(bonus.seen) == 2
    for i, (t, reward) in enumerate(bonus.seen):
        np.testing.assert_allclose(rewards[2 * i + 1], rewards[2 * i] + 0.5 * reward.numpy(), rtol=1e-6)
        np.testing.assert_array_equal(returns[2 * i], returns[2 * i + 1])
        inner, ended = ~t.done[:-1], t.done[:-1]
        assert ended.any()
        assert torch.equal(t.next_obs[:-1][inner], t.obs[1:][inner])
        assert (t.next_obs[:-1][ended][:, 2].abs() > 0.2).all()  # the pole has fallen: no first observation
        assert (t.obs[t.start][:, 2].abs() < 0.05).all()
        assert torch.equal(t.start[1:], t.done[:-1])
    before, after = bonus.seen[0][0], bonus.seen[1][0]
    last = ~before.done[-1]
    assert last.any()
    assert torch.equal(before.next_obs[-1][last], after.obs[0][last])
    assert all(not torch.equal(p, old) for p, old in zip(bonus.trainable_parameters(), weights, strict=True))
    env.close()
