"""PPO with compile=True learns what the eager one learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_compiled_ppo_learns_the_same() -> None:
    script = Path(__file__).parent / "compiled_ppo.py"
    run = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout)
    assert result["graphs"] >= 3, "acting, and all outputs with and without gradients"
    assert result["worst"] <= 1e-5
    assert result["moved"] > 1e-2
