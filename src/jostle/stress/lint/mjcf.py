"""MJCF files and jostle's own engine as environments whose trajectories and pictures can be compared."""

from typing import Any

import gymnasium as gym
import numpy as np

from jostle.envs.engines.mujoco.engine import MujocoEngine
from jostle.envs.engines.mujoco.model import compile_model
from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.envs.engines.mujoco.renderer import Quality, Renderer, camera_of

_SKIP, _SPREAD = 5, 0.01


class _Views:
    """What every camera of a model sees, and MuJoCo's free one. The first picture makes the OpenGL context."""

    def __init__(self) -> None:
        self._renderer: Renderer | None = None

    def of(self, model: Any, data: Any) -> np.ndarray:
        """The pictures of one state side by side, uint8 [H, W, 3]."""
        if self._renderer is None:
            self._renderer = Renderer(model, Quality(size=96, shadows=True))
        fixed = int(require_mujoco().mjtCamera.mjCAMERA_FIXED)
        where = [{}, *({"type": fixed, "fixedcamid": i} for i in range(model.ncam))]
        return np.concatenate([self._renderer.draw(model, data, camera_of(model, at)).copy() for at in where], axis=1)

    def close(self) -> None:
        """Give the context back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


class ModelEnv(gym.Env[Any, Any]):
    """Observation: positions and velocities. Action: the controls. Episodes begin near the model's own state."""

    def __init__(self, mjcf: str) -> None:
        self._mujoco = require_mujoco()
        self.model = compile_model(mjcf)
        self.data = self._mujoco.MjData(self.model)
        self._views = _Views()
        size = self.model.nq + self.model.nv
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        limited = self.model.actuator_ctrllimited.astype(bool)
        low = np.where(limited, self.model.actuator_ctrlrange[:, 0], -1.0)
        high = np.where(limited, self.model.actuator_ctrlrange[:, 1], 1.0)
        self.action_space = gym.spaces.Box(low, high, dtype=np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin near the model's own state."""
        super().reset(seed=seed)
        self._mujoco.mj_resetData(self.model, self.data)
        self._mujoco.mj_integratePos(self.model, self.data.qpos, self.np_random.normal(size=self.model.nv), _SPREAD)
        self.data.qvel[:] = _SPREAD * self.np_random.normal(size=self.model.nv)
        self._mujoco.mj_forward(self.model, self.data)
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Five simulation steps."""
        self.data.ctrl[:] = action
        self._mujoco.mj_step(self.model, self.data, nstep=_SKIP)
        return self._see(), 0.0, False, False, {}

    def render(self) -> Any:
        """All views of the present state."""
        self._mujoco.mj_forward(self.model, self.data)
        return self._views.of(self.model, self.data)

    def close(self) -> None:
        """Give the renderer back."""
        self._views.close()

    def _see(self) -> Any:
        return np.concatenate([self.data.qpos, self.data.qvel])


class EngineEnv(gym.Env[Any, Any]):
    """One simulation of jostle's own engine as a single environment and world; `model` is a copy of its model."""

    def __init__(self, engine: MujocoEngine) -> None:
        self._engine = engine
        self.observation_space, self.action_space = engine.single_observation_space, engine.single_action_space
        self.quantities, self.set_quantities = engine.quantities, engine.set_quantities
        self._views = _Views()

    @property
    def model(self) -> Any:
        """The MjModel of the simulation."""
        return self._engine._batch.get_model(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        obs: Any = self._engine.reset(seed, None)[0]
        return obs[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step."""
        seen: Any = self._engine.step(np.asarray(action)[None])
        obs, reward, terminated, truncated, _ = seen
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        """All views of the simulation's present state."""
        model, data = self.model, self._engine._batch.get_data(0)
        require_mujoco().mj_forward(model, data)
        return self._views.of(model, data)

    def close(self) -> None:
        """Give the renderer back, and end the engine's threads."""
        self._views.close()
        self._engine.close()
