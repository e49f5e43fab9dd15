"""The files of a trace: a description in JSON, and the steps in pieces, each a safetensors file.

| column | of each step |
|---|---|
| ``obs``, or ``obs.KEY`` of a dictionary | what the policy saw |
| ``state`` [S, H] | the recurrent state before it |
| ``draw`` | the slot of noise that it went through, −1: none |
| ``out.logits``, ``out.mean``, ``out.std``, ``out.q``, ``out.value`` | what came out |
| ``act.LAYER`` | what a layer put out |
| ``mask`` | legal actions, as the environment told them |
| ``action`` | as the environment took it |
| ``reward``, ``terminated``, ``truncated`` | what it answered |
| ``object.NAME`` [H, W] | the pixels of an object |
| ``episode``, ``step`` | which episode of the trace, and the place in it |
"""

import math
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError, ConfigError

VERSION = 1
DESCRIPTION = "trace.json"
PIECE = "steps-{:06d}.safetensors"
PIECES = "steps-*.safetensors"
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class TracedEpisode:
    """One episode of a trace.

    Attributes:
        condition: by name.
        env: which of the environments that were stepped together played it.
        ret, length: the sum of its rewards, and its steps, as far as they were recorded.
        cut: it was left before its end.
        draw: the slot of noise, −1 for none.
        domain: the draw of the domain, where the environment tells it.
        level_seed, theme: the game, where the environment tells it.
    """

    condition: str
    env: int
    ret: float
    length: int
    cut: bool
    draw: int = -1
    domain: dict[str, float] = field(default_factory=dict)
    level_seed: int | None = None
    theme: int | None = None


@dataclass(frozen=True)
class Description:
    """What stands in ``trace.json``.

    Attributes:
        policy, fingerprint: whose trace it is: its name, and what its weights hash to.
        env, env_options: where it was played; the options of a condition are laid over these.
        conditions: name -> options over those.
        noise, slots, noise_seed: the mode, and the draws that `jostle.view.PolicyView.redraw` gives again.
        actions, seed: as asked for.
        layers: whose outputs were kept.
        columns: name -> type and shape of one step's.
        pieces: steps in each file.
        episodes: in the order of the column ``episode``.
        names: of the numbers of an observation, by its parts, where the environment tells them.
    """

    policy: str
    fingerprint: str
    env: str
    env_options: dict[str, Any]
    conditions: dict[str, dict[str, Any]]
    noise: str
    slots: int
    noise_seed: int
    actions: str
    seed: int
    layers: list[str]
    columns: dict[str, tuple[str, tuple[int, ...]]]
    pieces: list[int]
    episodes: list[TracedEpisode]
    names: dict[str, list[str]] = field(default_factory=dict)
    version: int = VERSION

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def parse(cls, data: Any, path: Path) -> "Description":
        """From plain data.

        Raises:
            CheckpointError: it is none, or of another version.
        """
        try:
            if data["version"] != VERSION:
                raise CheckpointError(
                    f"{path} is of version {data['version']} and this one reads {VERSION}: record the trace again."
                )
            columns = {name: (str(kind), tuple(shape)) for name, (kind, shape) in data["columns"].items()}
            episodes = [TracedEpisode(**episode) for episode in data["episodes"]]
            return cls(**{**data, "columns": columns, "episodes": episodes})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} describes no trace ({error}): record it again.") from error


def size_of(text: str | float) -> int:
    """Bytes, from a number or a text such as ``500MB``.

    >>> size_of("1.5GB")
    1500000000

    Raises:
        ConfigError: it is neither.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?B)?\s*", str(text))
    if match is None:
        raise ConfigError(f"the size '{text}' cannot be read: write it as 500MB or 2GB.")
    return int(float(match[1]) * _UNITS[match[2] or "B"])


def shown_size(size: float) -> str:
    """Bytes for people.

    >>> shown_size(57_200_000)
    '57 MB'
    """
    power = min(4, int(math.log10(max(size, 1)) // 3))
    number = size / 1000**power
    return (
        f"{number:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
        if number < 10 and power
        else (f"{number:.0f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}")
    )
