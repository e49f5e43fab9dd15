"""The suite of looks of Reach: one thing of the picture drawn anew for each episode; arm and ball are as ever."""

from collections.abc import Mapping
from typing import Any

from jostle.errors import ConfigError
from jostle.stress.condition import Condition, Suite
from jostle.stress.target import Target
from jostle.view import Success

REACH = "jostle/Reach-v0"
_SURFACES = ("arm", "table", "floor", "wall")
Ranges = Mapping[str, Any]


def _uniform(low: float, high: float, *names: str) -> dict[str, Any]:
    return {name: {"uniform": [low, high]} for name in names}


def _shown(what: str) -> dict[str, Any]:
    """A thing that has no colour until it is given one, in any."""
    return {f"{what}.rgba.a": {"constant": 1.0}, **_uniform(0.0, 1.0, *(f"{what}.rgba.{c}" for c in "rgb"))}


CHANGES: dict[str, Ranges] = {
    "colours": _uniform(0.0, 1.0, *(f"{surface}.rgba.{c}" for surface in _SURFACES for c in "rgb")),
    "textures": {f"{surface}.texture": {"integers": [0, 5]} for surface in _SURFACES},
    "light": {
        **_uniform(-1.0, 1.0, "lamp.pos.x"),
        **_uniform(-1.5, 1.5, "lamp.pos.y"),
        **_uniform(0.2, 1.0, *(f"lamp.diffuse.{c}" for c in "rgb")),
    },
    "noise": {"observation.picture.noise": {"constant": 25.0}},
    "camera": {
        **{f"eye.pos.{axis}": {"uniform": [-0.1, 0.1], "operation": "offset"} for axis in "xyz"},
        **_uniform(-0.05, 0.05, *(f"eye.turn.{axis}" for axis in "xyz")),
        **_uniform(38.0, 46.0, "eye.fovy"),
    },
    "distractor": {
        **_shown("distractor"),
        **_uniform(0.25, 0.6, "distractor.pos.x"),
        **_uniform(-0.4, 0.4, "distractor.pos.y"),
    },
    "occluder": {**_shown("occluder"), **_uniform(-0.2, 0.2, "occluder.pos.y"), **_uniform(0.3, 0.6, "occluder.pos.z")},
}
"""What each condition draws for every episode; the ball keeps its red."""


def reach_looks(target: Target) -> Suite:
    """The arm as it is; one thing of its picture changed at a time; and all of them.

    Raises:
        ConfigError: another environment, or one in which no picture is seen.
    """
    if target.env != REACH or target.options.get("observation") not in ("picture", "both"):
        raise ConfigError(
            f"the suite 'reach-looks' is for {REACH} seen in pictures (observation=picture or both), not {target.env}; "
            "take another suite."
        )
    together = {name: drawn for ranges in CHANGES.values() for name, drawn in ranges.items()}
    conditions = [Condition("seen", {"domain": None}, labels={"looks": "seen"})]
    for name, ranges in {**CHANGES, "all of it": together}.items():
        conditions.append(Condition(name, {"domain": {"parameters": dict(ranges)}}, labels={"looks": name}))
    about = "looks of Reach, one thing at a time: equal seeds have equal arms and balls"
    return Suite("reach-looks", tuple(conditions), "seen", Success("info", key="success"), about)
