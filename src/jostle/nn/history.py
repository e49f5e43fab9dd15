"""The encoder of an episode's last k observations and actions, the key ``"domain_history"`` of an observation."""

import math
from typing import Literal

from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.nn.encoders import Encoder, Normaliser, Observation
from jostle.nn.privileged import HISTORY

HistoryKind = Literal["conv", "mlp"]
KINDS: tuple[HistoryKind, ...] = ("conv", "mlp")
_WIDTH, _KERNEL, _STRIDE = 32, 5, 2


class HistoryEncoder(Encoder):
    """The last k observations and actions, the oldest first, to a few numbers z: [B, k, E] → [B, out_features].

    ``conv``, after the adaptation module of RMA (Kumar et al. 2021): each step to 32 numbers, two convolutions over
    time (five steps wide, every second place), and a linear layer. ``mlp``: two fully connected layers of 64 over all
    steps together. ReLU in between. *Deviation:* RMA has 50 steps and three convolutions, of strides 4, 1 and 1.

    Args:
        space: of the history, [k, E].
        kind: which of the two.
        features: width of z.
        normalise: bring each of the E numbers to mean 0 and deviation 1 by running statistics of the steps there are;
            steps from before the episode, which are zeros, stay zeros.
    """

    def __init__(
        self, space: spaces.Box, kind: HistoryKind = "conv", features: int = 8, *, normalise: bool = False
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"history_encoder='{kind}' is unknown; {closest(str(kind), KINDS)}")
        steps, width = space.shape
        self.out_features = features
        self.normaliser = Normaliser(width) if normalise else None
        self.step: nn.Module = nn.Identity()
        if kind == "mlp":
            inner, last = [nn.Linear(steps * width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()], 64
            self.time = nn.Sequential(nn.Flatten(), *inner)
        else:
            self.step = nn.Sequential(nn.Linear(width, _WIDTH), nn.ReLU())
            layers: list[nn.Module] = []
            for _ in range(2):
                kernel = min(_KERNEL, steps)
                layers += [nn.Conv1d(_WIDTH, _WIDTH, kernel, _STRIDE), nn.ReLU()]
                steps = (steps - kernel) // _STRIDE + 1
            last = _WIDTH * steps
            self.time = nn.Sequential(_TimeLast(), *layers, nn.Flatten())
        self.last = nn.Linear(last, features)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d):
                nn.init.orthogonal_(layer.weight, 1.0 if layer is self.last else math.sqrt(2))
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, past: Float[Tensor, "B k E"]) -> Float[Tensor, "B F"]:
        x = past.float()
        if self.normaliser is not None:
            x = self.normaliser(x) * _told(x)[..., None]
        z: Tensor = self.last(self.time(self.step(x)))
        return z

    def update_normaliser(self, obs: Observation, mask: Bool[Tensor, "B"]) -> None:
        """Let the statistics see the steps of the rows where ``mask`` is true."""
        if self.normaliser is not None and isinstance(obs, Tensor):
            x = obs.float()
            self.normaliser.update(x.flatten(0, 1), (_told(x) & mask[:, None]).flatten())


class _TimeLast(nn.Module):
    """[B, k, F] → [B, F, k], as convolutions over time take it."""

    def forward(self, x: Float[Tensor, "B k F"]) -> Float[Tensor, "B F k"]:
        return x.transpose(1, 2)


def _told(x: Float[Tensor, "B k E"]) -> Bool[Tensor, "B k"]:
    """The steps that there were; those from before the episode are zeros."""
    return (x != 0).any(-1)


def history_of(encoder: nn.Module) -> HistoryEncoder:
    """The history's encoder among those of an observation's keys.

    Raises:
        ConfigError: there is none: the encoder is somebody's own, or observations hold no history.
    """
    for part in encoder.modules():
        if isinstance(part, HistoryEncoder):
            return part
    raise ConfigError(
        "this network has no encoder of a history: give domain_history=16, and no encoder of your own, which is given "
        f"the history as it is, under the key '{HISTORY}'."
    )


def features_of(encoder: nn.Module, encoded: Float[Tensor, "B E"]) -> Float[Tensor, "B F"]:
    """z, the history's share of the features of whole observations."""
    first, history = 0, history_of(encoder)
    for part in encoder.encoders.values():  # type: ignore[operator]
        if part is history:
            break
        first += part.out_features
    return encoded[:, first : first + history.out_features]
