"""Which processor this is: on AMD's, Intel's MKL, by which PyTorch computes on x86, takes slow ways."""

from pathlib import Path


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


AMD = _is_amd()
