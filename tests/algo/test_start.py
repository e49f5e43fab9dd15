"""Presets by name: agents, their environments and their steps, each part in place of which another can stand."""

from pathlib import Path
from typing import Any

import pytest

import jostle
from jostle import presets
from jostle.algo.settings import merged
from jostle.bonus import RND
from jostle.errors import ConfigError

FAST: dict[str, Any] = {"num_steps": 4, "minibatches": 1, "epochs": 1, "bonus_warmup": 0}


def test_a_preset_alone_makes_the_agent_of_its_file() -> None:
    data = presets.load("deepsea-rnd")
    agent = jostle.PPO(preset="deepsea-rnd", seed=1)
    assert (agent.env.id, agent.num_envs, agent.seed) == (data["env"], data["num_envs"], 1)
    assert agent.env_options == data["env_options"]
    assert agent.config == merged(presets.settings("deepsea-rnd"), {"minibatch_by": "rows"})
    dqn = jostle.DQN(preset="cartpole-noisy")
    assert dqn.num_envs == presets.load("cartpole-noisy")["num_envs"]


def test_each_part_of_a_preset_can_be_another() -> None:
    data = presets.load("deepsea-rnd")
    agent = jostle.PPO(
        "jostle/DeepSea-v0",
        {"gamma": 0.5, "epochs": 7},
        preset="deepsea-rnd",
        num_envs=3,
        env_options={"size": 6},
        epochs=2,
    )
    assert (agent.num_envs, agent.config.gamma, agent.config.epochs) == (3, 0.5, 2)
    assert agent.env_options == data["env_options"] | {"size": 6}
    assert agent.config.learning_rate == data["config"]["learning_rate"]
    ready = jostle.make_env("jostle/DeepSea-v0", 2, size=7)
    assert jostle.PPO(ready, preset="deepsea-rnd", **FAST).env is ready


def test_a_preset_serves_elsewhere_and_without_its_bonus() -> None:
    assert jostle.PPO("Acrobot-v1", preset="cartpole-ppo").num_envs == presets.load("cartpole-ppo")["num_envs"] != 8
    # Settings that were the bonus's do nothing now, and nobody who reads this has given them.
    agent = jostle.PPO(preset="deepsea-rnd", num_envs=2, bonus=(), env_options={"move_cost": 0.5})
    assert agent.config.bonus == ()
    assert agent.env_options == {"size": 20, "move_cost": 0.5}, "options are given one by one"
    assert agent.config.gamma_int == presets.load("deepsea-rnd")["config"]["gamma_int"]
    with pytest.raises(ConfigError, match=r"coef_int=2\.0 does nothing without a bonus"):
        jostle.PPO(preset="deepsea-rnd", num_envs=2, bonus=(), coef_int=2.0)
    own = RND(agent.env.single_observation_space, 2, features=4)
    assert jostle.PPO(preset="deepsea-rnd", num_envs=2, bonus=(), coef_int=2.0, bonuses=[own]).config.coef_int == 2.0


def test_settings_of_a_preset_bring_its_environments() -> None:
    data = presets.load("deepsea-rnd")
    settings: Any = presets.settings("deepsea-rnd")
    agent = jostle.PPO("jostle/DeepSea-v0", settings, gamma=0.5)
    assert (agent.num_envs, agent.env_options) == (data["num_envs"], data["env_options"])
    assert "origin" not in agent.description()["config"]
    plain = jostle.PPO("jostle/DeepSea-v0", settings, num_envs=2, env_options={}, **FAST)
    assert (plain.num_envs, plain.env_options) == (2, {})
    elsewhere = jostle.PPO("CartPole-v1", settings, **FAST)
    assert (elsewhere.num_envs, elsewhere.env_options) == (8, {})
    assert jostle.PPO(config=settings, num_envs=2, **FAST).env.id == "jostle/DeepSea-v0"


def test_what_cannot_start_is_told() -> None:
    with pytest.raises(ConfigError, match=r"'deepsea-rnd' is for PPO: use jostle\.PPO\(preset='deepsea-rnd'\)"):
        jostle.DQN(preset="deepsea-rnd")
    with pytest.raises(ConfigError, match="there is no preset 'deepsea-rdn'; did you mean deepsea-rnd"):
        jostle.PPO(preset="deepsea-rdn")
    with pytest.raises(ConfigError, match="there is no preset"):
        jostle.train("deepsea-rdn")
    with pytest.raises(ConfigError, match="env=None is no environment"):
        jostle.PPO()
    with pytest.raises(ConfigError, match="two sets of settings"):
        jostle.PPO(None, jostle.PPOConfig(), preset="deepsea-rnd")
    with pytest.raises(ConfigError, match="does nothing without kl_penalty"):
        jostle.PPO(preset="deepsea-rnd", kl_beta=2.0)


def test_train_takes_a_preset_to_its_end(tmp_path: Path) -> None:
    agent = jostle.train(
        "deepsea-rnd", seed=2, steps=60, num_envs=3, env_options={"size": 5}, run_dir=tmp_path / "run", **FAST
    )
    assert isinstance(agent, jostle.PPO)
    assert 60 <= agent.steps < 60 + 12
    assert (agent.seed, agent.num_envs, agent.env_options["size"]) == (2, 3, 5)
    same = jostle.PPO(preset="deepsea-rnd", seed=2, num_envs=3, env_options={"size": 5}, **FAST).learn(60)
    again = jostle.load(tmp_path / "run")
    for a, b, c in zip(agent.network.parameters(), same.network.parameters(), again.network.parameters(), strict=True):
        assert (a == b).all()
        assert (a == c).all()
    stopped = jostle.train("cartpole-noisy", callback=lambda _: False)
    assert isinstance(stopped, jostle.DQN)
    assert stopped.planned == presets.load("cartpole-noisy")["training"]["total"]
