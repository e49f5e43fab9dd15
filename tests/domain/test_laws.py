"""Each distribution against SciPy's, and what cannot be drawn from."""

import math

import numpy as np
import pytest
import scipy.stats as st
from scipy.integrate import quad

from jostle.domain import Beta, Categorical, Constant, Distribution, Integers, LogUniform, TruncatedNormal, Uniform
from jostle.domain.distributions import from_data, stacked
from jostle.errors import ConfigError

U = np.array([1e-9, 0.01, 0.3, 0.5, 0.77, 0.999, 1 - 1e-9])
CONTINUOUS = [
    (Uniform(-2.0, 5.0), st.uniform(-2, 7)),
    (LogUniform(0.03, 30.0), st.loguniform(0.03, 30)),
    (TruncatedNormal(1.0, 2.0, 0.0, 4.0), st.truncnorm(-0.5, 1.5, 1, 2)),
    (TruncatedNormal(0.0, 0.1, 0.7, 0.9), st.truncnorm(7, 9, 0, 0.1)),
    (TruncatedNormal(0.0, 0.1, -0.9, -0.7), st.truncnorm(-9, -7, 0, 0.1)),
    (TruncatedNormal(3.0, 2.0), st.norm(3, 2)),
    (TruncatedNormal(3.0, 2.0, low=2.0), st.truncnorm(-0.5, np.inf, 3, 2)),
    (Beta(2.0, 5.0, -1.0, 3.0), st.beta(2, 5, -1, 4)),
    (Beta(1.0, 1.0), st.uniform()),
    (Beta(100.0, 100.0, 0.0, 2.0), st.beta(100, 100, 0, 2)),
]


@pytest.mark.parametrize(("own", "scipy"), CONTINUOUS, ids=lambda v: str(v) if isinstance(v, Distribution) else "")
def test_continuous_ones_are_scipys(own: Distribution, scipy: object) -> None:
    x = own.quantile(U)
    np.testing.assert_allclose(x, scipy.ppf(U), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.cdf(x), U, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.cdf(x), scipy.cdf(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.log_density(x), scipy.logpdf(x), rtol=1e-9, atol=1e-9)
    low, high = own.support
    ends = np.clip([low, high], *own.quantile(np.array([1e-15, 1 - 1e-15])))
    entropy, _ = quad(lambda v: -scipy.pdf(v) * scipy.logpdf(v), *ends, epsabs=1e-12, limit=400)
    assert own.entropy() == pytest.approx(entropy, rel=1e-8, abs=1e-9)  # SciPy's own is wrong far out in the upper tail
    np.testing.assert_allclose((low, high), scipy.support())
    outside = np.array([low - 1, high + 1])[np.isfinite([low, high])]
    assert (own.log_density(outside) == -np.inf).all()
    np.testing.assert_array_equal(own.cdf(outside), (outside > high).astype(float))


@pytest.mark.parametrize(("own", "scipy"), CONTINUOUS[:4], ids=lambda v: str(v) if isinstance(v, Distribution) else "")
def test_quantiles_of_uniform_numbers_have_the_distribution(own: Distribution, scipy: object) -> None:
    drawn = own.quantile(np.random.default_rng(0).uniform(size=2000))
    assert st.kstest(drawn, scipy.cdf).pvalue > 0.01


def test_categorical_by_hand() -> None:
    law = Categorical((3.0, -1.0, 7.0), (1.0, 2.0, 1.0))
    np.testing.assert_array_equal(law.quantile(np.array([0.2, 0.25, 0.26, 0.74, 0.76, 0.999])), [3, -1, -1, -1, 7, 7])
    np.testing.assert_allclose(law.log_density(np.array([3.0, -1.0, 0.0])), [math.log(0.25), math.log(0.5), -np.inf])
    np.testing.assert_allclose(law.cdf(np.array([-2.0, -1.0, 3.0, 7.0])), [0, 0.5, 0.75, 1])
    assert law.entropy() == pytest.approx(1.5 * math.log(2))
    assert law.support == (-1.0, 7.0)
    np.testing.assert_allclose(law.position(np.array([-1.0, 3.0, 7.0])), [-1, 0, 1])


def test_constant_by_hand() -> None:
    law = Constant(2.5)
    np.testing.assert_array_equal(law.quantile(U), np.full(len(U), 2.5))
    np.testing.assert_array_equal(law.log_density(np.array([2.5, 2.6])), [0, -np.inf])
    assert law.entropy() == 0


@pytest.mark.parametrize(
    ("law", "at"),
    [
        (Uniform(2.0, 4.0), {2: -1, 3: 0, 4: 1, 5: 2}),
        (LogUniform(0.01, 1.0), {0.01: -1, 0.1: 0, 1: 1}),
        (TruncatedNormal(1.0, 2.0, -5.0, 5.0), {1: 0, 3: 1}),
        (Beta(3.0, 9.0, 0.0, 4.0), {0: -1, 2: 0, 4: 1}),
    ],
    ids=str,
)
def test_positions_are_minus_one_to_one(law: Distribution, at: dict[float, float]) -> None:
    np.testing.assert_allclose(law.position(np.array(list(at), float)), list(at.values()), atol=1e-12)


@pytest.mark.parametrize(
    "law",
    [law for law, _ in CONTINUOUS] + [Categorical((1.0, 2.0)), Categorical(("a", "b"), (1.0, 3.0)), Constant(3.0)],
    ids=str,
)
def test_files_say_the_same(law: Distribution) -> None:
    assert from_data(law.kind, law.data()) == law


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Uniform(2.0, 1.0), "uniform from 2 to 1 has inverted bounds: give the lower one first"),
        (lambda: Uniform(1.0, 1.0), "holds one value: use constant"),
        (lambda: Uniform(0.0, math.inf), "high=inf"),
        (lambda: Uniform(math.nan, 1.0), "low=nan"),
        (lambda: LogUniform(0.0, 1.0), "above 0"),
        (lambda: LogUniform(3.0, 1.0), "inverted"),
        (lambda: TruncatedNormal(0.0, 0.0), "std must be above 0"),
        (lambda: TruncatedNormal(0.0, 1.0, 2.0, 1.0), "inverted"),
        (lambda: TruncatedNormal(0.0, 1.0, 50.0, 51.0), "next to no mass"),
        (lambda: Beta(0.0, 1.0), "must be above 0"),
        (lambda: Beta(1.0, 1.0, 1.0, 0.0), "inverted"),
        (lambda: Categorical(()), "give values"),
        (lambda: Categorical((1.0, 1.0)), "each once"),
        (lambda: Categorical((1.0, 2.0), (1.0,)), "one above 0 for each"),
        (lambda: Categorical((1.0, 2.0), (1.0, 0.0)), "one above 0 for each"),
        (lambda: Categorical((1.0, math.inf)), "finite"),
        (lambda: Constant(math.nan), "finite"),
        (lambda: Categorical(("a", "b")).quantile(U), "bind the space"),
        (lambda: from_data("uniform", [1, 2, 3]), "uniform takes low, high"),
        (lambda: from_data("uniform", [1]), "uniform takes low, high"),
        (lambda: from_data("uniform", ["a", 2]), "takes numbers, not 'a'"),
        (lambda: from_data("uniform", [True, 2]), "takes numbers, not True"),
        (lambda: from_data("uniform", {"low": 1, "hihg": 2}), "uniform takes low, high"),
        (lambda: from_data("categorical", "red"), "a list of values"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    "laws", [[Uniform(0.0, 1.0), Uniform(-2.0, 5.0)], [LogUniform(0.1, 1.0), LogUniform(2.0, 9.0)]]
)
def test_several_as_one_are_each_of_them(laws: list[Distribution]) -> None:
    whole = stacked(laws)
    u = np.random.default_rng(0).uniform(size=(20, 2))
    x = whole.quantile(u)
    for k, law in enumerate(laws):
        np.testing.assert_array_equal(x[:, k], law.quantile(u[:, k]))
        for what in ("cdf", "log_density", "position"):
            np.testing.assert_array_equal(getattr(whole, what)(x)[:, k], getattr(law, what)(x[:, k]))
            np.testing.assert_array_equal(getattr(whole, what)(x + 3)[:, k], getattr(law, what)(x[:, k] + 3))
    assert stacked([laws[0], Beta(1.0, 1.0)]) is None
    assert stacked([Beta(1.0, 1.0), Beta(2.0, 1.0)]) is None


def test_integers_by_hand() -> None:
    law = Integers(3, 6)
    np.testing.assert_array_equal(law.quantile(np.array([0.01, 0.24, 0.26, 0.51, 0.76, 0.9999])), [3, 3, 4, 5, 6, 6])
    np.testing.assert_allclose(law.log_density(np.array([3.0, 6.0, 7.0, 3.5])), [-math.log(4)] * 2 + [-np.inf] * 2)
    np.testing.assert_allclose(law.cdf(np.array([2.9, 3.0, 4.5, 6.0, 9.0])), [0, 0.25, 0.5, 1, 1])
    assert law.entropy() == pytest.approx(math.log(4))
    assert from_data("integers", law.data()) == law
    for low, high in ((3, 2), (0.5, 2)):
        with pytest.raises(ConfigError):
            Integers(low, high)
