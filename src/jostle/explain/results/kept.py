"""How results that are tables or curves are written: JSON for people, arrays for programs, a figure for the page."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from jostle.errors import ConfigError
from jostle.store.files import replace_file

if TYPE_CHECKING:
    import matplotlib.figure


def keep(
    folder: str | Path,
    name: str,
    data: Mapping[str, Any],
    plot: "Callable[[], matplotlib.figure.Figure]",
    arrays: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write ``NAME.json``, ``NAME.png`` and, where there are arrays, ``NAME.npz``, and return where they are.

    Raises:
        ConfigError: the folder cannot be written.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.json", folder / f"{name}.png"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(paths[0], json.dumps(plain_data(data), indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        plot().savefig(paths[1], dpi=150)
        if arrays:
            paths.append(folder / f"{name}.npz")
            held: Any = {key: np.asarray(value) for key, value in arrays.items()}
            np.savez_compressed(paths[2], **held)
    except OSError as error:
        raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
    return paths


def plain_data(value: Any) -> Any:
    """As JSON takes it: arrays as lists, numbers that are not finite as None."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return plain_data(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_data(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def file_name(text: str) -> str:
    """A name for files, of a title.

    >>> file_name("unit ablation, actor.1")
    'unit_ablation_actor.1'
    """
    kept = "".join(c if c.isalnum() or c in "._-" else " " for c in text.lower())
    return "_".join(kept.split())
