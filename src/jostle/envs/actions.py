"""Actions are checked before every step: EnvPool takes any number, and a short batch ends the whole process there."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from jostle.envs.masks import Mask, counts_of, legal_choices
from jostle.errors import EnvError

ActionCheck = Callable[[Any], np.ndarray]
"""Takes a batch of actions and returns it as an array, or raises `EnvError`."""

_UNSIGNED = {np.dtype(f"i{size}"): np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def tidy_action_space(space: spaces.Space[Any], env: str) -> spaces.Space[Any]:
    """The space that agents see: float boxes become float32, bounded integer boxes become `MultiDiscrete`.

    Raises:
        EnvError: the space is none of Discrete, MultiDiscrete, MultiBinary and Box.
    """
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return space
    if isinstance(space, spaces.Box):
        if space.dtype is not None and space.dtype.kind in "iu":
            low = space.low.astype(np.int64)
            return spaces.MultiDiscrete(space.high.astype(np.int64) - low + 1, start=low)
        with np.errstate(over="ignore"):  # VizDoom's bounds are the largest doubles
            return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
    raise EnvError(
        f"{env} has the action space {space}, which jostle cannot act in: wrap the environment so that its actions are "
        "Discrete, MultiDiscrete, MultiBinary or Box."
    )


def action_check(space: spaces.Space[Any], num_envs: int, env: str) -> ActionCheck:
    """The check for batches of `num_envs` actions of a space made by `tidy_action_space`.

    Shape, kind and range are checked; nothing is clipped. The returned array has the caller's integer type for discrete
    actions and float32 for boxes.
    """
    if isinstance(space, spaces.Discrete):
        return _discrete_check(np.asarray(space.n), np.asarray(space.start), (num_envs,), env)
    if isinstance(space, spaces.MultiDiscrete):
        return _discrete_check(space.nvec, space.start, (num_envs, *space.nvec.shape), env)
    if isinstance(space, spaces.MultiBinary):
        return _discrete_check(np.full(space.shape, 2), np.zeros(space.shape, np.int64), (num_envs, *space.shape), env)
    assert isinstance(space, spaces.Box)
    return _box_check(space, (num_envs, *space.shape), env)


def _discrete_check(count: np.ndarray, start: np.ndarray, shape: tuple[int, ...], env: str) -> ActionCheck:
    first, last = start, start + count - 1
    plain = count.ndim == 0 and int(start) == 0
    limit = int(count) if plain else 0

    def check(actions: Any) -> np.ndarray:
        batch = _as_array(actions, shape, "iu", "integers", env)
        if plain:
            # A negative number read as unsigned is huge, so one reduction tests both ends of the range.
            unsigned = _UNSIGNED.get(batch.dtype)
            if np.maximum.reduce(batch if unsigned is None else batch.view(unsigned)) < limit:
                return batch
        wrong = (batch < first) | (batch > last)
        if wrong.any():
            raise EnvError(f"{env}: {_first_wrong(batch, wrong)} is outside the range {_range(first, last)}.")
        return batch

    return check


def _box_check(space: spaces.Box, shape: tuple[int, ...], env: str) -> ActionCheck:
    low, high = space.low, space.high
    unbounded = not bool(np.isfinite(low).all() and np.isfinite(high).all())
    inside, below = np.empty(shape, np.bool_), np.empty(shape, np.bool_)

    def check(actions: Any) -> np.ndarray:
        batch = _as_array(actions, shape, "f", "floating-point numbers", env).astype(np.float32, copy=False)
        # Comparisons with NaN are false, so NaN counts as outside.
        np.greater_equal(batch, low, out=inside)
        np.less_equal(batch, high, out=below)
        np.logical_and(inside, below, out=inside)
        if unbounded:
            np.logical_and(inside, np.isfinite(batch), out=inside)
        if np.count_nonzero(inside) != inside.size:
            raise EnvError(f"{env}: {_first_wrong(batch, ~inside)} is outside the range {_range(low, high)}.")
        return batch

    return check


def _as_array(actions: Any, shape: tuple[int, ...], kinds: str, kind: str, env: str) -> np.ndarray:
    batch: np.ndarray = actions if isinstance(actions, np.ndarray) else np.asarray(actions)
    if batch.shape != shape:
        raise EnvError(f"{env}: the actions have shape {list(batch.shape)}, and {list(shape)} is needed.")
    if batch.dtype.kind not in kinds:
        raise EnvError(f"{env}: the actions are of type {batch.dtype}, and {kind} are needed.")
    return batch


def _first_wrong(actions: np.ndarray, wrong: np.ndarray) -> str:
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"component {list(index[1:])} of the action" if len(index) > 1 else "the action"
    return f"{place} {actions[index]} for environment {index[0]}"


def _range(low: np.ndarray, high: np.ndarray) -> str:
    if (low == low.flat[0]).all() and (high == high.flat[0]).all():
        return f"{low.flat[0]} to {high.flat[0]}"
    return f"{low.tolist()} to {high.tolist()}"


def random_actions(
    space: spaces.Space[Any], num_envs: int, rng: np.random.Generator, mask: Mask | None = None
) -> np.ndarray:
    """A batch of uniformly random actions of a space made by `tidy_action_space`; normal where a box has no bounds.

    With a ``mask``, as ``info["action_mask"]`` tells it, of the legal ones.
    """
    if mask is not None:
        chosen = legal_choices(mask, counts_of(space), rng).reshape(num_envs, *(space.shape or ()))
        return chosen + getattr(space, "start", 0)
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, size=num_envs)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.start, space.start + space.nvec, size=(num_envs, *space.nvec.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, size=(num_envs, *space.shape))
    assert isinstance(space, spaces.Box)
    shape = (num_envs, *space.shape)
    bounded = space.bounded_below & space.bounded_above
    low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
    drawn = np.where(bounded, rng.uniform(low, high, shape), rng.standard_normal(shape))
    return np.clip(drawn.astype(np.float32), space.low, space.high)
