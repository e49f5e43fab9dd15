"""The pages in docs/: links lead somewhere, Python runs as printed, and commands are understood."""

import re
import shlex
from pathlib import Path

import pytest

from jostle.cli.flags import parse
from jostle.cli.play import Evaluate, Watch
from jostle.cli.recipe import parse_yaml
from jostle.cli.resume import Resume
from jostle.cli.train import COMMANDS, _defaults

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["environments", "diagnostics", "statistics"])
def test_python_runs(name: str) -> None:
    for block in blocks(DOCS / f"{name}.md", "python"):
        exec(block, {"__name__": "docs"})


def test_files_named_in_the_pages_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|benchmarks|examples)/[\w/]+\.\w+)`", page.read_text(encoding="utf-8")):
            assert (DOCS.parent / name).exists() or name.endswith(".json"), f"{page.name}: {name}"


def test_commands_are_understood() -> None:
    kinds = {"evaluate": Evaluate, "watch": Watch, "resume": Resume}
    for block in blocks(DOCS / "command.md", ""):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["jostle", "train"]:
                start = {"env": "x", "training": {"total": 1}}
                parse(COMMANDS[words[2]][1], words[3:], "x", _defaults(words[2], start))
            elif words[:1] == ["jostle"] and words[1] in kinds:
                parse(kinds[words[1]], words[2:], "x")
    for text in blocks(DOCS / "command.md", "yaml"):
        assert parse_yaml(text)["config"]["learning_rate"] == 1e-3
