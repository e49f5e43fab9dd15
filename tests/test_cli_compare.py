"""`jostle compare`: what it says, what it leaves, and how it ends."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import jostle
from jostle.cli import main
from jostle.stress import Condition, Perturbation, Suite
from jostle.stress.pairs.again import again
from jostle.stress.pairs.compare import compare_policies

SMALL = ["--num-envs", "8", "--hidden", "16", "--warmup", "100", "--replay-size", "2000", "--batch-size", "16"]
SEA = ["train", "dqn", "--env", "jostle/DeepSea-v0", "--env-options", "size=3", *SMALL, "--quiet"]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An agent that has learned to dive, and one that has learned nothing and does not."""
    where = tmp_path_factory.mktemp("runs")
    folders = [where / "learned", where / "lazy"]
    for folder, steps in zip(folders, ("2000", "8"), strict=True):
        assert main([*SEA, "--seed", "3", "--steps", steps, "--run-dir", str(folder)]) == 0
    return folders


def test_a_regression_ends_with_1_if_asked_for(
    sides: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned, lazy = map(str, sides)
    files = {name: tmp_path / "out" / name for name in ("found.json", "junit.xml")}
    flags = ["--episodes", "16", "--json", str(files["found.json"]), "--junit", str(files["junit.xml"])]
    assert main(["compare", learned, lazy, *flags, "--fail-on-regression"]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith("lazy against learned: return in trained on jostle/DeepSea-v0, over 16 ep")
    assert said.splitlines()[-1] == "REGRESSED"
    assert "worst: trained, seed 10000:" in said
    whole = json.loads(files["found.json"].read_text())
    assert (whole["verdict"], whole["units"], whole["before"]) == ("REGRESSED", "episodes", ["learned"])
    assert whole["conditions"][0]["paired"]
    assert ElementTree.parse(files["junit.xml"]).getroot().attrib["failures"] == "1"
    assert main(["compare", learned, lazy, *flags]) == 2  # the files exist
    assert "exists already" in capsys.readouterr().err
    assert main(["compare", lazy, learned, "--episodes", "16", "--quiet", "--fail-on-regression"]) == 0
    assert capsys.readouterr().out == "IMPROVED\n"
    assert main(["compare", learned, learned, "--episodes", "4", "--quiet"]) == 0
    assert capsys.readouterr().out == "NO DIFFERENCE SEEN\n"


def test_the_worst_episodes_are_recorded(sides: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gate"
    flags = ["--episodes", "4", "--videos", "1", "--out", str(out)]
    assert main(["compare", *map(str, sides), *flags]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["worst-1-after.mp4", "worst-1-before.mp4"]
    assert f"{out / 'worst-1-after.mp4'}: trained, seed 10000" in capsys.readouterr().out
    assert main(["compare", *map(str, sides), *flags]) == 2


def test_a_perturbed_episode_is_seen_again_as_it_was() -> None:
    """Rows draw perturbations of their own: the lone environment must be shown what row 2 of the second reset was."""
    agents = [
        jostle.DQN("jostle/ThemedCatch-v0", num_envs=2, hidden=(8,), encoder="flat", seed=seed) for seed in (0, 1)
    ]
    conditions = (Condition("clean"), Condition("lighter or darker", perturbation=Perturbation("brightness", 5)))
    found = compare_policies(*agents, Suite("two", conditions, "clean"), episodes=23, num_envs=4, worst=400)
    changed = [episode for episode in found.worst if episode.condition != "clean" and episode.index > 4]
    assert changed
    view = jostle.as_view(agents[1])
    for episode in changed[:3]:
        source, options, observe = again(found, episode, view)
        assert observe is not None
        env = jostle.make_env(source, 1, seed=episode.seed, **options)
        obs, info = env.reset(seed=episode.seed)
        actor, total, step = view.actor("mean", rows=1, seed=0), 0.0, 0
        while True:
            seen = observe(obs, np.zeros(1, np.int64), np.array([step]))
            obs, reward, terminated, truncated, info = env.step(actor.act(seen, info["start"]))
            total, step = total + float(reward[0]), step + 1
            if terminated[0] or truncated[0]:
                break
        assert total == episode.after
        env.close()


def test_methods_are_compared_run_by_run(sides: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    learned, lazy = map(str, sides)
    assert main(["compare", "--before", learned, "--after", lazy, lazy, "--episodes", "4"]) == 2
    assert "1 run against 2 cannot be compared" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "match"), [
    ([], "needs two policies, not 0"),
    (["a"], "needs two policies, not 1"),
    (["a", "b", "--before", "c"], "give either BEFORE AFTER"),
    (["--before", "a"], "go together"),
    (["--before", "a", "b", "--after", "c", "d", "--videos", "1"], "one run on each side"),
    (["a", "b", "--videos", "-1"], "--videos -1 cannot be used"),
    (["nowhere", "nothing"], "nowhere"),
    (["a.zip", "b.zip"], "does not say where it was trained"),
])  # fmt: skip
def test_what_cannot_be_compared(flags: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert match in said
