"""Episodes of worst worlds, to be played again in a lone environment."""

import re
from dataclasses import dataclass
from typing import Any

from jostle.stress.physics.worst import ending
from jostle.stress.result import StressResult
from jostle.stress.target import Target
from jostle.view.interface import EnvSource


@dataclass(frozen=True)
class Replay:
    """One episode of a stress test.

    Attributes:
        condition: its world.
        method, run: who played.
        seed: of a lone environment, for the same game; the same episode where noise and actions are not drawn.
        ret: its return.
        noise: the inference mode.
    """

    condition: str
    method: str
    run: int
    seed: int
    ret: float
    noise: str

    @property
    def file(self) -> str:
        """The name of its video."""
        return video_name(self.condition)


def video_name(condition: str) -> str:
    """What the video of a world is called.

    >>> video_name("worst 1 of no DR")
    'worst-1-of-no-DR.mp4'
    """
    return f"{re.sub('[^A-Za-z0-9_.]+', '-', condition).strip('-')}.mp4"


def worst_episodes(result: StressResult, count: int) -> list[Replay]:
    """Of each method the episode with the least return in each of its first `count` worst worlds.

    Of episodes whose seed is known alone: the first one of each environment.
    """
    found = []
    for method in result.methods:
        own = [name for name in result.suite.names if name != result.suite.reference and _is_of(name, method, result)]
        noise = result.modes(method)[0]
        for condition in own[:count]:
            each = [
                Replay(condition, method, cell.run, cell.seed + episode.env, episode.ret, noise)
                for cell in result.select(method, noise, condition)
                for episode in cell.episodes
                if episode.index == 0
            ]
            if each:
                found.append(min(each, key=lambda replay: replay.ret))
    return found


def again(result: StressResult, replay: Replay, target: Target) -> tuple[EnvSource, dict[str, Any]]:
    """The environment that plays an episode again, and its options."""
    condition = result.suite[replay.condition]
    return target.source if condition.env is None else condition.env, condition.options(target.options)


def _is_of(condition: str, method: str, result: StressResult) -> bool:
    return len(result.methods) == 1 or condition.endswith(ending(method))
