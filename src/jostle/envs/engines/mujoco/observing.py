"""What the policy sees: a task's numbers, pictures of the simulations, or both, through noise and delay."""

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool

from jostle.envs.engines.mujoco.signals import NUMBERS, PICTURE, Signals
from jostle.envs.engines.mujoco.studio import Studio
from jostle.envs.engines.mujoco.task import Task
from jostle.envs.observations import Obs

Array = np.ndarray[Any, Any]


class Observer:
    """Makes the observations of one engine.

    Args:
        batch: a `mujoco.batch.Batch`.
        threads: for pictures.
    """

    def __init__(self, batch: Any, task: Task, signals: Signals, threads: int) -> None:
        self._task, self._signals, self._count = task, signals, batch.nsim
        self.studio = Studio(batch, task.eye, task.picture, threads) if task.picture is not None else None
        self._labels = labels_of(batch.model, task)

    @property
    def space(self) -> spaces.Space[Any]:
        """Of one row: a box of numbers, a box of bytes [3, H, W], or both by name."""
        parts: dict[str, spaces.Space[Any]] = {}
        if self._task.size:
            parts[NUMBERS] = self._task.observation_space()
        if self.studio is not None:
            size = self.studio.quality.size
            parts[PICTURE] = spaces.Box(0, 255, (3, size, size), np.uint8)
        return next(iter(parts.values())) if len(parts) == 1 else spaces.Dict(parts)

    def observe(self, seed: Array, episode: Array, step: Array, fresh: Bool[np.ndarray, "N"] | None) -> Obs:
        """The observations of all rows, in fresh memory."""
        seen: dict[str, Array] = {}
        if self._task.size:
            numbers = np.empty((self._count, self._task.size), np.float32)
            self._task.observe(numbers)
            seen[NUMBERS] = self._signals.noisy(numbers, seed, episode, step)
        if self.studio is not None:
            pictures = self._signals.grainy(self.studio.pictures(), seed, episode, step)
            seen[PICTURE] = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
        seen = self._signals.late(seen, fresh)
        return next(iter(seen.values())) if len(seen) == 1 else seen

    def labels(self) -> Array:
        """Which of the task's objects each pixel shows, uint8 [N, H, W]: 1 for the first of them, 0 for none."""
        assert self.studio is not None
        return self.studio.objects(self._labels)

    def close(self) -> None:
        """End the threads that draw."""
        if self.studio is not None:
            self.studio.close()


def labels_of(model: Any, task: Task) -> Array:
    """The label of every geom of a model, and of nothing (the last one)."""
    labels = np.zeros(model.ngeom + 1, np.uint8)
    for label, geoms in enumerate(task.objects.values(), start=1):
        labels[[model.geom(name).id for name in geoms]] = label
    return labels


def keep(seen: Obs, before: Obs, rows: Bool[np.ndarray, "N"]) -> None:
    """Put what was seen before into these rows."""
    if isinstance(seen, dict):
        assert isinstance(before, dict)
        for key, part in seen.items():
            part[rows] = before[key][rows]
    else:
        assert not isinstance(before, dict)
        seen[rows] = before[rows]
