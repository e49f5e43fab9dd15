"""What a wheel says of itself: a page without links that lead nowhere."""

import importlib.util
import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = r"\]\(([^)\s]+)\)"


def _setup() -> Any:
    spec = importlib.util.spec_from_file_location("jostle_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_wheel_has_no_relative_links(tmp_path: Path) -> None:
    """Of the metadata that setuptools makes for a wheel, from the files that it makes them of."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "src" / "jostle").mkdir(parents=True)
    (tmp_path / "src" / "jostle" / "__init__.py").touch()
    code = "from setuptools.build_meta import prepare_metadata_for_build_wheel as make; print(make('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    folder = tmp_path / done.stdout.split()[-1]
    said = message_from_string((folder / "METADATA").read_text(encoding="utf-8"))
    page = str(said.get_payload())
    assert said["Description-Content-Type"] == "text/markdown"
    assert len(page) > 3000
    assert [target for target in re.findall(LINK, page) if not target.startswith("https://")] == []
    assert "Random Network Distillation" in page


def test_with_an_address_every_link_is_absolute() -> None:
    page = _setup().page(README, "https://forge.example/jostle/", "1.2.3")
    targets = re.findall(LINK, page)
    assert len(targets) == len(re.findall(LINK, README)) > 20
    assert all(target.startswith("https://forge.example/jostle/") for target in targets)
    assert "![The report of `make demo`](https://forge.example/jostle/raw/v1.2.3/docs/images/" in page
    assert "[NoisyNet](https://forge.example/jostle/blob/v1.2.3/docs/noisynet.md)" in page


def test_without_an_address_links_are_their_text() -> None:
    text = "See [it](docs/a.md#b), [that](https://x.example/y).\n\n![a plot](docs/a.png)\n\n[here](#below)"
    assert _setup().page(text, None, "1") == "See it, [that](https://x.example/y).\n\n[here](#below)"
