"""What is maximised: a unit of a layer, or the policy's own number."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.ablate.cutting import checked_units, outputs_of
from jostle.explain.asking import Subject
from jostle.view.inside import hooked, require_kept


@dataclass(frozen=True)
class Wanted:
    """U numbers of a pass.

    Attributes:
        subject: the policy at its steps.
        layer: whose units; None: the subject's target, U = 1.
        units: which of them.
    """

    subject: Subject
    layer: str | None
    units: list[int]

    @property
    def names(self) -> list[str]:
        """For figures."""
        return [self.subject.target.name] if self.layer is None else [f"{self.layer} {u}" for u in self.units]

    def of(self, x: Tensor, at: Int[Tensor, "N"], which: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
        """Of every row its own number; of a channel its mean over the picture."""
        if self.layer is None:
            found: Tensor = self.subject(x, at)
            return found
        values = self._all(x, at)
        return values[torch.arange(len(x)), torch.tensor(self.units)[which]]

    @torch.no_grad()
    def on_data(self, batch: int) -> Float[Tensor, "U B"]:
        """At the steps themselves."""
        subject = self.subject
        if self.layer is None:
            parts = [subject(subject.x[at], at) for at in torch.split(torch.arange(len(subject.steps)), batch)]
            return torch.cat(parts)[None]
        outputs = outputs_of(subject, self.layer, batch)
        return outputs.flatten(2).mean(2).T[self.units] if outputs.ndim > 2 else outputs.T[self.units]

    def _all(self, x: Tensor, at: Int[Tensor, "N"]) -> Float[Tensor, "N U"]:
        view = self.subject.view
        assert self.layer is not None
        with hooked(view.module, view.name, [self.layer]) as kept:
            self.subject.outputs(x, at)
        require_kept(kept, [self.layer], view.name)
        found = kept[self.layer]
        return found.flatten(2).mean(2) if found.ndim > 2 else found


def wanted(subject: Subject, layer: str | None, units: Sequence[int] | None) -> Wanted:
    """The units of a layer, checked; None: the target.

    Raises:
        ConfigError: no such layer or unit, a target of several numbers, or no gradient from it to the observations.
    """
    chosen: list[int] = [0]
    if layer is not None:
        count = outputs_of(subject.only(torch.zeros(1, dtype=torch.int64).numpy()), layer).shape[1]
        chosen = [int(u) for u in checked_units(units, count, layer, subject.view)]
    elif units is not None:
        raise ConfigError("units are of a layer: say of which by layer=….")
    found = Wanted(subject, layer, chosen)
    x = subject.x[:1].clone().requires_grad_()
    zero = torch.zeros(1, dtype=torch.int64)
    y = found.of(x, zero, zero)
    if y.ndim != 1:
        raise ConfigError(
            f"the target '{subject.target.name}' is several numbers, which have no one maximum: choose one."
        )
    if not (y.requires_grad and torch.autograd.grad(y.sum(), x, allow_unused=True)[0] is not None):
        what = f"the layer '{layer}'" if layer is not None else f"'{subject.target.name}'"
        raise ConfigError(
            f"no gradient of {what} of {subject.view.name} reaches its observations, for it takes categories, leaves "
            "torch, or does not look at them: it cannot be maximised."
        )
    return found
