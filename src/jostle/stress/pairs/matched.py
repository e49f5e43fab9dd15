"""Matched play: a new seed for every episode, so that two policies meet the same games, whatever the others did."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jostle.envs import JostleEnv
from jostle.nn.inference import Inference
from jostle.view import Episode, PolicyView, Success, play
from jostle.view.playing import Observe


@dataclass(frozen=True)
class Matched:
    """Episodes of one policy, each in an environment seeded for it.

    Attributes:
        episodes: in the order of their seeds.
        seeds: of each episode; `JostleEnv.reset` gives it to a lone environment for the same game.
        first: fingerprints of the first observations.
    """

    episodes: tuple[Episode, ...]
    seeds: tuple[int, ...]
    first: tuple[int, ...]

    @property
    def returns(self) -> np.ndarray:
        """Undiscounted returns [E]."""
        return np.array([episode.ret for episode in self.episodes])

    @property
    def successes(self) -> np.ndarray | None:
        """1 where an episode was a success [E]; None without a rule."""
        if any(episode.success is None for episode in self.episodes):
            return None
        return np.array([float(bool(episode.success)) for episode in self.episodes])


def play_matched(
    view: PolicyView,
    env: JostleEnv,
    episodes: int,
    *,
    noise: Inference,
    seed: int,
    sample: bool = False,
    success: Success | None = None,
    observe: Observe | None = None,
    notify: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Matched | None:
    """The first episode of every environment after each of as many resets as are needed.

    Environment i of reset b has the seed ``seed + b · N + i``. None if ``stop`` said so.
    """
    rows, found, first = env.num_envs, [], []
    for begin in range(0, episodes, rows):
        count = min(rows, episodes - begin)
        seen: list[int] = []

        def watched(obs: Any, episode: np.ndarray, step: np.ndarray, seen: list[int] = seen, at: int = begin) -> Any:
            if not seen:
                seen.extend(_fingerprint(obs, row) for row in range(rows))
            return obs if observe is None else observe(obs, episode + at, step)

        part = play(
            view.actor(noise, rows=rows, seed=seed + begin, sample=sample),
            env,
            count,
            seed=seed + begin,
            success=success,
            observe=watched,
            notify=lambda done, begin=begin: notify(begin + done),  # type: ignore[misc]
            stop=stop,
        )
        if part is None:
            return None
        found += [replace(episode, index=begin // rows) for episode in sorted(part, key=lambda e: e.env)]
        first += seen[:count]
    return Matched(tuple(found), tuple(range(seed, seed + episodes)), tuple(first))


def _fingerprint(obs: Any, row: int) -> int:
    parts = [obs[key] for key in sorted(obs)] if isinstance(obs, dict) else [obs]
    return hash(tuple(np.asarray(part)[row].tobytes() for part in parts))
