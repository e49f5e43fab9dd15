"""What a study's file says of how it is to be shown, under the names of a page."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from jostle.errors import ConfigError
from jostle.report.material import Group
from jostle.study.shown.show import Show
from jostle.study.spec import read_shown
from jostle.yaml_text import parse_yaml

FILE = "study.yaml"


@dataclass(frozen=True)
class Shown:
    """The block of a study's file, and what its tasks and methods are called on the page, tasks behind a prefix."""

    show: Show = field(default_factory=Show)
    tasks: Mapping[str, str] = field(default_factory=dict)
    methods: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    def task(self, name: str) -> str:
        """A task's name on the page."""
        return f"{self.prefix}{self.tasks.get(name, name)}"

    def method(self, name: str) -> str:
        """A method's name on the page."""
        return self.methods.get(name, name)

    def groups(self) -> list[Group]:
        """The parts."""
        return [
            Group(
                self.task(part.task),
                "" if part.name == part.task else part.name,
                None if part.methods is None else [*map(self.method, part.methods)],
                None if part.baseline is None else self.method(part.baseline),
                [(self.method(a), self.method(b)) for a, b in part.pairs],
                None if part.curves is None else [*map(self.method, part.curves)],
            )
            for part in self.show.parts
        ]


def read_shown_of(folder: Path, prefix: str, notes: list[str]) -> Shown:
    """What the file in a study's folder shows; plain names where there is none, or where it cannot be read.

    Args:
        folder: of the study.
        prefix: of its tasks' names.
        notes: are told what cannot be read.
    """
    show = Show()
    try:
        data = parse_yaml((folder / FILE).read_bytes())
        if isinstance(data, Mapping) and data.get("show"):
            show = read_shown(data)
    except OSError:
        pass
    except (ConfigError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        notes.append(f"What {folder / FILE} shows cannot be read, and plain names stand here: {told}")
    return Shown(show, _different(show.titles), _different(show.labels), prefix)


def _different(names: Mapping[str, str]) -> dict[str, str]:
    """Names of the page, of which no two are the same."""
    count = Counter(names.values())
    return {name: text if count[text] == 1 else f"{text} ({name})" for name, text in names.items()}
