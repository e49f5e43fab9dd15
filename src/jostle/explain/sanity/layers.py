"""Which layers a number depends on, from the output down."""

from typing import Any

import torch
from torch import Tensor, nn

from jostle.explain.asking import Subject


def layers_used(subject: Subject) -> list[str]:
    """Names of the layers with parameters that the target depends on, the one next to the output first.

    Layers that own parameters are in the order in which a pass reaches them, turned round; what is reached without a
    call of its own stands at its place in the definition.
    """
    twin = subject.of(subject.view.clone())
    own = {name: dict(m.named_parameters(recurse=False)) for name, m in twin.network.named_modules()}
    own = {name: parameters for name, parameters in own.items() if parameters}
    called: list[str] = []
    hooks = []
    for name in own:

        def note(_: nn.Module, __: Any, ___: Any, name: str = name) -> None:
            called.append(name)

        hooks.append(twin.network.get_submodule(name).register_forward_hook(note))
    for parameters in own.values():
        for parameter in parameters.values():
            parameter.requires_grad_(True)
    try:
        y = twin(twin.x)
    finally:
        for hook in hooks:
            hook.remove()
    flat = [(name, parameter) for name, parameters in own.items() for parameter in parameters.values()]
    grads: tuple[Tensor | None, ...] = (None,) * len(flat)
    if y.requires_grad:
        grads = torch.autograd.grad(y.sum(), [p for _, p in flat], allow_unused=True)
    used = {name for (name, _), grad in zip(flat, grads, strict=True) if grad is not None}
    order = {name: place for place, name in enumerate(own)}
    reached = {name: place for place, name in reversed(list(enumerate(called)))}
    return sorted(used, key=lambda name: -reached.get(name, order[name]))
