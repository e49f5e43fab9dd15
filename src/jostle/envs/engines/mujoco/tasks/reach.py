"""Reach: an arm of six joints, whose fingertip shall come to a ball, seen by its joints, in a picture, or in both."""

from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from gymnasium import spaces

from jostle.envs.engines.mujoco.draws import Draws
from jostle.envs.engines.mujoco.names import positions, vector, velocities
from jostle.envs.engines.mujoco.renderer import Quality
from jostle.envs.engines.mujoco.simulations import Simulations
from jostle.envs.engines.mujoco.task import Array, Outcome, Task
from jostle.errors import ConfigError

MODEL = Path(__file__).parent.parent / "models" / "reach.xml"
Observation = Literal["proprioception", "picture", "both"]
Actions = Literal["continuous", "discrete"]
SPEED, BINS = 1.5, 5
REST = np.array([0.0, -0.5, 1.8, 0.0, 0.7, 0.0])
"""Where the joints begin, rad, but for noise."""
RADIUS = 0.04
JOINTS, BALL = 0, 1


class Reach(Task):
    """The fingertip shall come within 4 cm of the ball's centre, which ends the episode.

    Ten control steps a second, five seconds at most.

    reward = 10 × metres come nearer − 0.01 × mean squared speed asked for (as a part of the largest) + 2 on success.

    With "proprioception" one observes the joints' angles (6) and speeds (6), the fingertip (3) and the way from it to
    the ball (3); with "picture" 3×64×64 bytes of the camera "eye"; with "both" that picture and the joints, which know
    nothing of the ball.

    Args:
        observation: "proprioception", "picture" or "both".
        actions: "continuous" speeds of the joints, as parts of 1.5 rad/s, or "discrete": one of five for each.
        shadows: whether the lamp casts them in observed pictures (three times the cost).
        size: pixels a side.
    """

    frame_skip, max_steps, pushed, push_axes = 10, 50, "forearm", (0, 1, 2)
    eye: ClassVar[dict[str, Any]] = {"fixed": "eye"}
    camera: ClassVar[dict[str, Any]] = {"fixed": "eye"}
    objects: ClassVar[dict[str, tuple[str, ...]]] = {
        "arm": ("base", "shoulder", "upper", "forearm", "wrist", "palm"),
        "hand": ("hand", "finger", "thumb"),
        "target": ("target",),
        "table": ("table",),
        "distractor": ("distractor",),
        "occluder": ("occluder",),
        "surroundings": ("floor", "wall"),
    }

    def __init__(
        self,
        observation: Observation = "proprioception",
        actions: Actions = "continuous",
        shadows: bool = False,
        size: int = 64,
    ) -> None:
        for name, value, known in (("observation", observation, Observation), ("actions", actions, Actions)):
            if value not in get_args(known):
                raise ConfigError(f"{name}={value!r} of Reach is not known: use one of {', '.join(get_args(known))}.")
        if not isinstance(size, int) or not 16 <= size <= 640:
            raise ConfigError(f"size={size!r} of Reach cannot be used: give 16 to 640 pixels.")
        self._discrete = actions == "discrete"
        self.size = {"proprioception": 18, "picture": 0, "both": 12}[observation]
        self.picture = None if observation == "proprioception" else Quality(size=size, shadows=shadows)
        if self.size:
            self.groups = {"position": slice(0, 6), "velocity": slice(6, 12)}
        if self.size == 18:
            self.groups = {**self.groups, "place": slice(12, 18)}

    def bind(self, sims: Simulations) -> None:
        super().bind(sims)
        self._tip = sims.read("site_xpos")[:, sims.model.site("tip").id]
        self._ball = sims.read("mocap_pos")[:, 0]
        self._wanted = np.zeros((sims.count, 6))

    def names(self) -> list[str]:
        joints = positions(self.sims.model)[:6] + velocities(self.sims.model)[:6]
        return joints if self.size == 12 else joints + vector("fingertip") + vector("way to the ball")

    def start(self, draws: Draws) -> tuple[Array, Array]:
        self._ball[draws.rows] = somewhere(draws, BALL)
        return REST + draws.uniform(JOINTS, 6, -0.1, 0.1), np.zeros((draws.count, 6))

    def progress(self) -> Array:
        difference = self._tip - self._ball
        distance: Array = np.sqrt(np.einsum("nj,nj->n", difference, difference))[:, None]
        return distance

    def observe(self, out: Array) -> None:
        out[:, :6], out[:, 6:12] = self.sims.qpos, self.sims.qvel
        if self.size == 18:
            out[:, 12:15], out[:, 15:] = self._tip, self._ball - self._tip

    def outcome(self, actions: Array, before: Array, after: Array) -> Outcome:
        near = after[:, 0] < RADIUS
        effort = np.square(self._wanted).mean(1)
        return Outcome(10.0 * (before[:, 0] - after[:, 0]) - 0.01 * effort + 2.0 * near, near, near)

    def action_space(self) -> spaces.Space[Any]:
        if self._discrete:
            return spaces.MultiDiscrete([BINS] * 6)
        return spaces.Box(-1.0, 1.0, (6,), np.float32)

    def controls(self, actions: Array) -> Array:
        self._wanted = actions / ((BINS - 1) / 2) - 1.0 if self._discrete else actions.astype(np.float64)
        return SPEED * self._wanted


def somewhere(draws: Draws, purpose: int) -> Array:
    """Places for the ball before the arm, [R, 3]: 0.35 to 0.55 m from its axis, within ±50°, 5 to 25 cm high."""
    drawn = draws.uniform(purpose, 3)
    distance, angle = 0.35 + 0.2 * drawn[:, 0], np.deg2rad(50) * (2 * drawn[:, 1] - 1)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), 0.05 + 0.2 * drawn[:, 2]], axis=1)
