"""The pages in docs/: links lead somewhere, Python runs as printed, and commands are understood."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jostle import presets
from jostle.algo.dqn.config import DQNConfig
from jostle.algo.parts.stream_settings import StreamTable
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.settings import merged
from jostle.cli.explain import Explain
from jostle.cli.flags import flag_value, parse
from jostle.cli.play import Evaluate, Watch
from jostle.cli.recipe import starting_point
from jostle.cli.resume import Resume
from jostle.cli.sections import chosen, with_sections
from jostle.cli.streams import gathered
from jostle.cli.train import COMMANDS, _defaults
from jostle.yaml_text import parse_yaml

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [block for kind, block in found if kind == language]


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


METHODS = ["ppo", "dqn", "bonuses", "rnd", "icm", "e3b"]


RUN = ["environments", "diagnostics", "classic-control", "domain-check", "domain-randomisation", "randomise", "mujoco"]


@pytest.mark.parametrize(
    "name", [*RUN, "reality-gap", "statistics", "callbacks", "explain", "explain-inside", *METHODS]
)
def test_python_runs(name: str) -> None:
    known: dict[str, Any] = {"__name__": "docs"}  # by the blocks before
    for block in blocks(DOCS / f"{name}.md", "python"):
        exec(block, known)


def test_files_named_in_the_pages_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|benchmarks|examples)/[\w/]+\.\w+)`", page.read_text(encoding="utf-8")):
            assert (DOCS.parent / name).exists() or name.endswith(".json"), f"{page.name}: {name}"


def test_tests_named_in_the_pages_exist() -> None:
    for page in PAGES:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)`: `(test_\w+)`", page.read_text(encoding="utf-8")):
            assert f"def {name}(" in (DOCS.parent / file).read_text(encoding="utf-8"), f"{page.name}: {file} {name}"


def test_headings_that_links_name_exist() -> None:
    for page in [*PAGES, DOCS.parent / "README.md"]:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{page.name}: {target}#{anchor}"


def test_settings_in_the_tables_exist() -> None:
    """The names in the first column of a table of settings, and the defaults where a column has them."""
    for name, kind in (("ppo", PPOConfig), ("bonuses", PPOConfig), ("dqn", DQNConfig)):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        tables = re.findall(r"^\| setting .*\n\|[-| ]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
        assert tables
        for row in "".join(tables).splitlines():
            names = re.findall(r"`(\w+)`", row.split("|")[1])
            assert names
            assert set(names) <= fields.keys(), row
            stated = row.split("|")[2].strip()
            if name == "bonuses" and re.fullmatch(r"[\d.]+(, [\d.]+)*", stated):
                assert [float(x) for x in stated.split(", ")] == [fields[n] for n in names], row
            elif name == "dqn" and len(names) == 1 and re.fullmatch(r"[\d.,]+", stated):
                assert float(stated.replace(",", "")) == fields[names[0]], row


def test_the_table_of_presets_is_theirs() -> None:
    text = (DOCS / "rnd.md").read_text(encoding="utf-8").split("## Presets", 1)[1].split("\n## ", 1)[0]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    for column, name in enumerate(table[0][1:], 1):
        preset, shown = presets.load(name.strip("`")), {row[0]: row[column] for row in table[2:]}
        config, env = presets.settings(name.strip("`")), preset["env_options"]
        assert isinstance(config, PPOConfig)
        assert shown["environments"] == str(preset["num_envs"])
        assert shown["episode"].startswith("one life" if env["episodic_life"] else "whole game")
        assert f"{env.get('max_episode_steps', 27_000):,} steps" in shown["episode"]
        assert ("no FIRE" in shown["resets"]) == (env.get("use_fire_reset") is False)
        assert ("one frame" in shown["resets"]) == (env.get("noop_max") == 1)
        assert shown["objective"].startswith(f"clip {config.clip}" if config.clip else "adaptive KL penalty")
        assert (config.kl_penalty == "adaptive") == (config.clip == 0)
        assert re.findall(r"\d+", shown["passes"]) == [str(n) for n in (config.epochs, config.minibatches) if n > 1]
        assert ("fixed order" in shown["passes"]) == (config.minibatch_by == "slices")
        assert ("GAE 0.95" in shown["advantages"]) == (config.gae_lambda == 0.95)
        assert ("not normalised" in shown["advantages"]) != config.normalise_advantage
        assert shown["values"].startswith("two" if config.value_heads == "dual" else "one")
        assert ("clipped" in shown["values"]) == (config.value_clip > 0)
        assert (shown["extrinsic reward"] == "sign") == env["reward_clip"] == (config.reward_clip == 0)
        assert shown["γ_E"].split()[0] == str(config.gamma)
        assert shown["loss of a value"] == {1.0: "½(V − R)²", 0.5: "¼(V − R)²"}[config.value_coef]
        assert shown["gradient norm"] == (str(config.max_grad_norm) if config.max_grad_norm else "not clipped")
        assert float(shown["learning rate"].split(",")[0]) == config.learning_rate
        assert ("falls" in shown["learning rate"]) == (config.lr_schedule == "linear")
        assert float(shown["Adam's ε"]) == config.optimizer_eps
        assert shown["third kernel"] == {"nature": "3×3", "nature-k4": "4×4"}[config.encoder]
        assert int(shown["steps"].replace(",", "")) == preset["training"]["total"]


@pytest.mark.parametrize(
    "page", [DOCS / "command.md", DOCS / "explain.md", DOCS.parent / "README.md", *(DOCS / f"{n}.md" for n in METHODS)]
)
def test_commands_are_understood(page: Path) -> None:
    kinds = {"evaluate": Evaluate, "watch": Watch, "explain": Explain}
    kinds["resume"] = with_sections(Resume, DQNConfig, "x")
    understood = 0
    for line in "".join(blocks(page, "")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["jostle", "train"]:
            start = starting_point(flag_value(words, "--preset"), None, words[2])
            start = {"env": "x", "training": {"total": 1}} | start
            kind, command = COMMANDS[words[2]][:2]
            given = gathered(words[3:], StreamTable())
            args = parse(command, given, "x", _defaults(words[2], start))
            merged(kind.settings(), chosen(args, kind.settings))
            understood += 1
        elif words[:1] == ["jostle"] and words[1] in kinds:
            parse(kinds[words[1]], gathered(words[2:], StreamTable()), "x")
            understood += 1
    assert understood


def test_the_configuration_file_is_understood() -> None:
    for text in blocks(DOCS / "command.md", "yaml"):
        assert parse_yaml(text)["config"]["learning_rate"] == 1e-3
