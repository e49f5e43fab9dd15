"""What a contestant of `ppo_speed.py` tells the referee after each of its iterations: a line through a pipe."""

import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

_pipe = open(int(os.environ["JOSTLE_TICKS"]), "w", buffering=1) if "JOSTLE_TICKS" in os.environ else None  # noqa: SIM115


def tick(steps: int, returns: Iterable[float] = ()) -> None:
    """Report environment steps so far, the time, the peak of memory, and the mean of the last hundred returns."""
    last = [float(r) for r in returns][-100:]
    mean = sum(last) / 100 if len(last) == 100 else math.nan
    if _pipe is None:
        print(f"tick: {steps} steps, {peak_memory() >> 20} MB, return {mean:.1f}", flush=True)
    else:
        _pipe.write(f"{steps} {time.monotonic()} {peak_memory()} {mean}\n")


def peak_memory() -> int:
    """Most bytes that this process ever held. (ru_maxrss would begin with the parent's.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
