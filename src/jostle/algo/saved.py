"""What a checkpoint says of its agent, checked before anything is made of it.

Checksums prove that nothing was changed by accident. They prove neither that jostle wrote it nor that it makes sense.
"""

import math
import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from jostle.errors import CheckpointError

_WIDEST = 4096  # layers up to here are made without a look at the saved weights
_WIDTHS = ("recurrent_size", "bonus_features")
_SMALL = {"input_kernel": 1024, "input_depth": 1024, "threads": 4096, "n_step": 1_000_000}


def check_saved(state: Any, meta: Any) -> None:
    """Refuse meta data with missing parts, wrong types, or sizes that the state contradicts.

    Raises:
        CheckpointError: says which part, and what stands there.
    """
    _need("meta", meta, isinstance(meta, dict), "a mapping")
    _need("state", state, isinstance(state, dict), "a mapping")
    for name, kind, what in (
        ("algorithm", str, "a text"),
        ("env", str, "a text"),
        ("config", dict, "a mapping"),
        ("env_options", dict, "a mapping"),
    ):
        value = _part(meta, name)
        _need(name, value, isinstance(value, kind), what)
    for part in ("config", "env_options"):
        _need(part, meta[part], all(type(key) is str for key in meta[part]), "a mapping from names")
    for name, least in (("num_envs", 1), ("seed", 0)):
        _whole(name, _part(meta, name), least)
    for name in ("steps", "step", "metrics_offset", "planned", "planned_from"):
        if name in meta:
            _whole(name, meta[name], 0)
    if "made_by_function" in meta:
        _need("made_by_function", meta["made_by_function"], type(meta["made_by_function"]) is bool, "true or false")
    if "env_facts" in meta:
        _need("env_facts", meta["env_facts"], isinstance(meta["env_facts"], dict), "a mapping")
    _check_state(state, meta["num_envs"])
    _check_sizes(meta["config"], meta["num_envs"], state["model"])


def _check_state(state: Mapping[str, Any], num_envs: int) -> None:
    progress, carry, model = (_part(state, name) for name in ("progress", "carry", "model"))
    for name, value in (("progress", progress), ("carry", carry), ("model", model)):
        _need(name, value, isinstance(value, dict), "a mapping")
    for name in ("steps", "updates", "episodes"):
        _whole(f"progress.{name}", _part(progress, name), 0)
    shape = list(getattr(_part(carry, "start"), "shape", ()))
    _need("carry.start", shape, shape == [num_envs], f"one flag for each of num_envs={num_envs} environments")
    _need("model", type(model), all(isinstance(tensor, Tensor) for tensor in model.values()), "tensors by name")


def _check_sizes(config: Mapping[str, Any], num_envs: int, model: Mapping[str, Tensor]) -> None:
    widest = max([_WIDEST, *(size for tensor in model.values() for size in tensor.shape)])
    for name, value in config.items():
        widths = value if isinstance(value, list | tuple) else [value] if name in _WIDTHS else []
        most = len(model) + 64
        _need(f"config.{name}", f"{len(widths)} values", len(widths) <= most, "as many as the network has layers")
        for width in widths:
            good = not isinstance(width, int) or width <= widest
            _need(f"config.{name}", width, good, f"at most {widest:,}, as wide as the saved weights")
        if name in _SMALL:
            _need(f"config.{name}", value, not isinstance(value, int) or value <= _SMALL[name], "of a usable size")
    steps = config.get("num_steps")
    if type(steps) is int:
        room = _memory()
        _need("config.num_steps", steps, steps * num_envs * 64 < room, "a rollout that fits into this machine's memory")


def _memory() -> float:
    """Bytes of this machine's memory, as far as it tells."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def _part(whole: Mapping[str, Any], name: str) -> Any:
    if name not in whole:
        raise CheckpointError(f"the checkpoint lacks '{name}', so no agent can be made of it: use another checkpoint")
    return whole[name]


def _whole(name: str, value: Any, least: int) -> None:
    _need(name, value, type(value) is int and least <= value < 2**63, f"a whole number, {least} or more")


def _need(name: str, value: Any, good: bool, what: str) -> None:
    if not good:
        raise CheckpointError(
            f"the checkpoint says {name}={str(value)[:60]!r}, which must be {what}: use another checkpoint"
        )
