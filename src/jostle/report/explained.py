"""Explanations of agents, in the runs' folders and alone."""

from collections.abc import Sequence
from pathlib import Path

from jostle.errors import CheckpointError
from jostle.report.material import Explained, Run

FOLDER = "explain"
"""Where `jostle explain` writes, in a run's folder."""


def holds_explanation(folder: Path) -> bool:
    """Whether a folder is one that `jostle explain` has written."""
    return (folder / "summary.json").is_file() and (folder / "trace").is_dir()


def gather_explained(runs: Sequence[Run], folders: Sequence[Path], notes: list[str]) -> list[Explained]:
    """The explanations in the runs' folders, and lone ones, which are of their environment and policy."""
    there = [(run, run.folder / FOLDER) for run in runs if run.folder and holds_explanation(run.folder / FOLDER)]
    if not there and not folders:
        return []
    from jostle.explain.summary import read_summary  # late, for it needs torch, and most reports do not

    found = []
    for run, folder in [*there, *((None, folder) for folder in folders)]:
        try:
            summary = read_summary(folder)
        except CheckpointError as error:
            notes.append(f"{error}")
            continue
        if run is None:
            found.append(Explained(summary.env, summary.policy, "", summary))
        else:
            found.append(Explained(run.task, run.method, run.seed, summary))
    return found
