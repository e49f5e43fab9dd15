"""Quantities of classic control: each acts, nothing derived from one stays behind, rows keep to themselves."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from jostle.envs import make_env
from jostle.envs.diagnostics.classic import TASKS, ClassicVectorEnv, make_classic
from jostle.envs.world import World
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.registration import CLASSIC

EVERY = [(name, quantity) for name, kind in TASKS.items() for quantity in kind(1).quantities]


def played(env: ClassicVectorEnv, steps: int, seed: int = 0) -> list[np.ndarray]:
    """Observations, rewards and ends under fixed actions."""
    env.action_space.seed(seed)
    many = env.num_envs
    seen = []
    for _ in range(steps):
        action = env.action_space.sample()
        action[:] = action[0]
        seen.append(np.concatenate([*(x.reshape(many, -1) for x in env.step(action)[:4])], axis=1))
    return seen


def some_other(env: ClassicVectorEnv, name: str) -> tuple[float, float]:
    """Two values beside the nominal one, within bounds."""
    q = env.quantities[name]
    if name == "wall.right":  # behind the goal, so that it is felt in the last step alone
        return q.low, q.low
    low, high = max(q.low, q.nominal - abs(q.nominal or 1.0)), min(q.high, q.nominal + abs(q.nominal or 1.0))
    return q.nominal + 0.6 * (low - q.nominal), q.nominal + 0.6 * (high - q.nominal)


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_quantity_acts_and_in_its_row_alone(task: str, name: str) -> None:
    nominal, changed = TASKS[task](3), TASKS[task](3)
    value = some_other(changed, name)
    value = value[1] if value[0] == changed.quantities[name].nominal else value[0]
    for env in (nominal, changed):
        env.reset(seed=[5, 5, 5])
    changed.set_quantities({name: np.array([value])}, np.array([1]))
    if name.startswith("start"):
        nominal.reset()
        changed.reset()
    places = {"position.limit": [2.0, 0, 0, 0], "angle.limit": [0, 0, 0.15, 0]}
    places |= {"wall.left": [-1.05, -0.06], "wall.right": [0.445, 0.07], "goal.position": [0.3, 0.04]}
    places |= {"goal.speed": [0.449, 0.02], "goal.height": [1.9, 0.0, 0.0, 0.0]}
    fast = {
        "CartPole": [0, 1, 0, 1],
        "Pendulum": [1.5, 7.9],
        "Acrobot": [1, 1, 12.4, -28],
        "MountainCar": [-0.3, 0.069],
    }
    fast["MountainCarContinuous"] = fast["MountainCar"]
    if name in places or name.endswith(("speed.limit", "friction", "damping")):
        place = np.array([places.get(name, fast[task])] * 3, dtype=float)
        if name == "goal.speed":
            place[:, 0] = float(changed.quantities["goal.position"].nominal) - 0.001
            value = 0.06
            changed.set_quantities({name: np.array([value])}, np.array([1]))
        for env in (nominal, changed):
            env.set_state(place)
    before, after = played(nominal, 30), played(changed, 30)
    assert any((a[1] != b[1]).any() for a, b in zip(before, after, strict=True)), "the row is as it was"
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])


def test_products_follow_their_factors() -> None:
    """The defect of CARL's CartPole: masscart=5, masspole=1 and length=2 left total_mass at 1.1 instead of 6."""
    env, reference = TASKS["CartPole"](1), gym.make("CartPole-v1").unwrapped
    given = {"cart.mass": 5.0, "pole.mass": 1.0, "pole.half_length": 2.0, "force": 7.0, "gravity": 5.0}
    env.reset(seed=0)
    env.set_quantities({name: np.array([value]) for name, value in given.items()}, np.array([0]))
    reference.reset(seed=0)
    reference.masscart, reference.masspole, reference.length = 5.0, 1.0, 2.0
    reference.total_mass, reference.polemass_length = 6.0, 2.0
    reference.force_mag, reference.gravity = 7.0, 5.0
    reference.state = env.state[0]
    for t in range(15):
        env.step(np.array([t % 2]))
        reference.step(t % 2)
        np.testing.assert_array_equal(env.state[0], reference.state)


def test_the_pendulum_and_the_acrobot_with_other_constants_equal_gymnasiums() -> None:
    pendulum, reference = TASKS["Pendulum"](1), gym.make("Pendulum-v1").unwrapped
    pendulum.reset(seed=0)
    given = {"rod.mass": 2.0, "rod.length": 0.5, "gravity": 8.0, "timestep": 0.025, "speed.limit": 4.0}
    pendulum.set_quantities({name: np.array([value]) for name, value in given.items()}, np.array([0]))
    reference.m, reference.l, reference.g, reference.dt, reference.max_speed = 2.0, 0.5, 8.0, 0.025, 4.0
    reference.state = pendulum.state[0]
    for t in range(100):
        action = np.array([np.sin(t)], np.float32)
        pendulum.step(action[None])
        reference.step(action)
        np.testing.assert_allclose(pendulum.state[0], reference.state, rtol=1e-12)
    acrobot, reference = TASKS["Acrobot"](1), gym.make("Acrobot-v1").unwrapped
    acrobot.reset(seed=0)
    given = {"link1.mass": 2.0, "link2.mass": 0.5, "link1.length": 0.8, "link2.length": 1.5, "timestep": 0.1}
    given |= {"link1.centre": 0.25, "link2.centre": 0.4, "link1.inertia": 0.7, "link2.inertia": 0.7}
    acrobot.set_quantities({name: np.array([value]) for name, value in given.items()}, np.array([0]))
    reference.LINK_MASS_1, reference.LINK_MASS_2, reference.LINK_LENGTH_1, reference.LINK_LENGTH_2 = 2.0, 0.5, 0.8, 1.5
    reference.LINK_COM_POS_1, reference.LINK_COM_POS_2, reference.LINK_MOI, reference.dt = 0.2, 0.6, 0.7, 0.1
    reference.state = acrobot.state[0]
    for t in range(60):
        acrobot.step(np.array([t % 3]))
        reference.step(t % 3)
        np.testing.assert_allclose(acrobot.state[0], reference.state, rtol=1e-9, atol=1e-9)


def test_viscous_friction_is_what_it_says() -> None:
    """By hand. CartPole at θ = 0, θ̇ = 1, ẋ = 2: push = (F − bẋ)/1.1, θ̈ = (−push − cθ̇/0.05)/(½(4/3 − 0.1/1.1))."""
    env = TASKS["CartPole"](1)
    env.reset(seed=0)
    env.set_quantities({"cart.friction": np.array([3.0]), "pole.friction": np.array([0.02])}, np.array([0]))
    env.set_state(np.array([[0.0, 2.0, 0.0, 1.0]]))
    env.step(np.array([1]))
    push = (10.0 - 6.0) / 1.1
    turn = (-push - 0.02 / 0.05) / (0.5 * (4 / 3 - 0.1 / 1.1))
    np.testing.assert_allclose(env.state[0, [1, 3]], [2 + 0.02 * (push - 0.05 * turn / 1.1), 1 + 0.02 * turn])
    pendulum = TASKS["Pendulum"](1)
    pendulum.reset(seed=0)
    pendulum.set_quantities({"rod.damping": np.array([0.5]), "torque.gain": np.array([2.0])}, np.array([0]))
    pendulum.set_state(np.array([[0.0, 2.0]]))
    pendulum.step(np.array([[1.0]], np.float32))
    np.testing.assert_allclose(pendulum.state[0, 1], 2 + 0.05 * 3 * (2.0 * 1.0 - 0.5 * 2))
    car = TASKS["MountainCar"](1)
    car.reset(seed=0)
    car.set_quantities({"friction": np.array([0.25]), "gravity": np.array([0.0])}, np.array([0]))
    car.set_state(np.array([[-0.5, 0.04]]))
    car.step(np.array([2]))
    np.testing.assert_allclose(car.state[0, 1], 0.04 * 0.75 + 0.001)


def test_an_action_acts_after_its_delay() -> None:
    env = TASKS["Pendulum"](2)
    env.reset(seed=0)
    env.set_quantities({"action.delay": np.array([3.0]), "gravity": np.array([0.0])}, np.array([1]))
    env.set_quantities({"gravity": np.array([0.0])}, np.array([0]))
    env.set_state(np.zeros((2, 2)))
    speeds = []
    for torque in (1.0, 2.0, 0.0, 0.0, 0.0, 0.0):
        env.step(np.full((2, 1), torque, np.float32))
        speeds.append(env.state[:, 1])
    gained = np.diff(np.array([[0.0, 0.0], *speeds]), axis=0)
    np.testing.assert_allclose(gained[:, 0], [0.15, 0.3, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(gained[:, 1], [0, 0, 0, 0.15, 0.3, 0], atol=1e-12)


def test_a_delay_that_begins_within_the_episode_knows_what_was_done_before() -> None:
    alone, beside = TASKS["Pendulum"](1), TASKS["Pendulum"](2)
    alone.reset(seed=4)
    beside.reset(seed=4)
    beside.set_quantities({"action.delay": np.array([2.0])}, np.array([1]))
    for t in range(20):
        if t == 9:
            for env in (alone, beside):
                env.set_quantities({"action.delay": np.array([2.0])}, np.array([0]))
        action = np.array([[np.sin(t)]], np.float32)
        alone.step(action)
        beside.step(np.repeat(action, 2, 0))
        np.testing.assert_array_equal(alone.state[0], beside.state[0])
    assert not np.array_equal(alone.state[0], beside.state[1])


def test_an_episode_does_not_feel_the_controls_of_the_one_before() -> None:
    env = TASKS["Pendulum"](1, max_episode_steps=5)
    env.reset(seed=0)
    env.set_quantities({"action.delay": np.array([4.0]), "gravity": np.array([0.0])}, np.array([0]))
    for _ in range(6):
        env.step(np.full((1, 1), 2.0, np.float32))
    speed = env.state[0, 1]
    for _ in range(4):
        env.step(np.full((1, 1), 2.0, np.float32))
        assert env.state[0, 1] == speed
    env.step(np.full((1, 1), 2.0, np.float32))
    assert env.state[0, 1] > speed


def test_noise_is_of_the_stated_size_and_leaves_the_physics() -> None:
    noisy, clean = TASKS["CartPole"](4000), TASKS["CartPole"](4000)
    noisy.reset(seed=0)
    clean.reset(seed=0)
    noisy.set_quantities({"observation.noise": np.full(4000, 0.1)}, np.arange(4000))
    action = np.ones(4000, int)
    first = noisy.step(action)[0] - clean.step(action)[0]
    second = noisy.step(action)[0] - clean.step(action)[0]
    np.testing.assert_array_equal(noisy.state, clean.state)
    np.testing.assert_allclose(first.std(0), 0.1 * np.array([2.4, 2.0, 0.2095, 2.0]), rtol=0.05)
    noise = np.concatenate([first, second], 1)
    correlation = np.corrcoef(noise.T)
    assert np.abs(correlation - np.eye(8)).max() < 0.07


def test_a_row_does_not_know_how_many_stand_beside_it() -> None:
    many, one = TASKS["CartPole"](5), TASKS["CartPole"](1)
    for env, row in ((many, 3), (one, 0)):
        env.reset(seed=[8 + i - row for i in range(env.num_envs)])
        values = {"pole.mass": 0.3, "action.delay": 1.0, "observation.noise": 0.05}
        env.set_quantities({k: np.array([v]) for k, v in values.items()}, np.array([row]))
    rng = np.random.default_rng(0)
    for _ in range(150):
        action = rng.integers(0, 2, 5)
        a, b = many.step(action), one.step(action[3:4])
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x[3], y[0])


@pytest.mark.parametrize("task", TASKS)
def test_a_snapshot_continues_bit_for_bit_with_its_quantities(task: str) -> None:
    env, other = (TASKS[task](4, max_episode_steps=23) for _ in range(2))
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    for name in env.quantities:
        low, high = some_other(env, name)
        env.set_quantities({name: rng.uniform(low, high, 4)}, np.arange(4))
    played(env, 22)
    kept = env.state_dict()
    untouched = {k: np.array(v) for k, v in kept.items()}
    other.load_state_dict(kept)
    for name in env.quantities:
        np.testing.assert_array_equal(env.quantity(name), other.quantity(name))
    for a, b in zip(played(env, 60, 5), played(other, 60, 5), strict=True):
        np.testing.assert_array_equal(a, b)
    for key, value in untouched.items():
        np.testing.assert_array_equal(kept[key], value)
    with pytest.raises(CheckpointError, match="max_episode_steps"):
        TASKS[task](4).load_state_dict(kept)


def test_a_snapshot_is_loaded_into_an_environment_that_has_played_other_seeds() -> None:
    env, other = (TASKS["CartPole"](3) for _ in range(2))
    env.reset(seed=1)
    played(env, 30)
    other.reset(seed=50)
    played(other, 30)
    other.load_state_dict(env.state_dict())
    for a, b in zip(played(env, 80, 5), played(other, 80, 5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_was_held_upright_in_the_episode_before_does_not_count() -> None:
    env = TASKS["Pendulum"](1, max_episode_steps=60)
    env.reset(seed=0)
    for _ in range(121):
        env.set_state(np.zeros((1, 2)))
        info = env.step(np.zeros((1, 1), np.float32))[4]
    assert info["is_success"].tolist() == [False]


def test_success_is_that_of_packer_et_al() -> None:
    pole = TASKS["CartPole"](3, max_episode_steps=200)
    pole.reset(seed=0)
    told = {}
    for t in range(1, 201):
        pole.set_state(np.zeros((3, 4)))
        tilted = np.zeros((3, 4))
        tilted[0, 2] = 0.3 if t == 194 else 0.0
        tilted[1, 2] = 0.3 if t == 195 else 0.0
        if t in (194, 195):
            pole.set_state(tilted)
        info = pole.step(np.array([t % 2] * 3))[4]
        for i in np.flatnonzero(info.get("_is_success", [])):
            told.setdefault(int(i), bool(info["is_success"][i]))
    assert told == {0: False, 1: True, 2: True}
    pendulum = TASKS["Pendulum"](3)
    pendulum.reset(seed=0)
    for t in range(200):
        angle = [0.0, 0.0, 2 * np.pi]
        angle[0] += 1.1 if t == 100 else 0.0
        angle[1] += 1.1 if t == 99 else 0.0
        pendulum.set_state(np.stack([angle, np.zeros(3)], 1))
        info = pendulum.step(np.zeros((3, 1), np.float32))[4]
    assert info["_is_success"].all()
    assert info["is_success"].tolist() == [False, True, True]
    for task, steps in (("MountainCar", 110), ("Acrobot", 90)):
        there = [0.499, 0.05] if task == "MountainCar" else [3.1, 0.0, 0.0, 0.0]
        env = TASKS[task](1)
        for last, success in ((steps, True), (steps + 1, False)):
            env.reset(seed=0)
            for _ in range(last - 1):
                info = env.step(np.array([1]))[4]
                assert "is_success" not in info
            env.set_state(np.array([there]))
            info = env.step(np.array([1]))[4]
            assert info["is_success"].tolist() == [success]


def test_one_environment_in_gymnasiums_manner() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*infinity|.*symmetric and normalized", UserWarning)  # as for Gymnasium's
        for name in CLASSIC:
            check_env(gym.make(name).unwrapped, skip_render_check=True)
    env = gym.make("jostle/CartPole-v1", max_episode_steps=700)
    env.reset(seed=0)
    for t in range(700):
        env.unwrapped._vector.set_state(np.zeros((1, 4)))
        *_, terminated, truncated, info = env.step(t % 2)
        assert (terminated, truncated) == (False, t == 699)
        assert info["is_success"] == (t >= 194)
    assert isinstance(env.unwrapped, World)
    env.unwrapped.set_quantities({"gravity": np.array([1.0])}, np.array([0]))
    assert env.unwrapped.quantity("gravity") == 1.0


def test_gymnasiums_vector_of_singles_agrees() -> None:
    native = gym.make_vec("jostle/CartPole-v1", 3, max_episode_steps=15)
    singles = gym.make_vec("jostle/CartPole-v1", 3, vectorization_mode="sync", max_episode_steps=15)
    np.testing.assert_array_equal(native.reset(seed=2)[0], singles.reset(seed=2)[0])
    for action in np.random.default_rng(0).integers(0, 2, (60, 3)):
        for x, y in zip(native.step(action)[:4], singles.step(action)[:4], strict=True):
            np.testing.assert_array_equal(x, y)


def test_make_env_makes_a_world() -> None:
    env = make_env("jostle/Pendulum-v1", num_envs=3, seed=1, render_mode="rgb_array")
    assert env.engine == "jostle"
    assert env.can_snapshot
    obs, _ = env.reset()
    assert obs.shape == (3, 3)
    for _ in range(200):
        *_, truncated, info = env.step(np.zeros((3, 1), np.float32))
    assert truncated.all()
    assert info["_is_success"].all()
    assert env.render().shape == (3, 256, 256, 3)


@pytest.mark.parametrize("task", TASKS)
def test_pictures_show_state_and_quantities(task: str) -> None:
    env = TASKS[task](3, render_mode="rgb_array")
    env.reset(seed=0)
    place = {"CartPole": [0, 0, 0.1, 0], "Pendulum": [1, 0], "Acrobot": [1, 1, 0, 0]}.get(task, [-0.5, 0])
    env.set_state(np.array([place] * 3, float))
    shown = {"CartPole": "pole.half_length", "Pendulum": "rod.mass", "Acrobot": "link2.length"}
    name = shown.get(task, "goal.position")
    env.set_quantities({name: np.array([env.quantities[name].nominal * 0.7])}, np.array([1]))
    frames = env.render()
    assert frames is not None
    assert frames[0].dtype == np.uint8
    np.testing.assert_array_equal(frames[0], frames[2])
    assert (frames[0] != frames[1]).any()
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 50, "soft edges on a shaded ground"
    env.set_state(env.state + 0.2)
    again = env.render()
    assert again is not None
    assert (again[0] != frames[0]).any()


def test_bad_input_is_refused_and_changes_nothing() -> None:
    env = TASKS["CartPole"](2)
    rows = np.array([0])
    with pytest.raises(ConfigError, match=r"no quantity 'pole\.mas'; did you mean pole\.mass"):
        env.set_quantities({"pole.mas": np.array([1.0])}, rows)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ConfigError, match=r"pole\.mass = .* kg: it lies within 0\.001 and 10 kg"):
            env.set_quantities({"gravity": np.array([3.0]), "pole.mass": np.array([wrong])}, rows)
    with pytest.raises(ConfigError, match="2 values of gravity for 1 rows"):
        env.set_quantities({"gravity": np.array([3.0, 4.0])}, rows)
    assert env.quantity("gravity").tolist() == [9.8, 9.8]
    with pytest.raises(ConfigError, match="max_episode_steps"):
        TASKS["CartPole"](1, max_episode_steps=0)
    with pytest.raises(ConfigError, match="did you mean max_episode_steps"):
        gym.make_vec("jostle/CartPole-v1", 2, max_episode_step=3)
    with pytest.raises(ConfigError, match="no option 'masscart'"):
        make_classic(name="CartPole", masscart=3.0)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"shape \(2, 4\)"):
        env.set_state(np.zeros((1, 4)))
    pendulum = TASKS["Pendulum"](2)
    pendulum.reset(seed=0)
    with pytest.raises(EnvError, match=r"shape \(2, 1\)"):
        pendulum.step(np.zeros(2, np.float32))
    with pytest.raises(EnvError, match="finite actions, and that for environment 1"):
        pendulum.step(np.array([[0.0], [np.nan]], np.float32))
