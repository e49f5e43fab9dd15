"""What gradient techniques share: what they can be asked, and how their numbers become maps."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Layout, Subject
from jostle.explain.perturb.vectors import feature_names
from jostle.explain.results.importance import Importance
from jostle.explain.results.maps import Maps, maps_of

Reduce = Literal["max", "sum"]


def captum() -> Any:
    """``captum.attr``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("captum.attr")
    except ImportError as error:
        raise ConfigError('gradient saliency needs Captum: pip install "jostle[lab]".') from error


def require_gradients(subject: Subject, *, at_the_point: bool = True) -> None:
    """Raises: ConfigError where the target is no single number, where no gradient reaches the observations, or where it
    vanishes whatever the policy."""
    target, name = subject.target, subject.view.name
    if at_the_point and target.flat:
        raise ConfigError(
            f"the gradient of '{target.name}' is 0 where nothing is perturbed: use integrated gradients or "
            "perturbation."
        )
    x = subject.x[:1].clone().requires_grad_()
    y = subject(x, torch.zeros(1, dtype=torch.int64))
    if y.ndim != 1:
        raise ConfigError(f"the target '{target.name}' is several numbers, which have no one gradient: choose one.")
    reached = y.requires_grad and torch.autograd.grad(y.sum(), x, allow_unused=True)[0] is not None
    if not reached:
        raise ConfigError(
            f"no gradient of '{target.name}' reaches the observations of {name}, for it takes categories, leaves "
            "torch, or does not look at them: use perturbation."
        )


def places(subject: Subject) -> Int[Tensor, "B"]:
    """Which step each row of `Subject.x` is of, for Captum to repeat and cut with the rows."""
    return torch.arange(len(subject.steps))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Captum's announcements of its hooks and of gradients that it asks for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"captum\..*")
        warnings.filterwarnings("ignore", message="(Setting|Required|Input Tensor|.*backward hooks).*")
        yield


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within the block, torch's global generators begin with a seed; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def picture_layout(subject: Subject) -> Layout | None:
    """The layout of its pictures, None where it sees none."""
    try:
        return subject.layout()
    except ConfigError:
        return None


def result_of(
    subject: Subject, method: str, found: Tensor, reduce: Reduce, settings: dict[str, Any], **numbers: Tensor
) -> Maps | Importance:
    """Maps of pictures, or the importance of features.

    Args:
        subject: whose inputs the numbers are of.
        method: its name.
        found: one number for each of an input [B, …].
        reduce: ``sum`` over the channels, with signs; or the ``max`` of the absolute numbers (Simonyan et al. 2014).
        settings: of the technique.
        **numbers: further ones for each step.
    """
    layout, found = picture_layout(subject), found.detach()
    if layout is None:
        flat = found.flatten(1).cpu().numpy()
        if not np.isfinite(flat).all():
            raise ConfigError(f"{method} of {subject.view.name} found NaN or infinities: its weights hold them.")
        who = subject.target.name, subject.view.name
        return Importance(method, *who, feature_names(subject), flat, signed=True, settings=settings)
    planes = layout.planes(found)
    values = planes.sum(1) if reduce == "sum" else planes.abs().amax(1)
    told = {name.replace("_", " "): number.detach().cpu().numpy() for name, number in numbers.items()}
    return maps_of(
        subject, layout, method, values, signed=reduce == "sum", settings=settings | {"channels": reduce}, numbers=told
    )
