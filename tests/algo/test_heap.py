"""Memory that is kept: large tensors made again and again cause no page faults."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from jostle.algo.heap import keep_heap
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
first = faults()
assert keep_heap()
torch.ones(12_000_000)
kept = min(faults() for _ in range(5))  # a kernel that reclaims idle pages may take some back now and then
assert first > 10 * kept, "every tensor pays for its pages again"
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_large_tensors_do_not_fault_again() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
