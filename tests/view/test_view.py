"""Views of jostle's agents and of modules, against the networks themselves."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.nn.noisy import NoisyLinear
from jostle.stress import feature_distance
from jostle.view import MeanStd, Probabilities, as_view

OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(scope="module")
def dqn() -> jostle.DQN:
    return jostle.DQN("CartPole-v1", num_envs=2, hidden=(8,), noisy="factorised", warmup=20, seed=1).learn(60)


@pytest.fixture(scope="module")
def ppo() -> jostle.PPO:
    return jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(8,), noisy="factorised", seed=2).learn(64)


def test_a_value_based_agent(dqn: jostle.DQN) -> None:
    view = as_view(dqn)
    with dqn.noise.mean():
        q = dqn.network(torch.tensor(OBS)).detach()
    torch.testing.assert_close(view.q(OBS), q)
    torch.testing.assert_close(view.value(OBS), q.max(2).values)
    assert view.distribution(OBS) is None
    assert view.stochastic
    assert not view.recurrent
    assert (view.name, view.env_source) == ("dqn", "CartPole-v1")


def test_a_policy(ppo: jostle.PPO) -> None:
    view = as_view(ppo)
    with ppo.noise.mean():
        pi, value, _ = ppo.network(torch.tensor(OBS))
    found = view.distribution(OBS)
    assert isinstance(found, Probabilities)
    torch.testing.assert_close(found.p, pi.softmax(-1).detach())
    torch.testing.assert_close(view.value(OBS), value.detach())
    assert view.q(OBS) is None


def test_a_view_is_a_frozen_copy(dqn: jostle.DQN) -> None:
    noise = {name: layer.noise.clone() for name, layer in dqn.noise.layers.items()}
    view = as_view(dqn)
    before = view.q(OBS)
    view.redraw(3, seed=5)
    view.q(OBS, draw=1)
    assert all(torch.equal(layer.noise, noise[name]) for name, layer in dqn.noise.layers.items())
    dqn.noise.draw()  # the agent's draws are still its own
    kept = {name: p.clone() for name, p in dqn.network.named_parameters()}
    best = before[:, 0].argmax(1).tolist()
    with torch.no_grad():  # it learns the opposite
        for name, parameter in dqn.network.named_parameters():
            parameter.zero_()
            if name.endswith("bias") and parameter.numel() == 2:
                parameter[1 - best[0]] = 1.0
    torch.testing.assert_close(view.q(OBS), before)
    start = np.ones(3, np.bool_)
    assert dqn.actor(rows=3).act(OBS, start).tolist() != best
    assert view.actor(rows=3).act(OBS, start).tolist() == best
    with torch.no_grad():
        for name, parameter in dqn.network.named_parameters():
            parameter.copy_(kept[name])


def test_draws_are_slots_and_none_is_without_noise(dqn: jostle.DQN) -> None:
    view = as_view(dqn)
    view.redraw(4, seed=3)
    each = torch.stack([view.q(OBS, draw=m) for m in range(4)])
    assert len({tuple(q.ravel().tolist()) for q in each}) == 4
    assert not torch.isclose(each, view.q(OBS)).all(dim=(1, 2, 3)).any()
    mixed = view.q(OBS, draw=torch.tensor([2, 0, 3]))
    torch.testing.assert_close(mixed, torch.stack([each[2, 0], each[0, 1], each[3, 2]]))
    again = as_view(dqn)
    again.redraw(4, seed=3)
    assert torch.equal(again.q(OBS, draw=2), each[2])


def test_a_random_input_is_a_draw_too() -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,), input_noise="random-conv"
    )
    view = as_view(agent)
    obs, _ = agent.env.reset(seed=0)
    view.redraw(20, seed=1)
    clean = view.activations(obs, "encoder")
    moved = torch.stack([view.activations(obs, "encoder", draw=m) for m in range(20)])
    changed = (moved - clean).abs().amax((1, 2)) > 1e-4
    assert changed.all(), "a draw is never the clean picture, whatever the probability of clean ones in training"
    distances = feature_distance(clean.numpy(), moved.numpy())
    assert distances.absolute > 0
    assert 0 < distances.cosine < 1
    agent.env.close()


def test_activations_are_what_the_layer_puts_out(ppo: jostle.PPO) -> None:
    view = as_view(ppo)
    assert {"encoder", "actor", "actor.0", "critic", "policy", "value"} <= set(view.layers())
    hidden = view.activations(OBS, "actor.0")
    network: Any = view.module
    with view.noise.mean():
        torch.testing.assert_close(hidden, network.actor[0](torch.tensor(OBS)))
    assert hidden.shape == (3, 8)
    assert not network.actor[0]._forward_hooks, "the hook is gone"
    with pytest.raises(ConfigError, match=r"has no layer 'actor\.9'; did you mean actor"):
        view.activations(OBS, "actor.9")


def test_gradients_reach_the_observations(ppo: jostle.PPO) -> None:
    obs = torch.tensor(OBS, requires_grad=True)
    found = as_view(ppo).distribution(obs)
    assert isinstance(found, Probabilities)
    found.p[:, 0].sum().backward()
    assert obs.grad is not None
    assert (obs.grad.abs().sum(1) > 0).all()


def test_a_recurrent_policy_hands_its_state_on() -> None:
    agent = jostle.PPO(
        "CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1,
    )  # fmt: skip
    view = as_view(agent)
    assert view.recurrent
    first = view.forward(OBS)
    assert first.state is not None
    second = view.forward(OBS, state=first.state)
    forgotten = view.forward(OBS, state=first.state, start=torch.tensor([True, False, True]))
    torch.testing.assert_close(forgotten.value[[0, 2]], first.value[[0, 2]])
    torch.testing.assert_close(forgotten.value[1], second.value[1])
    assert (second.value - first.value).abs().max() > 1e-4


def test_a_continuous_policy() -> None:
    agent = jostle.PPO("Pendulum-v1", num_envs=2, num_steps=8, hidden=(8,))
    with torch.no_grad():
        agent.network.log_std.fill_(-1.0)
    found = as_view(agent).distribution(np.zeros((5, 3), np.float32))
    assert isinstance(found, MeanStd)
    assert found.mean.shape == (5, 1)
    torch.testing.assert_close(found.std, torch.full((5, 1), float(np.exp(-1.0))))


class Net(nn.Module):
    """Logits that prefer action 1 where the pole falls to the right, and a value."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        side = x[:, 2] + x[:, 3]
        return torch.stack([-side, side], 1), side


def test_anybodys_module() -> None:
    view = as_view(Net(), kind="logits", env="CartPole-v1")
    found = view.distribution(OBS)
    assert isinstance(found, Probabilities)
    side = torch.tensor(OBS[:, 2] + OBS[:, 3])
    torch.testing.assert_close(found.p, torch.stack([-side, side], 1).softmax(1))
    torch.testing.assert_close(view.value(OBS), side[:, None])
    assert view.actor(rows=3).act(OBS).tolist() == (side > 0).long().tolist()
    assert jostle.evaluate(view, 4).mean > 100, "of 500: it balances the pole"
    assert jostle.evaluate(view, 4).as_dict() == jostle.evaluate(view, 4).as_dict()
    q = as_view(Net(), kind="q", env="CartPole-v1")
    assert q.q(OBS).shape == (3, 1, 2)
    assert jostle.evaluate(q, 4).episodes == jostle.evaluate(view, 4).episodes


def test_sampled_actions_of_a_module_follow_its_probabilities() -> None:
    class Biased(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(torch.tensor([0.2, 0.8])).expand(len(x), 2)

    view = as_view(Biased(), kind="logits", env="CartPole-v1")
    actor = view.actor(rows=3, seed=1, sample=True)
    taken = np.mean([actor.act(OBS) for _ in range(2000)])
    assert taken == pytest.approx(0.8, abs=0.03)  # five standard errors


def test_a_module_of_mean_actions_is_clipped_to_the_space() -> None:
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32))
    seen = spaces.Box(-9, 9, (2,), np.float32)
    view = as_view(nn.Identity(), kind="mean", observation_space=seen, action_space=space)
    obs = np.array([[3.0, 3.0], [-0.5, -4.0]], np.float32)
    assert view.actor(rows=2).act(obs).tolist() == [[1.0, 3.0], [-0.5, 0.0]]
    found = view.distribution(obs)
    assert isinstance(found, MeanStd)
    assert found.std.abs().max() == 0


@pytest.mark.parametrize("mode", ["mean", "fixed", "sampled", "mc:3"])
def test_a_module_computes_the_rows_that_count(mode: str) -> None:
    torch.manual_seed(0)
    layer = NoisyLinear(4, 50, sigma0=3.0)
    view = as_view(layer, kind="logits", observation_space=spaces.Box(-9, 9, (4,)), action_space=spaces.Discrete(50))
    whole, part = (view.actor(mode, rows=3, seed=1, sample=True) for _ in range(2))
    computed: list[int] = []
    part.view.module.register_forward_hook(lambda _module, _args, out: computed.append(len(out)))
    for among in ([0, 2], [2], [1, 2]):
        assert whole.act(OBS)[among].tolist() == part.act(OBS, None, np.array(among))[among].tolist()
        if mode == "mc:3":
            np.testing.assert_allclose(part.disagreement[among], whole.disagreement[among], atol=1e-5)
        assert computed.pop() == len(among) * (3 if mode == "mc:3" else 1)


def test_noise_inside_a_module_works_in_every_mode() -> None:
    torch.manual_seed(0)
    view = as_view(NoisyLinear(4, 2, sigma0=3.0), kind="logits", env="CartPole-v1")
    assert view.stochastic
    mean, fixed, sampled, many = (view.actor(mode, rows=3, seed=1) for mode in ("mean", "fixed", "sampled", "mc:50"))
    same = np.ones((3, 4), np.float32)
    assert len({tuple(mean.act(same)) for _ in range(30)}) == 1
    held = {tuple(fixed.act(same)) for _ in range(30)}
    assert len(held) == 1, "one draw, held"
    assert len(set(held.pop())) == 1, "and shared by the rows"
    assert len({tuple(sampled.act(same)) for _ in range(30)}) > 2, "rows and calls differ"
    assert mean.disagreement is None
    many.act(same)
    assert many.disagreement is not None
    assert many.disagreement.shape == (3,)
    assert (many.disagreement > 0.05).all()
    assert (many.disagreement <= np.log(2)).all()


def wide_and_noisy() -> Any:
    """A view of five logits whose draws disagree, and observations of 64 rows."""
    torch.manual_seed(0)
    seen = spaces.Box(-9, 9, (4,))
    view = as_view(
        NoisyLinear(4, 5, sigma0=6.0), kind="logits", observation_space=seen, action_space=spaces.Discrete(5)
    )
    return view, np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)


def test_a_module_averages_probabilities_and_not_their_logarithms() -> None:
    view, obs = wide_and_noisy()
    actor = view.actor("mc:4", rows=64, seed=1)
    action = actor.act(obs).tolist()
    p = torch.stack([actor.view.distribution(obs, draw=m).p for m in range(4)])
    assert action == p.mean(0).argmax(1).tolist()
    assert action != p.log().mean(0).argmax(1).tolist()
    many = view.actor("mc:4", rows=64, seed=1, sample=True)
    shares = np.zeros((64, 5))
    row = np.arange(64)
    for _ in range(300):
        taken = many.act(obs)
        draws = torch.stack([many.view.distribution(obs, draw=m).p for m in range(4)]).mean(0).numpy()
        shares[row, taken] += 1 / 300
        shares -= draws / 300
    assert np.abs(shares).max() < 0.15  # five standard errors


def test_fixed_acts_under_its_draw_and_not_clean() -> None:
    view, obs = wide_and_noisy()
    actor = view.actor("fixed", rows=64, seed=1)
    action = actor.act(obs).tolist()
    assert action == actor.view.distribution(obs, draw=0).p.argmax(1).tolist()
    assert action != view.distribution(obs).p.argmax(1).tolist()
    other = view.actor("fixed", rows=64, seed=2)
    assert action != other.act(obs).tolist(), "another seed is another draw"


@pytest.mark.parametrize(
    ("policy", "how", "said"),
    [
        (object(), {}, "a object is no policy that can be viewed: give an agent"),
        (nn.Linear(4, 2), {"kind": "logits"}, "does not know its spaces: give as_view"),
        (nn.Linear(4, 2), {"env": "CartPole-v1"}, "cannot be seen from outside: give as_view"),
        (nn.Linear(4, 2), {"env": "CartPole-v1", "kind": "logit"}, "did you mean logits"),
        (nn.Linear(4, 2), {"env": "CartPole-v1", "kind": "mean"}, "needs Box actions, not Discrete"),
        (nn.Linear(3, 1), {"env": "Pendulum-v1", "kind": "q"}, "needs Discrete actions, not Box"),
    ],
)
def test_what_has_no_view(policy: Any, how: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        as_view(policy, **how)


def test_outputs_of_another_size_are_named() -> None:
    view = as_view(nn.Linear(4, 3), kind="logits", env="CartPole-v1")
    with pytest.raises(ConfigError, match=r"Linear must return \[B, 2\] for Discrete\(2\), not \[3, 3\]"):
        view.distribution(OBS)
    with pytest.raises(ConfigError, match="has no layer with noise: leave draw out"):
        as_view(Net(), kind="q", env="CartPole-v1").q(OBS, draw=0)
    with pytest.raises(ConfigError, match="nothing to draw"):
        as_view(Net(), kind="q", env="CartPole-v1").redraw(3)


def test_pictures_in_another_order_or_type_are_named() -> None:
    """A convolution over floats, channels first, meets uint8 pictures, channels last."""
    view = as_view(nn.Conv2d(3, 3, 32), kind="logits", env="jostle/ThemedCatch-v0")
    with pytest.raises(
        ConfigError, match=r"Conv2d cannot take the observations \[1, 32, 32, 3\] of uint8 \(.*Sequential"
    ):
        jostle.evaluate(view, 1)


def test_an_unknown_home_is_asked_for() -> None:
    seen, acts = spaces.Box(-9, 9, (4,), np.float32), spaces.Discrete(2)
    view = as_view(Net(), kind="q", observation_space=seen, action_space=acts)
    with pytest.raises(ConfigError, match="nobody knows where Net was trained: give env="):
        jostle.evaluate(view)
    said = (
        r"CartPole-v1 has other spaces than the one that Net was trained in: other bounds of its observations Box\[4\] "
        r"of float32; choose an environment, and options such as frame_stack or size, that leave both as they were\."
    )
    with pytest.raises(ConfigError, match=said):
        jostle.evaluate(view, env="CartPole-v1")


def test_a_policy_without_a_policy_is_not_sampled(dqn: jostle.DQN) -> None:
    for policy in (dqn, as_view(Net(), kind="q", env="CartPole-v1")):
        with pytest.raises(ConfigError, match="sample"):
            jostle.evaluate(policy, 2, actions="sampled")


def test_networks_alone(dqn: jostle.DQN, ppo: jostle.PPO) -> None:
    for agent in (dqn, ppo):
        view = as_view(agent.network, env="CartPole-v1", name="alone")
        assert view.name == "alone"
        for noise in ("mean", "mc:3"):
            assert jostle.evaluate(view, 3, noise=noise).episodes == jostle.evaluate(agent, 3, noise=noise).episodes


def test_a_view_of_a_view_is_itself(dqn: jostle.DQN) -> None:
    view = as_view(dqn)
    assert as_view(view) is view
    assert jostle.evaluate(view, 3).as_dict() == jostle.evaluate(dqn, 3).as_dict()


def test_spaces_of_a_gymnasium_function() -> None:
    view = as_view(Net(), kind="q", env=lambda: gym.make("CartPole-v1"))
    assert len(jostle.evaluate(view, 2).episodes) == 2
