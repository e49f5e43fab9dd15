"""Physics on the page in headless Chromium: nothing is wider than a phone, and numbers can be read on their cells."""

from pathlib import Path
from typing import Any

import pytest
from test_physics_sections import ANCHORS

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened(browser: Any, poles_page: Path) -> Any:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(poles_page.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_in_light_and_dark(opened: Any, width: int, scheme: str) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.emulate_media(color_scheme=scheme)
    for each in opened.locator("details").all():
        each.evaluate("each => { each.open = true; }")
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    for anchor in ANCHORS:
        assert opened.locator(f"#{anchor} h2").is_visible()
        # No text of a drawing leaves it, or the cell that it stands in.
        outside = opened.evaluate(
            """(anchor) => [...document.querySelectorAll(`#${anchor} figure svg`)].flatMap((svg) => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter((text) => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1;
            }).map((text) => text.textContent);
        })""",
            anchor,
        )
        assert outside == []
    crowded = opened.evaluate(
        """() => [...document.querySelectorAll("#pairs g, #sets g")].filter((cell) => {
        const [box, text] = [cell.querySelector("rect"), cell.querySelector("text")];
        return box && text && text.getBoundingClientRect().width > box.getBoundingClientRect().width;
    }).map((cell) => cell.textContent)"""
    )
    assert crowded == []
    assert opened.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_can_be_read_on_the_strongest_colour(opened: Any, scheme: str) -> None:
    """4.5 of WCAG 2, of the text on its cell as the two are laid over each other."""
    opened.emulate_media(color_scheme=scheme)
    found = opened.evaluate(
        """() => {
        const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const light = (parts) => {
            const [r, g, b] = parts.map((x) => {
                const c = x / 255;
                return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = rgb(getComputedStyle(document.body).backgroundColor);
        const cells = [...document.querySelectorAll("#pairs g, #sets g")].filter((each) => each.querySelector("rect"));
        return cells.map((cell) => {
            const box = getComputedStyle(cell.querySelector("rect"));
            const share = Number(box.fillOpacity);
            const over = rgb(box.fill).map((x, k) => share * x + (1 - share) * paper[k]);
            const text = light(rgb(getComputedStyle(cell.querySelector("text")).fill));
            const [a, b] = [light(over), text].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05);
        });
    }"""
    )
    assert len(found) > 20
    assert min(found) >= 4.5
