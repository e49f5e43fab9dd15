"""`Maps`: a number for each pixel of some pictures, and how they are shown and kept."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Layout, Subject
from jostle.explain.results.distinctness import distinctness
from jostle.explain.results.similarity import spearman
from jostle.store.files import replace_file

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Maps:
    """What one technique finds at B steps.

    Attributes:
        method, target: what was asked, of which number.
        policy: its name.
        values: maps [B, H, W]; with signs where the technique has any.
        pictures: the newest frames.
        labels: a name for each step.
        signed: numbers below 0 mean something else than those above.
        numbers: further ones, of each step, such as the completeness error.
        settings: of the technique.
        failed: why the maps prove nothing, where a sanity check has found so; titles say it.
    """

    method: str
    target: str
    policy: str
    values: Float[np.ndarray, "B H W"]
    pictures: UInt8[np.ndarray, "B H W 3"]
    labels: list[str]
    signed: bool
    numbers: dict[str, Shaped[np.ndarray, "B ..."]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None

    @cached_property
    def null(self) -> Float[np.ndarray, "B H W"]:
        """The saliency of the pictures alone: see `jostle.explain.results.distinctness`."""
        return distinctness(self.pictures)

    @cached_property
    def like_null(self) -> Float[np.ndarray, "B"]:
        """Rank correlation of each map's absolute numbers with the saliency of the picture alone."""
        return np.array([spearman(np.abs(v), n) for v, n in zip(self.values, self.null, strict=True)])

    @property
    def title(self) -> str:
        """Method and number; and that it failed, where it did."""
        return f"{self.method}, {self.target}" + (f"\nFAILED: {self.failed}" if self.failed else "")

    def marked(self, failed: str | None) -> "Maps":
        """The same, found wanting."""
        return replace(self, failed=failed)

    def plot(self, *, columns: int = 4) -> "matplotlib.figure.Figure":
        """Each step's picture, the map over it, and the saliency of the picture alone beside it."""
        from jostle.explain.results.figures import plot_maps

        return plot_maps(self, columns=columns)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.npz`` (values and pictures), ``NAME.json`` and ``NAME.png``, and return where they are.

        Raises:
            ConfigError: the folder cannot be written.
        """
        folder, name = Path(folder), name or self.method.lower().replace(" ", "_").replace("×", "x")
        paths = [folder / f"{name}{ending}" for ending in (".npz", ".json", ".png")]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            arrays: Any = {"values": self.values, "pictures": self.pictures, "null": self.null, **self.numbers}
            np.savez_compressed(paths[0], **arrays)
            replace_file(paths[1], json.dumps(self.as_dict(), indent=1) + "\n")
            self.plot().savefig(paths[2], dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
        return paths

    def as_dict(self) -> dict[str, Any]:
        """Plain data without the maps themselves."""
        return {
            "method": self.method,
            "target": self.target,
            "policy": self.policy,
            "labels": self.labels,
            "failed": self.failed,
            "settings": self.settings,
            "rank correlation with the picture alone": _plain(self.like_null),
            "numbers": {key: _plain(value) for key, value in self.numbers.items()},
        }


def maps_of(subject: Subject, layout: Layout, method: str, values: Tensor, *, signed: bool, **more: Any) -> Maps:
    """Maps [B, H, W] of a subject's steps.

    Raises:
        ConfigError: a number is not finite.
    """
    array = values.detach().float().cpu().numpy()
    if not np.isfinite(array).all():
        raise ConfigError(
            f"the {method} maps of {subject.view.name} hold NaN or infinities: its weights do, or its "
            "network overflows."
        )
    pictures, labels = layout.rgb(subject.x), subject.steps.labels()
    return Maps(method, subject.target.name, subject.view.name, array, pictures, labels, signed, **more)


def _plain(values: np.ndarray) -> list[Any]:
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in np.asarray(values).tolist()]
