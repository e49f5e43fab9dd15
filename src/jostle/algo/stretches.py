"""What run.json says of the stretches in which a run was trained, and of what changed between them."""

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jostle.store import Run


def begin_stretch(run: Run, step: int, device: str) -> None:
    """Note that training goes on from a step; a stretch that nobody has ended was killed."""
    stretches = _listed(run, "stretches")
    for stretch in stretches:
        if stretch.get("ended") is None and stretch.get("how") is None:
            stretch.update(to=step, how="killed")
    begun = {"from": step, "to": None, "started": now(), "ended": None, "how": None, "command": command()}
    run.note(device=device, finished=False, stretches=[*stretches, begun])


def end_stretch(run: Run, step: int, how: str, *, finished: bool) -> None:
    """Note how the stretch under way has ended."""
    stretches = _listed(run, "stretches")
    if stretches and stretches[-1].get("ended") is None:
        stretches[-1].update(to=step, ended=now(), how=how)
        run.note(finished=finished, stretches=stretches)


def record_change(run: Run, step: int, changed: dict[str, list[Any]]) -> None:
    """Note what is other from a step on, as ``{name: [before, after]}``; once, however often it is resumed there."""
    history = _listed(run, "history")
    if any(entry.get("step") == step and entry.get("changed") == changed for entry in history):
        return
    entry = {"step": step, "time": now(), "changed": changed, "command": command()}
    run.note(history=[*history, entry])


def command() -> str:
    """The command line that runs, without the path of its program."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _listed(run: Run, name: str) -> list[dict[str, Any]]:
    """A list of run.json, copied; runs of older versions have none."""
    found = run.info.get(name)
    return [dict(entry) for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
