"""Streams that weigh what their coefficients say: settings, weights, units, and what a bonus of weight ~0 changes."""

import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.changes import changes, in_words
from jostle.algo.dqn.config import DQNConfig
from jostle.algo.parts.stream_settings import StreamTable
from jostle.algo.parts.streams import make_streams
from jostle.algo.parts.value_scale import ValueScale, make_value_scale
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.ppo.loss import Coefficients, ppo_loss
from jostle.algo.settings import merged
from jostle.errors import ConfigError
from jostle.functional.losses import td_loss
from jostle.nn.distributions import make_distribution

SEA: dict[str, Any] = {"env": "jostle/DeepSea-v0", "num_envs": 8, "env_options": {"size": 5}, "seed": 3}


# ---- settings ----


def test_a_table_is_plain_frozen_and_merged_field_by_field() -> None:
    config = PPOConfig(bonus=("e3b",), streams={"e3b": {"coef": 1, "episodic": True}, "ext": {}})
    assert config.as_dict()["streams"] == {"e3b": {"coef": 1, "episodic": True}}
    assert merged(PPOConfig(), config.as_dict()) == config
    assert hash(merged(PPOConfig(), config.as_dict())) == hash(config)
    over = merged(config, {"streams": {"e3b": {"coef": None, "gamma": 0.5}, "ext": {"coef": 2}}})
    assert over.streams == StreamTable({"e3b": {"episodic": True, "gamma": 0.5}, "ext": {"coef": 2}})
    assert config.streams == StreamTable({"e3b": {"coef": 1, "episodic": True}}), "the old one is as it was"
    assert PPOConfig().streams == StreamTable()
    assert PPOConfig(streams=None).streams == StreamTable()


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ({"e3b": {"koef": 1}}, r"no setting 'streams.e3b.koef'; did you mean coef"),
        ({"e3b": {"coef": -1}}, r"streams.e3b.coef=-1 .* 0 or more"),
        ({"e3b": {"gamma": 1.5}}, r"streams.e3b.gamma=1.5 .* within 0 and 1"),
        ({"e3b": {"coef": "much"}}, r"streams.e3b.coef='much' .* a finite number"),
        ({"e3b": {"coef": float("nan")}}, r"streams.e3b.coef=nan"),
        ({"e3b": {"episodic": 1}}, r"streams.e3b.episodic=1 .* true or false"),
        ({"e3b": {"reward_norm": "std"}}, r"streams.e3b.reward_norm='std' is unknown"),
        ({"e3b": 0.1}, r"'e3b': 0.1, which cannot be used"),
        ([("e3b", 1)], r"must be a mapping"),
        ({"ext": {"reward_norm": "reward_std"}}, r"streams.ext.reward_norm"),
        ({"e3d": {"coef": 1}}, r"streams.e3d is of no reward stream here; did you mean e3b"),
    ],
)
def test_what_cannot_be_used_ends_in_a_sentence(streams: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_streams(PPOConfig(bonus=("e3b",), streams=streams), ["e3b"])


def test_what_has_no_effect_is_refused() -> None:
    for field, value in {"gamma": 0.9, "gae_lambda": 0.9, "episodic": True, "value_coef": 1.0}.items():
        with pytest.raises(ConfigError, match=f"streams.rnd.{field}.*single"):
            PPOConfig(bonus=("rnd",), value_heads="single", streams={"rnd": {field: value}})
    with pytest.raises(ConfigError, match="no λ"):
        DQNConfig(streams={"ext": {"gae_lambda": 0.9}})
    with pytest.raises(ConfigError, match="rewards as they are"):
        DQNConfig(streams={"ext": {"reward_norm": "none"}})
    with pytest.raises(ConfigError, match="no reward has a weight"):
        make_streams(PPOConfig(bonus=("rnd",), coef_ext=0, streams={"rnd": {"coef": 0}}), ["rnd"])


def test_what_may_change_between_stretches() -> None:
    def told(before: Any, after: Any) -> str:
        saved = {"algorithm": "ppo", "env": "E", "seed": 0, "config": {"streams": before}}
        return in_words(changes(saved, {"config": {"streams": after}}, PPOConfig()))

    assert told({}, {"e3b": {"coef": 0.1}}) == "streams.e3b.coef from None to 0.1"
    assert (
        told({"ext": {"gamma": 0.9}, "rnd": {"coef": 1}}, {"rnd": {"coef": 1}}) == "streams.ext.gamma from 0.9 to None"
    )
    for field, value in {"episodic": True, "gamma": 0.5, "reward_norm": "none"}.items():
        with pytest.raises(ConfigError, match=f"streams.rnd.{field} cannot change"):
            told({}, {"rnd": {field: value}})
    with pytest.raises(ConfigError, match="streams cannot change"):
        told({}, [1])


# ---- what settings come to ----


def weights(kind: type[PPOConfig | DQNConfig] = PPOConfig, **settings: Any) -> list[float]:
    config = kind(bonus=("rnd", "e3b"), **settings)
    return [stream.value_coef for stream in make_streams(config, ["rnd", "e3b"])]


def test_values_weigh_by_the_coefficients() -> None:
    """PPO's value_coef is 0.5, DQN has none; the largest coefficient weighs all of it."""
    assert weights() == [0.5, 0.25, 0.25]
    assert weights(coef_ext=4.0, coef_int=1.0) == [0.5, 0.125, 0.125]
    assert weights(coef_int=1e-6) == pytest.approx([0.5, 5e-7, 5e-7], rel=1e-12)
    assert weights(coef_ext=0.0, coef_int=0.3) == [0.0, 0.5, 0.5]
    assert weights(value_weights="equal", coef_int=1e-6) == [0.5, 0.5, 0.5]
    assert weights(streams={"e3b": {"coef": 2.0}, "rnd": {"value_coef": 3.0}}) == [0.25, 3.0, 0.5]
    assert weights(DQNConfig) == [1.0, 0.5, 0.5]


def test_a_stream_has_what_is_its_own_and_else_what_all_have() -> None:
    own = {"coef": 0.1, "gamma": 0.8, "gae_lambda": 0.7, "episodic": True, "reward_norm": "none"}
    agent = jostle.PPO(
        **SEA, bonus=("rnd", "e3b"), bonus_features=4, bonus_warmup=0, num_steps=8, hidden=(4,),
        streams={"e3b": own, "ext": {"gamma": 0.6, "reward_norm": "return_std"}, "rnd": {"gamma": 0.9}},
    )  # fmt: skip
    s, (rnd, e3b) = agent.streams, agent.bonuses
    assert s.names == ["ext", "rnd", "e3b"]
    torch.testing.assert_close(s.coefficient, torch.tensor([1.0, 0.5, 0.1]))
    torch.testing.assert_close(s.discount, torch.tensor([0.6, 0.9, 0.8]))
    torch.testing.assert_close(s.gae_lambda, torch.tensor([0.95, 0.95, 0.7]))
    assert s.episodic.tolist() == [True, False, True]
    assert (rnd.scale.returns.discount, e3b.scale.returns, e3b.scale.rewards) == (0.9, None, None)
    agent.advance()
    filters = agent._reward_filter
    assert (filters.discount, filters.moments.count > 0) == (0.6, True)
    agent.env.close()


def test_dqn_follows_each_streams_own_end() -> None:
    """The environment's rewards go on behind an episode's end where that is asked for, without any bonus too."""
    for episodic, linked in ((None, False), (False, True)):
        agent = jostle.DQN(**SEA, hidden=(4,), warmup=40, streams={"ext": {"episodic": episodic}})
        agent.learn(120)
        assert agent.replay.linked is linked
        batch = agent.replay.sample(64, np.random.default_rng(0), agent.device)
        with torch.no_grad():
            factor = batch.n_step_return(agent.streams.discount, None if not linked else agent.streams.episodic)[1]
        assert bool((factor == 0).any()) is not linked, "no end is the end of a stream that goes on"
        agent.env.close()
    agent = jostle.DQN(**SEA, hidden=(4,), bonus=("rnd",), bonus_features=4, streams={"rnd": {"episodic": True}})
    assert not agent.replay.linked
    agent.env.close()


# ---- units ----


def test_the_units_of_values_by_hand() -> None:
    """Targets 0, 6 | 6, 12 have the deviations 3 and then √18; those of 0.1 stay in their own."""
    scale = ValueScale([False, True, True])
    first = torch.tensor([[0.0, 0.0, 0.0], [6.0, 6.0, 0.1], [99.0, 99.0, 99.0]])
    scale.update(first, torch.tensor([True, True, False]))
    torch.testing.assert_close(scale.scale, torch.tensor([1.0, 3.0, 1.0]))
    scale.update(torch.tensor([[6.0, 6.0, 0.0], [12.0, 12.0, 0.1]]))
    torch.testing.assert_close(scale.scale, torch.tensor([1.0, 18**0.5, 1.0]))
    again = ValueScale([False, True, True])
    again.load_state_dict(scale.state_dict())
    assert torch.equal(again.scale, scale.scale)


NORMS: tuple[Literal["none", "intrinsic", "all"], ...] = ("none", "intrinsic", "all")


def test_units_are_the_bonuses_alone_unless_all_are_asked_for() -> None:
    made = {
        (norm, names): None if (scale := make_value_scale(norm, names)) is None else scale.normalised.tolist()
        for norm in NORMS
        for names in (("ext", "rnd", "mine"), ("sum",), ("ext",))
    }
    assert made == {
        ("none", ("ext", "rnd", "mine")): None, ("none", ("sum",)): None, ("none", ("ext",)): None,
        ("intrinsic", ("ext", "rnd", "mine")): [False, True, True],
        ("intrinsic", ("sum",)): None, ("intrinsic", ("ext",)): None,
        ("all", ("ext", "rnd", "mine")): [True, True, True], ("all", ("sum",)): [True], ("all", ("ext",)): [True],
    }  # fmt: skip


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_a_loaded_agent_has_the_saved_units(kind: Any) -> None:
    made = [kind(**SEA, hidden=(4,), bonus=("rnd",), bonus_features=4, bonus_warmup=0) for _ in range(2)]
    scales: list[Any] = [a.value_scale if kind is jostle.PPO else a.learner.value_scale for a in made]
    scales[0].update(torch.tensor([[0.0, 0.0], [6.0, 8.0]]))
    made[1].load_state_dict(made[0].state_dict())
    assert scales[1].scale.tolist() == [1.0, 4.0]
    for scale in scales:  # what comes next is counted beside what was
        scale.update(torch.tensor([[0.0, 30.0]]))
    assert scales[0].scale[1] > 5
    assert torch.equal(scales[0].scale, scales[1].scale)
    for agent in made:
        agent.env.close()


def test_a_weighted_td_loss_by_hand() -> None:
    """Squared errors 1 and 9 in row 0, 4 and 0 in row 1, weights 1 and 0.5: (5.5 + 4) / 2."""
    q, target = torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.zeros(2, 2)
    assert float(td_loss(q, target, "squared", torch.tensor([1.0, 0.5]))) == 4.75
    assert float(td_loss(q, target, "squared", 2.0)) == 14.0
    assert float(td_loss(q, target, "squared")) == 7.0


@pytest.mark.parametrize("space", [spaces.Discrete(2), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2,))])
@pytest.mark.parametrize(("clip", "expected"), [(0.0, 0.5 * (3 * 1 + 0.5 * 4)), (0.5, 0.5 * (3 * 1 + 0.5 * 5.29))])
def test_weights_and_units_in_ppos_loss_by_hand(space: Any, clip: float, expected: float) -> None:
    """Values 1 and 4 for targets 3 and 12 in the units 2 and 4: errors −1 and −2, weights 3 and 0.5. Kept within
    half a unit of the old values 1 and 0.8, which are 0.5 and 0.2 in units, the errors are −1 and −2.3; the larger loss
    counts. The second row is invalid, and the minibatch has two valid rows in all."""
    head = make_distribution(space)
    old = torch.tensor([[1.0, 0.8], [0.0, 0.0]])
    value, target = torch.tensor([[1.0, 4.0], [9.0, 9.0]], requires_grad=True), torch.tensor([[3.0, 12.0], [0.0, 0.0]])
    pi = torch.zeros(2, head.num_params)
    action = head.distribution(pi).sample(torch.Generator().manual_seed(0))
    given = action, head.distribution(pi).log_prob(action), torch.zeros(2), old, target

    def loss(weight: Any) -> tuple[torch.Tensor, torch.Tensor]:
        c = Coefficients(0.2, clip, weight, 0.0, torch.tensor([2.0, 4.0]))
        found = ppo_loss(head, pi, value, *given, torch.tensor([0.5, 0.0]), c)[0]
        return found.detach(), torch.autograd.grad(found, value)[0]

    found, gradient = loss(torch.tensor([3.0, 0.5]))
    assert float(found) == pytest.approx(expected / 2, rel=1e-6)
    # Half of weight · error / unit, unless the clipped loss, which does not move, is the larger one.
    second = 0.0 if clip else 0.5 * -2 / 4 / 2
    torch.testing.assert_close(gradient, torch.tensor([[3 * -1 / 2 / 2, second], [0.0, 0.0]]))
    torch.testing.assert_close(loss(2.0)[0], loss(torch.tensor([2.0, 2.0]))[0])


# ---- a bonus of weight ~0 ----

FULL: dict[str, Any] = {"streams": {"e3b": {"value_coef": 0.5}}, "value_norm": "none"}
"""As it was: every stream's values at full weight, in their own units."""
PPO_SMALL: dict[str, Any] = {
    "hidden": (16,), "shared": True, "num_steps": 32, "learning_rate": 3e-3, "epochs": 3, "entropy_coef": 0.0,
}  # fmt: skip


def ppo_pair(**settings: Any) -> tuple[jostle.PPO, jostle.PPO]:
    """PPO without a bonus, and with E3B at a weight of 1e-6, from the same weights."""
    small = PPO_SMALL | {"max_grad_norm": 0.05}
    plain = jostle.PPO(**SEA, **small)
    made = jostle.PPO(
        **SEA, **small, bonus=("e3b",), coef_int=1e-6, bonus_warmup=0, bonus_features=8, **settings
    )  # fmt: skip
    with torch.no_grad():
        for (name, theirs), mine in zip(made.network.named_parameters(), plain.network.parameters(), strict=True):
            theirs[:1].copy_(mine) if name.startswith("value.") else theirs.copy_(mine)
    return plain, made


def policy(agent: jostle.PPO) -> torch.Tensor:
    """π of every cell of the sea."""
    obs = torch.eye(25).view(25, *agent.env.single_observation_space.shape).to(agent.rollout.obs["obs"].dtype)
    with torch.no_grad():
        return torch.softmax(agent.network.act(obs)[0], 1)


def apart(agents: tuple[jostle.PPO, jostle.PPO], rollouts: int) -> tuple[float, float]:
    """How far the policies are from each other after some rollouts, and how far the plain one has moved."""
    plain, made = agents
    before = policy(plain)
    assert torch.equal(before, policy(made))
    for _, agent in itertools.product(range(rollouts), agents):
        agent.advance()
    found = float((policy(plain) - policy(made)).abs().max()), float((policy(plain) - before).abs().max())
    for agent in agents:
        agent.env.close()
    return found


def test_a_bonus_of_no_weight_leaves_ppos_policy_as_it_was() -> None:
    """Within a hundredth of what was learned; at full weight of its values it is another policy."""
    difference, moved = apart(ppo_pair(), 8)
    assert moved > 0.05
    assert difference < 0.01 * moved
    assert apart(ppo_pair(**FULL), 8)[0] > 0.1 * moved


def test_gradients_of_a_bonus_do_not_shrink_the_policys() -> None:
    """Clipped by one norm with E3B's own networks the policy's gradients are smaller; apart they are as without."""

    def first_gradient(agent: jostle.PPO) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        mine = list(agent.network.policy.parameters())
        agent.learner.optimizers[0].register_step_pre_hook(
            lambda *_: seen.append(torch.cat([p.grad.flatten().clone() for p in mine]))
        )
        agent.advance()
        agent.env.close()
        return seen[0]

    def changed(way: str) -> float:
        plain, made = (first_gradient(agent) for agent in ppo_pair(bonus_grad_norm=way))
        return float((plain - made).norm() / plain.norm())

    assert changed("own") < 1e-3
    assert changed("joint") > 0.1


def test_a_bonus_of_no_weight_leaves_dqns_gradients_as_they_were() -> None:
    """The trunk's gradient of one batch, beside that of the extrinsic stream alone."""

    def trunk(**settings: Any) -> torch.Tensor:
        agent = jostle.DQN(
            **SEA, hidden=(16,), bonus=("e3b",), bonus_features=8, bonus_warmup=0, warmup=64, batch_size=64, **settings
        )
        for _ in range(30):
            agent.advance()
        batch = agent.intrinsic.rewarded(agent.replay.sample(64, np.random.default_rng(0), agent.device))
        agent.network.zero_grad()
        agent.loss(batch).backward()
        agent.env.close()
        return next(p.grad for p in agent.network.parameters()).clone()

    still: dict[str, Any] = {"coef_int": 1e-6, "learning_rate": 1e-12, "bonus_learning_rate": 1e-3}
    alone = trunk(**still, streams={"e3b": {"value_coef": 0.0}})
    assert float((trunk(**still) - alone).norm()) < 1e-3 * float(alone.norm())
    assert float((trunk(**still, streams={"e3b": {"value_coef": 1.0}}) - alone).norm()) > 0.1 * float(alone.norm())
