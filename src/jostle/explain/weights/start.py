"""Where a network began: the weights that its run folder keeps, and fresh ones of the same kind.

An untrained network is the null of most things that can be said about a trained one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jostle.errors import CheckpointError, ConfigError
from jostle.explain.weights.fresh import drawn_like
from jostle.explain.weights.tensors import with_weights
from jostle.store import Run
from jostle.view import PolicyView


def initial_weights(source: Any) -> dict[str, Tensor]:
    """The first weights θ⁰ by name.

    Args:
        source: a run folder, a module or a policy's view, or the weights themselves.

    Raises:
        CheckpointError: the folder is no run, or keeps no first weights.
        ConfigError: it is something else.
    """
    if isinstance(source, str | Path):
        state = Run.open(Path(source)).load_initial().get("model")
        if not isinstance(state, dict):
            raise CheckpointError(f"{source} keeps no first weights: give those of another run.")
        return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if isinstance(source, PolicyView):
        source = source.module
    if isinstance(source, nn.Module):
        return {name: p.detach().clone() for name, p in source.named_parameters()}
    if isinstance(source, Mapping):
        return {str(name): torch.as_tensor(values) for name, values in source.items()}
    raise ConfigError(f"a {type(source).__name__} has no first weights: give a run folder, a module or a dictionary.")


def at_start(view: PolicyView, source: Any) -> PolicyView:
    """The policy with its own first weights.

    Args:
        view: the policy.
        source: as of `initial_weights`.

    Raises:
        ConfigError: they are those of another network.
    """
    values = initial_weights(source)
    return with_weights(view, values, [name for name, _ in view.module.named_parameters()])


def untrained(
    view: PolicyView, seed: int, *, source: Any = None, make: Callable[[int], nn.Module] | None = None
) -> PolicyView:
    """The policy with weights that were never trained.

    Args:
        view: the policy.
        seed: of the weights.
        source: first weights to draw others like (`initial_weights`); None: the trained ones, whose spread is kept.
        make: makes an untrained network of the same kind, by a seed; it takes the place of ``source``.

    Raises:
        ConfigError: ``source`` or ``make`` give another network.
    """
    if make is not None:
        return at_start(view, make(seed))
    values = initial_weights(view if source is None else source)
    generator = torch.Generator().manual_seed(seed)
    fresh = {name: drawn_like(values[name], generator) for name, _ in view.module.named_parameters() if name in values}
    return with_weights(view, fresh)


def nulls_of(
    view: PolicyView, count: int, *, seed: int = 0, source: Any = None, make: Callable[[int], nn.Module] | None = None
) -> list[PolicyView]:
    """So many untrained policies."""
    seeds = np.random.SeedSequence([seed, 27]).generate_state(count)
    return [untrained(view, int(each), source=source, make=make) for each in seeds]
