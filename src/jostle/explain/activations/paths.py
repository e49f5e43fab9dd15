"""Hidden trajectories of the same games seen in two ways, side by side: do they lead through the same states?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from jostle.errors import ConfigError
from jostle.explain.activations.gathering import Activations
from jostle.explain.activations.pca import fit_pca
from jostle.explain.results.kept import file_name, keep
from jostle.scores.differences import Difference, paired_returns
from jostle.scores.intervals import Interval, interval
from jostle.stress.consistency import cycle_consistency
from jostle.stress.features import FeatureDistance, feature_distance

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class Trajectories:
    """Pairs of episodes: the k-th of one condition and the k-th of another, which begin with the same seed.

    Attributes:
        activations: of both.
        names: of the two conditions.
        pairs: episodes [P, 2].
        consistency: cycle-consistency of each pair [P], seen → unseen → seen.
        mismatched: of each episode with others' partners instead of its own [P], the mean over all of them: chance.
        nulls: name -> [P], the same of other numbers, such as ``observation`` (raw pixels) and ``untrained``.
        distance: of the features of equal steps, relative to that of different steps.
    """

    activations: Activations
    names: tuple[str, str]
    pairs: Int[np.ndarray, "P 2"]
    consistency: Float[np.ndarray, "P"]
    mismatched: Float[np.ndarray, "P"]
    nulls: dict[str, Float[np.ndarray, "P"]]
    distance: FeatureDistance

    @property
    def mean(self) -> Interval:
        """Of the consistency; its interval resamples pairs."""
        return interval(self.consistency, "mean", resamples=2000)

    @property
    def beyond(self) -> dict[str, Difference]:
        """The consistency (y) against that of ``mismatched`` pairs and of each null (x), pair by pair."""
        others = {"mismatched": self.mismatched, **self.nulls}
        return {name: paired_returns(other, self.consistency) for name, other in others.items()}

    def plot(self, *, most: int = 4) -> "matplotlib.figure.Figure":
        """A few pairs in the plane of the seen ones' components, and the consistency among its nulls."""
        from jostle.explain.activations.figures import plot_trajectories

        return plot_trajectories(self, most=most)

    def plane(self) -> Float[np.ndarray, "B 2"]:
        """The steps in the plane that the first condition's make."""
        own = self.activations.of(self.names[0])
        return fit_pca(self.activations.values[own], 2).project(self.activations.values)

    def save(self, folder: str | Path, name: str | None = None) -> list[Path]:
        """Write ``NAME.json`` and ``NAME.png``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.activations.policy, "layer": self.activations.layer, "conditions": self.names,
            "consistency": self.mean.as_dict(), "per pair": self.consistency, "mismatched": self.mismatched,
            "nulls": self.nulls, "beyond": {k: v.interval.as_dict() | {"p": v.p} for k, v in self.beyond.items()},
            "distance": vars(self.distance),
        }  # fmt: skip
        return keep(folder, name or file_name(f"trajectories {self.activations.layer}"), data, self.plot)


def trajectories(
    activations: Activations,
    seen: str,
    unseen: str,
    *,
    nulls: Mapping[str, Activations | Sequence[Activations]] | None = None,
) -> Trajectories:
    """Cycle-consistency of hidden trajectories of the same games in two conditions, beside its nulls.

    The traces of both conditions begin with the same seed, so that the k-th episodes are the same game where looks
    alone differ. A policy that acts otherwise in one of them leads it elsewhere, which counts against it.

    Args:
        activations: of both conditions, all steps of each episode.
        seen, unseen: names of the conditions.
        nulls: name -> the same steps' numbers of something else: raw observations, an untrained network (several: the
            mean over them).

    Raises:
        ConfigError: no such condition, fewer than two pairs, or nulls of other steps.
    """
    pairs = _pairs(activations, seen, unseen)
    own, mismatched = _consistencies(activations, pairs)
    found: dict[str, Float[np.ndarray, P]] = {}
    for name, given in (nulls or {}).items():
        several = [given] if isinstance(given, Activations) else list(given)
        for each in several:
            if not np.array_equal(each.episode, activations.episode) or not np.array_equal(each.step, activations.step):
                raise ConfigError(f"the null '{name}' is of other steps than the activations: gather the same rows.")
        found[name] = np.mean([_consistencies(each, pairs)[0] for each in several], axis=0)
    return Trajectories(activations, (seen, unseen), pairs, own, mismatched, found, _apart(activations, pairs))


def _pairs(activations: Activations, seen: str, unseen: str) -> Int[np.ndarray, "P 2"]:
    sides = [np.unique(activations.episode[activations.of(name)]) for name in (seen, unseen)]
    count = min(map(len, sides))
    if seen == unseen or count < 2:
        raise ConfigError(
            f"'{seen}' and '{unseen}' make {0 if seen == unseen else count} pairs of episodes: record two of each at "
            "least, in two conditions."
        )
    return np.stack([side[:count] for side in sides], 1).astype(np.int64)


def _consistencies(
    activations: Activations, pairs: Int[np.ndarray, "P 2"]
) -> tuple[Float[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    parts: dict[int, Any] = {int(e): _ordered(activations, int(e)) for e in pairs.ravel()}
    own = np.array([cycle_consistency(parts[int(a)], parts[int(b)]) for a, b in pairs])
    others = [
        np.mean([cycle_consistency(parts[int(a)], parts[int(b)]) for k, b in enumerate(pairs[:, 1]) if k != i])
        for i, a in enumerate(pairs[:, 0])
    ]
    return own, np.array(others, np.float64)


def _ordered(activations: Activations, episode: int) -> Float[np.ndarray, "T F"]:
    rows = np.flatnonzero(activations.episode == episode)
    return activations.values[rows[np.argsort(activations.step[rows], kind="stable")]]


def _apart(activations: Activations, pairs: Int[np.ndarray, "P 2"]) -> FeatureDistance:
    one, other = [], []
    for a, b in pairs:
        x, y = _ordered(activations, int(a)), _ordered(activations, int(b))
        length = min(len(x), len(y))
        one.append(x[:length])
        other.append(y[:length])
    return feature_distance(np.concatenate(one), np.concatenate(other))
