"""Randomness in DQN's input: it acts and learns on changed pictures, and bootstraps from clean ones."""

from typing import Any

import pytest
import torch
from torch import Tensor

import jostle
from jostle.algo.dqn.learner import LEARN, SELECT
from jostle.algo.dqn.replay import Batch
from jostle.algo.parts.auxiliary import on_device
from jostle.errors import ConfigError
from jostle.functional import td_loss
from jostle.nn.input_layer import InputLayer


def make(lively: Any, **settings: Any) -> jostle.DQN:
    settings = {"hidden": (8,), "warmup": 20, "batch_size": 12, "input_clean": 0.0} | settings
    return jostle.DQN(
        lambda: lively(observations="picture"), num_envs=3, seed=3, input_noise="random-conv", replay_size=300,
        **settings,
    )  # fmt: skip


def pictures(agent: jostle.DQN, obs: Any, noise: Tensor | None) -> Tensor:
    """Clean pictures, or each convolved with its φ, [B, 1, H, W]."""
    x: Tensor = obs.permute(0, 3, 1, 2).float() / 255
    if noise is None:
        return x
    phi = noise[:, :-1].view(-1, 1, 1, 3, 3).expand(len(x), -1, -1, -1, -1)
    return torch.cat([torch.nn.functional.conv2d(p[None], w, padding=1) for p, w in zip(x, phi, strict=True)])


def values(network: Any, x: Tensor) -> Tensor:
    q: Tensor = network.q(network.encoder.convolutions(x))
    return q


def layer_of(network: Any) -> InputLayer:
    (layer,) = [m for m in network.modules() if isinstance(m, InputLayer)]
    return layer


def batch_of(agent: jostle.DQN) -> Batch:
    agent.learn(60)
    batch = agent.replay.sample(agent.config.batch_size, agent._rng_replay, agent.device)
    agent.noise.draw()
    agent.target_noise.draw()
    agent.looks.before_update()
    return batch


def by_hand(agent: jostle.DQN, batch: Batch, noise: Tensor | None, following: Tensor | None) -> float:
    """Double Q-learning's loss, the learned rows and those that follow seen through the given draws."""
    c = agent.config
    with torch.no_grad():
        after = pictures(agent, batch.next_obs, following)
        best = values(agent.network, after)[:, 0].argmax(1)
        value = values(agent.target, after)[:, 0].gather(1, best[:, None])[:, 0]
        target = batch.reward[:, 0, 0] + c.gamma * (~batch.terminated[:, 0]).float() * value
        q = values(agent.network, pictures(agent, batch.obs, noise))[:, 0]
        chosen = q.gather(1, batch.action[:, None])
        return td_loss(chosen, target[:, None], c.loss).item()


@pytest.mark.parametrize("target", ["clean", "same"])
@pytest.mark.parametrize("per", ["iteration", "env", "episode", "sample"])
def test_it_learns_changed_and_bootstraps_clean(lively: Any, per: str, target: str) -> None:
    agent = make(lively, input_per=per, input_target=target, dueling=True)
    batch = batch_of(agent)
    slots = torch.arange(12) if per == "sample" else torch.zeros(12, dtype=torch.int64)
    noise = layer_of(agent.network).noise[slots].clone()
    if per == "sample":
        assert len({tuple(row.tolist()) for row in noise}) == 12
    following = noise if target == "same" else None
    assert agent.loss(batch).item() == pytest.approx(by_hand(agent, batch, noise, following), rel=2e-5)
    assert by_hand(agent, batch, noise, noise) != pytest.approx(by_hand(agent, batch, noise, None), rel=1e-4)


@pytest.mark.parametrize("per", ["iteration", "sample"])
def test_every_update_learns_under_new_draws(lively: Any, per: str) -> None:
    """Of the input, which the target's copies follow, and of the weights: ξ and ξ″ online, ξ′ of the target."""
    agent = make(lively, input_per=per, input_target="same", noisy="factorised")
    weights = next(layer for name, layer in agent.noise.layers.items())
    other = next(layer for name, layer in agent.target_noise.layers.items())
    seen: list[tuple[Tensor, ...]] = []
    learn = agent.learner.loss

    def watched(batch: Batch, *rest: Any) -> Tensor:
        learned = layer_of(agent.network).noise[: agent.looks.learned]
        assert torch.equal(learned, layer_of(agent.target).noise[: agent.looks.learned])
        seen.append(
            (learned.clone(), weights.noise[[LEARN]].clone(), weights.noise[[SELECT]].clone(), other.noise.clone())
        )
        return learn(batch, *rest)

    agent.learner.loss = watched
    agent.learn(60)
    assert len(seen) > 5
    for part in zip(*seen, strict=True):
        assert len({tuple(noise.flatten().tolist()) for noise in part}) == len(seen)


@pytest.mark.filterwarnings("ignore:feature_reduce")
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("layer", ["hidden", "encoder"])
def test_feature_matching_by_hand(lively: Any, layer: str, reduce: str) -> None:
    agent = make(
        lively, input_per="sample", feature_matching=0.5, feature_layer=layer, feature_reduce=reduce,
        noisy="factorised", dueling=True,
    )  # fmt: skip
    batch = batch_of(agent)
    noise = layer_of(agent.network).noise[torch.arange(12)].clone()
    agent.learner.terms.clear()
    agent.loss(batch)
    (term,) = agent.learner.terms["losses/feature_matching"]
    with torch.no_grad(), agent.noise.using(LEARN):
        sides = []
        for seen in (None, noise):
            encoded = agent.network.encoder.convolutions(pictures(agent, batch.obs, seen))
            streams = (agent.network.value, agent.network.advantage)
            hidden = torch.cat([torch.relu(stream[0](encoded)) for stream in streams], 1)
            sides.append(encoded if layer == "encoder" else hidden)
    squares = (sides[1] - sides[0]).square()
    rows = squares.mean(1) if reduce == "mean" else squares.sum(1)
    assert term.item() == pytest.approx(0.5 * rows.mean().item(), rel=1e-4)


@pytest.mark.parametrize(("coef", "weight"), [(None, 1.0), (0.35, 0.35)])
def test_svea_acts_clean_and_learns_both_with_clean_targets(lively: Any, coef: float | None, weight: float) -> None:
    agent = make(lively, input_per="sample", input_use="svea", input_coef=coef)
    batch = batch_of(agent)
    noise = layer_of(agent.network).noise[torch.arange(12)].clone()
    expected = by_hand(agent, batch, None, None) + weight * by_hand(agent, batch, noise, None)
    assert agent.loss(batch).item() == pytest.approx(expected, rel=1e-4)
    with agent.looks.acting(), agent.noise.mean():
        q = agent.network(batch.obs)
    assert torch.allclose(q, values(agent.network, pictures(agent, batch.obs, None)), atol=1e-6)


@pytest.mark.parametrize(("per", "slots"), [("iteration", 1), ("env", 3), ("episode", 3), ("sample", 3)])
def test_acting_draws(lively: Any, per: str, slots: int) -> None:
    """Held until something was learned, for an episode, or for one action."""
    agent = make(lively, input_per=per, warmup=10**6)
    layer = layer_of(agent.network)
    assert len(agent.looks._acting) == slots
    for _ in range(30):
        before, start = layer.noise[agent.looks._acting].clone(), agent._start.copy()
        agent.advance()
        moved = (layer.noise[agent.looks._acting] != before).any(1)
        expected = {"iteration": [False], "env": [False] * 3, "episode": start.tolist(), "sample": [True] * 3}[per]
        assert moved.tolist() == expected
    if per in ("iteration", "env"):
        before = layer.noise[agent.looks._acting].clone()
        agent._warm_until = 0
        while agent.updates == 0:
            agent.advance()
        assert (layer.noise[agent.looks._acting] != before).any(1).all()


def test_a_resumed_run_is_the_unbroken_one(tmp_path: Any) -> None:
    settings: dict[str, Any] = {
        "num_envs": 4, "hidden": (8,), "warmup": 30, "batch_size": 8, "input_noise": "random-conv", "seed": 1,
        "input_per": "episode", "feature_matching": 0.1, "feature_teacher": 0.5, "noisy": "factorised",
    }  # fmt: skip
    whole = jostle.DQN("jostle/ThemedCatch-v0", **settings).learn(100)
    part = jostle.DQN("jostle/ThemedCatch-v0", **settings).learn(60)
    again = jostle.load(part.save(tmp_path / "agent", replay=True))
    again.learn(40)
    assert again.updates == whole.updates > part.updates > 0
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


class Pull(torch.nn.Module):
    """An auxiliary loss with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, policy: Any, batch: Any, out: Any) -> dict[str, Tensor]:
        return {"pull": batch.mean(self.weight * out.q.square().sum((1, 2)))}


def test_auxiliary_losses_of_a_users_own(lively: Any) -> None:
    aux = Pull()
    agent = jostle.DQN(lambda: lively(observations="picture"), num_envs=3, warmup=20, hidden=(8,), aux=[aux])
    agent.learn(200)
    assert float(aux.weight.detach()) < 1
    assert agent.updates > 0


def test_a_restored_agent_still_tells_the_losses_since_the_last_line(lively: Any) -> None:
    agent, other = (
        jostle.DQN(lambda: lively(observations="picture"), num_envs=3, warmup=6, hidden=(8,), aux=[Pull()])
        for _ in range(2)
    )
    while agent.updates < 3:
        agent.advance()
    other.load_state_dict(agent.state_dict())
    mine, theirs = agent.drain_metrics(), other.drain_metrics()
    for name in ("losses/td_loss", "losses/pull"):
        assert mine[name] == theirs[name]


def test_modules_go_where_the_agent_is() -> None:
    (moved,) = on_device([Pull()], torch.device("meta"))
    assert isinstance(moved, Pull)
    assert moved.weight.device.type == "meta"


def test_there_is_no_policy_to_pull_together(lively: Any) -> None:
    with pytest.raises(ConfigError, match="svea"):
        make(lively, input_use="drac")
