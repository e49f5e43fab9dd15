"""PPO's first ratio is 1: the learner sees what acted, under the noise and from the recurrent state that acted."""

import contextlib
import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jostle
from jostle.algo.parts.auxiliary import INPUT
from jostle.nn.encoders import ImageEncoder
from jostle.nn.noisy import NoisyLinear

STEPS, ENVS = 12, 5
LOOKS = {"input_noise": "random-conv", "input_clean": 0.3, "observations": "picture"}
CASES: dict[str, dict[str, Any]] = {
    "mlp": {},
    "shared": {"shared": True},
    "residual": {"heads": "residual", "shared": True, "activation": "relu"},
    "multi-discrete": {"actions": "multi"},
    "gaussian": {"actions": "box"},
    "dictionary": {"observations": "dict"},
    "dictionary-gru": {"observations": "dict", "recurrent": "gru"},
    "nature": {"observations": "picture"},
    "nature-microbatch": {"observations": "picture", "microbatch": 4},
    "normalised": {"normalise_obs": True},
    "rnd": {"bonus": ("rnd",)},
    "gru": {"recurrent": "gru"},
    "lstm": {"recurrent": "lstm"},
    "gru-sequences": {"recurrent": "gru", "sequence_length": 4},
    "lstm-sequences": {"recurrent": "lstm", "sequence_length": 3, "minibatch_by": "slices"},
    "lstm-microbatch": {"recurrent": "lstm", "sequence_length": 6, "microbatch": 6},
    "lstm-gaussian": {"recurrent": "lstm", "actions": "box", "normalise_obs": True},
    "factorised": {"noisy": "factorised"},
    "independent": {"noisy": "independent"},
    "factorised-together": {"noisy": "factorised", "noise_per_env": False},
    "independent-together": {"noisy": "independent", "noise_per_env": False},
    "noisy-gru": {"noisy": "factorised", "recurrent": "gru", "sequence_length": 4},
    "noisy-lstm": {"noisy": "independent", "recurrent": "lstm"},
    "noisy-gaussian": {"noisy": "independent", "actions": "box"},
    "noisy-nature": {"noisy": "factorised", "observations": "picture"},
    **{f"random-conv-{per}": {**LOOKS, "input_per": per} for per in ("iteration", "env", "episode", "sample")},
    "random-conv-episode-gru": {**LOOKS, "input_per": "episode", "recurrent": "gru", "sequence_length": 4},
    "random-conv-sample-noisy": {**LOOKS, "input_per": "sample", "noisy": "factorised", "microbatch": 4},
    "random-conv-env-rnd": {**LOOKS, "input_per": "env", "bonus": ("rnd",), "feature_matching": 0.1},
    "cutout-dropout": {**LOOKS, "input_noise": "cutout", "input_per": "sample", "dropout": 0.3},
    "drac": {**LOOKS, "input_use": "drac", "input_per": "sample"},
    "svea-gru": {**LOOKS, "input_use": "svea", "input_per": "env", "recurrent": "gru"},
}
BOTH = [
    pytest.param(settings, recompute, id=f"{name}-{'recomputed' if recompute else 'acting'}")
    for name, settings in CASES.items()
    for recompute in ((False,) if "recurrent" in settings else (False, True))
]


def make(lively: Any, **settings: Any) -> jostle.PPO:
    env = {key: settings.pop(key) for key in ("actions", "observations") if key in settings}
    settings = {"hidden": (8,), "recurrent_size": 6, "num_steps": STEPS, "epochs": 1, "minibatches": 2} | settings
    if "recurrent" in settings:
        settings = {"minibatch_by": "envs"} | settings
    bonus = {"bonus_warmup": 5, "bonus_features": 8}
    if "noisy" in settings:
        settings["sigma0"] = 1.0
    return jostle.PPO(lambda: lively(**env), num_envs=ENVS, seed=3, learning_rate=0.02, **bonus, **settings)


def first_error(agent: jostle.PPO) -> float:
    return float(agent.learner.sums["losses/first_ratio_error"][-1])


@pytest.mark.parametrize(("settings", "recompute"), BOTH)
def test_the_first_ratio_is_one(lively: Any, settings: dict[str, Any], recompute: bool) -> None:
    """In every one of three rollouts, between which weights, statistics, draws and recurrent states have moved on."""
    agent = make(lively, recompute=recompute, **settings)
    for _ in range(3):
        before = [p.clone() for p in agent.network.parameters()]
        agent.advance()
        assert first_error(agent) <= 1e-4
        assert not all(torch.equal(p, q) for p, q in zip(before, agent.network.parameters(), strict=True))
    assert agent.rollout.start[1:-1].any(), "episodes must start in the middle"
    assert not agent.rollout.start[0].all(), "episodes must cross the border"


def plain(network: nn.Module, slot: int) -> nn.Module:
    """A copy whose noisy layers became linear ones with μ + σ∘ε of one slot."""
    made = copy.deepcopy(network)
    if isinstance(network.get_submodule("encoder"), ImageEncoder):
        made.encoder.input = network.encoder.input  # the very layer, with its draws
    for name, layer in list(network.named_modules()):
        if not isinstance(layer, NoisyLinear):
            continue
        noise, (q, p) = layer.noise[slot], layer.weight.shape
        if layer.kind == "factorised":
            weight, bias = torch.outer(noise[p:], noise[:p]), noise[p:]
        else:
            weight, bias = noise[: p * q].view(q, p), noise[p * q :]
        linear = nn.Linear(p, q)
        linear.weight.data = layer.weight.data + layer.weight_sigma.data * weight
        linear.bias.data = layer.bias.data + layer.bias_sigma.data * bias
        parent, _, child = name.rpartition(".")
        setattr(made.get_submodule(parent), child, linear)
    return made


def acted(agent: jostle.PPO) -> tuple[Tensor, Tensor]:
    """The policy's parameters [T, N, P] and values of the stored rollout, environment by environment, step by step."""
    r, noisy = agent.rollout, agent.config.noisy != "none"
    pi = torch.zeros_like(r.pi)
    value = torch.zeros_like(r.value)
    for n in range(ENVS):
        slot = n if agent.config.noise_per_env else 0
        network = plain(agent.network, slot) if noisy else agent.network
        state = None if r.state is None else r.state[0, :, n : n + 1]
        for t in range(STEPS + 1):
            obs = r.observations(torch.tensor([t * ENVS + n]))
            if r.start[t, n] and state is not None:
                state = torch.zeros_like(state)
            looks = agent.forward.looks
            with torch.no_grad(), looks.using(int(r.draw[t, n, INPUT])) if looks else contextlib.nullcontext():
                out = network(obs, state, None)
            if t < STEPS:
                pi[t, n] = out[0][0]
            value[t, n], state = out[1][0], out[2]
    return pi, value


@pytest.mark.parametrize(("settings", "recompute"), BOTH)
def test_what_is_stored_is_what_acted(lively: Any, settings: dict[str, Any], recompute: bool) -> None:
    """Recomputing would hide a wrong draw from the ratio, so everything is compared with acting one step at a time."""
    agent = make(lively, recompute=recompute, **settings)
    agent.advance()
    seen: list[Tensor] = []

    def spy(inner: Any) -> Any:
        def call(*arguments: Any) -> Any:
            out = inner(*arguments)
            if len(out[0]) == ENVS and len(seen) < STEPS:
                seen.append(out[0].detach().clone())
            return out

        return call

    agent.forward.policy, agent.forward.values = spy(agent.forward.policy), spy(agent.forward.values)  # type: ignore[method-assign]
    r, starts_last = agent.rollout, False
    for _ in range(20):
        seen.clear()
        agent._collect()
        starts_last |= bool(r.start[-1].any())
        pi, value = acted(agent)
        log_prob = agent.head.distribution(pi.flatten(0, 1)).log_prob(r.action.flatten(0, 1))
        torch.testing.assert_close(torch.stack(seen), pi, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(r.pi, pi, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(r.value, value, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(r.log_prob.flatten(), log_prob, atol=1e-4, rtol=1e-4)
        if starts_last:
            break
    assert starts_last, "a rollout must end on the first observation of an episode"
    if agent.config.noisy != "none":
        apart = (pi - pi[:, :1]).abs().amax((0, 2))
        assert (apart[1:] > 1e-3).all(), "environments must differ for this to prove anything"


@pytest.mark.parametrize(
    "name",
    [
        "factorised",
        "independent",
        "noisy-gru",
        "noisy-lstm",
        "noisy-nature",
        "noisy-gaussian",
        "random-conv-env",
        "random-conv-episode",
        "random-conv-sample",
        "random-conv-episode-gru",
        "cutout-dropout",
    ],
)
def test_a_wrong_draw_shows_in_the_ratio(lively: Any, name: str) -> None:
    agent = make(lively, recompute=False, **CASES[name], minibatches=1)
    agent.advance()
    agent._collect()
    scored = agent._score()
    draw = agent.rollout.draw
    draw[:, [1, 2]] = draw[:, [2, 1]]
    agent.learner.learn(scored)
    assert first_error(agent) > 1e-2


@pytest.mark.parametrize("name", ["gru", "lstm", "gru-sequences", "noisy-lstm"])
@pytest.mark.parametrize("damage", ["state", "start"])
def test_a_wrong_state_or_start_shows_in_the_ratio(lively: Any, name: str, damage: str) -> None:
    agent = make(lively, **CASES[name], minibatches=1)
    agent.advance()
    agent._collect()
    scored, r = agent._score(), agent.rollout
    assert r.state is not None
    if damage == "state":
        r.state[0] = 0
    else:
        r.start[1:] = False
    agent.learner.learn(scored)
    assert first_error(agent) > 1e-3


def test_fresh_draws_for_every_rollout_and_none_within(lively: Any) -> None:
    agent = make(lively, noisy="factorised")
    noises = []
    for _ in range(2):
        agent._collect()
        noises.append(torch.cat([layer.noise.clone() for layer in agent.noise.layers.values()], 1))
        agent.learner.learn(agent._score())
        after = torch.cat([layer.noise for layer in agent.noise.layers.values()], 1)
        assert torch.equal(noises[-1], after), "learning must not draw"
    assert not torch.equal(*noises)
    assert len({tuple(row.tolist()) for row in noises[0]}) == ENVS, "each environment has its own draw"
    assert np.array_equal(agent.rollout.draw[..., 0].numpy(), np.tile(np.arange(ENVS), (STEPS + 1, 1)))


@pytest.mark.parametrize("settings", [{}, {"noisy": "factorised"}, {"observations": "picture"}, {"actions": "box"}])
def test_in_bfloat16_probabilities_are_recomputed_by_the_learner(lively: Any, settings: dict[str, Any]) -> None:
    agent = make(lively, bfloat16=True, **settings)
    for _ in range(3):
        agent.advance()
        assert first_error(agent) <= 1e-4


@pytest.mark.parametrize("recurrent", ["gru", "lstm"])
def test_in_bfloat16_with_recurrence(lively: Any, recurrent: str) -> None:
    agent = make(lively, bfloat16=True, recurrent=recurrent)
    for _ in range(3):
        agent.advance()
        assert first_error(agent) <= 1e-4
