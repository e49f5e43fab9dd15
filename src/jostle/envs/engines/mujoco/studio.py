"""Pictures of all simulations: a few threads, each with an OpenGL context of its own."""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.envs.engines.mujoco.renderer import Quality, Renderer, camera_of

Array = np.ndarray[Any, Any]


class Studio:
    """Draws the simulations of a batch, each in its own looks. Contexts are made with the first picture.

    An OpenGL context belongs to a thread, and the batch to all: its copies are taken under a lock.

    Args:
        batch: a `mujoco.batch.Batch`.
        camera: settings as `camera_of` takes them.
        threads: at most as many contexts.
    """

    def __init__(self, batch: Any, camera: dict[str, Any], quality: Quality, threads: int) -> None:
        self._batch, self.quality, self._lock = batch, quality, Lock()
        self._camera = camera_of(batch.model, camera)
        self._pools = [ThreadPoolExecutor(1, "jostle-render") for _ in range(min(threads, batch.nsim))]
        self._painters: list[_Painter | None] = [None] * len(self._pools)

    def pictures(self) -> UInt8[np.ndarray, "N H W 3"]:
        """What the camera of each simulation sees, in fresh memory."""
        size = self.quality.size
        out = np.empty((self._batch.nsim, size, size, 3), np.uint8)
        self._share(lambda painter, row: painter.picture(row, out))
        return out

    def objects(self, labels: Array) -> UInt8[np.ndarray, "N H W"]:
        """The label of what each pixel shows, 0 where there is nothing.

        Args:
            labels: uint8 [geoms + 1], of every geom, and of nothing.
        """
        size = self.quality.size
        out = np.empty((self._batch.nsim, size, size), np.uint8)
        self._share(lambda painter, row: painter.objects(row, labels, out))
        return out

    def close(self) -> None:
        """Give all contexts back."""
        for pool, painter in zip(self._pools, self._painters, strict=True):
            if painter is not None:
                pool.submit(painter.renderer.close).result()
            pool.shutdown()
        self._painters = [None] * len(self._pools)

    def _share(self, paint: Any) -> None:
        """Every row once, in blocks, one for each thread."""
        blocks = np.array_split(np.arange(self._batch.nsim), len(self._pools))
        done = [pool.submit(self._block, i, blocks[i], paint) for i, pool in enumerate(self._pools)]
        for future in done:
            future.result()

    def _block(self, place: int, rows: Array, paint: Any) -> None:
        painter = self._painters[place]
        if painter is None:
            painter = self._painters[place] = _Painter(self._batch, self._camera, self.quality, self._lock)
        for row in rows:
            paint(painter, int(row))


class _Painter:
    """One thread's context, with memory for one model and one state."""

    def __init__(self, batch: Any, camera: Any, quality: Quality, lock: Lock) -> None:
        self._mujoco, self._batch, self._camera, self._lock = require_mujoco(), batch, camera, lock
        with lock:
            self._model = copy.copy(batch.model)
        self._data = self._mujoco.MjData(self._model)
        self.renderer = Renderer(self._model, quality)

    def picture(self, row: int, out: Array) -> None:
        self._load(row)
        out[row] = self.renderer.draw(self._model, self._data, self._camera)

    def objects(self, row: int, labels: Array, out: Array) -> None:
        self._load(row)
        out[row] = labels[self.renderer.geoms(self._model, self._data, self._camera)]

    def _load(self, row: int) -> None:
        """The simulation's own model, and where its parts are."""
        with self._lock:
            self._batch.get_model(row, self._model)
            self._batch.get_data(row, self._data)
        mujoco, model, data = self._mujoco, self._model, self._data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        if model.ntendon:
            mujoco.mj_tendon(model, data)
