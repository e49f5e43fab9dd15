"""What a study's file says of how it is shown is what its page shows: names, parts, baselines, pairs, measures."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from jostle.errors import ConfigError
from jostle.report import write_report
from jostle.report.answer import verdicts
from jostle.report.gather import check_baseline, gather
from jostle.report.measures import headlines

SHOW: dict[str, Any] = {
    "about": "Words <about> the tables.",
    "labels": {"ppo": "PPO", "rnd": "PPO + RND", "rnd-old": "PPO + RND, before"},
    "titles": {"sea": "DeepSea of size 20"},
    "measures": {"evaluate/sampled": "return of sampled actions"},
    "parts": [
        {"task": "sea", "methods": ["rnd", "ppo", "rnd-old"], "baseline": "ppo", "pairs": [["rnd", "rnd-old"]],
         "curves": ["rnd"]},
        {"name": "all", "task": "sea", "curves": []},
        {"task": "pond"},
    ],
}  # fmt: skip
SPEC: dict[str, Any] = {
    "tasks": {name: {"env": "jostle/DeepSea-v0", "env_options": {"size": 20}} for name in ("sea", "pond")},
    "methods": {name: {"algorithm": "ppo"} for name in ("ppo", "rnd", "rnd-old", "noisy")},
    "show": SHOW,
}
LEVEL = {"ppo": 0.0, "rnd": 0.9, "rnd-old": 0.5, "noisy": 0.3}


def written(folder: Path, spec: dict[str, Any] | str, tasks: tuple[str, ...] = ("sea", "pond")) -> Path:
    folder.mkdir(parents=True)
    rows = []
    for task in tasks:
        for method, level in LEVEL.items():
            for seed in range(5):
                value = level + 0.01 * seed
                rows.append({
                    "task": task, "method": method, "seed": seed, "steps": 100, "settings": {"algorithm": "ppo"},
                    "scores": {"evaluate": {"return": 1 - value}, "evaluate/sampled": {"return": value}},
                    "curve": {"steps": [50, 100], "return": [0.0, value]}, "seconds": {"train": 1.0},
                    "metrics": {"coverage/cells": 7}, "courses": {"coverage/cells": {"steps": [100], "values": [7]}},
                })  # fmt: skip
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "study.yaml").write_text(spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False))
    return folder


def test_names_are_those_of_the_file(tmp_path: Path) -> None:
    material = gather([written(tmp_path / "one", SPEC)])
    assert material.tasks == ["DeepSea of size 20", "pond"]
    assert material.methods == ["PPO", "PPO + RND", "PPO + RND, before", "noisy"]
    page = write_report(tmp_path / "one").read_text()
    shown = page.split('id="repeat"')[0]  # the file itself stands in that section
    assert "DeepSea of size 20" in shown
    assert "PPO + RND" in shown
    assert "rnd-old" not in shown
    assert "Words &lt;about&gt; the tables." in page
    assert "Return of sampled actions" in page
    assert "Coverage/cells, at the end" in page


def test_parts_have_their_methods_baseline_and_pairs(tmp_path: Path) -> None:
    material = gather([written(tmp_path / "one", SPEC)])
    first, whole, pond = headlines(material)
    assert list(first.scores) == ["PPO + RND", "PPO", "PPO + RND, before"]
    assert (first.place, whole.place, pond.place) == ("DeepSea of size 20", "DeepSea of size 20, all", "pond")
    assert {measure.title for measure in (first, whole, pond)} == {"return of sampled actions"}
    assert first.scores["PPO + RND"]["0"] == pytest.approx(0.9)  # of sampled actions, not of the others
    told = verdicts(material, [first])
    assert [(one.method, one.baseline) for one in told] == [
        ("PPO + RND", "PPO"), ("PPO + RND, before", "PPO"), ("PPO + RND", "PPO + RND, before"),
    ]  # fmt: skip
    assert told[2].difference.point == pytest.approx(0.4)
    assert [(one.method, one.baseline) for one in verdicts(material, [whole])] == [
        ("PPO + RND", "PPO"), ("PPO + RND, before", "PPO"), ("noisy", "PPO"),
    ]  # fmt: skip


def test_a_baseline_has_its_name_in_the_file_or_on_the_page(tmp_path: Path) -> None:
    material = gather([written(tmp_path / "one", SPEC)])
    for name in ("rnd-old", "PPO + RND, before"):
        check_baseline(material, name)
        (told, *_) = verdicts(material, headlines(material))
        assert told.baseline == "PPO + RND, before"
    with pytest.raises(ConfigError, match="no method 'old'"):
        check_baseline(material, "old")


def test_curves_are_those_that_the_part_names(tmp_path: Path) -> None:
    page = write_report(written(tmp_path / "one", SPEC)).read_text()
    curves = page.split('id="curves"')[1].split("</section>")[0]
    sea, pond = curves.split("<h3>")[1:]
    assert "PPO + RND" in sea
    assert "noisy" not in sea
    assert "all</h4>" not in sea
    assert "noisy" in pond


def test_two_studies_keep_their_tasks_apart_and_names_stay_different(tmp_path: Path) -> None:
    double = {**SPEC, "show": {**SHOW, "labels": {"ppo": "agent", "rnd": "agent"}}}
    material = gather([written(tmp_path / "a", SPEC, ("sea",)), written(tmp_path / "b", double, ("sea",))])
    assert material.tasks == ["a: DeepSea of size 20", "b: DeepSea of size 20"]
    assert material.methods_of(material.tasks[1]) == ["agent (ppo)", "agent (rnd)", "rnd-old", "noisy"]
    assert [measure.task for measure in headlines(material)] == [material.tasks[0]] * 2 + [material.tasks[1]] * 2


def test_a_file_that_cannot_be_read_is_a_note(tmp_path: Path) -> None:
    bad = {**SPEC, "show": {**SHOW, "labels": {"pbo": "PPO"}}}
    material = gather([written(tmp_path / "one", bad)])
    assert material.methods == ["ppo", "rnd", "rnd-old", "noisy"]
    (note,) = material.notes
    assert "plain names stand here: labels of show names a method 'pbo'; did you mean ppo" in note
    assert gather([written(tmp_path / "two", "a: [")]).notes[0].startswith("What ")
    assert gather([written(tmp_path / "three", "name: x\n")]).notes == []
