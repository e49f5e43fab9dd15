"""What the classic control tasks share: quantities, the time limit, delays, noise, and success."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8

from jostle.domain import Quantity
from jostle.domain.counter_rng import normal, random_bits, uniform
from jostle.envs.diagnostics.classic.canvas import Canvas
from jostle.envs.diagnostics.vector import METADATA, Array, DiagnosticEnv, DiagnosticVectorEnv, Info
from jostle.errors import ConfigError, closest

MAX_DELAY = 8
_NOISE = 1000
"""What the noise's random bits are for; those of first states are for components, 0 to S − 1."""
_AHEAD, _NEVER = 16, -(2**62)
"""First states are made for so many episodes; a row's table begins at no episode before it is made."""
_CHUNK = 8
"""How many pictures are drawn together: more do not fit into the caches."""

_SHARED = (
    Quantity("action.delay", 0.0, 0.0, float(MAX_DELAY), "steps", "rounded; nothing acts before the first action"),
    Quantity("observation.noise", 0.0, 0.0, 1.0, "", "deviation, as a share of each component's scale"),
)

Row = Float64[np.ndarray, "N"]


class ClassicVectorEnv(DiagnosticVectorEnv):
    """N tasks, a `World`: every constant may differ from row to row.

    What is computed from constants lives in attributes that `_derive` makes anew after every change, and nothing else
    writes to either: no constant can be changed and its products left behind.

    `info` of an ending row: `is_success` with its mask `_is_success`.
    """

    metadata: dict[str, Any] = {**DiagnosticVectorEnv.metadata, "render_fps": 30}  # noqa: RUF012
    QUANTITIES: ClassVar[tuple[Quantity, ...]]
    observation_names: ClassVar[tuple[str, ...]]
    """Of the components of an observation; see `jostle.envs.names`."""
    _SCALE: ClassVar[tuple[float, ...]]
    """Typical sizes of the components of an observation, the units of its noise."""
    _STATE: ClassVar[tuple[str, ...]] = ("state", "steps", "values", "controls", "tick")
    _DIMENSIONS: ClassVar[int]
    """S, the numbers that the physics is about."""

    def __init__(
        self,
        num_envs: int,
        observation_space: gym.spaces.Box,
        action_space: gym.spaces.Discrete | gym.spaces.Box,
        max_episode_steps: int | None,
        render_mode: str | None,
    ) -> None:
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ConfigError(f"{self.name} needs max_episode_steps of at least 1, not {max_episode_steps}.")
        super().__init__(num_envs, observation_space, action_space, render_mode)
        self.max_episode_steps = max_episode_steps
        self._quantities = {quantity.name: quantity for quantity in (*self.QUANTITIES, *_SHARED)}
        self._place = {name: index for index, name in enumerate(self._quantities)}
        nominal = np.array([quantity.nominal for quantity in self._quantities.values()])
        self._values = np.repeat(nominal[:, None], num_envs, axis=1)
        self._state = np.zeros((self._DIMENSIONS, num_envs))
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._controls = np.zeros((MAX_DELAY + 1, num_envs))
        self._tick = np.zeros(1, dtype=np.int64)
        self._rows = np.arange(num_envs)
        self._components = np.arange(self._DIMENSIONS, dtype=np.uint64)[:, None]
        self._ahead = np.zeros((self._DIMENSIONS, _AHEAD, num_envs))
        self._since = np.full(num_envs, _NEVER)
        self._succeeded = np.zeros(num_envs, dtype=bool)
        self._refresh()

    # What a task brings.

    @abstractmethod
    def _derive(self) -> None:
        """Make everything that is computed from quantities (`self._value(name)`, [N]) anew."""

    @abstractmethod
    def _first(self, unit: Float64[np.ndarray, "S R"], rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        """First states of the chosen rows, of numbers in [0, 1)."""

    @abstractmethod
    def _control(self, action: Array) -> Row:
        """What acts, of what the agent chose; 0 for nothing."""

    @abstractmethod
    def _move(self, control: Row, action: Array) -> tuple[Row, Bool[np.ndarray, "N"]]:
        """One step of the physics under `control` (delayed), from and into `self._state`; `action` is the agent's own.

        Returns the rewards and the terminations."""

    @abstractmethod
    def _success(self, terminated: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
        """Whether an episode that ended now would be a success, in fresh memory."""

    @abstractmethod
    def _seen(self) -> Float64[np.ndarray, "N D"]:
        """Observations without noise; their memory may be the state's."""

    @abstractmethod
    def _paint(self, rows: Int64[np.ndarray, "R"]) -> Canvas:
        """The pictures of the chosen rows."""

    # What the domain asks for: `jostle.envs.world.World`.

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return dict(self._quantities)

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Give the chosen rows these values at once; what is not named keeps its own.

        Raises:
            ConfigError: an unknown name, values that are not one for each row, or a value out of the quantity's bounds.
                Nothing is changed then.
        """
        for name, value in values.items():
            if name not in self._place:
                raise ConfigError(f"{self.name} has no quantity {name!r}; {closest(name, list(self._place))}")
            if np.shape(value) != np.shape(rows):
                raise ConfigError(f"{self.name} was given {np.size(value)} values of {name} for {np.size(rows)} rows.")
            _require_within(self._quantities[name], np.asarray(value), self.name)
        for name, value in values.items():
            self._values[self._place[name], rows] = value
        self._refresh()

    def quantity(self, name: str) -> Row:
        """The present values of one quantity."""
        if name not in self._place:
            raise ConfigError(f"{self.name} has no quantity {name!r}; {closest(name, list(self._place))}")
        return self._value(name).copy()

    # States, for those who plan with a model.

    @property
    def state(self) -> Float64[np.ndarray, "N S"]:
        """What the physics is about, in Gymnasium's order."""
        return self._state.T.copy()

    def set_state(self, state: Float64[np.ndarray, "N S"]) -> Float32[np.ndarray, "N D"]:
        """Put every row there, within its episode; the observations."""
        self._require_reset()
        given = np.asarray(state, dtype=np.float64)
        if given.shape != (self.num_envs, self._DIMENSIONS) or not np.isfinite(given).all():
            raise ConfigError(
                f"{self.name} takes states of shape ({self.num_envs}, {self._DIMENSIONS}), finite numbers, "
                f"not of shape {given.shape}."
            )
        self._state = given.T.copy()
        return self._observe()

    # What identification and planning ask for: `jostle.envs.world.Simulated`.

    @abstractmethod
    def _state_of(self, obs: Float64[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        """The states behind observations."""

    def read_states(self) -> Float64[np.ndarray, "N F"]:
        """All that the next step depends on: the S numbers of the physics, the steps of the episode, and the last
        `MAX_DELAY` controls, the newest first."""
        self._require_reset()
        return np.concatenate([self._state, self._steps[None], self._controls[self._ages()]]).T

    def write_states(self, states: Float64[np.ndarray, "N F"]) -> None:
        """Put every row into a state of `read_states`, within its episode."""
        self._require_reset()
        size = self._DIMENSIONS + 1 + MAX_DELAY
        if states.shape != (self.num_envs, size) or not np.isfinite(states).all():
            raise ConfigError(
                f"{self.name} takes states of shape ({self.num_envs}, {size}), finite numbers, not of shape "
                f"{states.shape}."
            )
        self._state = states.T[: self._DIMENSIONS].copy()
        self._steps = states[:, self._DIMENSIONS].astype(np.int64)
        self._controls[self._ages()] = states.T[self._DIMENSIONS + 1 :]
        self._ended = np.zeros(self.num_envs, dtype=bool)

    def states_of(self, obs: Float[np.ndarray, "R D"]) -> Float64[np.ndarray, "R F"]:
        """States that look like these observations, after a while of no control."""
        wanted = self.single_observation_space.shape
        if obs.shape[1:] != wanted or not np.isfinite(obs).all():
            raise ConfigError(f"{self.name} has observations of {wanted} finite numbers, not of shape {obs.shape[1:]}.")
        states = np.zeros((len(obs), self._DIMENSIONS + 1 + MAX_DELAY))
        states[:, : self._DIMENSIONS] = self._state_of(obs.astype(np.float64))
        states[:, self._DIMENSIONS] = MAX_DELAY
        return states

    def observe_exactly(self) -> Float64[np.ndarray, "N D"]:
        """Observations without noise, in double precision."""
        return self._seen().copy()

    def _ages(self) -> Int64[np.ndarray, "K"]:
        """Where the last controls lie, the newest first."""
        return np.asarray((int(self._tick[0]) - 1 - np.arange(MAX_DELAY)) % len(self._controls))

    # What the vector asks for.

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, Info]:
        """See `DiagnosticVectorEnv.reset`."""
        self._since[:] = _NEVER
        return super().reset(seed=seed, options=options)

    def _begin(self, where: Bool[np.ndarray, "N"]) -> None:
        rows = np.flatnonzero(where)
        self._state[:, rows] = self._first(self._unit(rows), rows)
        self._steps[rows] = 0

    def _unit(self, rows: Int64[np.ndarray, "R"]) -> Float64[np.ndarray, "S R"]:
        """Numbers in [0, 1) by (seed, episode, component); made for several episodes at once, which costs no more."""
        place = self._episode[rows] - self._since[rows]
        if np.count_nonzero(place.view(np.uint64) >= _AHEAD):  # negative ones too
            old = rows[place.view(np.uint64) >= _AHEAD]
            self._since[old] = self._episode[old]
            episode = self._episode[old] + np.arange(_AHEAD)[:, None]
            self._ahead[:, :, old] = uniform(random_bits(self._seed[old], episode, self._components[:, None]))
            place = self._episode[rows] - self._since[rows]
        unit: Float64[np.ndarray, "S R"] = self._ahead[:, place, rows]
        return unit

    def _advance(self, action: Array) -> tuple[Row, Bool[np.ndarray, "N"], dict[str, Array]]:
        control = self._delayed(self._control(action))
        reward, terminated = self._move(control, action)
        self._steps = self._steps + 1
        self._succeeded = self._success(terminated)
        return reward, terminated, {"is_success": self._succeeded}

    def _timed_out(self) -> Bool[np.ndarray, "N"]:
        if self.max_episode_steps is None:
            return np.zeros(self.num_envs, dtype=bool)
        over: Bool[np.ndarray, N] = self._steps >= self.max_episode_steps
        return over

    def _observe(self) -> Float32[np.ndarray, "N D"]:
        seen = self._seen()
        if self._noisy:
            component = np.arange(seen.shape[1])
            bits = random_bits(self._seed[:, None], self._episode[:, None], _NOISE, self._steps[:, None], component)
            seen = seen + self._value("observation.noise")[:, None] * np.array(self._SCALE) * normal(bits)
        return seen.astype(np.float32, order="C")

    def _frames(self) -> UInt8[np.ndarray, "N H W 3"]:
        chunks = [self._rows[i : i + _CHUNK] for i in range(0, self.num_envs, _CHUNK)]
        return np.concatenate([self._paint(rows).frames() for rows in chunks])

    def load_state_dict(self, state: dict[str, Array | int]) -> None:
        """Continue from a snapshot, bit for bit, with the quantities of then."""
        super().load_state_dict(state)
        self._since[:] = _NEVER
        self._refresh()

    def _settings(self) -> dict[str, Array | int]:
        return {"max_episode_steps": self.max_episode_steps or 0}

    def _value(self, name: str) -> Row:
        row: Row = self._values[self._place[name]]
        return row

    def _refresh(self) -> None:
        self._delay = np.rint(self._value("action.delay")).astype(np.int64)
        self._delays = bool(self._delay.any())
        self._noisy = bool(self._value("observation.noise").any())
        self._derive()

    def _delayed(self, control: Row) -> Row:
        """The control of `action.delay` steps ago; the last ones are always kept, for delays may change."""
        now = int(self._tick[0]) % len(self._controls)
        self._controls[now] = control
        self._tick = self._tick + 1
        if not self._delays:
            return control
        past = self._controls[(now - self._delay) % len(self._controls), self._rows]
        return np.where(self._steps >= self._delay, past, 0.0)


class ClassicEnv(DiagnosticEnv):
    """One task, in Gymnasium's manner: the time limit is the wrapper's, and `info["is_success"]` says at every step
    whether an episode that ended there would be a success."""

    metadata: dict[str, Any] = {**METADATA, "render_fps": 30}  # noqa: RUF012
    _vector: ClassicVectorEnv

    def step(self, action: Any) -> tuple[Array, float, bool, bool, Info]:
        """One step: observation, reward, terminated, truncated (never true), info."""
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, info | {"is_success": bool(self._vector._succeeded[0])}

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return self._vector.quantities

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Give row 0 these values; see `ClassicVectorEnv.set_quantities`."""
        self._vector.set_quantities(values, rows)

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Of the components of an observation."""
        return self._vector.observation_names

    def quantity(self, name: str) -> float:
        """The present value of one quantity."""
        return float(self._vector.quantity(name)[0])


def _require_within(quantity: Quantity, values: Array, name: str) -> None:
    inside = (values >= quantity.low) & (values <= quantity.high)  # false for NaN
    if not inside.all():
        wrong = float(values[~inside].flat[0])
        unit = f" {quantity.unit}" if quantity.unit else ""
        raise ConfigError(
            f"{name} cannot have {quantity.name} = {wrong:g}{unit}: it lies within {quantity.low:g} and "
            f"{quantity.high:g}{unit}."
        )
