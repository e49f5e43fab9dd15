"""Auxiliary losses: terms that anybody may add to an algorithm's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.functional import masked_mean
from jostle.nn.encoders import Observation
from jostle.nn.noise import CLEAN

WEIGHTS, INPUT = 0, 1
"""Columns of a draw: the slot of the noise in the weights, and that of the noise in the input."""


@dataclass(frozen=True)
class Minibatch:
    """Transitions that are learned from, or a piece of them; ``rows`` [B] are their ids in the storage.

    Sequences are time-major. ``draw`` [B, 2] are the slots of noise, in the weights and in the input, under which they
    are learned from (PPO: and were acted). Rows with ``valid = False`` are no transitions. ``count`` is the number of
    valid rows in the whole minibatch.

    ``again(draw)`` is the policy's output for the same rows under other draws, and ``loss(output)`` what the
    algorithm's own loss would be with that output.
    """

    rows: Int[Tensor, "B"]
    obs: Observation
    action: Tensor
    next_obs: Observation
    valid: Bool[Tensor, "B"]
    draw: Int[Tensor, "B 2"]
    count: Int[Tensor, ""]
    again: Callable[[Int[Tensor, "B 2"]], Any]
    loss: Callable[[Any], Float[Tensor, ""]]

    def mean(self, x: Float[Tensor, "B"]) -> Float[Tensor, ""]:
        """The piece's part of the mean over all valid rows of the minibatch."""
        return masked_mean(x, self.valid, self.count)

    def under(self, slots: Int[Tensor, "B"] | int) -> Int[Tensor, "B 2"]:
        """The draws with other slots of the input's noise."""
        draw = self.draw.clone()
        draw[:, INPUT] = slots
        return draw

    @property
    def clean(self) -> Int[Tensor, "B 2"]:
        """The draws with clean input: the noise in the weights is the same."""
        return self.under(CLEAN)


class Auxiliary(Protocol):
    """A term of the loss, called with the policy, a minibatch or a piece of it, and the policy's output for it.

    It returns named scalars; those of a minibatch's pieces are added up, so it averages by `Minibatch.mean`. The sums
    are added to the loss and logged. A module's own parameters are trained with it: by the policy's optimiser, or by
    one of their own where the attribute ``learning_rate`` is a number. Where it has a method ``before_minibatch()`` or
    ``after_step()``, it is called before the first piece of a minibatch, or after the optimiser's step.
    """

    def __call__(self, policy: nn.Module, batch: Minibatch, out: Any) -> dict[str, Tensor]: ...


def notify(auxiliaries: Sequence[Auxiliary], event: str) -> None:
    """Call the auxiliary losses that want to know."""
    for auxiliary in auxiliaries:
        hook = getattr(auxiliary, event, None)
        if hook is not None:
            hook()


def on_device(auxiliaries: Sequence[Auxiliary], device: torch.device) -> list[Auxiliary]:
    """Auxiliary losses, those that are modules moved to a device."""
    return [each.to(device) if isinstance(each, nn.Module) else each for each in auxiliaries]


def rows_of(obs: Observation, rows: Tensor) -> Observation:
    """Some rows of a batch of observations."""
    if isinstance(obs, dict):
        return {key: value[rows] for key, value in obs.items()}
    return obs[rows]


def load_modules(aux: Sequence[Auxiliary], saved: Sequence[dict[str, Any]]) -> None:
    """Restore the auxiliary losses that are modules.

    Raises:
        ConfigError: there are more or fewer of them than were saved.
    """
    modules = [each for each in aux if isinstance(each, nn.Module)]
    if len(modules) != len(saved):
        raise ConfigError(
            f"{len(saved)} auxiliary losses were trained beside the saved agent, and here are {len(modules)}; give the "
            "same aux=."
        )
    for module, state in zip(modules, saved, strict=True):
        module.load_state_dict(state)
