"""Input layers under torch.compile: whole graphs, the same numbers, and no new graph after a redraw."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from jostle.nn.augment import InputKind


@pytest.mark.parametrize(
    ("backend", "kinds"),
    [
        pytest.param("aot_eager", ("random-conv",), marks=pytest.mark.slow),
        pytest.param("inductor", get_args(InputKind), marks=pytest.mark.slow),
    ],
)
def test_compiled_input_layers(backend: str, kinds: tuple[str, ...]) -> None:
    script = Path(__file__).parent / "compiled_input.py"
    run = subprocess.run(
        [sys.executable, str(script), backend, *kinds],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [r["kind"] for r in results] == list(kinds)
    for result in results:
        assert result["worst"] < 1e-4, result
        assert result["first"] == 4, result  # a slot, a tensor of slots, mean, the same slots without flags
        assert result["redrawn"] == result["first"], result
