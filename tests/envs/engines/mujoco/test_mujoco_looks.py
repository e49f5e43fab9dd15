"""Looks: what is set is what is drawn, in each simulation its own, and nothing else changes."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jostle import make_env
from jostle.envs.engines.mujoco.catalogue import make_engine
from jostle.envs.engines.mujoco.engine import MujocoEngine
from jostle.envs.engines.mujoco.model import compile_model
from jostle.envs.engines.mujoco.offered import offered
from jostle.envs.engines.mujoco.signals import Signals
from jostle.envs.engines.mujoco.writing import turned
from jostle.errors import ConfigError

TILES = """
<mujoco>
  <visual><headlight ambient="0.1 0.1 0.1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <asset>
    <texture name="dark" type="2d" builtin="flat" rgb1="0.2 0.2 0.2" width="8" height="8"/>
    <texture name="light" type="2d" builtin="flat" rgb1="1 1 1" width="8" height="8"/>
    <material name="paint" texture="dark"/>
    <material name="metal" rgba="0 0 1 1"/>
  </asset>
  <worldbody>
    <light name="sun" pos="0 0 5" dir="0 0 -1" directional="true" diffuse="0.5 0.5 0.5" castshadow="false"/>
    <camera name="eye" pos="0 0 2" fovy="45"/>
    <geom name="left" type="box" pos="-0.4 0 0" size="0.3 0.3 0.05" rgba="1 0 0 1"/>
    <geom name="right" type="box" pos="0.4 0 0" size="0.3 0.3 0.05" material="paint"/>
    <body name="cart" pos="0 5 0"><joint name="slide" type="slide" axis="1 0 0"/><geom size="0.1"/></body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1" ctrllimited="true"/></actuator>
</mujoco>
"""
SOURCE = """
from jostle.envs.engines.mujoco.renderer import Quality
from jostle.envs.engines.mujoco.task import Outcome, Task
import numpy as np
class Look(Task):
    picture, eye, objects = Quality(size=32), {"fixed": "eye"}, {"left": ("left",), "right": ("right",)}
    def outcome(self, actions, before, after):
        return Outcome(np.zeros(self.sims.count), np.zeros(self.sims.count, bool))
"""


@pytest.fixture(scope="module")
def look() -> type:
    space: dict[str, Any] = {}
    exec(SOURCE, space)
    return space["Look"]


def tiles(look: type, rows: int, **values: list[float]) -> tuple[MujocoEngine, np.ndarray]:
    """The engine and its first pictures, [N, H, W, 3]."""
    engine = make_engine(TILES, rows, {"task": look, "threads": 2})
    engine.set_quantities({name: np.array(value, float) for name, value in values.items()}, np.arange(rows))
    pictures, _ = engine.reset(0, None)
    assert isinstance(pictures, np.ndarray)
    assert pictures.shape == (rows, 3, 32, 32)
    assert pictures.dtype == np.uint8
    return engine, pictures.transpose(0, 2, 3, 1)


def test_colours_are_those_of_each_simulation(look: type) -> None:
    colours = {"left.rgba.r": [1, 0, 0, 0], "left.rgba.g": [0, 1, 0, 1], "left.rgba.b": [0, 0, 1, 1]}
    engine, pictures = tiles(look, 4, **colours)
    left, right = pictures[:, 16, 9], pictures[:, 16, 23]
    assert np.array_equal(left > 100, np.array(list(colours.values())).T.astype(bool))
    assert (right == right[0]).all()
    engine.close()


def test_material_and_texture_are_chosen_by_number(look: type) -> None:
    values = {"right.material": [0, 0, 1], "paint.texture": [0, 1, 1]}
    engine, pictures = tiles(look, 3, **values)
    right = pictures[:, 16, 23].astype(int)
    assert engine.quantities["right.material"].choices == ("paint", "metal")
    assert engine.quantities["paint.texture"].choices == ("dark", "light")
    assert 3 < right[1, 0] / right[0, 0] < 8  # white beside a fifth of it
    assert right[2, 2] > 100 > right[2, 0]
    assert (pictures[:, 16, 9] == pictures[0, 16, 9]).all()
    engine.close()


def test_a_picture_for_six_sides_is_no_choice_for_a_flat_one() -> None:
    sky = '<texture name="sky" type="cube" builtin="flat" width="8" height="8"/>'
    model = compile_model(TILES.replace('<material name="paint"', f'{sky}<material name="paint"'))
    assert model.ntex == 3
    assert offered(model)["paint.texture"].quantity.choices == ("dark", "light")


def test_grain_is_normal_rounded_cut_off_and_another_at_every_step() -> None:
    grainy = Signals(SimpleNamespace(column=lambda name: np.array([10.0, 0.0])), {}).grainy  # type: ignore[arg-type]
    key = np.array([3, 3]), np.array([0, 0])
    grey = np.full((2, 128, 128, 3), 128, np.uint8)
    first, second = (grainy(grey.copy(), *key, np.array([step, step])).astype(float) - 128 for step in (4, 5))
    assert abs(first[0].mean()) < 0.2  # the deviation of this mean is 0.045
    assert abs(first[0].std() - 10) < 0.2
    assert abs((first[0] * second[0]).mean()) < 2
    assert not first[1].any()
    white = grainy(np.full((2, 128, 128, 3), 255, np.uint8), *key, np.zeros(2, np.int64))[0]
    assert white.min() > 195
    assert (white == 255).mean() == pytest.approx(0.52, abs=0.01)  # all that is above −½


def test_light_camera_and_noise(look: type) -> None:
    values = {
        "sun.diffuse.r": [0.5, 0.1, 0.5, 0.5, 0.5, 0.5],
        "eye.pos.x": [0, 0, 0.4, 0, 0, 0],
        "eye.fovy": [45, 45, 45, 90, 45, 45],
        "eye.turn.z": [0, 0, 0, 0, np.pi, 0],
        "observation.picture.noise": [0, 0, 0, 0, 0, 10],
    }
    engine, pictures = tiles(look, 6, **values)
    plain, dim, moved, wide, upside, grainy = pictures.astype(int)
    assert dim[16, 9, 0] < 0.6 * plain[16, 9, 0]
    assert np.abs(moved[16, 15] - plain[16, 23]).max() < 5  # the right tile stands before it
    tile = (plain[..., 0] > 2 * plain[..., 1]).sum(), (wide[..., 0] > 2 * wide[..., 1]).sum()
    assert 4 < tile[0] / tile[1] < 8  # tan² of half the angle: (1 / 0.414)² = 5.8
    assert np.abs(upside[16, 23] - plain[16, 9]).max() <= 2
    difference = (grainy - plain)[(plain > 33) & (plain < 220)]
    assert 8 < difference.std() < 12
    again, _ = engine.reset(0, None)
    assert np.array_equal(again.transpose(0, 2, 3, 1), pictures)  # the noise too
    engine.close()


def test_pictures_owe_nothing_to_threads_or_neighbours() -> None:
    four = make_env("jostle/Reach-v0", num_envs=4, observation="picture", threads=2)
    one = make_env("jostle/Reach-v0", num_envs=1, observation="picture", threads=1)
    a, _ = four.reset(seed=0)
    b, _ = one.reset(seed=3)
    assert np.array_equal(a[3], b[0])
    assert not np.array_equal(a[2], a[3])
    actions = np.full((4, 6), 0.5, np.float32)
    for _ in range(3):
        a, *_ = four.step(actions)
        b, *_ = one.step(actions[:1])
    assert np.array_equal(a[3], b[0])
    four.close()
    one.close()


def test_masks_tell_objects_apart(look: type) -> None:
    engine, pictures = tiles(look, 2, **{"eye.pos.x": [0.0, 0.4]})
    masks = engine.object_masks()
    assert list(masks) == ["left", "right"]
    assert masks["left"].shape == (2, 32, 32)
    red = pictures[..., 0].astype(int) > 2 * pictures[..., 1].astype(int)
    assert (masks["left"] == red).mean() > 0.99
    assert masks["right"][0].sum() > 20
    assert not (masks["left"] & masks["right"]).any()
    assert np.array_equal(engine._observe(None).transpose(0, 2, 3, 1), pictures)  # looking has changed nothing
    engine.close()


def test_masks_of_an_environment() -> None:
    env = make_env("jostle/Reach-v0", num_envs=2, observation="picture", threads=1)
    env.reset()
    masks = env.object_masks()
    assert {name for name, mask in masks.items() if mask[0].any()} >= {"arm", "hand", "target", "table"}
    assert not masks["distractor"].any()  # it has no colour yet
    env.close()
    blind = make_env("jostle/Reach-v0", threads=1)
    assert blind.object_masks() is None


def test_reach_is_seen_three_ways() -> None:
    spaces = {}
    for observation in ("proprioception", "picture", "both"):
        env = make_env("jostle/Reach-v0", num_envs=2, observation=observation, actions="discrete", threads=1)
        spaces[observation] = env.single_observation_space
        assert env.single_action_space.nvec.tolist() == [5] * 6
        obs, _ = env.reset()
        assert env.observation_space.contains(obs)
        env.step(np.full((2, 6), 4))
        assert np.allclose(env._engine.sims.ctrl, 1.5)
        env.close()
    assert spaces["proprioception"].shape == (18,)
    assert spaces["picture"].shape == (3, 64, 64)
    assert {key: space.shape for key, space in spaces["both"].items()} == {
        "picture": (3, 64, 64),
        "proprioception": (12,),
    }
    with pytest.raises(ConfigError, match="observation='pixels' of Reach is not known"):
        make_env("jostle/Reach-v0", observation="pixels")


def test_reach_succeeds_where_the_fingertip_meets_the_ball() -> None:
    engine = make_engine("jostle/Reach-v0", 3, {"threads": 1})
    obs, _ = engine.reset(0, None)
    assert np.allclose(obs[:, 15:], engine.task._ball - obs[:, 12:15], atol=1e-6)
    engine.task._ball[1] = engine.task._tip[1] + [0.02, 0.0, 0.02]
    engine._before = engine.task.progress()
    obs, reward, terminated, truncated, info = engine.step(np.zeros((3, 6), np.float32))
    assert info["success"].tolist() == terminated.tolist() == [False, True, False]
    assert reward[1] > 1.5
    assert abs(reward[0]) < 0.5
    assert not truncated.any()


def test_pictures_for_videos(tmp_path: Any) -> None:
    env = make_env("jostle/HalfCheetah-v5", num_envs=2, render_mode="rgb_array", threads=1)
    env.reset(seed=0)
    env._engine.set_quantities({"floor.rgba.r": np.array([0.0])}, np.array([1]))
    frames = env.render()
    assert frames.shape == (2, 480, 480, 3)
    assert frames.std() > 10
    assert frames[1, ..., 0].mean() < 0.8 * frames[0, ..., 0].mean()
    env.close()


def test_a_machine_without_a_renderer_gets_one_sentence() -> None:
    code = (
        "import jostle.envs as e\n"
        "env = e.make_env('jostle/Reach-v0', observation='picture', threads=1)\n"
        "try: env.reset()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    # glvnd finds no vendor in an empty folder: as on a machine without Mesa.
    where = {**os.environ, "__EGL_VENDOR_LIBRARY_DIRS": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=where, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("EnvError MuJoCo finds no OpenGL to draw with (")
    assert "apt install libegl1 libegl-mesa0 libgl1-mesa-dri" in done.stdout
    assert done.stdout.count("\n") == 1


def test_turning_a_camera_by_nothing_changes_no_bit_and_turns_add_up() -> None:
    quat = np.array([0.5, 0.5, -0.5, 0.5])
    assert np.array_equal(turned(quat, np.zeros((1, 3)))[0], quat)
    half = turned(quat, np.array([[0.0, 0.3, 0.0]]))[0]
    assert np.allclose(turned(half, np.array([[0.0, 0.3, 0.0]])), turned(quat, np.array([[0.0, 0.6, 0.0]])))
    # A quarter turn about z of a camera that looks along −z with x to the right: x is now where y was.
    quarter = turned(np.array([1.0, 0, 0, 0]), np.array([[0, 0, np.pi / 2]]))[0]
    assert np.allclose(quarter, [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
