"""`Randomise` on environments with attributes and on jostle's own: draws, nominal values, what follows, replay."""

import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from jostle.domain import Parameter, Space, Uniform
from jostle.envs import Randomise
from jostle.envs.randomise.rebuilt import followers, rebuilt
from jostle.errors import ConfigError, EnvError

SPACE = {"masspole": {"uniform": [0.5, 2], "operation": "scale"}, "length": [0.3, 0.9], "masscart": [0.5, 5]}


class Spring(gym.Env[Any, Any]):
    """A mass on a spring; ω is computed when it is made, and damping is set back by every reset."""

    damping = 0.1

    def __init__(self, stiffness: float = 4.0) -> None:
        self.observation_space, self.action_space = spaces.Box(-np.inf, np.inf, (1,)), spaces.Discrete(2)
        self.stiffness, self.mass, self.gains = stiffness, 1.0, np.array([1.0, 2.0])
        self.omega = np.sqrt(stiffness / self.mass)
        self.noise = np.random.normal()  # noqa: NPY002
        self.part = type("Part", (), {"size": 3})()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.damping, self.options = 0.1, options
        return np.zeros(1, np.float32), {"own": 1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.array([self.omega], np.float32), float(self.gains[1]), False, False, {}


def test_draws_are_of_seed_environment_and_episode() -> None:
    one, other = (Randomise(gym.make("CartPole-v1"), SPACE) for _ in range(2))
    first = [one.reset(seed=3)[1]["domain"], *(one.reset()[1]["domain"] for _ in range(4))]
    other.reset(seed=8)
    other.reset()
    second = [other.reset(seed=3)[1]["domain"], *(other.reset()[1]["domain"] for _ in range(4))]
    assert first == second
    values = np.array([list(d.values()) for d in first])
    assert len(np.unique(values)) == values.size
    draw = Space.load(SPACE).draw(3, np.zeros(1, int), np.array([2]))
    expected = {"masspole": 0.1 * draw.values[0, 0], "length": draw.values[0, 1], "masscart": draw.values[0, 2]}
    assert first[2] == pytest.approx(expected)
    fixed = Randomise(gym.make("CartPole-v1"), SPACE, seed=3)
    assert [fixed.reset(seed=99)[1]["domain"], fixed.reset()[1]["domain"]] == first[:2]
    beside = Randomise(gym.make("CartPole-v1"), SPACE, seed=3, index=1)
    assert beside.reset()[1]["domain"] != first[0]
    unseeded = {tuple(Randomise(gym.make("CartPole-v1"), SPACE).reset()[1]["domain"].values()) for _ in range(3)}
    assert len(unseeded) == 3


def test_values_are_of_the_nominal_ones_and_what_follows_follows() -> None:
    env = Randomise(gym.make("CartPole-v1"), SPACE)
    inner = env.unwrapped
    for k in range(100):
        info = env.reset(seed=0 if k == 0 else None)[1]
        assert 0.05 <= inner.masspole <= 0.2
        assert inner.masspole == info["domain"]["masspole"]
        assert inner.total_mass == inner.masspole + inner.masscart
        assert inner.polemass_length == inner.masspole * inner.length
        assert info["domain_log_density"] == pytest.approx(-np.log(1.5 * 0.6 * 4.5))
    env.reset(options={"domain": "nominal"})
    assert (inner.masspole, inner.length, inner.masscart, inner.total_mass) == (0.1, 0.5, 1.0, 1.1)


def test_the_step_is_that_of_the_changed_environment() -> None:
    env, reference = Randomise(gym.make("CartPole-v1"), SPACE), gym.make("CartPole-v1").unwrapped
    info = env.reset(seed=4)[1]
    reference.reset(seed=4)
    for name, value in info["domain"].items():
        setattr(reference, name, value)
    reference.total_mass = reference.masspole + reference.masscart
    reference.polemass_length = reference.masspole * reference.length
    for t in range(8):
        expected, got = reference.step(t % 2), env.step(t % 2)
        np.testing.assert_array_equal(got[0], expected[0])
        assert got[4]["domain"] == info["domain"]


def test_a_draw_can_be_replayed_and_named_values_given() -> None:
    env = Randomise(gym.make("CartPole-v1"), SPACE)
    env.reset(seed=1)
    drawn = env.reset()[1]
    again = env.reset(options={"domain": drawn["domain"], "low": -0.01, "high": 0.01})
    assert again[1]["domain"] == drawn["domain"]
    assert again[1]["domain_log_density"] == pytest.approx(drawn["domain_log_density"])
    assert np.abs(again[0]).max() <= 0.01
    partly = env.reset(options={"domain": {"length": 0.4}})[1]["domain"]
    assert partly["length"] == env.unwrapped.length == 0.4
    assert partly["masscart"] != drawn["domain"]["masscart"]
    for wrong, hint in (
        ({"lenght": 1}, "did you mean length"),
        ({"length": -1}, "makes no sense"),
        (3, "values by name"),
    ):
        with pytest.raises(ConfigError, match=hint):
            env.reset(options={"domain": wrong})


def test_what_follows_is_found_in_classes_that_nobody_knows() -> None:
    state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert followers(Spring(), "stiffness", 9.0) == ["omega"]
    assert followers(Spring(), "mass", 4.0) == ["omega"]
    assert followers(Spring(), "damping", 4.0) == []
    made = rebuilt(Spring(), {"stiffness": 9.0, "damping": 0.5})
    assert (made.stiffness, made.omega, made.damping) == (9.0, 3.0, 0.5)
    with pytest.raises(ConfigError, match=r"Spring computes omega from mass when .* derived=\{\"omega\": lambda"):
        Randomise(Spring(), {"mass": [1, 2]})
    env = Randomise(Spring(), {"mass": [1, 2]}, derived={"omega": lambda e: np.sqrt(e.stiffness / e.mass)})
    env.reset(seed=0)
    assert env.step(0)[0][0] == np.float32(2.0 / np.sqrt(env.unwrapped.mass))
    assert "omega" not in env.quantities
    with pytest.raises(ConfigError, match="omega of Spring is computed from other constants"):
        Randomise(Spring(), {"omega": [1, 2]}, derived={"omega": lambda e: 0.0})
    Randomise(Spring(), {"mass": [1, 2]}, derived={}).reset(seed=0)
    random.setstate(state[0])


def test_constructing_to_find_out_moves_no_global_generator() -> None:
    env = Spring()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    followers(env, "mass", 2.0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_paths_lead_into_arrays_and_parts() -> None:
    first, second = Spring(), Spring()
    second.gains = first.gains
    env = Randomise(first, {"gains[1]": [5, 6], "part.size": [4, 5]})
    env.reset(seed=0)
    assert 5 <= first.gains[1] <= 6
    assert first.gains[0] == 1.0
    assert second.gains.tolist() == [1.0, 2.0], "an array that two environments share"
    assert 4 <= first.part.size <= 5
    assert env.step(0)[1] == first.gains[1]
    whole = Randomise(Spring(), {"part.size": {"categorical": [2, 7]}})
    whole.reset(seed=0)
    assert type(whole.unwrapped.part.size) is int
    for path, hint in (
        ("gains[7]", "nothing at"),
        ("gains", "no number"),
        ("mas", "did you mean mass"),
        ("a..b", "no path"),
    ):
        with pytest.raises(ConfigError, match=hint):
            Randomise(Spring(), {path: [1, 2]})


def test_an_environment_that_sets_its_constants_back_is_found_out() -> None:
    env = Randomise(Spring(), {"damping": [0.5, 1]})
    with pytest.raises(EnvError, match=r"Spring sets damping to 0\.1 in its reset, and 0\.\d+ was drawn"):
        env.reset(seed=0)


def test_the_environments_own_infos_and_options_pass() -> None:
    env = Randomise(Spring(), {"gains[0]": [5, 6]})
    assert env.reset(seed=0, options={"domain": "nominal", "x": 3})[1]["own"] == 1
    assert env.unwrapped.options == {"x": 3}
    env.reset(options={"domain": "nominal"})
    assert env.unwrapped.options is None


def test_what_varies_within_an_episode() -> None:
    space = Space(
        [
            Parameter("force_mag", Uniform(5.0, 15.0), when="step"),
            Parameter("gravity", Uniform(5.0, 15.0), when="interval", interval=4),
            Parameter("length", Uniform(0.3, 0.9)),
            Parameter("masscart", Uniform(0.5, 5.0), when="start"),
        ]
    )
    env = Randomise(gym.make("CartPole-v1"), space)
    cart = set()
    for episode in range(3):
        seen = [env.reset(seed=0 if episode == 0 else None)[1]["domain"]]
        assert seen[0] == env.domain
        for t in range(9):
            env.unwrapped.state = np.zeros(4)
            seen.append(env.step(t % 2)[4]["domain"])
            assert env.unwrapped.force_mag == seen[-1]["force_mag"]
        assert seen[0] == seen[1], "the first step is made under the first draw"
        assert len({s["force_mag"] for s in seen}) == 9
        gravity = [s["gravity"] for s in seen[1:]]
        assert len(set(gravity)) == 3
        assert gravity[:4] == gravity[:1] * 4
        assert gravity[4:8] == gravity[4:5] * 4
        assert len({s["length"] for s in seen}) == 1
        cart |= {s["masscart"] for s in seen}
    assert len(cart) == 1
    env.reset(options={"domain": {"force_mag": 7.0}})
    env.step(0)
    assert env.step(1)[4]["domain"]["force_mag"] == 7.0


def test_what_is_asked_for_holds_for_one_episode_and_within_it() -> None:
    law = Uniform(5.0, 15.0)
    space = Space([Parameter("force_mag", law, when="step"), Parameter("gravity", law, when="step")])
    env = Randomise(gym.make("CartPole-v1"), space)

    def seen(options: dict[str, Any] | None) -> np.ndarray:
        env.reset(seed=0, options=options)
        return np.array([list(env.step(0)[4]["domain"].values()) for _ in range(4)])

    np.testing.assert_array_equal(seen({"domain": "nominal"}), [[10.0, 9.8]] * 4)
    half = seen({"domain": {"gravity": 9.0}})
    assert [len(set(column)) for column in half.T] == [4, 1]
    free = seen(None)
    assert [len(set(column)) for column in free.T] == [4, 4]
    np.testing.assert_array_equal(half[:, 0], free[:, 0])


def test_the_density_is_that_of_the_values_that_were_asked_for() -> None:
    env = Randomise(gym.make("CartPole-v1"), {"length": {"log_uniform": [0.1, 1.0]}, "masscart": [0.5, 2.5]})
    info = env.reset(seed=0, options={"domain": {"length": 0.25}})[1]
    assert info["domain_log_density"] == pytest.approx(-np.log(0.25 * np.log(10)) - np.log(2))


def test_values_are_held_until_others_are() -> None:
    env = Randomise(gym.make("CartPole-v1"), SPACE)
    env.reset(seed=0)
    env.hold({"length": 0.4})
    assert env.domain == {"masspole": 0.1, "length": 0.4, "masscart": 1.0}
    env.hold({"masscart": 3.0})
    for _ in range(2):
        assert env.reset()[1]["domain"] == {"masspole": 0.1, "length": 0.4, "masscart": 3.0}
    assert env.unwrapped.total_mass == 3.1


def test_jostles_own_environments_bring_their_quantities() -> None:
    env = Randomise(gym.make("jostle/CartPole-v1"), {"pole.mass": [0.3, 0.5], "action.delay": {"categorical": [0, 2]}})
    info = env.reset(seed=0)[1]
    assert env.unwrapped.quantity("pole.mass") == info["domain"]["pole.mass"]
    obs = env.step(0)[0]
    assert env.observation_space.contains(obs)
    with pytest.raises(ConfigError, match="leave derived= out"):
        Randomise(gym.make("jostle/CartPole-v1"), {"pole.mass": [0.3, 0.5]}, derived={"x": lambda e: 1.0})


def test_bad_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="wrap each before the vector"):
        Randomise(gym.make_vec("CartPole-v1", 2), SPACE)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean masspole"):
        Randomise(gym.make("CartPole-v1"), {"mass_pole": [0.1, 0.2]})
    with pytest.raises(ConfigError, match=r"masspole of CartPole-v1 would reach -0\.1"):
        Randomise(gym.make("CartPole-v1"), {"masspole": [-0.1, 0.2]})
    with pytest.raises(ConfigError, match="total_mass of CartPole-v1 is computed"):
        Randomise(gym.make("CartPole-v1"), {"total_mass": [1, 2]})
