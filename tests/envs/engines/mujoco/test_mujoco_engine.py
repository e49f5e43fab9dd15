"""The engine: rows that owe nothing to others, exact snapshots, simulations that break, and what users get wrong."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import mujoco
import numpy as np
import pytest

from jostle import make_env
from jostle.envs import list_envs
from jostle.envs.catalogue import describe
from jostle.envs.engines.mujoco import package
from jostle.envs.engines.mujoco.catalogue import make_engine
from jostle.envs.engines.mujoco.engine import MujocoEngine
from jostle.envs.engines.mujoco.task import Outcome, Task
from jostle.errors import CheckpointError, ConfigError, EnvError

CART = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom name="box" size="0.1" mass="2"/></body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1" ctrllimited="true"/></actuator>
</mujoco>
"""


class Cart(Task):
    """A mass on a rail that is paid for its place."""

    frame_skip, max_steps, size, push_axes = 2, 5, 2, (0,)
    groups = {"position": slice(0, 1), "velocity": slice(1, 2)}  # noqa: RUF012

    def progress(self) -> np.ndarray:
        return self.sims.qpos[:, :1].copy()

    def observe(self, out: np.ndarray) -> None:
        out[:, :1], out[:, 1:] = self.sims.qpos, self.sims.qvel

    def outcome(self, actions: np.ndarray, before: np.ndarray, after: np.ndarray) -> Outcome:
        return Outcome(after[:, 0] - before[:, 0], after[:, 0] > 1.0, after[:, 0] > 0.5)


def cart(rows: int = 2, **options: Any) -> MujocoEngine:
    return make_engine(CART, rows, {"task": Cart, "threads": 1, **options})


def push(rows: int, value: float = 1.0) -> np.ndarray:
    return np.full((rows, 1), value, np.float32)


def test_a_force_accelerates_a_mass() -> None:
    engine = cart()
    engine.set_quantities({"cart.mass": np.array([1.0])}, np.array([1]))
    engine.reset(0, None)
    obs, reward, *_ = engine.step(push(2))
    # Euler with the new velocity: after two steps of h, v = 2 h F / m and x = 3 h² F / m.
    assert np.allclose(obs, [[3e-4 / 2, 0.02 / 2], [3e-4, 0.02]], rtol=1e-6)
    assert np.allclose(reward, [3e-4 / 2, 3e-4], rtol=1e-6)


def test_episodes_end_at_the_limit_and_begin_by_themselves() -> None:
    env = make_env(CART, num_envs=2, engine="mujoco", task=Cart, threads=1)
    first, _ = env.reset(seed=0)
    ends = []
    for t in range(13):
        obs, reward, terminated, truncated, info = env.step(push(2))
        ends.append(bool(truncated[0]))
        assert not terminated.any()
        if t in (5, 11):
            assert not info["valid"].any()
            assert np.array_equal(obs, first)
            assert not reward.any()
            assert not info["success"].any()
    assert [t for t, end in enumerate(ends) if end] == [4, 10]


def test_a_reset_right_after_an_ending_is_a_reset_like_any_other() -> None:
    env = make_env(CART, num_envs=2, engine="mujoco", task=Cart, threads=1)
    for _ in range(2):
        env.reset(seed=0)
        ends = [bool(env.step(push(2))[3].all()) for _ in range(5)]
        assert ends == [False, False, False, False, True]


def test_success_and_termination_are_the_tasks() -> None:
    engine = cart(1)
    engine.reset(0, None)
    engine.sims.qpos[:], engine._before[:] = 0.6, 0.6
    _, _, terminated, _, info = engine.step(push(1))
    assert info["success"].tolist() == [True]
    assert terminated.tolist() == [False]
    engine.sims.qpos[:] = 1.5
    assert engine.step(push(1))[2].tolist() == [True]


def test_rows_owe_nothing_to_threads_or_neighbours() -> None:
    one, many = (make_engine("Hopper-v5", n, {"threads": t}) for n, t in ((1, 1), (5, 4)))
    names = ["torso.mass", "all.friction", "observation.position.noise", "control.noise", "push.force"]
    draw = np.random.default_rng(0).uniform(0.5, 2.0, (5, len(names)))
    many.set_quantities({n: draw[:, i] for i, n in enumerate(names)}, np.arange(5))
    one.set_quantities({n: draw[3:4, i] for i, n in enumerate(names)}, np.array([0]))
    a, _ = one.reset(7 + 3, None)
    b, _ = many.reset(7, None)
    rng = np.random.default_rng(1)
    for _ in range(150):
        assert np.array_equal(a[0], b[3])
        actions = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
        a, ra, ta, *_ = one.step(actions[3:4])
        b, rb, tb, *_ = many.step(actions)
        assert (ra[0], ta[0]) == (rb[3], tb[3])


def busy(seed: int, rows: int = 6) -> MujocoEngine:
    """Hoppers with everything on that has a memory."""
    engine = make_engine("Hopper-v5", rows, {"threads": 1})
    draw(engine, seed, np.arange(rows))
    engine.reset(seed, None)
    return engine


def draw(engine: MujocoEngine, seed: int, rows: np.ndarray) -> None:
    rng = np.random.default_rng(seed)
    parts = {"torso.mass": (2, 5), "foot.inertia.s12": (-0.5, 0.5), "observation.delay": (0, 3), "push.force": (0, 90)}
    parts |= {"control.delay": (0, 0.02), "observation.velocity.noise": (0, 0.1), "push.interval": (0.05, 0.1)}
    parts |= {"thigh_joint.damping": (0.5, 2), "floor.rgba.r": (0, 1)}
    parts |= {"leg_joint.delay": (0, 0.03), "observation.velocity.delay": (0, 8)}
    engine.set_quantities({n: rng.uniform(*limits, len(rows)) for n, limits in parts.items()}, rows)


def play(engine: MujocoEngine, steps: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    seen = []
    for t in range(steps):
        if t and t % 7 == 0 and engine._ended.any():
            draw(engine, t, np.flatnonzero(engine._ended))
        obs, reward, terminated, truncated, _ = engine.step(rng.uniform(-1, 1, (6, 3)).astype(np.float32))
        seen += [obs, reward, terminated, truncated]
    return seen


def test_a_snapshot_goes_on_bit_for_bit() -> None:
    engine = busy(0)
    play(engine, 30, 1)
    state = engine.state_dict()
    kept = {key: np.array(value) for key, value in state.items() if isinstance(value, np.ndarray)}
    expected = play(engine, 60, 2)
    assert sum(int(part.sum()) for part in expected[2::4]) > 6  # episodes have ended since
    for key, value in kept.items():
        assert np.array_equal(state[key], value, equal_nan=True), f"{key} was written to after it was given away"
    other = busy(5)
    play(other, 11, 3)
    for target in (engine, other, make_engine("Hopper-v5", 6, {"threads": 1})):
        target.load_state_dict(state)
        for a, b in zip(expected, play(target, 60, 2), strict=True):
            assert np.array_equal(a, b)


def test_a_snapshot_brings_its_own_time_and_physics() -> None:
    """Into an engine whose episodes have just begun, and in which something else was set."""
    engine, other = cart(), cart()
    for each in (engine, other):
        each.reset(0, None)
    for _ in range(3):
        engine.step(push(2))
    other.set_quantities({"cart.mass": np.array([1.0, 5.0])}, np.arange(2))
    other.step(push(2))
    other.load_state_dict(engine.state_dict())
    assert [bool(other.step(push(2))[3].all()) for _ in range(2)] == [False, True]
    assert other.sims.parameter("body_mass")[:, 1].tolist() == [2.0, 2.0]


def test_a_snapshot_of_another_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"saved state of Hopper-v5 has shape \[6, \d+\], and \[3, \d+\]"):
        make_engine("Hopper-v5", 3, {"threads": 1}).load_state_dict(busy(0).state_dict())


def test_a_simulation_that_diverges_ends_alone_and_is_counted() -> None:
    engine = make_engine("HalfCheetah-v5", 3, {"threads": 1})
    calm = make_engine("HalfCheetah-v5", 3, {"threads": 1})
    engine.reset(0, None)
    calm.reset(0, None)
    actions = np.zeros((3, 6), np.float32)
    before, *_ = engine.step(actions)
    calm.step(actions)
    engine.sims.qvel[1, 0] = 1e12
    obs, reward, terminated, truncated, info = engine.step(actions)
    assert info["diverged"].tolist() == truncated.tolist() == [False, True, False]
    assert not terminated.any()
    assert reward[1] == 0.0
    assert np.array_equal(obs[1], before[1])
    assert engine.diverged == 1
    theirs, *_ = calm.step(actions)
    assert np.array_equal(obs[[0, 2]], theirs[[0, 2]])
    first, _, _, _, info = engine.step(actions)
    assert "diverged" not in info
    assert np.abs(first[1]).max() < 1
    # In the very step in which a broken one begins anew, the next one breaks.
    engine.sims.qvel[1, 0] = 1e12
    engine.step(actions)
    engine.sims.qvel[2, 0] = 1e12
    *_, info = engine.step(actions)
    assert info["diverged"].tolist() == [False, False, True]
    assert engine.diverged == 3


def test_what_breaks_in_the_last_simulation_step_is_noticed_at_once() -> None:
    """MuJoCo looks at a state when it steps on from it: a broken one could be observed once before."""
    engine = make_engine("HalfCheetah-v5", 3, {"threads": 1})
    engine.reset(0, None)
    step = engine._simulate

    def break_after(running: Any) -> None:
        step(running)
        engine.sims.qvel[2] = np.inf

    engine._simulate = break_after
    before = engine._last.copy()
    obs, reward, terminated, truncated, info = engine.step(np.zeros((3, 6), np.float32))
    assert info["diverged"].tolist() == truncated.tolist() == [False, False, True]
    assert np.array_equal(obs[2], before[2])
    assert reward[2] == 0.0
    assert not terminated.any()
    engine._simulate = step
    *_, info = engine.step(np.zeros((3, 6), np.float32))
    assert "diverged" not in info


def test_a_task_that_pays_no_number_is_told() -> None:
    class Odd(Cart):
        def outcome(self, actions: np.ndarray, before: np.ndarray, after: np.ndarray) -> Outcome:
            return Outcome(np.array([0.0, np.nan]), np.zeros(2, bool))

    env = make_env(CART, num_envs=2, engine="mujoco", task=Odd, threads=1)
    env.reset()
    with pytest.raises(
        EnvError, match=r"reward or observation of environment 1 is not finite, though .* mend the task"
    ):
        env.step(push(2))


def test_controls_that_are_no_numbers_are_refused() -> None:
    env = make_env("jostle/HalfCheetah-v5", num_envs=2, threads=1)
    env.reset()
    actions = np.zeros((2, 6), np.float32)
    actions[1, 3] = np.nan
    with pytest.raises(EnvError, match=r"component \[3\] of the action nan for environment 1"):
        env.step(actions)


def test_noise_has_the_deviation_that_is_asked_for() -> None:
    engine, calm = cart(4000), cart(4000)
    engine.set_quantities({"observation.position.noise": np.full(4000, 0.3)}, np.arange(4000))
    a, _ = engine.reset(0, None)
    b, _ = calm.reset(0, None)
    assert np.array_equal(a[:, 1], b[:, 1])
    assert abs((a - b)[:, 0].std() - 0.3) < 0.015
    a2, *_ = engine.step(push(4000))
    b2, *_ = calm.step(push(4000))
    assert abs((a2 - b2)[:, 0].std() - 0.3) < 0.015
    assert abs(np.corrcoef((a - b)[:, 0], (a2 - b2)[:, 0])[0, 1]) < 0.07
    calm.set_quantities({"control.noise": np.full(4000, 0.2)}, np.arange(4000))
    calm.reset(0, None)
    calm.step(push(4000, 0.0))
    assert abs(calm.sims.ctrl.std() - 0.2) < 0.01


def test_no_noise_is_drawn_twice() -> None:
    """Of any row, number, episode and step; the carts are at rest, so that what is seen is noise."""
    engine, rows = two(3), np.arange(3)
    engine.set_quantities({f"observation.{g}.noise": np.ones(3) for g in ("position", "velocity")}, rows)
    still, seen = np.zeros((3, 2), np.float32), []
    for seed in (0, None, None):
        seen.append(engine.reset(seed, None)[0])
        seen += [engine.step(still)[0] for _ in range(3)]
    assert len(np.unique(seen)) == 12 * 3 * 4
    engine.set_quantities({"control.noise": np.ones(3)}, rows)
    forces = []
    for seed in (0, None, None):
        engine.reset(seed, None)
        for _ in range(3):
            engine.step(still)
            forces.append(engine.sims.ctrl.copy())
    assert len(np.unique(forces)) == 9 * 3 * 2


def test_observations_are_as_old_as_the_delay() -> None:
    engine, prompt = cart(3), cart(3)
    engine.set_quantities({"observation.delay": np.array([0.0, 1.0, 3.0])}, np.arange(3))
    seen, now = [engine.reset(0, None)[0]], [prompt.reset(0, None)[0]]
    for _ in range(8):  # the limit of 5 is passed: no delay reaches back into the episode before
        seen.append(engine.step(push(3))[0])
        now.append(prompt.step(push(3))[0])
    for row, delay in enumerate((0, 1, 3)):
        for t in range(9):
            first = 0 if t < 6 else 6
            assert np.array_equal(seen[t][row], now[max(first, t - delay)][row]), (row, t)


def test_controls_act_after_their_delay() -> None:
    engine = cart(3)
    engine.set_quantities({"control.delay": np.array([0.0, 0.01, 0.04])}, np.arange(3))
    engine.reset(0, None)
    speeds = np.stack([engine.step(push(3))[0][:, 1] for _ in range(4)])
    # Each simulation step of 0.01 s adds 0.005 m/s once the force acts: 2 a control step.
    expected = [[2, 1, 0], [4, 3, 0], [6, 5, 2], [8, 7, 4]]
    assert np.allclose(speeds, 0.005 * np.array(expected), rtol=1e-5)


TWO = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody>
    <body name="a"><joint name="left" type="slide" axis="1 0 0"/><geom size="0.1" mass="2"/></body>
    <body name="b" pos="0 2 0"><joint name="right" type="slide" axis="1 0 0"/><geom size="0.1" mass="2"/></body>
  </worldbody>
  <actuator><motor joint="left" ctrlrange="-1 1" ctrllimited="true"/><motor joint="right" DELAY/></actuator>
</mujoco>
"""


class Two(Task):
    """Two carts that nothing holds; places and speeds are seen."""

    frame_skip, max_steps, size = 2, 0, 4
    groups = {"position": slice(0, 2), "velocity": slice(2, 4)}  # noqa: RUF012

    def observe(self, out: Any) -> None:
        out[:, :2], out[:, 2:] = self.sims.qpos, self.sims.qvel

    def outcome(self, actions: Any, before: Any, after: Any) -> Outcome:
        return Outcome(np.zeros(len(actions)), np.zeros(len(actions), bool))


def two(rows: int, delay: str = "") -> MujocoEngine:
    return make_engine(TWO.replace("DELAY", delay), rows, {"task": Two, "threads": 1})


def speeds_of(engine: MujocoEngine, steps: int = 8) -> np.ndarray:
    """In steps of 0.005 m/s, which each simulation step of 0.01 s adds once the force of 1 N acts: [steps, N, 2]."""
    engine.reset(0, None)
    rows = len(engine.sims.qpos)
    seen = [engine.step(np.ones((rows, 2), np.float32))[0][:, 2:] for _ in range(steps)]
    return np.rint(np.stack(seen) / 0.005).astype(int)


def acted(delay: float, steps: int = 8) -> list[int]:
    """How many simulation steps of 0.01 s a control has acted in, after each control step of two."""
    return [max(0, 2 * t - round(delay / 0.01)) for t in range(1, steps + 1)]


def test_each_actuator_has_a_delay_of_its_own_beside_that_of_all() -> None:
    engine = two(5)
    values = {"left.delay": [0, 0.03, 0, 0.08, 0.02], "control.delay": [0, 0, 0.02, 0.08, 0.01]}
    engine.set_quantities({n: np.array(v, float) for n, v in values.items()}, np.arange(5))
    speeds = speeds_of(engine, 12)
    for row in range(5):
        both = values["control.delay"][row]
        assert speeds[:, row, 0].tolist() == acted(both + values["left.delay"][row], 12)
        assert speeds[:, row, 1].tolist() == acted(both, 12)


def test_the_order_in_which_delays_are_set_does_not_count() -> None:
    engine, other = two(1), two(1)
    for each, names in ((engine, ("control.delay", "left.delay")), (other, ("left.delay", "control.delay"))):
        for name in names:
            each.set_quantities({name: np.array([0.02])}, np.array([0]))
    assert np.array_equal(speeds_of(engine), speeds_of(other))
    assert speeds_of(engine)[:, 0, 0].tolist() == acted(0.04)


def test_a_delay_of_the_model_stays_beside_the_others() -> None:
    delay = 'delay="0.02" nsample="4"'
    engine = two(2, delay)
    assert engine.quantities["right.delay"].nominal == 0.02
    assert engine.quantities["control.delay"].nominal == engine.quantities["left.delay"].nominal == 0.0
    assert speeds_of(engine)[:, 0].T.tolist() == [acted(0), acted(0.02)]
    engine.set_quantities({"control.delay": np.array([0.03])}, np.array([1]))
    assert speeds_of(engine)[:, 1].T.tolist() == [acted(0.03), acted(0.05)]
    engine.set_quantities({"right.delay": np.array([0.0])}, np.array([1]))
    assert speeds_of(engine)[:, 1].T.tolist() == [acted(0.03), acted(0.03)]
    assert speeds_of(engine)[:, 0].T.tolist() == [acted(0), acted(0.02)]


def test_each_group_of_an_observation_has_a_delay_of_its_own() -> None:
    engine, prompt = two(4), two(4)
    values = {"observation.delay": [0, 1, 0, 8], "observation.velocity.delay": [0, 0, 3, 8]}
    engine.set_quantities({n: np.array(v, float) for n, v in values.items()}, np.arange(4))
    seen, now = [engine.reset(0, None)[0]], [prompt.reset(0, None)[0]]
    for t in range(24):
        push = np.full((4, 2), np.cos(t), np.float32)
        seen.append(engine.step(push)[0])
        now.append(prompt.step(push)[0])
    for row, (every, own) in enumerate(zip(*values.values(), strict=True)):
        for t in range(25):
            assert np.array_equal(seen[t][row, :2], now[max(0, t - every)][row, :2]), (row, t)
            assert np.array_equal(seen[t][row, 2:], now[max(0, t - every - own)][row, 2:]), (row, t)


SENSED = TWO.replace(
    "</mujoco>", '<sensor><jointpos name="gauge" joint="left"/><jointvel name="left" joint="left"/></sensor></mujoco>'
)


class Sensed(Two):
    """What two sensors say, of which the second is called as an actuator's joint is."""

    size = 2
    groups: Mapping[str, slice] = MappingProxyType({})

    def bind(self, sims: Any) -> None:
        super().bind(sims)
        self._sensed = sims.read("sensordata")

    def observe(self, out: Any) -> None:
        out[:] = self._sensed


def test_each_sensor_has_a_delay_of_its_own_as_a_lone_model_has() -> None:
    engine = make_engine(SENSED.replace("DELAY", ""), 3, {"task": Sensed, "threads": 1})
    values = {"gauge.delay": [0.0, 0.03, 0.0], "sensor.left.delay": [0.0, 0.0, 0.08]}
    engine.set_quantities({n: np.array(v) for n, v in values.items()}, np.arange(3))
    engine.reset(0, None)
    lone = []
    for row in range(3):
        spec = mujoco.MjSpec.from_string(SENSED.replace("DELAY", ""))
        for sensor, delays in zip(spec.sensors, values.values(), strict=True):
            sensor.nsample, sensor.delay = 8, delays[row]
        model = spec.compile()
        lone.append((model, mujoco.MjData(model)))
    moved = []
    state: dict[str, Any] = {}
    for t in range(20):
        action = np.full(2, np.cos(t), np.float32)
        obs, *_ = engine.step(np.tile(action, (3, 1)))
        for row, (model, data) in enumerate(lone):
            data.ctrl[:] = action
            mujoco.mj_step(model, data, 2)
            assert np.array_equal(obs[row], data.sensordata.astype(np.float32)), (row, t)
        moved.append(obs)
        if t == 9:
            state = engine.state_dict()
    assert not np.array_equal(moved[9][0, 0], moved[9][1, 0])
    assert not np.array_equal(moved[9][0, 1], moved[9][2, 1])
    other = make_engine(SENSED.replace("DELAY", ""), 3, {"task": Sensed, "threads": 1})
    other.load_state_dict(state)
    for t in range(10, 20):
        obs, *_ = other.step(np.full((3, 2), np.cos(t), np.float32))
        assert np.array_equal(obs, moved[t])


def test_one_group_alone_may_be_late() -> None:
    engine, prompt = two(1), two(1)
    engine.set_quantities({"observation.position.delay": np.array([2.0])}, np.array([0]))
    seen, now = [engine.reset(0, None)[0]], [prompt.reset(0, None)[0]]
    for _ in range(5):
        seen.append(engine.step(np.ones((1, 2), np.float32))[0])
        now.append(prompt.step(np.ones((1, 2), np.float32))[0])
    assert np.array_equal(seen[5][0, :2], now[3][0, :2])
    assert np.array_equal(seen[5][0, 2:], now[5][0, 2:])


def test_pushes_come_at_their_interval_and_for_their_time() -> None:
    engine = make_engine(CART, 2000, {"task": Cart, "threads": 1})
    engine.task.max_steps = 0
    rows = np.arange(2000)
    values = {"push.force": 3.0, "push.interval": 0.1, "push.duration": 0.04}
    engine.set_quantities({n: np.full(2000, v) for n, v in values.items()}, rows)
    engine.reset(0, None)
    forces = []
    for _ in range(16):
        engine.step(push(2000, 0.0))
        forces.append(engine._batch.bind("xfrc_applied")[:, 1].copy())
    force = np.stack(forces)
    assert np.allclose(np.abs(force[:, :, 0]), np.isin(np.arange(16), [5, 6, 10, 11, 15])[:, None] * 3.0)
    assert not force[:, :, 1:].any()
    assert np.array_equal(force[5], force[6])
    assert abs((force[5, :, 0] > 0).mean() - 0.5) < 0.05
    assert abs((force[5, :, 0] == force[10, :, 0]).mean() - 0.5) < 0.05


class Floating(Cart):
    """One that may be pushed along two axes."""

    max_steps, push_axes = 0, (0, 2)


def test_pushes_are_of_one_size_in_every_direction_and_others_in_every_episode() -> None:
    engine = make_engine(CART, 2000, {"task": Floating, "threads": 1})
    values = {"push.force": 3.0, "push.interval": 0.02, "push.duration": 0.02}
    engine.set_quantities({n: np.full(2000, v) for n, v in values.items()}, np.arange(2000))
    forces = []
    for seed in (0, None):
        engine.reset(seed, None)
        for _ in range(2):
            engine.step(push(2000, 0.0))
        forces.append(engine._batch.bind("xfrc_applied")[:, 1].copy())
    assert np.allclose(np.linalg.norm(forces[0], axis=1), 3.0)
    assert not forces[0][:, [1, 3, 4, 5]].any()
    angle = np.arctan2(forces[0][:, 2], forces[0][:, 0])
    assert np.abs(np.bincount(((angle + np.pi) / (np.pi / 4)).astype(int), minlength=8) - 250).max() < 60
    assert abs((forces[0] * forces[1]).sum(1).mean()) < 0.6  # of 9, where both are one


SERVOS = """
<mujoco>
  <worldbody>
    <geom name="ground" type="plane" size="1 1 1" condim="6"/>
    <body name="arm">
      <joint name="wrist" type="ball" damping="0.3"/><geom name="stone" size="0.1" mass="1"/>
      <body name="hand" pos="0 0 1"><joint name="elbow" axis="0 1 0" damping="0.2"/><geom size="0.1" mass="1"/></body>
    </body>
  </worldbody>
  <actuator>
    <position name="holder" joint="elbow" kp="20" kv="3"/><velocity name="mover" joint="elbow" kv="5"/>
  </actuator>
</mujoco>
"""


def test_servos_ball_joints_and_rolling_friction_have_all_their_places() -> None:
    engine = make_engine(SERVOS, 1, {"task": Blind, "threads": 1})
    values = {"holder.kp": 30.0, "holder.kv": 4.0, "mover.kv": 6.0, "wrist.damping": 0.7}
    values |= {"stone.friction.spin": 0.02, "stone.friction.roll": 0.03}
    assert [engine.quantities[n].nominal for n in values] == [20, 3, 5, 0.3, 0.005, 0.0001]
    engine.set_quantities({n: np.array([v]) for n, v in values.items()}, np.array([0]))
    model = engine._batch.get_model(0)
    assert model.actuator("holder").gainprm[0] == 30
    assert model.actuator("holder").biasprm[:3].tolist() == [0, -30, -4]
    assert model.actuator("mover").gainprm[0] == 6
    assert model.actuator("mover").biasprm[:3].tolist() == [0, 0, -6]
    assert model.dof_damping.tolist() == [0.7, 0.7, 0.7, 0.2]
    assert model.geom("stone").friction.tolist() == [1, 0.02, 0.03]
    assert model.geom("ground").friction.tolist() == [1, 0.005, 0.0001]


class Blind(Task):
    """Nothing is seen but a zero."""

    frame_skip, size = 1, 1

    def observe(self, out: np.ndarray) -> None:
        out[:] = 0.0

    def outcome(self, actions: Any, before: Any, after: Any) -> Outcome:
        return Outcome(np.zeros(len(actions)), np.zeros(len(actions), bool))


@pytest.mark.parametrize(
    ("id", "options", "error", "message"),
    [
        ("no/such.xml", {"task": Cart}, EnvError, r"There is no MJCF file no/such\.xml"),
        ("<mujoco><worldbody><body/></worldbody>", {"task": Cart}, EnvError, "MuJoCo cannot compile the MJCF text"),
        (CART, {}, ConfigError, "^the MJCF text is a model without a task"),
        (CART, {"task": "nowhere:Cart"}, ConfigError, "task='nowhere:Cart' .* cannot be found"),
        (CART, {"task": Cart, "gravty": 1}, ConfigError, "has no option gravty"),
        (CART, {"task": dict}, ConfigError, "task=<class .dict.> of the MJCF text is none"),
        ("Hopper-v5", {"task": Cart}, ConfigError, "Hopper-v5 has its task"),
        ("Hopper-v5", {"threads": -1}, ConfigError, "threads=-1 of Hopper-v5"),
    ],
)
def test_says_what_is_wrong(id: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make_env(id, engine="mujoco", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.slow  # the nearest ids are those of every engine
def test_a_misspelt_id_gets_the_nearest_ones() -> None:
    with pytest.raises(ConfigError, match=r"no environment Hoper-v5 on mujoco.*did you mean .*Hopper-v5"):
        make_env("Hoper-v5", engine="mujoco")


def test_a_model_file_and_a_task_by_name(tmp_path: Path) -> None:
    path = tmp_path / "cart.xml"
    path.write_text(CART)
    (tmp_path / "my_tasks.py").write_text(
        "import numpy as np\n"
        "from jostle.envs.engines.mujoco.task import Outcome, Task\n"
        "class Still(Task):\n"
        "    size = 1\n"
        "    def __init__(self, pay=1.0): self.pay = pay\n"
        "    def observe(self, out): out[:] = self.sims.qpos\n"
        "    def outcome(self, actions, before, after):\n"
        "        n = self.sims.count\n"
        "        return Outcome(np.full(n, self.pay), np.zeros(n, bool))\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        env = make_env(str(path), num_envs=2, task="my_tasks:Still", pay=2.5)
        env.reset()
        assert env.step(push(2))[1].tolist() == [2.5, 2.5]
    finally:
        sys.path.remove(str(tmp_path))


def test_a_task_object_serves_many_environments() -> None:
    task = Cart()
    one, two = (make_env(CART, num_envs=n, engine="mujoco", task=task, threads=1) for n in (1, 2))
    a, _ = one.reset()
    b, _ = two.reset()
    assert (len(a), len(b)) == (1, 2)
    assert one.step(push(1))[0].shape == (1, 2)


def test_the_list_of_environments_has_them() -> None:
    found = {info.id: info for info in list_envs("jostle/Hop")}
    assert found["jostle/Hopper-v5"].engine == "mujoco"
    described = describe("jostle/Hopper-v5")
    assert described.observation_space.shape == (11,)
    assert described.options == {"threads": 0}


def test_nothing_is_imported_before_an_environment_is_made() -> None:
    code = (
        "import sys, jostle; from jostle.envs import make_env\n"
        "assert not {'mujoco', 'OpenGL'} & set(sys.modules), 'imported'\n"
        "make_env('jostle/Hopper-v5', threads=1).reset(); assert 'mujoco' in sys.modules\n"
        "assert 'OpenGL' not in sys.modules and 'mujoco.renderer' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class OfVersion:
    """Stands for an installed package."""

    def __init__(self, version: str) -> None:
        self.__version__ = version


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (None, r'MuJoCo is not installed: pip install "jostle\[mujoco\]"'),
        ("3.3.7", "mujoco 3.3.7 is too old, version 4 is needed .*beside mujoco-core 4"),
    ],
)
def test_a_missing_or_older_package_is_named(
    version: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.require_mujoco.cache_clear()
    if version is None:
        monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setitem(sys.modules, "mujoco", OfVersion(version))
        monkeypatch.setattr(package, "has_mujoco", lambda: True)
    with pytest.raises(EnvError, match=message):
        package.require_mujoco()
    monkeypatch.undo()
    package.require_mujoco.cache_clear()
