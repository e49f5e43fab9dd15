"""Notices modules that compute with a noisy layer's weights past its `forward`, where there would be no noise."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from jostle.errors import ConfigError
from jostle.nn.eager import eager

_CALL = nn.Module._call_impl.__code__


class Watched(Tensor):
    """A weight that tells its shape, dtype and device, and refuses to be computed with.

    PyTorch takes no shortcuts with tensors of foreign types: `nn.TransformerEncoderLayer` in evaluation calls its
    layers one by one then, with their noise.
    """

    refusal: str

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        if _only_asks(func, args) or not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            return result
        watched = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Watched))
        raise ConfigError(watched.refusal)


def _only_asks(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether the tensor that a function makes has the weight's type or shape alone, not its numbers."""
    name = getattr(func, "__name__", "")
    like = name.startswith("new_") or name.endswith("_like")
    return like or (name in ("to", "type_as") and not isinstance(args[0], Watched))


@eager
def watched(layer: nn.Module, name: str, weight: Tensor) -> Tensor:
    """A layer's parameter as whoever asks may have it: itself, or `Watched` while another module is being called."""
    caller = _called()
    if caller is None or caller is layer:
        return weight
    seen: Watched = torch.Tensor._make_subclass(Watched, weight.detach(), weight.requires_grad)
    seen.refusal = (
        f"{type(caller).__name__} computes with the {name} of {layer} past that layer's forward, where it has no "
        "noise: leave the layer out, to_noisy(…, where=…), or go inside Noise.mean() if the mean is meant."
    )
    return seen


def _called() -> nn.Module | None:
    """The innermost module whose call is under way."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _CALL:
            module: nn.Module = frame.f_locals["self"]
            return module
        frame = frame.f_back  # type: ignore[assignment]
    return None
