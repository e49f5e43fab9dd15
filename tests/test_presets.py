"""The presets: each trains, names its sources, and differs from its neighbours in what it says it does."""

import contextlib
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import jostle
from jostle import presets
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.settings import merged
from jostle.cli import main
from jostle.cli.recipe import checked
from jostle.loading import AGENTS
from jostle.study import Study, read_study

ROOT = Path(__file__).resolve().parents[1]
# RND's official network but for its encoder.
NETWORK: dict[str, Any] = {"hidden": (256, 448), "activation": "relu", "shared": True, "heads": "residual"}
# What makes a step of a preset cheap and changes nothing else.
SMALL: dict[str, dict[str, Any]] = {
    "dqn": {},
    "ppo": {"num_steps": 4, "minibatches": 1, "epochs": 1, "bonus_warmup": 2},
}


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_trained(name: str) -> None:
    """Its keys are known, its environment takes its options, its settings make an agent, and the agent steps."""
    preset = checked(presets.load(name), name, presets.load(name)["algorithm"])
    assert preset["training"]["total"] > 0
    settings = merged(presets.settings(name), SMALL[preset["algorithm"]])
    made: Any = AGENTS[preset["algorithm"]]
    with pytest.warns(UserWarning, match="feature_reduce") if list(settings.doubts()) else contextlib.nullcontext():
        agent = made(preset["env"], settings, num_envs=2, env_options=preset.get("env_options"))
    agent.advance()
    agent.env.close()
    assert agent.steps == 2 * SMALL[preset["algorithm"]].get("num_steps", 1)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_names_its_source(name: str) -> None:
    assert "# Source: " in presets.text(name)
    assert 20 < len(presets.describe(name)) < 100


def test_the_deepsea_presets_differ_in_exploration_alone() -> None:
    noisy, epsilon = (presets.load(f"deepsea-{kind}") for kind in ("noisy", "epsilon"))
    keys = {"noisy", "noise_resample", "warmup_random", "epsilon_start", "epsilon_end", "epsilon_steps"}
    settings = [{k: v for k, v in p.pop("config").items() if k not in keys} for p in (noisy, epsilon)]
    assert settings[0] == settings[1]
    assert noisy == epsilon


def test_the_atari_presets_of_dqn_share_what_they_do_not_name() -> None:
    dqn, noisy, dueling = (presets.load(f"{kind}-atari") for kind in ("dqn", "noisy-dqn", "noisy-dueling"))
    noise = {"noisy", "sigma0", "bias_sigma", "noise_resample", "target_noise", "warmup_random"}
    noise |= {"epsilon_start", "epsilon_end", "epsilon_steps"}
    baseline = {"dueling", "double", "learning_rate", "max_grad_norm"}
    settings = [p.pop("config") for p in (dqn, noisy, dueling)]
    assert {k: v for k, v in settings[0].items() if k not in noise} == {
        k: v for k, v in settings[1].items() if k not in noise
    }
    assert {k: v for k, v in settings[1].items() if k not in baseline} == {
        k: v for k, v in settings[2].items() if k not in baseline
    }
    assert dqn == noisy == dueling


def test_rnd_atari_is_the_papers_table() -> None:
    """Tables 2 and 5 and the official code: every value, and nothing else differs from the defaults."""
    preset = presets.load("rnd-atari")
    assert (preset["env"], preset["num_envs"]) == ("MontezumaRevenge-v5", 128)
    assert preset["training"]["total"] == 30_000 * 128 * 128
    assert preset["env_options"] == {
        "stack_num": 4, "frame_skip": 4, "gray_scale": True, "img_height": 84, "img_width": 84,
        "use_inter_area_resize": True, "repeat_action_probability": 0.25, "max_episode_steps": 18_000 // 4,
        "noop_max": 1, "use_fire_reset": False, "episodic_life": False, "reward_clip": True,
    }  # fmt: skip
    assert presets.settings("rnd-atari") == PPOConfig(
        **NETWORK, encoder="nature-k4", recurrent="none", bonus=("rnd",), value_heads="dual",
        num_steps=128, epochs=4, minibatches=4, minibatch_by="slices", coef_ext=2.0, coef_int=1.0,
        learning_rate=1e-4, lr_schedule="constant", optimizer_eps=1e-8, max_grad_norm=0.0,
        gae_lambda=0.95, gamma=0.999, gamma_int=0.99, episodic_int=False, time_limit="terminal",
        entropy_coef=0.001, clip=0.1, value_clip=0.0, value_coef=1.0, normalise_advantage=False,
        value_weights="equal", value_norm="none",
        kl_penalty="none", target_kl=0.0, reward_norm="none", reward_clip=0.0, normalise_obs=False, noisy="none",
        bonus_warmup=128 * 50, bonus_ending="reset", bonus_obs_norm=True, bonus_obs_clip=5.0,
        bonus_reward_norm="return_std", bonus_share=None, bonus_features=None, bonus_learning_rate="joint",
    )  # fmt: skip


def test_rnd_atari_cleanrl_is_cleanrls_script() -> None:
    preset = presets.load("rnd-atari-cleanrl")
    assert (preset["env"], preset["num_envs"]) == ("MontezumaRevenge-v5", 128)
    assert preset["training"]["total"] == 2_000_000_000
    assert preset["env_options"] == {
        "repeat_action_probability": 0.25, "episodic_life": True, "reward_clip": True,
    }  # fmt: skip
    assert presets.settings("rnd-atari-cleanrl") == PPOConfig(
        **NETWORK, encoder="nature", bonus=("rnd",), value_heads="dual",
        num_steps=128, epochs=4, minibatches=4, minibatch_by="rows", coef_ext=2.0, coef_int=1.0,
        learning_rate=1e-4, lr_schedule="linear", optimizer_eps=1e-5, max_grad_norm=0.5,
        gae_lambda=0.95, gamma=0.999, gamma_int=0.99, episodic_int=False, time_limit="terminal",
        entropy_coef=0.001, clip=0.1, value_clip=0.1, value_coef=0.5, normalise_advantage=True,
        value_weights="equal", value_norm="none", bonus_grad_norm="joint",
        bonus_warmup=128 * 50, bonus_ending="final", bonus_obs_norm=True, bonus_obs_clip=5.0,
        bonus_reward_norm="return_std", bonus_share=0.25, bonus_slope=0.01, bonus_learning_rate="joint",
    )  # fmt: skip


def test_rnd_tf_agents_is_its_ppo_agent() -> None:
    """The defaults of PPOAgent; network, preprocessing, learning rate and RND are the paper's, but for both weights."""
    preset = presets.load("rnd-tf-agents")
    assert (preset["env"], preset["num_envs"]) == ("MontezumaRevenge-v5", 30)
    assert preset["training"]["total"] == 30_000 * 128 * 128
    assert preset["env_options"] == {
        "repeat_action_probability": 0.25, "max_episode_steps": 4500, "noop_max": 1, "use_fire_reset": False,
        "episodic_life": False, "reward_clip": False,
    }  # fmt: skip
    assert presets.settings("rnd-tf-agents") == PPOConfig(
        **NETWORK, encoder="nature-k4", bonus=("rnd",), value_heads="single",
        num_steps=128, epochs=25, minibatches=1, coef_ext=1.0, coef_int=1.0,
        learning_rate=1e-4, lr_schedule="constant", optimizer_eps=1e-8, max_grad_norm=0.0,
        gae_lambda=1.0, gamma=0.99, gamma_int=0.99, episodic_int=True, time_limit="terminal",
        entropy_coef=0.0, clip=0.0, value_clip=0.0, value_coef=1.0, normalise_advantage=True,
        kl_penalty="adaptive", kl_beta=1.0, kl_target=0.01, target_kl=0.0, reward_norm="return_std", reward_clip=10.0,
        bonus_warmup=128 * 50, bonus_ending="reset", bonus_obs_norm=True, bonus_obs_clip=5.0,
        bonus_reward_norm="return_std", bonus_share=None, bonus_learning_rate="joint",
    )  # fmt: skip


OFFICIAL: dict[str, Any] = {
    "encoder": "impala", "hidden": (256,), "activation": "relu", "shared": True,
    "num_steps": 256, "epochs": 3, "minibatches": 8, "minibatch_by": "rows", "gamma": 0.999, "gae_lambda": 0.95,
    "time_limit": "terminal", "learning_rate": 5e-4, "lr_schedule": "linear", "optimizer_eps": 1e-5,
    "clip": 0.2, "value_clip": 0.2, "clip_schedule": "linear", "value_coef": 0.5, "entropy_coef": 0.01,
    "normalise_advantage": True, "max_grad_norm": 0.5, "weight_decay": 0.0, "dropout": 0.0, "batch_norm": False,
    "input_noise": "random-conv", "input_use": "act", "input_per": "iteration", "input_clean": 0.1,
    "input_kernel": 3, "input_depth": 1, "input_init": "xavier-truncated", "input_mixing": "bypass",
    "input_output": "none", "input_keep": (0, 0, 12, 24), "feature_matching": 0.002, "feature_layer": "hidden",
    "feature_reduce": "mean", "feature_stop": "clean", "feature_on_clean": True, "feature_teacher": 0.0,
}  # fmt: skip
PAPER = {"input_init": "xavier", "input_mixing": "identity", "feature_reduce": "sum", "feature_on_clean": False}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("network-randomization-official", OFFICIAL), ("network-randomization", OFFICIAL | PAPER),
        ("network-randomization-mean", OFFICIAL | PAPER | {"feature_reduce": "mean"}),
    ],
)  # fmt: skip
def test_network_randomization_is_that_of_the_official_code(name: str, settings: dict[str, Any]) -> None:
    """Every value, and nothing else differs from the defaults; the paper's has the four that the code does not."""
    preset = presets.load(name)
    assert presets.settings(name) == PPOConfig(**settings)
    assert (preset["env"], preset["num_envs"], preset["training"]["total"]) == ("CoinrunHard-v0", 32, 256_000_000)
    assert preset["env_options"] == {
        "num_levels": 500, "start_level": 0, "use_backgrounds": False, "restrict_themes": True, "paint_vel_info": True,
    }  # fmt: skip


def test_paper_and_code_of_network_randomization_differ_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "network-randomization", "--diff", "network-randomization-official"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert {row[0]: row[1:] for row in rows} == {
        "config.input_init": ["xavier", "xavier-truncated"],
        "config.input_mixing": ["identity", "bypass"],
        "config.feature_reduce": ["sum", "mean"],
        "config.feature_on_clean": ["False", "True"],
    }


def themed(**settings: Any) -> Any:
    return jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=2, minibatches=1, hidden=(8,), **settings)


def test_the_sum_of_feature_matching_is_warned_of_where_it_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, with the remedy, by preset and by setting; not of runs that have it already, nor of the remedy itself."""
    assert [name for name in presets.names() if list(presets.settings(name).doubts())] == ["network-randomization"]
    summed = {"input_noise": "random-conv", "feature_matching": 0.002, "feature_reduce": "sum"}
    with pytest.warns(UserWarning, match="network-randomization-mean") as seen:
        agent = themed(**summed)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    agent.learn(4, run_dir=tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jostle.load(tmp_path / "run")
        jostle.resume(tmp_path / "run", steps=4)
        themed(**summed | {"feature_reduce": "mean"})
    small = ["--num-envs", "2", "--num-steps", "2", "--minibatches", "1", "--hidden", "8", "--steps", "4", "--quiet"]
    game = ["--env", "jostle/ThemedCatch-v0", "--input-noise", "random-conv", "--feature-matching", "0.002", *small]
    for reduce, times in (("sum", 1), ("mean", 0)):
        line = ["train", "ppo", *game, "--feature-reduce", reduce, "--run-dir", str(tmp_path / reduce)]
        assert main(line) == 0
        assert capsys.readouterr().err.count("warning: feature_reduce='sum'") == times


def test_the_page_says_of_feature_matching_what_the_official_preset_has() -> None:
    page = (ROOT / "docs/network-randomization.md").read_text(encoding="utf-8")
    table = page.split("| setting | what it does | official code |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    said = {"the former": "hidden", "average": "mean", "`clean`": "clean", "yes": True, "no": 0.0, "0.002": 0.002}
    config = presets.settings("network-randomization-official")
    assert {name.strip("`"): said[code] for name, _, code in rows} == {
        field: value for field, value in config.as_dict().items() if field.startswith("feature_")
    }


STUDIES = {
    "deepsea-rnd": ("exploration", "deepsea-20", "rnd"),
    "lunarlander-ppo": ("exploration", "lunarlander", "ppo"),
    "minigrid-rnd": ("exploration", "doorkey", "rnd"),
    "mountaincar-rnd": ("exploration", "mountaincar", "rnd"),
    "themed-network-randomization": ("network_randomization", "themed-4", "netrand-env"),
}
"""Presets that name a study: its file in benchmarks/studies/, task and method."""


def test_presets_that_name_a_study_are_all_compared_with_it() -> None:
    assert {name for name in presets.names() if "those of benchmarks/" in presets.text(name)} == set(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_a_preset_has_the_settings_of_its_study(name: str) -> None:
    file, task, method = STUDIES[name]
    assert f"those of benchmarks/studies/{file}.yaml" in presets.text(name)
    asked = next(job.asked for job in study(file).jobs if (job.task, job.method) == (task, method))
    preset = presets.load(name)
    assert presets.settings(name) == merged(PPOConfig(), asked["config"])
    assert (preset["env"], preset["num_envs"]) == (asked["env"], asked["num_envs"])
    assert preset.get("env_options", {}) == asked["env_options"]
    assert preset["training"]["total"] == asked["steps"]


@cache
def study(file: str) -> Study:
    with warnings.catch_warnings(action="ignore"):  # of settings that are there to be shown to fail
        return read_study(ROOT / "benchmarks" / "studies" / f"{file}.yaml")


@pytest.mark.parametrize(
    ("name", "policy", "predictor"),
    [("rnd-atari", 1_223_156, 2_203_296), ("rnd-atari-cleanrl", None, 2_203_296)],
)
def test_the_networks_of_the_official_code(name: str, policy: int | None, predictor: int) -> None:
    preset = presets.load(name)
    settings = merged(presets.settings(name), SMALL["ppo"])
    made: Any = AGENTS["ppo"]
    agent = made(preset["env"], settings, num_envs=2, env_options=preset["env_options"])
    agent.env.close()
    if policy is not None:
        assert sum(p.numel() for p in agent.network.parameters()) == policy
    assert sum(p.numel() for p in agent.bonuses[0].trainable_parameters()) == predictor
    assert len(agent.learner.optimizers) == 1


def test_the_share_of_128_environments() -> None:
    preset = presets.load("rnd-atari")
    from jostle.bonus import make_bonus
    from jostle.envs import make_env

    with_one = make_env(preset["env"], 1, **preset["env_options"])
    bonus = make_bonus("rnd", with_one.single_observation_space, with_one.single_action_space, preset["num_envs"],
                       frame_stack=4, share=presets.settings("rnd-atari").bonus_share)  # fmt: skip
    with_one.close()
    assert bonus.share == 0.25
