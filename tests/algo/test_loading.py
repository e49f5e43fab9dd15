"""Loading on another device, without the replay, into other spaces; and every kind of observation end to end."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jostle
from jostle.algo.dqn.learner import ACT
from jostle.envs.engines.envpool import has_envpool
from jostle.errors import CheckpointError, ConfigError

SMALL: dict[str, Any] = {"num_envs": 3, "hidden": (16,), "batch_size": 16, "warmup": 40, "replay_size": 500}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sea"
    jostle.DQN("jostle/DeepSea-v0", noisy="factorised", dueling=True, **SMALL).learn(200, run_dir=folder)
    return folder


def test_the_replay_is_left_unread(run: Path, tmp_path: Path) -> None:
    agent = jostle.load(run)
    agent.save(tmp_path / "saved", replay=True)
    for path in (run, tmp_path / "saved"):
        whole, light = jostle.load(path), jostle.load(path, replay=False)
        assert whole.replay.added > 60
        assert light.replay.added == 0
        assert light.steps == whole.steps
        pairs = zip(light.network.parameters(), whole.network.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    light.learn(80)
    assert light.updates > agent.updates, "it can still learn, once its replay has filled again"


def test_without_the_replay_its_bytes_do_not_matter_but_all_others_do(run: Path, tmp_path: Path) -> None:
    folder = jostle.load(run).save(tmp_path / "saved", replay=True)
    replay = folder / "replay.safetensors"
    whole = replay.read_bytes()
    replay.write_bytes(whole[:-1] + b"?")
    with pytest.raises(CheckpointError, match="checksum"):
        jostle.load(folder)
    jostle.load(folder, replay=False)
    replay.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        jostle.load(folder, replay=False)
    replay.write_bytes(whole)
    (folder / "model.safetensors").write_bytes(b"?")
    with pytest.raises(CheckpointError, match="checksum"):
        jostle.load(folder, replay=False)


def test_the_device_given_takes_the_place_of_the_saved_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jostle.load(run).config.device == "auto"
    assert jostle.load(run, device="cpu").config.device == "cpu"
    for go_on in (jostle.load, jostle.resume):
        with pytest.raises(ConfigError, match="'cuda:77' is not to be had"):
            go_on(run, device="cuda:77")


@pytest.mark.parametrize("resample", ["action", "episode"])
def test_noise_of_a_gpus_generators_goes_on_with_new_ones(resample: Any) -> None:
    """A GPU's generators have a state of 16 bytes, which a CPU's cannot take over."""
    settings = {"noisy": "factorised", "noise_resample": resample, "noise_per_env": False, **SMALL}
    agent = jostle.DQN("jostle/DeepSea-v0", **settings).learn(100)
    state = agent.state_dict()
    for part in state["noise"].values():
        part["generators"] = {key: torch.zeros(16, dtype=torch.uint8) for key in part["generators"]}
    other = jostle.DQN("jostle/DeepSea-v0", **settings)
    first = other.noise.state_dict()["noise"]
    assert any("another kind of device" in reason for reason in other.load_state_dict(state))
    ours, theirs = agent.noise.state_dict()["noise"], other.noise.state_dict()["noise"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "the held noise itself is kept"
    other.noise.draw()
    other.noise.fold(ACT)
    drawn = other.noise.state_dict()["noise"]
    assert not any((drawn[name] == first[name]).any() for name in first), "the first draws do not come again"
    other.learn(60)
    plain = jostle.DQN("jostle/DeepSea-v0", **SMALL)
    state = plain.state_dict()
    for part in state["noise"].values():
        part["generators"] = {key: torch.zeros(16, dtype=torch.uint8) for key in part["generators"]}
    assert plain.load_state_dict(state) == [], "without noise nothing is lost"


def test_a_state_replaces_everything(run: Path) -> None:
    """Also what `predict` keeps, and the returns of before."""
    agent, other = jostle.load(run), jostle.load(run)
    obs = np.eye(100, dtype=np.float32).reshape(100, 10, 10)
    before = agent.predict(obs)[0]
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.mul_(-1)
    assert other.updates == agent.updates
    agent.load_state_dict(other.state_dict())
    after = agent.predict(obs)[0]
    assert after.tolist() == other.predict(obs)[0].tolist() != before.tolist()
    assert list(agent.returns) == list(other.returns)


@pytest.mark.parametrize("engine", ["envpool", "gymnasium"])
def test_minigrid_dictionaries_end_to_end(tmp_path: Path, engine: str) -> None:
    if engine == "envpool" and not has_envpool():
        pytest.skip("needs EnvPool")
    agent = jostle.DQN("MiniGrid-Empty-5x5-v0", noisy="factorised", n_step=3, env_options={"engine": engine}, **SMALL)
    assert set(agent.env.single_observation_space) >= {"image", "direction"}  # type: ignore[call-overload]
    agent.learn(200, run_dir=tmp_path / "run")
    seam = agent.replay.added
    resumed = jostle.resume(tmp_path / "run", steps=60)
    image = resumed.replay.obs["image"]
    np.testing.assert_array_equal(image[:seam], agent.replay.obs["image"][:seam])
    assert resumed.steps >= 260
    obs, _ = resumed.env.reset()
    batch = resumed.predict(obs, noise="mc:3")[0]
    single = resumed.predict({key: value[0] for key, value in obs.items()})[0]  # type: ignore[union-attr]
    assert batch.shape == (3,)  # type: ignore[union-attr]
    assert isinstance(single, int)
    assert len(jostle.evaluate(resumed, 3, noise="sampled", epsilon=0.5).episodes) == 3
    with pytest.raises(ConfigError, match="keys"):
        resumed.predict({"image": obs["image"]})  # type: ignore[index]


def test_bfloat16_stays_close_to_float32() -> None:
    half, full = (
        jostle.DQN("jostle/ThemedCatch-v0", bfloat16=on, noisy="factorised", seed=2, **SMALL) for on in (True, False)
    )
    obs = torch.as_tensor(half._obs)
    with half.noise.using(mode="mean"), full.noise.using(mode="mean"):
        one, two = half.learner.q(half.network, obs), full.learner.q(full.network, obs)
    assert one.dtype == torch.float32
    assert not torch.equal(one, two)
    torch.testing.assert_close(one, two, atol=0.02, rtol=0.05)
    half.learn(60)
    assert half.updates > 0
    assert all(p.dtype == torch.float32 for p in half.network.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile itself
@pytest.mark.parametrize("settings", [
    {"noisy": "factorised", "dueling": True},
    {"noisy": "independent", "noise_resample": "episode", "noise_per_env": False, "bfloat16": True},
])  # fmt: skip
def test_compiled_networks_learn_what_eager_ones_do(settings: dict[str, Any]) -> None:
    """Same draws, same losses up to rounding, folded acting and redrawn noise included."""
    fast, plain = (
        jostle.DQN("jostle/DeepSea-v0", compile=on, seed=3, env_options={"size": 5}, **settings, **SMALL)
        for on in (True, False)
    )
    tolerance = 0.05 if settings.get("bfloat16") else 1e-3
    for agent in (fast, plain):
        agent.learn(120, log_every=40)
    assert fast.metrics["losses/td_loss"] == pytest.approx(plain.metrics["losses/td_loss"], rel=tolerance)
    fast.noise.draw()
    batch = fast.replay.sample(16, np.random.default_rng(0))
    with torch.no_grad():
        compiled = fast.loss(batch)
        fast.learner.forward, fast.learner._target_forward = fast.network, fast.target
        torch.testing.assert_close(fast.loss(batch), compiled, rtol=tolerance, atol=1e-4)
