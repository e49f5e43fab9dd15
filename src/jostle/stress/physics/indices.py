"""Sobol indices of noisy scores: how much of the variance each parameter explains, the luck of episodes taken off.

A score is y = f(x) + ε: x the parameters, ε the luck of an episode, which differs from episode to episode. f's variance
over the domain is shared out among the parameters. The estimators are those of Saltelli et al. 2010 ("Variance based
sensitivity analysis of model output", Computer Physics Communications 181, table 2, b and f; f is Jansen's), on points
A and B of a scrambled Sobol sequence and A_B^(i), which is A with the column of parameter i from B.

With E episodes a point, each with a seed of its own, a point's mean ȳ has the variance σ²(x)/E around f(x). That adds
σ²/E to every square of a mean or of a difference, and nothing to products of independent means. σ² is estimated within
the points (s², from E episodes) and subtracted, as in Clements, Geraci, Olson and Palmer 2024 ("Global Sensitivity
Analysis in Monte Carlo Radiation Transport", arXiv 2403.06106), who call it variance deconvolution:

    V     = var(ȳ_A, ȳ_B) − mean(s²_A, s²_B) / E
    V_i   = mean(ȳ_B (ȳ_ABi − ȳ_A))                                     needs no correction: the luck is independent
    VT_i  = ½ mean((ȳ_A − ȳ_ABi)²) − ½ (mean s²_A + mean s²_ABi) / E

S_i = V_i / V is what parameter i explains by itself, T_i = VT_i / V what it has a part in. Estimates may lie a little
below 0 or above 1, and are not cut off, for that would bias them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from jostle.errors import ConfigError
from jostle.scores import bootstrap
from jostle.scores.intervals import RESAMPLES, Interval

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Indices:
    """Of one score over one domain.

    Attributes:
        names: of the parameters, P.
        first: S_i, what each explains by itself.
        total: T_i, what each has a part in, alone or together with others.
        variance: V, of f over the domain.
        luck: σ², the mean variance of an episode's score within its point.
        mean: of the score over the domain.
        points, episodes: N and E.
    """

    names: tuple[str, ...]
    first: tuple[Interval, ...]
    total: tuple[Interval, ...]
    variance: Interval
    luck: float
    mean: float
    points: int
    episodes: int

    @property
    def certain(self) -> bool:
        """The score depends on the domain for certain; if not, there is nothing to share out."""
        return bool(self.variance.low > 0)

    @property
    def together(self) -> float:
        """What no parameter explains by itself: 1 − Σ S_i, the share of interactions."""
        return 1.0 - float(sum(each.point for each in self.first))

    @property
    def share_of_luck(self) -> float:
        """The share of luck in the variance of single episodes."""
        whole = self.luck + max(self.variance.point, 0.0)
        return self.luck / whole if whole > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain data, which `indices_from` reads."""
        return {
            "parameters": list(self.names),
            "first": [_plain(each) for each in self.first],
            "total": [_plain(each) for each in self.total],
            "variance": self.variance.as_dict(),
            "luck": self.luck,
            "mean": self.mean,
            "points": self.points,
            "episodes": self.episodes,
        }


def indices_from(data: Mapping[str, Any]) -> Indices:
    """What `Indices.as_dict` wrote."""
    first, total = (tuple(_interval(each) for each in data[key]) for key in ("first", "total"))
    rest = (data[key] for key in ("luck", "mean", "points", "episodes"))
    return Indices(tuple(data["parameters"]), first, total, _interval(data["variance"]), *rest)


def saltelli_points(
    count: int, parameters: int, seed: int = 0
) -> tuple[Float64[np.ndarray, "N P"], Float64[np.ndarray, "N P"]]:
    """A and B, in [0, 1): the two halves of a scrambled Sobol sequence (Owen's scrambling) of 2 P dimensions.

    Raises:
        ConfigError: the count is no power of two, for which alone the sequence is balanced.
    """
    if count < 2 or count & (count - 1):
        raise ConfigError(f"{count} points cannot be used: Sobol sequences are balanced at powers of two, such as 128.")
    from scipy.stats import qmc  # late, for it takes a while to import

    made = qmc.Sobol(2 * parameters, scramble=True, seed=np.random.default_rng(seed))
    both = np.asarray(made.random_base2(count.bit_length() - 1), np.float64)
    return both[:, :parameters], both[:, parameters:]


def mixed(a: Float64[np.ndarray, "N P"], b: Float64[np.ndarray, "N P"]) -> Float64[np.ndarray, "P N P"]:
    """A_B^(i) for each parameter i: A with column i from B."""
    found = np.repeat(a[None], a.shape[1], axis=0)
    for i in range(a.shape[1]):
        found[i, :, i] = b[:, i]
    return found


def sobol_indices(
    names: Sequence[str],
    a: Float64[np.ndarray, "N E"],
    b: Float64[np.ndarray, "N E"],
    ab: Float64[np.ndarray, "P N E"],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Indices:
    """First-order and total indices with percentile intervals from resampled points, E scores a point.

    With E = 1 no luck can be told from the rest, and the scores are taken as f itself. Where the variance is not
    certainly above 0, indices have no intervals, and are NaN where it is estimated as 0 or less.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    count, episodes = a.shape
    if b.shape != a.shape or ab.shape != (len(names), *a.shape):
        raise ConfigError(
            f"scores of shapes {list(a.shape)}, {list(b.shape)} and {list(ab.shape)} are not those of {len(names)} "
            "parameters: [N, E], [N, E] and [P, N, E] are wanted."
        )
    parts = _parts(a, b, ab)
    point = _shared(parts.mean(0), len(names))
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples) / count
    drawn = _shared(weights @ parts, len(names))
    ends = bootstrap.percentile(drawn[:, 0], confidence)
    variance = Interval(float(point[0]), float(ends[0]), float(ends[1]), confidence)
    found = [_index(point, drawn, column, variance, confidence) for column in range(1, 1 + 2 * len(names))]
    luck = 0.0 if episodes == 1 else float(np.mean([s.var(axis=1, ddof=1).mean() for s in (a, b)]))
    mean = float((a.mean() + b.mean()) / 2)
    half = len(names)
    return Indices(tuple(names), tuple(found[:half]), tuple(found[half:]), variance, luck, mean, count, episodes)


def _parts(a: np.ndarray, b: np.ndarray, ab: np.ndarray) -> Float64[np.ndarray, "N K"]:
    """What each point adds: columns whose means make all variances (`_shared`), so that points can be resampled.

    ȳ, ȳ², the luck's share in it, then for each parameter V_i's and VT_i's terms.
    """
    centre = np.concatenate([a.ravel(), b.ravel(), ab.ravel()]).mean()  # leaves the expectations as they are
    ya, yb, yab = (x.mean(-1) - centre for x in (a, b, ab))
    na, nb, nab = (_luck_of_mean(x) for x in (a, b, ab))
    own = [0.5 * (ya + yb), 0.5 * (ya**2 + yb**2), 0.5 * (na + nb)]
    first = [yb * (each - ya) for each in yab]
    total = [0.5 * (ya - each) ** 2 - 0.5 * (na + noise) for each, noise in zip(yab, nab, strict=True)]
    return np.stack([*own, *first, *total], axis=1)


def _luck_of_mean(scores: Float64[np.ndarray, "*N E"]) -> Float64[np.ndarray, "*N"]:
    """The estimated variance of each point's mean around f: s² / E."""
    episodes = scores.shape[-1]
    if episodes == 1:
        return np.zeros(scores.shape[:-1])
    return np.asarray(scores.var(axis=-1, ddof=1) / episodes)


def _shared(means: Float64[np.ndarray, "*B K"], parameters: int) -> Float64[np.ndarray, "*B C"]:
    """V, then V_i and VT_i of every parameter, of the means of `_parts`."""
    variance = means[..., 1] - means[..., 0] ** 2 - means[..., 2]
    return np.concatenate([variance[..., None], means[..., 3 : 3 + 2 * parameters]], axis=-1)


def _index(point: np.ndarray, drawn: np.ndarray, column: int, variance: Interval, confidence: float) -> Interval:
    if not variance.point > 0:
        return Interval(np.nan, np.nan, np.nan, confidence)
    value = float(point[column] / point[0])
    if not variance.low > 0:
        return Interval(value, np.nan, np.nan, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = drawn[:, column] / drawn[:, 0]
    low, high = bootstrap.percentile(shares[drawn[:, 0] > 0], confidence)
    return Interval(value, float(low), float(high), confidence)


def _plain(found: Interval) -> dict[str, float | None]:
    told = found.as_dict()
    return told if np.isfinite(found.point) else dict.fromkeys(told)


def _interval(told: Mapping[str, Any]) -> Interval:
    point, low, high = (np.nan if told[key] is None else float(told[key]) for key in ("point", "low", "high"))
    return Interval(point, low, high, CONFIDENCE)
