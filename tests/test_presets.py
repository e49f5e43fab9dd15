"""The presets: each trains, names its sources, and differs from its neighbours in what it says it does."""

from typing import Any

import pytest

from jostle import presets
from jostle.algo.ppo_config import PPOConfig
from jostle.algo.settings import merged
from jostle.cli.recipe import checked
from jostle.loading import AGENTS

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
    """Table 5 and the official code, value by value."""
    preset, settings = presets.load("rnd-atari"), presets.settings("rnd-atari")
    assert isinstance(settings, PPOConfig)
    assert (preset["num_envs"], preset["training"]["total"]) == (128, 30_000 * 128 * 128)
    paper = {
        "num_steps": 128, "epochs": 4, "minibatches": 4, "minibatch_by": "slices", "coef_ext": 2.0, "coef_int": 1.0,
        "learning_rate": 1e-4, "lr_schedule": "constant", "optimizer_eps": 1e-8, "gae_lambda": 0.95,
        "entropy_coef": 0.001, "gamma": 0.999, "gamma_int": 0.99, "clip": 0.1, "value_clip": 0.0, "value_coef": 1.0,
        "normalise_advantage": False, "max_grad_norm": 0.0, "episodic_int": False, "time_limit": "terminal",
        "bonus_ending": "reset", "bonus_warmup": 6400, "bonus_obs_clip": 5.0, "bonus_reward_norm": "return_std",
        "bonus_share": None, "bonus_learning_rate": None, "value_heads": "dual", "reward_norm": "none",
        "kl_penalty": "none", "target_kl": 0.0, "noisy": "none", "recurrent": "none", "normalise_obs": False,
    }  # fmt: skip
    assert {key: getattr(settings, key) for key in paper} == paper


@pytest.mark.parametrize(
    ("name", "policy", "predictor"),
    [("rnd-atari", 1_223_156, 2_203_296), ("rnd-atari-cleanrl", None, 2_203_296)],
)
def test_the_networks_of_the_official_code(name: str, policy: int | None, predictor: int) -> None:
    preset = presets.load(name)
    settings = merged(presets.settings(name), SMALL["ppo"])
    agent: Any = AGENTS["ppo"](preset["env"], settings, num_envs=2, env_options=preset["env_options"])
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
