"""A log: recorded transitions of one system, in a plain file that anybody's robot can write."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.errors import ConfigError

ARRAYS = ("obs", "action", "next_obs", "episode")
"""What a file must hold; `state` and `env` may be there too."""


@dataclass(frozen=True)
class Log:
    """T transitions, in the order in which they were made, one episode after the other.

    On disk it is NumPy's ``.npz`` with these names: `np.savez("log.npz", obs=…, action=…, next_obs=…, episode=…)`. No
    pickle is written or read.

    Args:
        obs, next_obs: before and after each action.
        action: [T] of discrete ones, [T, A] of others.
        episode: a number for each episode; rows of one that follow each other follow each other in time.
        state: the full state before each action, where a simulator can tell it (`Simulated.read_states`); None: none.
        env: the environment's id; empty: nobody says.
    """

    obs: Float64[np.ndarray, "T D"]
    action: np.ndarray[Any, Any]
    next_obs: Float64[np.ndarray, "T D"]
    episode: Int64[np.ndarray, "T"]
    state: Float64[np.ndarray, "T S"] | None = None
    env: str = ""

    def __len__(self) -> int:
        return len(self.obs)

    def save(self, path: str | Path) -> Path:
        """Write it; the numbers as they are, observations as float32 where that loses nothing.

        Raises:
            ConfigError: the file cannot be written.
        """
        path = Path(path)
        arrays: dict[str, Any] = {"obs": _small(self.obs), "action": self.action, "next_obs": _small(self.next_obs)}
        arrays |= {"episode": self.episode, "env": np.array(self.env)}
        if self.state is not None:
            arrays["state"] = self.state
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.getvalue())
        except OSError as error:
            raise ConfigError(f"cannot write {path} ({error.strerror}): choose another file.") from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Log":
        """Read it.

        Raises:
            ConfigError: there is no such file, it is no log, or what it holds cannot be.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise ConfigError(
                f"the log {path} cannot be read ({error.strerror or 'it is no .npz'}): give the path of a .npz file."
            ) from error
        except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise ConfigError(
                f"the log {path} is no .npz of plain arrays ({' '.join(str(error).split())}): write it with np.savez."
            ) from error
        return cls.of(arrays, f"the log {path}")

    @classmethod
    def of(cls, arrays: dict[str, Any], where: str = "the log") -> "Log":
        """A log of arrays, checked.

        Raises:
            ConfigError: one is missing, has another length or another type, or holds what is no number.
        """
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise ConfigError(f"{where} has no array '{missing[0]}': it needs {', '.join(ARRAYS)}.")
        count = len(np.atleast_1d(arrays["obs"]))
        numbers: dict[str, np.ndarray[Any, Any]] = {}
        for name in (*ARRAYS, "state"):
            if name not in arrays:
                continue
            value = np.asarray(arrays[name])
            if value.dtype.kind not in "biuf" or not value.ndim:
                raise ConfigError(
                    f"'{name}' of {where} is {value.dtype} of shape {value.shape}: give an array of numbers."
                )
            if len(value) != count:
                raise ConfigError(
                    f"'{name}' of {where} has {len(value)} rows, and obs {count}: one for each transition."
                )
            if not np.isfinite(value).all():
                row = int(np.argwhere(~np.isfinite(value))[0][0])
                raise ConfigError(f"'{name}' of {where} is not finite in row {row} ({value[row]}): leave that row out.")
            numbers[name] = value
        if numbers["obs"].ndim != 2 or numbers["obs"].shape != numbers["next_obs"].shape:
            raise ConfigError(
                f"{where} has obs of shape {numbers['obs'].shape} and next_obs of {numbers['next_obs'].shape}: both "
                "must be [T, D], vectors of numbers."
            )
        state = numbers.get("state")
        return cls(
            numbers["obs"].astype(np.float64), numbers["action"], numbers["next_obs"].astype(np.float64),
            numbers["episode"].astype(np.int64), None if state is None else state.astype(np.float64),
            str(arrays.get("env", "")),
        )  # fmt: skip

    def windows(self, steps: int) -> Int64[np.ndarray, "W H"]:
        """Rows of as many windows of `steps` transitions as fit into the episodes, none of which overlap."""
        starts = np.flatnonzero(np.diff(self.episode, prepend=self.episode[:1] - 1))
        lengths = np.diff(np.append(starts, len(self)))
        first = [s + steps * np.arange(n // steps) for s, n in zip(starts, lengths, strict=True)]
        rows = np.concatenate(first) if first else np.zeros(0, np.int64)
        windows: Int64[np.ndarray, "W H"] = rows[:, None] + np.arange(steps)
        return windows


def _small(values: Float64[np.ndarray, "T D"]) -> np.ndarray[Any, Any]:
    single = values.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), values) else values
