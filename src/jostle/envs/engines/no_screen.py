"""Pictures of other people's MuJoCo environments on a machine without a screen."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_SCREENS = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")


@contextmanager
def without_a_screen() -> Iterator[None]:
    """Let MuJoCo draw through EGL inside, where nobody has chosen and there is no screen.

    Gymnasium tries GLFW first, and MuJoCo does not recover from that failure: every later context of the process fails,
    or waits for ever.
    """
    if platform.system() != "Linux" or any(os.environ.get(name) for name in _SCREENS):
        yield
        return
    os.environ["MUJOCO_GL"] = "egl"
    try:
        yield
    finally:
        os.environ.pop("MUJOCO_GL", None)
