"""What agents ask of torch and of the machine: seeds, a device, compiled networks, an optimiser's saved state."""

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from jostle.errors import ConfigError

_OF_THE_SETTINGS = ("eps", "alpha", "weight_decay")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator seeded inside, untouched outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser's state in the memory layout of its parameters.

    Fused optimisers walk through parameter and state by address: with a channels-last weight and a contiguous moment
    they would silently pair the wrong elements. Epsilon and the like stay those of the settings, which may have
    changed; learning rates are set by whoever steps.
    """
    own = [{name: group[name] for name in _OF_THE_SETTINGS if name in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, values in zip(optimizer.param_groups, own, strict=True):
        group.update(values)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)


@torch.no_grad()
def clip_norm(parameters: Iterable[nn.Parameter], most: float) -> None:
    """Scale gradients so that the norm of all of them together is at most ``most``.

    `torch.nn.utils.clip_grad_norm_`, without its grouping by devices and types, which small networks feel.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if grads:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        torch._foreach_mul_(grads, (most / (norm + 1e-6)).clamp_(max=1.0))


def setup_device(name: str) -> torch.device:
    """The device of a setting.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device '{name}' is not to be had here; use device='cpu' or 'auto'.") from error
    return device


def compiled(network: Callable[..., Any], wanted: bool, device: torch.device) -> Callable[..., Any]:
    """A network, or a method of one, compiled; or as it is where that is not wanted or a CPU lacks the compiler."""
    if not wanted:
        return network
    if device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
        warnings.warn("compile=True needs a C++ compiler and none was found: running eagerly.", stacklevel=2)
        return network
    return torch.compile(network)
