"""What stands before an ablated layer does the same in every ablation: it is computed once, and given after that.

Of a network for Atari, whose convolutions are nearly all of its work, this makes ablations of the layer behind them
twenty times as quick.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from jostle.explain.ablate.measure import divergence
from jostle.explain.asking import Subject
from jostle.view.inside import hooked

CLOSE = 1e-5
"""A change of policy below which a pass with given outputs is the same as one without."""


@dataclass(frozen=True)
class Before:
    """What modules put out at B steps.

    Attributes:
        module: the network that they are in.
        outputs: module's name -> [B, …].
    """

    module: nn.Module
    outputs: dict[str, Float[Tensor, "B *S"]]

    @contextmanager
    def given(self, at: Int[Tensor, "N"]) -> Iterator[None]:
        """Within the block they put out what they did at steps ``at``, and compute nothing."""
        with ExitStack() as stack:
            for name, out in self.outputs.items():
                stack.callback(_instead(self.module.get_submodule(name), out[at]))
            yield


@torch.no_grad()
def before(subject: Subject, layer: str, batch: int = 2048) -> Before:
    """What the outermost modules that are through before a layer begins put out at all steps.

    None of them where a pass with their outputs given is not the same as one without, as of networks that keep
    something between their modules.

    Args:
        subject: the policy and its steps.
        layer: the module's name.
        batch: steps that go through the network at a time.
    """
    view, count = subject.view, len(subject.steps)
    names = _through_before(subject, layer)
    if not names:
        return Before(view.module, {})
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for at in torch.split(torch.arange(count), batch):
        with hooked(view.module, view.name, names) as kept:
            subject.outputs(subject.x[at], at)
        for name in names:
            parts[name].append(kept[name].clone())
    found = Before(view.module, {name: torch.cat(each) for name, each in parts.items()})
    few = torch.unique(torch.tensor([count - 1, count // 2, 0])).flip(0)
    try:
        with found.given(few):
            other = subject.outputs(subject.x[few], few)
    except Exception:  # whatever a network says that has kept something of another pass
        return Before(view.module, {})
    apart = divergence(subject.outputs(subject.x[few], few), other, view, subject.mask_of(few))
    return found if bool((apart.abs() < CLOSE).all()) else Before(view.module, {})


def _through_before(subject: Subject, layer: str) -> list[str]:
    """The outermost modules that have put out a row for each step when a layer begins, and are called once alone."""
    module = subject.view.module
    calls: Counter[str] = Counter()
    through: list[str] = []

    def begins(name: str) -> Callable[..., None]:
        return lambda *_: calls.update([name])

    def ends(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            if not calls[layer] and isinstance(out, Tensor) and out.ndim > 1 and len(out) == 3:
                through.append(name)

        return hook

    at = torch.zeros(3, dtype=torch.int64)
    with ExitStack() as stack:
        for name, part in module.named_modules():
            if name:
                stack.callback(part.register_forward_pre_hook(begins(name)).remove)
                stack.callback(part.register_forward_hook(ends(name)).remove)
        subject.outputs(subject.x[at], at)
    once = {name for name in through if calls[name] == 1}
    return [name for name in through if name in once and not any(name.startswith(f"{other}.") for other in once)]


def _instead(module: nn.Module, out: Tensor) -> Callable[[], None]:
    """Let a module put out something given; what is returned undoes it."""
    own = module.__dict__.get("forward")
    module.forward = lambda *_, **__: out

    def undo() -> None:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own

    return undo
