"""`domain_check`: what is right passes, and each fault that users met is caught by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import broken
import gymnasium as gym
import pytest

from jostle.errors import ConfigError
from jostle.stress.lint import Report, domain_check, write_junit

pytest.importorskip("mujoco")
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated")
SPACE = {"torso.mass": [1.0, 9.0], "foot_geom.friction.slide": [0.5, 3.0], "torso.com.x": [-0.1, 0.1]}


def failures(report: Report) -> dict[tuple[str, str], str]:
    return {(f.parameter, f.question): f.said for f in report.failed}


def test_what_is_right_passes() -> None:
    report = domain_check(broken.Offers, SPACE, steps=60)
    assert failures(report) == {}
    assert not [f for f in report.findings if f.answer == "unknown"]
    columns, rows = report.table()
    assert columns[:4] == ("parameter", "declared", "acts-low", "acts-high")
    assert {row[0] for row in rows} == set(SPACE)
    assert all(cell == "yes" for row in rows for cell in row[1:])


PLANTED: list[tuple[Callable[[], gym.Env[Any, Any]], dict[str, Any], list[tuple[str, str, str]]]] = [
    (broken.CentreDrifts, SPACE, [("", "no-drift", "body_ipos of torso"), ("torso.mass", "no-history", "fresh")]),
    (
        broken.StartupNeverRuns,
        SPACE,
        [("torso.mass", "applied", "body_mass of torso"), ("torso.mass", "acts-high", "at 9 instead of 3.6")],
    ),
    (
        broken.WrongIndex,
        SPACE,
        [
            ("foot_geom.friction.slide", "applied", "geom_friction of foot_geom"),
            ("foot_geom.friction.slide", "nothing-else", "geom_friction of leg_geom"),
        ],
    ),
    (
        broken.WrongBody,
        SPACE,
        [("torso.mass", "applied", "of torso"), ("torso.mass", "nothing-else", "body_mass of thigh")],
    ),
    (
        broken.MassWithoutTheRest,
        SPACE,
        [("torso.mass", "applied", "body_inertia of torso"), ("torso.mass", "derived", "body_invweight0")],
    ),
    (
        broken.Contexts,
        {"masscart": [0.5, 5.0], "masspole": [0.05, 0.5], "length": [0.3, 0.9]},
        [
            ("masscart", "derived", "total_mass is stale"),
            ("masspole", "derived", "polemass_length, total_mass"),
            ("length", "derived", "polemass_length"),
        ],
    ),
    (
        broken.ContextsOnce,
        {"masscart": [0.5, 5.0], "length": [0.3, 0.9]},
        [("masscart", "applied", "after other values masscart is not"), ("", "no-drift", "masscart")],
    ),
    (broken.SimpleBody, {"ball.com.x": [-0.05, 0.05]}, [("ball.com.x", "derived", "compiled as a simple one")]),
    (broken.Unused, {"friction": [0.1, 0.9], "gain": [0.5, 2.0]}, [("friction", "acts-low", "nothing changes")]),
]


@pytest.mark.parametrize(("env", "space", "expected"), PLANTED, ids=lambda x: getattr(x, "__name__", ""))
def test_planted_faults_are_caught_by_name(
    env: Callable[[], gym.Env[Any, Any]], space: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    found = failures(domain_check(env, space, steps=60))
    for parameter, question, said in expected:
        assert said in found[parameter, question]


def test_of_a_planted_fault_the_others_are_not_accused() -> None:
    found = failures(domain_check(broken.WrongBody, SPACE, steps=60))
    accused = {parameter for parameter, question in found if question != "no-history"}
    assert accused <= {"torso.mass", ""}, "the others only feel that earlier masses stay"
    assert {p for p, _ in failures(domain_check(broken.Unused, {"friction": [0, 1], "gain": [1, 2]}))} == {"friction"}


DRAWN = {"torso.mass": [1.0, 3.0], "foot_geom.friction.slide": [1.0, 3.0]}
ITSELF: list[tuple[Callable[[], gym.Env[Any, Any]], list[tuple[str, str, str]]]] = [
    (broken.DrawsDrifting, [("", "no-drift", "body_ipos of torso"), ("", "nothing-else", "body_ipos of torso")]),
    (broken.DrawsSpreading, [("", "no-drift", "body_ipos of torso")]),
    (broken.DrawsNever, [("torso.mass", "applied", "nominal value in 100 resets")]),
    (
        broken.DrawsWrongGeom,
        [("foot_geom.friction.slide", "applied", "nominal"), ("", "nothing-else", "geom_friction of leg_geom")],
    ),
    (broken.DrawsWrongBody, [("torso.mass", "applied", "nominal"), ("", "nothing-else", "body_mass of thigh")]),
    (broken.DrawsStale, [("", "derived", "body_invweight0")]),
    (broken.DrawsUnseeded, [("", "repeatable", "body_mass of torso")]),
]


@pytest.mark.parametrize(("env", "expected"), ITSELF, ids=lambda x: getattr(x, "__name__", ""))
def test_faults_of_environments_that_draw_by_themselves(
    env: Callable[[], gym.Env[Any, Any]], expected: list[tuple[str, str, str]]
) -> None:
    found = failures(domain_check(env, DRAWN, steps=60, itself=True))
    for parameter, question, said in expected:
        assert said in found[parameter, question]


def test_an_environment_that_draws_what_it_says_passes() -> None:
    report = domain_check(broken.Draws, DRAWN, steps=60, itself=True)
    assert failures(report) == {}
    wider = failures(domain_check(broken.Draws, DRAWN | {"torso.mass": [1.0, 2.0]}, steps=60, itself=True))
    assert "the space says 1 to 2" in wider["torso.mass", "applied"]
    with pytest.raises(ConfigError, match="give one"):
        domain_check(broken.Draws, itself=True)


def test_gymnasiums_own_by_id() -> None:
    report = domain_check("CartPole-v1", {"masscart": [0.5, 5], "masspole": [0.05, 0.5]})
    assert failures(report) == {}
    found = failures(domain_check("Pendulum-v1"))
    assert list(found) == [("max_torque", "acts-high")], "the action space ends where the nominal torque does"


def test_a_friction_that_another_geom_hides_is_found() -> None:
    """MuJoCo takes the larger friction of two geoms that touch: the hopper's foot has 2."""
    found = failures(domain_check("Hopper-v5", {"floor.friction.slide": [0.5, 1.5], "gravity.z": [-12, -8]}))
    assert set(found) == {("floor.friction.slide", "acts-low"), ("floor.friction.slide", "acts-high")}


def test_jostles_own_have_no_fault() -> None:
    report = domain_check("jostle/CartPole-v1")
    assert failures(report) == {}
    assert report.of("cart.mass", "applied").answer == "passed"
    assert report.of("cart.mass", "derived") is None, "it shows its quantities, and nothing of what follows from them"
    assert failures(domain_check("jostle/Pendulum-v1")) == {}
    space = {"torso.mass": [1, 9], "thigh_joint.damping": [0.5, 3], "torso.com.x": [-0.1, 0.1]}
    assert failures(domain_check("jostle/Hopper-v5", space)) == {}


def test_an_mjcf_file(tmp_path: Path) -> None:
    arm = tmp_path / "arm.xml"
    arm.write_text(
        """<mujoco><worldbody><body name="upper"><joint name="shoulder" axis="0 1 0" damping="0.1"/>
        <geom type="capsule" size="0.05" fromto="0 0 0 0.4 0 0"/><body name="lower" pos="0.4 0 0">
        <joint name="elbow" axis="0 1 0"/><geom type="capsule" size="0.04" fromto="0 0 0 0.3 0 0"/></body></body>
        </worldbody><actuator><motor name="motor" joint="elbow" ctrlrange="-1 1" ctrllimited="true"/></actuator>
        </mujoco>"""
    )
    space = {"upper.mass": [0.5, 9], "elbow.armature": [0.01, 0.1], "motor.gear": [0.5, 3], "wind.x": [-1, 1]}
    report = domain_check(str(arm), space)
    assert set(failures(report)) == {("wind.x", "acts-low"), ("wind.x", "acts-high")}, "there is no air to move"


def test_what_the_space_says_wrongly(tmp_path: Path) -> None:
    space = {"masspole": [-1, 1], "mass": [0, 1], "gravity": [5, 15], "total_mass": [1, 2]}
    report = domain_check("CartPole-v1", space)
    found = failures(report)
    assert "would reach -1" in found["masspole", "declared"]
    assert "has no quantity mass" in found["mass", "declared"]
    assert ("total_mass", "declared") in found
    assert report.of("gravity", "acts-high").answer == "passed"
    write_junit(tmp_path / "junit.xml", report)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert root.get("failures") == str(len(report.failed)) == "3"
    assert int(root.get("tests")) == len(report.findings)
    case = next(c for c in root if (c.get("classname"), c.get("name")) == ("mass", "declared"))
    assert "has no quantity mass" in case.find("failure").get("message")


class Overwritten(broken.Unused):
    """`gain` is set by `level` too, which comes after it."""

    level = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "level":
            super().__setattr__("gain", value)


class Forgetful(broken.Unused):
    """No two episodes are alike."""

    def reset(self, **how: Any) -> Any:
        return super().reset(**(how | {"seed": None}))


def test_one_parameter_that_overwrites_another() -> None:
    found = failures(domain_check(Overwritten, {"gain": [0.5, 2.0], "level": [0.5, 3.0]}, derived={}))
    assert "level overwrites it" in found["gain", "no-collision"]
    assert ("level", "no-collision") not in found


def test_an_environment_without_seeds() -> None:
    report = domain_check(Forgetful, {"gain": [0.5, 2.0]})
    assert ("", "repeatable") in failures(report)
    assert report.of("gain", "acts-high").answer == "unknown"
