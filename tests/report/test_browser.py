"""The page in headless Chromium: nothing is asked of any network, and it works by hand, by key and on paper."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ANCHORS, EVIL, evil, opened

from jostle.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def sheet(browser: Any, page: Path) -> Iterator[Any]:
    """The report of everything, open at 1,440 px; what the browser complains of and asks for is noted on it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    found = opened(context, page)
    yield found
    context.close()


def test_every_section_stands_there_quietly(sheet: Any, page: Path) -> None:
    assert sheet.eval_on_selector_all("section", "all => all.map(each => each.id)") == ANCHORS
    assert all(sheet.locator(f"#{anchor} h2").is_visible() for anchor in ANCHORS)
    sheet.wait_for_function("[...document.querySelectorAll('video')].every(each => each.readyState > 0)")
    assert sheet.said == []
    assert [url for url in sheet.asked if not url.startswith("data:")] == [page.as_uri()]


def column(sheet: Any, name: str, number: int) -> list[str]:
    cells = f"#scores table >> nth=0 >> tbody tr > :nth-child({number})"
    assert name in sheet.locator(f"#scores table >> nth=0 >> thead th:nth-child({number})").inner_text()
    return [text.strip() for text in sheet.locator(cells).all_inner_texts()]


def test_tables_sort_by_click_and_by_key(sheet: Any) -> None:
    assert column(sheet, "method", 1) == ["plain", "noisy"]
    head = sheet.locator("#scores table >> nth=0 >> thead th:nth-child(1)")
    head.locator("button").click()
    assert column(sheet, "method", 1) == ["noisy", "plain"]
    assert head.get_attribute("aria-sort") == "ascending"
    score = sheet.locator("#scores table >> nth=0 >> thead th:nth-child(4)")
    score.locator("button").focus()
    sheet.keyboard.press("Enter")
    assert score.get_attribute("aria-sort") == "descending"
    assert head.get_attribute("aria-sort") is None
    numbers = [float(text.split()[0].replace("−", "-")) for text in column(sheet, "mean", 4)]
    assert numbers == sorted(numbers, reverse=True)
    sheet.keyboard.press("Space")
    assert score.get_attribute("aria-sort") == "ascending"


def test_curves_tell_values_and_seeds_by_pointer_and_by_key(sheet: Any) -> None:
    plot = sheet.locator("#curves .plot").first
    tip = plot.locator(".tip")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert tip.is_hidden()
    sheet.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    assert tip.is_visible()
    said = tip.inner_text()
    assert "steps" in said
    assert "factorised" in said
    assert "seed 1: " in said
    assert "3: " in said
    sheet.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    assert tip.inner_text() != said
    sheet.mouse.move(0, 0)
    assert tip.is_hidden()
    plot.focus()
    sheet.keyboard.press("End")
    assert "160 steps" in tip.inner_text()
    sheet.keyboard.press("ArrowLeft")
    assert "160 steps" not in tip.inner_text()
    sheet.keyboard.press("Escape")
    assert tip.is_hidden()


def test_the_values_told_are_those_of_the_runs(sheet: Any, runs: Path) -> None:
    """At every step, of every seed."""
    from jostle.study import read_record

    curves = {seed: read_record(runs / f"factorised-s{seed}").curve() for seed in (1, 2, 3)}
    plot = sheet.locator("#curves .plot").first
    plot.focus()
    sheet.keyboard.press("Home")
    told = {}
    for _ in range(12):
        said = plot.locator(".tip").inner_text()
        told[int(said.split(" steps")[0])] = said
        sheet.keyboard.press("ArrowRight")
    sheet.keyboard.press("Escape")
    assert len(told) > 5
    assert max(told) == 160
    seen = set()
    for step, said in told.items():
        for seed, (steps, values) in curves.items():
            value = float(np.interp(step, steps, values))
            seen.add(value)
            numbers = re.findall(rf"(?:seed |, ){seed}: ([−\d.]+)", said.split("factorised")[1])
            assert float(numbers[0].replace("−", "-")) == pytest.approx(value, abs=0.0051), (step, seed)
    assert len(seen) > 3


def test_links_and_tables_are_reached_by_key(sheet: Any) -> None:
    sheet.locator("nav a").first.focus()
    sheet.keyboard.press("Enter")
    assert sheet.url.endswith("#answer")
    assert sheet.eval_on_selector_all(".scroll, .plot", "all => all.every(each => each.tabIndex === 0)")
    assert sheet.eval_on_selector_all("th button", "all => all.every(each => each.tabIndex === 0)")


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(sheet: Any, width: int, scheme: str) -> None:
    sheet.set_viewport_size({"width": width, "height": 800})
    sheet.emulate_media(color_scheme=scheme)
    assert sheet.evaluate("document.documentElement.scrollWidth") == width
    for each in sheet.locator("details").all():
        each.evaluate("each => { each.open = true; }")
    assert sheet.evaluate("document.documentElement.scrollWidth") == width


def contrast(sheet: Any) -> list[float]:
    """Of each kind of text against what is behind it, as WCAG 2 counts it."""
    return list(
        sheet.evaluate(
            """() => {
        const light = (text) => {
            const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((x) => {
                const c = x / 255;
                return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        const of = (color) => {
            const [a, b] = [light(color), paper].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        };
        const names = ["body", ".quiet", "nav a", "summary", ".status", "pre"];
        const texts = names.map((name) => of(getComputedStyle(document.querySelector(name)).color));
        const ticks = of(getComputedStyle(document.querySelector("svg .tick")).fill);
        const drawn = [...document.querySelectorAll("path.line")];
        const lines = drawn.map((each) => of(getComputedStyle(each).stroke) * 1.5);
        return [...texts, ticks, ...lines];
    }"""
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(sheet: Any, scheme: str) -> None:
    """4.5 for text, 3 for lines."""
    sheet.emulate_media(color_scheme=scheme)
    paper = sheet.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert min(contrast(sheet)) >= 4.5


def test_it_prints(sheet: Any, tmp_path: Path) -> None:
    """All that is folded away as well, and black on white, whatever the screen's scheme is."""
    sheet.emulate_media(color_scheme="dark", media="print")
    assert sheet.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not sheet.locator("nav").is_visible()
    sheet.set_viewport_size({"width": 680, "height": 900})  # of A4 between margins
    sheet.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert sheet.locator("details:not([open])").count() == 0
    assert sheet.evaluate("document.documentElement.scrollWidth") == 680
    sheet.emulate_media(media="screen")
    sheet.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    data = (tmp_path / "page.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") >= 3


def test_without_scripts_it_is_a_page_with_pictures(browser: Any, page: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    found = opened(context, page)
    charts = found.locator(
        "#curves .pair svg"
    )  # by steps; and by time, which short runs of two seeds may not have in common
    assert charts.nth(0).locator("path.line").count() == 2
    assert charts.nth(0).is_visible()
    assert found.said == []
    context.close()


def test_names_that_are_scripts_do_not_run(browser: Any, study: Path, tmp_path: Path) -> None:
    context = browser.new_context()
    found = opened(context, write_report(evil(study, tmp_path), title=f"</title>{EVIL}"))
    assert found.title() == f"</title>{EVIL}"
    assert f"{EVIL}task" in found.locator("body").inner_text()
    plot = found.locator(".plot").first
    plot.focus()
    found.keyboard.press("Home")
    assert EVIL in plot.locator(".tip").inner_text()
    assert found.said == []
    context.close()
