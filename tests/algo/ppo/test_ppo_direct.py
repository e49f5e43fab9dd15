"""Gradients without autograd are those with it, and only policies that they are right for have them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jostle
from jostle.algo.ppo.batches import Batch, batches
from jostle.algo.ppo.direct import Direct

SMALL: dict[str, Any] = {"num_envs": 6, "num_steps": 8, "minibatches": 2, "epochs": 2, "seed": 3, "hidden": (7, 5)}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "values clipped": {"value_clip": 0.05, "clip": 0.02},
    "ReLU, one layer": {"activation": "relu", "hidden": (9,)},
    "no hidden layer": {"hidden": ()},
    "raw": {"normalise_obs": False, "normalise_advantage": False, "entropy_coef": 0.3},
    "two streams in their units": {"bonus": ("rnd",), "bonus_features": 6, "bonus_warmup": 2, "value_norm": "all"},
}


def prepared(env: Any, **settings: Any) -> tuple[jostle.PPO, Batch]:
    """An agent whose policy has moved away from the one that acted, and a minibatch of what that one saw."""
    agent = jostle.PPO(env, **SMALL | settings)
    agent.learn(60)
    agent._collect()
    scored = agent._score()
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.05)
    rows = torch.randperm(48, generator=torch.Generator().manual_seed(2))[None, :40]
    (batch,) = batches(agent.rollout, [rows], scored.advantage, scored.target, normalise=False)
    return agent, batch


def gradients(agent: jostle.PPO, batch: Batch, direct: bool) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    agent.network.zero_grad()
    agent.learner._direct = Direct(agent.network) if direct else None
    terms, error = agent.learner._differentiate(batch, batch.valid.sum())
    found = {name: p.grad for name, p in agent.network.named_parameters()}
    assert all(gradient is not None for gradient in found.values())
    return {name: g for name, g in found.items() if g is not None}, terms, error


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("actions", ["discrete", "multi", "box"])
def test_gradients_and_terms_are_those_of_autograd(lively: Any, actions: str, settings: dict[str, Any]) -> None:
    agent, batch = prepared(lambda: lively(actions, end=0.2), **settings)
    assert Direct.suits(agent.network)
    assert not batch.valid.all()
    ours, automatic = (gradients(agent, batch, direct) for direct in (True, False))
    for name, gradient in automatic[0].items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(ours[0][name], gradient, rtol=1e-4, atol=1e-6)
        assert ours[0][name].stride() == gradient.stride(), "fused optimisers go by address"
    for name, term in automatic[1].items():
        torch.testing.assert_close(ours[1][name], term, rtol=1e-5, atol=1e-7)
    assert float(automatic[2]) > 0.01
    torch.testing.assert_close(ours[2], automatic[2])


def test_whole_trainings_agree(lively: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for direct in (True, False):
        if not direct:
            monkeypatch.setattr(Direct, "suits", lambda _: False)
        agent = jostle.PPO(lambda: lively("box", end=0.2), **SMALL | {"learning_rate": 1e-3})
        agent.learn(300)
        assert (agent.learner._direct is not None) == direct
        weights.append(torch.cat([p.detach().flatten() for p in agent.network.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"noisy": "independent"}, {"shared": True}, {"recurrent": "gru", "shared": True, "hidden": (7,)},
        {"heads": "residual"}, {"microbatch": 8}, {"kl_penalty": "adaptive"}, {"bfloat16": True},
    ],
    ids=str,
)  # fmt: skip
def test_other_policies_and_losses_learn_by_autograd(lively: Any, settings: dict[str, Any]) -> None:
    agent = jostle.PPO(lambda: lively("discrete", end=0.2), **SMALL | settings)
    agent.learn(60)
    assert agent.learner._direct is None


def test_hooks_frozen_weights_and_changed_layers_are_respected(lively: Any) -> None:
    agent = jostle.PPO(lambda: lively("discrete", end=0.2), **SMALL)
    first = agent.network.actor[0]
    assert isinstance(first, nn.Linear)
    seen: list[Any] = []
    handle = agent.network.policy.register_full_backward_hook(lambda module, given, got: seen.append(got))
    assert not Direct.suits(agent.network)
    agent.learn(60)
    assert seen
    handle.remove()
    assert Direct.suits(agent.network)
    tensor_hook = first.weight.register_hook(lambda grad: 0 * grad)  # type: ignore[no-untyped-call]
    assert not Direct.suits(agent.network)
    tensor_hook.remove()
    first.requires_grad_(False)
    assert not Direct.suits(agent.network)
    kept = first.weight.clone()
    agent.learn(60)
    assert torch.equal(first.weight, kept)
    first.requires_grad_(True)
    agent.network.critic[0].weight = first.weight  # type: ignore[index, assignment]
    assert not Direct.suits(agent.network), "gradients of what two layers share add up"
    agent.network.critic[0].weight = nn.Parameter(kept)  # type: ignore[index, assignment]
    assert Direct.suits(agent.network)
    agent.network.actor.append(nn.Dropout(0.5))
    assert not Direct.suits(agent.network)
