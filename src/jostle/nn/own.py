"""An encoder of one's own: any module, or what a function makes for a space, in the place of jostle's encoders."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.eager import eager
from jostle.nn.encoders import Encoder
from jostle.nn.noise import Noise

Own = nn.Module | Callable[[gym.Space[Any]], nn.Module]


def is_own(encoder: object) -> bool:
    """Whether an encoder is a module or a function, and not one of jostle's by name."""
    return callable(encoder)


def behind_encoder(name: str, _layer: nn.Module) -> bool:
    """Whether a layer of a network stands behind its encoder: those are the ones that settings make noisy."""
    return name.split(".")[0] != "encoder"


class OwnEncoder(Encoder):
    """A copy of somebody's module [B, …] → [B, F], which sees raw observations in the environment's own dtype.

    What the module draws while it learns (dropout) comes from a generator seeded by ``passes``, which counts its passes
    and stands in its state: the same seed gives the same masks, also after a resume, and nobody else's draws change.

    Args:
        space: the observation space; of a dictionary the module gets a dictionary with the same keys.
        given: the module, which is left alone, or a function that makes one for the space.

    Raises:
        ConfigError: it is no module, fails on an observation of the space, or returns anything but finite float32
            [B, F], F being the attribute ``out_features`` where there is one.
    """

    passes: Tensor

    def __init__(self, space: gym.Space[Any], given: Own) -> None:
        super().__init__()
        self.keys = list(space.spaces) if isinstance(space, spaces.Dict) else None
        self.module = _copied(given if isinstance(given, nn.Module) else _made(given, space))
        self.register_buffer("passes", torch.randint(2**40, ()))
        self.eval()
        self.out_features = self._width(space)

    def forward(self, obs: Any) -> Tensor:
        seen = obs if self.keys is None else {key: obs[key] for key in self.keys}
        features: Tensor = self._drawing(seen) if self.training else self.module(seen)
        return features

    @eager
    def _drawing(self, obs: Any) -> Tensor:
        device = self.passes.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int(self.passes))
            self.passes += 1
            features: Tensor = self.module(obs)
        return features

    @torch.no_grad()
    def _width(self, space: gym.Space[Any]) -> int:
        """F, from what comes out for two observations and for one."""
        name = type(self.module).__qualname__
        noise = Noise(self.module, seed=0, role="trial")
        for rows in (2, 1):
            obs = _examples(space, rows)
            try:
                with noise.mean():
                    out = self.module(obs)
            except Exception as error:
                raise ConfigError(
                    f"the encoder {name} failed on {_shape(obs)} ({type(error).__name__}: {_first_line(error)}): it "
                    "gets raw observations in batches, in the environment's own dtype; x.float() makes numbers of them."
                ) from error
            if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != rows or out.shape[1] < 1:
                found = f"a tensor {list(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
                raise ConfigError(
                    f"the encoder {name} made {found} of {_shape(obs)}: it must return features [{rows}, F], one row "
                    "for each observation."
                )
            if out.dtype != torch.float32:
                raise ConfigError(f"the encoder {name} returned {out.dtype}: it must return torch.float32.")
            if not out.isfinite().all():
                raise ConfigError(f"the encoder {name} returned NaN or infinite features for {_shape(obs)}: mend it.")
        width, said = int(out.shape[1]), getattr(self.module, "out_features", None)
        if isinstance(said, int) and said != width:
            raise ConfigError(f"the encoder {name} says out_features={said}, and returns [B, {width}]: correct it.")
        return width


def _made(make: Callable[[gym.Space[Any]], nn.Module], space: gym.Space[Any]) -> nn.Module:
    name = getattr(make, "__qualname__", type(make).__qualname__)
    try:
        module = make(space)
    except Exception as error:
        raise ConfigError(
            f"encoder={name} failed ({type(error).__name__}: {_first_line(error)}): it is called with the observation "
            f"space, {type(space).__name__}, and returns a module."
        ) from error
    if not isinstance(module, nn.Module):
        raise ConfigError(f"encoder={name} returned {module!r}: it must return a torch.nn.Module for the space.")
    return module


def _copied(module: nn.Module) -> nn.Module:
    """A copy, so that two agents with one module do not train each other's weights."""
    try:
        return copy.deepcopy(module).to("cpu")
    except Exception as error:
        raise ConfigError(
            f"the encoder {type(module).__qualname__} cannot be copied ({_first_line(error)}), and every agent needs a "
            "copy of its own: give a function that makes it."
        ) from error


def _examples(space: gym.Space[Any], rows: int) -> Any:
    """Observations of a space as near to 0 as it allows [rows, …], as tensors in its dtype."""
    if isinstance(space, spaces.Dict):
        return {key: _examples(part, rows) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Box):
        one = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high).astype(space.dtype)
    elif isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        one = np.asarray(space.start, space.dtype)
    elif isinstance(space, spaces.MultiBinary):
        one = np.zeros(space.shape, space.dtype)
    else:
        raise ConfigError(f"observations of type {type(space).__name__} cannot be encoded; flatten them in a wrapper.")
    return torch.as_tensor(np.repeat(one[None], rows, 0))


def _shape(obs: Any) -> str:
    if isinstance(obs, dict):
        return "{" + ", ".join(f"{key}: {_shape(part)}" for key, part in obs.items()) + "}"
    return f"observations {list(obs.shape)} of {str(obs.dtype).removeprefix('torch.')}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]
