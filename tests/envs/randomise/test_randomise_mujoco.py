"""`Randomise` on Gymnasium's MuJoCo environments: equal to a lone, edited model; nominal equal to none at all."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from jostle.envs import Randomise
from jostle.errors import ConfigError, EnvError

mujoco = pytest.importorskip("mujoco")
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")


def played(env: Any, steps: int = 20) -> np.ndarray:
    env.action_space.seed(0)
    return np.array([env.step(env.action_space.sample())[0] for _ in range(steps)])


def test_nominal_values_leave_every_bit() -> None:
    space = {name: [0.5, 5.0] for name in ("torso.mass", "thigh.mass", "foot_joint.armature", "floor.friction.slide")}
    space["torso.com.x"] = [-0.1, 0.1]
    plain, env = gym.make("Hopper-v5"), Randomise(gym.make("Hopper-v5"), space)
    np.testing.assert_array_equal(plain.reset(seed=3)[0], env.reset(seed=3, options={"domain": "nominal"})[0])
    np.testing.assert_array_equal(played(plain), played(env))


def edited(model: Any, name: str, value: float) -> None:
    """By hand, with MuJoCo's own names and functions."""
    if name == "torso.mass":
        k = value / model.body("torso").mass[0]
        model.body("torso").mass *= k
        model.body("torso").inertia *= k
    elif name == "torso.com.x":
        model.body("torso").ipos[0] = value
    elif name == "foot_joint.damping":
        model.joint("foot_joint").damping[:] = value
    elif name == "foot_joint.armature":
        model.joint("foot_joint").armature[:] = value
    elif name == "foot_geom.friction.slide":
        model.geom("foot_geom").friction[0] = value
    elif name == "gravity.z":
        model.opt.gravity[2] = value
    elif name == "viscosity":
        model.opt.viscosity = value
    elif name == "thigh_joint.gear":
        actuator = next(i for i in range(model.nu) if model.actuator_trnid[i, 0] == model.joint("thigh_joint").id)
        model.actuator_gear[actuator, 0] = value


CHANGES = {
    "torso.mass": 7.0,
    "torso.com.x": 0.05,
    "foot_joint.damping": 2.5,
    "foot_joint.armature": 0.3,
    "foot_geom.friction.slide": 0.4,
    "gravity.z": -5.0,
    "viscosity": 0.8,
    "thigh_joint.gear": 90.0,
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_equals_a_lone_edited_model(name: str) -> None:
    env = Randomise(gym.make("Hopper-v5"), {name: CHANGES[name]})
    plain = gym.make("Hopper-v5")
    model = plain.unwrapped.model
    edited(model, name, CHANGES[name])
    mujoco.mj_setConst(model, mujoco.MjData(model))
    nominal = gym.make("Hopper-v5")
    nominal.reset(seed=1)
    np.testing.assert_array_equal(plain.reset(seed=1)[0], env.reset(seed=1)[0])
    trajectory = played(env)
    np.testing.assert_array_equal(played(plain), trajectory)
    assert (played(nominal) != trajectory).any()


def test_a_changed_model_equals_one_that_is_compiled_so() -> None:
    """Mass with inertia, by MjSpec: what MuJoCo derives (subtree masses, inverse weights) is that of the compiler."""
    env = Randomise(gym.make("Hopper-v5"), {"torso.mass": 7.0})
    env.reset(seed=0)
    spec = mujoco.MjSpec.from_file(env.unwrapped.fullpath)
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_AUTO  # where a body says nothing
    nominal = spec.compile()
    body = spec.body("torso")
    k = 7.0 / nominal.body("torso").mass[0]
    body.explicitinertial = True
    body.mass, body.ipos = 7.0, nominal.body("torso").ipos
    body.inertia, body.iquat = nominal.body("torso").inertia * k, nominal.body("torso").iquat
    compiled, changed = spec.compile(), env.unwrapped.model
    for field in ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0"):
        np.testing.assert_allclose(getattr(changed, field), getattr(compiled, field), rtol=1e-9, err_msg=field)
    assert not np.allclose(changed.body_subtreemass, nominal.body_subtreemass)


def test_nothing_drifts_and_the_state_is_kept() -> None:
    env = Randomise(gym.make("HalfCheetah-v5"), {"torso.mass": {"uniform": [0.5, 2], "operation": "scale"}})
    nominal = copy.deepcopy(env.unwrapped.model)
    env.reset(seed=0)
    for _ in range(100):
        env.reset()
    for field in ("body_ipos", "body_iquat", "body_pos", "geom_friction", "qpos0", "dof_armature"):
        np.testing.assert_array_equal(getattr(env.unwrapped.model, field), getattr(nominal, field))
    ratio = env.unwrapped.model.body_mass / np.where(nominal.body_mass, nominal.body_mass, 1)
    torso = env.unwrapped.model.body("torso").id
    assert 0.5 <= ratio[torso] <= 2
    assert (np.delete(ratio[1:], torso - 1) == 1).all()
    inertia = env.unwrapped.model.body_inertia[torso] / nominal.body_inertia[torso]
    np.testing.assert_allclose(inertia, ratio[torso])
    before = env.unwrapped.data.qpos.copy()
    env._apply([0])
    np.testing.assert_array_equal(env.unwrapped.data.qpos, before)


def test_factors_do_not_compound() -> None:
    env = Randomise(gym.make("Hopper-v5"), {"all.mass": 2.0, "all.damping": 3.0})
    mass, damping = env.unwrapped.model.body_mass.copy(), env.unwrapped.model.dof_damping.copy()
    for _ in range(5):
        env.reset(seed=0)
        np.testing.assert_array_equal(env.unwrapped.model.body_mass, 2 * mass)
        np.testing.assert_array_equal(env.unwrapped.model.dof_damping, 3 * damping)


BALL = """<mujoco><option timestep="0.005"/><worldbody><geom type="plane" size="5 5 1"/><body name="ball" pos="0 0 0.5">
<freejoint/><inertial pos="{x} 0 0" mass="{mass}" diaginertia="{i} {i} {i}"/><geom type="sphere" size="0.1"/></body>
</worldbody></mujoco>"""


class Ball(gym.Env[Any, Any]):
    """A ball that falls and rolls: a body that the compiler calls simple, with one frame for body, geom and inertia."""

    def __init__(self, x: float = 0.0, mass: float = 1.0) -> None:
        self.observation_space, self.action_space = gym.spaces.Box(-9, 9, (7,), np.float64), gym.spaces.Discrete(1)
        self.model = mujoco.MjModel.from_xml_string(BALL.format(x=x, mass=mass, i=0.004 * mass))
        self.data = mujoco.MjData(self.model)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qvel[:] = [0.3, 0.1, 0.0, 1.0, 2.0, 3.0]
        return self.data.qpos.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        mujoco.mj_step(self.model, self.data, nstep=4)
        return self.data.qpos.copy(), 0.0, False, False, {}


def test_the_mass_of_a_simple_body_is_that_of_the_compiler() -> None:
    env, compiled = Randomise(Ball(), {"ball.mass": 3.0}), Ball(mass=3.0)
    assert Ball().model.body_simple.any()
    env.reset(seed=0)
    compiled.reset(seed=0)
    for _ in range(60):
        np.testing.assert_allclose(env.step(0)[0], compiled.step(0)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["ball.com.x", "ball.inertia.d1"])
def test_what_a_simple_body_has_no_room_for_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf'{name} of Ball cannot vary.*<body simple="false">'):
        Randomise(Ball(), {name: [-0.1, 0.1]})
    assert name not in Randomise(Ball(), {"ball.mass": 3.0}).quantities
    # Its object is a simple body, and its arm is none.
    pusher = Randomise(gym.make("Pusher-v5"), {"r_forearm_link.com.x": 0.05})
    pusher.reset(seed=0)
    assert pusher.unwrapped.model.body("r_forearm_link").ipos[0] == 0.05


def test_a_centre_of_mass_beside_the_frame_is_that_of_the_compiler() -> None:
    """A hinged body, whose frame was that of its inertia."""
    text = """<mujoco><worldbody><body name="arm" pos="0 0 1"><joint axis="0 1 0" type="hinge"/>
    <joint axis="1 0 0" type="hinge"/><inertial pos="{x} 0 0" mass="1" diaginertia=".01 .01 .01"/>
    <geom type="box" size=".1 .1 .1"/></body></worldbody></mujoco>"""

    class Arm(Ball):
        def __init__(self, x: float = 0.0) -> None:
            super().__init__()
            self.model = mujoco.MjModel.from_xml_string(text.format(x=x))
            self.data = mujoco.MjData(self.model)

        def reset(self, **how: Any) -> Any:
            mujoco.mj_resetData(self.model, self.data)
            self.data.qvel[:] = [1.0, 2.0]
            return self.data.qpos.copy(), {}

    env, compiled = Randomise(Arm(), {"arm.com.x": 0.07}), Arm(0.07)
    assert Arm().model.body_sameframe[1] != compiled.model.body_sameframe[1]
    env.reset()
    compiled.reset()
    for _ in range(60):
        np.testing.assert_allclose(env.step(0)[0], compiled.step(0)[0], rtol=1e-9, atol=1e-9)


def test_two_environments_have_models_of_their_own() -> None:
    one, other = (Randomise(gym.make("Hopper-v5"), {"torso.mass": [1, 9]}) for _ in range(2))
    one.reset(seed=0)
    other.reset(seed=1)
    assert one.unwrapped.model.body_mass[1] == one.domain["torso.mass"] != other.domain["torso.mass"]


def test_a_model_made_anew_is_found_out() -> None:
    env = Randomise(gym.make("Hopper-v5"), {"torso.mass": [1, 9]})
    env.reset(seed=0)
    env.unwrapped.model = copy.deepcopy(env.unwrapped.model)
    with pytest.raises(EnvError, match="makes a new model in its reset"):
        env.reset()


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no quantity torso\.mas .*did you mean torso\.mass"):
        Randomise(gym.make("Hopper-v5"), {"torso.mas": [1, 9]})
