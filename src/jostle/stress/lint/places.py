"""Where a value went: into the constant that it names, into others, and into what follows."""

from typing import Any

import gymnasium as gym
import numpy as np

from jostle.stress.lint.alone import Truth
from jostle.stress.lint.constants import Constants, apart, described, differing
from jostle.stress.lint.findings import Finding

Places = dict[str, np.ndarray]


def compared(
    env: gym.Env[Any, Any], name: str, nominal: Constants, found: Constants, truth: Truth | None, names: set[str]
) -> list[Finding]:
    """The findings "applied", "nothing-else" and "derived" of one parameter.

    Args:
        env: for the names of elements.
        name: of the parameter.
        nominal: the constants before it was set.
        found: the constants after.
        truth: what they should be; None where nobody knows.
        names: the constants that are none of the environment's states.
    """
    if truth is None:
        unknown = "the environment cannot be made anew with other constants"
        return [Finding(name, q, "unknown", unknown) for q in ("applied", "nothing-else", "derived")]
    wrong = differing(found, truth.constants, names & truth.constants.keys())
    at: dict[str, Places] = {"applied": {}, "nothing-else": {}, "derived": {}}
    if not truth.whole:
        del at["derived"]
    for field, where in wrong.items():
        meant = where & apart(nominal[field], truth.constants[field])
        at["applied" if field in truth.named else "derived"][field] = meant
        at["nothing-else"][field] = where & ~meant
    said = {
        "applied": "{} {} not what was set",
        "nothing-else": "{} {} too, which should stay",
        "derived": "{} {} stale: not that of a fresh environment with this value",
    }
    verbs = {"applied": ("is", "are"), "nothing-else": ("changes", "change"), "derived": ("is", "are")}
    findings = []
    for question, places in at.items():
        kept = {field: where for field, where in places.items() if where.any()}
        if kept:
            text = said[question].format(described(env, kept), verbs[question][len(kept) > 1])
            findings.append(Finding(name, question, "failed", text))
        else:
            findings.append(Finding(name, question, "passed"))
    return findings
