"""Settings as people give them: NumPy's numbers, single values, mappings; what does nothing is refused."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import jostle
from jostle import presets
from jostle.algo.dqn.config import DQNConfig
from jostle.algo.parts.rate import rate_at
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.settings import plain
from jostle.cli.recipe import checked
from jostle.errors import ConfigError

PPO_SMALL: dict[str, Any] = {"num_envs": 2, "num_steps": 8, "minibatches": 2, "epochs": 1, "hidden": (8,)}
DQN_SMALL: dict[str, Any] = {"num_envs": 2, "hidden": (8,), "warmup": 8, "batch_size": 8, "replay_size": 200}
AGENTS: dict[str, Any] = {"ppo": jostle.PPO, "dqn": jostle.DQN}
SMALL = {"ppo": PPO_SMALL, "dqn": DQN_SMALL}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"epochs": np.int64(2)}, {"epochs": 2}),
        ({"epochs": np.uint8(2)}, {"epochs": 2}),
        ({"gamma": np.float64(0.5)}, {"gamma": 0.5}),
        ({"learning_rate": np.float32(1e-3)}, {"learning_rate": float(np.float32(1e-3))}),
        ({"clip": np.int32(1)}, {"clip": 1}),
        ({"normalise_obs": np.True_}, {"normalise_obs": True}),
        ({"activation": np.str_("relu")}, {"activation": "relu"}),
        ({"hidden": np.array([8, 4])}, {"hidden": (8, 4)}),
        ({"hidden": [np.int64(8), 4]}, {"hidden": (8, 4)}),
        ({"hidden": (np.int16(8),)}, {"hidden": (8,)}),
        ({"hidden": np.array(8)}, {"hidden": (8,)}),
        ({"bonus": np.array(["rnd", "icm"])}, {"bonus": ("rnd", "icm")}),
        ({"hidden": 64}, {"hidden": (64,)}),
        ({"bonus": "rnd"}, {"bonus": ("rnd",)}),
        ({"hidden": ()}, {"hidden": ()}),
        ({"hidden": None}, {"hidden": None}),
    ],
)
def test_numbers_are_numbers_and_one_value_is_one_of_many(given: dict[str, Any], meant: dict[str, Any]) -> None:
    config = PPOConfig(**given)
    assert config == PPOConfig(**meant)
    assert yaml.safe_load(yaml.safe_dump(config.as_dict())) == PPOConfig(**meant).as_dict()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": np.float64(2.5)}, "epochs=2.5 cannot be used: it must be a whole number"),
        ({"epochs": np.True_}, "epochs=True cannot be used"),
        ({"gamma": np.float32("nan")}, "gamma=nan cannot be used: it must be a finite number"),
        ({"bonus": "rdn"}, "bonus='rdn' is unknown; did you mean rnd"),
        ({"bonus": 3}, "bonus="),
        ({"hidden": 2.5}, "hidden="),
        ({"hidden": True}, "hidden=True cannot be used"),
        ({"hidden": "64"}, "hidden="),
        ({"input_keep": 3}, "top, left, height and width"),
    ],
)
def test_what_is_no_number_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        PPOConfig(**given)


def test_plain_goes_into_lists_and_dictionaries() -> None:
    found = plain({"size": np.int64(3), "deep": [np.float32(0.5), {"x": (np.True_,)}], "text": "x", "none": None})
    assert found == {"size": 3, "deep": [0.5, {"x": (True,)}], "text": "x", "none": None}
    assert type(found["size"]) is int
    assert type(found["deep"][1]["x"][0]) is bool


@pytest.mark.parametrize("algorithm", list(AGENTS))
def test_a_run_with_numpys_scalars_everywhere_is_the_plain_one(algorithm: str, tmp_path: Path) -> None:
    sizes = SMALL[algorithm] | {"num_envs": np.int64(2), "hidden": np.array([8])}
    sea = {"size": np.int64(5)}
    agent = AGENTS[algorithm]("jostle/DeepSea-v0", seed=np.int64(3), env_options=sea, gamma=np.float32(0.5), **sizes)
    agent.learn(np.int64(40), run_dir=tmp_path / "run", log_every=np.int32(10), checkpoint_every=np.uint8(40))
    other = AGENTS[algorithm]("jostle/DeepSea-v0", seed=3, env_options={"size": 5}, gamma=0.5, **SMALL[algorithm])
    assert agent.config == other.config
    other.learn(40)
    assert all((a == b).all() for a, b in zip(agent.network.parameters(), other.network.parameters(), strict=True))
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["seed"] == 3


@pytest.mark.parametrize("seed", [True, np.True_, 1.5, "1", None])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(ConfigError, match="it must be a whole number"):
        jostle.DQN("CartPole-v1", seed=seed)
    negative: Any = np.int64(-1)
    with pytest.raises(ConfigError, match="it must be 0 or more"):
        jostle.DQN("CartPole-v1", seed=negative)


def test_a_config_is_settings_or_a_mapping_of_them() -> None:
    agent = jostle.PPO("CartPole-v1", {"gamma": 0.5, "epochs": 2}, gamma=0.25, num_envs=2)
    assert (agent.config.gamma, agent.config.epochs) == (0.25, 2)
    with pytest.raises(ConfigError, match="no setting 'gama'; did you mean gamma"):
        jostle.PPO("CartPole-v1", {"gama": 0.5})
    wrong: Any
    for wrong in (DQNConfig(), presets.settings("cartpole-noisy")):
        with pytest.raises(ConfigError, match="config=DQNConfig cannot be used: it must be a PPOConfig, or a mapping"):
            jostle.PPO("CartPole-v1", wrong)
    wrong = "deepsea-rnd"
    with pytest.raises(ConfigError, match="config='deepsea-rnd' cannot be used"):
        jostle.PPO("CartPole-v1", wrong)
    with pytest.raises(ConfigError, match="there is no setting 'origin'"):
        jostle.PPO("CartPole-v1", {"origin": "deepsea-rnd"})


def test_recurrence_alone_chooses_minibatches_of_environments(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", recurrent="gru", num_steps=8, hidden=(8,), recurrent_size=4)
    assert agent.config.minibatch_by == "envs"
    agent.learn(64, run_dir=tmp_path / "run")
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["config"]["minibatch_by"] == "envs"
    assert jostle.load(tmp_path / "run").config == agent.config
    assert jostle.PPO("CartPole-v1", **PPO_SMALL).config.minibatch_by == "rows"
    assert jostle.PPO("CartPole-v1", recurrent="lstm", minibatch_by="slices").config.minibatch_by == "slices"
    with pytest.raises(ConfigError, match="minibatch_by='rows' cannot be used: it must be envs or slices"):
        jostle.PPO("CartPole-v1", recurrent="gru", minibatch_by="rows")


IDLE_PPO: list[tuple[dict[str, Any], str]] = [
    ({"sigma0": 0.3}, "sigma0=0.3 does nothing without noisy: leave it out"),
    ({"bias_sigma": "fan_out"}, "without noisy"),
    ({"noise_per_env": False}, "without noisy"),
    ({"sequence_length": 4}, "with minibatches of rows"),
    ({"kl_beta": 2.0}, "without kl_penalty"),
    ({"kl_target": 0.5}, "without kl_penalty"),
    ({"clip": 0.0, "clip_schedule": "linear"}, "without clip"),
    ({"entropy_coef": 0.0, "entropy_schedule": "linear"}, "without entropy_coef"),
    ({"noisy": "factorised", "entropy_schedule": "linear"}, "without entropy_coef"),
    ({"value_heads": "single"}, "without a bonus"),
    ({"coef_int": 2.0}, "coef_int=2.0 does nothing without a bonus"),
    ({"gamma_int": 0.5}, "without a bonus"),
    ({"episodic_int": True}, "without a bonus"),
    ({"bonus_share": 0.5}, "without a bonus"),
    ({"bonus_learning_rate": 0.1}, "without a bonus"),
    ({"bonus_ending": "reset"}, "without a bonus"),
    ({"input_clean": 0.5}, "without input_noise"),
    ({"input_per": "env"}, "without input_noise or dropout"),
    ({"input_noise": "cutout", "input_kernel": 5}, "without input_noise=random-conv"),
    ({"input_noise": "cutout", "feature_layer": "encoder"}, "without feature_matching"),
]
IDLE_DQN: list[tuple[dict[str, Any], str]] = [
    ({"noise_resample": "episode"}, "without noisy"),
    ({"target_noise": False}, "without noisy"),
    ({"target_tau": 0.1, "target_interval": 100}, "target_interval=100 does nothing with target_tau"),
    ({"epsilon_start": 0.1, "epsilon_end": 0.1, "epsilon_steps": 5}, "where epsilon is 0.1 from the first step"),
    ({"noisy": "factorised", "epsilon_steps": 5}, "where epsilon is 0 from the first step"),
    ({"warmup": 0, "warmup_random": False}, "without warmup"),
    ({"input_target": "same"}, "without input_noise"),
    ({"gamma_int": 0.5}, "without a bonus"),
]


@pytest.mark.parametrize(
    ("algorithm", "settings", "told"), [("ppo", *x) for x in IDLE_PPO] + [("dqn", *x) for x in IDLE_DQN]
)
def test_settings_without_effect_are_refused(algorithm: str, settings: dict[str, Any], told: str) -> None:
    kind = AGENTS[algorithm].settings
    for config, more in ((None, settings), (settings, {}), (kind(**settings), {})):
        with pytest.raises(ConfigError, match=told):
            AGENTS[algorithm]("jostle/ThemedCatch-v0", config, **more)


def test_settings_beside_bonuses_of_ones_own_have_an_effect() -> None:
    from jostle.bonus import RND

    env = jostle.make_env("CartPole-v1", 2)
    rnd = RND(env.single_observation_space, 2, features=4)
    agent = jostle.PPO(env, bonuses=[rnd], coef_int=2.0, episodic_int=True, value_heads="single", **PPO_SMALL)
    assert agent.config.coef_int == 2.0


@pytest.mark.parametrize("name", presets.names())
def test_no_preset_has_a_setting_without_effect(name: str) -> None:
    presets.settings(name).refuse_idle()


def test_an_older_run_with_a_setting_without_effect_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It loads, resumes, and its own file trains it again; what is added to it is checked."""
    from jostle.cli import main

    run = tmp_path / "old"
    jostle.PPO("CartPole-v1", **PPO_SMALL).learn(32, run_dir=run)
    meta = next(run.glob("checkpoints/*/meta.json"))
    for path in (run / "config.yaml", *run.glob("checkpoints/*/*.json")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("sigma0: null", "sigma0: 0.3").replace('"sigma0": null', '"sigma0": 0.3'))
    assert meta.exists()
    command = ["train", "ppo", "--config", str(run / "config.yaml"), "--quiet", "--run-dir"]
    assert main([*command, str(tmp_path / "again")]) == 0
    assert jostle.load(tmp_path / "again").config.sigma0 == 0.3
    assert jostle.resume(tmp_path / "again", steps=32).steps >= 64
    assert main([*command, str(tmp_path / "more"), "--kl-beta", "3"]) == 2
    assert "kl_beta=3.0 does nothing without kl_penalty" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()


def test_the_command_refuses_flags_without_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jostle.cli import main

    command = ["train", "dqn", "--env", "CartPole-v1", "--steps", "10", "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--sigma0", "0.3"]) == 2
    assert "sigma0=0.3 does nothing without noisy" in capsys.readouterr().err


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("algorithm", list(AGENTS))
def test_an_agent_says_why_it_cannot_be_copied(algorithm: str, way: Any, tmp_path: Path) -> None:
    agent = AGENTS[algorithm]("CartPole-v1", **SMALL[algorithm])
    with pytest.raises(ConfigError, match=r"cannot be copied or pickled.*jostle\.load\(agent\.save\(path\)\)"):
        way(agent)
    assert jostle.load(agent.save(tmp_path / "saved")).config == agent.config


# ---- learning rates ----


@pytest.mark.parametrize(
    ("rate", "schedule", "expected"),
    [
        (0.5, "constant", [0.5, 0.5, 0.5]),
        (0.5, "linear", [0.5, 0.25, 0.0]),
        (0.5, "cosine", [0.5, 0.25, 0.0]),
        (lambda left: 0.1 + left, "constant", [1.1, 0.6, 0.1]),
        (lambda left: np.float32(left), "constant", [1.0, 0.5, 0.0]),
    ],
)
def test_rates_over_a_training(rate: Any, schedule: Any, expected: list[float]) -> None:
    assert [rate_at(rate, schedule, left) for left in (1.0, 0.5, 0.0)] == pytest.approx(expected)
    assert rate_at(0.5, "cosine", 0.75) == pytest.approx(0.25 * (1 + 2**-0.5))


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (lambda: 0.1, "failed at 1, the share of training left .TypeError"),
        (lambda left: 1 / (left - 1), "ZeroDivisionError"),
        (lambda left: -left, "returned -1.0 at 1"),
        (lambda left: None, "TypeError"),
        (lambda left: float("nan"), "a finite number of 0 or more"),
    ],
)
def test_functions_that_are_no_rate_are_told_at_once(rate: Any, told: str) -> None:
    for kind in (PPOConfig, DQNConfig):
        with pytest.raises(ConfigError, match=told):
            kind(learning_rate=rate)
    with pytest.raises(ConfigError, match="lr_schedule='linear' does nothing where learning_rate is a function"):
        PPOConfig(learning_rate=lambda left: left, lr_schedule="linear")


def halves(left: float) -> float:
    return 1e-3 if left > 0.5 else 1e-4


SCHEDULES: list[dict[str, Any]] = [{"lr_schedule": "linear"}, {"lr_schedule": "cosine"}, {"learning_rate": halves}]


@pytest.mark.parametrize("settings", SCHEDULES)
@pytest.mark.parametrize("algorithm", list(AGENTS))
def test_the_rate_follows_the_plan_and_a_resumed_run_is_the_unbroken_one(
    algorithm: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    def make() -> Any:
        return AGENTS[algorithm]("jostle/DeepSea-v0", seed=1, **SMALL[algorithm] | settings)

    seen: list[tuple[float, float]] = []

    def note(agent: Any) -> None:
        seen.append((agent.steps, agent.metrics.get("charts/learning_rate", 0.0)))

    whole = make().learn(160, log_every=1, callback=note)
    base = 1e-3 if "learning_rate" in settings else whole.config.learning_rate
    assert seen[0][1] == base
    assert 0 < seen[-1][1] <= 0.2 * base
    given = {name: value for name, value in settings.items() if callable(value)}
    run = tmp_path / "run"
    make().learn(160, run_dir=run, checkpoint_every=10**6, callback=lambda agent: agent.steps < 80)
    again = jostle.resume(run, **given)
    assert again.steps == whole.steps
    for a, b in zip(again.network.parameters(), whole.network.parameters(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("bonus_rate", [None, 0.5])
def test_dqns_bonuses_follow_its_rate_unless_they_have_one(bonus_rate: float | None) -> None:
    agent = jostle.DQN(
        "jostle/DeepSea-v0", bonus="rnd", bonus_warmup=0, bonus_features=4, lr_schedule="linear", learning_rate=0.1,
        bonus_learning_rate=bonus_rate, **DQN_SMALL,
    ).learn(100)  # fmt: skip
    assert agent.intrinsic is not None
    assert agent.intrinsic.optimizer is not None
    rate = agent.optimizer.param_groups[0]["lr"]
    assert rate < 0.01
    assert agent.intrinsic.optimizer.param_groups[0]["lr"] == (rate if bonus_rate is None else bonus_rate)


def test_functions_are_named_in_the_run_and_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jostle.cli import main

    run = tmp_path / "run"
    jostle.DQN("CartPole-v1", learning_rate=halves, **DQN_SMALL).learn(40, run_dir=run)
    assert yaml.safe_load((run / "config.yaml").read_text())["config"]["learning_rate"].endswith(
        "test_settings.halves>"
    )
    for way in (jostle.load, jostle.resume):
        with pytest.raises(ConfigError, match=r"learning_rate='<function .*halves>' stands for an object.*give it in"):
            way(run)
        way(run, learning_rate=halves)
    with pytest.raises(ConfigError, match="encoder= is not needed: the folder holds encoder='auto' itself"):
        jostle.load(run, encoder=lambda space: None, learning_rate=halves)  # type: ignore[arg-type]
    for command in (["evaluate", str(run)], ["resume", str(run)]):
        assert main(command) == 2
        assert "give it in Python" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="give it in Python"):
        checked(yaml.safe_load((run / "config.yaml").read_text()), "x", "dqn")
