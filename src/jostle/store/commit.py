"""The commit of the folder that a run is started in: what code it was, without any path."""

import os
import subprocess


def working_commit() -> dict[str, str | bool] | None:
    """``{"commit": hash, "dirty": changed since}`` of the working folder; None outside of a Git repository."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return None
    return {"commit": head, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
