"""What the pages of these tests hold."""

import json
import shutil
from pathlib import Path

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
