"""Reward streams: each has a name, a discount, a λ, a coefficient, and goes on behind an episode's end or does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError


@dataclass(frozen=True)
class Stream:
    """One stream of rewards. Stream 0 is the extrinsic one; each bonus adds one."""

    name: str
    discount: float
    gae_lambda: float = 1.0
    episodic: bool = True
    coefficient: float = 1.0


class Streams:
    """Streams side by side, as the vectors that formulas take.

    Attributes:
        discount, gae_lambda, coefficient: Float [K].
        episodic: Bool [K].
    """

    discount: Float[Tensor, "K"]
    gae_lambda: Float[Tensor, "K"]
    coefficient: Float[Tensor, "K"]
    episodic: Bool[Tensor, "K"]

    def __init__(self, streams: Sequence[Stream], device: torch.device | str = "cpu") -> None:
        self.names = [s.name for s in streams]
        self.discount = torch.tensor([s.discount for s in streams], device=device)
        self.gae_lambda = torch.tensor([s.gae_lambda for s in streams], device=device)
        self.coefficient = torch.tensor([s.coefficient for s in streams], device=device)
        self.episodic = torch.tensor([s.episodic for s in streams], device=device)

    def require(self, saved: Sequence[str]) -> None:
        """Compare with the names of a saved agent's streams.

        Raises:
            ConfigError: they differ.
        """
        if list(saved) != self.names:
            raise ConfigError(
                f"the saved agent learned from the rewards {', '.join(saved)}, and this one from "
                f"{', '.join(self.names)}; give the same bonuses=."
            )

    def describe(self) -> str:
        """The streams in one line for people."""
        numbers = (self.discount.tolist(), self.coefficient.tolist(), self.episodic.tolist())
        return "; ".join(
            f"{name} (discount {gamma:g}, weight {weight:g}{'' if episodic else ', non-episodic'})"
            for name, gamma, weight, episodic in zip(self.names, *numbers, strict=True)
        )

    def __len__(self) -> int:
        return len(self.names)
