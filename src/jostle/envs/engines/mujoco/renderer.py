"""One OpenGL context, without a display: pictures of single simulations. It belongs to the thread that makes it."""

import copy
import importlib
import os
import platform
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jostle.envs.engines.mujoco.package import INSTALL, require_mujoco
from jostle.errors import EnvError

Array = np.ndarray[Any, Any]
_LOADING = Lock()
"""MuJoCo finds OpenGL's functions when a context is made, for the whole process: one thread at a time."""
NO_RENDERER = (
    "MuJoCo finds no OpenGL to draw with ({error}): apt install libegl1 libegl-mesa0 libgl1-mesa-dri (neither display "
    "nor graphics card is needed), or " + INSTALL + " where the Python packages are missing."
)


@dataclass(frozen=True)
class Quality:
    """What a picture costs. The defaults are for 64×64 observations on a CPU, where round things need few sides.

    Args:
        size: pixels a side.
        shadows: whether lights cast them (about four times the cost).
        shadow_size: pixels a side of the shadow map.
        samples: per pixel, against jagged edges.
        slices, stacks: sides of round things.
        reflections: whether materials mirror.
    """

    size: int = 64
    shadows: bool = False
    shadow_size: int = 512
    samples: int = 0
    slices: int = 12
    stacks: int = 8
    reflections: bool = False


VIDEO = Quality(size=480, shadows=True, shadow_size=1024, samples=4, slices=28, stacks=16)


def context_class() -> Any:
    """MuJoCo's class of OpenGL contexts: what MUJOCO_GL says, else EGL on Linux and the system's own elsewhere.

    Raises:
        EnvError: there is none.
    """
    require_mujoco()
    wanted = os.environ.get("MUJOCO_GL", "").lower().strip()
    kind = wanted if wanted in ("egl", "osmesa") else "egl" if platform.system() == "Linux" and not wanted else ""
    try:
        return importlib.import_module(f"mujoco.{kind}" if kind else "mujoco.gl_context").GLContext
    except (ImportError, AttributeError, OSError) as error:
        raise EnvError(NO_RENDERER.format(error=_one_line(error))) from error


class Renderer:
    """Draws simulations of one model, in looks of their own.

    Args:
        model: any of the simulations' models; their textures and meshes are the same.
        quality: of the pictures.

    Raises:
        EnvError: there is no OpenGL.
    """

    def __init__(self, model: Any, quality: Quality) -> None:
        self._mujoco = mujoco = require_mujoco()
        self._quality = quality
        quick = copy.copy(model)
        quick.vis.global_.offwidth = quick.vis.global_.offheight = quality.size
        what = quick.vis.quality
        what.shadowsize, what.offsamples = quality.shadow_size, quality.samples
        what.numslices, what.numstacks = quality.slices, quality.stacks
        kind = context_class()
        try:
            with _LOADING:
                self._gl = kind(quality.size, quality.size)
                self._gl.make_current()
                self._context = mujoco.MjrContext(quick, int(mujoco.mjtFontScale.mjFONTSCALE_100))
            mujoco.mjr_setBuffer(int(mujoco.mjtFramebuffer.mjFB_OFFSCREEN), self._context)
        except Exception as error:  # whatever PyOpenGL and the drivers come up with
            raise EnvError(NO_RENDERER.format(error=_one_line(error))) from error
        self._scene = mujoco.MjvScene(quick, model.ngeom * 2 + 200)
        flags = self._scene.flags
        flags[int(mujoco.mjtRndFlag.mjRND_SHADOW)] = quality.shadows
        flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] = quality.reflections
        self._option = mujoco.MjvOption()
        self._rect = mujoco.MjrRect(0, 0, quality.size, quality.size)
        self._pixels = np.empty((quality.size, quality.size, 3), np.uint8)

    def draw(self, model: Any, data: Any, camera: Any) -> UInt8[np.ndarray, "H W 3"]:
        """The picture that a camera (`mujoco.MjvCamera`) sees; the memory is used again by the next one."""
        mujoco = self._mujoco
        mujoco.mjv_updateScene(model, data, self._option, None, camera, int(mujoco.mjtCatBit.mjCAT_ALL), self._scene)
        self._gl.make_current()
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        return self._pixels[::-1]  # OpenGL begins at the bottom

    def geoms(self, model: Any, data: Any, camera: Any) -> Array:
        """Which geom each pixel shows, int32 [H, W]; −1 where none."""
        mujoco, flags = self._mujoco, self._scene.flags
        kept = flags.copy()
        flags[int(mujoco.mjtRndFlag.mjRND_SEGMENT)] = flags[int(mujoco.mjtRndFlag.mjRND_IDCOLOR)] = True
        try:
            pixels = self.draw(model, data, camera).astype(np.int32)
        finally:
            flags[:] = kept
        shown = pixels @ np.array([1, 256, 65536], np.int32)
        table = np.full(self._scene.ngeom + 2, -1, np.int32)
        kind = int(mujoco.mjtObj.mjOBJ_GEOM)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and int(geom.objtype) == kind:
                table[geom.segid + 1] = geom.objid
        found: Array = table[shown]
        return found

    def close(self) -> None:
        """Give the context back."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def camera_of(model: Any, settings: dict[str, Any]) -> Any:
    """A `mujoco.MjvCamera`: {"fixed": the name of one in the model}, or the settings of a free or tracking one.

    Raises:
        EnvError: the model has no such camera.
    """
    mujoco = require_mujoco()
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    if "fixed" in settings:
        number = mujoco.mj_name2id(model, int(mujoco.mjtObj.mjOBJ_CAMERA), settings["fixed"])
        if number < 0:
            raise EnvError(f"The model has no camera {settings['fixed']}: name one that it has.")
        camera.type, camera.fixedcamid = int(mujoco.mjtCamera.mjCAMERA_FIXED), number
    for key, value in settings.items():
        if key != "fixed":
            setattr(camera, key, value)
    return camera


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
