"""What stands in a picture's place where a mask covers it: B of I′ = I ⊙ (1 − M) + B ⊙ M."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.asking import Layout, Subject
from jostle.explain.tracing import Trace

FRAMES = 500
"""Steps of a trace, at most, that a mean frame is made of."""


def blurred(planes: Float[Tensor, "B C H W"], sigma: float = 3.0) -> Float[Tensor, "B C H W"]:
    """Each channel blurred by a Gaussian, mirrored at the border and cut off at 4σ, as Greydanus et al. (2018) do.

    Raises:
        ConfigError: σ is 0 or less.
    """
    from scipy.ndimage import gaussian_filter

    if sigma <= 0:
        raise ConfigError(f"sigma={sigma} of a blur cannot be used: it must be greater than 0.")
    array = gaussian_filter(planes.detach().cpu().numpy(), (0, 0, sigma, sigma))
    return torch.from_numpy(array).to(planes.device)


def mean_frames(
    subject: Subject, trace: Trace, layout: Layout, *, pooled: bool = True
) -> dict[str, Float[Tensor, "C H W"]]:
    """What a policy has seen on average in a trace, of each condition or of all of them together (the key is ``""``).

    Under domain randomisation the mean of one condition tends to grey; report both.

    Raises:
        ConfigError: the trace's observations have no such part.
    """
    groups = {"": None} if pooled else {name: name for name in trace.about.conditions}
    found = {}
    for name, condition in groups.items():
        rows = trace.spread(FRAMES, condition=condition)
        if not len(rows):
            continue
        total: Tensor | None = None
        for part in np.array_split(rows, -(-len(rows) // 64)):
            inputs = subject.view.inputs(trace.obs(part))
            x = inputs[str(subject.key)] if isinstance(inputs, dict) else inputs
            planes = layout.planes(x).double().sum(0)
            total = planes if total is None else total + planes
        assert total is not None
        found[name] = (total / len(rows)).float()
    return found


def baseline_of(subject: Subject, layout: Layout, fill: str | Mapping[str, Any] | Any) -> Float[Tensor, "B C H W"]:
    """B of every step.

    Args:
        subject: whose pictures these are.
        layout: theirs.
        fill: ``grey``, ``black``, ``white``, ``blur`` (σ = 3); a picture [C, H, W] or [*shape]; or, for each condition
            by name (``""``: for all), a picture [C, H, W], as `mean_frames` gives them.

    Raises:
        ConfigError: another name, or a picture of another shape.
    """
    planes = layout.planes(subject.x)
    if isinstance(fill, str):
        if fill == "blur":
            return blurred(planes)
        if fill not in ("grey", "black", "white"):
            raise ConfigError(f"fill='{fill}' is unknown; {closest(fill, ['grey', 'black', 'white', 'blur'])}")
        grey = layout.grey  # raises where there are no bounds
        value = {"grey": grey, "black": layout.low, "white": layout.high}[fill]
        return torch.full_like(planes[:1], float(value or 0.0)).expand_as(planes)
    if isinstance(fill, Mapping):
        names = subject.steps.condition or ("",) * len(subject.steps)
        each = []
        for name in names:
            one = fill.get("", fill.get(name))
            if one is None:
                raise ConfigError(f"there is no baseline picture for the condition '{name}'; {closest(name, fill)}")
            each.append(_one(one, layout))
        return torch.stack(each).to(planes.device)
    return _one(fill, layout).to(planes.device).expand_as(planes)


def _one(picture: Any, layout: Layout) -> Float[Tensor, "C H W"]:
    tensor = picture.detach().cpu() if isinstance(picture, Tensor) else torch.as_tensor(np.asarray(picture))
    tensor = tensor.float()
    if tuple(tensor.shape) == layout.shape:
        return layout.planes(tensor[None])[0]
    if tuple(tensor.shape) == (layout.channels, *layout.size):
        return tensor
    raise ConfigError(
        f"a baseline picture of {list(tensor.shape)} does not fit pictures {list(layout.shape)}: give one of these."
    )
