"""Procgen's suites on the real games: layouts by level, looks that change nothing else."""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import jostle
from jostle.errors import ConfigError, EnvError
from jostle.stress import Suite, report
from jostle.stress.levels import MOST
from jostle.stress.suites import make_suite
from jostle.stress.target import target_of
from jostle.view import PolicyView, as_view

stress_test = partial(jostle.stress_test, baseline=False)

if importlib.util.find_spec("envpool") is None:
    pytest.skip("the extra procgen is not installed", allow_module_level=True)
try:
    jostle.make_env("CoinrunHard-v0", 1).close()
except EnvError as error:
    pytest.skip(str(error), allow_module_level=True)

BLACK = {"num_levels": 500, "use_backgrounds": False, "restrict_themes": True}


class Runner(nn.Module):
    """Runs to the right and jumps now and then, whatever it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x), 15), -20.0)
        logits[:, 7], logits[:, 8] = 1.0, 0.5
        return logits


def runner(env: str = "CoinrunHard-v0", **options: Any) -> PolicyView:
    return as_view(Runner(), kind="logits", env=env, env_options=options)


def suite_of(view: PolicyView, name: str) -> Suite:
    return make_suite(name, target_of(view))


def test_the_grid_of_layouts_and_looks() -> None:
    suite = suite_of(runner(**BLACK), "procgen-looks")
    grid = {(c.labels["layouts"], c.labels["looks"]): c.options(BLACK) for c in suite.conditions}
    looks = ["seen", "backgrounds", "themes", "backgrounds and themes", "monochrome"]
    assert list(grid) == [(layouts, look) for layouts in ("seen", "unseen") for look in looks]
    assert grid["seen", "seen"] == BLACK
    assert suite["seen"].labels == {"layouts": "seen", "looks": "seen"}
    assert grid["seen", "backgrounds"] == BLACK | {"use_backgrounds": True}
    assert grid["seen", "themes"] == BLACK | {"restrict_themes": False}
    assert grid["seen", "monochrome"] == BLACK | {"use_monochrome_assets": True}
    away = {"start_level": 500, "num_levels": MOST - 500}
    assert grid["unseen", "seen"] == BLACK | away
    assert grid["unseen", "backgrounds and themes"] == BLACK | away | {
        "use_backgrounds": True,
        "restrict_themes": False,
    }


def test_looks_of_a_training_with_all_of_them() -> None:
    suite = suite_of(runner(num_levels=200, start_level=50), "procgen-looks")
    assert {c.labels["looks"] for c in suite.conditions} == {"seen", "black", "monochrome"}
    assert suite.training_levels == (50, 200)
    assert suite["unseen layouts, seen looks"].env_options == {"start_level": 250, "num_levels": MOST - 250}


def test_levels_prove_the_split_and_looks_leave_games_alone() -> None:
    suite = suite_of(runner(**BLACK), "procgen-looks")
    names = ("seen", "seen layouts, backgrounds and themes", "seen layouts, monochrome", "unseen layouts, seen looks")
    some = Suite("some", tuple(suite[n] for n in names), "seen", suite.success, training_levels=suite.training_levels)
    result = stress_test(runner(**BLACK), some, episodes=16, actions="sampled")
    levels = {c.condition: [e.level_seed for e in c.episodes] for c in result.cells}
    assert all(0 <= level < 500 for level in levels["seen"])
    assert min(levels["unseen layouts, seen looks"]) >= 500
    assert len(set(levels["unseen layouts, seen looks"])) == 16
    # A blind policy plays the very same episodes whatever the looks are.
    first = result.cells[0].episodes
    assert len({e.length for e in first}) > 4
    for cell in result.cells[1:3]:
        assert cell.episodes == first
    lines = {line.condition: line for line in report.lines(result)}
    assert lines["seen layouts, monochrome"].paired
    assert not lines["unseen layouts, seen looks"].paired
    assert lines["unseen layouts, seen looks"].levels["of_training"] == 0
    # Success is a level's own flag, which in CoinRun is the coin.
    for cell in result.cells:
        assert [e.success for e in cell.episodes] == [e.ret > 0 for e in cell.episodes]
    assert 0 < np.mean([e.success for e in first]) < 1


def test_looks_do_change() -> None:
    seen = []
    for condition in suite_of(runner(**BLACK), "procgen-looks").conditions[:5]:
        env = jostle.make_env("CoinrunHard-v0", 8, seed=3, **condition.options(BLACK))
        seen.append(env.reset()[0].astype(int))
        env.close()
    for a in range(5):
        for b in range(a):
            assert np.abs(seen[a] - seen[b]).mean() > 1, (a, b)


def test_levels_of_the_training_against_all() -> None:
    view = runner("MazeEasy-v0", num_levels=200)
    result = stress_test(view, "procgen-levels", episodes=8, actions="sampled", env_options=None)
    levels = {line.condition: line.levels for line in report.lines(result)}
    assert levels["seen"]["of_training"] == levels["seen"]["distinct"]
    assert levels["seen"]["greatest"] < 200
    assert levels["all levels"]["greatest"] > 1_000_000
    (whole,) = report.overall(result)
    assert whole.gap is not None


def test_what_does_not_fit_is_told_how_to() -> None:
    for view, name, said in (
        (runner("CoinrunEasy-v0", num_levels=200), "procgen-looks", "train on CoinrunHard-v0, or use procgen-levels"),
        (runner("MazeMemory-v0", num_levels=200), "procgen-looks", "train on MazeHard-v0"),
        (runner(), "procgen-looks", r"every level of CoinrunHard-v0 \(num_levels=0\), so none is unseen: train with"),
        (runner(), "procgen-levels", "num_levels=500"),
        (runner(num_levels=MOST), "procgen-looks", r"no level follows those of the training, 0 to 2147483646, .*fewer"),
        (runner(num_levels=-5), "procgen-levels", "num_levels=-5 of the training cannot be used"),
    ):
        with pytest.raises(ConfigError, match=said):
            suite_of(view, name)


@pytest.mark.parametrize(
    ("training", "options", "said"),
    [
        ({"num_levels": 500}, "{start_level: null, num_levels: 100}", "its levels 0 to 99 overlap the levels 0 to 499"),
        ({"num_levels": 500}, "{start_level: many}", "start_level='many' of the condition 'far' cannot be used"),
        ({"num_levels": 500}, "{start_level: 500, num_levels: -5}", "num_levels=-5 of the condition 'far' cannot be"),
        ({"num_levels": 500}, "{start_level: 500, num_levels: null}", "num_levels=0, which means every level"),
        ({"start_level": 100, "num_levels": 500}, "{start_level: null, num_levels: 100}", None),
        ({}, "{start_level: 500, num_levels: 100}", "trained on every level of CoinrunHard-v0"),
    ],
)
def test_levels_called_unseen_in_a_file(
    training: dict[str, int], options: str, said: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "far.yaml"
    file.write_text(f"conditions: [{{name: a}}, {{name: far, env_options: {options}, labels: {{layouts: unseen}}}}]")
    if said is None:
        assert suite_of(runner(**training), str(file)).training_levels == (100, 500)
        return
    with pytest.raises(ConfigError, match=said):
        suite_of(runner(**training), str(file))
