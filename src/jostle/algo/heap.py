"""Memory that is freed stays with the process, so that the next large tensor does not pay for its pages again."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_heap() -> bool:
    """Tell glibc's allocator to keep freed memory; elsewhere nothing happens.

    By default large blocks are mapped anew at every call and given back after it; where networks see pictures, the
    page faults cost a good part of the arithmetic. The process holds on to the most memory that it ever used at a time.

    Returns whether the allocator has agreed.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    return all(mallopt(option, value) == 1 for option, value in options.items())
