"""Activations in which it is known what there is."""

from typing import Any

import numpy as np

from jostle.explain.activations import Activations


def made(
    values: np.ndarray[Any, Any], episode: Any, *, condition: Any = None, layer: str = "layer", **draws: Any
) -> Activations:
    episode = np.asarray(episode, np.int64)
    first = np.searchsorted(episode, np.unique(episode))
    step = np.arange(len(episode)) - np.repeat(first, np.bincount(episode)[np.unique(episode)])
    names = ("all",) * len(episode) if condition is None else tuple(condition)
    told = {name: np.asarray(v, np.float64) for name, v in draws.items()}
    action = (values[:, 0] > 0).astype(np.int64)
    return Activations(
        "policy", layer, np.asarray(values, np.float64), episode, step, names, told, action, values[:, 0]
    )
