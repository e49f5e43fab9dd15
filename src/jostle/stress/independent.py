"""Whether the runs of a method are runs of their own, as an interval over runs takes for granted."""

import itertools
from collections.abc import Mapping, Sequence

import torch

from jostle.errors import ConfigError
from jostle.view import PolicyView


def require_independent(views: Mapping[str, Sequence[PolicyView]]) -> None:
    """Raises: ConfigError where two runs of a method have one training seed, or are copies of one policy."""
    for method, group in views.items():
        for one, other in itertools.combinations(group, 2):
            why = _alike(one, other)
            if why is not None:
                names = f"{one.name} and {other.name}" if one.name != other.name else f"two runs called {one.name}"
                raise ConfigError(
                    f"{names} of the method '{method}' {why}, so they are no independent runs: give runs with training "
                    "seeds of their own, or test one of them alone."
                )


def _alike(one: PolicyView, other: PolicyView) -> str | None:
    """What shows that one is the other again; None where nothing does."""
    if one is other or _same_weights(one, other):
        return "have the same weights"
    if one.seed is not None and one.seed == other.seed:
        return f"were both trained with the seed {one.seed}"
    return None


def _same_weights(one: PolicyView, other: PolicyView) -> bool:
    """Equal states, of policies that have weights at all."""
    x, y = one.module.state_dict(), other.module.state_dict()
    if not x or x.keys() != y.keys():
        return False
    return all(a.shape == y[name].shape and torch.equal(a, y[name].to(a.device)) for name, a in x.items())
