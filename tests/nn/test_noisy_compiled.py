"""NoisyLinear under torch.compile: whole graphs, the same numbers, and no new graph after a redraw."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_layers(backend: str) -> None:
    script = Path(__file__).parent / "compiled_noise.py"
    run = subprocess.run(
        [sys.executable, str(script), backend],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [r["kind"] for r in results] == ["factorised", "independent"]
    for result in results:
        assert result["worst"] < 1e-5
        assert result["first"] == 4  # a slot, a tensor of slots, mean, folded
        assert result["redrawn"] == result["first"]
        assert set(result["slots"]) == {result["first"]}
