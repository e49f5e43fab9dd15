"""The examples of docs/noise.md run as one program, from top to bottom."""

import re
import runpy
from pathlib import Path


def test_examples_run(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "noise.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    program = tmp_path / "noise_examples.py"
    program.write_text("\n".join(blocks), encoding="utf-8")
    runpy.run_path(str(program))
