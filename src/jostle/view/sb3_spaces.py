"""What a zip of Stable-Baselines3 says of its spaces, held against an environment's."""

import importlib
import re
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from jostle.errors import ConfigError
from jostle.view.interface import in_short


def require_alike(data: Mapping[str, Any], seen: gym.Space[Any], acts: gym.Space[Any], env: str) -> None:
    """Raises: ConfigError where the spaces that a zip's ``data`` describes are not the environment's."""
    for what, told, ours in (
        ("observations", data["observation_space"], turned(seen)),
        ("actions", data["action_space"], [acts]),
    ):
        if not any(_alike(told, space, bounds=what == "actions") for space in ours):
            theirs = str(ours[-1]) if what == "actions" else in_short(ours[-1])
            raise ConfigError(
                f"the model has {what} {_said(told)}, and {env} has {theirs}: give the environment that it was trained "
                "in (--env), and its options, such as frame_stack (--env-options)."
            )


def turned(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    """The space with its pictures' channels first, as Stable-Baselines3 turns them, and as it is."""
    if isinstance(space, spaces.Dict):
        first: gym.Space[Any] = spaces.Dict({key: _first(each) for key, each in space.spaces.items()})
    else:
        first = _first(space)
    return [space] if first == space else [first, space]


def _first(space: gym.Space[Any]) -> gym.Space[Any]:
    tools = importlib.import_module("stable_baselines3.common.preprocessing")
    if not tools.is_image_space(space) or tools.is_image_space_channels_first(space):
        return space
    assert isinstance(space, spaces.Box)
    return spaces.Box(np.moveaxis(space.low, -1, 0), np.moveaxis(space.high, -1, 0), dtype=np.uint8)


def _alike(told: Mapping[str, Any], space: gym.Space[Any], *, bounds: bool) -> bool:
    """Whether the description fits the space, as far as it can be read. Actions are scaled by their bounds."""
    if _kind(told) != type(space).__name__:
        return False
    if isinstance(space, spaces.Dict):
        return all(f"'{key}'" in str(told.get("spaces", f"'{key}'")) for key in space.spaces)
    if isinstance(space, spaces.Discrete):
        return (str(told.get("n")), str(told.get("start", 0))) == (str(space.n), str(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        return _numbers(told.get("nvec")) in (None, space.nvec.ravel().tolist())
    if not isinstance(space, spaces.Box):
        return bool(told.get("_shape", list(space.shape or ())) == list(space.shape or ()))
    if told.get("_shape") != list(space.shape) or ("uint8" in str(told.get("dtype"))) != (space.dtype == np.uint8):
        return False
    ends = [(_numbers(told.get(end)), getattr(space, end).ravel()) for end in ("low", "high")]
    return not bounds or all(
        said is None or (len(said) == len(ours) and bool(np.allclose(said, ours, rtol=1e-5))) for said, ours in ends
    )


def _kind(told: Mapping[str, Any]) -> str:
    named = re.fullmatch(r"<class '[\w.]*?(\w+)'>", str(told.get(":type:")))
    return named[1] if named else ""


def _said(told: Mapping[str, Any]) -> str:
    facts = {"Box": "_shape", "Discrete": "n", "MultiDiscrete": "nvec", "MultiBinary": "n", "Dict": "spaces"}
    kind = _kind(told)
    bounds = (
        f" from {told.get('low')} to {told.get('high')}" if kind == "Box" and len(str(told.get("low"))) < 40 else ""
    )
    said = f"{kind or 'of an unknown kind'} {told.get(facts.get(kind, ''), '')}{bounds}"
    return " ".join(said.split())[:200]


def _numbers(text: Any) -> list[float] | None:
    """The numbers of a printed array; None where they are not all printed."""
    if not isinstance(text, str) or "..." in text:
        return None
    try:
        return [float(word) for word in re.sub(r"[\[\],]", " ", text).split()]
    except ValueError:
        return None
