"""What makes a model a task: first states, observations, rewards and endings of all simulations at once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float64

from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.renderer import Quality
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.errors import ConfigError

Array = np.ndarray[Any, Any]


class Outcome(NamedTuple):
    """What a control step brought."""

    reward: Float64[np.ndarray, "N"]
    terminated: Bool[np.ndarray, "N"]
    success: Bool[np.ndarray, "N"] | None = None


class Task:
    """N simulations of one model as a task. Subclasses say what is theirs; all methods are vectorised.

    Rows whose episode ended in the step before are passed along in every method, and what is said of them is dropped.

    Attributes:
        frame_skip: simulation steps per control step.
        max_steps: control steps after which an episode is truncated; 0: never.
        size: D, how many numbers are observed; 0: none, pictures alone.
        picture: quality of the pictures that are observed; None: there are none.
        eye: settings of the camera that takes them, as `renderer.camera_of` has them.
        objects: what masks tell apart in them: names of geoms, by object.
        groups: which columns of an observation are "position" and which "velocity", for noise of their own.
        pushed: the body that pushes act on; empty: the first one that can move.
        push_axes: the directions of the world that a push may have (0: x, 1: y, 2: z).
        camera: settings of the camera for videos.
        contact_forces: whether `sims.contact_force` is needed.
    """

    frame_skip: int = 1
    max_steps: int = 1000
    size: int = 0
    pushed: str = ""
    push_axes: tuple[int, ...] = (0, 1)
    camera: ClassVar[dict[str, Any]] = {}
    contact_forces: bool = False
    sims: Simulations
    groups: Mapping[str, slice] = MappingProxyType({})
    picture: Quality | None = None
    eye: ClassVar[dict[str, Any]] = {}
    objects: ClassVar[dict[str, tuple[str, ...]]] = {}

    def bind(self, sims: Simulations) -> None:
        """Take hold of the arrays that every step reads. Called once; set `size` here where the model decides it."""
        self.sims = sims

    def start(self, draws: Draws) -> tuple[Float64[np.ndarray, "R nq"], Float64[np.ndarray, "R nv"]]:
        """Positions and velocities of the R episodes that begin. Without an own one: those of the model, at rest.

        What else belongs to a first state, such as `mocap_pos`, may be written here, in `draws.rows`.
        """
        model = self.sims.model
        return np.tile(model.qpos0, (draws.count, 1)), np.zeros((draws.count, model.nv))

    def progress(self) -> Float64[np.ndarray, "N *K"]:
        """What `outcome` compares with its value a step later, such as a place; in fresh memory."""
        return np.empty((self.sims.count, 0))

    def observe(self, out: Array) -> None:
        """Write the observations into `out`, floats [N, D]."""
        raise NotImplementedError

    def state_of(
        self, obs: Float64[np.ndarray, "R D"]
    ) -> tuple[Float64[np.ndarray, "R nq"], Float64[np.ndarray, "R nv"]]:
        """Positions and velocities that look like these observations; what nobody sees and nothing depends on is 0.

        Raises:
            ConfigError: observations of this task do not tell its state.
        """
        raise ConfigError(
            f"the observations of {type(self).__name__} do not tell its state: record logs with states, or write the "
            "task's `state_of`."
        )

    def outcome(
        self, actions: Array, before: Float64[np.ndarray, "N *K"], after: Float64[np.ndarray, "N *K"]
    ) -> Outcome:
        """Reward, termination and success of the step just made, with `progress` before it and after it."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """What the numbers of an observation are called, D of them; empty: nobody tells."""
        return []

    def observation_space(self) -> spaces.Box:
        """Of the numbers of one row."""
        return spaces.Box(-np.inf, np.inf, (self.size,), np.float32)

    def action_space(self) -> spaces.Space[Any]:
        """Of one row: by default the ranges of the model's controls."""
        low, high = self.sims.model.actuator_ctrlrange.astype(np.float32).T
        free = self.sims.model.actuator_ctrllimited == 0
        return spaces.Box(np.where(free, -np.inf, low), np.where(free, np.inf, high), dtype=np.float32)

    def controls(self, actions: Array) -> Array:
        """What the actuators are given, [N, nu]."""
        return actions
