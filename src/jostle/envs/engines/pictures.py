"""Pictures of environments that do not draw themselves, and of those that end the process where they cannot."""

import subprocess
import sys
import tempfile
from functools import cache
from typing import Any

import numpy as np

from jostle.errors import EnvError

_DRAW = """
import warnings
warnings.simplefilter("ignore")
import envpool
pool = envpool.make("HalfCheetah-v4", "gymnasium", num_envs=1, render_mode="rgb_array")
pool.reset()
pool.render()
"""


def newest_picture(obs: Any, frame_stack: int) -> np.ndarray | None:
    """The newest frame of a batch of uint8 images as uint8 [N, H, W, 3]; None if the observations are no images."""
    if not isinstance(obs, np.ndarray) or obs.dtype != np.uint8 or obs.ndim != 4:
        return None
    if frame_stack == 1 and obs.shape[-1] <= 4 < obs.shape[1]:  # channels last
        frames = obs
    else:
        channels = obs.shape[1] // frame_stack
        frames = np.moveaxis(obs[:, -channels:], 1, -1)
    return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames[..., :3].copy()


@cache
def require_mujoco_pictures() -> None:
    """Try in a process of its own whether EnvPool's MuJoCo can draw: without OpenGL it ends the process.

    Raises:
        EnvError: it cannot.
    """
    with tempfile.TemporaryDirectory() as folder:  # MuJoCo leaves a log where it fails
        done = subprocess.run(
            [sys.executable, "-c", _DRAW], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
    if done.returncode != 0:
        raise EnvError(
            "EnvPool's MuJoCo finds no OpenGL to draw with on this machine: make the environment with "
            'engine="gymnasium" and MUJOCO_GL=egl for pictures.'
        )
