"""Spaces: draws by key, operations, correlations, checks against quantities, files."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats as st

from jostle.domain import (
    Beta,
    Categorical,
    Constant,
    Correlated,
    LogUniform,
    Parameter,
    Quantity,
    Space,
    TruncatedNormal,
    Uniform,
)
from jostle.errors import ConfigError

MASS, LENGTH = Parameter("mass", Uniform(0.5, 2.0), "scale"), Parameter("length", LogUniform(0.1, 10.0))
PUSH = Parameter("push", TruncatedNormal(0.0, 1.0, -3.0, 3.0), "offset")
QUANTITIES = {
    q.name: q
    for q in (
        Quantity("mass", 3.0, 0.0, 100.0, "kg", "mass of the pole"),
        Quantity("length", 1.0, 0.01, 20.0, "m"),
        Quantity("push", 5.0, unit="N"),
        Quantity("gravity.z", -9.81, -20.0, 0.0, "m/s²"),
        Quantity("floor", 1.0, 0.0, 2.0, choices=("ice", "wood", "stone")),
        Quantity("wind", 0.0, -5.0, 5.0),
    )
}


def keys(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n) // 100, np.arange(n) % 100


def test_a_draw_depends_on_its_key_and_name_alone() -> None:
    envs, episodes = keys(500)
    both = Space([MASS, LENGTH]).draw(7, envs, episodes)
    turned = Space([LENGTH, PUSH, MASS]).draw(7, envs[::-1].copy(), episodes[::-1].copy())
    np.testing.assert_array_equal(both.values[:, 0], turned.values[::-1, 2])
    np.testing.assert_array_equal(both.values[:, 1], turned.values[::-1, 0])
    one = Space([MASS, LENGTH]).draw(7, np.array([3]), np.array([41]))
    np.testing.assert_array_equal(one.values[0], both.values[341])
    assert one.log_density[0] == both.log_density[341]


def test_seed_environment_episode_and_parameter_each_change_it() -> None:
    space = Space([MASS, Parameter("other", MASS.distribution)])
    base = space.draw(1, np.array([2]), np.array([3])).values[0]
    assert base[0] != base[1]
    for seed, env, episode in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 3, 2)):
        assert (space.draw(seed, np.array([env]), np.array([episode])).values[0] != base).all()


def test_draws_and_densities_are_the_distributions() -> None:
    envs, episodes = keys(3000)
    draw = Space([MASS, LENGTH, PUSH]).draw(0, envs, episodes)
    oracles = (st.uniform(0.5, 1.5), st.loguniform(0.1, 10), st.truncnorm(-3, 3))
    for i, oracle in enumerate(oracles):
        assert st.kstest(draw.values[:, i], oracle.cdf).pvalue > 0.01
    wanted = sum(oracle.logpdf(draw.values[:, i]) for i, oracle in enumerate(oracles))
    np.testing.assert_allclose(draw.log_density, wanted)
    assert abs(np.corrcoef(draw.values.T)[0, 1]) < 0.05


def test_times_of_draws() -> None:
    law = Uniform(0.0, 1.0)
    space = Space(
        [
            Parameter("start", law, when="start"),
            Parameter("reset", law),
            Parameter("interval", law, when="interval", interval=3),
            Parameter("step", law, when="step"),
        ]
    )
    env, steps = np.zeros(7, np.int64), np.arange(7)
    first = space.draw(0, env, np.zeros(7, np.int64), steps).values
    second = space.draw(0, env, np.ones(7, np.int64), steps).values
    assert [len(np.unique(column)) for column in first.T] == [1, 1, 3, 7]
    assert len(np.unique(first[:, 2][:3])) == len(np.unique(first[:, 2][3:6])) == 1
    np.testing.assert_array_equal(first[:, 0], second[:, 0])
    assert (first[:, 1:] != second[:, 1:]).all()
    assert (space.draw(0, env + 1, np.zeros(7, np.int64), steps).values[:, 0] != first[:, 0]).all()


def test_bounds_narrow_the_distribution_and_pin() -> None:
    space = Space([LENGTH, Parameter("b", Beta(2.0, 3.0, 0.0, 10.0)), Parameter("c", Categorical((1.0, 2.0)))])
    envs, episodes = keys(2000)
    low, high = np.tile([0.5, 4.0, np.nan], (2000, 1)), np.tile([2.0, 4.0, np.nan], (2000, 1))
    draw = space.draw(0, envs, episodes, low=low, high=high)
    assert st.kstest(draw.values[:, 0], st.loguniform(0.5, 2).cdf).pvalue > 0.01
    assert (draw.values[:, 1] == 4.0).all()
    assert set(draw.values[:, 2]) == {1.0, 2.0}
    np.testing.assert_allclose(draw.log_density, st.loguniform(0.5, 2).logpdf(draw.values[:, 0]) + math.log(0.5))
    high[:, 1] = 6.0
    draw = space.draw(0, envs, episodes, low=low, high=high)
    beta = st.beta(2, 3, 0, 10)
    within = beta.cdf(6) - beta.cdf(4)
    assert st.kstest(draw.values[:, 1], lambda x: (beta.cdf(x) - beta.cdf(4)) / within).pvalue > 0.01
    wanted = st.loguniform(0.5, 2).logpdf(draw.values[:, 0]) + beta.logpdf(draw.values[:, 1]) - math.log(2 * within)
    np.testing.assert_allclose(draw.log_density, wanted)
    outside = space.log_density(np.array([[3.0, 5.0, 1.0]]), low=low[:1], high=high[:1])
    assert outside[0] == -np.inf


MATRIX = ((1.0, 0.8, -0.3), (0.8, 1.0, 0.0), (-0.3, 0.0, 1.0))


def test_a_correlated_group_is_a_gaussian_copula() -> None:
    space = Space([PUSH, MASS, LENGTH], [Correlated(("mass", "length", "push"), MATRIX)])
    envs, episodes = keys(4000)
    draw = space.draw(3, envs, episodes)
    mass, length, push = draw.values[:, 1], draw.values[:, 2], draw.values[:, 0]
    assert st.kstest(mass, st.uniform(0.5, 1.5).cdf).pvalue > 0.01
    assert st.kstest(length, st.loguniform(0.1, 10).cdf).pvalue > 0.01
    for (a, b), r in zip(((mass, length), (mass, push), (length, push)), (0.8, -0.3, 0.0), strict=True):
        assert st.spearmanr(a, b).statistic == pytest.approx(6 / math.pi * math.asin(r / 2), abs=0.03)
    u = np.stack([st.uniform(0.5, 1.5).cdf(mass), st.loguniform(0.1, 10).cdf(length), st.truncnorm(-3, 3).cdf(push)], 1)
    z = st.norm.ppf(u)
    copula = st.multivariate_normal(np.zeros(3), np.array(MATRIX)).logpdf(z) - st.norm.logpdf(z).sum(1)
    plain = Space([PUSH, MASS, LENGTH]).log_density(draw.values)
    np.testing.assert_allclose(draw.log_density, plain + copula, atol=1e-8)
    # The entropy is the mean of −log density.
    assert space.entropy() == pytest.approx(-draw.log_density.mean(), abs=0.1)
    assert space.entropy() < Space([PUSH, MASS, LENGTH]).entropy() - 0.4


def test_a_pinned_member_leaves_the_others_own_copula() -> None:
    space = Space([MASS, LENGTH, PUSH], [Correlated(("mass", "length", "push"), MATRIX)])
    low, high = np.array([[0.5, 1.0, -3.0]]), np.array([[2.0, 1.0, 3.0]])
    draw = space.draw(0, np.array([0]), np.array([0]), low=low, high=high)
    alone = Space([MASS, PUSH], [Correlated(("mass", "push"), -0.3)])
    assert draw.values[0, 1] == 1.0
    assert draw.log_density[0] == pytest.approx(alone.log_density(draw.values[:, [0, 2]])[0])


def test_operations_are_of_the_nominal_value() -> None:
    space = Space(
        [
            MASS,
            LENGTH,
            PUSH,
            Parameter("gravity.z", Uniform(0.5, 1.5), "scale"),
            Parameter("floor", Categorical(("stone", "ice"))),
        ]
    )
    bound = space.bind(QUANTITIES)
    np.testing.assert_array_equal(bound.nominal, [3, 1, 5, -9.81, 1])
    np.testing.assert_array_equal(bound.neutral, [1, 1, 0, 1, 1])
    drawn = np.array([[2.0, 0.5, -1.0, 1.5, 2.0]])
    np.testing.assert_allclose(bound.values(drawn), [[6.0, 0.5, 4.0, -14.715, 2.0]])
    np.testing.assert_allclose(bound.drawn(bound.values(drawn)), drawn)
    np.testing.assert_allclose(bound.values(bound.neutral[None])[0], bound.nominal)
    draw = bound.draw(0, *keys(300))
    assert set(bound.by_name(draw.values)["floor"]) == {0.0, 2.0}
    assert draw.values[:, 0].min() >= 1.5
    assert draw.values[:, 0].max() <= 6.0
    np.testing.assert_allclose(bound.position(np.array([[1.5, 10.0, 6.0, -9.81, 2.0]])), [[-1, 1, 1, 0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        (Parameter("maas", Uniform(0.0, 1.0)), "has no quantity maas .*did you mean mass"),
        (Parameter("mass", Uniform(-1.0, 1.0)), "the parameter mass of Pole would reach -1 kg, and makes sense from 0"),
        (Parameter("mass", Uniform(0.5, 40.0), "scale"), "would reach 120 kg"),
        (Parameter("mass", TruncatedNormal(1.0, 1.0)), "would reach -inf kg"),
        (Parameter("gravity.z", Uniform(0.5, 3.0), "scale"), "would reach -29.43 m/s²"),
        (Parameter("wind", Uniform(0.5, 3.0), "scale"), "nominal value of 0, which changes nothing"),
        (Parameter("floor", Uniform(0.0, 2.0)), "chosen from ice, wood, stone: draw it categorical"),
        (Parameter("floor", Categorical(("ice", "stome"))), "no choice 'stome'; did you mean stone"),
        (Parameter("floor", Categorical((0.0, 1.5))), "no choice 1.5: it is one of 0 to 2"),
        (Parameter("floor", Constant(3.0)), "would reach 3"),
        (Parameter("mass", Categorical(("heavy",))), "no choice 'heavy'; it is a number"),
    ],
)
def test_what_a_quantity_cannot_be_is_refused(parameter: Parameter, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Space([parameter]).bind(QUANTITIES, "Pole")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Space([MASS, Parameter("mass", Constant(1.0))]), "mass stands twice"),
        (lambda: Space([MASS], [Correlated(("mass", "lenght"), 0.5)]), "lenght is correlated and no parameter"),
        (
            lambda: Space(
                [MASS, LENGTH, PUSH], [Correlated(("mass", "length"), 0.5), Correlated(("mass", "push"), 0.5)]
            ),
            "in two correlated groups",
        ),
        (
            lambda: Space([MASS, Parameter("b", Constant(1.0))], [Correlated(("mass", "b"), 0.5)]),
            "cannot be correlated",
        ),
        (
            lambda: Space([MASS, Parameter("b", Uniform(0.0, 1.0), when="start")], [Correlated(("mass", "b"), 0.5)]),
            "same times",
        ),
        (lambda: Correlated(("a", "b"), 1.0), "not positive definite"),
        (lambda: Correlated(("a", "b", "c"), -0.9), "not positive definite"),
        (lambda: Correlated(("a",), 0.5), "two or more"),
        (lambda: Correlated(("a", "b"), ((1.0, 0.5), (0.4, 1.0))), "symmetric"),
        (lambda: Correlated(("a", "b"), ((1.0, 0.5),)), "2 rows of 2"),
        (lambda: Parameter("a", Constant(1.0), "sacle"), "did you mean scale"),
        (lambda: Parameter("a", Constant(1.0), when="rest"), "did you mean reset"),
        (lambda: Parameter("a", Constant(1.0), when="interval"), "interval says the steps"),
        (lambda: Parameter("a", Constant(1.0), interval=4), "interval says the steps"),
        (lambda: Parameter("a", Constant(1.0), when="interval", interval=0), "1 or more"),
        (lambda: Parameter("a", Categorical(("x",)), "scale"), "chooses by name"),
    ],
)
def test_what_cannot_be_a_space_is_refused(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


TEXT = """
parameters:
  mass: {uniform: [0.5, 2], operation: scale}
  length: {log_uniform: {low: 0.1, high: 10}}
  push: {truncated_normal: {mean: 0, std: 1, low: -3, high: 3}, operation: offset, when: interval, interval: 50}
  gravity.z: [-12, -8]
  floor: {categorical: {ice: 1, stone: 3}, when: start}
  wind: 0.5
correlated:
  - names: [mass, length]
    correlation: 0.8
"""


def test_a_file_is_read_and_written_back(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(TEXT)
    space = Space.load(tmp_path / "d.yaml")
    assert space.parameters[0] == MASS
    assert space.parameters[2] == Parameter("push", PUSH.distribution, "offset", "interval", 50)
    assert space.parameters[3] == Parameter("gravity.z", Uniform(-12.0, -8.0))
    assert space.parameters[4] == Parameter("floor", Categorical(("ice", "stone"), (1.0, 3.0)), when="start")
    assert space.parameters[5] == Parameter("wind", Constant(0.5))
    assert Space.load(space.data()) == space
    assert Space.load(space) is space
    bound = space.bind(QUANTITIES)
    assert Space.load(bound.space.data()) == bound.space
    table = str(bound).splitlines()
    assert table[1].split() == ["mass", "uniform", "0.5", "to", "2", "scale", "each", "reset", "kg", "3", "1.5", "6"]
    assert table[-1] == "correlated: mass, length (0.8)"
    assert Space.load({"mass": [1, 2]}) == Space([Parameter("mass", Uniform(1.0, 2.0))])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"parameters": {"mass": {"unifrom": [0, 1]}}},
            "mass in the domain: there is no key 'unifrom'; did you mean uniform",
        ),
        ({"parameters": {"mass": {"uniform": [2, 1]}}}, "mass in the domain: .*inverted bounds"),
        ({"parameters": {"mass": {"operation": "scale"}}}, "needs one distribution"),
        ({"parameters": {"mass": {"uniform": [0, 1], "beta": [1, 1]}}}, "needs one distribution .* has 2"),
        ({"parameters": {"mass": "heavy"}}, "'heavy' says no distribution"),
        ({"parameters": [1, 2]}, "must be a mapping from names"),
        ({"parameters": {}, "corelated": []}, "no key 'corelated'.*did you mean correlated"),
        ({"parameters": {"a": [0, 1]}, "correlated": {"names": ["a"]}}, "a list of groups"),
        (
            {"parameters": {"a": [0, 1]}, "correlated": [{"names": "a", "correlation": 1}]},
            "must be a list of parameters",
        ),
        (
            {"parameters": {"a": [0, 1]}, "correlated": [{"names": ["a", "b"], "correlation": "x"}]},
            "a number or a matrix",
        ),
        (3, "a Space, a YAML file or a mapping"),
        ("nowhere.yaml", "nowhere.yaml cannot be read"),
    ],
)
def test_what_a_file_cannot_say_is_refused(data: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Space.load(data)
