"""PPO is deterministic, goes on exactly where it was saved, and is not changed by being evaluated."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jostle
from jostle.errors import CheckpointError, ConfigError
from jostle.store import Run

TIMING = {"time", "charts/SPS", "charts/FPS"}
SMALL = {
    "hidden": (12,),
    "num_steps": 16,
    "minibatches": 2,
    "bonus_warmup": 4,
    "bonus_features": 6,
    "recurrent_size": 8,
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rnd": {"bonus": ("rnd",), "reward_norm": "return_std", "lr_schedule": "linear", "bonus_share": 0.5},
    "e3b-icm": {"bonus": ("e3b", "icm"), "bonus_learning_rate": 1e-3, "entropy_schedule": "linear"},
    "penalty": {"kl_penalty": "adaptive", "bonus": ("rnd",), "bonus_ending": "reset", "value_heads": "single"},
    "gru": {"recurrent": "gru", "minibatch_by": "envs", "sequence_length": 8, "noisy": "factorised"},
    "lstm": {"recurrent": "lstm", "minibatch_by": "slices", "bonus": ("e3b",), "normalise_obs": True},
    "noisy": {"noisy": "independent", "noise_per_env": False, "bfloat16": True},
    "pictures": {
        "env": "jostle/ThemedCatch-v0",
        "bonus": ("rnd",),
        "env_options": {"frame_stack": 3},
        "num_steps": 20,
        "epochs": 1,
    },
    "mujoco": {"env": "jostle/Hopper-v5", "env_options": {"threads": 2}, "num_steps": 24},
}


def make(env: Any = "jostle/DeepSea-v0", **settings: Any) -> jostle.PPO:
    options = {"seed": 1} | SMALL | settings
    return jostle.PPO(env, num_envs=3, **options)


def train(folder: Path, stop: int = 1000, **settings: Any) -> jostle.PPO:
    """Logs and saves at different steps, so that half a log's metrics must survive in a checkpoint."""
    agent = make(**settings)
    return agent.learn(
        470, run_dir=folder, log_every=190, checkpoint_every=140, callback=lambda agent: agent.steps < stop
    )


def same(a: Any, b: Any, where: str = "state") -> None:
    """Two nested states are equal to the last bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if key != "seconds":  # wall-clock time of the running episodes
                same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}.{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, where)
    else:
        assert a == b, where


def metrics(folder: Path) -> list[str]:
    return [json.dumps({k: v for k, v in row.items() if k not in TIMING}) for row in jostle.read_metrics(folder)]


def compare(a: Path, b: Path) -> None:
    same(Run.open(a).newest()[1], Run.open(b).newest()[1])
    assert metrics(a) == metrics(b)


@pytest.mark.parametrize("name", RUNS)
def test_resuming_is_exact(tmp_path: Path, name: str) -> None:
    """Stop in the middle, resume, and arrive at the unbroken run's state and metrics."""
    train(tmp_path / "a", **RUNS[name])
    stopped = train(tmp_path / "b", stop=210, **RUNS[name])
    assert stopped.steps < 300
    told: list[str] = []
    resumed = jostle.resume(tmp_path / "b", notify=told.append)
    assert len(told) == 1, "an exact resume only says where it goes on"
    assert resumed.steps >= 470
    compare(tmp_path / "a", tmp_path / "b")
    for bonus in RUNS[name].get("bonus", ()):
        assert f"bonus/{bonus}/raw_mean" in resumed.metrics


@pytest.mark.parametrize("name", ["rnd", "gru", "e3b-icm"])
def test_the_seed_decides_everything(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        agent = make(**RUNS[name] | {"seed": seed}).learn(120)
        states.append(copy.deepcopy(agent.state_dict()))
        logged = {key: value for key, value in agent.metrics.items() if key not in TIMING}
        states[-1]["metrics"] = json.dumps(logged)
    same(states[0], states[1])
    weights = [torch.cat([p.flatten() for p in s["model"].values()]) for s in states]
    assert not torch.equal(weights[0], weights[2])
    assert states[0]["metrics"] != states[2]["metrics"]


def test_torchs_and_numpys_global_generators_play_no_part() -> None:
    states = []
    for i in range(2):
        torch.manual_seed(i)
        np.random.seed(i)  # noqa: NPY002
        before = torch.get_rng_state()
        states.append(make(**RUNS["rnd"] | {"noisy": "factorised"}).learn(100).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    same(*states)


def test_every_piece_of_the_state_counts() -> None:
    """Forget one of them, and the run is another one."""
    first = make(**RUNS["gru"])
    first.advance()
    assert not first._start.any(), "in the middle of episodes"
    state = copy.deepcopy(first.state_dict())
    later = []
    for forget in (None, "recurrent", "noise", "rng"):
        agent = make(**RUNS["gru"])
        changed = copy.deepcopy(state)
        if forget == "recurrent":
            changed["recurrent"] = torch.zeros_like(state["recurrent"])
        elif forget is not None:
            changed[forget] = make(**RUNS["gru"]).state_dict()[forget]
        agent.load_state_dict(changed)
        agent.advance()
        later.append(torch.cat([p.detach().flatten() for p in agent.network.parameters()]))
    for i, name in enumerate(("recurrent", "noise", "rng"), 1):
        assert not torch.equal(later[0], later[i]), name


def test_an_environment_without_snapshots_says_so(tmp_path: Path) -> None:
    settings = SMALL | {
        "env_options": {"engine": "gymnasium"},
        "bonus": ("rnd",),
        "recurrent": "gru",
        "minibatch_by": "envs",
    }
    agent = jostle.PPO("CartPole-v1", num_envs=2, **settings).learn(300, run_dir=tmp_path / "run")
    saved = copy.deepcopy(agent.state_dict())
    told: list[str] = []
    resumed = jostle.resume(tmp_path / "run", steps=100, notify=told.append)
    assert any("cannot be saved in the middle of an episode" in line for line in told)
    assert resumed.steps >= saved["progress"]["steps"] + 100
    fresh = jostle.load(tmp_path / "run")
    assert fresh._start.all(), "new episodes begin"
    fresh.advance()
    assert fresh.rollout.start[0].all()
    assert fresh.rollout.valid[0].all()


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, name: str) -> None:
    train(tmp_path / "a", **RUNS["rnd"])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    newest = max((tmp_path / "b" / "checkpoints").iterdir())
    files = [path for path in newest.iterdir() if path.name == name]
    assert files, sorted(path.name for path in newest.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-7])
    with pytest.warns(UserWarning, match="skipping a checkpoint"):
        jostle.resume(tmp_path / "b")
    compare(tmp_path / "a", tmp_path / "b")


def test_tampering_is_refused_in_one_sentence(tmp_path: Path) -> None:
    agent = make(**RUNS["rnd"])
    agent.save(tmp_path / "saved")
    state = tmp_path / "saved" / "model.safetensors"
    damaged = bytearray(state.read_bytes())
    damaged[-3] ^= 1
    state.write_bytes(bytes(damaged))
    with pytest.raises(CheckpointError) as caught:
        jostle.load(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_save_load_evaluate_and_go_on(tmp_path: Path) -> None:
    for name in ("rnd", "lstm"):
        agent = make(**RUNS[name]).learn(150, run_dir=tmp_path / name)
        agent.save(tmp_path / f"{name}-saved")
        twin = jostle.load(tmp_path / f"{name}-saved")
        other = jostle.load(tmp_path / name)
        assert twin.config == other.config == agent.config
        assert twin.steps == other.steps == agent.steps
        same(twin.state_dict(), agent.state_dict())
        results = [jostle.evaluate(a, 3, actions="sampled").as_dict() for a in (agent, twin, other)]
        assert results[0] == results[1] == results[2]
        agent.planned = twin.planned = other.planned = 600
        for a in (agent, twin, other):
            a.advance()
        same(twin.state_dict(), agent.state_dict())
        same(other.state_dict(), agent.state_dict())


@pytest.mark.parametrize("noise", ["mean", "sampled", "mc:3"])
@pytest.mark.parametrize("actions", ["greedy", "sampled"])
def test_evaluating_changes_nothing(noise: str, actions: Any) -> None:
    """Normaliser, statistics, generators, draws, recurrent states, environments: all as before."""
    options = RUNS["lstm"] | {"noisy": "factorised", "bonus": ("rnd", "e3b"), "seed": 3}
    agent = make(**options).learn(100)
    before = copy.deepcopy(agent.state_dict())
    normaliser = {name: x for name, x in before["model"].items() if "count" in name}
    assert all(float(x) > 0 for x in normaliser.values()), "statistics that are never updated prove nothing"
    noises = [layer.noise.clone() for layer in agent.noise.layers.values()]
    first = jostle.evaluate(agent, 4, noise=noise, actions=actions)
    second = jostle.evaluate(agent, 4, noise=noise, actions=actions)
    assert first.as_dict() == second.as_dict()
    agent.predict(agent._obs, noise=noise)
    same(agent.state_dict(), before)
    assert all(torch.equal(a, layer.noise) for a, layer in zip(noises, agent.noise.layers.values(), strict=True))


def test_what_was_trained_with_other_modules_does_not_load() -> None:
    state = make(**RUNS["rnd"]).state_dict()
    with pytest.raises(ConfigError, match="ext, rnd, and this one from ext; give the same bonuses"):
        make().load_state_dict(state)
    with pytest.raises(ConfigError, match="do not fit this agent"):
        make(**RUNS["rnd"] | {"hidden": (7,)}).load_state_dict(state)
    agent = make(value_heads="single", bonus=("rnd",))
    single = copy.deepcopy(agent.state_dict())
    with pytest.raises(ConfigError, match="give the same bonuses"):
        make().load_state_dict(single)
