"""A run: one folder that standard tools can read.

config.yaml                   the resolved configuration
run.json                      versions, seed, command, time of creation
metrics.jsonl, tensorboard/   written by `jostle.store.metrics`
initial/                      a checkpoint of the first weights, never removed
best/step_000000012345/       the best checkpoint, where evaluations have told which (`jostle.store.best`)
checkpoints/step_000000012345/
"""

import importlib.metadata
import json
import os
import platform
import sys
import warnings
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from jostle.errors import CheckpointError, ConfigError
from jostle.store.checkpoint import load_checkpoint, save_checkpoint
from jostle.store.files import STAGING, remove_folder, remove_leftovers, remove_staging, replace_file, sync_folder
from jostle.store.lock import Lock
from jostle.store.sums import verify
from jostle.yaml_text import dump_yaml, parse_yaml, plain

FORMAT = 1
_PACKAGES = ("jostle", "torch", "numpy", "gymnasium", "envpool")
_OWN = ("run.json", "config.yaml", "metrics.jsonl", "tensorboard", "initial", "best", "checkpoints")


class Run:
    """A run folder. Make one with `Run.create`, or `Run.open` an existing one.

    path: the folder.
    config: the resolved configuration, as in config.yaml.
    info: what run.json holds.
    keep: how many checkpoints `save` leaves.
    """

    def __init__(self, path: Path, config: dict[str, Any], info: dict[str, Any], lock: Lock | None, keep: int) -> None:
        self.path = path
        self.config = config
        self.info = info
        self.keep = keep
        self._lock = lock
        # The checkpoint that this process loaded or saved last: only its segments are known to be our own history.
        self._previous: Path | None = None

    @classmethod
    def create(
        cls, path: Path, config: dict[str, Any], info: dict[str, Any], keep: int = 2, *, again: bool = False
    ) -> "Run":
        """Start a run in a new folder, and lock it.

        config: plain data, what YAML can express; NumPy's scalars become Python's.
        info: plain data for run.json, such as {"seed": 1, "command": "jostle train …"}; versions, platform and time
            are added.
        again: what a run that never began has left in the folder (`unstarted`) is removed first.
        Raises: CheckpointError if the folder holds a run already or cannot be written; ConfigError if config or info
            are no plain data.
        """
        config_text, info = _config_text(config), _run_info(info)
        info_text = json.dumps(info, indent=1) + "\n"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {path} ({error.strerror}): choose another") from error
        if not (again and cls.unstarted(path)):
            _refuse_a_run(path)  # before the lock: its file would make somebody's folder look like a run's
        lock = Lock(path / ".lock")
        try:
            if again and cls.unstarted(path):
                remove_leftovers(path, reversed(_OWN))  # run.json last: killed here, the run is still unstarted
            _refuse_a_run(path)
            remove_staging(path)
            replace_file(path / "config.yaml", config_text)
            replace_file(path / "run.json", info_text)
            _tell_of_power_cuts(path)
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise CheckpointError(f"cannot write in {path} ({error.strerror}): choose another folder") from error
            raise
        return cls(path, parse_yaml(config_text), info, lock, keep)

    @staticmethod
    def unstarted(path: Path) -> bool:
        """Whether the folder holds no more of a run than one leaves that was killed before its first good checkpoint.

        Nothing that cost time to learn lies there: no good checkpoint, no checkpoint of a later step, however damaged,
        no line of metrics. Files that are no run's, such as a log, may lie beside it: beginning again leaves them.
        """
        try:
            names = {entry.name for entry in path.iterdir()}
            steps = {entry.name for entry in (path / "checkpoints").glob("*") if not entry.name.startswith(STAGING)}
            lines = (path / "metrics.jsonl").stat().st_size if "metrics.jsonl" in names else 0
        except OSError:
            return False
        if "run.json" not in names:  # it is written after the lock and config.yaml, before all else
            return ".lock" in names and names.isdisjoint(set(_OWN) - {"config.yaml"})
        try:
            _read_info(path)
        except CheckpointError:
            return False
        return lines == 0 and steps <= {_step(0)} and not any(_good(path / "checkpoints" / name) for name in steps)

    @staticmethod
    def unstarted_config(path: Path) -> dict[str, Any] | None:
        """config.yaml of a run that never began (`unstarted`); None where it was killed before that was written."""
        return _read_config(path) if (path / "config.yaml").exists() else None

    @classmethod
    def open(cls, path: Path, *, write: bool = False, keep: int = 2) -> "Run":
        """Open an existing run, to read it, or (`write`) to go on with it.

        To write, the run is locked, and what a killed writer left half done is removed.

        Raises: CheckpointError if `path` is no run, cannot be read, or is being written to by another process.
        """
        info = _read_info(path)
        config = _read_config(path)
        lock = None
        if write:
            lock = Lock(path / ".lock")
            remove_staging(path)
            remove_staging(path / "checkpoints")
            _tell_of_power_cuts(path)
        return cls(path, config, info, lock, keep)

    def close(self) -> None:
        """Release the lock. A killed process releases it as well."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def note(self, **values: Any) -> None:
        """Add to run.json, or replace what stands there under these names. Readers see the old file or the new one.

        Raises: CheckpointError if it cannot be written.
        """
        self._must_write()
        self.info = {**self.info, **values}
        self._replace("run.json", json.dumps(self.info, indent=1, allow_nan=False) + "\n")

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Write another config.yaml. Raises: CheckpointError if it cannot be written; ConfigError: no plain data."""
        self._must_write()
        text = _config_text(config)
        self._replace("config.yaml", text)
        self.config = parse_yaml(text)

    def _replace(self, name: str, text: str) -> None:
        try:
            replace_file(self.path / name, text)
        except OSError as error:
            raise CheckpointError(f"cannot write {self.path / name} ({error.strerror}): make room") from error

    def save_initial(self, state: dict[str, Any]) -> Path:
        """Keep the first weights for good. Does nothing where they lie there already, unharmed."""
        self._must_write()
        folder = self.path / "initial"
        if not _good(folder):
            if folder.exists():
                remove_folder(folder)
            save_checkpoint(folder, state, {"step": 0})
        return folder

    def load_initial(self) -> dict[str, Any]:
        """The first weights. Raises: CheckpointError if they are missing or damaged."""
        return load_checkpoint(self.path / "initial")[0]

    def checkpoints(self) -> list[Path]:
        """All checkpoint folders, the oldest first; they may be damaged."""
        return sorted((self.path / "checkpoints").glob("step_*"))

    def save(
        self, step: int, state: dict[str, Any], meta: dict[str, Any] | None = None, *, finite: Collection[str] = ()
    ) -> Path:
        """Save a checkpoint at environment step `step`, then remove all but the newest `keep`.

        A good checkpoint of the same step is left as it is. A damaged one is replaced, and damaged ones of later
        steps, from which this run cannot have been resumed, are removed. See `save_checkpoint` for state, meta and
        finite; "step" is added to meta.
        Raises: CheckpointError if it cannot be written, or if there is a good checkpoint of a later step.
        """
        self._must_write()
        folder = self.path / "checkpoints" / _step(step)
        for path in self.checkpoints():
            if path.name >= folder.name and not _good(path):
                remove_folder(path)
            elif path.name > folder.name:
                raise CheckpointError(f"cannot save step {step}: {path} is newer and good, so resume from that one")
        if not folder.exists():
            save_checkpoint(folder, state, {**(meta or {}), "step": step}, finite=finite, previous=self._previous)
        self._previous = folder
        for path in self.checkpoints()[: -self.keep]:
            remove_folder(path)
        return folder

    def newest(
        self, *, finite: Collection[str] = (), without: Collection[str] = ()
    ) -> tuple[Path, dict[str, Any], dict[str, Any]]:
        """The newest good checkpoint: its folder, state and meta data. Damaged ones are skipped with a warning.

        See `load_checkpoint` for finite and without.

        Raises: CheckpointError if there is none.
        """
        for path in reversed(self.checkpoints()):
            try:
                state, meta = load_checkpoint(path, finite=finite, without=without)
            except CheckpointError as error:
                warnings.warn(f"skipping a checkpoint: {error}", stacklevel=2)
            else:
                self._previous = path
                return path, state, meta
        raise CheckpointError(f"the run {self.path} has no good checkpoint: start it again in another folder")

    def _must_write(self) -> None:
        if self._lock is None:
            raise CheckpointError(f"the run {self.path} is open for reading: open it with write=True to save")


def _tell_of_power_cuts(path: Path) -> None:
    if sys.platform != "win32" and not sync_folder(path):
        warnings.warn(
            f"the file system of {path} cannot force folders to the disk: checkpoints survive a kill, but the newest "
            "may be lost in a power cut",
            stacklevel=3,
        )


def _refuse_a_run(path: Path) -> None:
    found = [name for name in _OWN if (path / name).exists()]
    if found and "run.json" not in found:
        raise CheckpointError(
            f"{path} holds a run already, or what is left of one ({', '.join(found)}): choose another folder"
        )
    if found:
        raise CheckpointError(f"{path} holds a run already: resume it, or choose another folder")


def _step(step: int) -> str:
    return f"step_{step:012d}"


def _good(folder: Path) -> bool:
    try:
        verify(folder)
    except CheckpointError:
        return False
    return True


def _config_text(config: dict[str, Any]) -> str:
    try:
        return dump_yaml(config)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"the configuration holds what YAML cannot express ({error.args[-1]!r}): "
            "use numbers, strings, lists and dicts"
        ) from error


def _run_info(info: dict[str, Any]) -> dict[str, Any]:
    """`info` with what a reader needs to run it again; neither the host's name nor any path."""
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    whole = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **plain(info),
        "versions": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }
    try:
        json.dumps(whole, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the run's information is no plain data ({error}): use numbers and strings") from error
    return whole


def _read_info(path: Path) -> dict[str, Any]:
    """run.json; every way in which `path` may be no run ends in one sentence."""
    if not path.is_dir():
        raise CheckpointError(f"there is no folder {path}: give the folder of a run")
    file = path / "run.json"
    if not file.is_file():
        inside = sorted(p.parent.name for p in path.glob("*/run.json"))
        hint = f"it holds the runs {', '.join(inside[:8])}: give one of them" if inside else "give the folder of a run"
        raise CheckpointError(f"{path} is no run, for it has no run.json; {hint}")
    try:
        info = json.loads(file.read_bytes())
        written = _checked_info(info)["format"]
    except (OSError, ValueError, RecursionError) as error:
        what = error.strerror if isinstance(error, OSError) else f"it is not what jostle wrote: {error}"
        raise CheckpointError(f"{file} cannot be read ({what}): put back the file that the run began with") from error
    if written > FORMAT:
        raise CheckpointError(
            f"the run {path} has format {written}, and this version of jostle reads up to {FORMAT}: upgrade jostle"
        )
    whole: dict[str, Any] = info
    return whole


def _checked_info(info: Any) -> dict[str, Any]:
    """Raises: ValueError where a part that every run.json holds is missing or of another type."""
    if not isinstance(info, dict):
        raise ValueError("no mapping")
    if type(info.get("format")) is not int or info["format"] < 1:
        raise ValueError(f"format {str(info.get('format'))[:20]!r}")
    for name, kind in (("created", str), ("versions", dict), ("command", str), ("python", str), ("platform", str)):
        if name in info and not isinstance(info[name], kind):
            raise ValueError(f"{name} is no {'mapping' if kind is dict else 'text'}")
    return info


def _read_config(path: Path) -> dict[str, Any]:
    file = path / "config.yaml"
    try:
        config = parse_yaml(file.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        what = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise CheckpointError(f"{file} cannot be read ({what}): put back the file that the run began with") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} holds no configuration: put back the file that the run began with")
    return config
