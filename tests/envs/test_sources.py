"""What may stand for an environment, and what is refused in one sentence."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import jostle
from jostle.envs import make_env
from jostle.errors import ConfigError, EnvError, JostleError


class Plain(gym.Env[Any, Any]):
    """Its constructor takes no render_mode."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, size: int = 5) -> None:
        self.size, self.closed, self.t = size, False, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t >= self.size, False, {}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def plain_id() -> Any:
    gym.register("Plain-v0", Plain, kwargs={"size": 4})
    yield "Plain-v0"
    del gym.registry["Plain-v0"]


def episode_length(env: Any) -> int:
    env.reset()
    for t in range(1, 40):
        if env.step(np.zeros(env.num_envs, int))[2][0]:
            return t
    return 0


def test_a_constructor_without_render_mode(plain_id: str) -> None:
    assert episode_length(make_env(plain_id, 2)) == 4
    assert episode_length(make_env(plain_id, 2, size=3)) == 3
    with pytest.raises(EnvError, match=r"Plain-v0 draws no pictures, for its constructor takes no render_mode"):
        make_env(plain_id, render_mode="rgb_array")


def test_a_vector_constructor_without_render_mode() -> None:
    class Vector(gym.vector.VectorEnv[Any, Any, Any]):
        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
        single_observation_space, single_action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

        def __init__(self, num_envs: int) -> None:
            self.num_envs = num_envs

        def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
            return np.zeros((self.num_envs, 2), np.float32), {}

    gym.register("Vector-v0", vector_entry_point=Vector)  # type: ignore[arg-type]
    try:
        assert make_env("Vector-v0", 3).reset()[0].shape == (3, 2)
        with pytest.raises(EnvError, match="Vector-v0 draws no pictures"):
            make_env("Vector-v0", 3, render_mode="rgb_array")
    finally:
        del gym.registry["Vector-v0"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_one_object_for_every_row_is_refused(wrapped: bool) -> None:
    only = Plain()
    with pytest.raises(EnvError, match=r"same object for the environments 0 and 1.*a new environment at each call"):
        make_env(lambda: gym.wrappers.TimeLimit(only, 9) if wrapped else only, 4)
    assert make_env(lambda: only, 1).num_envs == 1


def test_functions_of_every_kind() -> None:
    class Maker:
        def __call__(self) -> Plain:
            return Plain(3)

    assert episode_length(make_env(Plain, 2)) == 5
    assert episode_length(make_env(partial(Plain, size=2), 2)) == 2
    assert make_env(partial(Plain, size=2)).id == "Plain"
    assert episode_length(make_env(Maker(), 2)) == 3
    with pytest.raises(EnvError, match=r"cannot be made .*missing 1 required .*without arguments"):
        make_env(lambda size: Plain(size))  # type: ignore[misc,arg-type]


def test_a_ready_environment_serves_itself_and_stays_open() -> None:
    mine = Plain(3)
    env = make_env(mine)
    assert env.num_envs == 1
    assert episode_length(env) == 3
    assert mine.t == 3
    env.close()
    assert not mine.closed
    with pytest.raises(EnvError, match=r"Plain was given as a ready object.*give a function"):
        make_env(mine, 2)
    with pytest.raises(EnvError, match="Plain was given as a ready object"):
        make_env(env.source)


def test_a_ready_environment_is_made_again_by_its_spec(plain_id: str) -> None:
    mine = gym.make(plain_id, size=6, disable_env_checker=True)
    again = make_env(mine, 3)
    assert (again.id, again.num_envs, episode_length(again)) == (plain_id, 3, 6)
    assert episode_length(make_env(make_env(mine).source, 2)) == 6
    assert episode_length(make_env(mine.spec, 2)) == 6  # type: ignore[arg-type]
    limited = gym.wrappers.TimeLimit(mine, 2)
    assert make_env(limited, 2)._engine._vector.envs[1].get_wrapper_attr("_max_episode_steps") == 2  # type: ignore[attr-defined]

    class Unknown(gym.Wrapper[Any, Any, Any, Any]):
        pass

    with pytest.raises(EnvError, match=r"no record of its wrapper Unknown.*give a function"):
        make_env(Unknown(mine), 2)


def test_a_ready_vector_environment(plain_id: str) -> None:
    vector = gym.make_vec(plain_id, 3, vector_kwargs={"copy": False})
    env = make_env(vector)
    assert env.num_envs == 3
    first, _ = env.reset()
    kept = first.copy()
    assert episode_length(env) == 4
    np.testing.assert_array_equal(first, kept)
    env.close()
    assert not vector.closed
    assert episode_length(make_env(env.source, 2)) == 4
    with pytest.raises(ConfigError, match=r"num_envs=2 cannot be had of Plain-v0.*3.*leave num_envs out"):
        make_env(vector, 2)
    other = gym.make_vec(plain_id, 2, vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})
    with pytest.raises(EnvError, match=r"AutoresetMode\.NEXT_STEP.*vector_kwargs"):
        make_env(other)
    wrapped = make_env(gym.wrappers.vector.RecordEpisodeStatistics(vector))
    with pytest.raises(EnvError, match=r"no second one can be made.*RecordEpisodeStatistics"):
        make_env(wrapped.source)


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_agents_take_ready_environments(plain_id: str, kind: Any) -> None:
    one = kind(gym.make(plain_id, disable_env_checker=True), seed=0).learn(20)
    assert one.num_envs == 1
    assert [e.length for e in jostle.evaluate(one, 3).episodes] == [4, 4, 4]
    several = kind(gym.make_vec(plain_id, 3), seed=0)
    assert several.num_envs == 3
    assert jostle.evaluate(several, 2, env=gym.make_vec(plain_id, 2)).episodes[0].length == 4
    unrepeatable = kind(Plain(), seed=0)
    with pytest.raises(JostleError, match="give a function that makes the environment"):
        jostle.evaluate(unrepeatable, 2)
    assert kind(Plain, seed=0).num_envs == 8


def _grows() -> Any:
    sizes = iter(range(2, 99))

    class Grows(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Box(-1, 1, (next(sizes),), np.float32)

    return Grows


class Other:
    observation_space, action_space = spaces.Discrete(2), spaces.Discrete(2)


class Bare(gym.Env[Any, Any]):
    pass


class Parallel(Other):
    possible_agents = ("a", "b")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Other, "a Other as environment 0, which is no gymnasium.Env: give a function"),
        (Parallel, "several agents"),
        (lambda: None, "a NoneType as environment 0, which is no"),
        (Bare, "Bare: environment 0 has no observation_space.*function"),
        (_grows(), r"space of environment 0 is Box.*\(2,\).*environment 1 is Box.*\(3,\).*function"),
        (None, "env=None is no environment: give a function"),
        (7, "env=7 is no environment"),
    ],
)
def test_what_is_no_environment_is_refused(env: Any, message: str) -> None:
    with pytest.raises(JostleError, match=message):
        jostle.PPO(env, num_envs=2, num_steps=16)


def test_a_made_environment_is_not_made_again() -> None:
    with pytest.raises(ConfigError, match="is made already"):
        make_env(make_env(Plain))
    with pytest.raises(ConfigError, match=r"a ready environment and takes no options \(size\)"):
        make_env(Plain(), size=3)


def test_numbers_of_numpy_are_numbers(tmp_path: Path, plain_id: str) -> None:
    env = make_env(plain_id, np.int64(2), np.int32(3), size=np.int64(3), workers=np.int8(0))  # type: ignore[arg-type]
    assert [type(v) for v in (env.num_envs, env.seed, env.options["size"])] == [int, int, int]
    assert env.made_with == {"size": 3}
    options = {"size": np.int64(3), np.str_("seed_global"): np.True_}
    agent = jostle.PPO(plain_id, num_envs=np.int64(2), seed=np.int64(3), env_options=options, num_steps=16)  # type: ignore[dict-item]
    agent.learn(64, run_dir=tmp_path / "run")
    loaded = jostle.load(tmp_path / "run")
    assert (loaded.seed, loaded.num_envs, loaded.env_options) == (3, 2, {"size": 3, "seed_global": True})
    with pytest.raises(ConfigError, match=r"num_envs=2\.5"):
        make_env(plain_id, np.float64(2.5))  # type: ignore[arg-type]


WITHOUT = """
import sys
for package in {packages}:
    sys.modules[package] = None
from importlib.util import find_spec
from jostle.cli import main
from jostle.envs import make_env
from jostle.errors import JostleError
def say(call):
    try:
        call()
    except JostleError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("packages", "code", "messages"),
    [
        (
            ["envpool", "minigrid"],
            (
                "for env in ('MiniGrid-Empty-5x5-v0', 'Pong-v5'): say(lambda: make_env(env)); "
                "main(['envs', 'Pong-v5']); main(['envs', 'MiniGrid-Empty-5x5-v0']); main(['envs', 'CartPole'])"
            ),
            ['pip install "jostle[minigrid]"', 'Pong-v5 (EnvPool\'s are not installed: pip install "jostle[envpool]")'],
        ),
        (
            ["pygame"],
            "env = make_env('CartPole-v1', engine='gymnasium', render_mode='rgb_array'); env.reset(); say(env.render)",
            ['pygame is not installed: pip install "jostle[classic]"'],
        ),
        (["minigrid"], "say(lambda: make_env('MiniGrid-Empty-5x5-v0', engine='gymnasium'))", ["jostle[minigrid]"]),
    ],
    ids=["neither envpool nor minigrid", "no pygame", "no minigrid"],
)
def test_missing_packages_name_what_to_install(packages: list[str], code: str, messages: list[str]) -> None:
    script = WITHOUT.format(packages=packages) + code
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    for message in messages:
        assert message in said, said
