"""From raw observations to the normalised floats that the networks of a bonus see."""

import warnings
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool
from torch import Tensor, nn

from jostle.bonus.part import Part, may_hold_codes
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.privileged import is_beside

Rows = list[Tensor]
"""Observations row by row: one tensor [B, …] for each part of the space."""


def require_tensors(owner: str, name: str, value: Any) -> None:
    """Refuse what is neither a tensor, nor a dictionary of tensors, nor None.

    Raises:
        ConfigError: it is something else, such as a NumPy array.
    """
    wrong = [
        x for x in (value.values() if isinstance(value, dict) else [value]) if not isinstance(x, (Tensor, NoneType))
    ]
    if wrong:
        what = "a NumPy array" if isinstance(wrong[0], np.ndarray) else f"a {type(wrong[0]).__name__}"
        raise ConfigError(f"{owner}: {name} holds {what}, and tensors are needed: give torch.as_tensor(…) of it.")


class Preprocess(nn.Module):
    """All parts of an observation space but the privileged one: physics drawn anew are no place to explore.

    Args:
        space, owner, frame_stack, obs_norm, clip: see `Bonus`.
        codes: small bytes [H, W, 3] are MiniGrid's codes; None: where they are the key image beside direction, as in
            MiniGrid. A space that could hold either is taken for colours, with a warning.

    Raises:
        ConfigError: a part of the space is none of Box, Discrete, MultiDiscrete and MultiBinary.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        owner: str,
        frame_stack: int,
        obs_norm: bool,
        clip: float,
        codes: bool | None = None,
    ) -> None:
        super().__init__()
        self.owner = owner
        self.keys: list[str] | None = None
        leaves, minigrid = [space], False
        if isinstance(space, spaces.Dict):
            self.keys = [key for key in space.spaces if not is_beside(key)]
            leaves = [space.spaces[key] for key in self.keys]
            if not leaves:
                raise ConfigError(f"{owner}: the observation space {space} has nothing to see; give it another key.")
            minigrid = {"image", "direction"} <= set(self.keys)
        if codes is None and not minigrid and any(may_hold_codes(leaf) for leaf in leaves):
            warnings.warn(
                f"{owner}: bytes [H, W, 3] of so few pixels are taken for colours; if they are MiniGrid's codes, set "
                "bonus_codes=True, else bonus_codes=False.",
                stacklevel=2,
            )
        made: dict[str, Any] = {"obs_norm": obs_norm, "clip": clip, "codes": minigrid if codes is None else codes}
        self._parts = nn.ModuleList(Part(leaf, owner, frame_stack, **made) for leaf in leaves)

    def scale_bytes_alone(self) -> None:
        """Divide uint8 by 255 and leave all else, as former versions did where nothing is normalised."""
        for part in self.parts:
            part.scale_by("bytes")

    @property
    def parts(self) -> list[Part]:
        """The parts in the order of the rows."""
        return [part for part in self._parts if isinstance(part, Part)]

    def rows(self, obs: Observation, lead: Sequence[int]) -> Rows:
        """Observations of leading shape ``lead`` as rows.

        Raises:
            ConfigError: the observations do not have the space's keys or shapes.
        """
        out = []
        for part, value in zip(self.parts, self._values(obs), strict=True):
            if tuple(value.shape) != (*lead, *part.space_shape):
                raise ConfigError(
                    f"{self.owner}: observations of shape {[*lead, *part.space_shape]} are needed, not "
                    f"{list(value.shape)}; make the bonus with the environment's own observation space and frame_stack."
                )
            out.append(part.newest(value.reshape(-1, *part.space_shape)))
        return out

    def _values(self, obs: Observation) -> list[Tensor]:
        require_tensors(self.owner, "the observation", obs)
        if self.keys is None and isinstance(obs, Tensor):
            return [obs]
        if self.keys is not None and isinstance(obs, dict) and all(key in obs for key in self.keys):
            return [obs[key] for key in self.keys]
        has = f"the keys {sorted(obs)}" if isinstance(obs, dict) else "a tensor"
        needs = "a tensor" if self.keys is None else f"the keys {self.keys}"
        raise ConfigError(f"{self.owner}: the observation is {has}, and {needs} was to be seen; give the same space.")

    def forward(self, rows: Rows) -> Rows:
        """Normalised floats, part by part."""
        return [part(x) for part, x in zip(self.parts, rows, strict=True)]

    def observe(self, rows: Rows, mask: Bool[Tensor, "B"]) -> None:
        """Count the rows that the mask names in the running statistics."""
        for part, x in zip(self.parts, rows, strict=True):
            if part.moments is not None:
                for piece, seen in zip(torch.split(x, 4096), torch.split(mask, 4096), strict=True):
                    part.moments.update(part.planes(piece), seen)

    def pieces(self, rows: Rows) -> Iterator[Rows]:
        """The rows in pieces that stay in a processor's cache; larger ones on other devices."""
        small = rows[0].device.type == "cpu" and any(part.kind in ("picture", "grid") for part in self.parts)
        yield from (list(piece) for piece in zip(*(torch.split(x, 256 if small else 4096) for x in rows), strict=True))
