"""What becomes of σ in DQN and PPO, what acts, and what `predict` sees."""

import contextlib
import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jostle
from jostle.algo.dqn.learner import ACT
from jostle.nn.inference import Actor
from jostle.nn.noisy import noisy_layers


def small(env: Any, **settings: Any) -> jostle.DQN:
    defaults = {"hidden": (16,), "batch_size": 32, "warmup": 64, "replay_size": 2_000, "noisy": "factorised"}
    return jostle.DQN(env, num_envs=4, **(defaults | settings))


def sigmas(network: torch.nn.Module) -> list[Tensor]:
    return [s.detach().clone() for layer in noisy_layers(network).values() for s in layer.sigmas]


def different(a: list[Tensor], b: list[Tensor]) -> list[bool]:
    return [not torch.equal(x, y) for x, y in zip(a, b, strict=True)]


# ---- σ ----


@pytest.mark.parametrize("kind", ["factorised", "independent"])
def test_sigma_moves_in_training_and_reaches_the_target(identity: Any, kind: str) -> None:
    agent = small(identity, noisy=kind, dueling=True, target_interval=40)
    start = sigmas(agent.network)
    assert len(start) == 8
    while agent.updates < 20:
        before, steps, target = sigmas(agent.network), agent.steps, sigmas(agent.target)
        updates = agent.updates
        agent.advance()
        copied = agent.steps // 40 != steps // 40
        if agent.updates and copied:
            assert not any(different(sigmas(agent.target), sigmas(agent.network)))
        else:
            assert not any(different(sigmas(agent.target), target)), "between two copies it stands still"
        if agent.updates > updates:
            assert all(different(sigmas(agent.network), before)), "every σ moves at every update"
    assert all(different(sigmas(agent.target), start))


def test_a_soft_target_follows_sigma(identity: Any) -> None:
    agent = small(identity, target_tau=0.25)
    while agent.updates == 0:
        before = sigmas(agent.target)
        agent.advance()
    assert agent.updates == 1
    for old, new, online in zip(before, sigmas(agent.target), sigmas(agent.network), strict=True):
        assert not torch.equal(new, old)
        torch.testing.assert_close(new, old + 0.25 * (online - old))


@pytest.mark.parametrize(
    ("settings", "weight", "bias"),
    [
        ({"noisy": "factorised"}, 0.5 / 16**0.5, 0.5 / 16**0.5),
        ({"noisy": "factorised", "sigma0": 0.2}, 0.2 / 16**0.5, 0.2 / 16**0.5),
        ({"noisy": "factorised", "sigma0": 0.2, "bias_sigma": "fan_out"}, 0.2 / 16**0.5, 0.2 / 3**0.5),
        ({"noisy": "independent"}, 0.017, 0.017),
        ({"noisy": "independent", "sigma0": 0.3}, 0.3, 0.3),
    ],
)
def test_sigma_begins_as_the_settings_say(identity: Any, settings: dict[str, Any], weight: float, bias: float) -> None:
    """σ₀/√p, for biases with fan_out σ₀/√q; from 16 hidden units to 3 actions."""
    dqn, ppo = small(identity, **settings), jostle.PPO(identity, num_envs=2, hidden=(16,), **settings)
    for network, name in ((dqn.network, "head.2"), (dqn.target, "head.2"), (ppo.network, "policy")):
        layer = noisy_layers(network)[name]
        torch.testing.assert_close(layer.weight_sigma.detach(), torch.full((3, 16), weight))
        assert layer.bias_sigma is not None
        torch.testing.assert_close(layer.bias_sigma.detach(), torch.full((3,), bias))


@pytest.mark.parametrize("algorithm", ["DQN", "PPO"])
def test_what_is_logged_of_sigma_has_no_sign(identity: Any, algorithm: str) -> None:
    if algorithm == "DQN":
        agent = small(identity, learning_rate=1e-12)
        name = "head.2"
        while not agent.updates:
            agent.advance()
    else:
        agent = jostle.PPO(identity, num_envs=2, num_steps=16, noisy="factorised", learning_rate=1e-12)
        name = "policy"
        agent.advance()
    with torch.no_grad():
        sigma = noisy_layers(agent.network)[name].weight_sigma
        sigma.copy_(torch.where(torch.arange(sigma.numel()).view_as(sigma) % 2 == 0, 0.25, -0.75))
    assert agent.drain_metrics()[f"noise/sigma/{name}"] == pytest.approx(0.5, abs=1e-6)


def test_ppo_has_no_entropy_bonus_under_noisynet(identity: Any) -> None:
    for noisy, weight in (("none", 0.01), ("factorised", 0.0), ("independent", 0.0)):
        agent = jostle.PPO(identity, num_envs=2, num_steps=16, noisy=noisy)
        assert agent.learner.entropy_coef == weight
        agent.advance()
        assert agent.drain_metrics()["charts/entropy_coef"] == weight
    assert jostle.PPOConfig(noisy="factorised", entropy_coef=0.02).entropy_weight == 0.02


@pytest.mark.parametrize("algorithm", ["DQN", "PPO"])
def test_weight_decay_leaves_sigma_alone(lively: Any, algorithm: str) -> None:
    """Each parameter's decay, and one learning rate for all."""
    kind = getattr(jostle, algorithm)
    for decay, sigma_decay in ((0.5, 0.0), (0.5, 0.5), (0.5, 0.1), (0.0, 0.2), (0.0, 0.0)):
        agent = kind(lively, num_envs=2, hidden=(8,), noisy="factorised", weight_decay=decay, sigma_decay=sigma_decay)
        own = {id(s) for layer in noisy_layers(agent.network).values() for s in layer.sigmas}
        optimizer = agent.optimizer if algorithm == "DQN" else agent.learner.optimizers[0]
        found = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        assert found == {id(p): sigma_decay if id(p) in own else decay for p in agent.network.parameters()}
        assert len(optimizer.param_groups) == 1 + (decay != sigma_decay)
        agent.learner.set_rate(0.125) if algorithm == "DQN" else agent.learner.schedule(0.5)
        assert len({group["lr"] for group in optimizer.param_groups}) == 1
        agent.env.close()


def test_a_run_from_before_decays_sigma_as_it_did(lively: Any, tmp_path: Any) -> None:
    agent = small(lively, weight_decay=0.25, sigma_decay=0.25).learn(200)
    folder = agent.save(tmp_path / "agent", replay=True)
    meta = json.loads((folder / "meta.json").read_text())
    del meta["meta"]["config"]["sigma_decay"]
    (folder / "meta.json").write_text(json.dumps(meta))
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    digest = hashlib.sha256((folder / "meta.json").read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(
        "".join(f"{digest}  meta.json\n" if line.endswith("meta.json") else line + "\n" for line in sums)
    )
    loaded = jostle.load(folder, env=lively)
    assert [group["weight_decay"] for group in loaded.optimizer.param_groups] == [0.25]


# ---- what noise costs ----


def test_independent_noise_on_wide_layers_is_said_to_be_dear(lively: Any, tmp_path: Any) -> None:
    """4 → 2000 → 3 units are 16,003 weights and biases: so many normals per environment, and 3 times per update."""
    settings = {"noisy": "independent", "hidden": (2000,), "warmup": 8}
    size = 4 * 2000 + 2000 + 2000 * 3 + 3
    agent = jostle.DQN(lively, num_envs=4, **settings)
    assert sum(layer.noise_size for layer in agent.noise.layers.values()) == size
    agent.env.close()
    with pytest.warns(UserWarning, match=r"draws 11 million normal numbers .* 0\.1 s .* noise_per_env=False fewer"):
        dear = jostle.DQN(lively, num_envs=4, replay_ratio=1792.0, **settings)  # 224 updates a step: 16,003 · (4 + 672)
    loaded = jostle.load(dear.save(tmp_path / "dear"), env=lively)  # to predict it draws nothing
    for made in (dear, loaded):
        made.env.close()
    for cheaper in ({"noisy": "factorised"}, {"noise_resample": "episode", "replay_ratio": 1600.0}):
        jostle.DQN(lively, num_envs=4, **{**settings, "replay_ratio": 1792.0, **cheaper}).env.close()


# ---- what acts ----


def test_epsilon_is_what_acted(identity: Any) -> None:
    agent = small(identity, epsilon_start=0.5, epsilon_end=0.1, epsilon_steps=100, warmup=24)
    assert agent.drain_metrics()["charts/epsilon"] == 1.0
    seen = []
    for _ in range(30):
        before = agent.steps
        agent.advance()
        expected = 1.0 if before < 24 else 0.5 - 0.4 * min(1.0, before / 100)
        assert agent.drain_metrics()["charts/epsilon"] == pytest.approx(expected)
        seen.append(expected)
    assert seen[0] == 1.0
    assert seen[-1] == pytest.approx(0.1)
    noisy = small(identity, warmup=24)
    logged = []
    noisy.learn(
        60, log_every=1, callback=lambda a: logged.append((a.steps, a.drain_metrics()["charts/epsilon"])) or None
    )
    assert {epsilon for steps, epsilon in logged if steps <= 24} == {1.0}, "the warm-up is random, noise or not"
    assert logged[-1][1] == 0.0


@pytest.mark.parametrize("per_env", [False, True])
def test_noise_held_between_updates_is_redrawn_before_the_first_one(identity: Any, per_env: bool) -> None:
    agent = small(
        identity, noise_resample="update", noise_per_env=per_env, warmup=10**6, warmup_random=False, batch_size=64,
        replay_ratio=8.0,
    )  # fmt: skip
    layer = next(iter(agent.noise.layers.values()))
    changed = 0
    for _ in range(60):
        before = layer.noise[ACT:].clone()
        agent.advance()
        moved = (layer.noise[ACT:] != before).any(1)
        assert moved.all() or not moved.any()
        changed += bool(moved.all())
        if agent._folds:
            with torch.no_grad(), agent.noise.using(ACT):
                sampled = agent.network(torch.arange(3))
            with torch.no_grad(), agent.noise.using(mode="folded"):
                torch.testing.assert_close(agent.network(torch.arange(3)), sampled)
    assert agent.updates == 0
    assert changed == int(agent.steps * 8 / 64)
    random = small(identity, noise_resample="update", warmup=10**6)
    before = next(iter(random.noise.layers.values())).noise.clone()
    for _ in range(20):
        random.advance()
    assert torch.equal(next(iter(random.noise.layers.values())).noise, before), "nothing acts by it"


# ---- predict ----


@contextlib.contextmanager
def recorded() -> Any:
    """The noise of every actor that has acted inside, pass by pass."""
    passes: list[Tensor] = []
    original = Actor._redraw

    def redraw(self: Any, begins: Any) -> None:
        original(self, begins)
        passes.append(torch.cat([layer.noise.flatten() for layer in self.noise.layers.values()]))

    Actor._redraw = redraw
    try:
        yield passes
    finally:
        Actor._redraw = original


def test_predict_repeats_no_draw(identity: Any) -> None:
    agent = small(identity, sigma0=1.0)
    with recorded() as passes:
        for _ in range(3):
            for obs, noise in (
                (1, "sampled"),
                (np.arange(3), "sampled"),
                (1, "mc:4"),
                (1, "mean"),
                (np.arange(3), "mc:4"),
            ):
                agent.predict(obs, noise=noise)
    drawn = [p for i, p in enumerate(passes) if i % 5 != 3]
    for i, a in enumerate(drawn):
        assert not any(torch.isin(a, b).any() for b in drawn[:i])


def test_predict_holds_the_one_draw_of_fixed(identity: Any) -> None:
    agent = small(identity, sigma0=1.0)
    with recorded() as passes:
        for obs in (1, np.arange(3), 1):
            agent.predict(obs, noise="fixed")
            agent.predict(0, noise="sampled")
    fixed = passes[::2]
    assert torch.equal(fixed[0], fixed[1])
    assert torch.equal(fixed[0], fixed[2])


@pytest.mark.parametrize("algorithm", ["DQN", "PPO"])
def test_predict_reads_the_weights_of_the_moment(identity: Any, algorithm: str) -> None:
    """Weights changed by hand count at once: in place, through .data, or as another parameter."""
    agent = small(identity) if algorithm == "DQN" else jostle.PPO(identity, num_envs=2, noisy="factorised")
    last = noisy_layers(agent.network)["head.2" if algorithm == "DQN" else "policy"]
    assert agent.updates == 0
    changes = [
        lambda b: last.bias.detach().copy_(b),
        lambda b: setattr(last.bias, "data", b),
        lambda b: setattr(last, "bias", torch.nn.Parameter(b)),
    ]
    for change in changes:
        for wanted in (0, 1, 2, 1):
            change(torch.eye(3)[wanted] * 1e3)
            assert agent.predict(0)[0] == wanted
            change(torch.eye(3)[(wanted + 1) % 3] * 1e3)
            assert agent.predict(0)[0] == (wanted + 1) % 3, "by the actor that answered last"
            change(torch.eye(3)[wanted] * 1e3)
            assert agent.predict(np.arange(3))[0].tolist() == [wanted] * 3
            assert agent.predict(np.arange(3), noise="sampled")[0].tolist() == [wanted] * 3


def test_an_actor_takes_over_sigma_with_newer_weights(identity: Any) -> None:
    """Under no weights but σ's the values are those of the newer σ."""
    agent = small(identity)
    actor = agent.actor("fixed", seed=3)
    with torch.no_grad():
        for layer in noisy_layers(agent.network).values():
            for sigma in layer.sigmas:
                sigma.mul_(-3.0)
    expected = agent.actor("fixed", seed=3).q(torch.arange(3))
    assert not torch.allclose(actor.q(torch.arange(3)), expected)
    actor.load(agent.network)
    torch.testing.assert_close(actor.q(torch.arange(3)), expected)
    assert all(torch.equal(v, agent.network.state_dict()[k]) for k, v in actor.network.state_dict().items())
