"""`Explanation`: what `explain_policy` found, as a table, as plain data, and as a page."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jostle.explain.results import Importance, Maps
from jostle.explain.results.numbers import Number
from jostle.explain.sanity import Sanity
from jostle.explain.sanity.intervening import Intervention
from jostle.explain.tracing import Trace

VERSION = 2
"""Of ``summary.json``: what reads it knows by this what it is."""
LEGEND = (
    "The columns *like* are rank correlations of absolute maps: with the saliency of the picture alone, with the maps "
    "of a network with fresh weights, and between two networks that learned the policy's actions as they are and "
    "exchanged between the steps. *Gain*: by how much deletion and insertion beat the same map shifted at random. A "
    "technique fails above 0.5 in the second or third, or at a gain of 0 or less. *Objects changed*: the rank "
    "correlation of what it says of objects and what changing them in the simulator does to the policy; it fails at 0 "
    "or less, or where maps without a policy agree better. *On* an object: the share of the map that lies on its "
    "pixels over its share of the picture, and that of the picture alone."
)


@dataclass
class Inside:
    """What one part found.

    Attributes:
        results: by the name of their files, as the functions of `jostle.explain` give them.
        numbers: each beside its null.
        figures: file in the explanation's folder -> what is to be seen on it.
    """

    results: dict[str, Any] = field(default_factory=dict)
    numbers: list[Number] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)


@dataclass
class Explanation:
    """What `explain_policy` found.

    Attributes:
        folder: where the files are.
        trace: the episodes.
        found: maps, or the importance of features, by the technique's name.
        sanity: checks of techniques.
        interventions: of vectors, what changing things in the simulator does beside what each technique says.
        masses: of each technique on each object whose pixels are known, and of the picture alone; see `object_mass`.
        inside: what each part found, by its name.
        left_out: what was not done, and why.
        seconds: that it took.
        complete: nobody stopped it.
    """

    folder: Path
    trace: Trace
    found: dict[str, Maps | Importance] = field(default_factory=dict)
    sanity: dict[str, Sanity] = field(default_factory=dict)
    interventions: dict[str, Intervention] = field(default_factory=dict)
    masses: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    inside: dict[str, Inside] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = True

    def rows(self) -> list[dict[str, str]]:
        """A line a technique: what failed, the likeness to the picture alone, after fresh weights, the gain."""
        return [self._row(name, found) for name, found in self.found.items()]

    def numbers(self) -> list[dict[str, str]]:
        """A line a number of the inside, with its null."""
        return [
            {"part": part, "number": n.name, "value": n.shown, "null": n.null_shown, "null is": n.null_is,
             "p": n.p_shown}
            for part, inside in self.inside.items() for n in inside.numbers
        ]  # fmt: skip

    @property
    def _changed(self) -> bool:
        """Objects of pictures were changed in the simulator."""
        return any(sanity.intervention is not None for sanity in self.sanity.values())

    def _row(self, name: str, found: Maps | Importance) -> dict[str, str]:
        if not isinstance(found, Maps):
            best = found.names[int(found.mean.argmax())]
            row = {"technique": found.method, "explains": found.target, "most important": best}
            return {**row, **self._tested(name)}
        sanity = self.sanity.get(name)
        cascade = None if sanity is None or sanity.cascade is None else sanity.cascade.last
        permuted = None if sanity is None or sanity.permuted is None else float(sanity.permuted.alike.mean())
        gain = None if sanity is None else float(sanity.curves.gain.mean())
        tested = None if sanity is None or sanity.intervention is None else sanity.intervention.agreement.point
        masses = self.masses.get(name, {})
        return {
            "technique": found.method,
            "explains": found.target,
            "like the picture alone": _number(float(np.nanmean(found.like_null))),
            "like fresh weights": _number(cascade),
            "like permuted actions": _number(permuted),
            "gain": _number(gain),
            **({"objects changed": _number(tested)} if self._changed else {}),
            **{f"on {what}": f"{own:.1f} ({alone:.1f})" for what, (own, alone) in masses.items()},
            "verdict": "not checked" if sanity is None else sanity.failed or "passed",
        }

    def _tested(self, name: str) -> dict[str, str]:
        """Of features: how changing things in the simulator agrees; nothing where none were changed."""
        if not self.interventions:
            return {}
        tested = self.interventions.get(name)
        if tested is None:
            return {"objects changed": "", "verdict": "not checked"}
        return {"objects changed": _number(tested.agreement.point), "verdict": tested.failed or "passed"}

    def as_dict(self) -> dict[str, Any]:
        """Plain data without maps and arrays."""
        about = self.trace.about
        return {
            "explanation": VERSION,
            "policy": about.policy,
            "fingerprint": about.fingerprint,
            "env": about.env,
            "conditions": list(about.conditions),
            "noise": about.noise,
            "episodes": len(self.trace.episodes),
            "steps": len(self.trace),
            "mean return": float(np.mean([e.ret for e in self.trace.episodes])),
            "techniques": self.rows(),
            "inside": {
                part: {"numbers": [n.as_dict() for n in inside.numbers], "figures": inside.figures}
                for part, inside in self.inside.items()
            },
            "left out": self.left_out,
            "seconds": round(self.seconds, 1),
            "complete": self.complete,
        }

    def markdown(self) -> str:
        """A page with the tables and what was left out."""
        data, rows, numbers = self.as_dict(), self.rows(), self.numbers()
        about = f"{data['episodes']} episodes, {data['steps']:,} steps, noise {data['noise']}"
        lines = [f"# {data['policy']} in {data['env']}", "", f"{about}, mean return {data['mean return']:.4g}.", ""]
        if not self.complete:
            lines += ["It was stopped: what was whole is here.", ""]
        lines += _table(rows)
        if self.sanity or self.interventions:
            lines += [LEGEND, ""]
        if numbers:
            lines += ["## Inside", "", *_table(numbers)]
        lines += [f"Left out: {name}: {why}" + "\n" for name, why in self.left_out.items()]
        return "\n".join(lines)


def _table(rows: list[dict[str, str]]) -> list[str]:
    """Lines of a table in Markdown; none without rows."""
    if not rows:
        return []
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row[head].replace("|", "\\|") for head in heads) + " |" for row in rows]
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"
