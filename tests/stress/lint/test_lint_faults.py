"""The lint's own parts: its truth against the world on everything that is offered, and faults that hide well."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import broken
import gymnasium as gym
import numpy as np
import pytest

from jostle.domain import Quantity, Space
from jostle.envs.engines.mujoco.engine import MujocoEngine
from jostle.envs.engines.mujoco.tasks.reach import MODEL as REACH
from jostle.envs.randomise import world_in
from jostle.errors import ConfigError
from jostle.stress.lint import Finding, Report, domain_check, write_junit
from jostle.stress.lint.alone import Alone
from jostle.stress.lint.constants import constants_of, described, differing
from jostle.stress.lint.mjcf import ModelEnv
from jostle.stress.lint.reach import Reach, everything, reaches
from jostle.stress.lint.subject import Subject

pytest.importorskip("mujoco")
ROW = np.zeros(1, np.int64)


def another(quantity: Any) -> float:
    """A value that is not the nominal one, and makes sense."""
    moved = quantity.nominal * 1.3 if quantity.nominal else 0.05
    return float(np.clip(moved, quantity.low, quantity.high))


ODD = """<mujoco><asset><material name="m" specular="0.2"/></asset><worldbody>
<light pos="0 0 3"/><camera pos="0.2 0 3"/>
<geom type="plane" size="1 1 1" friction="0.7"/><body pos="0 0 1"><joint type="ball" damping="0.1"/>
<geom size="0.1" pos="0.1 0 0" material="m"/><body name="b" pos="0.3 0.1 0"><joint name="j" axis="0 1 0" stiffness="2"/>
<geom type="box" size="0.1 0.05 0.02"/></body></body></worldbody>
<actuator><motor joint="j" gear="3"/><position joint="j" kp="5" kv="0.4" name="place"/></actuator></mujoco>"""
"""Elements without names, a joint of three degrees of freedom, and one of each kind that a hopper lacks."""


@pytest.mark.parametrize("model", ["Hopper-v5", "reach", "odd"])
def test_the_truth_is_what_the_world_makes_of_everything_that_it_offers(model: str) -> None:
    """Two ways to one model: MuJoCo's names and `mj_setConst` here, a table of places in flat arrays there."""
    env: Any = gym.make(model) if model == "Hopper-v5" else ModelEnv(REACH.read_text() if model == "reach" else ODD)
    world, alone = world_in(env), Alone(env)
    before = constants_of(env)
    looked = 0
    for name, quantity in world.quantities.items():
        value = another(quantity)
        if quantity.choices:
            value = float((quantity.nominal + 1) % len(quantity.choices))
        truth = alone.at({name: value})
        if alone.simple(name) or value == quantity.nominal:
            continue
        assert truth is not None, name
        looked += 1
        world.set_quantities({name: np.array([value])}, ROW)
        assert not differing(constants_of(env), truth.constants, set(before)), name
        assert truth.named, name
        world.set_quantities({name: np.array([quantity.nominal])}, ROW)
        assert not differing(constants_of(env), before, set(before)), name
    kinds = {name.partition(".")[2] for name in world.quantities}
    assert looked > {"Hopper-v5": 60, "reach": 150, "odd": 70}[model]
    assert {"mass", "damping", "friction.slide", "fovy"} <= kinds


@pytest.mark.parametrize("together", [("torso.mass", "torso.inertia"), ("all.mass", "torso.mass")])
def test_the_truth_of_two_that_meet_in_one_field(together: tuple[str, str]) -> None:
    env = gym.make("Hopper-v5")
    world, alone = world_in(env), Alone(env)
    names = [name for name in world.quantities if name == together[0] or name.startswith(together[1])]
    for other in names[1:] if names[0] == together[0] else names:
        values = {name: another(world.quantities[name]) for name in (together[0], other)}
        truth = alone.at(values)
        if truth is None:
            continue
        world.set_quantities({name: np.array([value]) for name, value in values.items()}, ROW)
        assert not differing(constants_of(env), truth.constants, set(truth.constants)), values
        back = {name: np.array([world.quantities[name].nominal]) for name in values}
        world.set_quantities(back, ROW)


class NearlySet(broken.Offers):
    """Half a per cent beside what was asked for."""

    def set_quantities(self, values: Any, rows: Any) -> None:
        super().set_quantities({name: 1.005 * value for name, value in values.items()}, rows)


def test_half_a_per_cent_is_a_fault() -> None:
    found = {(f.parameter, f.question) for f in domain_check(NearlySet, {"torso.mass": [1.0, 9.0]}, steps=10).failed}
    assert ("torso.mass", "applied") in found


def test_a_parameter_that_ends_at_its_nominal_value_is_looked_at_below_it() -> None:
    space = {"torso.mass": {"uniform": [0.5, 1.0], "operation": "scale"}}
    found = {f.question: f.answer for f in domain_check(broken.MassWithoutTheRest, space, steps=10).findings}
    assert (found["applied"], found["derived"]) == ("failed", "failed")
    assert "acts-high" not in found


class DrawsAtFirst(broken.Draws):
    """Ten draws, and then always the last of them."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 12

    def draw(self) -> None:
        self.left -= 1
        if self.left > 0:
            super().draw()


def test_draws_that_cease_are_found() -> None:
    space = {"torso.mass": [1.0, 3.0], "foot_geom.friction.slide": [1.0, 3.0]}
    report = domain_check(DrawsAtFirst, space, steps=10, itself=True)
    found = report.of("torso.mass", "applied")
    assert found is not None
    assert (found.answer, found.said) == ("failed", "it changes at first, and then keeps its value")


class Painted(broken.Unused):
    """`paint` is seen in pictures alone, and `primer` nowhere."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as in Gymnasium

    def __init__(self) -> None:
        super().__init__()
        self.paint, self.primer, self.render_mode = 0.2, 0.3, "rgb_array"

    def render(self) -> Any:
        return np.full((4, 4, 3), int(255 * self.paint), np.uint8)


def test_what_is_seen_in_pictures_alone() -> None:
    report = domain_check(Painted, {"paint": [0.1, 0.9], "primer": [0.1, 0.9]}, steps=10)
    paint, primer = (report.of(name, "acts-high") for name in ("paint", "primer"))
    assert paint is not None
    assert primer is not None
    assert (paint.answer, paint.said) == ("passed", "in pictures alone")
    assert primer.answer == "failed"


class Forgetful(broken.Unused):
    """No two episodes are alike."""

    def reset(self, **how: Any) -> Any:
        return super().reset(**(how | {"seed": None}))


def test_what_could_not_be_asked_is_skipped_and_no_failure(tmp_path: Path) -> None:
    report = domain_check(Forgetful, {"gain": [0.5, 2.0]}, steps=10)
    unknown = [f for f in report.findings if f.answer == "unknown"]
    assert unknown
    write_junit(tmp_path / "junit.xml", report)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert len(root.findall("testcase/skipped")) == int(root.get("skipped", "0")) == len(unknown)
    assert len(root.findall("testcase/failure")) == int(root.get("failures", "0")) == len(report.failed)


def test_without_a_space_each_reaches_to_both_sides_within_its_bounds() -> None:
    quantities = {q.name: q for q in (
        Quantity("gravity", nominal=-10.0), Quantity("mass", nominal=2.0, low=1.5), Quantity("push", nominal=0.0),
        Quantity("share", nominal=0.0, low=0.0, high=1.0),
        Quantity("look", nominal=0.0, low=0.0, high=2.0, choices=("a", "b", "c")), Quantity("fixed", 1.0, 1.0, 1.0),
    )}  # fmt: skip
    found = {reach.name: (reach.low, reach.high) for reach in everything(quantities)}
    assert found == {
        "gravity": (-15.0, -5.0), "mass": (1.5, 3.0), "push": (-1.0, 1.0), "share": (0.0, 0.5), "look": (0.0, 2.0),
    }  # fmt: skip


class DrawsMasses(broken.Draws):
    """A factor of all masses."""

    names = ("all.mass",)


def test_a_factor_is_read_as_one() -> None:
    found = domain_check(DrawsMasses, {"all.mass": [1.0, 3.0]}, steps=10, itself=True)
    assert [str(f) for f in found.failed] == []
    narrow = domain_check(DrawsMasses, {"all.mass": [1.0, 2.0]}, steps=10, itself=True).of("all.mass", "applied")
    assert narrow is not None
    assert "the space says 1 to 2" in narrow.said


class DrawsOnce(broken.Draws):
    """At the start, and never again."""

    names = ("torso.mass",)
    drawn = False

    def draw(self) -> None:
        if not self.drawn:
            super().draw()
            self.drawn = True


def test_what_is_drawn_at_the_start_may_stay() -> None:
    space = {"torso.mass": {"uniform": [1.0, 3.0], "when": "start"}}
    found = domain_check(DrawsOnce, space, steps=10, itself=True).of("torso.mass", "applied")
    assert found is not None
    assert found.answer == "passed"
    found = domain_check(DrawsOnce, {"torso.mass": [1.0, 3.0]}, steps=10, itself=True).of("torso.mass", "applied")
    assert found is not None
    assert found.said.endswith("in 100 resets")
    space = {"torso.mass": {"uniform": [1.0, 9.0], "when": "start"}}
    never = domain_check(broken.DrawsNever, space, steps=10, itself=True).of("torso.mass", "applied")
    assert never is not None
    assert never.said == "it keeps its nominal value in 100 resets"


class DrawsGain(broken.Unused):
    """No model: what it draws, and what is a state, are attributes alike."""

    def reset(self, **how: Any) -> Any:
        first = super().reset(**how)
        self.gain = float(self.np_random.uniform(0.5, 2.0))
        return first


def test_states_among_the_attributes_are_not_taken_for_draws() -> None:
    found = domain_check(DrawsGain, {"gain": [0.5, 2.0]}, steps=10, itself=True)
    assert [str(f) for f in found.findings if f.answer == "failed"] == []
    found = domain_check(DrawsGain, {"friction": [0.1, 0.9]}, steps=10, itself=True)
    assert ("", "nothing-else") in {(f.parameter, f.question) for f in found.failed}


class Strict(broken.Unused):
    """Three steps an episode, and none beyond."""

    left = 0

    def reset(self, **how: Any) -> Any:
        self.left = 3
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        assert self.left > 0
        self.left -= 1
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, self.left == 0, info


def test_episodes_that_are_cut_begin_anew() -> None:
    assert domain_check(Strict, {"gain": [0.5, 2.0]}, steps=10).failed == []


def test_ends_in_order_and_actions_within_their_limits() -> None:
    env = ModelEnv(ODD.replace('gear="3"', 'gear="3" ctrlrange="-0.5 2" ctrllimited="true"'))
    assert (env.action_space.low.tolist(), env.action_space.high.tolist()) == ([-0.5, -1.0], [2.0, 1.0])
    space = Space.load({"gravity.z": {"uniform": [0.5, 1.5], "operation": "scale"}})
    found, findings = reaches(space, world_in(env).quantities, "odd")
    assert [f.answer for f in findings] == ["passed"]
    assert found == [Reach("gravity.z", pytest.approx(-14.715), pytest.approx(-4.905), -9.81)]


class DrawsInertia(broken.Draws):
    """Two parts of the shape of a body's inertia, rightly: nothing can read them back from the model."""

    names = ("torso.inertia.d1", "torso.inertia.s12")

    def draw(self) -> None:
        drawn = {name: np.array([self.rng.uniform(-0.3, 0.3)]) for name in self.names}
        self.right.set_quantities(drawn, ROW)


def test_what_cannot_be_read_back_is_accused_of_nothing() -> None:
    space = {key: [-0.3, 0.3] for key in DrawsInertia.names}
    report = domain_check(DrawsInertia, space, steps=10, itself=True)
    assert [(f.parameter, f.question, f.said) for f in report.failed] == []
    for name in space:
        found = report.of(name, "applied")
        assert found is not None
        assert found.answer == "unknown"
    derived = report.of("", "derived")
    assert derived is not None
    assert "cannot be read" in derived.said
    accused = domain_check(DrawsInertia, {"torso.inertia.d1": [-0.3, 0.3], "thigh.mass": [1, 5]}, steps=10, itself=True)
    assert ("thigh.mass", "applied") in {(f.parameter, f.question) for f in accused.failed}


def test_differences_in_words() -> None:
    """A joint of three degrees of freedom is one joint; what is gone or has another shape is another."""
    env = ModelEnv(ODD)
    before = constants_of(env)
    env.model.dof_damping[:] = 1.0
    env.model.opt.gravity[2] = -5.0
    found = differing(before, constants_of(env), set(before))
    assert described(env, found) == "dof_damping of joint0, j, opt.gravity"
    assert described(env, found, most=1) == "dof_damping of joint0, j and 1 more"
    a, b = {"x": np.zeros(2), "y": np.zeros(3), "z": np.ones(1)}, {"x": np.zeros(3), "z": np.ones(1)}
    assert {name: where.tolist() for name, where in differing(a, b, {"x", "y", "z"}).items()} == {
        "x": [True, True], "y": [True, True, True],
    }  # fmt: skip


class Unset(broken.Unused):
    """One of its numbers is none, and stays so."""

    def __init__(self) -> None:
        super().__init__()
        self.goal = float("nan")


def test_a_constant_that_is_no_number_is_no_difference() -> None:
    assert domain_check(Unset, {"gain": [0.5, 2.0]}, steps=10).failed == []


class DrawsCompounding(broken.Draws):
    """A friction that is multiplied by what is drawn, where its nominal value should be."""

    def draw(self) -> None:
        foot = self.unwrapped.model.geom("foot_geom").id
        self.unwrapped.model.geom_friction[foot, 0] *= self.rng.uniform(0.8, 1.25)


def test_factors_of_what_the_last_episode_had_are_found() -> None:
    found = domain_check(DrawsCompounding, {"foot_geom.friction.slide": [1.6, 2.5]}, steps=10, itself=True)
    failed = {(f.parameter, f.question): f.said for f in found.failed}
    assert "geom_friction of foot_geom lies further" in failed["", "no-drift"]
    assert "the space says 1.6 to 2.5" in failed["foot_geom.friction.slide", "applied"]


class Wears(broken.Unused):
    """What wears out after sixty episodes is no attribute of it."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes = {"begun": 0}

    def reset(self, **how: Any) -> Any:
        self.episodes["begun"] += 1
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return obs + np.float32(self.episodes["begun"] > 60), *rest


def test_drift_that_no_constant_shows_is_found() -> None:
    found = domain_check(Wears, {"gain": [0.5, 2.0]}, steps=10)
    assert [(f.question, f.said) for f in found.failed] == [
        ("no-drift", "after 100 resets the nominal trajectory is another")
    ]


LOOKS = {"floor.texture": {"integers": [0, 5]}, "hand.rgba.r": [0, 1], "lamp.pos.x": [-1, 1], "eye.fovy": [30, 50]}


def test_looks_of_the_engines_own_are_seen_from_every_camera() -> None:
    report = domain_check("jostle/Reach-v0", LOOKS, steps=5)
    assert [str(f) for f in report.findings if f.answer != "passed"] == []
    assert {f.said for f in report.findings if f.question == "acts-high"} == {"in pictures alone"}


def test_looks_of_a_file_are_seen_from_every_camera(tmp_path: Path) -> None:
    (tmp_path / "odd.xml").write_text(ODD)
    space = {"light0.diffuse.r": [0, 1], "light0.dir.x": [-1, 1], "camera0.turn.z": [-1, 1], "m.specular": [0, 1]}
    report = domain_check(str(tmp_path / "odd.xml"), space, steps=5)
    assert [str(f) for f in report.findings if f.answer != "passed"] == []


def test_without_opengl_nothing_that_is_seen_alone_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jostle.stress.lint.mjcf.Renderer", lambda *what: 1 / 0)
    report = domain_check("jostle/Reach-v0", LOOKS | {"upper.mass": [1, 2]}, steps=5)
    assert report.failed == []
    unknown = {f.parameter for f in report.findings if f.answer == "unknown"}
    assert unknown == {"floor.texture", "hand.rgba.r", "lamp.pos.x", "eye.fovy"}


class Unpainted(broken.Unused):
    """It has a colour, and draws no pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = SimpleNamespace(rgba=0.2)


def test_looks_without_pictures_are_not_accused() -> None:
    found = domain_check(Unpainted, {"wall.rgba": [0.1, 0.9]}, steps=10).of("wall.rgba", "acts-high")
    assert found is not None
    assert (found.answer, found.said) == ("unknown", "no pictures can be drawn here")


class Counted(gym.Wrapper[Any, Any, Any, Any]):
    """Counts how many of it are open."""

    still_open = 0

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        Counted.still_open += 1
        self._open = True

    def close(self) -> None:
        if self._open:
            Counted.still_open -= 1
        self._open = False
        super().close()


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("space", [{"masscart": [0.5, 2.0]}, {"masscart": [0.5, 2.0], "mascart": [0.5, 2.0]}])
def test_all_that_was_made_is_closed(space: dict[str, Any], itself: bool) -> None:
    Counted.still_open = 0
    domain_check(lambda: Counted(gym.make("CartPole-v1")), space, steps=10, itself=itself)
    assert Counted.still_open == 0


class CutsAndDraws(DrawsGain, Strict):
    """Short episodes, each with a gain of its own."""


def test_what_is_set_holds_in_every_episode_of_what_draws_by_itself() -> None:
    with Subject(CutsAndDraws, ("gain",), {}) as subject:
        heights = subject.play(0, 8, {"gain": 0.0}, late=True)[:8, 0].reshape(2, 4)
    assert np.ptp(heights, axis=1).tolist() == [0.0, 0.0]
    assert heights[0, 0] != heights[1, 0]


class Products(broken.Unused):
    """What the constructor computes from a constant, a step goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.pull = 2 * self.gain

    def step(self, action: Any) -> Any:
        self.height += self.pull - self.gain
        return super().step(action)


def test_stale_products_are_found_without_their_formulas() -> None:
    found = domain_check(Products, {"gain": [0.5, 2.0]}, steps=10)
    assert [(f.parameter, f.question) for f in found.failed] == [("gain", "derived")]
    assert "pull is stale" in found.failed[0].said
    right = domain_check(Products, {"gain": [0.5, 2.0]}, steps=10, derived={"pull": lambda env: 2 * env.gain})
    assert right.failed == []


class DrawsAndOffers(broken.Draws):
    """Offers nothing of what it draws."""

    quantities: dict[str, Quantity] = {}  # noqa: RUF012

    def set_quantities(self, values: Any, rows: Any) -> None:
        raise AssertionError(values)


def test_what_draws_by_itself_is_looked_at_behind_what_it_offers() -> None:
    assert domain_check(DrawsAndOffers, {"torso.mass": [1.0, 3.0], "foot_geom.friction.slide": [1.0, 3.0]},
                        steps=10, itself=True).failed == []  # fmt: skip


class EndsOneWay(Strict):
    """A constant says whether the third step ends the episode or cuts it."""

    limit = 0.5

    def step(self, action: Any) -> Any:
        obs, reward, _, cut, info = super().step(action)
        return obs, reward, cut and self.limit > 1, cut and self.limit <= 1, info


def test_how_an_episode_ends_is_part_of_a_trajectory() -> None:
    report = domain_check(EndsOneWay, {"limit": [0.2, 2.0]}, steps=10)
    assert [(f.parameter, f.question) for f in report.failed] == [("limit", "acts-low")]


def test_what_offers_is_found_behind_other_wrappers() -> None:
    found = domain_check(lambda: gym.wrappers.TimeLimit(broken.Contexts(), 50), {"masscart": [0.5, 5.0]}, steps=10)
    assert "total_mass is stale" in {f.question: f.said for f in found.failed}.get("derived", "")
    lost = domain_check(lambda: gym.wrappers.TimeLimit(broken.WrongBody(), 50), {"torso.mass": [1.0, 9.0]}, steps=10)
    assert ("torso.mass", "applied") in {(f.parameter, f.question) for f in lost.failed}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_function_that_gives_the_same_environment_again_is_told(wrapped: bool) -> None:
    one = gym.make("CartPole-v1")
    with pytest.raises(ConfigError, match=r"gives the same object again, .* let the function return a new one"):
        domain_check(lambda: gym.Wrapper(one) if wrapped else one, {"masscart": [0.5, 2.0]}, steps=10)


def test_a_file_is_seen_by_its_state_and_drawn_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "odd.xml").write_text(ODD)
    env = ModelEnv(str(tmp_path / "odd.xml"))
    first, other, again = (env.reset(seed=seed)[0].tolist() for seed in (0, 1, 0))
    assert first == again != other
    obs = env.step(env.action_space.high)[0]
    assert obs.tolist() == [*env.data.qpos, *env.data.qvel]
    assert np.abs(env.data.qvel).min() > 0
    before = env.render()
    env.model.body_pos[1] += 0.3
    assert (env.render() != before).any()
    env.close()


def test_what_could_not_be_asked_is_neither_yes_nor_no_in_the_table() -> None:
    report = Report("it", (Finding("a", "derived", "unknown"), Finding("", "no-drift", "failed")))
    assert report.table() == (("parameter", "derived"), [("a", "?")])


def test_the_engine_is_closed_with_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[MujocoEngine] = []
    monkeypatch.setattr(MujocoEngine, "close", lambda engine: closed.append(engine))
    with Subject("jostle/Hopper-v5") as subject:
        assert closed == []
    assert closed == [subject.env._engine]
