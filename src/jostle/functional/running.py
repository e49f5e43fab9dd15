"""Running statistics that merge exactly, and the scale of intrinsic rewards."""

import math
from collections.abc import Callable, Iterator
from typing import Self

import torch
from jaxtyping import Bool, Float, Num, UInt8
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.functional.scan import reverse_scan

# Elements taken into a wider type at a time, so that they stay in the processor's cache.
CHUNK = 2**17


class _KeepsFloat64(nn.Module):
    """A module whose buffers follow it to another device and keep their type: `.half()` would ruin counts and sums."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(lambda t: t.to(fn(t).device), recurse)  # type: ignore[no-untyped-call]
        return self


class Moments(_KeepsFloat64):
    """Count, mean and sum of squared deviations (M2) per feature in float64; parts merge to the whole's values.

    The merge is that of Chan, Golub & LeVeque (1983). ``count``, ``mean`` and ``m2`` are buffers: they are saved with
    the weights and move with ``.to(device)``, but keep their float64 whatever type the module is cast to.

    Args:
        shape: shape of one observation; every feature (pixel) has statistics of its own.
        epsilon_count: weight of a made-up observation with mean 0 and variance 1 to start from. 1e-4 is OpenAI's
            ``RunningMeanStd``; 0 gives the statistics of the data alone.
    """

    count: Float[Tensor, ""]
    mean: Float[Tensor, "*shape"]
    m2: Float[Tensor, "*shape"]

    def __init__(self, shape: tuple[int, ...] = (), epsilon_count: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(epsilon_count, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("m2", torch.full(shape, epsilon_count, dtype=torch.float64))

    @property
    def var(self) -> Float[Tensor, "*shape"]:
        """Population variance; 1 as long as nothing was counted."""
        return torch.where(self.count > 0, self.m2 / self.count, 1.0)

    @property
    def std(self) -> Float[Tensor, "*shape"]:
        """Square root of ``var``."""
        return self.var.sqrt()

    @torch.no_grad()
    def update(self, x: Num[Tensor, "..."], mask: Bool[Tensor, "..."] | None = None) -> None:
        """Count every observation of a batch.

        Args:
            x: ``[..., *shape]``, of any number type; bytes are summed exactly as integers.
            mask: one flag per observation, False for those to leave out (they may be NaN); None counts all.

        Raises:
            ConfigError: the last dimensions of ``x`` are not ``shape``, or ``mask`` does not fit the others.
        """
        shape = self.mean.shape
        batch = x.shape[: x.ndim - len(shape)]
        if x.shape[len(batch) :] != shape or (mask is not None and mask.shape != batch):
            raise ConfigError(
                f"statistics of shape {tuple(shape)} got a batch of shape {tuple(x.shape)}"
                + (f" with a mask of shape {tuple(mask.shape)}" if mask is not None else "")
                + ": give [..., *shape] and a mask of the shape before it."
            )
        rows = x.reshape(-1, *shape)
        moments = _byte_moments if x.dtype == torch.uint8 else _moments
        for part in moments(rows, None if mask is None else mask.reshape(-1)):
            self._combine(*part)

    @torch.no_grad()
    def merge(self, other: Self) -> None:
        """Count what ``other`` has counted as well.

        Raises:
            ConfigError: the other's features have another shape.
        """
        if other.mean.shape != self.mean.shape:
            raise ConfigError(
                f"statistics of shape {tuple(other.mean.shape)} cannot be merged into those of shape "
                f"{tuple(self.mean.shape)}: merge statistics of the same observations."
            )
        self._combine(other.count, other.mean, other.m2)

    @torch.no_grad()
    def forget(self, keep: Float[Tensor, ""] | float) -> None:
        """Let everything counted so far weigh ``keep`` times as much (0 to 1) beside what is counted next."""
        self.count.mul_(keep)
        self.m2.mul_(keep)

    def normalise(self, x: Num[Tensor, "..."], clip: float | None = None, eps: float = 1e-8) -> Tensor:
        """``(x − mean) / sqrt(var + eps)``, kept within ±clip; float32 for integers, else of ``x``'s own type.

        ``eps`` = 0 is what OpenAI's RND does; features that never vary then need an ``epsilon_count``.
        """
        dtype = x.dtype if x.is_floating_point() else torch.float32
        scaled = (x.to(dtype) - self.mean.to(dtype)) * (self.var + eps).rsqrt().to(dtype)
        return scaled if clip is None else scaled.clamp(-clip, clip)

    def _combine(self, count: Float[Tensor, ""], mean: Float[Tensor, "*s"], m2: Float[Tensor, "*s"]) -> None:
        total = self.count + count
        share = torch.where(total > 0, count / total, 0.0)
        delta = mean - self.mean
        self.m2.add_(m2 + delta.square() * self.count * share)
        self.mean.add_(delta * share)
        self.count.copy_(total)


class ReturnFilter(_KeepsFloat64):
    """The scale of an intrinsic reward: the standard deviation of its discounted sum over the past (Burda et al. 2018).

    Per environment ``R ← γR + i_t``, forward in time and carried from one rollout to the next. The moments are taken
    over all valid R. Rewards are divided by ``scale`` after ``update`` has seen them; they are not centred.

    Args:
        num_envs: N, the number of environments.
        discount: γ of the filter, the intrinsic stream's own in the paper.
        epsilon_count: see ``Moments``; the default is the official code's.
    """

    total: Float[Tensor, "N"]

    def __init__(self, num_envs: int, discount: float, epsilon_count: float = 1e-4) -> None:
        super().__init__()
        self.discount = discount
        self.moments = Moments((), epsilon_count)
        self.register_buffer("total", torch.zeros(num_envs, dtype=torch.float64))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """Standard deviation of all R so far, float64; 1 before the first."""
        return self.moments.std

    @torch.no_grad()
    def update(
        self,
        reward: Float[Tensor, "T N"],
        valid: Bool[Tensor, "T N"],
        start: Bool[Tensor, "T N"] | None = None,
    ) -> None:
        """Filter a rollout, each environment along time, and count the filtered values.

        Args:
            reward: raw intrinsic rewards; those of invalid rows are ignored and may be NaN.
            valid: False for rows that only reset: no step of the filter, nothing to count.
            start: first rows of episodes, where R starts again from 0. None, as in the paper, never starts again.

        Raises:
            ConfigError: the rollout has another number of environments than the filter.
        """
        if reward.shape[1] != len(self.total):
            raise ConfigError(
                f"a return filter for {len(self.total)} environments got rewards of {reward.shape[1]}: "
                "give rewards as [time, environment]."
            )
        step = torch.where(valid, reward.double(), 0.0)
        decay = torch.full_like(step, self.discount).masked_fill_(~valid, 1.0)
        if start is not None:
            decay.masked_fill_(start & valid, 0.0)
        step[0] += decay[0] * self.total
        # R_t = step_t + decay_t · R_tm1 is the reverse scan of the flipped rows.
        filtered = reverse_scan(step.flip(0), decay.flip(0)).flip(0)
        self.total.copy_(filtered[-1])
        self.moments.update(filtered, valid)


Part = tuple[Float[Tensor, ""], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]  # count, mean, M2


def _chunks(x: Num[Tensor, "n *shape"], mask: Bool[Tensor, "n"] | None, most: int) -> Iterator[Num[Tensor, "_ *shape"]]:
    """The rows to count, some at a time."""
    size = max(1, min(most, CHUNK // max(1, math.prod(x.shape[1:]))))
    for first in range(0, x.shape[0], size):
        rows = x[first : first + size]
        rows = rows if mask is None else rows[mask[first : first + size]]
        if len(rows):
            yield rows


def _moments(x: Num[Tensor, "n *shape"], mask: Bool[Tensor, "n"] | None) -> Iterator[Part]:
    """Count, mean and M2 of one chunk of rows after the other, in two passes of float64."""
    for rows in _chunks(x, mask, x.shape[0]):
        wide = rows.double()
        mean = wide.mean(0)
        yield _scalar(len(rows), x), mean, (wide - mean).square_().sum(0)


def _byte_moments(x: UInt8[Tensor, "n *shape"], mask: Bool[Tensor, "n"] | None) -> Iterator[Part]:
    """Count, mean and M2 of all rows at once, from sums of integers without a rounding error.

    Sums over 256 rows stay below 2²⁴ (256 · 255² = 16,646,400), so float32 holds them exactly in any order; float64
    holds the grand totals. Deviations are taken around the integer a next to the mean, also exactly, lest
    Σx² − (Σx)²/n cancel: a constant pixel has M2 = 0.
    """
    n = 0
    total = torch.zeros(x.shape[1:], dtype=torch.float64, device=x.device)
    squares = torch.zeros_like(total)
    for rows in _chunks(x, mask, 256):
        n += len(rows)
        wide = rows.float()
        total += wide.sum(0)
        squares += wide.square_().sum(0)
    if n:
        a = (total / n).round_()
        rest = total - n * a
        yield _scalar(n, x), total / n, squares - 2 * a * total + n * a.square() - rest.square() / n


def _scalar(n: int, like: Tensor) -> Float[Tensor, ""]:
    return torch.tensor(n, dtype=torch.float64, device=like.device)
