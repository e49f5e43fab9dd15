"""A small real world for tests: N inverted pendulums in NumPy, with quantities and snapshots."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from jostle.domain import Quantity
from jostle.domain.counter_rng import random_bits, uniform

ID = "TinyPendulum-v0"
QUANTITIES = {
    q.name: q
    for q in (
        Quantity("mass", 1.0, 0.01, 10.0, "kg", "of the bob"),
        Quantity("length", 1.0, 0.1, 5.0, "m"),
        Quantity("push", 0.0, -5.0, 5.0, "N·m"),
        Quantity("level", 0.0, 0.0, 1000.0, "", "of the first states"),
    )
}


class TinyPendulum(VectorEnv[Any, Any, Any]):
    """Torque −1, 0 or 1; an episode ends when |θ| > 1 (failure) or after `limit` steps (success)."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, limit: int = 20, tells: bool = True, render_mode: str | None = None) -> None:
        self.num_envs, self.limit, self.tells, self.render_mode = num_envs, limit, tells, render_mode
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.values = {name: np.full(num_envs, q.nominal) for name, q in QUANTITIES.items()}
        self.calls: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
        self._seed = np.zeros(num_envs, np.int64)
        self._episode = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, bool)
        self._t = np.zeros(num_envs, np.int64)
        self._state = np.zeros((num_envs, 2))

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        return QUANTITIES

    def set_quantities(self, values: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
        self.calls.append(({k: v.copy() for k, v in values.items()}, rows.copy()))
        for name, value in values.items():
            self.values[name][rows] = value

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self._seed, self._episode = seed + np.arange(self.num_envs), np.zeros(self.num_envs, np.int64)
        else:
            self._episode = self._episode + 1
        self._ended = np.zeros(self.num_envs, bool)
        self._begin(np.ones(self.num_envs, bool))
        return self._state.astype(np.float32), {}

    def _begin(self, where: np.ndarray) -> None:
        bits = [random_bits(self._seed, self._episode, self.values["level"].astype(np.int64), k) for k in range(2)]
        first = np.stack([uniform(b) - 0.5 for b in bits], 1)
        self._state = np.where(where[:, None], first, self._state)
        self._t = np.where(where, 0, self._t)

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        fresh, v = self._ended, self.values
        theta, speed = self._state.T
        torque = 2.0 * (np.asarray(actions) - 1) + v["push"]
        speed = speed + 0.05 * (9.81 / v["length"] * np.sin(theta) + torque / (v["mass"] * v["length"] ** 2))
        self._state = np.stack([theta + 0.05 * speed, speed], 1)
        self._t = self._t + 1
        self._episode = self._episode + fresh
        self._begin(fresh)
        failed = (np.abs(self._state[:, 0]) > 1) & ~fresh
        over = (self._t >= self.limit) & ~failed & ~fresh
        self._ended = failed | over
        info: dict[str, Any] = {}
        if self.tells and self._ended.any():
            info = {"is_success": over, "_is_success": self._ended.copy()}
        return self._state.astype(np.float32), np.where(fresh, 0.0, 1.0), failed, over, info

    def state_dict(self) -> dict[str, Any]:
        names = ("_seed", "_episode", "_ended", "_t", "_state")
        return {n: getattr(self, n).copy() for n in names} | {"values": {k: v.copy() for k, v in self.values.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("_seed", "_episode", "_ended", "_t", "_state"):
            setattr(self, name, np.array(state[name]))
        self.values = {k: np.array(v) for k, v in state["values"].items()}


class Unsaved(TinyPendulum):
    """One that cannot be snapshotted."""

    @property
    def state_dict(self) -> Any:  # type: ignore[override]
        raise AttributeError("state_dict")


def register() -> None:
    """Known to Gymnasium by id, as a vector environment."""
    if ID not in gym.registry:
        gym.register(ID, vector_entry_point=TinyPendulum)
        gym.register("TinyUnsaved-v0", vector_entry_point=Unsaved)


register()
