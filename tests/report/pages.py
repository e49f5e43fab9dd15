"""What the pages of these tests hold."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ANCHORS = [
    "answer", "curves", "stress", "scores", "profiles", "comparison", "coverage", "videos", "health", "settings",
    "repeat",
]  # fmt: skip
EVIL = "<script>alert(1)</script>"


def evil(study: Path, folder: Path) -> Path:
    """The study, its tasks and methods, settings and versions with names that are scripts."""
    copy = Path(shutil.copytree(study, folder / "study"))
    rows = []
    for line in (copy / "results.jsonl").read_text().splitlines():
        row = json.loads(line)
        row |= {"task": f"{EVIL}task", "method": f"\"'{EVIL}{row['method']}", "processor": f"{EVIL}cpu"}
        row["settings"] |= {f"{EVIL}name": f"{EVIL}value", "env": f"{EVIL}env"}
        row["versions"] |= {"jostle": f"{EVIL}version"}
        rows.append(json.dumps(row))
        told = copy / row["folder"] / "doctor.json"
        told.write_text(told.read_text().replace('"finding": "', f'"finding": "{EVIL}'))
    (copy / "results.jsonl").write_text("\n".join(rows) + "\n")
    (copy / "study.yaml").write_text(f"name: {EVIL}\n")
    return copy


class Reader(HTMLParser):
    """Elements and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def words(path: Path) -> str:
    """What can be read on a page, spaces made one."""
    return " ".join(" ".join(Reader(path.read_text(encoding="utf-8")).text).split())


def opened(context: Any, path: Path) -> Any:
    found = context.new_page()
    found.said, found.asked = [], []
    found.on("console", lambda message: found.said.append(message.text))
    found.on("pageerror", lambda error: found.said.append(str(error)))
    found.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))
    found.on("request", lambda request: found.asked.append(request.url))
    found.goto(path.as_uri())
    return found
