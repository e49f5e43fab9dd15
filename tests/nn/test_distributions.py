"""Action distributions against torch.distributions, their samples' frequencies, and the heads of action spaces."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats
from torch import distributions as oracle

from jostle.errors import ConfigError
from jostle.nn.distributions import Categorical, Gaussian, MultiCategorical, make_distribution


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=generator(seed))


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_categorical_agrees_with_torch(scale: float) -> None:
    ours, other = Categorical(normals(9, 5, scale=scale)), Categorical(normals(9, 5, scale=scale, seed=1))
    theirs = oracle.Categorical(logits=normals(9, 5, scale=scale))
    action = torch.arange(9) % 5
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(
        ours.kl(other),
        oracle.kl_divergence(theirs, oracle.Categorical(logits=normals(9, 5, scale=scale, seed=1))),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip
    assert ours.mode().tolist() == normals(9, 5, scale=scale).argmax(1).tolist()


@pytest.mark.parametrize("counts", [(3, 3), (2, 5, 3), (4,), (1, 2)])
def test_multi_categorical_agrees_with_torch(counts: tuple[int, ...]) -> None:
    logits, second = normals(7, sum(counts), scale=3.0), normals(7, sum(counts), scale=3.0, seed=1)
    ours, other = MultiCategorical(logits, counts), MultiCategorical(second, counts)
    theirs = [oracle.Categorical(logits=part) for part in logits.split(counts, 1)]
    others = [oracle.Categorical(logits=part) for part in second.split(counts, 1)]
    action = ours.sample(generator())
    assert action.shape == (7, len(counts))
    assert (action < torch.tensor(counts)).all()
    torch.testing.assert_close(ours.log_prob(action), sum(d.log_prob(action[:, i]) for i, d in enumerate(theirs)))
    torch.testing.assert_close(ours.entropy(), sum(d.entropy() for d in theirs))
    torch.testing.assert_close(
        ours.kl(other), sum(oracle.kl_divergence(p, q) for p, q in zip(theirs, others, strict=True))
    )
    assert ours.mode().tolist() == torch.stack([part.argmax(1) for part in logits.split(counts, 1)], 1).tolist()


def test_gaussian_agrees_with_torch() -> None:
    params, second = normals(6, 8), normals(6, 8, seed=1)
    ours, other = Gaussian(params), Gaussian(second)
    theirs = oracle.Independent(oracle.Normal(params[:, :4], params[:, 4:].exp()), 1)
    others = oracle.Independent(oracle.Normal(second[:, :4], second[:, 4:].exp()), 1)
    action = ours.sample(generator())
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.kl(other), oracle.kl_divergence(theirs, others))
    torch.testing.assert_close(ours.mode(), params[:, :4])


def test_gradients_agree_with_torch() -> None:
    """The learner's three terms, differentiated; unequal counts, so that the filling takes part."""
    action = torch.tensor([[0, 4], [1, 2], [0, 0]])
    mine, theirs = normals(3, 7).requires_grad_(), normals(3, 7).requires_grad_()
    ours = MultiCategorical(mine, (2, 5))
    (ours.log_prob(action) + 0.3 * ours.entropy()).sum().backward()
    parts = [oracle.Categorical(logits=part) for part in theirs.split((2, 5), 1)]
    sum((d.log_prob(action[:, i]) + 0.3 * d.entropy()).sum() for i, d in enumerate(parts)).backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


def test_categorical_samples_have_its_frequencies() -> None:
    logits = torch.tensor([2.0, -1.0, 0.0, -1e4, 0.5])
    sample = Categorical(logits.expand(40_000, 5)).sample(generator(1))
    counts = torch.bincount(sample, minlength=5).numpy()
    assert counts[3] == 0  # impossible actions are never drawn
    expected = logits.softmax(0).double().numpy()
    possible = expected > 0
    p_value = stats.chisquare(counts[possible], 40_000 * expected[possible] / expected[possible].sum()).pvalue
    assert p_value > 1e-3


def test_choices_are_sampled_independently_with_their_frequencies() -> None:
    logits = torch.tensor([1.0, 0.0, 0.0, -2.0, 1.5])
    sample = MultiCategorical(logits.expand(40_000, 5), (2, 3)).sample(generator(2))
    joint = torch.bincount(sample[:, 0] * 3 + sample[:, 1], minlength=6).numpy()
    expected = torch.outer(logits[:2].softmax(0), logits[2:].softmax(0)).flatten().double().numpy()
    assert stats.chisquare(joint, 40_000 * expected / expected.sum()).pvalue > 1e-3


def test_gaussian_samples_are_normal() -> None:
    params = torch.tensor([3.0, -1.0, 0.5, -2.0]).expand(20_000, 4)
    sample = Gaussian(params).sample(generator(3)).numpy()
    for i, (mean, log_std) in enumerate([(3.0, 0.5), (-1.0, -2.0)]):
        assert stats.kstest(sample[:, i], "norm", (mean, np.exp(log_std))).pvalue > 1e-3
    assert abs(np.corrcoef(sample.T)[0, 1]) < 0.03


class _Ones:
    """Stands for torch.rand where it returns one given number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, shape: torch.Size, **_: object) -> torch.Tensor:
        return torch.full(shape, self.value)


@pytest.mark.parametrize(("uniform", "action"), [(0.0, 1), (1 - 2**-24, 3)])
def test_the_ends_of_the_unit_interval_give_possible_actions(
    uniform: float, action: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.rand can return 0 exactly, and at most 1 − 2⁻²⁴."""
    monkeypatch.setattr(torch, "rand", _Ones(uniform))
    for shift in (-1e4, 0.0, 1e4):
        logits = torch.tensor([[-1e4, 0.3, 0.1, 0.2, -1e4]]) + shift
        assert Categorical(logits).sample(generator()).item() == action
    many = Categorical(normals(2000, 17, scale=2.0)).sample(generator())
    assert int(many.min()) >= 0
    assert int(many.max()) <= 16


def test_only_the_given_generator_is_used() -> None:
    discrete, choices, gaussian = Categorical(normals(8, 4)), MultiCategorical(normals(8, 4), (2, 2)), Gaussian(
        normals(8, 4)
    )  # fmt: skip
    before = torch.get_rng_state()
    for distribution in (discrete, choices, gaussian):
        first, again = distribution.sample(generator(5)), distribution.sample(generator(5))
        assert torch.equal(first, again)
        assert not torch.equal(first, distribution.sample(generator(6)))
    assert torch.equal(torch.get_rng_state(), before)


def test_extreme_parameters_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], requires_grad=True)
    action = torch.tensor([1, 2, 0])
    one = Categorical(logits)
    other = Categorical(-logits.detach())
    terms = one.log_prob(action) + one.entropy() + one.kl(other)
    assert terms.isfinite().all()
    terms.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert one.entropy()[0] == 0

    log_std = torch.tensor([[-1e4, -1e4], [1e4, 1e4], [-1e4, 1e4]])
    params = torch.cat([torch.zeros(3, 2), log_std], 1).requires_grad_()
    wide = Gaussian(params)
    far = Gaussian(torch.cat([torch.full((3, 2), 5.0), -log_std], 1))
    sample = wide.sample(generator())
    terms = wide.log_prob(sample) + wide.log_prob(wide.mode()) + wide.entropy() + wide.kl(wide) + far.log_prob(sample)
    assert terms.isfinite().all()
    assert wide.kl(far).isfinite().all()
    terms.sum().backward()
    assert params.grad is not None
    assert params.grad.isfinite().all()


def test_half_precision_parameters_are_computed_in_float32() -> None:
    params = normals(4, 6)
    for make in (Categorical, Gaussian, lambda p: MultiCategorical(p, (2, 4))):
        distribution = make(params.bfloat16())
        action = distribution.sample(generator())
        for value in (distribution.log_prob(action), distribution.entropy(), distribution.kl(distribution)):
            assert value.dtype == torch.float32
            assert value.shape == (4,)


def test_samples_carry_no_gradient() -> None:
    params = normals(4, 6).requires_grad_()
    assert not Gaussian(params).sample(generator()).requires_grad
    assert Gaussian(params).log_prob(Gaussian(params).sample(generator())).requires_grad


@pytest.mark.parametrize(("space", "outputs", "params", "shape"), [
    (spaces.Discrete(5), 5, 5, ()),
    (spaces.Discrete(3, start=-1), 3, 3, ()),
    (spaces.MultiDiscrete([2, 4]), 6, 6, (2,)),
    (spaces.MultiDiscrete([[2, 4], [3, 3]], start=[[1, 0], [0, -2]]), 12, 12, (4,)),
    (spaces.MultiBinary(3), 6, 6, (3,)),
    (spaces.MultiBinary([2, 2]), 8, 8, (4,)),
    (spaces.Box(-0.1, 0.2, (3,), np.float32), 3, 6, (3,)),
    (spaces.Box(-0.1, 0.1, (2, 2), np.float64), 4, 8, (4,)),
    (spaces.Box(-np.inf, np.inf, (), np.float32), 1, 2, (1,)),
])  # fmt: skip
def test_sampled_actions_lie_in_the_space(
    space: spaces.Space, outputs: int, params: int, shape: tuple[int, ...]
) -> None:
    head = make_distribution(space)
    assert (head.num_outputs, head.num_params, head.action_shape) == (outputs, params, shape)
    action = head.distribution(torch.zeros(1000, params)).sample(generator())
    assert action.shape == (1000, *shape)
    assert action.dtype == head.dtype
    taken = head.to_env(action.numpy())
    assert len(taken) == 1000
    discrete = isinstance(space, spaces.Discrete)
    assert all(space.contains(a if discrete else np.asarray(a)) for a in taken)
    if not isinstance(space, spaces.Box):  # every action occurs
        seen = np.unique(taken.reshape(1000, -1), axis=0)
        counts = {"Discrete": lambda: space.n, "MultiDiscrete": lambda: space.nvec.prod()}
        assert len(seen) == counts.get(type(space).__name__, lambda: 2 ** int(np.prod(space.shape)))()


def test_discrete_actions_start_where_the_space_does() -> None:
    assert make_distribution(spaces.Discrete(3, start=-1)).to_env(np.array([0, 2])).tolist() == [-1, 1]
    many = make_distribution(spaces.MultiDiscrete([2, 4], start=[5, -1]))
    assert many.to_env(np.array([[0, 0], [1, 3]])).tolist() == [[5, -1], [6, 2]]


def test_box_actions_are_clipped_for_the_environment_alone() -> None:
    head = make_distribution(spaces.Box(np.float32([-1, 0]), np.float32([1, 2])), "none")
    stored = np.float32([[-7.0, 7.0], [0.5, 0.5]])
    assert head.to_env(stored).tolist() == [[-1, 2], [0.5, 0.5]]
    assert stored[0].tolist() == [-7, 7]


@pytest.mark.parametrize("space", [spaces.Box(0, 3, (2,), np.int64), spaces.Text(3), spaces.Dict({})])
def test_other_action_spaces_are_refused(space: spaces.Space) -> None:
    with pytest.raises(ConfigError, match="wrap the environment"):
        make_distribution(space)
