"""What is set is what the simulation runs on: against a lone MjModel, edited by its own names."""

import copy
import itertools
from functools import cache
from typing import Any

import mujoco
import numpy as np
import pytest

from jostle.envs.engines.mujoco.catalogue import KNOWN, asset, make_engine
from jostle.envs.engines.mujoco.engine import REMEMBERED, MujocoEngine
from jostle.envs.engines.mujoco.inertia import reshaped
from jostle.envs.engines.mujoco.model import compile_model
from jostle.envs.world import World
from jostle.errors import ConfigError

XYZ, RGBA = "xyz", "rgba"
STEPS = 12


def fresh_engine(name: str, rows: int) -> MujocoEngine:
    return make_engine(name, rows, {"threads": 1})


def base(name: str) -> mujoco.MjModel:
    known = KNOWN[name]
    return compile_model(str(asset(known.model)), 2 * REMEMBERED * known.task.frame_skip)


def edit(model: mujoco.MjModel, name: str, value: float, nominal: float) -> None:
    """Do to a lone model what a quantity's name says, by MuJoCo's named access."""
    element, _, what = name.partition(".")
    if element == "gravity":
        model.opt.gravity[XYZ.index(what)] = value
    elif element == "wind":
        model.opt.wind[XYZ.index(what)] = value
    elif name in ("viscosity", "density"):
        setattr(model.opt, name, value)
    elif name == "all.mass":
        for body in range(1, model.nbody):
            mass = model.body_mass[body]
            model.body_mass[body] = mass * value
            model.body_inertia[body] *= (mass * value) / mass
    elif element == "all":
        field = {"friction": "geom_friction", "stiffness": "jnt_stiffness", "gear": "actuator_gear"}
        getattr(model, field.get(what, f"dof_{what}"))[:] *= value
    elif name == "control.delay":
        model.actuator_delay[:] += value
    elif what == "mass":
        body = part(model, "body", element)
        body.inertia *= value / nominal
        body.mass = value
    elif what.startswith("com."):
        part(model, "body", element).ipos[XYZ.index(what[-1])] = value
    elif what.startswith("pos."):
        part(model, "body", element).pos[XYZ.index(what[-1])] = value
    elif what in ("damping", "armature", "frictionloss", "stiffness"):
        getattr(part(model, "joint", element), what)[:] = value
    elif what.startswith("friction."):
        part(model, "geom", element).friction[["slide", "spin", "roll"].index(what[9:])] = value
    elif what in ("gear", "gain", "kv", "delay"):
        joints = [model.joint(int(model.actuator_trnid[i, 0])).name for i in range(model.nu)]
        names = [model.actuator(i).name or joints[i] for i in range(model.nu)]
        actuator = model.actuator(names.index(element))
        if what == "delay":
            model.actuator_delay[names.index(element)] = value
        else:
            (actuator.gear if what == "gear" else actuator.gainprm)[0] = value
        if what == "kv":
            actuator.biasprm[2] = -value
    else:
        raise KeyError(name)


def part(model: mujoco.MjModel, kind: str, name: str) -> Any:
    """One element by name, or by number where it has none."""
    find = getattr(model, kind)
    try:
        return find(name)
    except KeyError:
        return find(int(name.removeprefix(kind)))


def physical(engine: MujocoEngine) -> list[str]:
    """The quantities of the dynamics that a lone model can be given."""
    left_out = ("rgba", "material", "texture", "specular", "shininess", "reflectance", "light", "lamp", "track", "eye")
    left_out += ("observation", "push", "camera")
    names = [n for n in engine.quantities if not any(part in n for part in left_out)]
    return [n for n in names if n != "control.noise" and ".inertia." not in n]


def two_values(engine: MujocoEngine, name: str) -> tuple[float, float]:
    """A value below and one above the nominal one, well apart and not so far that everything breaks."""
    q = engine.quantities[name]
    if name.endswith(".delay"):
        return q.high / 2, q.high
    if ".com." in name or ".pos." in name:
        return q.nominal - 0.05, q.nominal + 0.05
    if name.startswith(("gravity", "wind")):
        return q.nominal - 2.0, q.nominal + 2.0
    return (q.nominal * 0.5, q.nominal * 1.5) if q.nominal else (0.25, 0.5)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5"])
def test_every_parameter_equals_a_lone_edited_model_bit_for_bit(name: str) -> None:
    cases, moved = play_beside_lone_models(name)
    expected = set(cases) - set(idle(name, cases))
    assert moved == expected, moved ^ expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("HalfCheetah-v5", "Hopper-v5")])
def test_every_parameter_of_the_other_tasks_too(name: str) -> None:
    cases, moved = play_beside_lone_models(name)
    for n, side in cases:
        held = n.startswith(("obj_", "goal_", "target_"))  # what nothing pushes
        if n.endswith((".gear", ".kv", ".gain")) or (n.endswith(".armature") and not held):
            assert (n, side) in moved
        if n in ("all.mass", "all.gear", "all.damping", "all.armature"):
            assert (n, side) in moved


def play_beside_lone_models(name: str) -> tuple[list[tuple[str, int]], set[tuple[str, int]]]:
    """Every quantity at a value on either side, a row each, against as many lone models.

    Returns:
        The cases, and those of them that went another way than the nominal model.
    """
    names = physical(fresh_engine(name, 1))
    cases = [(n, side) for n in names for side in (0, 1)]
    engine = fresh_engine(name, len(cases) + 1)
    assert isinstance(engine, World)
    values = {n: two_values(engine, n) for n in names}
    for row, (n, side) in enumerate(cases):
        engine.set_quantities({n: np.array([values[n][side]])}, np.array([row]))
    engine.reset(0, None)
    start = engine.sims.qpos.copy(), engine.sims.qvel.copy()
    # All rows begin alike, so that what differs is the parameter.
    engine.sims.qpos[:], engine.sims.qvel[:] = start[0][0], start[1][0]
    engine._batch.forward()
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (STEPS, engine.sims.ctrl.shape[1])).astype(np.float32)
    path = np.empty((STEPS, len(cases) + 1, engine.sims.qpos.shape[1]))
    for t in range(STEPS):
        engine._ctrl[:] = actions[t]
        engine._simulate(None)
        path[t] = engine.sims.qpos
    nominal = base(name)
    for row, (n, side) in enumerate(cases):
        model = copy.copy(nominal)
        edit(model, n, values[n][side], engine.quantities[n].nominal)
        mujoco.mj_setConst(model, mujoco.MjData(model))
        assert_same_model(engine._batch.get_model(row), model, n)
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = start[0][0], start[1][0]
        if model.nmocap:
            data.mocap_pos[:] = engine._batch.bind("mocap_pos")[row]
        mujoco.mj_forward(model, data)
        for t in range(STEPS):
            data.ctrl[:] = actions[t]
            mujoco.mj_step(model, data, engine.frame_skip)
            assert np.array_equal(path[t, row], data.qpos, equal_nan=True), (n, side, t)
    return cases, {case for row, case in enumerate(cases) if not np.array_equal(path[:, row], path[:, -1])}


def idle(name: str, cases: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """What cannot move a planar body in these steps, each with its reason."""
    found = []
    for n, side in cases:
        sideways = n.endswith((".com.y", ".pos.y")) or n in ("gravity.y", "wind.y")
        no_medium = n.startswith("wind")  # a wind without a medium
        # Of two frictions the larger one counts, the floor's own among them; and not every part touches the floor.
        friction = n.endswith("friction.slide")
        if sideways or no_medium or (friction and not touching(name, n, side)):
            found.append((n, side))
    return found


def touching(name: str, quantity: str, side: int) -> bool:
    part = quantity.partition(".")[0]
    if name == "Hopper-v5":
        return part == "foot_geom"
    return part in ("bfoot", "ffoot", "floor") and side == 1


@cache
def arrays() -> list[str]:
    """Every array that a model has."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    return [f for f in dir(model) if not f.startswith("_") and isinstance(getattr(model, f), np.ndarray)]


def assert_same_model(ours: mujoco.MjModel, lone: mujoco.MjModel, name: str) -> None:
    """Every array of the model, derived ones included: the right element has changed and nothing else has."""
    for field in arrays():
        assert (getattr(ours, field) == getattr(lone, field)).all(), (name, field)
    for field in ("gravity", "wind", "viscosity", "density"):
        assert np.array_equal(getattr(ours.opt, field), getattr(lone.opt, field)), (name, field)


def test_nominal_values_change_no_bit() -> None:
    plain, set_ = fresh_engine("HalfCheetah-v5", 2), fresh_engine("HalfCheetah-v5", 2)
    nominal = {n: np.full(2, q.nominal) for n, q in set_.quantities.items()}
    set_.set_quantities(nominal, np.arange(2))
    a, _ = plain.reset(0, None)
    b, _ = set_.reset(0, None)
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert np.array_equal(a, b)
        actions = rng.uniform(-1, 1, (2, 6)).astype(np.float32)
        a, *_ = plain.step(actions)
        b, *_ = set_.step(actions)
    assert_same_model(set_._batch.get_model(1), plain._batch.get_model(1), "nominal")


def test_a_hundred_draws_leave_no_trace() -> None:
    engine = fresh_engine("Hopper-v5", 3)
    rng = np.random.default_rng(0)
    names = [n for n in physical(engine) if engine.quantities[n].nominal]
    names += [f"thigh.inertia.{part}" for part in ("d1", "s12", "s23")]
    for _ in range(100):
        rows = np.sort(rng.choice(3, 2, replace=False))
        engine.set_quantities({n: rng.uniform(*sorted(two_values(engine, n)), 2) for n in names}, rows)
    engine.set_quantities({n: np.full(3, engine.quantities[n].nominal) for n in names}, np.arange(3))
    for row in range(3):
        assert_same_model(engine._batch.get_model(row), base("Hopper-v5"), "after a hundred draws")


def test_only_the_rows_that_are_given_change() -> None:
    engine = fresh_engine("Hopper-v5", 4)
    engine.set_quantities({"torso.mass": np.array([5.0, 7.0])}, np.array([1, 3]))
    engine.set_quantities({"all.friction": np.array([0.5])}, np.array([1]))
    nominal = engine.quantities["torso.mass"].nominal
    body = engine.sims.body("torso")
    assert engine.sims.parameter("body_mass")[:, body].tolist() == [nominal, 5.0, nominal, 7.0]
    slide = engine.sims.parameter("geom_friction")[:, 0, 0]
    assert slide.tolist() == [1.0, 0.5, 1.0, 1.0]
    # The rows in the order they come in, whatever it is.
    engine.set_quantities({"torso.mass": np.array([3.0, 4.0])}, np.array([2, 0]))
    assert engine.sims.parameter("body_mass")[:, body].tolist() == [4.0, 5.0, 3.0, 7.0]


def test_factors_multiply_what_single_values_say() -> None:
    engine = fresh_engine("HalfCheetah-v5", 1)
    rows = np.zeros(1, np.int64)
    engine.set_quantities({"all.gear": np.array([2.0]), "bthigh.gear": np.array([100.0])}, rows)
    assert engine.sims.parameter("actuator_gear")[0, :3, 0].tolist() == [200.0, 180.0, 120.0]
    engine.set_quantities({"all.friction": np.array([2.0])}, rows)
    engine.set_quantities({"ffoot.friction.slide": np.array([0.5])}, rows)
    engine.set_quantities({"all.friction": np.array([3.0])}, rows)
    assert engine.sims.parameter("geom_friction")[0, engine.sims.model.geom("ffoot").id, 0] == 1.5
    engine.set_quantities({"all.mass": np.array([2.0]), "torso.mass": np.array([10.0])}, rows)
    assert engine.sims.parameter("body_mass")[0, engine.sims.body("torso")] == 20.0
    ratio = 20.0 / engine.sims.model.body("torso").mass
    inertia = engine.sims.parameter("body_inertia")[0, engine.sims.body("torso")]
    assert np.allclose(inertia, engine.sims.model.body("torso").inertia * ratio, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"torso.mas": 1.0}, "no quantity torso.mas: did you mean torso.mass"),
        ({"torso.mass": -1.0}, r"torso.mass = -1 kg, which makes no sense outside 0.0\d+ to \d+"),
        ({"torso.mass": np.nan}, "torso.mass = nan kg"),
        ({"all.friction": 101.0}, "all.friction = 101, which makes no sense outside 0 to 100"),
    ],
)
def test_refuses_what_makes_no_sense_and_changes_nothing(values: dict[str, float], message: str) -> None:
    engine = fresh_engine("Hopper-v5", 2)
    with pytest.raises(ConfigError, match=message):
        engine.set_quantities({n: np.full(2, v) for n, v in values.items()}, np.arange(2))
    assert_same_model(engine._batch.get_model(0), base("Hopper-v5"), "refused")


def test_a_reshaped_inertia_is_that_of_the_points_that_moved() -> None:
    """Of bodies that are two points of unit mass along each principal axis, where x has become A x."""
    rng = np.random.default_rng(0)
    along, quat = rng.uniform(0.1, 1.0, (4, 3)), rng.normal(size=(4, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    principal = 2 * (np.square(along).sum(1, keepdims=True) - np.square(along))
    shape = rng.uniform(-1, 1, (5, 4, 6))
    shape[0, :, 3:] = 0
    moments, axes = reshaped(principal, quat, shape)
    for row, body in np.ndindex(5, 4):
        d1, d2, d3, s12, s13, s23 = shape[row, body]
        a = np.array([[np.exp(d1), s12, s13], [0, np.exp(d2), s23], [0, 0, np.exp(d3)]])
        points = np.concatenate([np.diag(along[body]), -np.diag(along[body])]) @ a.T @ turn(quat[body]).T
        wanted = np.square(points).sum() * np.eye(3) - points.T @ points
        after = turn(axes[row, body])
        np.testing.assert_allclose(after * moments[row, body] @ after.T, wanted, atol=1e-12)


def turn(quat: np.ndarray) -> np.ndarray:
    """The matrix of a rotation, by MuJoCo."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def test_every_drawn_inertia_is_a_bodys() -> None:
    engine = fresh_engine("Hopper-v5", 200)
    rng = np.random.default_rng(0)
    parts = [f"foot.inertia.{p}" for p in ("d1", "d2", "d3", "s12", "s13", "s23")]
    engine.set_quantities({n: rng.uniform(-1, 1, 200) for n in parts}, np.arange(200))
    body = engine.sims.body("foot")
    moments = engine.sims.parameter("body_inertia")[:, body]
    assert (moments > 0).all()
    for a, b, c in itertools.permutations(range(3)):
        assert (moments[:, a] + moments[:, b] >= moments[:, c] * (1 - 1e-12)).all()
    assert len(np.unique(moments[:, 0])) == 200
    assert np.allclose(np.linalg.norm(engine.sims.parameter("body_iquat")[:, body], axis=1), 1)
    assert (engine.sims.parameter("body_mass")[:, body] == engine.sims.model.body_mass[body]).all()
