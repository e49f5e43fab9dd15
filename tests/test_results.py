"""What the pages quote stands in the committed tables."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERVAL = re.compile(r"([-−]?\d+(?:\.\d+)?)\s+\[([-−]?\d+(?:\.\d+)?),\s+([-−]?\d+(?:\.\d+)?)\]")
QUOTING = {
    "network-randomization": (
        "## Results", 50, ("studies/network_randomization/table.md", "results/hidden_states.md"),
    ),
    "explain-inside": ("## What published claims hold here", 20, ("studies/inside/table.md",)),
    "noisynet": ("## What to expect", 4, ("studies/exploration/table.md", "studies/cartpole/table.md")),
}  # fmt: skip
"""Page -> the section that quotes, how many intervals it has at least, and the tables that they are from."""


def intervals(text: str) -> list[tuple[str, ...]]:
    """Every ``point [low, high]`` of a text, with a plain minus."""
    return [tuple(part.replace("−", "-") for part in found) for found in INTERVAL.findall(text)]


def quotes(quoted: tuple[str, ...], told: tuple[str, ...]) -> bool:
    """Whether numbers are those of a table, perhaps with fewer decimals, or those of the difference the other way."""
    table = [float(part) for part in told]
    decimals = [len(part.partition(".")[2]) for part in quoted]
    return any(
        all(abs(float(q) - t) <= 0.5 * 10**-d + 1e-9 for q, t, d in zip(quoted, way, decimals, strict=True))
        for way in (table, [-table[0], -table[2], -table[1]])
    )


@pytest.mark.parametrize("page", QUOTING)
def test_intervals_of_a_page_stand_in_its_tables(page: str) -> None:
    heading, least, tables = QUOTING[page]
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split(f"\n{heading}\n")[1]
    told = [found for name in tables for found in intervals((ROOT / "benchmarks" / name).read_text(encoding="utf-8"))]
    quoted = intervals(text)
    assert len(quoted) >= least
    for one in quoted:
        assert any(quotes(one, other) for other in told), f"{one[0]} [{one[1]}, {one[2]}] stands in no table"


def test_a_quotation_may_round_and_turn_around_and_nothing_else() -> None:
    told = ("-0.067", "-0.097", "-0.039")
    assert quotes(("0.067", "0.039", "0.097"), told)
    assert quotes(("-0.07", "-0.10", "-0.04"), told)
    assert not quotes(("0.067", "0.039", "0.098"), told)
    assert not quotes(("0.067", "-0.039", "0.097"), told)
    assert intervals("by −0.10 [−0.17,\n−0.02] of") == [("-0.10", "-0.17", "-0.02")]
