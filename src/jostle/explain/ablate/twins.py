"""Twin worlds: the same episodes twice, with one thing changed, and what a policy sees and remembers in each.

Both begin with the same seed, and the actions of the first world are taken in both, so that what differs is the change
and what comes of it. The policy's memory goes its own way in each.
"""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.envs import make_env
from jostle.envs.domain import asked
from jostle.envs.make import capped
from jostle.envs.sources import EnvSource, rows_of
from jostle.errors import ConfigError
from jostle.view import PolicyView, as_view, require_fit, source_of
from jostle.view.playing import at_least_one, require_seed


@dataclass(frozen=True)
class Twins:
    """B pairs of steps.

    Attributes:
        view: the policy.
        env, change: where, and what is other in the second world.
        first, second: observations, arrays or dictionaries of them [B, …].
        states: before each, in both worlds [S, B, H]; None without memory.
        episode, step: where each pair is from [B].
        differ: the share of pairs whose observations differ.
        objects: the pixels of objects in the first world, where the environment tells them: name -> [B, H, W].
    """

    view: PolicyView
    env: str
    change: str
    first: Any
    second: Any
    states: tuple[Float[Tensor, "S B H"], Float[Tensor, "S B H"]] | None
    episode: Int[np.ndarray, "B"]
    step: Int[np.ndarray, "B"]
    differ: float
    objects: Mapping[str, Bool[np.ndarray, "B H W"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.episode)

    def parts(self) -> list[str]:
        """Names of the parts of an observation; empty where it has none."""
        return list(self.first) if isinstance(self.first, dict) else []


def twin_worlds(
    policy: Any,
    change: Mapping[str, Any],
    *,
    episodes: int = 16,
    max_steps: int = 50,
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    **view: Any,
) -> Twins:
    """Play the same episodes in two worlds; without noise, greedily.

    Args:
        policy: whatever `jostle.as_view` takes; it must show outputs.
        change: options of the environment that are other in the second world, such as ``{"themes": [3]}``, or
            ``{"domain": {"rod.mass": 4.0}}`` for whatever the environment offers.
        episodes: at least two.
        max_steps: of one episode.
        seed: of both worlds.
        env, env_options: the first world; None: where the policy was trained, nothing randomised.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: an argument cannot be used, or the change is none.
        EnvError: an environment failed.
    """
    episodes, max_steps = at_least_one("episodes", episodes), at_least_one("max_steps", max_steps)
    require_seed(seed)
    if episodes < 2:
        raise ConfigError("one episode says nothing about others: give two at least.")
    seen = as_view(policy, **view).clone()
    source = source_of(seen, env)
    first = dict(seen.env_options if env_options is None else env_options)
    rows = rows_of(source, episodes)
    if rows < episodes:
        raise ConfigError(f"this environment is one alone, and {episodes} episodes play side by side: give its id.")
    with ExitStack() as stack:
        worlds = []
        for options in (first, changed(first, change)):
            made = make_env(source, episodes, seed=seed, **capped(options, episodes))
            worlds.append(stack.enter_context(closing(made)))
            require_fit(seen, made)
        found = _play(seen, worlds, episodes, max_steps, seed)
        name = worlds[0].id
    one, other, states, episode, step, objects = found
    differ = _differ(one, other)
    moved = differ > 0 or (states is not None and not torch.equal(*states))
    if not moved:
        raise ConfigError(
            f"nothing that {seen.name} sees or remembers differs under {_told(change)}: change something that shows."
        )
    return Twins(seen, name, _told(change), one, other, states, episode, step, differ, objects)


def changed(options: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the second world; a ``domain`` may be given as `jostle.evaluate` takes it.

    Raises:
        ConfigError: nothing is changed.
    """
    if not change:
        raise ConfigError("twin worlds differ in one thing: say in which, such as change={'themes': [3]}.")
    rest = {name: value for name, value in change.items() if name != "domain"}
    return asked({**options, **rest}, change["domain"]) if "domain" in change else {**options, **rest}


@torch.no_grad()
def _play(
    view: PolicyView, worlds: list[Any], episodes: int, max_steps: int, seed: int
) -> tuple[Any, Any, tuple[Tensor, Tensor] | None, Int[np.ndarray, "B"], Int[np.ndarray, "B"], dict[str, Any]]:
    seen = [world.reset(seed=seed) for world in worlds]
    obs, infos = [s[0] for s in seen], [s[1] for s in seen]
    states: list[Tensor | None] = [None, None]
    running = np.ones(episodes, np.bool_)
    shown: list[dict[str, Any]] = []
    kept: list[tuple[list[Any], list[Tensor | None], Any]] = []
    for _ in range(max_steps):
        outputs = []
        for world in (0, 1):
            how = {} if states[world] is None else {"state": states[world]}
            outputs.append(view.forward(obs[world], **how))
        before = [_or_zeros(state, out.state) for state, out in zip(states, outputs, strict=True)]
        shown.append({name: pixels[running] for name, pixels in (worlds[0].object_masks() or {}).items()})
        kept.append(([_rows(o, running) for o in obs], [_columns(b, running) for b in before], np.flatnonzero(running)))
        action = view.actions(outputs[0], mask=infos[0].get("action_mask"))
        states = [out.state for out in outputs]
        for world in (0, 1):
            obs[world], _, terminated, truncated, infos[world] = worlds[world].step(action)
            running = running & ~(terminated | truncated)
        if not running.any():
            break
    one, other = (_joined([k[0][world] for k in kept]) for world in (0, 1))
    memory = [torch.cat([k[1][world] for k in kept], 1) if kept[0][1][world] is not None else None for world in (0, 1)]  # type: ignore[misc]
    states_ = None if memory[0] is None or memory[1] is None else (memory[0], memory[1])
    episode = np.concatenate([k[2] for k in kept])
    step = np.concatenate([np.full(len(k[2]), t) for t, k in enumerate(kept)])
    return one, other, states_, episode, step, _joined(shown)


def _or_zeros(state: Tensor | None, after: Tensor | None) -> Tensor | None:
    if after is None:
        return None
    return torch.zeros_like(after) if state is None else state


def _rows(obs: Any, rows: np.ndarray[Any, Any]) -> Any:
    return {k: v[rows] for k, v in obs.items()} if isinstance(obs, dict) else np.asarray(obs)[rows]


def _columns(state: Tensor | None, rows: np.ndarray[Any, Any]) -> Tensor | None:
    return None if state is None else state[:, torch.from_numpy(rows)].clone()


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _differ(one: Any, other: Any) -> float:
    pairs = [(one[k], other[k]) for k in one] if isinstance(one, dict) else [(one, other)]
    apart = [(a != b).reshape(len(a), -1).any(1) for a, b in pairs]
    return float(np.any(apart, axis=0).mean())


def _told(change: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in change.items())
