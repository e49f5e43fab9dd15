"""Six faults that users of other tools met, all silent, each as an environment or a wrapper of its own.

Each comes twice where that is possible: as something that is set (it offers `quantities` and `set_quantities`), and as
something that draws by itself in `reset`.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from jostle.domain import Quantity
from jostle.envs.randomise import world_in

HOPPER = "Hopper-v5"
QUANTITIES = ("torso.mass", "torso.com.x", "foot_geom.friction.slide", "thigh.mass", "torso.com.z")


class Offers(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that offers an environment's quantities, rightly."""

    def __init__(self, env: gym.Env[Any, Any] | None = None) -> None:
        super().__init__(gym.make(HOPPER) if env is None else env)
        self.right = world_in(self.env)
        self.given: dict[str, float] = {}

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        return self.right.quantities

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        self.right.set_quantities(values, rows)


class CentreDrifts(Offers):
    """IsaacLab#7311: each reset moves the centre of mass from where the last one left it."""

    def reset(self, **how: Any) -> Any:
        self.unwrapped.model.body("torso").ipos[0] += 1e-4
        return super().reset(**how)


class StartupNeverRuns(Offers):
    """IsaacLab#664: what is to be set at the start waits for an event that nobody fires."""

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        self.given.update(values)


class WrongIndex(Offers):
    """playground#71: friction goes to the geom whose number is one too high or too low."""

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        values = dict(values)
        if "foot_geom.friction.slide" in values:
            foot = self.unwrapped.model.geom("foot_geom").id
            self.unwrapped.model.geom_friction[foot - 1, 0] = values.pop("foot_geom.friction.slide")[0]
        super().set_quantities(values, rows)


class WrongBody(Offers):
    """track-mjx#233: the torso's mass goes to another body."""

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        renamed = {("thigh.mass" if k == "torso.mass" else k): v for k, v in values.items()}
        super().set_quantities(renamed, rows)


class MassWithoutTheRest(Offers):
    """playground's Go1: mass without inertia, and without `mj_setConst`."""

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        values = dict(values)
        if "torso.mass" in values:
            self.unwrapped.model.body("torso").mass[0] = values.pop("torso.mass")[0]
        super().set_quantities(values, rows)


class Contexts(gym.Wrapper[Any, Any, Any, Any]):
    """CARL's CartPole: attributes are set, and `total_mass` and `polemass_length` stay."""

    once = False

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.quantities = {
            name: Quantity(name, getattr(self.unwrapped, name), 0.001) for name in ("masscart", "masspole", "length")
        }
        self.done: set[str] = set()

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        for name, value in values.items():
            if not (self.once and name in self.done):
                setattr(self.unwrapped, name, float(value[0]))
            if float(value[0]) != self.quantities[name].nominal:
                self.done.add(name)


class ContextsOnce(Contexts):
    """CARL#126: the context of the first episode is never replaced."""

    once = True


class Unused(gym.Env[Any, Any]):
    """humanoid-gym#2: settings that are there, are set, and are read by nobody."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
        self.action_space = gym.spaces.Discrete(2)
        self.gain, self.friction, self.height = 1.0, 0.5, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.height = float(self.np_random.normal())
        return np.array([self.height], np.float32), {}

    def step(self, action: Any) -> Any:
        self.height += self.gain * (2 * int(action) - 1)
        return np.array([self.height], np.float32), 0.0, False, False, {}


class Draws(gym.Wrapper[Any, Any, Any, Any]):
    """A Hopper that draws by itself in each reset, rightly; `names` with their ranges."""

    names: tuple[str, ...] = ("torso.mass", "foot_geom.friction.slide")

    def __init__(self) -> None:
        super().__init__(gym.make(HOPPER))
        self.right = world_in(self.env)
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.draw()
        return super().reset(seed=seed, options=options)

    def draw(self) -> None:
        drawn = {name: np.array([self.rng.uniform(1.0, 3.0)]) for name in self.names}
        self.right.set_quantities(drawn, np.zeros(1, np.int64))


class DrawsDrifting(Draws):
    """IsaacLab#7311, by itself."""

    def draw(self) -> None:
        super().draw()
        self.unwrapped.model.body("torso").ipos[0] += 1e-4


class DrawsSpreading(Draws):
    """Each draw starts from the last one's: after n resets it lies about √n steps away."""

    resets = 0

    def draw(self) -> None:
        super().draw()
        self.resets += 1
        self.unwrapped.model.body("torso").ipos[0] = 1e-4 * self.resets**0.5


class DrawsNever(Draws):
    """IsaacLab#664, by itself."""

    def draw(self) -> None:
        self.rng.uniform(1.0, 3.0)


class DrawsWrongGeom(Draws):
    """playground#71, by itself."""

    def draw(self) -> None:
        foot = self.unwrapped.model.geom("foot_geom").id
        self.unwrapped.model.geom_friction[foot - 1, 0] = self.rng.uniform(1.0, 3.0)


class DrawsWrongBody(Draws):
    """track-mjx#233, by itself."""

    names = ("thigh.mass",)


class DrawsStale(Draws):
    """Mass and inertia, without what MuJoCo computes from them."""

    def draw(self) -> None:
        model, k = self.unwrapped.model, self.rng.uniform(1.0, 3.0)
        torso = model.body("torso").id
        model.body_inertia[torso] *= k / model.body_mass[torso]
        model.body_mass[torso] = k


class DrawsUnseeded(Draws):
    """The seed of a reset is not the draw's."""

    def draw(self) -> None:
        self.rng = np.random.default_rng()
        super().draw()


class SimpleBody(gym.Env[Any, Any]):
    """The centre of mass is moved of a body that was compiled as a simple one. Only `mj_setConst` would object."""

    def __init__(self) -> None:
        text = """<mujoco><worldbody><body name="ball" pos="0 0 1"><freejoint/><geom type="sphere" size="0.1"/></body>
        </worldbody><actuator/></mujoco>"""
        self.model = mujoco.MjModel.from_xml_string(text)
        self.data = mujoco.MjData(self.model)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (7,), np.float64)
        self.action_space = gym.spaces.Discrete(1)
        self.quantities = {"ball.com.x": Quantity("ball.com.x", 0.0, -1, 1)}

    def set_quantities(self, values: Mapping[str, Any], rows: Any) -> None:
        self.model.body_ipos[1, 0] = float(values["ball.com.x"][0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qvel[3:] = 1.0
        return self.data.qpos.copy(), {}

    def step(self, action: Any) -> Any:
        mujoco.mj_step(self.model, self.data)
        return self.data.qpos.copy(), 0.0, False, False, {}
