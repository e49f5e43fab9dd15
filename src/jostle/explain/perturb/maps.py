"""Perturbation saliency of pictures: grey squares, blurs, and the picture of what is seen on average."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.asking import Pass, Subject, Target, ask
from jostle.explain.perturb.batches import BATCH, perturbed
from jostle.explain.perturb.fill import baseline_of, mean_frames
from jostle.explain.perturb.masks import Masks, gaussian_masks, square_masks
from jostle.explain.results.maps import Maps, maps_of
from jostle.explain.tracing import Trace

Score = Literal["drop", "square"]
Frames = Literal["newest", "all"]


def occlusion(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    window: int = 5,
    stride: int | None = None,
    fill: Any = "grey",
    score: Score = "drop",
    frames: Frames = "all",
    batch: int = BATCH,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maps:
    """Occlusion by a hard square, grey unless something else is asked for (Zeiler and Fergus 2014).

    Score of a place: y(I) − y(I′), how much of the explained number goes when the place is covered.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        window, stride: pixels.
        fill: what covers; see `jostle.explain.perturb.fill.baseline_of`.
        score: ``drop``, or ``square``: ½ ‖y(I) − y(I′)‖².
        frames: of a stack, ``all``, or the ``newest`` alone.
        batch: pictures that go through the network at a time.
        notify: called with steps done and in all.

    Raises:
        ConfigError: an argument cannot be used, or the policy sees no pictures.
    """
    subject = ask(policy, steps, target, key=key)
    masks = square_masks(subject.layout().size, window=window, stride=stride)
    return perturbation(subject, "occlusion", masks, fill, score=score, frames=frames, batch=batch, notify=notify)


def greydanus(
    policy: Any,
    steps: Any,
    target: str | Target = "policy",
    *,
    stride: int = 5,
    variance: float = 25.0,
    batch: int = BATCH,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maps:
    """Greydanus et al. (2018): the newest frame is blurred (σ = 3) under a Gaussian mask (σ² = 25, peak 1).

    Score: ½ ‖π(I) − π(I′)‖² on logits (of action values and means: on these), or ½ (V − V′)² of the target ``value``.
    The recurrent state is the unperturbed one.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        target: ``policy``, ``value`` or any other.
        stride: pixels between the centres of the masks.
        variance: σ² of the masks in pixels².
        batch: pictures that go through the network at a time.
        notify: called with steps done and in all.

    Raises:
        ConfigError: an argument cannot be used, or the policy sees no pictures.
    """
    subject = ask(policy, steps, target, key=key)
    masks = gaussian_masks(subject.layout().size, stride=stride, variance=variance)
    return perturbation(subject, "blur", masks, "blur", score="square", frames="newest", batch=batch, notify=notify)


def baseline_mask(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    trace: Trace | None = None,
    pooled: bool = True,
    fill: Any = None,
    stride: int = 5,
    variance: float = 25.0,
    score: Score = "drop",
    frames: Frames = "all",
    batch: int = BATCH,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maps:
    """The mask from a baseline image (after Dai et al. 2022): what is seen on average shows through a Gaussian mask.

    The baseline is the mean frame of a trace, of all conditions (``pooled``) or of each step's own. Their exact image
    is not known to us; the mean frame is our choice.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        trace: whose frames are averaged; None: the steps' own.
        pooled: over all conditions.
        fill: pictures to take instead; see `jostle.explain.perturb.fill.baseline_of`.
        stride, variance: of the masks.
        score, frames, batch, notify: as of `occlusion`.

    Raises:
        ConfigError: there is no trace and no picture, an argument cannot be used, or the policy sees no pictures.
    """
    subject = ask(policy, steps, target, key=key)
    layout = subject.layout()
    trace = trace or (steps if isinstance(steps, Trace) else subject.steps.origin)
    if fill is None and trace is None:
        raise ConfigError("a baseline image needs frames to be averaged: give trace=…, or a picture as fill=….")
    if fill is None:
        assert trace is not None
        fill = mean_frames(subject, trace, layout, pooled=pooled)
    masks = gaussian_masks(layout.size, stride=stride, variance=variance)
    name = "baseline image" if pooled else "baseline image by condition"
    return perturbation(subject, name, masks, fill, score=score, frames=frames, batch=batch, notify=notify)


def perturbation(
    subject: Subject,
    name: str,
    masks: Masks,
    fill: str | Mapping[str, Any] | Any,
    *,
    score: Score,
    frames: Frames,
    batch: int = BATCH,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maps:
    """Maps of any masks and fill; see `occlusion` for the rest.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if score not in ("drop", "square"):
        raise ConfigError(f"score='{score}' is unknown; {closest(str(score), ['drop', 'square'])}")
    if frames not in ("newest", "all"):
        raise ConfigError(f"frames='{frames}' are unknown; {closest(str(frames), ['newest', 'all'])}")
    if batch < 1:
        raise ConfigError(f"batch={batch} cannot be used: it must be at least 1.")
    layout = subject.layout()
    before = subject.before
    if before.ndim > 1 and score == "drop":
        raise ConfigError(f"the target '{subject.target.name}' is several numbers: give score='square'.")
    change = drop(before) if score == "drop" else half_square(before)
    found = perturbed(
        subject,
        layout,
        masks,
        baseline_of(subject, layout, fill),
        lambda one: change(subject.target(one), one),
        frames=frames,
        batch=batch,
        notify=notify,
    )
    how = {"masks": masks.name, "fill": fill if isinstance(fill, str) else "picture", "score": score, "frames": frames}
    return maps_of(subject, layout, name, masks.spread(found), signed=score == "drop", settings=how)


def drop(before: Float[Tensor, "B"]) -> Callable[[Tensor, Pass], Tensor]:
    """y(I) − y(I′)."""
    return lambda after, one: before[one.at] - after


def half_square(before: Float[Tensor, "B *O"]) -> Callable[[Tensor, Pass], Tensor]:
    """½ ‖y(I) − y(I′)‖²."""
    return lambda after, one: 0.5 * (before[one.at] - after).square().reshape(len(after), -1).sum(1)
