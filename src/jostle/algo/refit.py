"""A saved state for another number of environments: what each of them had of its own begins anew, all else goes on."""

from typing import Any

import torch
from torch import Tensor


def fit_noise(own: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """The saved state of a `Noise` with as many slots as its own state has; further ones are as they were made."""
    noise = {}
    for name, mine in own["noise"].items():
        theirs = saved["noise"].get(name)
        fits = theirs is not None and theirs.shape[1:] == mine.shape[1:]
        noise[name] = _first_rows(mine, theirs) if fits else theirs
    if noise.keys() != saved["noise"].keys():
        return saved
    return {**saved, "noise": noise}


def _first_rows(mine: Tensor, theirs: Tensor) -> Tensor:
    if len(mine) == len(theirs):
        return theirs
    rows, out = min(len(mine), len(theirs)), mine.clone()
    out[:rows] = theirs[:rows]
    return out


def fit_rows(own: Any, saved: Any, before: int, now: int) -> Any:
    """A saved state whose tensors with a row for each of ``before`` environments are ``own`` ones with ``now`` rows."""
    if isinstance(own, dict) and isinstance(saved, dict):
        return {key: fit_rows(own.get(key), value, before, now) for key, value in saved.items()}
    if isinstance(own, list) and isinstance(saved, list) and len(own) == len(saved):
        return [fit_rows(mine, theirs, before, now) for mine, theirs in zip(own, saved, strict=True)]
    if not (torch.is_tensor(own) and torch.is_tensor(saved) and own.dim() and saved.dim()):
        return saved
    per_env = (len(saved), len(own)) == (before, now) and saved.shape[1:] == own.shape[1:]
    return own if per_env and before != now else saved
