"""A model: simulations of an environment that are put into states, under any physics, and run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, Float64

from jostle.domain import Quantity
from jostle.envs import make_env
from jostle.envs.world import Simulated
from jostle.errors import ConfigError, closest

Values = Mapping[str, float | Float64[np.ndarray, "N"]]


class Told(NamedTuple):
    """What a step of the model told."""

    reward: Float64[np.ndarray, "N"]
    ended: Bool[np.ndarray, "N"]


class Model:
    """N simulations of one environment.

    Args:
        env: id, as `make_env` takes it.
        rows: N.
        options: of the environment.

    Raises:
        ConfigError: its simulations cannot be put into states.
    """

    def __init__(self, env: str, rows: int, options: Mapping[str, Any] | None = None) -> None:
        made = make_env(env, rows, seed=0, **dict(options or {}))
        world = made.world
        if not isinstance(world, Simulated) or not isinstance(made.single_observation_space, spaces.Box):
            made.close()
            raise ConfigError(
                f"{made.id} on {made.engine} cannot be put into states, or tells more than numbers: take classic "
                "control (jostle/Pendulum-v1 …), or a MuJoCo task (jostle/Hopper-v5 …, observed without pictures)."
            )
        made.reset()
        self._env, self._world, self.rows, self.id = made, world, rows, made.id
        self.observation_space, self.action_space = made.single_observation_space, made.single_action_space

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary."""
        return self._world.quantities

    def quantity(self, name: str) -> Quantity:
        """One of them.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.quantities:
            raise ConfigError(
                f"{self.id} has no quantity {name} (`jostle domain show` lists them); {closest(name, self.quantities)}"
            )
        return self.quantities[name]

    def set(self, values: Values) -> None:
        """Give all rows values: a number for all of them, or one for each."""
        for name in values:
            self.quantity(name)
        given = {name: np.broadcast_to(np.asarray(v, np.float64), self.rows).copy() for name, v in values.items()}
        if given:
            self._world.set_quantities(given, np.arange(self.rows))

    def states_of(self, obs: Float[np.ndarray, "R D"]) -> Float64[np.ndarray, "R S"]:
        """See `Simulated.states_of`."""
        return self._world.states_of(obs)

    def put(self, states: Float64[np.ndarray, "N S"]) -> None:
        """Put every row into a state."""
        self._world.write_states(states)

    def step(self, actions: np.ndarray[Any, Any]) -> Told:
        """One step of every row; rows whose episode ended begin another one in the step after."""
        _, reward, terminated, truncated, _ = self._world.step(actions)
        return Told(np.asarray(reward, np.float64), np.asarray(terminated | truncated, np.bool_))

    def roll(self, states: Float64[np.ndarray, "N S"], actions: np.ndarray[Any, Any]) -> Float64[np.ndarray, "N H D"]:
        """Observations after each of H actions [N, H, …], exactly; endings are passed over."""
        self._world.write_states(states)
        seen = []
        for k in range(actions.shape[1]):
            _, _, terminated, truncated, _ = self._world.step(actions[:, k])
            seen.append(self._world.observe_exactly())
            if k + 1 < actions.shape[1] and (terminated | truncated).any():
                self._world.write_states(self._world.read_states())  # so that nothing begins anew
        return np.stack(seen, axis=1)

    def close(self) -> None:
        """Close the environments."""
        self._env.close()


def predictions(
    model: Model,
    names: tuple[str, ...],
    values: Float64[np.ndarray, "K P"],
    states: Float64[np.ndarray, "W S"],
    actions: np.ndarray[Any, Any],
) -> Float64[np.ndarray, "K W H D"]:
    """Observations after each of H actions [W, H, …], under each of K sets of values, in batches of the model's rows.

    Every (set, window) is a simulation of its own: a Jacobian of finite differences is one such call.
    """
    sets, windows = len(values), len(states)
    jobs = np.arange(sets * windows)
    found = []
    for first in range(0, len(jobs), model.rows):
        part = jobs[first : first + model.rows]
        padded = np.resize(part, model.rows)
        which, window = np.divmod(padded, windows)
        model.set({name: values[which, i] for i, name in enumerate(names)})
        found.append(model.roll(states[window], actions[window])[: len(part)])
    whole = np.concatenate(found)
    return whole.reshape(sets, windows, *whole.shape[1:])
