"""What the page about reports prints can be run."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "report.md"


def test_python_runs(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"__name__": "docs"}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        exec(block, known)
    assert (tmp_path / "runs" / "report.html").exists()
    assert (tmp_path / "runs" / "none-s1" / "doctor.json").exists()
