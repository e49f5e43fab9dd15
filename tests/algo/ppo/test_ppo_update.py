"""Whole updates of PPO against a transcription in NumPy and float64, every intermediate of them."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ppo_oracle import Oracle, Record

import jostle
from jostle.functional.running import Moments

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
    "former": {
        "bonus": ("rnd",),
        "value_weights": "equal",
        "value_norm": "none",
        "bonus_grad_norm": "joint",
        "value_clip": 0.1,
    },
    "large": {  # returns of several units
        "bonus": ("rnd",),
        "gamma_int": 0.99,
        "bonus_reward_norm": "return_std",
        "value_norm": "all",
        "coef_int": 0.01,
        "value_clip": 0.05,
        "microbatch": 2,
    },
    "episodic": {"bonus": ("rnd",), "episodic_int": True, "coef_int": 0.3, "value_clip": 0.1, "microbatch": 4},
    "single": {"bonus": ("rnd",), "value_heads": "single", "coef_ext": 0.7, "minibatch_by": "envs"},
    "intrinsic-only": {"bonus": ("rnd",), "coef_ext": 0.0, "gae_lambda": 1.0, "clip": 0.0},
    "normalised": {"reward_norm": "return_std", "reward_clip": 0.8, "time_limit": "terminal", "value_clip": 0.2},
    "penalty": {
        "kl_penalty": "adaptive",
        "clip": 0.0,
        "gae_lambda": 1.0,
        "epochs": 6,
        "kl_target": 6e-3,
        "microbatch": 2,
    },
    "penalty-small": {"kl_penalty": "adaptive", "kl_target": 10.0, "microbatch": 2},
    "penalty-rnd": {
        "kl_penalty": "adaptive",
        "bonus": ("rnd",),
        "value_heads": "single",
        "kl_target": 1e-4,
        "microbatch": 2,
    },
}


def make(lively: Any, **settings: Any) -> jostle.PPO:
    defaults = {
        "hidden": (6, 5), "num_steps": STEPS, "epochs": 2, "minibatches": 2, "bonus_warmup": 9, "bonus_features": 6,
        "normalise_obs": False, **({"bonus_learning_rate": "joint"} if "bonus" in settings else {}),
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
def test_updates_equal_the_transcription(lively: Any, name: str) -> None:
    agent = make(lively, **CASES[name])
    agent._warm_up()
    oracle, spy = Oracle(agent), Spy(agent)
    happened = np.zeros(5, int)
    betas, steps = [1.0], 0
    for update in range(6 if name == "penalty" else 3):
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
        steps += int(valid.sum())
        assert agent.steps == steps, "rows that only reset are no steps"
        ends = np.stack(record.terminated), np.stack(record.truncated)
        happened += [
            ends[0].sum(),
            ends[1].sum(),
            (ends[0] & ends[1]).sum(),
            (~valid).sum(),
            (ends[0] | ends[1])[-1].sum(),
        ]
        widest = expected["units"].max()
    if name == "large":
        assert widest > 1.1, "some stream's errors must be divided"
    assert (happened > 0).all(), "terminations, truncations, both, resets, and endings at the border are needed"
    if name == "penalty":
        turns = {round(after / before, 3) for before, after in itertools.pairwise(betas)}
        assert turns == {1.5, 1.0, round(1 / 1.5, 3)}, "the penalty's weight must rise, stay and fall"


def drawn(agent: jostle.PPO) -> jostle.PPO:
    """The agent behind two updates, with a rollout that nobody has learned from."""
    agent.advance()
    agent.advance()
    agent.learner.sums.clear()
    agent._collect()
    return agent


EVERYTHING = {"bonus": ("rnd", "icm", "e3b"), "bonus_learning_rate": 1e-3}


@pytest.mark.parametrize(
    "settings",
    [
        EVERYTHING | {"reward_norm": "return_std", "reward_clip": 2.0, "value_clip": 0.1, "normalise_obs": True},
        EVERYTHING | {"kl_penalty": "adaptive", "value_heads": "single", "noisy": "factorised"},
        {"recurrent": "gru", "minibatch_by": "envs", "bonus": ("rnd",), "bonus_ending": "reset"},
    ],
)
def test_invalid_rows_contribute_nothing(lively: Any, settings: dict[str, Any]) -> None:
    """Whatever stands in them but the observation and its value, which are the final ones."""
    agents = [drawn(make(lively, **settings)) for _ in range(2)]
    r = agents[1].rollout
    invalid = ~r.valid
    assert invalid[1:].any()
    r.reward[invalid] = torch.nan
    r.action[invalid] = 2 - r.action[invalid]
    r.log_prob[invalid] -= 3.0
    r.pi[invalid] += torch.tensor([5.0, 0.0, -5.0])
    r.terminated[invalid], r.truncated[invalid] = True, True
    for agent in agents:
        agent.learner.learn(agent._score())
    same = {name: torch.stack(values) for name, values in agents[0].learner.sums.items()}
    for name, values in agents[1].learner.sums.items():
        assert torch.equal(torch.stack(values), same[name]), name
    for a, b in zip(agents[0].network.parameters(), agents[1].network.parameters(), strict=True):
        assert torch.equal(a, b)
    for ours, theirs in zip(agents[0].bonuses, agents[1].bonuses, strict=True):
        for name, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name
    assert agents[0].learner.beta == agents[1].learner.beta


def test_the_network_normalises_by_what_valid_rows_have_shown(lively: Any) -> None:
    agent = make(lively, normalise_obs=True)
    seen = []
    for _ in range(3):
        agent.advance()
        seen.append(agent.rollout.obs["obs"][:-1][agent.rollout.valid].double())
    (moments,) = (m for m in agent.network.modules() if isinstance(m, Moments))
    torch.testing.assert_close(moments.mean, torch.cat(seen).mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moments.var, torch.cat(seen).var(0, correction=0), atol=1e-4, rtol=1e-4)
    assert abs(float(moments.count) - agent.steps) < 1


@pytest.mark.parametrize("microbatch", [1, 4, 7, 1000])
@pytest.mark.parametrize(
    "settings",
    [
        {"bonus": ("rnd",), "bonus_share": 0.6},
        {"recurrent": "lstm", "minibatch_by": "envs", "bonus": ("icm",)},
        {"noisy": "independent", "max_grad_norm": 0.01},
    ],
)
def test_pieces_add_up_to_the_whole_minibatch(lively: Any, settings: dict[str, Any], microbatch: int) -> None:
    """The gradient of every step, and what is logged of it, does not depend on the size of the pieces."""
    results = []
    for size in (0, microbatch):
        agent = make(lively, microbatch=size, learning_rate=1e-3, **settings)
        gradients: list[torch.Tensor] = []

        def keep(optimizer: Any, *_: Any, kept: list[torch.Tensor] = gradients) -> None:
            kept.append(torch.cat([p.grad.flatten() for p in optimizer.param_groups[0]["params"]]))

        agent.learner.optimizers[0].register_step_pre_hook(keep)
        agent.advance()
        results.append((gradients, {name: torch.stack(values) for name, values in agent.learner.sums.items()}))
    for one, other in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=1e-4)
        if "max_grad_norm" in settings:
            assert float(other.norm()) == pytest.approx(0.01, rel=1e-3), "the sum is clipped, not its parts"
    for name, values in results[0][1].items():
        if name != "losses/first_ratio_error" and not name.startswith("bonus/"):
            torch.testing.assert_close(values, results[1][1][name], atol=1e-5, rtol=1e-4)


def test_learning_stops_where_the_policy_has_moved_too_far(lively: Any) -> None:
    agent = make(lively, target_kl=1e-4, learning_rate=0.05, epochs=8)
    agent.advance()
    taken = agent.updates
    assert 1 <= taken < 16
    kl = torch.stack(agent.learner.sums["losses/approx_kl"])
    assert len(kl) == taken, "a step that is not taken is not logged"
    assert (kl <= 1.5e-4).all()
    free = make(lively, learning_rate=0.05, epochs=8)
    free.advance()
    assert free.updates == 16
    assert float(free.learner.sums["losses/approx_kl"][taken]) > 1.5e-4


def test_schedules_fall_to_zero_over_the_training(lively: Any) -> None:
    agent = make(lively, lr_schedule="linear", entropy_schedule="linear", entropy_coef=0.3)
    seen = []
    agent.learn(300, callback=lambda a: seen.append((a.steps, a.learner.entropy_coef, rate(a))))
    begun = [0, *(steps for steps, _, _ in seen)]
    for steps, (_, entropy, learning_rate) in zip(begun, seen, strict=False):
        assert entropy == pytest.approx(0.3 * (1 - steps / 300))
        assert learning_rate == pytest.approx(1e-2 * (1 - steps / 300))
    assert begun[-2] > 200
    constant = make(lively, entropy_coef=0.3).learn(100)
    assert (constant.learner.entropy_coef, rate(constant)) == (0.3, 1e-2)


def rate(agent: jostle.PPO) -> float:
    return float(agent.learner.optimizers[0].param_groups[0]["lr"])


def test_a_bonus_with_a_learning_rate_has_an_optimiser_of_its_own(lively: Any) -> None:
    joint, apart = make(lively, bonus=("rnd",)), make(lively, bonus=("rnd",), bonus_learning_rate=0.5)
    assert [len(a.learner.optimizers) for a in (joint, apart)] == [1, 2]
    owned = {id(p) for p in apart.learner.optimizers[1].param_groups[0]["params"]}
    assert owned == {id(p) for p in apart.bonuses[0].predictor.parameters()}
    assert not owned & {id(p) for p in apart.learner.optimizers[0].param_groups[0]["params"]}
    assert apart.learner.optimizers[1].param_groups[0]["lr"] == 0.5
    for agent in (joint, apart):
        before = [p.clone() for p in agent.bonuses[0].predictor.parameters()]
        frozen = [p.clone() for p in agent.bonuses[0].target.parameters()]
        agent.advance()
        assert all(torch.equal(p, q) for p, q in zip(frozen, agent.bonuses[0].target.parameters(), strict=True))
        assert not any(torch.equal(p, q) for p, q in zip(before, agent.bonuses[0].predictor.parameters(), strict=True))


class Pull(torch.nn.Module):
    """An auxiliary loss with a parameter of its own: the mean of a row-wise term over the valid rows."""

    def __init__(self, learning_rate: float | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.learning_rate = learning_rate
        self.batches: list[Any] = []

    def forward(self, policy: Any, batch: Any, out: Any) -> dict[str, torch.Tensor]:
        self.batches.append(batch)
        return {"pull": batch.mean(self.weight * out.value.square().sum(1) + batch.next_obs.sum(1).square())}


@pytest.mark.parametrize("learning_rate", [None, 0.1])
def test_auxiliary_losses_are_added_and_their_parameters_trained(lively: Any, learning_rate: float | None) -> None:
    totals = []
    for microbatch in (0, 4):
        aux = Pull(learning_rate)
        agent = jostle.PPO(
            lambda: lively(), num_envs=ENVS, num_steps=STEPS, aux=[aux], microbatch=microbatch, minibatches=1, epochs=1,
            hidden=(4,), learning_rate=1e-3,
        )  # fmt: skip
        weights = [p.clone() for p in agent.network.parameters()]
        agent.advance()
        totals.append(float(agent.learner.sums["losses/pull"][0]))
        assert len(agent.learner.optimizers) == (1 if learning_rate is None else 2)
        assert float(aux.weight.detach()) == pytest.approx(1 - (1e-3 if learning_rate is None else 0.1), abs=1e-4)
        assert not torch.equal(weights[-1], list(agent.network.parameters())[-1])
        rows = torch.cat([b.rows for b in aux.batches])
        assert rows.sort().values.tolist() == list(range(ENVS * STEPS))
        r = agent.rollout
        for batch in aux.batches:
            assert torch.equal(batch.next_obs, r.observations(batch.rows + ENVS))
            assert torch.equal(batch.obs, r.observations(batch.rows))
            for name in ("valid", "draw", "action"):
                assert torch.equal(getattr(batch, name), getattr(r, name).flatten(0, 1)[batch.rows])
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
