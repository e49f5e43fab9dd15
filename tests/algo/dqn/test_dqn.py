"""DQN: losses by hand, independent noise, settings that all learn, and determinism."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import jostle
from jostle.algo.dqn.learner import ACT, LEARN, SELECT
from jostle.algo.dqn.replay import Batch
from jostle.errors import ConfigError

SWITCHES = {
    "noisy": ["none", "factorised", "independent"],
    "dueling": [False, True],
    "double": [False, True],
    "n_step": [1, 3],
    "loss": ["huber", "squared"],
    "target_tau": [0.0, 0.1],
}
COMBINATIONS = [dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(*SWITCHES.values())]


def in_every_pair(switches: dict[str, Any]) -> bool:
    """Whether a combination is one of the quarter in which any two switches stand in every way beside each other."""
    noisy, dueling, double, n_step, loss, tau = (values.index(switches[name]) for name, values in SWITCHES.items())
    return (dueling + double + n_step) % 2 == noisy % 2 and (n_step + loss + tau) % 2 == 0


QUICK = [switches for switches in COMBINATIONS if in_every_pair(switches)]


def test_any_two_switches_are_tried_in_every_way() -> None:
    for one, other in itertools.combinations(SWITCHES, 2):
        tried = {(switches[one], switches[other]) for switches in QUICK}
        assert len(tried) == len(SWITCHES[one]) * len(SWITCHES[other]), (one, other)


def small(env: Any, **settings: Any) -> jostle.DQN:
    defaults = {"hidden": (16,), "batch_size": 32, "warmup": 64, "replay_size": 2_000}
    if not settings.get("target_tau"):
        defaults["target_interval"] = 64
    return jostle.DQN(env, num_envs=4, **(defaults | settings))


def random_for(steps: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with epsilon falling over so many steps, where noise does not take its place."""
    return settings if settings.get("noisy", "none") != "none" else settings | {"epsilon_steps": steps}


@pytest.mark.parametrize(
    "switches",
    [pytest.param(s, marks=() if in_every_pair(s) else pytest.mark.slow) for s in COMBINATIONS],
    ids=lambda s: "-".join(str(v) for v in s.values()),
)
def test_identity_is_learned_by_every_combination(identity: Any, switches: dict[str, Any]) -> None:
    agent = small(identity, learning_rate=2e-2, gamma=0.3, replay_ratio=12, **random_for(200, switches)).learn(400)
    symbols = np.arange(3)
    assert agent.predict(symbols)[0].tolist() == [0, 1, 2]
    agent.env.close()


@pytest.mark.parametrize("resample", ["action", "update", "episode"])
@pytest.mark.parametrize("per_env", [False, True])
def test_identity_is_learned_under_every_schedule_of_noise(identity: Any, resample: Any, per_env: bool) -> None:
    agent = small(
        identity, learning_rate=1e-2, gamma=0.5, replay_ratio=16, noisy="factorised", noise_resample=resample,
        noise_per_env=per_env,
    ).learn(700)  # fmt: skip
    assert agent.predict(np.arange(3))[0].tolist() == [0, 1, 2]
    assert agent.metrics["charts/epsilon"] == 0.0, "noise explores, not epsilon"


@pytest.mark.parametrize(
    "settings",
    [{}, {"noisy": "factorised", "dueling": True}, pytest.param({"bfloat16": True}, marks=pytest.mark.slow)],
)
def test_identity_is_learned_from_pictures(pixels: Any, settings: Any) -> None:
    agent = small(pixels, hidden=(32,), learning_rate=1e-3, gamma=0.2, replay_ratio=16, **random_for(300, settings))
    agent.learn(900)
    obs, _ = agent.env.reset()
    right = (obs[:, 0, 30, 0] > 0).astype(int)
    assert agent.predict(obs)[0].tolist() == right.tolist()


# ---- the loss, against an independent transcription ----


def numpy_q(agent: jostle.DQN, network: Any, obs: np.ndarray, slot: int | None) -> np.ndarray:
    """The paper's formulas in NumPy, float64: y = (μ + σ∘ε)x for each layer, ReLU between, dueling's V + A − mean A."""

    def layer(module: Any, x: np.ndarray) -> np.ndarray:
        weight, bias = (p.detach().double().numpy() for p in (module.weight, module.bias))
        if slot is not None:
            noise = module.noise[slot].double().numpy()
            p, q = module.in_features, module.out_features
            if module.kind == "factorised":
                eps_in, eps_out = noise[:p], noise[p:]
                eps_weight, eps_bias = np.outer(eps_out, eps_in), eps_out
            else:
                eps_weight, eps_bias = noise[: p * q].reshape(q, p), noise[p * q :]
            weight = weight + module.weight_sigma.detach().double().numpy() * eps_weight
            bias = bias + module.bias_sigma.detach().double().numpy() * eps_bias
        return x @ weight.T + bias

    def stack(modules: Any, x: np.ndarray) -> np.ndarray:
        for module in modules:
            x = layer(module, x) if hasattr(module, "weight") else np.maximum(x, 0)
        return x

    x = np.eye(3)[obs]
    if not agent.config.dueling:
        return stack(network.head, x)
    trunk = network.trunk if isinstance(network.trunk, torch.nn.Sequential) else []
    x = stack(trunk, x)
    advantage = stack(network.advantage, x)
    return stack(network.value, x) + advantage - advantage.mean(1, keepdims=True)


def a_batch() -> Batch:
    return Batch(
        row=torch.arange(4),
        obs=torch.tensor([0, 1, 2, 0]),
        action=torch.tensor([0, 2, 1, 1]),
        reward=torch.tensor([[1.0, 2.0], [0.5, 9.0], [0.0, 1.0], [3.0, -1.0]])[..., None],
        terminated=torch.tensor([[False, False], [True, False], [False, True], [False, False]]),
        truncated=torch.tensor([[False, False], [False, False], [False, False], [True, False]]),
        next_obs=torch.tensor([1, 0, 2, 2]),
    )


@pytest.mark.parametrize("noisy", ["none", "factorised", "independent"])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_loss_equals_the_papers_formula(identity: Any, noisy: Any, dueling: bool, double: bool, loss: Any) -> None:
    agent = small(
        identity, noisy=noisy, sigma0=None if noisy == "none" else 2.0, dueling=dueling, double=double, loss=loss,
        n_step=2, gamma=0.9, hidden=(8, 8),
    )  # fmt: skip
    with torch.no_grad():  # online and target weights differ, as they do between two copies
        for p in agent.target.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())) * 0.3)
    batch, noisy_slots = a_batch(), noisy != "none"

    evaluate = numpy_q(agent, agent.target, batch.next_obs.numpy(), 0 if noisy_slots else None)
    select = numpy_q(agent, agent.network, batch.next_obs.numpy(), SELECT if noisy_slots else None)
    best = (select if double else evaluate).argmax(1)
    value = evaluate[np.arange(4), best]
    # Row 0 runs on for two steps, row 1 ends at once, row 2 ends at its second step, row 3 is cut after its first.
    target = np.array([1 + 0.9 * 2 + 0.81 * value[0], 0.5, 0.9 * 1.0, 3 + 0.9 * value[3]])
    q = numpy_q(agent, agent.network, batch.obs.numpy(), LEARN if noisy_slots else None)
    error = q[np.arange(4), batch.action.numpy()] - target
    huber = np.where(abs(error) < 1, 0.5 * error**2, abs(error) - 0.5)
    expected = (huber if loss == "huber" else error**2).mean()
    assert agent.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_no_gradient_reaches_the_target_or_the_selection(identity: Any) -> None:
    agent = small(identity, noisy="factorised", dueling=True)
    assert not agent.td_target(a_batch()).requires_grad
    agent.loss(a_batch()).backward()
    assert all(p.grad is None for p in agent.target.parameters())
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in agent.network.named_parameters() if "weight" in n
    )


# ---- noise ----


def used_noise(agent: jostle.DQN) -> dict[str, torch.Tensor]:
    online = next(iter(agent.noise.layers.values())).noise
    target = next(iter(agent.target_noise.layers.values())).noise
    return {"ξ": online[LEARN], "ξ″": online[SELECT], "ξ′": target[0]} | {
        f"act {i}": online[ACT + i] for i in range(agent.num_envs)
    }


def test_learning_target_selection_and_acting_noise_are_independent(identity: Any) -> None:
    """ξ, ξ′, ξ″ and the acting draws never coincide and are uncorrelated over many updates."""
    agent = small(identity, noisy="factorised", warmup=8)
    seen: list[torch.Tensor] = []
    agent.learn(2_500, callback=lambda a: seen.append(torch.stack(list(used_noise(a).values()))) or None)
    draws = torch.stack(seen[200:])  # [time, kind, normals]
    kinds = draws.shape[1]
    for a, b in itertools.combinations(range(kinds), 2):
        assert not (draws[:, a] == draws[:, b]).any()
    flat = draws.transpose(0, 1).reshape(kinds, -1)
    correlation = torch.corrcoef(flat) - torch.eye(kinds)
    assert correlation.abs().max() < 5 / flat.shape[1] ** 0.5


def changes(agent: jostle.DQN, steps: int) -> dict[str, list[bool]]:
    """For every vector step: which noise changed."""
    out: dict[str, list[bool]] = {}
    before = {k: v.clone() for k, v in used_noise(agent).items()}
    for _ in range(steps):
        agent.advance()
        for name, now in used_noise(agent).items():
            out.setdefault(name, []).append(not torch.equal(now, before[name]))
            before[name] = now.clone()
    return out


def test_noise_is_redrawn_when_the_settings_say(identity: Any) -> None:
    """Per action also during the warm-up; learning noise at every update; per episode only where one begins."""
    settings = {"noisy": "factorised", "warmup": 40, "warmup_random": False, "replay_ratio": 8.0, "batch_size": 64}
    action = changes(small(identity, noise_resample="action", **settings), 40)
    assert all(all(v) for k, v in action.items() if "act" in k)
    assert not any(action["ξ"][:9]), "no update, no new learning noise"
    assert action["ξ"][12:] == action["ξ′"][12:] == action["ξ″"][12:]
    assert sum(action["ξ"]) in range(12, 20), "one update every second vector step: 8 · 4 / 64"
    update = changes(small(identity, noise_resample="update", **settings), 40)
    acting = [v for k, v in update.items() if "act" in k]
    assert all(v[12:] == update["ξ"][12:] for v in acting)
    assert all(sum(v[:9]) == 4 and v == acting[0] for v in acting), "32 transitions would make 4 updates"
    # Identity's episodes last 5 steps and a reset takes one: the sixth step returns the next first observation.
    episode = changes(small(identity, noise_resample="episode", **settings), 36)
    assert all(v == [(t % 6) == 5 for t in range(36)] for k, v in episode.items() if "act" in k)


def test_a_held_draw_acts_as_folded_weights_do(identity: Any) -> None:
    """With one held draw for all environments acting uses folded weights: they are never stale."""
    agent = small(identity, noisy="factorised", noise_resample="episode", noise_per_env=False, warmup=32)
    assert agent._folds
    obs = torch.arange(3)
    for _ in range(60):
        agent.advance()
        with torch.no_grad():
            with agent.noise.using(ACT):
                sampled = agent.network(obs)
            with agent.noise.using(mode="folded"):
                folded = agent.network(obs)
        torch.testing.assert_close(folded, sampled, rtol=1e-5, atol=1e-6)
    assert agent.updates > 0


def test_the_target_network_has_noise_of_its_own_or_none(identity: Any) -> None:
    batch = a_batch()
    agent = small(identity, noisy="factorised", double=False)
    one = agent.td_target(batch)
    agent.target_noise.draw()
    assert not torch.equal(one, agent.td_target(batch))
    agent = small(identity, noisy="factorised", double=False, target_noise=False)
    one = agent.td_target(batch)
    agent.target_noise.draw()
    assert torch.equal(one, agent.td_target(batch))


def test_metrics_of_noise(identity: Any) -> None:
    agent = small(identity, noisy="factorised", dueling=True).learn(600, log_every=200)
    names = {k for k in agent.metrics if k.startswith("noise/sigma/")}
    assert names == {f"noise/sigma/{s}.{i}" for s in ("value", "advantage") for i in (0, 2)}
    assert 0 <= agent.metrics["noise/flip_rate"] <= 1
    with torch.no_grad():
        for layer in agent.noise.layers.values():
            layer.weight_sigma.zero_(), layer.bias_sigma.zero_()
    agent.learn(4, log_every=1)
    assert agent.metrics["noise/sigma/value.0"] < 0.01
    assert small(identity).learn(600, log_every=200).metrics.keys().isdisjoint({"noise/flip_rate"})


# ---- schedules, targets, ratios ----


def test_the_replay_ratio_is_what_the_settings_say(identity: Any) -> None:
    for ratio, batch in ((8.0, 32), (0.5, 32), (3.0, 7)):
        agent = small(identity, replay_ratio=ratio, batch_size=batch).learn(2_000, log_every=500)
        assert agent.metrics["charts/replay_ratio"] == pytest.approx(ratio, rel=0.05)
        assert agent.steps in range(2_000, 2_004)


def test_only_real_transitions_count_as_steps(identity: Any) -> None:
    agent = small(identity)
    for _ in range(60):
        agent.advance()
    assert agent.steps == 60 * 4 * 5 // 6, "every sixth row is a reset"
    assert agent.episodes == 40


def test_hard_and_soft_targets(identity: Any) -> None:
    def distance(agent: jostle.DQN) -> float:
        pairs = zip(agent.network.parameters(), agent.target.parameters(), strict=True)
        return sum((a - b).abs().sum().item() for a, b in pairs)

    agent = small(identity, target_interval=100, warmup=20)
    for _ in range(200):
        before, updates = agent.steps, agent.updates
        agent.advance()
        if agent.steps // 100 != before // 100:
            assert distance(agent) == 0.0
        elif agent.updates > updates:
            assert distance(agent) > 0.0
    soft = small(identity, target_tau=1.0)
    soft.learn(300)
    assert distance(soft) == 0.0, "tau = 1 copies at every update"
    slow = small(identity, target_tau=0.25)
    while slow.updates == 0:
        before = [p.detach().clone() for p in slow.target.parameters()]
        slow.advance()
        assert slow.steps < 400, "learning never begins"
    assert slow.updates == 1
    for old, new, online in zip(before, slow.target.parameters(), slow.network.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25 * (online - old))


def test_epsilon_and_warm_up(identity: Any) -> None:
    config = jostle.DQNConfig(epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=100)
    assert [config.epsilon(s) for s in (0, 50, 100, 500)] == pytest.approx([0.8, 0.5, 0.2, 0.2])
    assert (
        jostle.DQNConfig(noisy="factorised").epsilon(0) == jostle.DQNConfig(noisy="independent").epsilon(10**9) == 0.0
    )
    assert jostle.DQNConfig(noisy="factorised", epsilon_start=0.1, epsilon_end=0.1).epsilon(10**9) == 0.1
    greedy_only = small(identity, epsilon_start=0.0, epsilon_end=0.0, warmup_random=False, warmup=10**6)
    actions = np.array([greedy_only._act() for _ in range(50)])
    assert (actions == actions[0]).all(), "no noise, no epsilon: the same observation gives the same action"
    random = small(identity, epsilon_start=0.0, epsilon_end=0.0, warmup_random=True, warmup=10**6)
    actions = np.array([random._act() for _ in range(200)])
    assert (np.bincount(actions.ravel(), minlength=3) > 200).all()


# ---- the same seed, the same result ----


def weights(agent: jostle.DQN) -> dict[str, torch.Tensor]:
    return agent.network.state_dict()


@pytest.mark.parametrize("settings", [{}, {"noisy": "factorised", "dueling": True, "n_step": 3}])
def test_same_seed_same_result_bit_for_bit(identity: Any, settings: Any) -> None:
    torch.manual_seed(0)
    first = small(identity, seed=3, **settings).learn(800)
    torch.manual_seed(1)  # global generators neither matter nor are used
    np.random.seed(5)  # noqa: NPY002
    state = torch.random.get_rng_state()
    second = small(identity, seed=3, **settings).learn(800)
    assert torch.equal(state, torch.random.get_rng_state())
    other = small(identity, seed=4, **settings).learn(800)
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights(first).values(), weights(other).values(), strict=True))


# ---- predict, and what is refused ----


def test_predict_takes_one_observation_or_a_batch(identity: Any, pixels: Any) -> None:
    agent = small(identity, noisy="factorised")
    action, state = agent.predict(1)
    assert isinstance(action, int)
    assert state is None
    batch, _ = agent.predict(np.array([0, 1, 2, 1]))
    assert batch.shape == (4,)
    assert batch[1] == action == batch[3]
    for mode in ("mean", "sampled", "mc:8"):
        assert agent.predict(np.array([0, 1]), noise=mode)[0].shape == (2,)
    agent = small(pixels)
    obs, _ = agent.env.reset()
    assert isinstance(agent.predict(obs[0])[0], int)
    with pytest.raises(ConfigError, match="shape"):
        agent.predict(obs[0, :20])
    with pytest.raises(ConfigError, match="dtype"):
        agent.predict(obs[0].astype(np.float32) / 255)
    with pytest.raises(ConfigError, match="noise mode"):
        agent.predict(obs[0], noise="mc:0")
    with pytest.raises(ConfigError, match="no observation"):
        agent.predict(obs[:0])
    pole = jostle.DQN("CartPole-v1", num_envs=1, hidden=(4,))
    for bad in (np.nan, np.inf):
        with pytest.raises(ConfigError, match="NaN or infinite"):
            pole.predict(np.array([0, bad, 0, 0], np.float32))


def test_predict_follows_training_and_never_disturbs_it(identity: Any) -> None:
    quiet, asked = (small(identity, noisy="factorised", seed=1) for _ in range(2))
    quiet.learn(400)
    asked.learn(400, callback=lambda a: a.predict(np.arange(3), noise="mc:3") and None)
    assert all(torch.equal(a, b) for a, b in zip(weights(quiet).values(), weights(asked).values(), strict=True))
    asked.learn(300)
    with torch.no_grad(), asked.noise.using(mode="mean"):
        best = asked.network(torch.arange(3)).squeeze(1).argmax(1)
    assert asked.predict(np.arange(3))[0].tolist() == best.tolist()


def test_monte_carlo_averages_values_over_draws(identity: Any) -> None:
    agent = small(identity, noisy="factorised", sigma0=1.0)
    obs = torch.arange(3)

    def difference(draws: int) -> float:
        """Between two estimates with draws of their own."""
        one, two = (agent.actor(f"mc:{draws}", rows=3, seed=seed).q(obs) for seed in (1, 2))
        return (one - two).abs().mean().item()

    assert difference(1_000) < difference(1) / 5
    actor = agent.actor("mc:5", rows=3)
    q = actor.q(obs)
    single = torch.stack([numpy_draw(actor, obs, m) for m in range(5)])
    torch.testing.assert_close(q, single.mean(0))


def numpy_draw(actor: Any, obs: torch.Tensor, slot: int) -> torch.Tensor:
    with torch.no_grad(), actor.noise.using(slot):
        return actor.network(obs)


def test_bad_settings_are_refused_with_a_sentence(identity: Any) -> None:
    cases = {
        "did you mean factorised": {"noisy": "factorized"},
        "there is no setting 'learning_rat'; did you mean learning_rate": {"learning_rat": 1},
        "must be at least 1": {"n_step": 0},
        "finite number": {"gamma": float("nan")},
        "whole number": {"batch_size": 2.5},
        "within 0 and 1": {"gamma": 1.5},
        "too short": {"replay_size": 3, "n_step": 5},
        "not to be had": {"device": "cuda:77"},
        "too small": {"encoder": "nature"},
    }
    for message, settings in cases.items():
        with pytest.raises(ConfigError, match=message):
            jostle.DQN("jostle/ThemedCatch-v0" if "encoder" in settings else identity, **settings)
    with pytest.raises(ConfigError, match="Discrete"):
        jostle.DQN("Pendulum-v1")
    for steps in (0, -5):
        with pytest.raises(ConfigError, match="at least 1"):
            small(identity).learn(steps)


def test_a_diverging_run_stops_with_a_sentence(identity: Any) -> None:
    with pytest.raises(jostle.JostleError, match="diverged"):
        small(identity, learning_rate=1e30, max_grad_norm=0.0, loss="squared").learn(3_000, log_every=100)


def test_huber_is_torchs(identity: Any) -> None:
    agent = small(identity, loss="huber")
    batch = a_batch()
    q = agent.network(batch.obs).gather(2, batch.action[:, None, None]).squeeze(2)
    torch.testing.assert_close(agent.loss(batch), F.huber_loss(q, agent.td_target(batch)))
