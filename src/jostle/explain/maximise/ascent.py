"""Activation maximisation: x ← Π(x + η ∇(a_u(x) − λ R(x))), from several starts, all units and starts in one batch.

Steps have equal length, η times the range of the observation in every number's root mean square, and shrink to nothing
over the ascent. Π keeps observations within their bounds. Which R the source has used could not be confirmed; L2, total
variation, jitter and blur are offered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor

from jostle.errors import ConfigError
from jostle.explain.asking import Layout, Subject, Target, ask
from jostle.explain.maximise.regularise import blurred, shifted, square_norm, total_variation
from jostle.explain.maximise.result import Maximised
from jostle.explain.maximise.units import Wanted, wanted
from jostle.explain.results.similarity import spearman
from jostle.view import PolicyView

BATCH = 64


@dataclass(frozen=True)
class _How:
    """Settings of an ascent."""

    steps: int
    rate: float
    l2: float
    tv: float
    jitter: int
    blur: float
    seed: int
    batch: int


def maximise_activation(
    policy: Any,
    steps: Any,
    layer: str | None = None,
    *,
    units: Sequence[int] | None = None,
    target: str | Target | None = None,
    starts: int = 4,
    iterations: int = 100,
    rate: float = 0.05,
    l2: float = 0.0,
    tv: float = 0.0,
    jitter: int = 0,
    blur: float = 0.0,
    null: Sequence[PolicyView] = (),
    seed: int = 0,
    batch: int = BATCH,
    key: str | None = None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> Maximised:
    """Observations at which units put out as much as can be had.

    The first start is the step's observation at which the unit puts out most, the others are noise. The recurrent
    state, the noise and all other parts of an observation are those of the first step.

    Args:
        policy, steps, key: see `jostle.explain.ask`; what is achieved stands beside the largest at these steps.
        layer: whose units; None: the target.
        units: None: all.
        target: as of `jostle.explain.ask`, where there is no layer.
        starts: S.
        iterations: of the ascent.
        rate: η.
        l2: weight of the mean squared distance from the middle of the range, in ranges.
        tv: weight of the total variation, in ranges; pictures only.
        jitter: pixels by which pictures are moved at random in each iteration.
        blur: σ in pixels of a blur after every fifth iteration but the last.
        null: untrained policies of the same shape: what is achieved there.
        seed: of noise and jitter; the same for every unit.
        batch: rows that go through the network at a time; results do not depend on it.
        notify: called with rows done and in all.

    Raises:
        ConfigError: an argument cannot be used, or no gradient reaches the observations.
    """
    if min(starts, iterations, batch) < 1 or not rate > 0 or min(l2, tv, blur, jitter) < 0:
        raise ConfigError(
            f"starts={starts}, iterations={iterations}, batch={batch} and rate={rate} must be greater than 0, and "
            f"l2={l2}, tv={tv}, jitter={jitter} and blur={blur} no less."
        )
    subject = ask(policy, steps, target, key=key)
    goal = wanted(subject, layer, units)
    layout = _pictures(subject)
    if layout is None and (tv or jitter or blur):
        raise ConfigError(f"{subject.view.name} sees no pictures: leave tv, jitter and blur out.")
    how = _How(iterations, rate, l2, tv, jitter, blur, seed, batch)
    x, achieved, data, noise = _ascend(goal, layout, starts, how, notify)
    nulls = []
    for view in null:
        theirs = wanted(subject.of(view), layer, goal.units if layer is not None else None)
        _, other, seen, _ = _ascend(theirs, layout, starts, how)
        nulls.append(_gain(other.amax(1), seen))
    arrays = [t.detach().double().cpu().numpy() for t in (x, achieved, data, noise)]
    if not np.isfinite(arrays[1]).all():
        raise ConfigError(f"{subject.view.name} puts out NaN or infinities: its weights hold them.")
    best = arrays[0][np.arange(len(goal.names)), arrays[1].argmax(1)]
    return Maximised(
        policy=subject.view.name,
        names=goal.names,
        best=best,
        starts=arrays[0],
        achieved=arrays[1],
        data=arrays[2],
        noise=arrays[3],
        gain=_gain(achieved.amax(1), data),
        null=np.stack(nulls) if nulls else np.zeros((0, len(goal.names))),
        agreement=np.array([_agreement(each) for each in arrays[0]]),
        pictures=None if layout is None else layout.rgb(torch.from_numpy(best).float()),
        settings={
            "iterations": iterations, "rate": rate, "l2": l2, "tv": tv, "jitter": jitter, "blur": blur, "seed": seed,
        },
    )  # fmt: skip


def _ascend(
    goal: Wanted,
    layout: Layout | None,
    starts: int,
    how: _How,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs [U, S, …], what is achieved [U, S], at the steps [U, B], and where it begins with noise [U, S − 1]."""
    subject = goal.subject
    low, high = _bounds(subject)
    data = goal.on_data(max(how.batch, 1))
    begun = _starts(subject, data, starts, low, high, how.seed)
    count = len(goal.names)
    rows = begun.reshape(-1, *begun.shape[2:])
    which = torch.arange(count).repeat_interleave(starts)
    found, height, before = [], [], []
    for first in range(0, len(rows), how.batch):
        some, unit = rows[first : first + how.batch], which[first : first + how.batch]
        at = torch.zeros(len(some), dtype=torch.int64)
        with torch.no_grad():
            before.append(goal.of(some, at, unit))
        climbed = _climbed(goal, layout, some, unit, low, high, how)
        with torch.no_grad():
            height.append(goal.of(climbed, at, unit))
        found.append(climbed)
        notify(min(first + how.batch, len(rows)), len(rows))
    achieved, noise = torch.cat(height).view(count, starts), torch.cat(before).view(count, starts)
    return torch.cat(found).view(begun.shape), achieved, data, noise[:, 1:]


def _climbed(
    goal: Wanted, layout: Layout | None, x: Tensor, unit: Tensor, low: Tensor, high: Tensor, how: _How
) -> Tensor:
    at = torch.zeros(len(x), dtype=torch.int64)
    width, middle = high - low, (high + low) / 2
    moves = np.random.default_rng([how.seed, 1]).integers(-how.jitter, how.jitter + 1, size=(how.steps, 2))
    for step in range(how.steps):
        x = x.detach().requires_grad_()
        down, right = (int(m) for m in moves[step])
        seen = x if layout is None else layout.shaped(shifted(layout.planes(x), down, right))
        unit_x = (x - low) / width
        score = goal.of(seen, at, unit)
        if how.l2:
            score = score - how.l2 * square_norm((x - middle) / width, 0.0)
        if how.tv and layout is not None:
            score = score - how.tv * total_variation(layout.planes(unit_x))
        grad = torch.autograd.grad(score.sum(), x)[0] * width  # in ranges
        size = grad.flatten(1).square().mean(1).sqrt().clamp_min(1e-20).view(-1, *[1] * (x.ndim - 1))
        pace = how.rate * (1 - step / how.steps)
        x = (x.detach() + pace * width * grad / size).clamp(low, high)
        if how.blur and layout is not None and step % 5 == 4 and step < how.steps - 1:
            x = layout.shaped(blurred(layout.planes(x), how.blur))
    return x.detach()


def _starts(subject: Subject, data: Tensor, starts: int, low: Tensor, high: Tensor, seed: int) -> Tensor:
    """[U, S, …]: the step at which each is greatest, then noise around the middle, the same for all."""
    best = subject.x[data.argmax(1)].clamp(low, high)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(starts, *subject.x.shape[1:], generator=generator)
    drawn = low + (high - low) * (0.5 + 0.2 * (noise - 0.5))
    every = drawn.expand(len(best), *drawn.shape).clone()
    every[:, 0] = best
    return every


def _bounds(subject: Subject) -> tuple[Tensor, Tensor]:
    """The least and the greatest an observation may be; without bounds of its space half a range beyond the steps'."""
    space, x = subject.space, subject.x
    least, most = x.amin(0), x.amax(0)
    reach = 0.5 * (most - least).clamp_min(1e-3)
    low, high = least - reach, most + reach
    if isinstance(space, spaces.Box) and tuple(x.shape[1:]) == space.shape:
        told_low, told_high = (torch.as_tensor(np.asarray(b, np.float32)) for b in (space.low, space.high))
        real = (told_low > -1e6) & (told_high < 1e6)
        low, high = torch.where(real, told_low, low), torch.where(real, told_high, high)
    elif isinstance(space, spaces.Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        inside = float(least.min()) >= float(space.low.min()) and float(most.max()) <= float(space.high.max())
        if inside:  # pictures whose axes were moved
            low = torch.full_like(low, float(space.low.min()))
            high = torch.full_like(high, float(space.high.max()))
    return low, torch.maximum(high, low + 1e-6)


def _gain(achieved: Tensor, data: Tensor) -> Float[np.ndarray, "U"]:
    """How far beyond the largest at the steps, in deviations of what is put out there; NaN where nothing varies."""
    spread = data.std(1, correction=0)
    found = (achieved - data.amax(1)) / torch.where(spread > 1e-8, spread, torch.nan)
    return found.detach().double().cpu().numpy()


def _agreement(found: Float[np.ndarray, "S *F"]) -> float:
    """Mean rank correlation of the results of different starts; NaN of a single one."""
    pairs = [(i, j) for i in range(len(found)) for j in range(i)]
    return float(np.mean([spearman(found[i], found[j]) for i, j in pairs])) if pairs else float("nan")


def _pictures(subject: Subject) -> Layout | None:
    try:
        return subject.layout()
    except ConfigError:
        return None
