"""What the text files of a run's folder say: what was asked and what came of it. No weights are read, without torch."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float

from jostle.errors import CheckpointError, ConfigError, closest
from jostle.yaml_text import parse_yaml

RETURN = "charts/episodic_return"
"""Mean undiscounted return of the episodes that ended since the last line of metrics."""
MACHINE = ("device", "threads", "compile")
"""Settings that make no method a different one."""
_DEEPEST = 4  # folders below the one that was given


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        path: its folder.
        config: as in config.yaml.
        info: as in run.json.
        rows: the lines of metrics, the oldest first.
    """

    path: Path
    config: Mapping[str, Any]
    info: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, float]] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def env(self) -> str:
        """The environment's id."""
        return str(self.config.get("env"))

    @property
    def algorithm(self) -> str:
        """``dqn`` or ``ppo``."""
        return str(self.config.get("algorithm"))

    @property
    def seed(self) -> int | None:
        """Of the training."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def steps(self) -> int:
        """At the last line of metrics."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def planned(self) -> int | None:
        """Steps that were asked for, in all."""
        training = self.config.get("training")
        total = training.get("total") if isinstance(training, dict) else None
        return total if isinstance(total, int) else None

    @property
    def finished(self) -> bool:
        """The training went to its planned end; of runs of former versions, by their steps."""
        told = self.info.get("finished")
        return told if isinstance(told, bool) else self.planned is not None and self.steps >= self.planned

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that was asked for and makes a method: algorithm, environment, plan, settings, by flat names."""
        asked = {key: self.config.get(key) for key in ("algorithm", "env", "num_envs")}
        options = self.config.get("env_options")
        asked |= {f"env_options.{key}": value for key, value in (options or {}).items()}
        asked["steps"] = self.planned
        own = self.config.get("config")
        asked |= {key: value for key, value in (own or {}).items() if key not in MACHINE}
        return asked

    @property
    def method(self) -> str:
        """Equal for runs that were asked for the same but for their seed."""
        return json.dumps(self.settings, sort_keys=True, default=str)

    def curve(self, metric: str = RETURN) -> tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"]]:
        """Steps and values of a metric, where it is told.

        Raises:
            ConfigError: the run has no such metric.
        """
        told = [(row["step"], row[metric]) for row in self.rows if math.isfinite(row.get(metric, math.nan))]
        if not told:
            known = sorted({name for row in self.rows for name in row} - {"step", "time"})
            raise ConfigError(f"{self.path} has no metric '{metric}'; {closest(metric, known)}")
        steps, values = np.array(told, np.float64).T
        return steps, values

    def last(self, metric: str = RETURN, share: float = 0.1) -> float:
        """The metric's mean over the last share of the steps; NaN where it is not told."""
        late = [row[metric] for row in self.rows if row["step"] >= (1 - share) * self.steps and metric in row]
        told = [value for value in late if math.isfinite(value)]
        return float(np.mean(told)) if told else math.nan


def read_record(path: Path, *, damaged: Callable[[str], None] | None = None) -> Record:
    """A run's folder.

    Args:
        path: the folder.
        damaged: is told of metrics that are damaged, of which the lines before the damage are kept then.

    Raises:
        CheckpointError: it is no run, or its files are damaged.
    """
    try:
        info = json.loads((path / "run.json").read_text(encoding="utf-8"))
        config = parse_yaml((path / "config.yaml").read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} is no run ({Path(error.filename).name} is missing): give a run's folder"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a run ({' '.join(str(error).split())[:120]}): restore run.json and config.yaml"
        ) from error
    if not isinstance(info, dict) or not isinstance(config, dict):
        raise CheckpointError(f"{path} cannot be read as a run (no mappings): restore run.json and config.yaml")
    rows: list[dict[str, float]] = []
    try:
        for row in _rows(path / "metrics.jsonl"):
            rows.append(row)  # one by one, so that those before the damage stay
    except CheckpointError as error:
        if damaged is None:
            raise
        damaged(f"{error}; the {len(rows):,} lines before it are shown")
    return Record(path, config, info, tuple(rows))


def find_records(paths: Iterable[Path]) -> list[Record]:
    """The runs given, and those that lie in the folders given, in order; each once.

    Raises:
        CheckpointError: a folder that is none and holds none.
    """
    found: dict[Path, Record] = {}
    for path in paths:
        folders = list(_run_folders(path, _DEEPEST))
        if not folders:
            what = "holds no run" if path.is_dir() else "is no folder"
            raise CheckpointError(f"{path} {what}: give runs, or a folder of them")
        for folder in folders:
            found.setdefault(folder.resolve(), read_record(folder))
    return list(found.values())


def methods(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs that were asked for the same but for their seed, under a name that tells them from the others.

    The name is made of the settings in which the methods differ; of a lone method it is its algorithm.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.method, []).append(record)
    apart = differing([group[0].settings for group in groups.values()])
    return {_label(group[0], apart): group for group in groups.values()}


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of settings that are not the same in all, in the order in which they stand.

    A setting that another algorithm has not, or another environment, is none of them.
    """
    apart = []
    for name in dict.fromkeys(name for one in settings for name in one):
        having = settings if name.startswith("env_options.") else [one for one in settings if name in one]
        if len({json.dumps(one.get(name), default=str) for one in having}) > 1:
            apart.append(name)
    return apart


def shown(value: Any) -> str:
    """A setting's value for tables: lists as they stand behind a flag.

    >>> shown(["rnd", "icm"]), shown([]), shown(None), shown(0.5), shown(True)
    ('rnd icm', 'none', '–', '0.5', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(record: Record, apart: Sequence[str]) -> str:
    told = []
    for name in apart:
        value = record.settings.get(name)
        alone = name in ("algorithm", "env") or (isinstance(value, str) and value != "none")
        told.append(shown(value) if alone else f"{name.removeprefix('env_options.')}={shown(value)}")
    return ", ".join(told) or record.algorithm


def _run_folders(path: Path, depth: int) -> Iterator[Path]:
    """Folders of runs in and below a folder, by name; a run holds no other runs."""
    if (path / "run.json").is_file():
        yield path
    elif depth and path.is_dir():
        with os.scandir(path) as entries:
            inner = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        for name in inner:
            yield from _run_folders(path / name, depth - 1)


def _rows(path: Path) -> Iterator[dict[str, float]]:
    """The whole lines of metrics; one that a killed writer left half written is none, and no file is no line."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
            yield {name: math.nan if value is None else float(value) for name, value in row.items()} | {
                "step": int(row["step"])
            }
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged at line {number}: remove that line") from error
