"""The table of a stress test: every episode, and the file it is kept in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import ConfigError
from jostle.stress.condition import Condition, Suite
from jostle.stress.perturbation import Perturbation
from jostle.stress.physics.sobol import Sensitivity, sensitivity_from
from jostle.view import Episode, Success

_EPISODE = ("env", "index", "return", "length", "success", "disagreement", "level_seed", "theme", "draw", "cut")

NOISELESS = "mean"
"""The inference mode of methods without noise."""
CHANCE = "random play"
"""The method of the cells in which every action is a random legal one."""
RULE = "fixed rule"
"""The method of the cells in which the suite's control acts: a rule that has learned nothing."""


@dataclass(frozen=True)
class Cell:
    """One run of one method under one condition and inference mode.

    Attributes:
        run: number of the run in its method.
        episodes: ordered by (index, env).
        seed: of the environments.
    """

    method: str
    run: int
    condition: str
    noise: str
    episodes: tuple[Episode, ...]
    seed: int = 0

    @property
    def returns(self) -> np.ndarray:
        """Undiscounted returns [E]."""
        return np.array([e.ret for e in self.episodes])

    @property
    def successes(self) -> np.ndarray | None:
        """1 where an episode was a success [E]; None without a rule."""
        if any(e.success is None for e in self.episodes):
            return None
        return np.array([float(bool(e.success)) for e in self.episodes])


@dataclass
class StressResult:
    """What a stress test measured; `jostle.stress.report` makes numbers of it.

    Attributes:
        env: where the policies were trained.
        suite: the conditions.
        actions: greedy or sampled.
        seed: of environments and draws; condition i used ``seed + seed_offset``.
        runs: method -> names of its runs (training seeds).
        noiseless: methods without noise, for which all inference modes are ``mean``, and which are played in that once.
        cells: the table, a cell for each (method, run, condition, noise).
        chance: random play, a cell for each condition, and where the suite has a control the cells of that; nothing
            where they were left out.
        complete: every cell that was asked for is there.
        sobol: of the suite `physics-sobol`, how much each parameter explains, for each run.
    """

    env: str
    suite: Suite
    actions: str
    seed: int
    runs: dict[str, list[str]]
    cells: list[Cell] = field(default_factory=list)
    chance: list[Cell] = field(default_factory=list)
    complete: bool = True
    noiseless: list[str] = field(default_factory=list)
    sobol: list[Sensitivity] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in order."""
        return list(self.runs)

    @property
    def noises(self) -> list[str]:
        """Inference modes that were measured, in order."""
        return list(dict.fromkeys(cell.noise for cell in self.cells))

    def modes(self, method: str) -> list[str]:
        """Inference modes that a method is measured in, in order."""
        noisy = [cell.noise for cell in self.cells if cell.method not in self.noiseless]
        return [NOISELESS] if method in self.noiseless else list(dict.fromkeys(noisy))

    def mode(self, method: str, noise: str) -> str:
        """What an inference mode is called for a method: its name, or ``mean`` for one without noise."""
        return NOISELESS if method in self.noiseless else noise

    def select(self, method: str, noise: str, condition: str) -> list[Cell]:
        """The cells of a method's runs, in order of the runs; runs that were not measured are missing."""
        noise = self.mode(method, noise)
        return [c for c in self.cells if (c.method, c.noise, c.condition) == (method, noise, condition)]

    def chance_in(self, condition: str) -> list[Cell]:
        """Random play under a condition; nothing where it was not measured."""
        return self.control_in(CHANCE, condition)

    def control_in(self, control: str, condition: str) -> list[Cell]:
        """Random play or the fixed rule under a condition; nothing where it was not measured."""
        return [cell for cell in self.chance if (cell.method, cell.condition) == (control, condition)]

    def rows(self) -> Iterable[dict[str, Any]]:
        """The table, one plain dictionary an episode."""
        for cell in [*self.cells, *self.chance]:
            for episode in cell.episodes:
                told = episode.as_dict()
                told["return"] = told.pop("ret")
                where = {"method": cell.method, "run": self.runs.get(cell.method, [cell.method])[cell.run]}
                yield {**where, "condition": cell.condition, "noise": cell.noise} | {
                    key: told[key] for key in _EPISODE if key in told
                }

    def write_rows(self, path: Path) -> None:
        """One line of JSON an episode."""
        path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in self.rows()), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The table that `StressResult.write_rows` wrote.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the table {path} cannot be read ({error}): give an episodes.jsonl of a stress test."
        ) from error


def read_result(folder: str | Path) -> StressResult:
    """The result whose ``summary.json`` and ``episodes.jsonl`` lie in a folder.

    Raises:
        ConfigError: they cannot be read.
    """
    folder = Path(folder)
    rows = read_rows(folder / "episodes.jsonl")
    try:
        told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        suite = _suite(told)
        result = StressResult(
            told["env"], suite, told["actions"], told["seed"], told["runs"], complete=told["complete"],
            noiseless=told.get("noiseless", []), sobol=[sensitivity_from(each) for each in told.get("sobol", [])],
        )  # fmt: skip
        cells: dict[tuple[str, int, str, str], list[Episode]] = {}
        for row in rows:
            method, run = row["method"], told["runs"].get(row["method"], [row["method"]]).index(row["run"])
            kept = {key: row[key] for key in _EPISODE if key in row}
            episode = Episode(ret=kept.pop("return"), **kept)
            cells.setdefault((method, run, row["condition"], row["noise"]), []).append(episode)
        for (method, run, condition, noise), episodes in cells.items():
            seed = result.seed + suite[condition].seed_offset
            cell = Cell(method, run, condition, noise, tuple(episodes), seed)
            (result.cells if method in result.runs else result.chance).append(cell)
        return result
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{folder} holds no whole result of a stress test ({error!r}): give its folder.") from error


def _suite(told: dict[str, Any]) -> Suite:
    conditions = []
    for given in told["conditions"]:
        changed = given["perturbation"]
        conditions.append(Condition(**given | {"perturbation": Perturbation(**changed) if changed else None}))
    rule, levels = told["success"], told["training_levels"]
    return Suite(
        told["suite"],
        tuple(conditions),
        told["reference"],
        Success.parse(rule) if rule else None,
        told["about"],
        tuple(levels) if levels else None,
    )
