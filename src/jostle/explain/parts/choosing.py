"""Which layers are looked into where nobody says which."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.explain.asking import Subject
from jostle.explain.sanity.layers import layers_used


def inner_layers(subject: Subject) -> list[str]:
    """The last hidden layer, and the last one of feature maps: those nearest to the output layer that it depends on.

    A layer is named by the outermost module that puts it out, so that activations are within. Without gradients it
    cannot be told what depends on what, and it is what is called last.

    Raises:
        ConfigError: the policy gives actions alone, or nothing stands between observation and output.
    """
    view = subject.view
    if subject.acts_only:
        raise ConfigError(f"{view.name} gives actions and shows nothing else: it has no layers to look into.")
    used = [name for name in layers_used(subject) if name]
    outputs = _outputs(subject, used[0] if used else None)
    hidden = [name for name, out in outputs.items() if out.ndim == 2]
    maps = [name for name, out in outputs.items() if out.ndim == 4 and min(out.shape[2:]) > 1]
    found = [each[-1] for each in (hidden, maps) if each]
    if not found:
        raise ConfigError(f"{view.name} has no hidden layer: nothing stands between its observation and its output.")
    return found


def _outputs(subject: Subject, last: str | None) -> dict[str, Tensor]:
    """What modules put out, as far as the output layer ``last`` depends on it, in the order in which they are through.

    None: whatever it was.
    """
    twin = subject.of(subject.view.clone())
    twin.network.requires_grad_(True)
    kept: dict[str, Tensor] = {}
    end: list[Tensor] = []

    def through(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            first = out[0] if isinstance(out, tuple) and out else out
            if isinstance(first, Tensor) and name == last:
                end[:] = [first]
            elif isinstance(first, Tensor) and first.ndim > 1 and len(first) == len(twin.steps) and not end:
                kept.pop(name, None)  # of several calls the last one
                kept[name] = first

        return hook

    with ExitStack() as stack:
        for name, module in twin.network.named_modules():
            if name:
                stack.callback(module.register_forward_hook(through(name)).remove)
        twin(twin.x)
    if not end:
        return kept
    real = {name: out for name, out in kept.items() if out.requires_grad}
    grads = torch.autograd.grad(end[0].sum(), list(real.values()), allow_unused=True) if real else ()
    return {name: out for (name, out), grad in zip(real.items(), grads, strict=True) if grad is not None}
