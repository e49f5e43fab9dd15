"""Reward streams: each has a name, a discount, a λ, a coefficient, and goes on behind an episode's end or does not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.algo.parts.bonus_settings import BonusSettings
from jostle.algo.parts.stream_settings import EXTRINSIC, StreamSettings
from jostle.errors import ConfigError, closest


@dataclass(frozen=True)
class Stream:
    """One stream of rewards. Stream 0 is the extrinsic one; each bonus adds one.

    ``reward_norm`` is what its rewards are divided by; None: a bonus's own default. ``value_coef`` is the weight of its
    values' loss.
    """

    name: str
    discount: float
    gae_lambda: float = 1.0
    episodic: bool = True
    coefficient: float = 1.0
    reward_norm: str | None = None
    value_coef: float = 1.0


def one_stream(config: BonusSettings, name: str) -> Stream:
    """A stream by its own settings over those for all of its kind, but for the weight of its values' loss."""
    own = config.streams.get(name, StreamSettings())
    gae_lambda: float = getattr(config, "gae_lambda", 1.0)
    if name == EXTRINSIC:
        gamma: float = config.gamma  # type: ignore[attr-defined]  # every algorithm has one
        shared = Stream(name, gamma, gae_lambda, True, config.coef_ext, getattr(config, "reward_norm", "none"))
    else:
        shared = Stream(
            name, config.gamma_int, gae_lambda, config.episodic_int, config.coef_int, config.bonus_reward_norm
        )
    names = {"coef": "coefficient", "gamma": "discount"}
    given = {field: getattr(own, field) for field in ("coef", "gamma", "gae_lambda", "episodic", "reward_norm")}
    return replace(shared, **{names.get(field, field): v for field, v in given.items() if v is not None})


def make_streams(config: BonusSettings, bonuses: Sequence[str]) -> list[Stream]:
    """The extrinsic stream and those of the bonuses, by the settings.

    A stream's values weigh ``value_coef``, times its coefficient over the largest one (``value_weights``), so that a
    stream which the policy hardly follows hardly moves what it shares with the others.

    Raises:
        ConfigError: there is no stream with a weight, or a setting of a stream that there is not.
    """
    names = [EXTRINSIC, *bonuses]
    for name in config.streams:
        if name not in names:
            raise ConfigError(
                f"streams.{name} is of no reward stream here; {closest(name, names)} (a bonus makes one, the "
                "environment's reward is ext)."
            )
    made = [one_stream(config, name) for name in names]
    largest = max(stream.coefficient for stream in made)
    if largest == 0:
        raise ConfigError("no reward has a weight: raise coef_ext, or give a bonus and coef_int.")
    base: float = getattr(config, "value_coef", 1.0)
    weighted = []
    for stream in made:
        own = config.streams.get(stream.name, StreamSettings()).value_coef
        share = stream.coefficient / largest if config.value_weights == "coefficient" else 1.0
        weighted.append(replace(stream, value_coef=base * share if own is None else own))
    return weighted


class Streams:
    """Streams side by side, as the vectors that formulas take.

    Attributes:
        discount, gae_lambda, coefficient: Float [K].
        episodic: Bool [K].
        value_coef: the weight of the values' loss, or weights [K] where streams differ.
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
        weights = [float(s.value_coef) for s in streams]
        self.value_coef: float | Tensor = weights[0]
        if len(set(weights)) > 1:
            self.value_coef = torch.tensor(weights, device=device)

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
