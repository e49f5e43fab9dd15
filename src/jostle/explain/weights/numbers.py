"""Sizes and moments of weights, filter by filter and layer by layer, and how far they have gone from their start."""

from typing import Any

import numpy as np
from jaxtyping import Float

from jostle.explain.weights.start import initial_weights
from jostle.explain.weights.tensors import WeightTensor, weight_tensors
from jostle.view import PolicyView

MOMENTS = ("L1", "L2", "mean", "sd", "skew", "kurtosis")
AGAINST_START = ("distance", "relative distance", "cosine")


def moments(values: Float[np.ndarray, "O I"]) -> dict[str, Float[np.ndarray, "O"]]:
    """Of each row: Σ|w|, √Σw², mean, deviation, skewness m₃ / m₂^1.5 and excess kurtosis m₄ / m₂² − 3.

    Moments are those of the sample (divisor I); of a row in which nothing varies skewness and kurtosis are NaN.
    """
    mean = values.mean(1)
    centred = values - mean[:, None]
    second = (centred**2).mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        skew = (centred**3).mean(1) / second**1.5
        kurtosis = (centred**4).mean(1) / second**2 - 3
    still = second <= 1e-24 * np.maximum((values**2).mean(1), 1e-300)
    skew, kurtosis = np.where(still, np.nan, skew), np.where(still, np.nan, kurtosis)
    numbers = (np.abs(values).sum(1), np.sqrt((values**2).sum(1)), mean, np.sqrt(second), skew, kurtosis)
    return dict(zip(MOMENTS, numbers, strict=True))


def from_start(values: Float[np.ndarray, "O I"], start: Float[np.ndarray, "O I"]) -> dict[str, Float[np.ndarray, "O"]]:
    """Of each row: ‖w − w⁰‖, the same over ‖w⁰‖, and the cosine of the angle between the two."""
    far, before, now = (np.linalg.norm(each, axis=1) for each in (values - start, start, values))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (values * start).sum(1) / (before * now)
        relative = far / before
    return dict(zip(AGAINST_START, (far, relative, cosine), strict=True))


def filter_table(tensor: WeightTensor, start: WeightTensor | None = None) -> dict[str, Float[np.ndarray, "O"]]:
    """`moments` of every filter, with `from_start` where the start is known."""
    found = moments(tensor.flat)
    return found if start is None else found | from_start(tensor.flat, start.flat)


def layer_numbers(tensor: WeightTensor, start: WeightTensor | None = None) -> dict[str, float]:
    """The same of all of a layer's weights together."""
    whole = tensor.flat.reshape(1, -1)
    found = moments(whole)
    if start is not None:
        found |= from_start(whole, start.flat.reshape(1, -1))
    return {name: float(values[0]) for name, values in found.items()}


def numbers_of(view: PolicyView, initial: Any = None) -> dict[str, dict[str, float]]:
    """Parameter -> number -> value, for every layer of a policy.

    Args:
        view: the policy.
        initial: first weights, as `initial_weights` takes them; None: without what is measured against them.
    """
    start = starts(view, initial)
    return {t.name: layer_numbers(t, start.get(t.name)) for t in weight_tensors(view.module)}


def starts(view: PolicyView, initial: Any) -> dict[str, WeightTensor]:
    """The first weights in the form of the present ones."""
    if initial is None:
        return {}
    values = initial_weights(initial)
    return {
        t.name: WeightTensor(t.name, t.layer, values[t.name].double().cpu().numpy().reshape(t.values.shape))
        for t in weight_tensors(view.module)
        if t.name in values and values[t.name].numel() == t.values.size
    }
