"""Zips of Stable-Baselines3 on the command line."""

import json
from pathlib import Path

import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy

import jostle
from jostle.cli import main
from jostle.view.sb3_zip import read_zip

HOME = ["--env", "CartPole-v1", "--algo", "ppo"]


class Own(ActorCriticPolicy):
    def __init__(self, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of PPO, one DQN, one with a policy of one's own, and a run of jostle."""
    folder = tmp_path_factory.mktemp("zips")
    thin = {"policy_kwargs": {"net_arch": [8]}, "device": "cpu"}
    for seed in (0, 1):
        PPO("MlpPolicy", "CartPole-v1", seed=seed, **thin).save(folder / f"ppo-s{seed}.zip")  # type: ignore[arg-type]
    DQN("MlpPolicy", "CartPole-v1", seed=0, buffer_size=10, **thin).save(folder / "dqn.zip")  # type: ignore[arg-type]
    PPO(Own, "CartPole-v1", **thin).save(folder / "own.zip")  # type: ignore[arg-type]
    jostle.DQN("CartPole-v1", num_envs=2, hidden=(8,), warmup=20).learn(20).save(folder / "saved")
    return folder


@pytest.fixture
def gravity(tmp_path: Path) -> Path:
    file = tmp_path / "gravity.yaml"
    file.write_text("conditions: [{name: full}, {name: short, env_options: {max_episode_steps: 8}}]\n")
    return file


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one sentence of a command that must end with 2."""
    assert main([*map(str, arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    return said


def test_evaluate(zips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    run = ["evaluate", str(zips / "ppo-s0.zip"), *HOME, "--episodes", "6", "--json", str(out)]
    assert main([*run, "--env-options", "max_episode_steps=9"]) == 0
    assert "CartPole-v1 after 0 steps" in capsys.readouterr().out
    told = json.loads(out.read_text())
    view = read_zip(zips / "ppo-s0.zip", "ppo", env="CartPole-v1", env_options={"max_episode_steps": 9}).view
    assert told["episodes"] == [e.as_dict() for e in jostle.evaluate(view, 6).episodes]
    assert (told["run"], told["env_options"]) == ("ppo-s0.zip", {"max_episode_steps": 9})
    assert max(e["length"] for e in told["episodes"]) <= 9


def test_stress(zips: Path, tmp_path: Path, gravity: Path) -> None:
    """Seeds of PPO are the runs of a method, DQN another one, and a run of jostle a third."""
    names = ("ppo-s0.zip", "ppo-s1.zip", "dqn.zip", "saved")
    home = ["--env", "CartPole-v1", "--algo", "ppo", "ppo", "dqn"]
    quick = ["--suite", str(gravity), "--episodes", "4", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(["stress", *(str(zips / name) for name in names), *home, *quick]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {m: r for m, r in summary["runs"].items() if m != "random"} == {
        "ppo": ["ppo-s0", "ppo-s1"],
        "dqn": ["dqn"],
        "saved": ["saved"],
    }
    assert {line["condition"] for line in summary["lines"]} == {"full", "short"}


def test_results_lie_beside_the_zip(zips: Path, gravity: Path) -> None:
    run = ["stress", str(zips / "dqn.zip"), "--env", "CartPole-v1", "--algo", "dqn", "--suite", str(gravity)]
    assert main([*run, "--episodes", "2", "--quiet"]) == 0
    assert (zips / "dqn-stress-gravity" / "report.md").exists()


def test_what_a_zip_needs(zips: Path, gravity: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ppo, dqn, own, saved = (zips / name for name in ("ppo-s0.zip", "dqn.zip", "own.zip", "saved"))
    stress = ("--suite", gravity)
    for command, more in (("evaluate", ()), ("stress", stress)):
        for arguments, said in (
            ((ppo,), f"{ppo} does not say where it was trained, nor by which algorithm: give --env ID and --algo ppo"),
            ((ppo, "--algo", "ppo"), "give --env ID."),
            ((ppo, "--env", "CartPole-v1"), "give --algo ppo."),
            ((ppo, "--env", "CartPole-v1", "--algo", "pop"), "no algorithm 'pop' whose zips can be read; did you mean"),
            ((dqn, *HOME), "has a DQNPolicy, which ppo has not: give --algo dqn."),
            ((own, *HOME), "if you trust who wrote it, give --trust (trust=True)."),
            ((ppo, *HOME, "--which", "best"), "--which best is for runs: a zip of Stable-Baselines3 holds one model."),
            ((zips / "none.zip", *HOME), "none.zip cannot be read (No such file or directory)"),
            ((saved, "--algo", "ppo"), "--algo is for zips of Stable-Baselines3: a run's folder knows its algorithm."),
            ((ppo, "--env", "CartPole-v2", "--algo", "ppo"), "CartPole-v1"),
        ):
            assert said in error_of(capsys, command, *arguments, *more), arguments
    said = error_of(capsys, "stress", ppo, dqn, saved, "--env", "CartPole-v1", "--algo", "ppo", "dqn", "a2c", *stress)
    assert "--algo names 3 algorithms for 2 zips: give one, or one for each zip." in said
    said = error_of(capsys, "stress", saved, "--env", "CartPole-v1", *stress)
    assert "--env and --env-options are for zips of Stable-Baselines3" in said


def test_trust_is_one_flag(zips: Path) -> None:
    run = ["evaluate", str(zips / "own.zip"), *HOME, "--episodes", "2", "--quiet"]
    assert main(run) == 2
    assert main([*run, "--trust"]) == 0


def test_watch(zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The video lies beside the zip, and shows the episodes that evaluate plays."""
    run = ["watch", str(zips / "ppo-s0.zip"), *HOME, "--episodes", "2", "--env-options", "max_episode_steps=9"]
    options = {"max_episode_steps": 9, "engine": "gymnasium"}
    assert main([*run, "engine=gymnasium"]) == 0
    said = capsys.readouterr().out
    view = read_zip(zips / "ppo-s0.zip", "ppo", env="CartPole-v1", env_options=options).view
    returns = jostle.evaluate(view, 2, num_envs=1).returns
    assert f"step 0: returns {returns[0]:.4g}, {returns[1]:.4g}" in said
    assert (zips / "ppo-s0-mean.mp4").stat().st_size > 0


def test_doctor(zips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, algo in (("ppo-s0", "ppo"), ("dqn", "dqn")):
        assert main(["doctor", str(zips / f"{name}.zip"), "--env", "CartPole-v1", "--algo", algo]) == 0
        said = capsys.readouterr().out
        assert all(check in said for check in ("finite numbers", "outputs", "dead units"))
        assert ("entropy" in said) == (algo == "ppo")
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs={"net_arch": [8]})
    model.policy.action_net.bias.data[1] = -50.0
    model.save(tmp_path / "sure.zip")
    assert main(["doctor", str(tmp_path / "sure.zip"), *HOME]) == 0
    assert "explores no more" in capsys.readouterr().out
    model.policy.action_net.bias.data[1] = float("nan")
    model.save(tmp_path / "ill.zip")
    assert main(["doctor", str(tmp_path / "ill.zip"), *HOME, "--quiet"]) == 1


def test_what_watch_and_doctor_refuse(zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("watch", "doctor"):
        said = error_of(capsys, command, zips / "ppo-s0.zip")
        assert "does not say where it was trained, nor by which algorithm: give --env ID and --algo ppo" in said
        assert "for zips of Stable-Baselines3" in error_of(capsys, command, zips / "saved", "--env", "CartPole-v1")
        assert "for zips of Stable-Baselines3" in error_of(capsys, command, zips / "saved", "--algo", "ppo")
        assert "--trust (trust=True)" in error_of(capsys, command, zips / "own.zip", *HOME)
