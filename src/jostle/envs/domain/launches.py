"""Episodes in the order in which they began.

A schedule that sees episodes in the order in which they end sees those first that fail early: its first windows hold
more failures than the policy makes. So results wait here until all episodes that began before them have ended, too.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain.schedules import Proposal, Results


@dataclass(eq=False)
class _Launch:
    env: int
    episode: int
    drawn: Float64[np.ndarray, "P"]
    log_density: float
    tag: int
    result: tuple[float, int, float] | None = None
    """Return, length and success (NaN: not told)."""


class Launches:
    """The episodes under way in N rows, and those that ended and wait.

    Args:
        num_envs: N.
    """

    def __init__(self, num_envs: int) -> None:
        self._waiting: deque[_Launch] = deque()
        self._current: list[_Launch | None] = [None] * num_envs

    def begin(self, rows: Int64[np.ndarray, "R"], episodes: Int64[np.ndarray, "R"], proposal: Proposal) -> None:
        """Episodes begin in these rows, in this order. What was under way in them is forgotten."""
        self.forget(rows)
        for k, row in enumerate(rows.tolist()):
            launch = _Launch(
                row, int(episodes[k]), proposal.drawn[k], float(proposal.log_density[k]), int(proposal.tag[k])
            )
            self._current[row] = launch
            self._waiting.append(launch)

    def forget(self, rows: Int64[np.ndarray, "R"]) -> None:
        """Episodes are broken off: nobody learns from them, or waits for them."""
        broken = [launch for row in rows.tolist() if (launch := self._current[row]) is not None]
        for launch in broken:
            self._waiting.remove(launch)
            self._current[launch.env] = None

    def end(self, row: int, ret: float, length: int, success: float) -> None:
        """The episode under way in a row ended."""
        launch = self._current[row]
        if launch is not None:
            launch.result = ret, length, success
            self._current[row] = None

    def ready(self) -> Results | None:
        """The episodes that ended and wait for none, in the order in which they began; each is given once."""
        done: list[_Launch] = []
        while self._waiting and self._waiting[0].result is not None:
            done.append(self._waiting.popleft())
        return _results(done) if done else None

    def state_dict(self) -> dict[str, Any]:
        """The episodes under way and waiting, as arrays."""
        results = _results(list(self._waiting))._asdict() if self._waiting else {}
        return {**results, "ended": np.array([launch.result is not None for launch in self._waiting], np.bool_)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to a state of `state_dict`."""
        self._waiting.clear()
        self._current = [None] * len(self._current)
        for k, ended in enumerate(np.asarray(state["ended"]).tolist()):
            launch = _Launch(
                int(state["envs"][k]), int(state["episodes"][k]), np.array(state["drawn"][k], np.float64),
                float(state["log_density"][k]), int(state["tag"][k]),
            )  # fmt: skip
            if ended:
                launch.result = float(state["returns"][k]), int(state["lengths"][k]), float(state["success"][k])
            else:
                self._current[launch.env] = launch
            self._waiting.append(launch)


def _results(launches: list[_Launch]) -> Results:
    """Launches as arrays; of those under way returns and lengths are 0."""
    ends = [launch.result or (0.0, 0, float("nan")) for launch in launches]
    return Results(
        np.array([x.env for x in launches], np.int64),
        np.array([x.episode for x in launches], np.int64),
        np.stack([x.drawn for x in launches]),
        np.array([x.log_density for x in launches], np.float64),
        np.array([x.tag for x in launches], np.int64),
        np.array([r for r, _, _ in ends], np.float64),
        np.array([n for _, n, _ in ends], np.int64),
        np.array([s for _, _, s in ends], np.float64),
    )
