"""Agents in randomised environments: settings, metrics, resuming, evaluation, and who sees the draws."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jostle
from jostle.domain import Space
from jostle.errors import ConfigError
from jostle.stress import Condition, Suite
from jostle.view import as_view

sys.path.insert(0, str(Path(__file__).parents[1] / "envs" / "domain"))
from pendulum import ID

DOMAIN = {"mass": {"log_uniform": [0.2, 5], "operation": "scale"}, "length": [0.5, 2]}
SCHEDULES = [
    "uniform",
    "linear(steps=300)",
    "adr(high=12, low=8, episodes=2)",
    "rollback(high=12, low=8, episodes=2)",
    "doraemon(threshold=12, episodes=8)",
]
PPO: dict[str, Any] = {"num_envs": 4, "num_steps": 16, "hidden": (8,), "minibatches": 2, "epochs": 1}
DQN: dict[str, Any] = {"num_envs": 4, "hidden": (8,), "warmup": 20, "replay_size": 400, "batch_size": 8}


def ppo(env: str = ID, **settings: Any) -> jostle.PPO:
    return jostle.PPO(env, **(PPO | {"domain": DOMAIN} | settings))


def same(a: Any, b: Any) -> None:
    """Two nested states, bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        np.testing.assert_array_equal(a, b)


def without_clocks(state: dict[str, Any]) -> dict[str, Any]:
    state["env"].pop("seconds")
    return state


CARRIERS = {
    "jostle/CartPole-v1": {
        "pole.half_length": [0.25, 0.75],
        "pole.mass": {"log_uniform": [0.5, 4], "operation": "scale"},
    },
    "jostle/Hopper-v5": {"torso.mass": {"uniform": [0.5, 2], "operation": "scale"}, "gravity.z": [-14, -7]},
}
WITHIN = {"jostle/CartPole-v1": "action.delay", "jostle/Hopper-v5": "push.force"}


QUICK = {("jostle/CartPole-v1", s) for s in SCHEDULES[2:]} | {("jostle/Hopper-v5", SCHEDULES[2])}


@pytest.mark.parametrize(
    ("env", "schedule"),
    [
        pytest.param(env, schedule, marks=[] if (env, schedule) in QUICK else pytest.mark.slow)
        for env in CARRIERS
        for schedule in SCHEDULES
    ],
)
def test_a_killed_run_goes_on_exactly_with_every_schedule(env: str, schedule: str, tmp_path: Path) -> None:
    domain = CARRIERS[env] | {WITHIN[env]: {"integers": [0, 2], "when": "interval", "interval": 5}}
    whole = ppo(env, domain=domain, domain_schedule=schedule).learn(512, run_dir=tmp_path / "whole", log_every=128)
    ppo(env, domain=domain, domain_schedule=schedule).learn(
        512, run_dir=tmp_path / "run", log_every=128, checkpoint_every=128, callback=lambda agent: agent.steps < 300
    )
    shutil.rmtree(max((tmp_path / "run" / "checkpoints").glob("step_*")))  # killed before the last one was whole
    again = jostle.resume(tmp_path / "run")
    same(without_clocks(again.state_dict()), without_clocks(whole.state_dict()))
    clocks = ("charts/SPS", "charts/FPS", "time")
    one, two = (
        [{k: v for k, v in line.items() if k not in clocks} for line in jostle.read_metrics(tmp_path / d)]
        for d in ("whole", "run")
    )
    assert one == two
    names = list(CARRIERS[env])
    assert {"domain/entropy", *(f"domain/{n}/{end}" for n in names for end in ("low", "high"))} <= set(one[-1])
    assert schedule == "uniform" or one[-1]["domain/entropy"] != one[0]["domain/entropy"]
    for n in names:
        assert one[-1][f"domain/{n}/low"] <= one[-1][f"domain/{n}/high"]


def test_dqn_goes_on_exactly(tmp_path: Path) -> None:
    settings = DQN | {"domain": DOMAIN, "domain_schedule": "adr(high=12, low=8, episodes=2)"}
    whole = jostle.DQN(ID, **settings).learn(300)
    jostle.DQN(ID, **settings).learn(300, run_dir=tmp_path / "run", callback=lambda agent: agent.steps < 150)
    same(without_clocks(jostle.resume(tmp_path / "run").state_dict()), without_clocks(whole.state_dict()))
    assert whole.metrics["domain/entropy"] > np.log(1e-6)


def test_level_replay_goes_on_exactly(tmp_path: Path) -> None:
    settings = {"domain": {"level": {"integers": [0, 19]}}, "domain_schedule": "plr"}
    whole = ppo(**settings).learn(400)
    ppo(**settings).learn(400, run_dir=tmp_path / "run", callback=lambda agent: agent.steps < 200)
    same(without_clocks(jostle.resume(tmp_path / "run").state_dict()), without_clocks(whole.state_dict()))
    assert whole.metrics["domain/levels_seen"] > 5
    assert whole.metrics["domain/level_score"] > 0


def test_level_replay_hears_the_first_streams_advantages() -> None:
    agent = ppo(domain={"level": {"integers": [0, 19]}}, domain_schedule="plr", gae_lambda=0.9)
    heard = []
    agent.env.domain.feedback = lambda score, valid: heard.append((score, valid))
    agent.advance()
    (score, valid), r = heard[0], agent.rollout
    delta = r.reward + agent.config.gamma * r.value[1:, :, 0] * ~r.terminated - r.value[:-1, :, 0]
    last = r.valid[-1]  # the last step's advantage is its own δ
    np.testing.assert_allclose(score[-1][last], delta[-1].abs()[last], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(valid, r.valid)


def test_level_replay_needs_ppo() -> None:
    with pytest.raises(ConfigError, match="plr learns from what a PPO agent knows"):
        jostle.DQN(ID, **DQN, domain={"level": {"integers": [0, 19]}}, domain_schedule="plr")


def test_a_schedule_goes_on_where_episodes_cannot(tmp_path: Path) -> None:
    schedule = "adr(high=12, low=8, episodes=2)"
    agent = ppo("TinyUnsaved-v0", domain_schedule=schedule)
    assert not agent.env.can_snapshot
    agent.learn(400, run_dir=tmp_path / "run")
    moved = agent.env.domain.schedule
    assert (moved.q != moved._ranges.start).any()
    loaded = jostle.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.env.domain.schedule.q, moved.q)
    told: list[str] = []
    jostle.resume(tmp_path / "run", steps=1, notify=told.append)
    assert any("new episodes begin" in text for text in told)


def test_a_run_folder_holds_the_resolved_domain(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("mass: {log_uniform: [0.2, 5], operation: scale}\nlength: [0.5, 2]\n")
    agent = ppo(domain=tmp_path / "d.yaml", domain_schedule="linear(steps=100)")
    agent.learn(64, run_dir=tmp_path / "run")
    (tmp_path / "d.yaml").unlink()
    loaded = jostle.load(tmp_path / "run")
    assert Space.load(loaded.env_options["domain"]) == Space.load(DOMAIN)
    assert loaded.env_options["domain_schedule"] == {"linear": {"steps": 100}}
    assert loaded.env.domain.schedule.share == agent.env.domain.schedule.share > 0


def test_evaluation_is_nominal_unless_asked(tmp_path: Path) -> None:
    agent = ppo(domain_schedule="linear(steps=100)", domain_privileged=True)
    view = as_view(agent)
    assert set(view.env_options) == {"domain_seen", "domain_privileged"}
    plain = jostle.evaluate(jostle.load(agent.save(tmp_path / "agent")), 6, seed=5)
    assert jostle.evaluate(agent, 6, seed=5).returns.tolist() == plain.returns.tolist()
    heavy = jostle.evaluate(agent, 6, seed=5, domain={"mass": 0.05})
    train = jostle.evaluate(agent, 6, seed=5, domain="train")
    assert heavy.returns.tolist() != plain.returns.tolist()
    assert train.returns.tolist() not in (plain.returns.tolist(), heavy.returns.tolist())
    assert jostle.evaluate(agent, 6, seed=5, domain="train").returns.tolist() == train.returns.tolist()


def test_asking_for_a_domain_that_there_was_not() -> None:
    agent = jostle.PPO(ID, **PPO)
    with pytest.raises(ConfigError, match="asks for the domain of the training, and it had none"):
        jostle.evaluate(agent, 1, domain="train")


@pytest.mark.parametrize("who", ["critic", "both", "none"])
def test_who_sees_the_draw(who: str) -> None:
    agent = ppo(domain_privileged=True, privileged=who)
    obs = {k: torch.from_numpy(np.array(v)) for k, v in agent.env.reset(seed=0)[0].items()}
    changed = obs | {"privileged": obs["privileged"] + 1}
    pi, value, _ = agent.network(obs)
    pi2, value2, _ = agent.network(changed)
    assert torch.equal(pi, pi2) == (who != "both")
    assert torch.equal(value, value2) == (who == "none")
    agent.learn(128)


@pytest.mark.parametrize("who", ["both", "none"])
def test_whether_dqn_sees_the_draw(who: str) -> None:
    agent = jostle.DQN(ID, **DQN, domain=DOMAIN, domain_privileged=True, privileged=who)
    obs = {k: torch.from_numpy(np.array(v)) for k, v in agent.env.reset(seed=0)[0].items()}
    changed = obs | {"privileged": obs["privileged"] + 1}
    assert torch.equal(agent.network(obs), agent.network(changed)) == (who == "none")
    agent.learn(60)


def test_an_actor_cannot_see_what_is_not_told() -> None:
    with pytest.raises(ConfigError, match="the environment tells nothing under the key 'privileged'"):
        ppo(privileged="both")


def test_a_made_environment_brings_its_own_domain() -> None:
    env = jostle.make_env(ID, 4, domain=DOMAIN)
    assert Space.load(
        jostle.PPO(env, **{k: v for k, v in PPO.items() if k != "num_envs"}).env_options["domain"]
    ) == Space.load(DOMAIN)
    with pytest.raises(ConfigError, match="come too late"):
        jostle.PPO(env, num_steps=16, domain=DOMAIN)


def test_another_schedule_on_resume_begins_anew(tmp_path: Path) -> None:
    ppo(domain_schedule="adr(high=12, low=8, episodes=2)").learn(400, run_dir=tmp_path / "run")
    again = jostle.resume(tmp_path / "run", steps=1, env_options={"domain_schedule": "linear(steps=1e6)"})
    assert again.env_options["domain_schedule"] == {"linear": {"steps": 1e6}}
    assert 0 <= again.env.domain.schedule.share < 1e-3


def test_a_stress_test_is_nominal_unless_asked_and_conditions_may_change_the_world() -> None:
    agent = ppo(domain_privileged=True, privileged="both")
    heavy = Condition("heavy", env_options={"domain": {"mass": 9.0}})
    suite = Suite("masses", (Condition("nominal"), heavy), reference="nominal")
    settings: dict[str, Any] = {"episodes": 4, "noise": "mean", "baseline": False, "seed": 3}
    found = {name: jostle.stress_test(agent, suite, **settings, domain=name) for name in (None, "train")}
    returns = {(n, c.condition): c.returns.tolist() for n, result in found.items() for c in result.cells}
    assert returns[None, "nominal"] == jostle.evaluate(agent, 4, seed=3).returns.tolist()
    assert returns["train", "nominal"] == jostle.evaluate(agent, 4, seed=3, domain="train").returns.tolist()
    assert returns[None, "heavy"] == jostle.evaluate(agent, 4, seed=3, domain={"mass": 9.0}).returns.tolist()
    assert len({tuple(r) for r in returns.values()}) == 3
