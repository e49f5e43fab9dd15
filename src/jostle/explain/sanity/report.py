"""All sanity checks of one technique, and what they say together."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import ConfigError
from jostle.explain.asking import Subject
from jostle.explain.results import Maps
from jostle.explain.sanity.changes import ChangedObjects
from jostle.explain.sanity.curves import Curves, fidelity
from jostle.explain.sanity.intervening import Intervention, intervention
from jostle.explain.sanity.permuted import PermutedControl, Students, permuted_actions
from jostle.explain.sanity.randomise import Method, Randomisation, randomisation
from jostle.store.files import replace_file


@dataclass(frozen=True)
class Sanity:
    """What the checks found.

    Attributes:
        method: the technique.
        cascade, independent: layers with fresh weights; None where there are no weights.
        permuted: the control of permuted actions; None where it was not made.
        curves: deletion and insertion.
        left_out: why a check was not made, by its name.
        intervention: objects changed in the simulator; None where nobody said which.
    """

    method: str
    cascade: Randomisation | None
    independent: Randomisation | None
    permuted: PermutedControl | None
    curves: Curves
    left_out: dict[str, str]
    intervention: Intervention | None = None

    @property
    def failed(self) -> str | None:
        """Why the technique's maps prove nothing; None where they passed all checks."""
        parts = (self.cascade, self.permuted, self.curves, self.intervention)
        whys = [part.failed for part in parts if part is not None]
        return "; ".join(why for why in whys if why) or None

    def save(self, folder: str | Path, name: str) -> list[Path]:
        """Write ``NAME.json`` and a figure of each check, and return where they are.

        Raises:
            ConfigError: the folder cannot be written.
        """
        folder = Path(folder)
        paths = [folder / f"{name}.json"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(paths[0], json.dumps(self.as_dict(), indent=1) + "\n")
            drawn = {"cascade": self.cascade, "independent": self.independent, "curves": self.curves}
            for what, part in {**drawn, "intervention": self.intervention}.items():
                if part is not None:
                    paths.append(folder / f"{name}_{what}.png")
                    part.plot().savefig(paths[-1], dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
        return paths

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        found: dict[str, Any] = {"method": self.method, "failed": self.failed, "left out": self.left_out}
        for name, part in (("cascade", self.cascade), ("independent", self.independent)):
            if part is not None:
                found[name] = {
                    "layers": part.layers,
                    "rank correlation": part.signed.mean(1).tolist(),
                    "rank correlation of absolute numbers": part.absolute.mean(1).tolist(),
                    "structural similarity": part.structure.mean(1).tolist(),
                    "correlation of oriented gradients": part.oriented.mean(1).tolist(),
                }
        if self.permuted is not None:
            found["permuted actions"] = {
                "rank correlation of absolute numbers": float(self.permuted.alike.mean()),
                "agreement of the students": list(self.permuted.agreement),
            }
        if self.intervention is not None:
            found["intervention"] = self.intervention.as_dict()
        curves = self.curves
        found["curves"] = {"gain": curves.gain.tolist(), "shares": curves.shares.tolist()} | {
            name: np.asarray(getattr(curves, name)).mean(0).tolist()
            for name in ("deletion", "insertion", "null_deletion", "null_insertion")
        }
        return found


def check(
    method: Method,
    subject: Subject,
    *,
    own: Maps | None = None,
    taught: Students | None = None,
    changed: ChangedObjects | None = None,
    fill: Any = "blur",
    seed: int = 0,
    most: int | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[Maps, Sanity]:
    """A technique's maps, marked in their title where they failed, and what the checks found.

    Args:
        method: makes maps of a subject.
        subject: the policy and its steps.
        own: the policy's maps, if they are there already.
        taught: students of permuted actions, from `jostle.explain.sanity.permuted.students`; None leaves that out.
        changed: objects changed in the simulator, from `jostle.explain.sanity.changes.change_objects`; None leaves that
            out.
        fill: what covers in deletion and insertion.
        seed: of fresh weights and of nulls.
        most: see `randomisation`.
        notify: called with the name of each check as it begins.
    """
    own = method(subject) if own is None else own
    subject = subject.about(own.target)  # techniques that explain a number of their own are measured by it
    left_out: dict[str, str] = {}
    cascade = independent = None
    try:
        notify("cascade")
        how: dict[str, Any] = {"seed": seed, "own": own, "most": most}
        cascade = randomisation(method, subject, mode="cascade", **how)
        notify("independent")
        independent = randomisation(method, subject, mode="independent", **how)
    except ConfigError as error:
        left_out["randomisation"] = str(error)
    control = None
    if taught is None:
        left_out["permuted actions"] = "there were no students."
    else:
        notify("permuted actions")
        control = permuted_actions(method, subject, taught)
    moved = None
    if changed is not None:
        notify("intervention")
        moved = intervention(method, changed, seed=seed)
    notify("curves")
    curves = fidelity(own, subject, fill=fill, seed=seed)
    found = Sanity(own.method, cascade, independent, control, curves, left_out, moved)
    return own.marked(found.failed), found
