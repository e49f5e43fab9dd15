"""Recurrent layers under torch.compile: the loop over time stays out of the graphs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_loop_over_time_is_not_unrolled() -> None:
    """Unrolled, a graph would have some ten nodes for each step, and another graph would come with another length."""
    script = Path(__file__).parent / "compiled_recurrent.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["worst"] == 0
    assert len(found["nodes"]) == 4  # before and behind the layer, and the same for batches of any size
    assert max(found["nodes"]) < 12
