"""Auxiliary losses: terms that anybody may add to an algorithm's own."""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool, Int
from torch import Tensor, nn

from jostle.nn.encoders import Observation


@dataclass(frozen=True)
class Minibatch:
    """Transitions that are learned from; ``rows`` [B] are their ids in the storage, sequences time-major.

    ``draw`` [B] are the slots of noise that they were acted under. Rows with ``valid = False`` are no transitions.
    """

    rows: Int[Tensor, "B"]
    obs: Observation
    action: Tensor
    next_obs: Observation
    valid: Bool[Tensor, "B"]
    draw: Int[Tensor, "B"]


class Auxiliary(Protocol):
    """A term of the loss, called with the policy, a minibatch, and the policy's output for it.

    It returns named scalars, each of which is added and logged. A module's own parameters are trained with it: by the
    policy's optimiser, or by one of their own where the attribute ``learning_rate`` is a number.
    """

    def __call__(self, policy: nn.Module, batch: Minibatch, out: tuple[Tensor, Tensor]) -> dict[str, Tensor]: ...
