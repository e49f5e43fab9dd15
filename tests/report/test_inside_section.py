"""The section on the inside of agents: figures with words, numbers with nulls, verdicts, and nothing that runs."""

import json
import math
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from pages import EVIL, Reader, opened, words
from torch import Tensor, nn

import jostle
from jostle.explain import explain_policy
from jostle.explain.results.effects import effect
from jostle.report import SECTIONS, Section, write_report
from jostle.report import page as page_module
from jostle.report.gather import gather
from jostle.report.pictures import Pictures
from jostle.report.sections import inside as inside_module
from jostle.report.sections.inside import inside


class SmallConv(nn.Module):
    """Few weights for pictures [B, 32, 32, 3]."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x.permute(0, 3, 1, 2).float() / 255))).flatten(1)


SMALL: dict[str, Any] = {"num_envs": 2, "num_steps": 16, "encoder": SmallConv, "hidden": (8,), "shared": True}


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with two seeds on catch, each run explained; and an agent that belongs to no run."""
    folder = tmp_path_factory.mktemp("explained")
    for noisy in ("none", "factorised"):
        for seed in (1, 2):
            run = folder / f"{noisy}-s{seed}"
            agent = jostle.PPO("jostle/ThemedCatch-v0", noisy=noisy, seed=seed, **SMALL)  # type: ignore[arg-type]
            agent.learn(32, run_dir=run)
            parts = ["saliency", "layers", "planes"] if noisy == "none" else ["layers"]
            explain_policy(
                agent, run / "explain", parts=parts, initial=run, episodes=2, steps=2, sanity_steps=1,
                methods=["gradient", "blur"], video=False,
            )  # fmt: skip
            agent.env.close()
    pole = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    explain_policy(pole, folder / "pole-explain", parts=["saliency", "units", "memory"], episodes=2, max_steps=20)
    pole.env.close()
    return folder


@pytest.fixture(scope="module")
def sheet(explained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(explained, tmp_path_factory.mktemp("page") / "inside.html", title="Inside")


def section_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text.split('<section id="inside"')[1].split("</section>")[0]


def test_it_stands_among_the_sections_and_only_where_there_is_something(explained: Path, sheet: Path) -> None:
    assert inside in SECTIONS
    assert '<a href="#inside">Inside</a>' in sheet.read_text(encoding="utf-8")
    assert inside(gather([explained / "none-s1"])) is not None
    alone = gather([explained / "pole-explain"])
    assert alone.runs == []
    assert [(each.task, each.method, each.seed) for each in alone.explained] == [("CartPole-v1", "ppo", "")]


def test_figures_are_pictures_with_words(explained: Path, sheet: Path) -> None:
    found = Reader(section_of(sheet)).tags
    pictures = [a for name, a in found if name == "img"]
    figures = {
        folder.name: json.loads((folder / "explain" / "summary.json").read_text())["inside"]
        for folder in explained.iterdir() if (folder / "explain").exists()
    }  # fmt: skip
    first = [
        seen
        for name in ("none-s1", "factorised-s1")
        for part in figures[name].values()
        for seen in part["figures"].values()
    ]
    lone = json.loads((explained / "pole-explain" / "summary.json").read_text())["inside"]
    first += [seen for part in lone.values() for seen in part["figures"].values()]
    assert sorted(str(a["alt"]) for a in pictures) == sorted(first)
    assert all(str(a["src"]).startswith("data:image/png;base64,") and int(a["width"] or 0) > 50 for a in pictures)
    assert len(sheet.read_bytes()) < 10_000_000


def test_numbers_stand_beside_their_nulls_and_seeds_beside_each_other(explained: Path, sheet: Path) -> None:
    said = words(sheet)
    from jostle.explain.summary import read_summary

    for noisy in ("none", "factorised"):
        told = [read_summary(explained / f"{noisy}-s{seed}" / "explain").numbers["layers"] for seed in (1, 2)]
        for one, two in zip(*told, strict=True):
            assert one.name == two.name
            assert f"{one.shown}; {two.shown}" in said, one.name
            assert one.null_is in said
    plain, noisy = ([read_summary(explained / f"{name}-s{seed}" / "explain").numbers["layers"] for seed in (1, 2)]
                    for name in ("none", "factorised"))  # fmt: skip
    x, y = ([{n.name: n.value for n in numbers} for numbers in side] for side in (plain, noisy))
    name = next(name for name in x[0] if all(name in each for each in (*x, *y)))
    apart = effect(name, [each[name] for each in x], [each[name] for each in y])
    assert "effect against noisy=none" in said, "the first method"
    assert f"{apart.g.point:.2f} [{apart.g.low:.2f}, {apart.g.high:.2f}], p {apart.p:.2g}".replace("-", "−") in said
    shared = [name for name in x[0] if all(name in each for each in (*x, *y))]
    sizes = [effect(n, [each[n] for each in x], [each[n] for each in y]).g.point for n in shared]
    assert said.count("], p ") == sum(map(math.isfinite, sizes)), "the first method has none against itself"
    assert "not adjusted for there being many numbers" in said
    assert "the null is" in said
    assert "no recurrent state" in said, "what was left out is told with its reason"


def test_verdicts_are_counted_over_the_agents_of_a_method(explained: Path, sheet: Path) -> None:
    said = words(sheet)
    rows = [
        row["verdict"]
        for seed in (1, 2)
        for row in json.loads((explained / f"none-s{seed}" / "explain" / "summary.json").read_text())["techniques"]
    ]
    assert len(rows) == 4
    assert f"Sanity checks: {rows.count('passed')} of 4 techniques passed in 2 agents." in said


def evil_copy(explained: Path, folder: Path) -> Path:
    """Names, words, reasons and verdicts that are scripts, and figures that lie elsewhere."""
    copy = Path(shutil.copytree(explained / "pole-explain", folder / "evil"))
    data = json.loads((copy / "summary.json").read_text())
    data |= {"policy": f"{EVIL}policy", "env": f"{EVIL}env", "noise": f"{EVIL}noise"}
    data["techniques"] = [{f"{EVIL}head": f"{EVIL}cell", "technique": EVIL, "explains": EVIL, "verdict": f"{EVIL}why"}]
    data["left out"] = {f"{EVIL}name": f"{EVIL}reason"}
    for part in data["inside"].values():
        part["figures"] = dict.fromkeys(part["figures"], f'"{EVIL}seen') | {
            "../secret.png": "secret",
            "/etc/hostname": "x",
        }
        for number in part["numbers"]:
            number |= {"number": f"{EVIL}number", "null is": f"{EVIL}null"}
    (copy / "summary.json").write_text(json.dumps(data))
    (folder / "secret.png").write_bytes(next((copy / "units").glob("*.png")).read_bytes())
    return copy


def test_names_that_are_scripts_are_shown_and_nothing_elsewhere_is_read(explained: Path, tmp_path: Path) -> None:
    out = write_report(evil_copy(explained, tmp_path), tmp_path / "a.html")
    text = out.read_text(encoding="utf-8")
    assert EVIL not in text
    for name in ("policy", "noise", "head", "cell", "why", "name", "reason", "number", "null"):
        assert f"{EVIL}{name}" in words(out), name
    pictures = [a for name, a in Reader(section_of(out)).tags if name == "img"]
    assert pictures
    assert {a["alt"] for a in pictures} == {f'"{EVIL}seen'}
    assert not any(key.startswith("on") for _, a in Reader(text).tags for key in a)


def test_what_is_damaged_is_said_and_the_rest_is_shown(explained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(explained, tmp_path / "all"))
    (copy / "none-s1" / "explain" / "summary.json").write_text("{")
    for path in (copy / "none-s2" / "explain" / "planes").glob("*.png"):
        path.write_bytes(b"not a picture")
    (copy / "none-s2" / "explain" / "gallery.png").unlink()
    out = write_report(copy, tmp_path / "a.html")
    assert "explain the policy again" in words(out)
    assert "4 agents were looked into" in words(out)
    alts = [str(a["alt"]) for name, a in Reader(section_of(out)).tags if name == "img"]
    assert alts
    assert not any("techniques find" in alt or "t-SNE" in alt for alt in alts)


def png(size: int) -> bytes:
    """A picture of so many pixels a side, of noise, which cannot be packed."""
    import numpy as np

    rows = np.random.default_rng(0).integers(0, 256, (size, size + 1), dtype=np.uint8)
    rows[:, 0] = 0

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


def test_the_page_has_room_for_so_many_pictures(
    explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png(100))
    room = Pictures(11_000)
    assert len(room.of(tmp_path, {"a.png": "a picture", "b.png": "another"})) == 1
    assert room.dropped == 1
    monkeypatch.setattr(inside_module, "ROOM", 60_000)
    out = write_report(explained, tmp_path / "small.html")
    assert re.search(r"\d+ figures of the inside of agents left out", words(out))
    assert sum(len(str(a["src"])) for name, a in Reader(section_of(out)).tags if name == "img") < 90_000


def test_reports_without_explanations_need_no_torch(explained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(explained / "none-s1", tmp_path / "run", ignore=shutil.ignore_patterns("explain")))
    code = (
        "import sys; from jostle.report import write_report; "
        f"write_report({str(copy)!r}, {str(tmp_path / 'a.html')!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_explain_does_not_know_the_report() -> None:
    source = Path(page_module.__file__).parents[1] / "explain"
    assert not [path for path in source.rglob("*.py") if "jostle.report" in path.read_text(encoding="utf-8")]
    assert isinstance(Section, type)


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_screens(browser: Any, sheet: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    found = opened(context, sheet)
    for each in found.locator("details").all():
        each.evaluate("each => { each.open = true; }")
    assert found.evaluate("document.documentElement.scrollWidth") == width
    pictures = found.locator("#inside img")
    assert pictures.count() > 8
    for each in pictures.all():
        each.scroll_into_view_if_needed()
    found.wait_for_function("[...document.querySelectorAll('#inside img')].every(each => each.naturalWidth > 0)")
    sizes = found.eval_on_selector_all("#inside img", "all => all.map(each => each.getBoundingClientRect().width)")
    assert min(sizes) > 120
    assert all(color == "rgb(255, 255, 255)" for color in found.eval_on_selector_all(
        "#inside .shot", "all => all.map(each => getComputedStyle(each).backgroundColor)"))  # fmt: skip
    assert found.said == []
    assert [url for url in found.asked if not url.startswith("data:")] == [sheet.as_uri()]
    context.close()


@pytest.mark.browser
def test_scripts_in_names_do_not_run(browser: Any, explained: Path, tmp_path: Path) -> None:
    context = browser.new_context()
    found = opened(context, write_report(evil_copy(explained, tmp_path), tmp_path / "a.html"))
    assert f"{EVIL}policy" in found.locator("#inside").inner_text()
    assert found.said == []
    context.close()
