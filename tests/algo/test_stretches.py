"""What changes between two stretches of a run: applied, recorded and said, or refused; and how each stretch ended."""

import json
import shutil
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import jostle
from jostle.algo.changes import changes
from jostle.algo.schedule import Schedule
from jostle.algo.stretches import begin_stretch, command, end_stretch, record_change
from jostle.envs import make_env
from jostle.errors import CheckpointError, ConfigError, JostleError
from jostle.store import Run

SEA = "jostle/DeepSea-v0"


def info(run: Path) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((run / "run.json").read_text())
    return whole


def config(run: Path) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    return whole


def edit(run: Path, **sections: Any) -> None:
    found = config(run)
    for name, value in sections.items():
        found[name] = found[name] | value if isinstance(value, dict) else value
    (run / "config.yaml").write_text(yaml.safe_dump(found, sort_keys=False))


def ppo(**settings: Any) -> jostle.PPO:
    return jostle.PPO(SEA, **({"num_envs": 2, "num_steps": 16, "hidden": (8,), "epochs": 1} | settings))


def dqn(**settings: Any) -> jostle.DQN:
    small = {"num_envs": 2, "hidden": (8,), "warmup": 20, "batch_size": 8, "replay_size": 400}
    return jostle.DQN(SEA, **(small | settings))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    ppo(noisy="factorised", noise_per_env=True, bonus=("rnd", "e3b"), bonus_features=8).learn(64, run_dir=home / "ppo")
    dqn(noisy="factorised", noise_resample="update", bonus=("rnd", "e3b"), bonus_features=8).learn(
        64, run_dir=home / "dqn"
    )
    return home


@pytest.fixture(params=["ppo", "dqn"])
def run(request: pytest.FixtureRequest, runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / request.param, tmp_path / request.param))


def test_what_is_changed_is_applied_said_recorded_and_kept(run: Path) -> None:
    told: list[str] = []
    agent = jostle.resume(run, steps=32, learning_rate=1e-4, keep=np.int64(1), notify=told.append)
    first = jostle.load(run).steps - 1
    optimizer = agent.optimizer if isinstance(agent, jostle.DQN) else agent.learner.optimizers[0]
    assert optimizer.param_groups[0]["lr"] == 1e-4
    assert any("learning_rate from" in line and "to 0.0001" in line for line in told)
    (change,) = info(run)["history"]
    assert change["changed"]["learning_rate"][1] == 1e-4
    assert change["changed"]["training.keep"] == [2, 1]
    assert {"step", "time", "command"} <= change.keys()
    assert change["step"] < first
    found = config(run)
    assert found["config"]["learning_rate"] == 1e-4
    assert found["training"]["total"] == change["step"] + 32
    assert len(Run.open(run).checkpoints()) == 1
    jostle.resume(run, steps=8)
    assert len(info(run)["history"]) == 2, "what was changed before is no change any more"
    assert "learning_rate" not in info(run)["history"][1]["changed"]


@pytest.mark.parametrize(("now", "given"), [(5, True), (1, False)])
def test_the_number_of_environments_may_change(run: Path, now: int, given: bool) -> None:
    told: list[str] = []
    settings = {"minibatches": 2} if run.name == "ppo" else {}
    more: Any = {"env": make_env(SEA, now)} if given else {"num_envs": now}
    agent = jostle.resume(run, steps=80, notify=told.append, **more, **settings)
    assert agent.num_envs == now
    assert any(f"there are {now} environments now, and were 2: new episodes begin" in line for line in told)
    assert (run.name == "dqn") == any("the replay has a column for each environment" in line for line in told)
    assert config(run)["num_envs"] == now
    jostle.resume(run, steps=20)
    assert jostle.load(run).num_envs == now


@pytest.mark.parametrize("settings", [
    {"recurrent": "gru", "minibatch_by": "envs", "minibatches": 1, "reward_norm": "return_std"},
    {"env": "jostle/ThemedCatch-v0", "input_noise": "random-conv", "input_per": "episode", "minibatches": 2},
])  # fmt: skip
def test_what_each_environment_had_begins_anew(tmp_path: Path, settings: dict[str, Any]) -> None:
    env = settings.pop("env", SEA)
    small = {"num_steps": 8, "hidden": (8,), "epochs": 1, "num_envs": 2}
    jostle.PPO(env, **(small | settings)).learn(16, run_dir=tmp_path / "run")
    assert jostle.resume(tmp_path / "run", steps=24, num_envs=3).num_envs == 3
    assert jostle.resume(tmp_path / "run", steps=24, num_envs=2).num_envs == 2


def test_a_replay_of_another_size_fills_anew(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "dqn", tmp_path / "run")
    told: list[str] = []
    agent = jostle.resume(run, steps=20, replay_size=600, notify=told.append)
    assert isinstance(agent, jostle.DQN)
    assert agent.replay.rows == 300
    assert any("the replay is of another size" in line for line in told)


def test_another_ratio_owes_no_burst_of_updates(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "dqn", tmp_path / "run")
    before = jostle.load(run).updates
    assert jostle.resume(run, steps=16, replay_ratio=16.0).updates - before <= 2 * 18
    assert before > 0


def test_options_that_keep_the_spaces_may_change_and_others_are_refused(run: Path) -> None:
    told: list[str] = []
    agent = jostle.resume(run, steps=8, env_options={"move_cost": np.float64(0.5)}, notify=told.append)
    assert agent.env_options == {"move_cost": 0.5}
    assert any("other ones now" in line for line in told)
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(ConfigError, match="change the environment's spaces"):
        jostle.resume(run, steps=8, env_options={"size": 4})
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("change", [
    {"config": {"hidden": [9]}}, {"config": {"noisy": "none"}}, {"seed": 7}, {"env": "CartPole-v1"},
    {"config": {"bonus": ["rnd"]}}, {"config": {"encoder": "mlp"}},
])  # fmt: skip
def test_a_file_edited_by_hand_is_refused_where_the_state_hangs_on_it(run: Path, change: dict[str, Any]) -> None:
    edit(run, **change)
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(ConfigError, match=r"cannot change from .*What may change: .*learning_rate"):
        jostle.resume(run, steps=8)
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


def test_a_file_edited_by_hand_is_honoured(run: Path) -> None:
    told: list[str] = []
    edit(run, config={"gamma": 0.5}, training={"total": 100, "log_every": 10})
    agent = jostle.resume(run, notify=told.append)
    assert agent.config.gamma == 0.5
    assert agent.steps >= 100
    assert any("gamma from 0.99 to 0.5" in line for line in told)
    assert info(run)["history"][0]["changed"] == {"gamma": [0.99, 0.5]}
    assert len(jostle.read_metrics(run)) >= 2


def test_settings_younger_than_a_run_are_no_change(run: Path) -> None:
    """Runs of older versions lack newer settings, in config.yaml and in the checkpoints' meta data."""
    found = config(run)
    del found["config"]["max_grad_norm"]
    for name in ("keep", "eval_every", "schedules_from"):
        del found["training"][name]
    (run / "config.yaml").write_text(yaml.safe_dump(found))
    jostle.resume(run, steps=8)
    assert set(info(run)["history"][0]["changed"]) == {"training.total"}


def test_an_unknown_setting_is_refused_with_the_nearest(run: Path) -> None:
    with pytest.raises(JostleError, match="learning_rat"):
        jostle.resume(run, steps=8, learning_rat=1.0)
    with pytest.raises(ConfigError, match=r"steps=1\.5"):
        jostle.resume(run, steps=1.5)  # type: ignore[arg-type]


def test_the_new_end_is_stored_before_training_goes_on(run: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        jostle.resume(run, steps=64, callback=kill)
    total = config(run)["training"]["total"]
    assert jostle.resume(run).steps >= total > 64


def test_schedules_go_on_to_the_new_end_or_begin_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ppo(lr_schedule="linear").learn(64, run_dir=run)
    other = shutil.copytree(run, tmp_path / "other")
    seen: list[float] = []

    def rate(agent: Any) -> None:
        seen.append(agent.learner.optimizers[0].param_groups[0]["lr"] / 3e-4)

    agent = jostle.resume(run, steps=64, callback=rate)
    start = config(run)["training"]["total"] - 64
    assert seen[0] == pytest.approx(64 / agent.planned)
    seen.clear()
    jostle.resume(other, steps=64, restart_schedules=True, callback=rate)
    assert seen[0] == 1.0
    assert config(other)["training"]["schedules_from"] == start


def test_a_second_learn_goes_on_towards_the_new_end() -> None:
    agent = ppo(lr_schedule="linear").learn(64)
    assert agent.left == 0
    agent.planned = 0
    assert agent.left == 1, "no plan, no fall"
    first = agent.steps
    seen: list[float] = []
    agent.learn(64, callback=lambda a: seen.append(a.learner.optimizers[0].param_groups[0]["lr"]))  # type: ignore[arg-type, func-returns-value]
    assert seen[0] == pytest.approx(3e-4 * (1 - first / agent.planned))


def test_every_setting_that_no_state_hangs_on_may_change(run: Path) -> None:
    """All at once, but for what hangs on the machine or on a setting that this run does not have."""
    shared = {
        "learning_rate": 1e-4, "lr_schedule": "linear", "optimizer_eps": 1e-4, "max_grad_norm": 1.0, "gamma": 0.5,
        "coef_ext": 0.5, "coef_int": 0.25, "device": "cpu",
    }  # fmt: skip
    own = {
        "ppo": {
            "num_steps": 8, "gae_lambda": 0.5, "time_limit": "terminal", "reward_clip": 1.0, "epochs": 2,
            "minibatches": 2, "minibatch_by": "slices", "microbatch": 3, "clip": 0.1, "value_clip": 0.3,
            "clip_schedule": "linear", "value_coef": 0.25, "entropy_coef": 0.5, "entropy_schedule": "linear",
            "normalise_advantage": False, "target_kl": 0.5, "recompute": False,
        },
        "dqn": {
            "batch_size": 4, "n_step": 2, "double": False, "loss": "squared", "replay_ratio": 2.0, "replay_size": 600,
            "target_tau": 0.5, "epsilon_start": 0.5, "epsilon_end": 0.25, "epsilon_steps": 50,
        },
    }  # fmt: skip
    wanted: dict[str, Any] = shared | own[run.name]
    before = config(run)["config"]
    agent = jostle.resume(run, steps=24, **wanted)
    (change,) = info(run)["history"]
    for name, value in wanted.items():
        assert getattr(agent.config, name) == value
        assert change["changed"].get(name) == [before[name], value], name
    assert jostle.resume(run, steps=8).steps > agent.steps


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_what_changes_by_meaning(name: str) -> None:
    defaults: Any = {"ppo": jostle.PPOConfig(), "dqn": jostle.DQNConfig()}[name]
    saved = {"algorithm": name, "env": SEA, "num_envs": 2, "seed": 0, "env_options": None, "config": {"gamma": 0.9}}
    for same in ({}, {"env_options": {}}, {"config": {"gamma": 0.9, "learning_rate": defaults.learning_rate}}):
        assert changes(saved, same, defaults) == {}
    assert changes(saved, {"config": {"gamma": 0.8}, "num_envs": 3}, defaults) == {
        "num_envs": [2, 3], "gamma": [0.9, 0.8],
    }  # fmt: skip
    for unknown in ("gama", "clip" if name == "dqn" else "double"):
        with pytest.raises(ConfigError, match=f"{unknown} cannot change from None to 1"):
            changes(saved, {"config": {unknown: 1}}, defaults)
    for setting in (
        "noisy", "sigma0", "hidden", "encoder", "obs_scaling", "bonus", "noise_per_env", "input_noise",
        *{"ppo": ("recurrent", "shared", "value_heads", "normalise_obs"), "dqn": ("dueling", "optimizer")}[name],
    ):  # fmt: skip
        assert setting in defaults.as_dict()
        with pytest.raises(ConfigError, match=f"{setting} cannot change from"):
            changes(saved, {"config": {setting: "other"}}, defaults)


# ---- what run.json says ----


def test_a_change_is_noted_once_but_for_each_step_anew(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}, {"history": 3}) as run:
        for step, changed in ((4, [0, 1]), (4, [0, 1]), (4, [0, 2]), (8, [0, 1]), (8, [0, 1])):
            record_change(run, step, {"gamma": changed})
        found = [(entry["step"], entry["changed"]["gamma"]) for entry in info(tmp_path / "run")["history"]]
    assert found == [(4, [0, 1]), (4, [0, 2]), (8, [0, 1])]


def test_each_stretch_is_closed_once_and_by_itself(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", {}, {"stretches": ["of another hand"], "finished": True}) as run:
        begin_stretch(run, 0, "cpu")
        assert info(run.path)["finished"] is False, "a run that goes on has not finished"
        begin_stretch(run, 16, "cpu")  # nobody has ended the first one
        end_stretch(run, 32, "finished", finished=True)
        end_stretch(run, 48, "late", finished=False)
        assert info(run.path)["finished"] is True
        begin_stretch(run, 32, "cuda:1")
        found = info(run.path)["stretches"]
        assert info(run.path)["device"] == "cuda:1"
    assert [(s["from"], s["to"], s["how"]) for s in found] == [
        (0, 16, "killed"),
        (16, 32, "finished"),
        (32, None, None),
    ]
    for stretch in found:
        assert datetime.fromisoformat(stretch["started"]).utcoffset() == timedelta(0), "times are of UTC"
        assert abs(datetime.fromisoformat(stretch["started"]) - datetime.now(UTC)) < timedelta(hours=1)


def test_the_command_can_be_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["/somewhere/bin/jostle", "train", "ppo", "--run-dir", "my runs/1", "--hidden", "8"]
    )
    assert command() == "jostle train ppo --run-dir 'my runs/1' --hidden 8"


def test_stretches_say_how_they_ended(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def fail(_: object) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        ppo().learn(96, run_dir=run, callback=fail)
    assert "newest checkpoint, to go on from" in caught.value.__notes__[0]
    saved = Run.open(run).newest()[2]["steps"]
    assert saved >= 30, "what was learned before a callback failed is saved"
    assert info(run)["finished"] is False
    jostle.resume(run, callback=[lambda _: None, lambda _: False])
    jostle.resume(run)
    found = info(run)
    hows = [s["how"] for s in found["stretches"]]
    assert hows == ["failed: KeyError", "stopped by a callback", "finished"]
    assert found["stretches"][1]["from"] == saved == found["stretches"][0]["to"]
    assert found["finished"] is True
    assert found["device"] == "cpu"
    assert found["commit"] is None or len(found["commit"]["commit"]) == 40


def test_a_stretch_that_nobody_ended_was_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ppo().learn(64, run_dir=run)
    with Run.open(run, write=True) as opened:
        stretches = opened.info["stretches"]
        stretches[-1].update(ended=None, how=None, to=None)
        opened.note(stretches=stretches)
    agent = jostle.resume(run, steps=8)
    killed, last = info(run)["stretches"]
    assert (killed["how"], killed["to"]) == ("killed", last["from"])
    assert last["to"] == agent.steps


def test_a_failure_within_a_step_saves_no_half_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    agent = dqn()
    step = agent._update

    def fail() -> None:
        if agent.updates == 5:
            raise MemoryError
        step()

    monkeypatch.setattr(agent, "_update", fail)
    with pytest.raises(MemoryError) as caught:
        agent.learn(200, run_dir=run)
    assert Run.open(run).newest()[2]["steps"] == 0
    assert "that of step 0" in caught.value.__notes__[0]


def test_a_diverged_state_is_not_saved(tmp_path: Path) -> None:
    def poison(agent: Any) -> None:
        if agent.steps > 40:
            agent.learner.sums["losses/poison"].append(agent.learner.parameters[0].new_tensor(float("nan")))

    with pytest.raises(JostleError, match="diverged"):
        ppo().learn(500, run_dir=tmp_path / "run", callback=poison, log_every=32)
    assert Run.open(tmp_path / "run").newest()[2]["steps"] == 0


def test_a_doubt_about_what_is_changed_before_the_first_checkpoint_is_said(tmp_path: Path) -> None:
    """As a fresh start says it; what the run had been begun with was said then."""
    settings = {"num_envs": 2, "num_steps": 8, "epochs": 1, "input_noise": "random-conv", "feature_matching": 0.002}
    for reduce, count in (("mean", 1), ("sum", 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            agent = jostle.PPO("jostle/ThemedCatch-v0", feature_reduce=reduce, **settings)
        run = tmp_path / reduce
        with Run.create(run, agent.description() | {"training": Schedule.of(16).as_dict()}, {"seed": 0}) as opened:
            opened.save_initial({"model": agent.network.state_dict()})
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            jostle.resume(run, feature_reduce="sum")
        assert len([w for w in said if "feature_reduce='sum' makes" in str(w.message)]) == count


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    agent = ppo()
    plan = Schedule.of(40, log_every=10)
    with Run.create(run, agent.description() | {"training": plan.as_dict()}, {"seed": 0}) as opened:
        opened.save_initial({"model": agent.network.state_dict()})
    told: list[str] = []
    assert jostle.resume(run, notify=told.append).steps >= 40
    assert told == ["the run was killed before its first checkpoint: it begins again"]
    assert info(run)["finished"] is True
    ppo().learn(40, run_dir=tmp_path / "whole", log_every=10)
    newest = [Run.open(path).checkpoints()[-1] / "model.safetensors" for path in (run, tmp_path / "whole")]
    assert newest[0].read_bytes() == newest[1].read_bytes()
    for name in ("config.yaml", "run.json", "metrics.jsonl"):
        (run / name).unlink()
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "initial")
    shutil.rmtree(run / "tensorboard")
    with pytest.raises(CheckpointError, match="train it again"):
        jostle.resume(run)
