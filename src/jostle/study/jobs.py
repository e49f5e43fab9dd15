"""What one job of a study is: what it is asked for, where it lies, and what decides that two are the same."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RANDOM = "random"
"""The algorithm of a method that acts by chance and learns nothing."""
EVALUATE = "evaluate"
"""The measure of an evaluation without a name; of one with a name ``evaluate/NAME``."""
OWN = "own"
"""The seed of an evaluation that is another one for every training seed."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training with what comes after it, everything decided.

    Attributes:
        task, method, seed: its place in the study.
        asked: plain data that decides the result: algorithm, environment, settings, steps, seed, version.
        evaluate, stress: what is measured of the agent, of several evaluations a list; None and () for nothing.
        trial: its number in the search for the method's settings; None for one that reports.
        metrics: names of metrics of which the whole course is kept.
        explain: how the agent is looked into; None: not at all.
        carried: it was made elsewhere, by code that is not here: its row is shown, and it is never run.
    """

    task: str
    method: str
    seed: int
    asked: Mapping[str, Any]
    evaluate: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    stress: Sequence[Mapping[str, Any]] = field(default=())
    trial: int | None = None
    metrics: Sequence[str] = ()
    carried: bool = False
    explain: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """Of the training: equal for jobs that were asked for the same, whatever the study calls them."""
        return digest(self.asked)

    @property
    def measured(self) -> str:
        """Of what is measured of the trained agent."""
        return digest(self._measures())

    @property
    def evaluations(self) -> dict[str, dict[str, Any]]:
        """What each evaluation is asked for, by its measure."""
        several = not isinstance(self.evaluate, Mapping)
        given: Any = (self.evaluate or ()) if several else (self.evaluate,)
        return {evaluation(each): {key: each[key] for key in each if key != "name"} for each in given}

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
        return whole | self._measures() | ({} if self.trial is None else {"trial": self.trial})

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Job":
        """From `as_dict`."""
        place = data["task"], data["method"], data["seed"], data["asked"]
        more = {"metrics": data.get("metrics", ()), "explain": data.get("explain")}
        return cls(*place, data["evaluate"], data["stress"], data.get("trial"), **more)

    def _measures(self) -> dict[str, Any]:
        """Metrics and explanations where there are some: jobs without them are what they were before there were any."""
        whole: dict[str, Any] = {"evaluate": self.evaluate, "stress": [dict(each) for each in self.stress]}
        whole |= {} if self.explain is None else {"explain": dict(self.explain)}
        return whole | ({"metrics": list(self.metrics)} if self.metrics else {})


def evaluation(asked: Mapping[str, Any]) -> str:
    """The measure of an evaluation."""
    return f"{EVALUATE}/{asked['name']}" if "name" in asked else EVALUATE


def digest(data: Any) -> str:
    """Twelve letters that are equal for equal plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
