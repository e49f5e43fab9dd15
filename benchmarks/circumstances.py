"""What a measurement was made with, for the scripts beside this file."""

import os
import platform
from importlib.metadata import version
from typing import Any

from jostle.study.machine import processor


def circumstances(*packages: str) -> dict[str, Any]:
    """Versions and machine."""
    return {
        "versions": {name: version(name) for name in packages},
        "machine": f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
