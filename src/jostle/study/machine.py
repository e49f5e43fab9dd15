"""What a result was made with: the processor and the versions of what computes."""

import importlib.metadata
import platform
from pathlib import Path


def processor() -> str:
    """Its name, where the system tells; else its kind."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8", errors="replace").splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of jostle and the two libraries that compute."""
    return {name: importlib.metadata.version(name) for name in ("jostle", "torch", "numpy")}
