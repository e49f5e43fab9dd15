"""Every jaxtyping annotation in jostle is checked at run time in the tests."""

from jaxtyping import install_import_hook

with install_import_hook("jostle", "beartype.beartype"):
    import jostle

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two test processes share two cores; small networks are fastest on one thread each."""
    torch.set_num_threads(1)


__all__ = ["jostle"]
