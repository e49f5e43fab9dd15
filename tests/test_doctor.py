"""The doctor finds each illness that it is there for, and none in a healthy agent."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import jostle
from jostle.algo.dqn.learner import ACT
from jostle.doctor import Check, diagnose, dormant_share, examine, finite, fresh_replay, replay_state, target
from jostle.errors import CheckpointError
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear

SETTINGS = {"hidden": (16, 16), "warmup": 100, "batch_size": 16, "replay_size": 2000, "target_interval": 150}


def untrained(**settings: Any) -> jostle.DQN:
    return jostle.DQN("jostle/DeepSea-v0", num_envs=4, **{"noisy": "factorised", **SETTINGS, **settings})


def trained(**settings: Any) -> jostle.DQN:
    return untrained(**settings).learn(400)


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """The state of a trained agent: quicker to load than to train again."""
    agent = trained()
    state = copy.deepcopy(agent.state_dict())
    agent.env.close()
    return state


@pytest.fixture
def agent(saved: dict[str, Any]) -> Iterator[jostle.DQN]:
    agent = untrained()
    assert agent.load_state_dict(copy.deepcopy(saved)) == []
    yield agent
    agent.env.close()


def layers(agent: jostle.DQN) -> dict[str, NoisyLinear]:
    return {name: m for name, m in agent.network.named_modules() if isinstance(m, NoisyLinear)}


def found(agent: jostle.DQN, name: str) -> Check:
    (check,) = [c for c in examine(agent, agent.replay) if c.name == name]
    return check


def test_a_healthy_agent(agent: jostle.DQN) -> None:
    checks = [*examine(agent, agent.replay), finite(agent.state_dict()), replay_state(agent, agent.state_dict())]
    assert {c.name: c.status for c in checks} == dict.fromkeys(
        [
            "values",
            "gradient of sigma",
            "draws",
            "separate draws",
            "size of noise",
            "dormant units",
            "target",
            "finite numbers",
            "replay",
        ],
        "OK",
    )
    assert not any(c.remedy for c in checks)


@pytest.mark.parametrize(
    "settings",
    [
        {"noisy": "none"},
        {"noisy": "independent", "dueling": True, "target_tau": 0.05, "target_interval": 500},
        {"noise_resample": "update", "noise_per_env": False, "target_noise": False, "n_step": 3},
        {"gamma": 1.0, "double": False, "hidden": (8,)},
        {"replay_ratio": 0.5},
    ],
)
def test_any_healthy_agent(settings: dict[str, Any]) -> None:
    agent = trained(**settings)
    checks = [*examine(agent, agent.replay), replay_state(agent, agent.state_dict())]
    agent.env.close()
    assert [c for c in checks if c.status == "FAIL"] == []


# ---- noise ----


def test_frozen_sigma(agent: jostle.DQN) -> None:
    name, layer = list(layers(agent).items())[1]
    layer.weight_sigma.requires_grad_(False)
    check = found(agent, "gradient of sigma")
    assert check.status == "FAIL"
    assert check.finding == f"none in {name}"


def test_learning_without_noise(agent: jostle.DQN, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug of a loss that switches the noise off: σ gets no gradient anywhere."""
    plain = agent.noise.using
    monkeypatch.setattr(agent.noise, "using", lambda draw=0, mode="sampled": plain(draw, "mean"))
    assert found(agent, "gradient of sigma").status == "FAIL"
    assert all(name in found(agent, "gradient of sigma").finding for name in layers(agent))
    assert found(agent, "draws").status == "FAIL"


def test_no_noise_left(agent: jostle.DQN) -> None:
    with torch.no_grad():
        for layer in layers(agent).values():
            layer.weight_sigma.zero_()
            layer.bias_sigma.zero_()  # type: ignore[union-attr]
    assert found(agent, "draws").status == "FAIL"
    assert found(agent, "size of noise").status == "warning"


def test_exploration_has_ended(agent: jostle.DQN) -> None:
    """Noise that is there, but flips no action any more."""
    with torch.no_grad():
        last = list(layers(agent).values())[-1]
        last.bias[0] += 100.0  # type: ignore[index]
    check = found(agent, "draws")
    assert check.status == "warning"
    assert "flips 0.0%" in check.finding


def test_drowning_noise(agent: jostle.DQN) -> None:
    with torch.no_grad():
        next(iter(layers(agent).values())).weight_sigma.mul_(100)
    assert found(agent, "size of noise").status == "warning"


def test_a_target_with_the_online_draws(agent: jostle.DQN) -> None:
    """The bug of a copied generator: ξ′ = ξ, and even fresh draws stay equal."""
    agent.noise = agent.learner.noise = Noise(agent.network, seed=1, role="online", slots=ACT + 4)
    agent.target_noise = agent.learner.target_noise = Noise(agent.target, seed=1, role="online", slots=ACT + 4)
    check = found(agent, "separate draws")
    assert check.status == "FAIL"
    assert "ξ = ξ′" in check.finding
    assert "ξ = ξ″" not in check.finding


def test_one_draw_for_learning_and_selection(agent: jostle.DQN, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug of ξ″ = ξ, as where one key serves two purposes."""
    draw = agent.noise.draw

    def shared(slots: list[int] | None = None) -> None:
        draw(slots)
        for layer in agent.noise.layers.values():
            layer.noise[1] = layer.noise[0]

    monkeypatch.setattr(agent.noise, "draw", shared)
    check = found(agent, "separate draws")
    assert check.status == "FAIL"
    assert "ξ = ξ″" in check.finding
    assert "ξ′" not in check.finding


# ---- numbers and units ----


def test_nan_in_the_optimiser(agent: jostle.DQN) -> None:
    state = copy.deepcopy(agent.optimizer.state_dict())
    state["state"][2]["exp_avg_sq"][0] = float("nan")
    check = finite(agent.state_dict() | {"optimizer": state})
    assert check.status == "FAIL"
    assert check.finding.startswith("optimizer.state.2.exp_avg_sq")


@pytest.mark.parametrize(("factor", "status"), [(float("inf"), "FAIL"), (1e6, "warning")])
def test_exploding_weights(factor: float, status: str, agent: jostle.DQN) -> None:
    with torch.no_grad():
        next(iter(layers(agent).values())).weight.mul_(factor)
    assert finite(agent.state_dict()).status == status


@pytest.mark.parametrize(("value", "status"), [(9.0, "OK"), (21.0, "warning"), (101.0, "FAIL")])
def test_values_beyond_what_rewards_allow(value: float, status: str, agent: jostle.DQN) -> None:
    agent.replay.reward[:] = 0.1  # with γ = 0.99 they can add up to 10
    last = list(layers(agent).values())[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-value)  # type: ignore[union-attr]
    assert found(agent, "values").status == status


def test_values_of_a_network_that_has_learned_nothing(agent: jostle.DQN) -> None:
    """Tiny rewards, and values as they are at the start: no sign of anything."""
    agent.replay.reward[:] = 1e-6
    assert found(agent, "values").status == "OK"


def test_nothing_but_zero_rewards(agent: jostle.DQN) -> None:
    agent.replay.reward[:] = 0
    check = found(agent, "values")
    assert check.status == "warning"
    assert "no transition in the replay has a reward" in check.finding


def test_a_silent_layer(agent: jostle.DQN) -> None:
    with torch.no_grad():
        next(iter(layers(agent).values())).bias.fill_(-100.0)  # type: ignore[union-attr]
    check = found(agent, "dormant units")
    assert check.status == "FAIL"
    assert "head.1 100%" in check.finding
    # Nothing behind the silent layer can learn its noise either.
    assert found(agent, "gradient of sigma").status == "FAIL"


def test_half_a_layer_dormant(agent: jostle.DQN) -> None:
    with torch.no_grad():
        next(iter(layers(agent).values())).bias[:9] = -100.0  # type: ignore[index]
    assert found(agent, "dormant units").status == "warning"


def test_dormant_share_by_hand() -> None:
    # Mean activities 4, 0.2, 0 and 3.8 have the mean 2; the scores are 2, 0.1, 0 and 1.9.
    activation = torch.tensor([[8.0, 0.0, 0.0, 3.8], [0.0, 0.4, 0.0, 3.8]])
    assert dormant_share(activation) == 0.25
    # The bound lies at b = 0.025 (1 + b) / 3, so b = 0.0084034.
    assert dormant_share(torch.tensor([[1.0, 0.0084, 0.0]])) == pytest.approx(2 / 3)
    assert dormant_share(torch.tensor([[1.0, 0.0085, 0.0]])) == pytest.approx(1 / 3)
    assert dormant_share(torch.zeros(5, 3)) == 1.0
    # What counts is the mean: a unit that is active once in a hundred times is dormant, too.
    rare = torch.stack([torch.ones(100), (torch.arange(100) == 7).float()], 1)
    assert dormant_share(rare) == 0.5
    # A unit of a convolution is a channel.
    picture = torch.zeros(2, 3, 4, 4)
    picture[0, 1, 2, 3] = 1.0
    assert dormant_share(picture) == pytest.approx(2 / 3)


def test_the_doctor_leaves_the_noise_mode_alone(agent: jostle.DQN) -> None:
    before = agent.noise.selection.mode, agent.noise.selection.draw
    examine(agent, agent.replay)
    assert (agent.noise.selection.mode, agent.noise.selection.draw) == before
    assert not any(m._forward_hooks for m in agent.network.modules() if isinstance(m, nn.ReLU))


# ---- target and replay ----


def test_a_target_that_does_not_lag(agent: jostle.DQN) -> None:
    assert agent.steps % 150 >= agent.num_envs  # no hard copy has just been made
    agent.target.load_state_dict(agent.network.state_dict())
    assert target(agent, None).status == "FAIL"


def test_a_target_that_does_not_follow(agent: jostle.DQN) -> None:
    first = {name: tensor.clone() for name, tensor in agent.network.state_dict().items()}
    assert target(agent, first).status == "OK"
    agent.target.load_state_dict(first)
    with torch.no_grad():
        next(iter(layers(agent).values())).weight.add_(0.1)
    assert target(agent, first).status == "FAIL"
    agent.steps = 140  # before the first copy is due
    assert target(agent, first).status == "OK"


def test_a_replay_ratio_that_is_not_kept(agent: jostle.DQN) -> None:
    assert replay_state(agent, agent.state_dict()).status == "OK"
    agent.updates -= 20
    assert replay_state(agent, agent.state_dict()).status == "FAIL"


def test_an_empty_replay(agent: jostle.DQN) -> None:
    agent.replay.valid[:] = False
    assert replay_state(agent, agent.state_dict()).status == "FAIL"


# ---- folders ----


def test_a_run_from_disk_and_a_saved_agent_without_replay(agent: jostle.DQN, tmp_path: Path) -> None:
    run = tmp_path / "run"
    agent.learn(200, run_dir=run, checkpoint_every=100)
    before = sorted(p.relative_to(run) for p in run.rglob("*"))
    checks = {c.name: c for c in diagnose(run)}
    assert {c.status for c in checks.values()} == {"OK"}
    assert checks["checkpoints"].finding == f"step_{agent.steps:012d} is whole"
    assert sorted(p.relative_to(run) for p in run.rglob("*")) == before
    agent.save(tmp_path / "saved")  # without its replay: a few fresh steps are looked at
    without = {c.name: c.status for c in diagnose(tmp_path / "saved")}
    assert without.pop("replay") == "warning"
    assert set(without.values()) == {"OK"}


def test_a_damaged_checkpoint_is_mentioned(agent: jostle.DQN, tmp_path: Path) -> None:
    agent.learn(200, run_dir=tmp_path / "run", checkpoint_every=100)
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    (newest / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipping a checkpoint"):
        first = diagnose(tmp_path / "run")[0]
    assert (first.name, first.status) == ("checkpoints", "warning")
    assert newest.name in first.finding


def test_fresh_transitions(agent: jostle.DQN) -> None:
    replay = fresh_replay(agent, 64)
    assert replay.ready
    assert replay.filled * agent.num_envs >= 64


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run"):
        diagnose(tmp_path)
