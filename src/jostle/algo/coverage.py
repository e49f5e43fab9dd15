"""Coverage: how many places the training has seen, in all and in the average episode."""

from typing import Any

import numpy as np

from jostle.algo.cells import Array, View, find_view
from jostle.envs import JostleEnv

MOST = 2**18
"""Places told apart; further ones are not counted, so that an endless world costs no more than some 25 MB."""
_STEPS, _BYTES = 128, 4_000_000  # that wait before places are given their numbers, together


class Coverage:
    """Counts the places that observations of the training show: see `find_view` for what a place is.

    Logged as ``coverage/rooms`` or ``coverage/cells`` (distinct ones so far) and ``coverage/…_per_episode`` (their mean
    number in the episodes that have ended since the last log). An episode is a whole game, whatever number of lives.
    Evaluations and the random play before the training do not count.

    Args:
        env: the environment of the training.
    """

    def __init__(self, env: JostleEnv) -> None:
        self._env = env
        self._view: View | None = None
        self._begun = False
        self._seen: set[int] = set()
        self._episode: list[set[int]] = [set() for _ in range(env.num_envs)]
        self._finished: list[int] = []
        self._waiting: list[tuple[Array, Array | None]] = []
        self._bytes = 0

    def begin(self, obs: Any, info: dict[str, Any]) -> None:
        """New episodes have begun everywhere; those that were running are not counted as episodes."""
        self._number()
        if not self._begun:
            self._view, self._begun = find_view(self._env, info), True
        for places in self._episode:
            places.clear()
        self.see(obs, info)

    def see(self, obs: Any, info: dict[str, Any]) -> None:
        """What a step of all environments has returned."""
        if self._view is None:
            return
        kept = self._view.look(obs, info)
        self._waiting.append((kept, info.get("_episode")))
        self._bytes += kept.nbytes
        if len(self._waiting) >= _STEPS or self._bytes >= _BYTES:
            self._number()

    def drain_metrics(self) -> dict[str, float]:
        """What is logged; nothing where no places can be told apart."""
        if self._view is None:
            return {}
        self._number()
        out: dict[str, float] = {f"coverage/{self._view.name}": len(self._seen)}
        if self._finished:
            out[f"coverage/{self._view.name}_per_episode"] = float(np.mean(self._finished))
            self._finished.clear()
        return out

    def summary(self) -> str:
        """What has been seen, for people; empty where no places can be told apart."""
        if self._view is None:
            return ""
        self._number()
        count = len(self._seen)
        name = self._view.name if count != 1 else self._view.name[:-1]
        return f"{count:,} {name} seen" if count < MOST else f"{MOST:,} {name} seen or more"

    def _number(self) -> None:
        """Give the places that wait their numbers, and count them."""
        if not self._waiting or self._view is None:
            return
        kept, ended = zip(*self._waiting, strict=True)
        places = self._view.identify(np.stack(kept))
        self._waiting, self._bytes = [], 0
        if len(self._seen) + places.size <= MOST:
            self._seen.update(places.ravel().tolist())
        else:  # in the order of time, so that the last ones let in are the same wherever a checkpoint has cut
            for place in places.ravel().tolist():
                if len(self._seen) >= MOST:
                    break
                self._seen.add(place)
        ends: list[list[int]] = [[] for _ in self._episode]
        for step, mask in enumerate(ended):
            for n in () if mask is None else np.flatnonzero(mask):
                ends[n].append(step + 1)
        for mine, column, cuts in zip(self._episode, places.T.tolist(), ends, strict=True):
            first = 0
            for cut in cuts:  # the final observation is still the episode's
                mine.update(column[first:cut])
                self._finished.append(len(mine))
                mine.clear()
                first = cut
            if len(mine) < MOST:
                mine.update(column[first:])

    def state_dict(self) -> dict[str, Any]:
        """Everything that later counts depend on."""
        self._number()
        running = [np.array(sorted(places), np.int64) for places in self._episode]
        return {
            "seen": np.array(sorted(self._seen), np.int64),
            "episode": np.concatenate(running),
            "lengths": np.array([len(places) for places in running], np.int64),
            "finished": list(self._finished),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self._waiting, self._bytes = [], 0
        self._seen = set(np.asarray(state["seen"]).tolist())
        cuts = np.cumsum(np.asarray(state["lengths"]))[:-1]
        running = [set(part.tolist()) for part in np.split(np.asarray(state["episode"]), cuts)]
        # Of another number of environments none runs on.
        self._episode = running if len(running) == len(self._episode) else [set() for _ in self._episode]
        self._finished = [int(count) for count in state["finished"]]
