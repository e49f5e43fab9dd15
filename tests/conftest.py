"""Every jaxtyping annotation in jostle is checked at run time in the tests."""

from jaxtyping import install_import_hook

with install_import_hook("jostle", "beartype.beartype"):
    import jostle

import signal

import pytest
import torch

# Whoever started the tests in the background has some of these ignored, which programs inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores; small networks are fastest on one thread each."""
    torch.set_num_threads(1)


__all__ = ["jostle"]
