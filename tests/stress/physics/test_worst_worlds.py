"""The suite `physics-worst`: a search whose winners are measured anew, compared, replayed and shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jostle
from jostle.domain import Space
from jostle.errors import ConfigError
from jostle.stress import compare_policies, read_result, stress_test
from jostle.stress.physics import worst
from jostle.stress.physics.field import How, Scores
from jostle.stress.physics.worst import search
from jostle.stress.replays import again, video_name, worst_episodes
from jostle.stress.suites import SEARCHED, make_suite
from jostle.stress.target import target_of
from jostle.view import as_view

CARTPOLE = "jostle/CartPole-v1"
SPACE = {"force": [2, 20], "pole.half_length": [0.2, 1.0], "gravity": [9.5, 10.0]}


def side(action: int, name: str) -> Any:
    """One push alone: falls sooner the stronger it is and the shorter the pole."""
    return as_view(lambda obs: np.full(len(obs), action), env=CARTPOLE, name=name)


def values(result: Any, condition: str) -> dict[str, float]:
    domain = result.suite[condition].env_options["domain"]
    return {name: law["constant"] for name, law in domain["parameters"].items()}


def test_the_worst_worlds_are_conditions_of_a_test() -> None:
    result = stress_test(side(1, "right"), "physics-worst", episodes=24, domain=SPACE)
    assert result.suite.names == ["nominal", "worst 1", "worst 2", "worst 3"]
    found = [values(result, name) for name in result.suite.names[1:]]
    assert all(each.keys() == SPACE.keys() for each in found)
    assert all(each["force"] > 14 and each["pole.half_length"] < 0.45 for each in found)
    means = {cell.condition: cell.returns.mean() for cell in result.cells}
    assert max(means[name] for name in result.suite.names[1:]) < means["nominal"]
    # Worlds lie apart: by a tenth of one parameter's probability.
    width = np.array([high - low for low, high in SPACE.values()])
    places = [np.array([each[name] for name in SPACE]) / width for each in found]
    assert all(np.abs(a - b).max() >= 0.099 for i, a in enumerate(places) for b in places[:i])
    same = stress_test(side(1, "right"), "physics-worst", episodes=24, domain=SPACE)
    assert same.suite == result.suite


def test_of_several_methods_each_has_its_own_worst_worlds() -> None:
    """Gravity to the side does not exist, but the rule that pushes by a threshold suffers elsewhere."""
    rules = {"right": side(1, "right"), "late": as_view(lambda obs: (obs[:, 2] > 0.0).astype(int), env=CARTPOLE)}
    result = stress_test(rules, "physics-worst", episodes=4, domain=SPACE, baseline=False)
    assert [name.partition(" of ")[2] for name in result.suite.names[1:]] == ["right"] * 3 + ["late"] * 3
    assert {cell.method for cell in result.cells if cell.condition == "worst 1 of late"} == {"right", "late"}


class Noisy:
    """A score that is luck alone, for a search that must not believe it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[int, ...]]] = []

    def play(self, view: Any, values: np.ndarray, seeds: np.ndarray, how: Any) -> Scores:
        self.asked.append((len(values), tuple(dict.fromkeys(seeds.tolist()))))
        keys = np.random.default_rng([*seeds[:1].tolist(), len(values)])
        return Scores(keys.standard_normal(len(values)), None)


def test_no_seed_of_the_search_is_one_of_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search's rounds share their seeds; each halving has new ones; the test begins where `--seed` says."""
    noisy = Noisy()
    played = worst.Field.play
    monkeypatch.setattr(worst.Field, "play", lambda self, *given: noisy.play(*given))
    view = side(1, "right")
    how = How(seed=10_000)
    found = search([view], target_of(view), Space.load(SPACE), cases=2, rounds=3, draws=16, episodes=4, how=how)
    monkeypatch.setattr(worst.Field, "play", played)
    assert found.tried == 48
    assert len(found.cases) == 2
    rounds, halvings = noisy.asked[:3], noisy.asked[3:]
    assert {seeds for _, seeds in rounds} == {rounds[0][1]}
    assert [count for count, _ in rounds] == [64] * 3
    assert [len(seeds) for _, seeds in halvings] == [8, 16]
    assert [count for count, _ in halvings] == [8 * 8, 4 * 16]
    used = [set(seeds) for seeds in (rounds[0][1], *(seeds for _, seeds in halvings), range(10_000, 10_000 + 2**20))]
    assert sum(map(len, used)) == len(set.union(*used))


class Told:
    """A score without luck, and all that was asked of it."""

    def __init__(self, score: Any) -> None:
        self.score, self.values, self.seeds = score, [], []

    def play(self, view: Any, values: np.ndarray, seeds: np.ndarray, how: Any) -> Scores:
        self.values.append(values)
        self.seeds.append(set(seeds.tolist()))
        return Scores(self.score(view, values[:, 0]), None)


def test_the_worst_of_all_points_are_kept_the_worst_first(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(lambda view, force: force)
    monkeypatch.setattr(worst.Field, "play", lambda self, *given: told.play(*given))
    view, space = side(1, "right"), Space.load({"force": [2, 20]})
    found = search([view], target_of(view), space, cases=2, rounds=2, draws=16, episodes=2, how=How())
    first, second = (case["force"] for case in found.cases)
    assert first == min(values.min() for values in told.values[:2])
    assert 2 + 18 * 0.1 < second < 2 + 18 * 0.35
    assert second - first >= 18 * 0.1


def test_what_is_worst_for_a_method_is_so_for_the_mean_of_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    much, little = side(1, "much"), side(0, "little")
    told = Told(lambda view, force: -3 * force if view is much else force)
    monkeypatch.setattr(worst.Field, "play", lambda self, *given: told.play(*given))
    space = Space.load({"force": [2, 20]})
    found = search([much, little], target_of(much), space, cases=1, rounds=1, draws=16, episodes=2, how=How())
    assert found.cases[0]["force"] == max(values.max() for values in told.values)


def test_the_worst_case_is_measured_by_seeds_that_were_not_searched_by(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(lambda view, force: force)
    monkeypatch.setattr(worst.Field, "play", lambda self, *given: told.play(*given))
    found = worst.worst_case(side(1, "right"), {"force": [2, 20]}, rounds=1, draws=8, episodes=2, final=16, seed=5)
    assert told.seeds[-1] == told.seeds[-2] == set(range(5, 21))
    assert not set.union(*told.seeds[:-2]) & told.seeds[-1]
    assert (found.score.point, found.nominal.point) == (found.values["force"], 10.0)


def test_worlds_that_differ_in_one_parameter_are_two() -> None:
    points = [np.array(p) for p in ([0.1, 0.5], [0.5, 0.52], [0.12, 0.55], [0.5, 0.8], [0.9, 0.9])]
    field: Any = SimpleNamespace(place=lambda shares: shares)
    assert [p.tolist() for p in worst._apart(field, points, 3)] == [[0.1, 0.5], [0.5, 0.52], [0.5, 0.8]]


def test_the_winners_curse_is_not_reported() -> None:
    """A policy whose score is luck alone: the least of many means is far too low, what is told of it is not."""
    view = as_view(lambda obs: (obs[:, 3] > 0).astype(np.int64), env=CARTPOLE, name="luck")
    space = {"gravity": [9.799, 9.801]}
    result = stress_test(view, "physics-worst", episodes=200, domain=space, baseline=False)
    means = {cell.condition: cell.returns for cell in result.cells}
    nominal = means["nominal"]
    error = nominal.std() / np.sqrt(200)
    worst = np.mean([means[name].mean() for name in result.suite.names[1:]])
    assert worst == pytest.approx(nominal.mean(), abs=4 * error)


def test_a_categorical_and_a_constant_make_no_two_worlds_of_one() -> None:
    view = side(1, "right")
    space = Space.load({"force": {"categorical": [5, 20]}, "gravity": 9.8})
    found = search([view], target_of(view), space, cases=3, rounds=1, draws=16, episodes=2, how=How())
    assert len(found.cases) == 2
    assert found.cases[0] == {"force": 20.0, "gravity": 9.8}


def test_it_is_made_by_a_search_alone() -> None:
    assert list(SEARCHED) == ["physics-worst"]
    with pytest.raises(ConfigError, match="by a search with policies"):
        make_suite("physics-worst", target_of(side(1, "right")))


def test_both_sides_of_a_comparison_meet_both_sides_worst_worlds() -> None:
    found = compare_policies(
        side(1, "right"), side(0, "left"), "physics-worst", episodes=12, env_options={"domain": SPACE}
    )
    names = [one.condition for one in found.conditions]
    assert names == ["nominal", *(f"worst {k} of {who}" for who in ("before", "after") for k in (1, 2, 3))]
    assert all(one.paired for one in found.conditions)
    assert found.conditions[0].beyond_clean is None
    assert all(one.beyond_clean is not None for one in found.conditions[1:])


def test_a_worst_episode_is_played_again(tmp_path: Path) -> None:
    view = side(1, "right")
    result = stress_test(view, "physics-worst", episodes=80, num_envs=16, domain=SPACE, baseline=False)
    target = target_of(view)
    replays = worst_episodes(result, 2)
    assert [replay.condition for replay in replays] == ["worst 1", "worst 2"]
    for replay in replays:
        (cell,) = result.select("right", "mean", replay.condition)
        assert replay.ret == min(episode.ret for episode in cell.episodes if episode.index == 0)
        source, options = again(result, replay, target)
        alone = jostle.evaluate(view, 1, seed=replay.seed, env=source, env_options=options, domain=options["domain"])
        assert alone.episodes[0].ret == replay.ret
    assert video_name("worst 1 of no DR/2") == "worst-1-of-no-DR-2.mp4"
    del tmp_path


def test_a_stop_in_the_search_keeps_nothing() -> None:
    result = stress_test(side(1, "right"), "physics-worst", episodes=4, domain=SPACE, stop=lambda: True)
    assert not result.complete
    assert result.cells == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained agent with a domain."""
    folder = tmp_path_factory.mktemp("runs") / "pole"
    agent = jostle.DQN(CARTPOLE, num_envs=4, hidden=(8,), warmup=20, batch_size=8, domain=SPACE)
    agent.learn(60, run_dir=folder)
    agent.env.close()
    return folder


def test_the_command_searches_measures_and_records(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from jostle.cli import main

    out = tmp_path / "out"
    command = ["stress", str(run), "--suite", "physics-worst", "--episodes", "6", "--out", str(out), "--no-baseline"]
    assert main([*command, "--videos", "2"]) == 0
    said = capsys.readouterr().out
    assert "worst-1.mp4: worst 1, seed" in said
    files = ["episodes.jsonl", "figure.png", "report.md", "summary.json", "worst-1.mp4", "worst-2.mp4"]
    assert sorted(path.name for path in out.iterdir()) == files
    result = read_result(out)
    replay = worst_episodes(result, 1)[0]
    assert f"worst 1, seed {replay.seed}, return {replay.ret:.4g}" in said
    assert main(command) == 2
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert not (out / "worst-1.mp4").exists()
    assert main(["stress", str(run), "--suite", "physics-pair", "--videos", "1", "--out", str(tmp_path / "b")]) == 2
    assert "--videos 1 cannot be used" in capsys.readouterr().err


def test_checks_of_worst_worlds(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jostle.cli import main

    checks = tmp_path / "checks.yaml"
    checks.write_text("- {condition: worst 1, metric: return, min: 400}\n")
    command = ["stress", str(run), "--suite", "physics-worst", "--episodes", "6", "--assert", str(checks), "--quiet"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "FAILED: return of worst 1 >= 400" in capsys.readouterr().out


def test_the_command_shares_the_variance_out(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jostle.cli import main

    out = tmp_path / "out"
    command = ["stress", str(run), "--suite", "physics-sobol", "--episodes", "6", "--points", "16", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "pole, return: " in said
    assert {"sobol.csv", "summary.json", "figure.png"} <= {path.name for path in out.iterdir()}
    assert "alone" in said or "no certain dependence" in said
    assert ("sobol.png" in {path.name for path in out.iterdir()}) == ("alone" in said)
    assert "return: " in (out / "report.md").read_text()
    assert main([*command[:-1], str(tmp_path / "b"), "--points", "17"]) == 2
    assert "powers of two" in capsys.readouterr().err
