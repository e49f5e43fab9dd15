"""Whether values of a parameter change what an agent sees: paired seeds and actions, bit by bit."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jostle.envs.engines.mujoco.offered import offered
from jostle.envs.randomise.models import has_model
from jostle.stress.lint.findings import Finding
from jostle.stress.lint.reach import Reach
from jostle.stress.lint.subject import Subject

SEEDS = (0, 1, 2)
"""One for each style of actions."""


_LOOKS = {"rgba", "diffuse", "ambient", "specular", "shininess", "reflectance", "fovy", "texture", "material"}
_LOOKS |= {"turn", "dir"}
"""Parts of the names of what is seen in pictures alone."""
_SEEN = ("light_", "cam_", "mat_", "geom_rgba", "geom_matid")
"""How the fields of a MuJoCo model begin that are seen in pictures alone."""


class Effects:
    """Trajectories under nominal values, and what is different from them.

    Args:
        subject: the environment.
        nominal: every parameter's nominal value.
        steps: of each trajectory.
        late: values are set after the environment's own draw.
    """

    def __init__(self, subject: Subject, nominal: Mapping[str, float], steps: int, *, late: bool = False) -> None:
        self._subject, self._nominal, self._steps, self._late = subject, dict(nominal), steps, late
        self.base = {seed: self._play(seed, {}) for seed in SEEDS}
        again = {seed: self._play(seed, {}) for seed in SEEDS}
        self.repeats = all(np.array_equal(self.base[s], again[s], equal_nan=True) for s in SEEDS)
        self._frame: np.ndarray | None = None
        self._drawn = False

    def of(self, reach: Reach) -> list[Finding]:
        """Whether it acts at either end."""
        ends = {"acts-low": reach.low, "acts-high": reach.high}
        return [self._at(reach, question, value) for question, value in ends.items() if value != reach.nominal]

    def _at(self, reach: Reach, question: str, value: float) -> Finding:
        if not self.repeats:
            return Finding(reach.name, question, "unknown", "the same seed and actions do not give the same trajectory")
        for seed in SEEDS:
            trajectory = self._play(seed, {reach.name: value})
            base = self.base[seed]
            if trajectory.shape != base.shape or not np.array_equal(trajectory, base, equal_nan=True):
                return Finding(reach.name, question, "passed")
        seen = self._seen_in_pictures(reach.name, value)
        if seen:
            return Finding(reach.name, question, "passed", "in pictures alone")
        if seen is None and _is_look(self._subject, reach.name):
            return Finding(reach.name, question, "unknown", "no pictures can be drawn here")
        return Finding(
            reach.name,
            question,
            "failed",
            f"at {value:g} instead of {reach.nominal:g} nothing changes in {len(SEEDS)} × {self._steps} steps "
            "of random actions",
        )

    def _seen_in_pictures(self, name: str, value: float) -> bool | None:
        """None where nothing is drawn."""
        if not self._drawn:
            self._drawn, self._frame = True, self._subject.picture(self._nominal)
        if self._frame is None:
            return None
        frame = self._subject.picture(self._nominal | {name: value})
        return frame is not None and not np.array_equal(frame, self._frame)

    def _play(self, seed: int, values: Mapping[str, float]) -> np.ndarray:
        return self._subject.play(seed, self._steps, self._nominal | dict(values), late=self._late)


def _is_look(subject: Subject, name: str) -> bool:
    """Whether physics knows nothing of it."""
    inner: Any = subject.env.unwrapped
    slot = offered(inner.model).get(name) if has_model(inner) else None
    if slot is None or slot.camera is not None or not slot.fields:
        return bool(_LOOKS & set(name.split(".")))
    return all(field.startswith(_SEEN) for field in slot.fields)
