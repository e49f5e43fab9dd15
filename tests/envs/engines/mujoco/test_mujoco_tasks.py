"""The tasks equal Gymnasium's over whole episodes, from the same states and actions."""

import warnings

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from scipy.stats import ks_2samp

from jostle import make_env
from jostle.envs.engines.mujoco.catalogue import make_engine

TASKS = {
    "Ant-v5": 0,
    "HalfCheetah-v5": 1000,
    "Hopper-v5": 0,
    "Humanoid-v5": 0,
    "InvertedPendulum-v5": 0,
    "Pusher-v5": 100,
    "Reacher-v5": 50,
    "Swimmer-v5": 1000,
    "Walker2d-v5": 0,
}
"""Each task's steps in an episode; 0: until it falls."""


def gymnasium_env(name: str) -> gym.Env:
    """Gymnasium's own, which keeps its time limit and checks nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gym.make(name, disable_env_checker=True)


@pytest.mark.parametrize("name", TASKS)
def test_equals_gymnasium_over_an_episode(name: str) -> None:
    rows = 2
    engine = make_engine(name, rows, {"threads": 1})
    theirs = [gymnasium_env(name) for _ in range(rows)]
    space = theirs[0].action_space
    assert engine.single_action_space == space
    assert engine.single_observation_space.shape == theirs[0].observation_space.shape
    first, _ = engine.reset(3, None)
    rng = np.random.default_rng(0)
    for i, env in enumerate(theirs):
        env.reset(seed=0)
        env.unwrapped.set_state(engine.sims.qpos[i].copy(), engine.sims.qvel[i].copy())
        assert np.array_equal(first[i], env.unwrapped._get_obs().astype(np.float32))
    seen, paid = np.empty((rows, engine.task.size)), []
    outcome = engine.task.outcome
    engine.task.outcome = lambda *given: paid.append(outcome(*given)) or paid[-1]  # in full precision
    size = 0.1 if name == "InvertedPendulum-v5" else 1.0  # else it falls at once
    over, lengths = np.zeros(rows, bool), np.zeros(rows, int)
    while not over.all():
        actions = size * rng.uniform(space.low, space.high, (rows, *space.shape)).astype(np.float32)
        obs, reward, terminated, truncated, _ = engine.step(actions)
        engine.task.observe(seen)
        for i in np.flatnonzero(~over):
            their_obs, their_reward, their_end, their_limit, _ = theirs[i].step(actions[i])
            assert np.array_equal(seen[i], their_obs), (lengths[i], seen[i] - their_obs)
            assert np.array_equal(obs[i], their_obs.astype(np.float32))
            assert abs(paid[-1].reward[i] - their_reward) <= 1e-9 * max(1, abs(their_reward))
            assert reward[i] == np.float32(paid[-1].reward[i])
            assert (terminated[i], truncated[i]) == (their_end, their_limit)
            lengths[i] += 1
            over[i] = their_end or their_limit
    assert (lengths == TASKS[name]).all() if TASKS[name] else (lengths > 5).all()


@pytest.mark.parametrize("name", TASKS)
def test_first_states_are_distributed_as_gymnasiums(name: str) -> None:
    engine = make_engine(name, 400, {"threads": 1})
    engine.reset(0, None)
    ours = np.empty((400, engine.task.size))
    engine.task.observe(ours)
    env = gymnasium_env(name)
    theirs = np.stack([env.reset(seed=i)[0] for i in range(400)])
    for column in range(ours.shape[1]):
        if theirs[:, column].std() < 1e-12:
            assert np.allclose(ours[:, column], theirs[0, column], rtol=1e-12, atol=1e-12)
        else:
            assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-4, column


def test_other_masses_move_the_centre_of_mass_as_in_gymnasium() -> None:
    """Humanoid is paid for what its centre of mass does."""
    engine = make_engine("Humanoid-v5", 1, {"threads": 1})
    engine.set_quantities({"right_thigh.mass": np.array([20.0])}, np.array([0]))
    engine.reset(0, None)
    env = gymnasium_env("Humanoid-v5")
    model = env.unwrapped.model
    thigh = model.body("right_thigh")
    thigh.inertia *= 20.0 / thigh.mass
    thigh.mass = 20.0
    mujoco.mj_setConst(model, mujoco.MjData(model))
    env.reset(seed=0)
    env.unwrapped.set_state(engine.sims.qpos[0].copy(), engine.sims.qvel[0].copy())
    for _ in range(5):
        action = np.full((1, 17), 0.3, np.float32)
        reward, theirs = engine.step(action)[1][0], env.step(action[0])[1]
        assert abs(reward - theirs) < 1e-6 * abs(theirs)


def test_an_episode_begins_without_contact_forces() -> None:
    engine = make_engine("Ant-v5", 2, {"threads": 1})
    engine.reset(0, None)
    engine._elapsed[:] = 970
    felt = engine.task.size - 6 * 13
    seen = [engine.step(np.ones((2, 8), np.float32)) for _ in range(31)]
    assert seen[29][3].all()
    assert np.abs(seen[29][0][:, felt:]).max() > 0
    assert not seen[30][0][:, felt:].any()


def test_make_env_runs_it_under_both_names() -> None:
    own = make_env("jostle/Hopper-v5", num_envs=2, seed=1)
    other = make_env("Hopper-v5", num_envs=2, seed=1, engine="mujoco", threads=1)
    assert own.engine == other.engine == "mujoco"
    assert own.can_snapshot
    a, _ = own.reset()
    b, _ = other.reset()
    assert np.array_equal(a, b)
    own.close()
    other.close()
