"""EnvPool's Procgen needs two Qt libraries. The wheel `PyQt5-Qt5` carries them, so no system Qt is needed."""

import ctypes
import importlib.util
import sys
from pathlib import Path

from jostle.errors import EnvError

_LIBRARIES = ("libicudata.so.56", "libicuuc.so.56", "libicui18n.so.56", "libQt5Core.so.5", "libQt5Gui.so.5")
_loaded: list[ctypes.CDLL] = []


def load_procgen() -> None:
    """Import `envpool.procgen` with the wheel's Qt, or the system's where the wheel is not installed.

    Raises:
        EnvError: Qt, or a system library that Qt needs, is missing; names what to install.
    """
    import envpool.procgen

    if getattr(envpool.procgen, "_PROCGEN_IMPORT_ERROR", None) is None:
        return
    _load_qt()
    importlib.reload(envpool.procgen)  # EnvPool imports every family at once, before Qt could be loaded
    if envpool.procgen._PROCGEN_IMPORT_ERROR is not None:
        raise EnvError(f'Procgen needs Qt ({envpool.procgen._PROCGEN_IMPORT_ERROR}): pip install "jostle[procgen]".')


def _load_qt() -> None:
    folder = _wheel_folder()
    if folder is None or not sys.platform.startswith("linux"):
        return
    for name in _LIBRARIES:
        try:
            _loaded.append(ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL))
        except OSError as error:
            raise EnvError(
                f"Procgen cannot load {name} ({error}): install the system packages libgl1 and libglib2.0-0 "
                "(apt install libgl1 libglib2.0-0)."
            ) from error


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec("PyQt5")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(location) / "Qt5" / "lib"
        if (folder / _LIBRARIES[-1]).is_file():
            return folder
    return None
