"""The file: what stands on it, what is escaped, and what happens with what is missing or damaged."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ANCHORS, EVIL, Reader, evil, words

from jostle.cli import main
from jostle.errors import CheckpointError, ConfigError
from jostle.report import SECTIONS, Section, write_report
from jostle.report.html import tag
from jostle.report.material import Material


def test_a_page_of_everything_has_every_section_and_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = Reader(text)
    assert [a["id"] for name, a in found.tags if name == "section"] == ANCHORS
    links = [a["href"] for name, a in found.tags if name == "a" and a["href"] != "#content"]
    assert links == [f"#{anchor}" for anchor in ANCHORS]
    sources = [a[key] for _, a in found.tags for key in ("src", "href", "srcset", "poster", "data") if a.get(key)]
    assert all(re.match("#|data:", source or "") for source in sources)
    assert not re.search(
        r"url\(|@import|https?://", re.sub(r"<(style|script)[^>]*>", "", text).replace("http-equiv", "")
    )
    assert page.stat().st_size < 2_000_000
    assert sum(name == "video" for name, _ in found.tags) == 4


def test_every_figure_and_table_has_words(page: Path) -> None:
    found = Reader(page.read_text(encoding="utf-8")).tags
    drawings = [a for name, a in found if name == "svg" and a.get("aria-hidden") != "true"]
    assert len(drawings) > 10
    assert all(a["role"] == "img" and len(a["aria-label"] or "") > 20 for a in drawings)
    assert sum(name == "table" for name, _ in found) == sum(name == "caption" for name, _ in found) > 5
    ids = [a["id"] for _, a in found if a.get("id")]
    assert len(ids) == len(set(ids))


def test_what_was_run_is_said_in_words(page: Path) -> None:
    said = words(page)
    assert "4 methods (plain, noisy, noisy=none and factorised) trained on catch and jostle/DeepSea-v0" in said
    assert "2 to 3 seeds each: 10 runs. Each was trained for 160 to 256 environment steps." in said
    assert "Episodes are never counted as seeds." in said
    assert "1 run checked when its training ended" not in said  # the study's jobs were checked, too
    assert "5 runs checked when their training ended" in said
    assert "5 runs not checked" in said
    assert "jostle study catch.yaml" in said


def test_seeds_are_what_is_counted(study: Path, page: Path) -> None:
    """The numbers of the study's table, from its results."""
    rows = [json.loads(line) for line in (study / "results.jsonl").read_text().splitlines()]
    values = [row["scores"]["evaluate"]["return"] for row in rows if row["method"] == "plain"]
    assert len(values) == 2
    mean = f"{sum(values) / 2:.2f}".replace("-", "−")
    found = Reader(page.read_text(encoding="utf-8"))
    cells = [a.get("data-v") for name, a in found.tags if name == "td"]
    assert str(sum(values) / 2) in cells
    assert mean in words(page)


def test_names_that_are_scripts_are_shown_and_not_run(study: Path, tmp_path: Path) -> None:
    out = write_report(evil(study, tmp_path), title=f"</title>{EVIL}")
    text = out.read_text(encoding="utf-8")
    assert EVIL not in text
    assert f"{EVIL}task" in words(out)
    for name in ("value", "cpu", "version"):
        assert f"{EVIL}{name}" in words(out)
    assert f"name: {EVIL}" in words(out)
    scripts = [a for name, a in Reader(text).tags if name == "script"]
    assert all(a.get("type") == "application/json" for a in scripts[:-1])
    assert not any(key.startswith("on") for _, a in Reader(text).tags for key in a)


def test_the_report_of_runs_needs_no_torch(runs: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from jostle.report import write_report; "
        f"write_report({str(runs)!r}, {str(tmp_path / 'a.html')!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_section_more_is_a_function_more(runs: Path, tmp_path: Path) -> None:
    def mine(material: Material) -> Section:
        return Section("Mine & yours", tag("p", f"{len(material.runs)} < 7"), "mine")

    out = write_report(runs, tmp_path / "a.html", sections=[*SECTIONS, mine, lambda material: None])
    assert "Mine & yours 6 < 7" in words(out)


def test_the_command(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "page.html"
    assert main(["report", str(runs), "--out", str(out), "--title", "A < B", "--baseline", "factorised"]) == 0
    assert capsys.readouterr().out == f"report in {out}\n"
    said = words(out)
    assert said.startswith("A < B")
    assert "between noisy=none and factorised" in said or "noisy=none was" in said or "noisy=none did" in said
    assert main(["report", str(runs), "--out", str(out), "--quiet"]) == 0  # an earlier report is replaced
    other = tmp_path / "other.html"
    other.write_text("mine")
    assert main(["report", str(runs), "--out", str(other)]) == 2
    assert "exists and is no report" in capsys.readouterr().err
    assert other.read_text() == "mine"
    assert main(["report", str(runs), "--out", str(other), "--overwrite"]) == 0
    assert main(["report", str(runs), "--out", str(tmp_path)]) == 2
    assert "is a folder: give a file" in capsys.readouterr().err
    assert main(["report", str(runs), "--out", str(out), "--baseline", "nosiy"]) == 2
    assert "no method 'nosiy' to compare with" in capsys.readouterr().err
    assert main(["report", str(runs), "--videos", "-1"]) == 2


def test_nothing_to_show_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, match in (("empty", "nothing in"), ("file", "is no folder"), ("none", "does not exist")):
        assert main(["report", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert match in said
        assert said.count("\n") == 1
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    assert main(["report", str(broken)]) == 2
    assert "cannot be read as a run" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.html"))
    with pytest.raises(ConfigError, match="needs a folder"):
        write_report([])


def test_what_can_be_read_is_shown_and_what_cannot_is_said(runs: Path, study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs, tmp_path / "copy"))
    first = copy / "none-s1" / "metrics.jsonl"
    lines = first.read_text().splitlines(keepends=True)
    first.write_text("".join(lines[:3]) + '{"st\n' + "".join(lines[4:]))  # damaged in the middle
    second = copy / "none-s2" / "metrics.jsonl"
    second.write_text(second.read_text()[:-30])  # cut off, as by a kill
    info = json.loads((copy / "none-s2" / "run.json").read_text())
    (copy / "none-s2" / "run.json").write_text(json.dumps(info | {"finished": False}))
    (copy / "none-s3" / "config.yaml").unlink()
    shutil.copytree(copy / "factorised-s1", copy / "twice")
    (copy / "gate.json").write_text(json.dumps({**json.loads((copy / "gate.json").read_text()), "conditions": [{}]}))
    out = write_report(copy)
    said = words(out)
    assert "is damaged at line 4: remove that line; the 3 lines before it are shown." in said
    assert "none-s2 stands at step 140 of 160: its training has not ended." in said
    assert "noisy=none (unfinished)" in said
    assert "config.yaml is missing" in said
    assert "twice is left out: another run of factorised has its seed 1" in said
    assert "gate.json is no whole comparison" in said
    assert "nothing is certain" in said  # one finished seed of noisy=none is left
    assert "One seed says nothing about other seeds" in said


def test_an_unfinished_study(study: Path, tmp_path: Path) -> None:
    """Jobs without a result are named; a study in which none has one is shown by its runs."""
    copy = Path(shutil.copytree(study, tmp_path / "copy"))
    rows = (copy / "results.jsonl").read_text().splitlines(keepends=True)
    (copy / "results.jsonl").write_text("".join(rows[:3]))
    last = copy / json.loads(rows[3])["folder"]
    (last / "result.json").unlink()
    said = words(write_report(copy))
    told = "1 job has no result in copy, and no part in any number on this page: catch / noisy / s1"
    assert f"{told}." in said
    (last / "failed.json").write_text(json.dumps({"code": 2, "said": ["first", "error: no memory"]}))
    assert f"{told} (failed: error: no memory)." in words(write_report(copy))
    (copy / "results.jsonl").write_text("")
    for result in copy.rglob("result.json"):
        result.unlink()
    said = words(write_report(copy))
    assert "4 jobs have no result in copy" in said
    assert "Each was trained for 256 environment steps." in said


def test_a_colour_is_a_method_everywhere(page: Path) -> None:
    """In the order in which the page names them, whatever the task."""
    order = ["plain", "noisy", "noisy=none", "factorised"]
    found: dict[str, set[str]] = {}
    told = re.findall(r'<line [^>]*class="line (c\d)"></line></svg>(?:<span class="name">| )([^<]+)', page.read_text())
    for colour, name in told:
        found.setdefault(name.strip(), set()).add(colour)
    assert {name: found[name] for name in order} == {name: {f"c{number}"} for number, name in enumerate(order)}


def test_ranges_of_a_domain_are_drawn(runs: Path, tmp_path: Path) -> None:
    """Of a parameter whose upper end rises in each run, in the unit that was logged."""
    copy = Path(shutil.copytree(runs, tmp_path / "copy"))
    for seed in (1, 2, 3):
        file = copy / f"factorised-s{seed}" / "metrics.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        ends = [{"domain/gravity/low": 9.0, "domain/gravity/high": 10.0 + seed * row["step"] / 160} for row in rows]
        file.write_text("".join(json.dumps(row | end) + "\n" for row, end in zip(rows, ends, strict=True)))
    out = write_report(copy)
    (drawing,) = [a["aria-label"] for name, a in Reader(out.read_text()).tags
                  if name == "svg" and "Range of gravity" in (a.get("aria-label") or "")]  # fmt: skip
    assert drawing is not None
    assert "factorised: 10.5 [9.0, 12.0] at 160, 3 seeds." in drawing
    assert "noisy=none" not in drawing


def test_what_was_searched_for_is_told(study: Path, tmp_path: Path) -> None:
    for name in ("results.jsonl", "study.yaml"):
        shutil.copy(study / name, tmp_path)
    trial = {"task": "catch", "method": "plain", "measure": "evaluate", "sampler": "random", "trials": 2, "steps": 256,
             "seeds": [1000, 1001], "scores": {}, "failed": [], "folders": []}  # fmt: skip
    trials = [{**trial, "trial": k, "settings": {"entropy_coef": k / 8}, "value": k, "chosen": k == 1} for k in (0, 1)]
    (tmp_path / "search.jsonl").write_text("".join(json.dumps(each) + "\n" for each in trials))
    said = words(write_report(tmp_path))
    assert "are chosen by random search by seeds 1000, 1001, which do not report" in said
    assert "entropy coefficient 0.125" in said
    (tmp_path / "search.jsonl").write_text(json.dumps({**trials[0], "seeds": None}) + "\n")
    assert "cannot be read, and is left out" in words(write_report(tmp_path))


def test_only_results_are_enough(study: Path, tmp_path: Path) -> None:
    """A study's folder without its runs, as it may lie in a repository."""
    for name in ("results.jsonl", "study.yaml"):
        shutil.copy(study / name, tmp_path)
    said = words(write_report(tmp_path))
    assert "Return of the trained agents" in said
    assert "Every condition of the stress tests, seed by seed" in said


def test_runs_of_different_versions_and_machines_are_told(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs, tmp_path / "copy"))
    file = copy / "none-s1" / "run.json"
    info = json.loads(file.read_text())
    info["versions"]["jostle"], info["device"], info["cpus"] = "0.0.9", "cuda", 1000
    file.write_text(json.dumps(info))
    said = words(write_report(copy))
    assert re.search(r"The runs are of different versions of jostle: 0.\d.\d \(5 runs\) and 0.0.9 \(1 run\).", said)
    assert "made on different devices, so their times do not compare: cpu (5 runs) and cuda (1 run)." in said
    assert "1000 cores (1 run)" in said


def test_a_folder_that_cannot_be_written(runs: Path, tmp_path: Path) -> None:
    places = [Path("/proc/new/a.html")] if Path("/proc").exists() else []
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "shut").mkdir(mode=0o500)
        places.append(tmp_path / "shut" / "a.html")
    for place in places:
        with pytest.raises(ConfigError, match=r"cannot write .*: make room, or choose another file"):
            write_report(runs, place)


def test_a_full_disk_leaves_the_earlier_report(runs: Path, tmp_path: Path) -> None:
    """/dev/full stands for a disk without room."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    out = write_report(runs, tmp_path / "a.html")
    before = out.read_text()
    (tmp_path / ".staging-a.html").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match=r"No space left on device\): make room"):
        write_report(runs, out)
    assert out.read_text() == before
    with pytest.raises(ConfigError, match=r"cannot write .*choose another file"):
        write_report(runs, out / "below" / "a.html")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist: give the folder of a study"):
        write_report(tmp_path / "gone")
