"""Evaluations within a training change nothing of it, and keep the best checkpoint."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

import jostle
from jostle.algo.evaluating import Evaluations, name_of_eval
from jostle.algo.schedule import Schedule
from jostle.domain import Space
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.store import Run, best_value, load_best, save_best

SEA = "jostle/DeepSea-v0"


def make(kind: str, env: Any = SEA) -> Any:
    if kind == "ppo":
        return jostle.PPO(
            env, num_envs=2, num_steps=16, hidden=(8,), epochs=1, noisy="factorised", normalise_obs=env != SEA
        )
    return jostle.DQN(env, num_envs=2, hidden=(8,), noisy="factorised", warmup=20, batch_size=8, replay_size=400)


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


class Global(gym.Env[Any, int]):
    """Draws from the global generators, as careless environments do."""

    observation_space = spaces.Box(-9, 9, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        return np.array([random.random(), np.random.random()], np.float32), {}  # noqa: NPY002

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        obs = np.array([np.random.random(), torch.rand(()).item()], np.float32)  # noqa: NPY002
        return obs, float(obs[0]), self.t == 4, False, {}


@pytest.mark.parametrize("env", [SEA, Global])
@pytest.mark.parametrize("kind", ["ppo", "dqn"])
@pytest.mark.parametrize("noise", ["mean", "sampled"])
def test_training_is_bit_for_bit_the_same_with_and_without(kind: str, env: Any, noise: str) -> None:
    states = []
    for every in (None, 32):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        agent = make(kind, env).learn(96, eval_every=every, eval_episodes=2, eval_noise=noise)
        states.append(agent.state_dict())
        assert ("eval/return_mean" in agent.metrics) == (every is not None)
    assert equal(*states)


def evaluated(run: Path) -> list[dict[str, Any]]:
    lines = [{k: v for k, v in row.items() if k == "step" or k.startswith("eval/")} for row in jostle.read_metrics(run)]
    return [line for line in lines if len(line) > 1]


def test_what_is_logged_and_kept_and_how_a_resumed_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    more = {"log_every": 32, "checkpoint_every": 64, "keep": 3, "eval_every": 40, "eval_episodes": 3}
    make("dqn").learn(200, run_dir=run, **more)
    lines = evaluated(run)
    assert [line["step"] // 40 for line in lines] == [1, 2, 3, 4, 5]
    assert set(lines[0]) == {"step", "eval/return_mean", "eval/return_low", "eval/return_high", "eval/length"}
    best = max(line["eval/return_mean"] for line in lines)
    agent = jostle.load(run, which="best")
    assert agent.steps == next(line["step"] for line in lines if line["eval/return_mean"] == best)
    assert jostle.evaluate(agent, 3).mean == best == best_value(run)
    assert len(list((run / "best").iterdir())) == 1
    resumed = Path(shutil.copytree(run, tmp_path / "resumed"))
    shutil.rmtree(Run.open(resumed).checkpoints()[-1])
    jostle.resume(resumed)
    assert evaluated(resumed) == lines, "at the same steps, with the same results"
    assert load_best(resumed)[1]["step"] == agent.steps
    training = yaml.safe_load((run / "config.yaml").read_text())["training"]
    assert (training["eval_every"], training["eval_episodes"], training["keep"]) == (40, 3, 3)


def test_only_what_is_better_takes_the_place_of_the_best(tmp_path: Path) -> None:
    agent = make("ppo")
    for step, value in ((10, 1.0), (20, 3.0), (30, 2.0)):
        if value > best_value(tmp_path):
            save_best(tmp_path, step, agent.state_dict(replay=False), agent.meta(), value, finite=("model",))
    assert load_best(tmp_path)[1]["step"] == 20
    # A kill between the two halves of a change leaves both: the better one counts, and a damaged one does not.
    save_best(tmp_path / "other", 5, agent.state_dict(), agent.meta(), 2.5)
    shutil.copytree(tmp_path / "other/best/step_000000000005", tmp_path / "best/step_000000000005")
    assert load_best(tmp_path)[1]["step"] == 20
    (tmp_path / "best/step_000000000020/model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipping"):
        assert load_best(tmp_path)[1]["step"] == 5
    save_best(tmp_path, 5, agent.state_dict(), agent.meta(), 4.0)
    assert best_value(tmp_path) == 4.0


def test_without_evaluations_there_is_no_best(tmp_path: Path) -> None:
    make("ppo").learn(32, run_dir=tmp_path / "run")
    with pytest.raises(CheckpointError, match="--eval-every"):
        jostle.load(tmp_path / "run", which="best")
    with pytest.raises(ConfigError, match="'newest' or 'best'"):
        jostle.load(tmp_path / "run", which="last")  # type: ignore[arg-type]


def test_another_environment_to_evaluate_in(tmp_path: Path) -> None:
    run = tmp_path / "run"
    make("ppo", Global).learn(64, run_dir=run, eval_every=32, eval_episodes=1, eval_env=Global)
    assert json.dumps(evaluated(run)[0]).count("eval/") == 2, "one episode has no interval"
    with pytest.raises(ConfigError, match=r"evaluated in Global, .* give eval_env"):
        jostle.resume(run, steps=64, env=Global)
    jostle.resume(run, steps=64, env=Global, eval_env=Global)
    jostle.resume(run, steps=64, env=Global, eval_every=0)
    agent = make("ppo").learn(40, eval_every=32, eval_episodes=1, eval_env_options={"move_cost": 5.0})
    assert agent.metrics["eval/return_mean"] < -0.1 or agent.metrics["eval/return_mean"] == 0


POLE: dict[str, Any] = {"num_envs": 2, "hidden": (8,), "env_options": {"engine": "gymnasium"}}


def test_each_evaluation_plays_the_same_episodes_and_of_equals_the_first_is_the_best(tmp_path: Path) -> None:
    small: dict[str, Any] = {"warmup": 20, "batch_size": 8, "replay_size": 400, "learning_rate": 1e-12}
    agent = jostle.DQN("CartPole-v1", **POLE, **small)
    agent.learn(150, run_dir=tmp_path / "run", log_every=30, eval_every=40, eval_episodes=4)
    first, *others = evaluated(tmp_path / "run")
    assert len(others) == 2
    for other in others:
        assert other | {"step": first["step"]} == first
    shown = jostle.evaluate(agent, 4)
    assert len(set(shown.returns)) > 1
    assert first["eval/length"] == np.mean([e.length for e in shown.episodes])
    assert (first["eval/return_low"], first["eval/return_high"]) == shown.interval
    assert first["eval/return_low"] < first["eval/return_mean"] == shown.mean < first["eval/return_high"]
    assert agent.metrics["eval/return_mean"] == shown.mean, "also behind later lines of metrics"
    state, meta = load_best(tmp_path / "run")
    assert meta["step"] == first["step"]
    assert state["replay"] is None


def test_it_is_evaluated_under_the_noise_and_the_options_that_are_asked_for() -> None:
    agent = jostle.PPO("CartPole-v1", num_steps=16, noisy="factorised", sigma0=5.0, seed=2, **POLE)
    agent.learn(1, eval_every=1, eval_episodes=8, eval_noise="sampled")
    sampled, mean = (jostle.evaluate(agent, 8, noise=noise).mean for noise in ("sampled", "mean"))
    assert agent.metrics["eval/return_mean"] == sampled != mean
    short = POLE | {"env_options": {"engine": "gymnasium", "max_episode_steps": 5}}
    agent = jostle.PPO("CartPole-v1", num_steps=16, **short)
    agent.learn(1, eval_every=1, eval_episodes=2)
    assert agent.metrics["eval/length"] == 5
    agent.learn(1, eval_every=1, eval_episodes=2, eval_env="CartPole-v1")
    assert agent.metrics["eval/length"] > 5, "another environment does not have the training's options"


def test_what_no_folder_holds_is_named_so_and_options_come_too_late_for_what_is_made(tmp_path: Path) -> None:
    env = jostle.make_env(SEA, 2)
    assert name_of_eval(env) == f"<{SEA}>"
    assert name_of_eval(lambda: Global()) == (
        "<test_what_no_folder_holds_is_named_so_and_options_come_too_late_for_what_is_made.locals.lambda>"
    )
    with pytest.raises(ConfigError, match=f"eval_env_options come too late: {SEA} is made already"):
        make("ppo").learn(
            32, run_dir=tmp_path / "run", eval_every=32, eval_env=env, eval_env_options={"move_cost": 1.0}
        )
    assert not (tmp_path / "run").exists()


def test_an_evaluation_that_fails_leaves_the_global_generators_as_they_were() -> None:
    class Fails(Global):
        def step(self, action: int) -> Any:
            super().step(action)
            raise RuntimeError("mine")

    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()  # noqa: NPY002

    agent = make("ppo", Global)
    before = states()
    with pytest.raises(EnvError, match="mine"):
        Evaluations(Schedule.of(10, eval_every=1), Fails)(agent)
    assert states() == before


@pytest.mark.parametrize(("wrong", "says"), [
    ({"eval_every": -1}, "eval_every=-1"), ({"eval_episodes": 0}, "eval_episodes=0"), ({"eval_noise": "loud"}, "loud"),
    ({"keep": 0}, "keep=0"), ({"log_every": 1.5}, "log_every=1.5"), ({"steps": 64.5}, "steps=64.5"),
    ({"eval_env_options": [1]}, "eval_env_options"), ({"checkpoint_every": True}, "checkpoint_every=True"),
])  # fmt: skip
def test_wrong_plans_are_refused_before_anything_is_written(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    plan = {"steps": 64, "eval_every": 32} | wrong
    with pytest.raises(ConfigError, match=says):
        make("ppo").learn(run_dir=tmp_path / "run", **plan)
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    plan: Any = {"log_every": np.int32(32), "checkpoint_every": np.int64(32), "keep": np.uint8(1)}
    make("ppo").learn(
        np.int64(64), run_dir=tmp_path / "run", eval_every=np.int64(32), eval_episodes=np.int16(1), **plan
    )
    training = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]
    assert (training["total"], training["log_every"], training["keep"]) == (64, 32, 1)


def test_counts_may_be_written_as_floats() -> None:
    agent = jostle.PPO("jostle/DeepSea-v0", num_envs=2e0, num_steps=8e0, hidden=(8,), epochs=np.float64(1))  # type: ignore[arg-type]
    agent.learn(6.4e1, log_every=3.2e1)  # type: ignore[arg-type]
    assert (agent.num_envs, agent.config.num_steps, agent.steps >= 64) == (2, 8, True)
    assert {type(agent.num_envs), type(agent.config.num_steps), type(agent.config.epochs)} == {int}
    assert len(jostle.evaluate(agent, 2e0).returns) == 2  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"num_steps=8.5 cannot be used: it must be a whole number"):
        jostle.PPO("jostle/DeepSea-v0", num_steps=8.5)
    with pytest.raises(ConfigError, match=r"episodes=1.5 cannot be used"):
        jostle.evaluate(agent, 1.5)  # type: ignore[arg-type]


# ---- the world of evaluations ----

PENDULUM: dict[str, Any] = {
    "num_envs": 2, "num_steps": 16, "hidden": (8,), "epochs": 1, "domain": {"rod.mass": [0.5, 2.0]},
    "domain_privileged": True, "domain_history": 3,
}  # fmt: skip


def evaluated_in(domain: Any, **more: Any) -> tuple[jostle.PPO, float]:
    agent = jostle.PPO("jostle/Pendulum-v1", **PENDULUM)
    agent.learn(32, eval_every=32, eval_episodes=3, eval_domain=domain, **more)
    return agent, agent.metrics["eval/return_mean"]


def test_evaluations_play_in_the_world_that_is_asked_for() -> None:
    heavy = {"rod.mass": 9.0, "rod.length": 0.4}
    found = {}
    for name, domain in (("nominal", None), ("train", "train"), ("fixed", heavy), ("space", Space.load(heavy))):
        agent, found[name] = evaluated_in(domain)
        asked = {} if domain is None else {"domain": domain}
        assert found[name] == jostle.evaluate(agent, 3, **asked).mean
    assert found["fixed"] == found["space"]
    assert len(set(found.values())) == 3
    assert evaluated_in("nominal")[1] == found["nominal"]
    assert evaluated_in(None, eval_env_options={"domain": heavy})[1] == found["fixed"]
    elsewhere = {"eval_env": "jostle/Pendulum-v1", "eval_env_options": {"max_episode_steps": 200}}
    assert evaluated_in(heavy, **elsewhere)[1] == found["fixed"], "what is told of a domain is told there too"
    assert evaluated_in("train", **elsewhere)[1] == found["train"]


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        ({"rod.mas": 1.0}, "jostle/Pendulum-v1 has no quantity rod.mas .*did you mean rod.mass"),
        ({"rod.mass": -1.0}, "would reach -1 kg"),
        ({"rod.mass": [2.0, 1.0]}, "inverted bounds"),
        ({"rod.mass": float("nan")}, "value=nan"),
        ("nowhere.yaml", "nowhere.yaml cannot be read"),
        (7, "a domain is a Space, a YAML file or a mapping, not 7"),
    ],
)
def test_a_world_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, domain: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        evaluated_in(domain, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_worlds_of_evaluations_that_come_too_late_or_that_there_are_not(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"eval_every": 32, "run_dir": tmp_path / "run"}
    made = jostle.make_env("jostle/Pendulum-v1", 2)
    plain = jostle.PPO("jostle/Pendulum-v1", num_envs=2, num_steps=16)
    with pytest.raises(ConfigError, match="eval_domain comes too late: jostle/Pendulum-v1 is made already"):
        plain.learn(32, eval_env=made, eval_domain={"rod.mass": 2.0}, **plan)
    with pytest.raises(ConfigError, match="asks for the domain of the training, and it had none"):
        plain.learn(32, eval_domain="train", **plan)
    with pytest.raises(ConfigError, match="eval_domain randomises jostle/DeepSea-v0, which offers nothing"):
        make("ppo").learn(32, eval_domain={"rod.mass": 2.0}, **plan)
    assert not (tmp_path / "run").exists()
    plain.learn(32, run_dir=tmp_path / "run")
    before = (tmp_path / "run/config.yaml").read_text()
    with pytest.raises(ConfigError, match=r"has no quantity rod.mas"):
        jostle.resume(tmp_path / "run", steps=32, eval_every=16, eval_domain={"rod.mas": 1.0})
    assert (tmp_path / "run/config.yaml").read_text() == before
