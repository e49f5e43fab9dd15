"""Whole updates of PPO against a transcription in NumPy and float64, every intermediate of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ppo_oracle import Oracle, Record

import jostle

STEPS, ENVS = 7, 5
OFFICIAL = {
    "bonus": ("rnd",), "bonus_ending": "reset", "coef_ext": 2.0, "coef_int": 1.0, "gamma": 0.999, "gamma_int": 0.9,
    "time_limit": "terminal", "normalise_advantage": False, "minibatch_by": "slices", "clip": 0.1, "max_grad_norm": 0.0,
    "entropy_coef": 0.001, "value_coef": 1.0,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "official": OFFICIAL,
    "share": OFFICIAL | {"bonus_share": 0.4, "bonus_ending": "final", "time_limit": "bootstrap", "microbatch": 3},
    "episodic": {"bonus": ("rnd",), "episodic_int": True, "coef_int": 0.3, "value_clip": 0.1, "microbatch": 4},
    "single": {"bonus": ("rnd",), "value_heads": "single", "coef_ext": 0.7, "minibatch_by": "envs"},
    "intrinsic-only": {"bonus": ("rnd",), "coef_ext": 0.0, "gae_lambda": 1.0, "clip": 0.0},
    "normalised": {"reward_norm": "return_std", "reward_clip": 0.8, "time_limit": "terminal", "value_clip": 0.2},
    "penalty": {"kl_penalty": "adaptive", "clip": 0.0, "gae_lambda": 1.0, "epochs": 3},
    "penalty-small": {"kl_penalty": "adaptive", "kl_target": 10.0, "microbatch": 2},
    "penalty-rnd": {"kl_penalty": "adaptive", "bonus": ("rnd",), "value_heads": "single", "kl_target": 1e-3},
}


def make(lively: Any, **settings: Any) -> jostle.PPO:
    defaults = {
        "hidden": (6, 5), "num_steps": STEPS, "epochs": 2, "minibatches": 2, "bonus_warmup": 9, "bonus_features": 6,
        "learning_rate": 1e-2, "optimizer_eps": 1e-3, "gae_lambda": 0.9, "gamma": 0.95,
    }  # fmt: skip
    return jostle.PPO(lambda: lively(end=0.35), num_envs=ENVS, seed=5, **(defaults | settings))


class Spy:
    """Records what the environment said, what was drawn at random, and what came out, of each update of an agent."""

    def __init__(self, agent: jostle.PPO) -> None:
        self.agent, self.ended = agent, np.zeros(ENVS, bool)
        self.got: dict[str, Any] = {}
        self._step, self._minibatches, self._learn = agent._step, agent.rollout.minibatches, agent.learner.learn
        agent._step = self.step  # type: ignore[method-assign]
        agent.rollout.minibatches = self.minibatches  # type: ignore[method-assign]
        agent.learner.learn = self.learn  # type: ignore[method-assign]
        agent.learner.optimizers[0].register_step_pre_hook(self.gradients)
        for bonus in agent.bonuses:
            self._select, self._update, self._raw = bonus.select, bonus.update, bonus.raw
            bonus.select, bonus.update, bonus.raw = self.select, self.reward, self.raw  # type: ignore[method-assign]

    def step(self, action: Any) -> Any:
        out = self._step(action)
        obs, reward, terminated, truncated, _ = out
        self.record.obs.append(obs.copy())
        self.record.action.append(np.asarray(action) - 1)  # the space counts from 1
        for name, value in (("reward", reward), ("terminated", terminated), ("truncated", truncated)):
            getattr(self.record, name).append(value.copy())
        self.ended = terminated | truncated
        return out

    def minibatches(self, *arguments: Any) -> Iterator[Any]:
        for rows in self._minibatches(*arguments):
            if self.learning:
                self.record.minibatches.append(rows.reshape(-1).numpy().copy())
            yield rows

    def select(self, *arguments: Any) -> Any:
        chosen = self._select(*arguments)
        self.record.chosen.append(chosen.numpy().copy())
        return chosen

    def raw(self, t: Any) -> Any:
        self.got["raw"] = torch.where(t.valid, self._raw(t), 0.0)
        return self.got["raw"]

    def reward(self, t: Any) -> Any:
        self.got["intrinsic"] = self._update(t)
        return self.got["intrinsic"]

    def gradients(self, *_: Any) -> None:
        self.got["gradients"].append({name: p.grad.clone() for name, p in parameters(self.agent).items()})

    def learn(self, scored: Any) -> Any:
        self.got |= {"advantage": scored.advantage, "target": scored.target, "value": self.agent.rollout.value.clone()}
        return self._learn(scored)

    def update(self) -> tuple[Record, dict[str, Any]]:
        """One rollout and what was learned from it."""
        agent, self.learning = self.agent, True
        self.record, self.got = Record([agent._obs.copy()], self.ended), {"gradients": []}
        agent.learner.sums.clear()
        agent.advance()
        steps = agent.config.epochs * agent.config.minibatches
        self.record.minibatches = self.record.minibatches[:steps]  # the penalty's divergence takes the rollout again
        for bonus in agent.bonuses:
            moments, returns = bonus.preprocess.parts[0].moments, bonus.scale.returns
            assert moments is not None
            assert returns is not None
            self.got |= {"obs_mean": moments.mean.clone(), "obs_var": moments.var, "scale": returns.scale}
            self.got["filtered"] = returns.total.clone()
        losses = {name: torch.stack(values) for name, values in agent.learner.sums.items() if name[:7] == "losses/"}
        self.got["losses"] = {name[7:]: values for name, values in losses.items()}
        return self.record, self.got


def parameters(agent: jostle.PPO) -> dict[str, torch.Tensor]:
    out = dict(agent.network.named_parameters())
    for bonus in agent.bonuses:
        out |= {f"predictor.{i}": p for i, p in enumerate(bonus.predictor.parameters())}
    return out


def close(got: Any, expected: Any, where: str) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-5, atol=1e-5, err_msg=where)


@pytest.mark.parametrize("name", CASES)
def test_three_updates_equal_the_transcription(lively: Any, name: str) -> None:
    agent = make(lively, **CASES[name])
    agent._warm_up()
    oracle, spy = Oracle(agent), Spy(agent)
    happened = np.zeros(5, int)
    betas = []
    for update in range(3):
        record, got = spy.update()
        expected = oracle.update(record)
        valid = record.valid
        where = f"{name}, update {update}: "
        for key in ("raw", "intrinsic", "obs_mean", "obs_var", "filtered", "scale", "value"):
            if key in expected:
                close(got[key], expected[key], where + key)
        close(got["advantage"].numpy()[valid], expected["advantage"][valid], where + "advantage")
        close(got["target"].numpy()[valid], expected["target"][valid], where + "target")
        for key, values in expected["losses"].items():
            if key != "predictor":
                close(got["losses"][key], values, where + key)
        for step, (ours, theirs) in enumerate(zip(got["gradients"], expected["gradients"], strict=True)):
            for key, value in theirs.items():
                close(ours[key], value, f"{where}gradient {step} of {key}")
        for key, value in parameters(agent).items():
            close(value.detach(), oracle.params[key].detach(), where + key)
        if "beta" in expected:
            assert agent.learner.beta == pytest.approx(expected["beta"], rel=1e-6)
            betas.append(expected["beta"])
        ends = np.stack(record.terminated), np.stack(record.truncated)
        happened += [
            ends[0].sum(),
            ends[1].sum(),
            (ends[0] & ends[1]).sum(),
            (~valid).sum(),
            (ends[0] | ends[1])[-1].sum(),
        ]
    assert (happened > 0).all(), "terminations, truncations, both, resets, and endings at the border are needed"
    print(name, betas)
