"""The package `mujoco`: found when an environment is made, never before."""

import importlib
import importlib.util
from functools import cache
from typing import Any

from jostle.errors import EnvError

INSTALL = 'pip install "jostle[mujoco]"'


def has_mujoco() -> bool:
    """Whether the package is installed, whatever its version (it is not imported)."""
    return importlib.util.find_spec("mujoco") is not None


@cache
def require_mujoco() -> Any:
    """The package.

    Raises:
        EnvError: it is missing, too old, or two versions of it lie in the same place.
    """
    if not has_mujoco():
        raise EnvError(f"MuJoCo is not installed: {INSTALL}.")
    try:
        mujoco = importlib.import_module("mujoco")
        version = str(mujoco.__version__)
    except (ImportError, AttributeError, OSError) as error:
        raise EnvError(
            f"The package mujoco cannot be imported ({' '.join(str(error).split())}): its files are incomplete, or "
            f"of two versions; pip uninstall mujoco mujoco-core, then {INSTALL}."
        ) from error
    if int(version.partition(".")[0]) < 4:
        raise EnvError(
            f"mujoco {version} is too old, version 4 is needed (a package mujoco 3 beside mujoco-core 4 hides it): "
            f"pip uninstall mujoco mujoco-core, then {INSTALL}."
        )
    return mujoco


@cache
def batch_class() -> Any:
    """`mujoco.batch.Batch`."""
    require_mujoco()
    return importlib.import_module("mujoco.batch").Batch
