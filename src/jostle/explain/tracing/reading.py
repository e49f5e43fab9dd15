"""A trace read back, piece by piece as it is asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.errors import CheckpointError, ConfigError, closest
from jostle.explain.tracing.fingerprint import fingerprint
from jostle.explain.tracing.format import DESCRIPTION, PIECE, Description, TracedEpisode
from jostle.view import PolicyView

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Steps:
    """B steps, with all that it takes to go through the policy again as it did then.

    Attributes:
        obs: observations, an array or a dictionary of them.
        state: recurrent state before each; None of a feed-forward policy.
        draw: slots of noise; None: without noise.
        mask: legal actions; None where the environment tells none.
        action: as the environment took them; None: not known.
        rows: places in the trace; None of observations that are no trace's.
        condition, episode, step: where they are from.
        origin: the trace that they are from.
    """

    obs: Any
    state: Float[Tensor, "S B H"] | None = None
    draw: Int[Tensor, "B"] | None = None
    mask: Bool[np.ndarray, "B P"] | None = None
    action: Array | None = None
    rows: Int[np.ndarray, "B"] | None = None
    condition: tuple[str, ...] = ()
    episode: Int[np.ndarray, "B"] | None = None
    step: Int[np.ndarray, "B"] | None = None
    origin: "Trace | None" = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.obs.values())) if isinstance(self.obs, dict) else self.obs)

    def labels(self) -> list[str]:
        """A name for each, for figures."""
        if self.episode is None or self.step is None:
            return [f"observation {i}" for i in range(len(self))]
        named = len(set(self.condition)) > 1
        places = zip(self.condition, self.episode, self.step, strict=True)
        return [f"{f'{c}, ' if named else ''}episode {e}, step {s}" for c, e, s in places]


class Trace:
    """Recorded episodes. Rows are ordered by episode, then by step, and read from the disk when they are asked for.

    Attributes:
        folder: where it lies.
        about: the description.
    """

    def __init__(self, folder: Path, about: Description) -> None:
        self.folder, self.about = folder, about
        self._ends = np.cumsum(about.pieces)
        self._at: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return int(sum(self.about.pieces))

    def __repr__(self) -> str:
        return f"Trace({self.about.policy} in {self.about.env}: {len(self.episodes)} episodes, {len(self):,} steps)"

    @property
    def episodes(self) -> list[TracedEpisode]:
        """The episodes."""
        return self.about.episodes

    @property
    def columns(self) -> list[str]:
        """What there is of each step."""
        return list(self.about.columns)

    @property
    def objects(self) -> list[str]:
        """Names of the objects whose pixels are known."""
        return [name.removeprefix("object.") for name in self.columns if name.startswith("object.")]

    def column(self, name: str, rows: Sequence[int] | Int[np.ndarray, "B"] | None = None) -> Array:
        """One column [B, …]; ``rows`` None: all of them.

        Raises:
            ConfigError: there is no such column, or no such row.
        """
        self._require(name)
        at = self._order if rows is None else self._order[self._checked(rows)]
        return self._raw(name, at)

    def rows(self, *, condition: str | None = None, episode: int | None = None) -> Int[np.ndarray, "B"]:
        """The rows of a condition, or of an episode.

        Raises:
            ConfigError: there is no such condition or episode.
        """
        keep = np.ones(len(self), np.bool_)
        if condition is not None:
            if condition not in self.about.conditions:
                raise ConfigError(
                    f"the trace has no condition '{condition}'; {closest(condition, self.about.conditions)}"
                )
            of = np.array([e.condition == condition for e in self.episodes])
            keep &= of[self.episode]
        if episode is not None:
            if not 0 <= episode < len(self.episodes):
                raise ConfigError(f"the trace has the episodes 0 to {len(self.episodes) - 1}, not {episode}.")
            keep &= self.episode == episode
        return np.flatnonzero(keep)

    def spread(self, count: int, *, condition: str | None = None) -> Int[np.ndarray, "B"]:
        """So many rows (or all, where there are fewer) at equal distances over the trace or a condition of it.

        Each from the middle of its share: from the ends, episodes of equal length would be seen at equal steps.
        """
        among = self.rows(condition=condition)
        many = min(count, len(among))
        places = ((np.arange(many) + 0.5) * len(among) / max(many, 1)).astype(np.int64)
        return np.asarray(among[places])

    def steps(self, rows: Sequence[int] | Int[np.ndarray, "B"] | None = None) -> Steps:
        """Steps with all that belongs to them."""
        rows = np.arange(len(self)) if rows is None else self._checked(rows)
        state = draw = mask = None
        if "state" in self.columns:
            state = torch.from_numpy(self.column("state", rows)).transpose(0, 1)
        if self.about.noise != "mean":
            draw = torch.from_numpy(self.column("draw", rows))
        if "mask" in self.columns:
            mask = self.column("mask", rows)
        episode = self.episode[rows]
        condition = tuple(self.episodes[e].condition for e in episode)
        action, step = self.column("action", rows), self.column("step", rows)
        return Steps(self.obs(rows), state, draw, mask, action, rows, condition, episode, step, self)

    def obs(self, rows: Sequence[int] | Int[np.ndarray, "B"] | None = None) -> Any:
        """Observations, an array or a dictionary of them."""
        if "obs" in self.columns:
            return self.column("obs", rows)
        names = [name for name in self.columns if name.startswith("obs.")]
        return {name.removeprefix("obs."): self.column(name, rows) for name in names}

    def activations(self, layer: str, rows: Sequence[int] | Int[np.ndarray, "B"] | None = None) -> Array:
        """What a layer put out [B, …].

        Raises:
            ConfigError: it was not recorded.
        """
        known = [name.removeprefix("act.") for name in self.columns if name.startswith("act.")]
        if layer not in known:
            hint = closest(layer, known) if known else "no layer was asked for"
            raise ConfigError(f"the trace has no outputs of the layer '{layer}' ({hint}): record it with layers=[…].")
        return self.column(f"act.{layer}", rows)

    def prepared(self, view: PolicyView) -> PolicyView:
        """A copy of a policy's view under the draws of this trace.

        Raises:
            ConfigError: the trace is another policy's.
        """
        if fingerprint(view) != self.about.fingerprint:
            raise ConfigError(
                f"{self.folder} is the trace of another policy ('{self.about.policy}' in {self.about.env}) than "
                f"'{view.name}', or of other weights of it: record one of this policy."
            )
        twin = view.clone()
        if self.about.slots:
            twin.redraw(self.about.slots, self.about.noise_seed)
        return twin

    @cached_property
    def episode(self) -> Int[np.ndarray, "B"]:
        """The episode of each row."""
        return self._raw("episode", self._order)

    @cached_property
    def _order(self) -> Int[np.ndarray, "B"]:
        everywhere = np.arange(len(self))
        episode, step = self._raw("episode", everywhere), self._raw("step", everywhere)
        return np.lexsort((step, episode))

    def _raw(self, name: str, at: Int[np.ndarray, "B"]) -> Array:
        """Of steps by their places on the disk."""
        kind, shape = self.about.columns[name]
        out = np.empty((len(at), *shape), kind)
        pieces = np.searchsorted(self._ends, at, "right")
        for piece in np.unique(pieces):
            here = np.flatnonzero(pieces == piece)
            first = int(self._ends[piece]) - self.about.pieces[piece]
            local = at[here] - first
            low, high = int(local.min()), int(local.max()) + 1
            out[here] = self._file(int(piece)).get_slice(name)[low:high][local - low]
        return out

    def _file(self, piece: int) -> Any:
        from safetensors import SafetensorError, safe_open

        if self._at is None or self._at[0] != piece:
            path = self.folder / PIECE.format(piece)
            try:
                self._at = piece, safe_open(path, framework="numpy")
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{path} cannot be read ({error}): record the trace again.") from error
        return self._at[1]

    def _require(self, name: str) -> None:
        if name not in self.columns:
            raise ConfigError(f"the trace has no column '{name}'; {closest(name, self.columns)}")

    def _checked(self, rows: Sequence[int] | Int[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
        at = np.asarray(rows, np.int64).reshape(-1)
        if len(at) and not (at.min() >= 0 and at.max() < len(self)):
            raise ConfigError(f"the trace has the rows 0 to {len(self) - 1}, not {int(at.min())} to {int(at.max())}.")
        return at


def read_trace(folder: str | Path) -> Trace:
    """The trace in a folder.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = Path(folder) / DESCRIPTION
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} holds no trace, or one that was not finished: record it again.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): record the trace again.") from error
    return Trace(Path(folder), Description.parse(data, path))
