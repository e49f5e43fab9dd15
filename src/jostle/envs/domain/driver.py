"""`DomainDriver`: gives the rows of a world their draws, and their results to the schedule."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Bool, Float32, Float64, Int64

from jostle.domain import Bound, Space
from jostle.domain.schedules import Schedule, make_schedule
from jostle.envs.domain.launches import Launches
from jostle.envs.world import World
from jostle.errors import CheckpointError, ConfigError

SUCCESS = ("is_success", "success")
"""What environments call it, in the infos of an episode's last step."""


class DomainDriver:
    """Stands between N environments and their schedule.

    Before rows start an episode it proposes their draws and sets them; it redraws what varies within episodes; it
    counts the episodes of each row, and hands finished ones to the schedule in the order in which they began.

    Args:
        world: the environments.
        num_envs: N.
        env_id: their name, for messages.
        space: what varies, as `Space.load` takes it; None: nothing.
        schedule: how it is drawn, as data; None: uniform.
        seen: the space in whose ranges the privileged observation is told; None: `space`.
        privileged: tell the draws as an observation.

    Attributes:
        bound: the space over the world's quantities.
        schedule: the schedule.
        values: float64 [N, P], what holds in each row, in the quantities' units; never written to again.
        log_density: float64 [N], of each episode's draw at its beginning; likewise.

    Raises:
        ConfigError: the space does not fit the world, or the schedule the space.
    """

    def __init__(
        self,
        world: World,
        num_envs: int,
        env_id: str,
        *,
        space: Any = None,
        schedule: Mapping[str, Any] | None = None,
        seen: Any = None,
        privileged: bool = False,
    ) -> None:
        self._world, self.num_envs, self.id = world, num_envs, env_id
        self.bound: Bound = Space.load({} if space is None else space).bind(world.quantities, env_id)
        self.schedule: Schedule = make_schedule("uniform" if schedule is None else schedule, self.bound)
        self._seen = self.bound if seen is None else Space.load(seen).bind(world.quantities, env_id)
        self._privileged = privileged
        self._within = np.flatnonzero([p.when in ("interval", "step") for p in self.bound.space.parameters])
        self._launches = Launches(num_envs)
        self._seed = 0
        self._episode = np.zeros(num_envs, np.int64)
        self._tick = np.zeros((num_envs, len(self.bound)), np.int64)
        self._drawn = np.tile(self.bound.neutral, (num_envs, 1))
        self.log_density = _fixed(np.zeros(num_envs))
        self._heard: list[np.ndarray[Any, Any]] = []
        """Drawn numbers of each step that the learner has said nothing of yet."""
        self._begun = False
        self._refresh()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of `values`' columns."""
        return self.bound.names

    @property
    def varies_within(self) -> bool:
        """Something is drawn anew within episodes."""
        return bool(len(self._within))

    @property
    def privileged_space(self) -> Box | None:
        """The space of the privileged observation, if it is told."""
        return Box(-np.inf, np.inf, (len(self._seen),), np.float32) if self._privileged else None

    @property
    def told(self) -> tuple[str, ...]:
        """The parameters, in the order of the privileged observation's numbers."""
        return self._seen.names

    @property
    def privileged(self) -> Float32[np.ndarray, "N Q"]:
        """Where each row's values lie in the seen ranges, −1 to 1; what does not vary lies at its nominal value."""
        return self._position

    def reset(self, seed: int | None) -> None:
        """All rows are about to start anew: with a seed from episode 0 on, without one with the next episode."""
        rows = np.arange(self.num_envs)
        if seed is not None:
            self._seed, self._episode = seed, np.zeros(self.num_envs, np.int64)
        elif self._begun:
            self._episode = self._episode + 1
        self._begun = True
        self._heard.clear()
        self._propose(rows)

    def begin(self, start: Bool[np.ndarray, "N"]) -> None:
        """The next step starts these rows anew."""
        rows = np.flatnonzero(start)
        self._episode = self._episode + start
        self._propose(rows)

    def vary(self, lengths: Int64[np.ndarray, "N"], start: Bool[np.ndarray, "N"]) -> None:
        """Before a step: redraw what is due, of rows whose episodes have lasted so many steps."""
        space, tick = self.bound.space, self._tick.copy()
        for i in self._within:
            tick[:, i] = np.where(start, 0, space.parameters[i].ticks(lengths))
        rows = np.flatnonzero((tick != self._tick).any(1))
        if not len(rows):
            return
        fresh = space.draw(self._seed, rows, self._episode[rows], lengths[rows]).values
        drawn = self._drawn.copy()
        drawn[np.ix_(rows, self._within)] = fresh[:, self._within]
        self._drawn, self._tick = drawn, tick
        self._refresh()
        names = [self.names[i] for i in self._within]
        self._world.set_quantities({n: self.values[rows, i] for n, i in zip(names, self._within, strict=True)}, rows)

    def heard(self) -> None:
        """A step is about to be made: note what it is made under, if the learner will speak of it."""
        if self.schedule.listens:
            self._heard.append(self._drawn)

    def finish(
        self,
        ended: Bool[np.ndarray, "N"],
        returns: Float64[np.ndarray, "N"],
        lengths: Int64[np.ndarray, "N"],
        info: Mapping[str, Any],
    ) -> None:
        """Episodes ended in these rows."""
        if not self.schedule.watches:
            return
        success = _success(info, self.num_envs)
        for row in np.flatnonzero(ended).tolist():
            self._launches.end(row, float(returns[row]), int(lengths[row]), float(success[row]))
        results = self._launches.ready()
        if results is not None:
            self.schedule.observe(results)

    def feedback(self, score: Float32[np.ndarray, "T N"], valid: Bool[np.ndarray, "T N"]) -> None:
        """What the learner knows of the last T steps since the last call: |R − V| of each transition.

        Raises:
            ConfigError: there were other steps than those.
        """
        if not self.schedule.listens:
            return
        if len(self._heard) != len(score):
            raise ConfigError(
                f"{self.id} was stepped {len(self._heard)} times since the schedule's last feedback, and the feedback "
                f"is of {len(score)} steps: nobody else may step an environment whose schedule learns from the learner."
            )
        drawn = np.stack(self._heard)[valid]
        self._heard.clear()
        if len(drawn):
            self.schedule.feedback(drawn, score[valid].astype(np.float64), np.ones(len(drawn), np.int64))

    def info(self) -> dict[str, Any]:
        """What `info` tells: the values that hold, and the density of each episode's draw."""
        return {"domain": self.values, "domain_log_density": self.log_density}

    def log(self) -> dict[str, float]:
        """The schedule's state in numbers, for metrics."""
        return self.schedule.log() if len(self.bound) else {}

    def describe_line(self) -> str:
        """What varies and how, in a line for people."""
        names = ", ".join(self.names[:4]) + (f" and {len(self.names) - 4} more" if len(self.names) > 4 else "")
        return f"{names or 'nothing varies'}; {self.schedule.kind}{'; told to critics' if self._privileged else ''}"

    def describe(self) -> dict[str, Any]:
        """Space and schedule as data, by which one knows whether a state is theirs."""
        return {"space": self.bound.space.data(), "schedule": self.schedule.kind}

    def schedule_state(self) -> dict[str, Any]:
        """What outlives the episodes under way: the schedule's state, and whose it is."""
        return {**self.describe(), "state": self.schedule.state_dict()}

    def load_schedule(self, state: dict[str, Any]) -> bool:
        """Go on from `schedule_state` with new episodes. False: it is another space's or schedule's, and left alone."""
        if {name: state.get(name) for name in ("space", "schedule")} != self.describe():
            return False
        self.schedule.load_state_dict(state["state"])
        return True

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "schedule": self.schedule_state(),
            "launches": self._launches.state_dict(),
            "seed": self._seed,
            "episode": self._episode.copy(),
            "tick": self._tick.copy(),
            "drawn": self._drawn.copy(),
            "log_density": self.log_density.copy(),
            "heard": np.array(self._heard, np.float64).reshape(-1, self.num_envs, len(self.bound)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to a state of `state_dict`; the world's own state is to be restored after this.

        Raises:
            CheckpointError: the state is of another domain or schedule.
        """
        if not self.load_schedule(state["schedule"]):
            raise CheckpointError(
                f"the saved state of {self.id} is of another domain or schedule: make it with the same ones."
            )
        self._launches.load_state_dict(state["launches"])
        self._seed, self._begun = int(state["seed"]), True
        self._episode = np.array(state["episode"], np.int64)
        self._tick, self._drawn = np.array(state["tick"], np.int64), np.array(state["drawn"], np.float64)
        self.log_density = _fixed(np.array(state["log_density"], np.float64))
        self._heard = list(np.array(state["heard"], np.float64).reshape(-1, self.num_envs, len(self.bound)))
        self._refresh()
        rows = np.arange(self.num_envs)
        if len(self.bound):
            self._world.set_quantities(self.bound.by_name(self.values), rows)

    def _propose(self, rows: Int64[np.ndarray, "R"]) -> None:
        if not len(self.bound):
            return
        episodes = self._episode[rows]
        proposal = self.schedule.propose(self._seed, rows, episodes)
        drawn, density = self._drawn.copy(), self.log_density.copy()
        drawn[rows], density[rows] = proposal.drawn, proposal.log_density
        self._drawn, self.log_density = drawn, _fixed(density)
        self._tick[rows] = 0
        self._refresh()
        self._world.set_quantities(self.bound.by_name(self.values[rows]), rows)
        if self.schedule.watches:
            self._launches.begin(rows, episodes, proposal)

    def _refresh(self) -> None:
        """What is told of the draws, in arrays of their own."""
        self.values = _fixed(self.bound.values(self._drawn))
        if self._privileged:
            told = np.tile(self._seen.nominal, (self.num_envs, 1))
            for i, name in enumerate(self._seen.names):
                if name in self.names:
                    told[:, i] = self.values[:, self.names.index(name)]
            self._position: Float32[np.ndarray, "N Q"] = self._seen.position(told).astype(np.float32)


def _success(info: Mapping[str, Any], num_envs: int) -> Float64[np.ndarray, "N"]:
    """1 or 0 as the environment tells it; NaN where it tells nothing."""
    for key in SUCCESS:
        told = info.get(key)
        if isinstance(told, np.ndarray) and told.shape == (num_envs,) and told.dtype != object:
            out = (told != 0).astype(np.float64)
            mask = info.get(f"_{key}")
            return out if mask is None else np.where(mask, out, np.nan)
    return np.full(num_envs, np.nan)


def _fixed(array: Any) -> Any:
    array.flags.writeable = False
    return array
