"""Random numbers by counter: a hash of (seed, counter, …), with no state that advances.

An environment whose draws are a function of (its seed, episode, time, purpose) owes nothing to its neighbours: its
trajectory does not depend on how many environments run beside it, and a snapshot needs no generator state.
The hash nests SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): counter c
picks the c-th output of the sequence that the key so far seeds, and that output is the next key.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt64

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_TO_UNIT = 2.0**-53


def random_bits(seed: int | np.ndarray[Any, Any], *counters: int | np.ndarray[Any, Any]) -> UInt64[np.ndarray, "..."]:
    """64 random bits for every element of the broadcast arguments (at least one dimension); all are integers >= 0."""
    key = np.atleast_1d(np.asarray(seed)).astype(np.uint64)
    for counter in counters:
        step = np.atleast_1d(np.asarray(counter)).astype(np.uint64) + np.uint64(1)
        key = _mix(key + step * _GAMMA)
    return key


def uniform(bits: UInt64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Doubles in [0, 1), from the upper 53 bits."""
    unit: Float64[np.ndarray, "*shape"] = (bits >> np.uint64(11)).astype(np.float64) * _TO_UNIT
    return unit


def open_uniform(bits: UInt64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Doubles in (0, 1), the middles of 2^52 equal cells: a quantile of one is never an end of an open range."""
    unit: Float64[np.ndarray, "*shape"] = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return unit


def integers(bits: UInt64[np.ndarray, "*shape"], high: int) -> Int64[np.ndarray, "*shape"]:
    """Integers in [0, high). The remainder's bias is below high / 2^64."""
    return (bits % np.uint64(high)).astype(np.int64)


def normal(bits: UInt64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Standard normal numbers, by the Box–Muller transform of two uniform ones made from each word."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(bits)))
    value: Float64[np.ndarray, "*shape"] = radius * np.cos(2.0 * np.pi * uniform(_mix(bits + _GAMMA)))
    return value


def _mix(z: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """SplitMix64's output function: a bijection that avalanches."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64[np.ndarray, "*shape"] = z ^ (z >> np.uint64(31))
    return mixed
