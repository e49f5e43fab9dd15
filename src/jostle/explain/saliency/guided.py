"""Guided backprop (Springenberg et al. 2015), where it can be what it says it is.

It fails the sanity check of Adebayo et al. (2018): its maps hardly depend on what a network has learned.
"""

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from jostle.errors import ConfigError
from jostle.explain.asking import Subject, Target, ask
from jostle.explain.results import Importance, Maps
from jostle.explain.saliency.shared import captum, places, quiet, require_gradients, result_of


def guided_backprop(
    policy: Any, steps: Any, target: str | Target | None = None, *, key: str | None = None
) -> Maps | Importance:
    """The gradient, but at each ReLU only where its input and what comes back are positive; then as of `gradient`.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.

    Raises:
        ConfigError: the network has no ReLU, or calls one as a function, which no hook can reach; or no gradients.
    """
    subject = ask(policy, steps, target, key=key)
    require_gradients(subject)
    require_relu_modules(subject)
    with quiet():
        found = captum().GuidedBackprop(subject).attribute(
            subject.x.clone(), additional_forward_args=(places(subject),)
        )  # fmt: skip
    return result_of(subject, "guided backprop", found, "max", {})


def require_relu_modules(subject: Subject) -> None:
    """Raises: ConfigError where a pass goes through ReLUs that are no modules, or through none at all."""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    relus = [m for m in subject.network.modules() if isinstance(m, nn.ReLU)]
    hooks = [m.register_forward_hook(count) for m in relus]
    try:
        with torch.no_grad(), _Relus() as seen:
            subject(subject.x[:1].clone(), torch.zeros(1, dtype=torch.int64))
    finally:
        for hook in hooks:
            hook.remove()
    name = subject.view.name
    if seen.calls > calls:
        raise ConfigError(
            f"{name} calls {seen.calls - calls} of its {seen.calls} ReLUs as functions, which guided backprop cannot "
            "reach: make each a torch.nn.ReLU module of its own, or use gradient or grad_cam."
        )
    if not calls:
        raise ConfigError(f"{name} has no ReLU, where guided backprop is the gradient: use gradient or grad_cam.")


class _Relus(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the ReLUs that are computed within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        zero = name.startswith("clamp") and len(args) == 2 and isinstance(args[1], int | float) and args[1] == 0
        if name in ("relu", "relu_") or zero:
            self.calls += 1
        return func(*args, **(kwargs or {}))
