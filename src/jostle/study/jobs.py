"""What one job of a study is: what it is asked for, where it lies, and what decides that two are the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RANDOM = "random"
"""The algorithm of a method that acts by chance and learns nothing."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training with what comes after it, everything decided.

    Attributes:
        task, method, seed: its place in the study.
        asked: plain data that decides the result: algorithm, environment, settings, steps, seed, version.
        evaluate, stress: what is measured of the agent; None and () for nothing.
        trial: its number in the search for the method's settings; None for one that reports.
    """

    task: str
    method: str
    seed: int
    asked: Mapping[str, Any]
    evaluate: Mapping[str, Any] | None = None
    stress: Sequence[Mapping[str, Any]] = field(default=())
    trial: int | None = None

    @property
    def key(self) -> str:
        """Of the training: equal for jobs that were asked for the same, whatever the study calls them."""
        return digest(self.asked)

    @property
    def measured(self) -> str:
        """Of what is measured of the trained agent."""
        return digest({"evaluate": self.evaluate, "stress": list(self.stress)})

    @property
    def folder(self) -> Path:
        """Where it lies in the study's folder."""
        return Path(self.task) / self.method / f"s{self.seed}-{self.key}"

    @property
    def name(self) -> str:
        """For people: ``deepsea-10 rnd seed 3``."""
        return (
            f"{self.task} {self.method} " + ("" if self.trial is None else f"trial {self.trial} ") + f"seed {self.seed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `Job.of` reads back."""
        whole = {"task": self.task, "method": self.method, "seed": self.seed, "asked": dict(self.asked)}
        measured = {"evaluate": self.evaluate, "stress": [dict(each) for each in self.stress]}
        return whole | measured | ({} if self.trial is None else {"trial": self.trial})

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Job":
        """From `as_dict`."""
        place = data["task"], data["method"], data["seed"], data["asked"]
        return cls(*place, data["evaluate"], data["stress"], data.get("trial"))


def digest(data: Any) -> str:
    """Twelve letters that are equal for equal plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
