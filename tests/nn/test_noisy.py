"""NoisyLinear against the paper's formulas, and against nn.Linear where both must agree."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from jostle.errors import ConfigError
from jostle.nn.factorised import LARGE
from jostle.nn.linear import Chain
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear, noisy_layers, to_linear, to_noisy

KINDS = ["factorised", "independent"]
SMALL, BIG = (7, 5), (1040, 1030)
assert SMALL[0] * SMALL[1] < LARGE <= BIG[0] * BIG[1]  # the two ways of forming a noisy weight


def layer(
    p: int = 7, q: int = 5, *, slots: int = 3, dtype: torch.dtype = torch.float32, **options: object
) -> tuple[NoisyLinear, Noise]:
    torch.manual_seed(0)
    made = NoisyLinear(p, q, dtype=dtype, **options)
    with torch.no_grad():  # σ of its own for every weight, of both signs
        for sigma in (made.weight_sigma, made.bias_sigma):
            if sigma is not None:
                sigma.add_(torch.randn_like(sigma) * sigma.abs().mean())
    return made, Noise(made, seed=0, role="online", slots=slots)


def epsilon(made: NoisyLinear, slot: int) -> tuple[torch.Tensor, torch.Tensor]:
    """εʷ and εᵇ of a slot, written out from the paper."""
    noise = made.noise[slot]
    p, q = made.in_features, made.out_features
    if made.kind == "factorised":
        return torch.outer(noise[p:], noise[:p]), noise[p:]
    return noise[: q * p].view(q, p), noise[q * p :]


def by_hand(made: NoisyLinear, x: torch.Tensor, slot: int) -> torch.Tensor:
    """y = (μʷ + σʷ∘εʷ) x + μᵇ + σᵇ∘εᵇ."""
    eps_weight, eps_bias = epsilon(made, slot)
    y = x @ (made.weight + made.weight_sigma * eps_weight).T
    return y if made.bias is None else y + made.bias + made.bias_sigma * eps_bias


def gradients(made: NoisyLinear, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    weighting = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape).sin()
    return list(torch.autograd.grad((y.square() * weighting).sum(), [x, *made.parameters()]))


def assert_same(got: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float = 2e-6) -> None:
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert (a - b).abs().max() <= tolerance * (1 + b.abs().max())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_the_papers(kind: str, size: tuple[int, int], rows: int, bias: bool) -> None:
    made, noise = layer(*size, noise=kind, bias=bias, dtype=torch.float64)
    x = torch.randn(rows, size[0], dtype=torch.float64, requires_grad=True)
    with noise.using(2):
        y = made(x)
    expected = by_hand(made, x, 2)
    assert_same([y], [expected], 1e-12)
    assert_same(gradients(made, x, y), gradients(made, x, expected), 1e-12)


@pytest.mark.parametrize(
    ("size", "dtype", "tolerance"),
    [(SMALL, torch.float32, 1e-6), (SMALL, torch.float64, 1e-14), (BIG, torch.float64, 1e-12)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_their_own_slots_equal_single_passes(
    kind: str, size: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    made, noise = layer(*size, noise=kind, dtype=dtype)
    x = torch.randn(8, size[0], dtype=dtype, requires_grad=True)
    draw = torch.tensor([2, 0, 0, 2, 2, 0, 2, 2], dtype=torch.int32)  # slot 1 is absent, rows are out of order
    with noise.using(draw):
        y = made(x)
    singles = []
    for row, slot in zip(x, draw.tolist(), strict=True):
        with noise.using(slot):
            singles.append(made(row))
    expected = torch.stack(singles)
    assert_same([y], [expected], tolerance)
    assert_same(gradients(made, x, y), gradients(made, x, expected), tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_leading_dimensions(kind: str) -> None:
    made, noise = layer(noise=kind)
    x = torch.randn(3, 4, 7)
    flat = x.reshape(12, 7)
    with noise.using(1):
        assert torch.allclose(made(x), made(flat).view(3, 4, 5), atol=1e-6)
        assert torch.allclose(made(x[0, 0]), made(flat)[0], atol=1e-6)
    full = torch.arange(12).view(3, 4) % 3
    with noise.using(full):
        whole = made(x)
    with noise.using(full.flatten()):
        assert torch.allclose(whole, made(flat).view(3, 4, 5), atol=1e-6)
    first = torch.tensor([2, 0, 1])  # one slot per x[i], all of x[i, j]
    with noise.using(first):
        prefix = made(x)
    with noise.using(first[:, None].expand(3, 4)):
        assert torch.equal(prefix, made(x))
    with noise.using(torch.tensor(1)):
        shared = made(x)
    with noise.using(1):
        assert torch.allclose(shared, made(x), atol=1e-6)
        assert made(x[:0]).shape == (0, 4, 5)
    with noise.using(torch.empty(0, dtype=torch.int64)):
        assert made(x[:0]).shape == (0, 4, 5)


def test_a_draw_of_another_shape_is_refused() -> None:
    made, noise = layer()
    for draw in (torch.zeros(3, dtype=torch.int64), torch.zeros(4, 7, dtype=torch.int64)):
        with pytest.raises(ConfigError, match="does not fit"), noise.using(draw):
            made(torch.randn(4, 7))


@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize("kind", KINDS)
def test_mean_is_linear_to_the_bit_and_so_is_no_sigma(kind: str, size: tuple[int, int]) -> None:
    made, noise = layer(*size, noise=kind)
    linear = nn.Linear(*size)
    linear.load_state_dict({k: v for k, v in made.state_dict().items() if "sigma" not in k})
    x = torch.randn(9, size[0], requires_grad=True)
    expected = Chain(linear)(x)  # by the same library
    with noise.mean():
        y = made(x)
    assert torch.equal(y, expected)
    with torch.no_grad():
        made.weight_sigma.zero_()
        made.bias_sigma.zero_()
    grad_x, grad_weight, grad_bias = torch.autograd.grad(expected.square().sum(), [x, *linear.parameters()])
    for draw in (0, torch.arange(9) % 3):
        with noise.using(draw):
            y = made(x)
        assert torch.equal(y, expected)
        got = torch.autograd.grad(y.square().sum(), [x, made.weight, made.bias])
        assert_same(list(got), [grad_x, grad_weight, grad_bias])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_against_finite_differences(kind: str) -> None:
    made, noise = layer(3, 2, noise=kind, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    for draw in (1, torch.tensor([2, 0, 2, 1, 0])):
        with noise.using(draw):
            assert torch.autograd.gradcheck(lambda *_: made(x).tanh(), [x, *made.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_large_layers_against_differences_along_one_direction(kind: str) -> None:
    made, noise = layer(*BIG, noise=kind, dtype=torch.float64)
    x = torch.randn(5, BIG[0], dtype=torch.float64, requires_grad=True)
    step = 1e-5
    for draw in (1, torch.tensor([2, 0, 2, 1, 0])):
        with noise.using(draw):
            for part in (x, *made.parameters()):
                (gradient,) = torch.autograd.grad(made(x).tanh().sum(), part)
                direction = torch.randn_like(part)
                with torch.no_grad():
                    part += step * direction
                    above = made(x).tanh().sum()
                    part -= 2 * step * direction
                    below = made(x).tanh().sum()
                    part += step * direction
                expected = (above - below) / (2 * step)
                assert abs((gradient * direction).sum() - expected) < 1e-5 * gradient.norm()


@pytest.mark.parametrize("frozen", ["weight", "weight_sigma", "x"])
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_parts_get_no_gradient(kind: str, frozen: str) -> None:
    for size in (SMALL, BIG):
        made, noise = layer(*size, noise=kind)
        x = torch.randn(6, size[0], requires_grad=True)
        parts = {"x": x, **dict(made.named_parameters())}
        parts[frozen].requires_grad_(False)
        with noise.using(0):
            made(x).square().sum().backward()
        assert {name for name, part in parts.items() if part.grad is None} == {frozen}


def test_second_derivatives() -> None:
    made, noise = layer(*BIG, dtype=torch.float64)
    x = torch.randn(6, BIG[0], dtype=torch.float64)

    def curvature(y: torch.Tensor) -> torch.Tensor:
        (grad,) = torch.autograd.grad(y.pow(3).sum(), made.weight_sigma, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), made.weight)[0]

    with noise.using(0):
        assert_same([curvature(made(x))], [curvature(by_hand(made, x, 0))], 1e-10)


def test_large_factorised_layers_save_no_second_matrix() -> None:
    made, noise = layer(*BIG)
    saved: dict[int, int] = {}

    def count(t: torch.Tensor) -> torch.Tensor:
        saved[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t), noise.using(0):
        made(torch.randn(6, BIG[0], requires_grad=True))
    matrix = BIG[0] * BIG[1] * 4
    assert sum(size >= matrix for size in saved.values()) == 1  # the noisy weight, for the input's gradient


@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize("kind", KINDS)
def test_a_redraw_before_backward_cannot_falsify_gradients(kind: str, size: tuple[int, int]) -> None:
    made, noise = layer(*size, noise=kind)
    x = torch.randn(6, size[0], requires_grad=True)
    for draw in (0, torch.arange(6) % 3):
        with noise.using(draw):
            expected = gradients(made, x, made(x))
            y = made(x)
        noise.draw()
        if kind == "independent" and isinstance(draw, torch.Tensor):  # many slots' noise is too large to copy
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                gradients(made, x, y)
        else:
            assert_same(gradients(made, x, y), expected)


# f(x) = sgn(x)√|x|: E f² = E|x| = √(2/π); ε = f(a) f(b): Var ε = 2/π, E ε⁴ = E a² E b² = 1, kurtosis π²/4.
def test_moments_of_factorised_noise() -> None:
    made, _ = layer(50, 50, slots=10_000)
    f = made.noise.double().numpy()
    eps = f[:, :50] * f[:, 50:]  # half a million entries of εʷ, no two with a factor in common
    for values, mean_square, kurtosis in ((f, math.sqrt(2 / math.pi), math.pi / 2), (eps, 2 / math.pi, math.pi**2 / 4)):
        assert abs(values.mean()) < 0.005
        assert np.isclose((values**2).mean(), mean_square, atol=0.006)
        assert np.isclose(stats.kurtosis(values, axis=None, fisher=False), kurtosis, atol=0.06)


def test_factorised_noise_keeps_the_sign() -> None:
    made, _ = layer()
    normals = torch.tensor([[-4.0, 0.25, 0.0, *[9.0] * 9]])
    assert made.transform(normals.clone()).tolist() == [[-2.0, 0.5, 0.0, *[3.0] * 9]]


def test_moments_of_independent_noise() -> None:
    made, _ = layer(700, 700, noise="independent", slots=2)
    eps, _ = epsilon(made, 0)
    values = eps.double().numpy().ravel()
    assert abs(values.mean()) < 0.01
    assert np.isclose(values.var(), 1, atol=0.01)
    assert np.isclose(stats.kurtosis(values, fisher=False), 3, atol=0.05)


def test_noise_of_the_output() -> None:
    """Factorised noise has the output variance (2/π) Σ(σʷx)² + √(2/π) σᵇ² (+ a term of both); over 20,000 slots."""
    made, noise = layer(7, 5, slots=20_000)
    x = torch.randn(7)
    with torch.no_grad(), noise.using(torch.arange(20_000)):
        y = made(x.expand(20_000, 7)).double()
    with noise.mean():
        assert torch.allclose(y.mean(0).float(), made(x), atol=0.02)
    with torch.no_grad():
        variance = 2 / math.pi * (made.weight_sigma * x).square().sum(1)
        variance += math.sqrt(2 / math.pi) * made.bias_sigma.square()
    assert torch.allclose(y.var(0).float(), variance, rtol=0.05)


@pytest.mark.parametrize("bias_sigma", ["fan_in", "fan_out"])
def test_initial_values_of_factorised_noise(bias_sigma: str) -> None:
    made = NoisyLinear(400, 25, bias_sigma=bias_sigma)
    assert torch.equal(made.weight_sigma, torch.full((25, 400), 0.5 / 20))
    assert torch.equal(made.bias_sigma, torch.full((25,), 0.5 / (20 if bias_sigma == "fan_in" else 5)))
    torch.manual_seed(0)
    made.reset_parameters()
    assert 0.99 / 20 < made.weight.abs().max() <= 1 / 20
    assert abs(made.weight.std().item() - 1 / 20 / math.sqrt(3)) < 0.001
    assert 0.5 / 20 < made.bias.abs().max() <= 1 / 20
    assert NoisyLinear(400, 25, sigma0=0.1).weight_sigma[0, 0].item() == pytest.approx(0.1 / 20)


def test_initial_values_of_independent_noise() -> None:
    torch.manual_seed(0)
    made = NoisyLinear(300, 25, noise="independent")
    assert torch.equal(made.weight_sigma, torch.full((25, 300), 0.017))
    assert torch.equal(made.bias_sigma, torch.full((25,), 0.017))
    assert 0.099 < made.weight.abs().max() <= 0.1
    assert 0.05 < made.bias.abs().max() <= 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_redraw_changes_the_output(kind: str) -> None:
    made, noise = layer(noise=kind)
    x = torch.randn(4, 7)
    before = made(x)
    assert torch.equal(made(x), before)
    noise.draw()
    assert ((made(x) - before).abs() > 1e-4).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_folded_weights_equal_sampled_ones(kind: str, bias: bool) -> None:
    made, noise = layer(noise=kind, bias=bias)
    x = torch.randn(6, 7)
    for _ in range(2):
        noise.draw()
        noise.fold(1)
        with torch.no_grad(), noise.using(mode="folded"):
            folded = made(x)
        with noise.using(1):
            assert torch.allclose(folded, made(x), atol=1e-6)


def test_folded_weights_cannot_learn() -> None:
    made, noise = layer()
    noise.fold()
    with noise.using(mode="folded"):
        with pytest.raises(ConfigError, match="constants"):
            made(torch.randn(2, 7))
        made.requires_grad_(False)
        x = torch.randn(2, 7, requires_grad=True)
        made(x).sum().backward()  # a saliency map of a frozen network
    assert x.grad is not None


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16(kind: str) -> None:
    for size in (SMALL, BIG):
        made, noise = layer(*size, noise=kind)
        x = torch.randn(8, size[0])
        for draw in (1, torch.arange(8) % 3):
            with noise.using(draw):
                exact = made(x)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    y = made(x)
                    made(y.new_zeros(8, size[0]))
            assert y.dtype == torch.bfloat16
            assert (y.float() - exact).abs().max() < 0.03 * exact.abs().max()
            made.zero_grad()
            y.float().square().sum().backward()
            assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in made.parameters())
        made.to(torch.bfloat16)
        for draw in (1, torch.arange(8) % 3):
            with noise.using(draw):
                assert made(x.bfloat16()).dtype == torch.bfloat16


def test_import_keeps_the_very_weights_and_leaves_the_generator_alone() -> None:
    linear = nn.Linear(7, 5).double().eval()
    state, weight, bias, x = torch.get_rng_state(), linear.weight, linear.bias, torch.randn(3, 7).double()
    expected, before = linear(x), dict(vars(linear))
    torch.set_rng_state(state)
    made = NoisyLinear.from_linear(linear, sigma0=0.4, bias_sigma="fan_out")
    assert made is linear
    assert torch.equal(torch.get_rng_state(), state)
    assert made.weight is weight
    assert made.bias is bias
    assert [name for name, _ in made.named_parameters()] == ["weight", "weight_sigma", "bias", "bias_sigma"]
    assert not made.training
    assert made.weight_sigma.dtype == torch.float64
    assert torch.allclose(made.weight_sigma, torch.tensor(0.4 / math.sqrt(7), dtype=torch.float64))
    assert torch.allclose(made.bias_sigma, torch.tensor(0.4 / math.sqrt(5), dtype=torch.float64))
    back = made.to_linear()
    assert back is made
    assert type(back) is nn.Linear
    assert back.weight is weight
    assert back.bias is bias
    assert not back.training
    assert torch.equal(back(x), expected)
    assert vars(back).keys() == before.keys()
    assert dict(back.named_buffers()) == {}
    assert NoisyLinear.from_linear(nn.Linear(2, 3, bias=False)).bias_sigma is None


def test_conversion_of_a_network_and_back() -> None:
    shared = nn.Linear(4, 4)
    net = nn.ModuleDict({"a": shared, "b": nn.Sequential(nn.Linear(4, 2), shared), "again": shared})
    net["attention"] = nn.MultiheadAttention(4, 1)
    with pytest.warns(UserWarning, match=r"leaves attention\.out_proj .*without noise"):
        assert to_noisy(net, lambda name, _: name != "b.0") is net
    assert list(noisy_layers(net)) == ["a"]
    assert type(net["b"][0]) is nn.Linear
    assert net["a"] is net["b"][1] is net["again"]
    assert isinstance(net["a"], NoisyLinear)
    assert type(net["attention"].out_proj) is not NoisyLinear  # its owner reads the weights past forward
    assert len(Noise(net, seed=0, role="online").layers) == 1
    to_linear(net)
    assert type(net["a"]) is nn.Linear
    assert net["a"] is net["b"][1] is net["again"]
    assert net["a"] is shared
    alone = to_noisy(nn.Linear(3, 2), noise="independent")
    assert isinstance(alone, NoisyLinear)
    assert type(to_linear(alone)) is nn.Linear


def test_conversion_that_finds_nothing_is_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(ConfigError, match=r"found no nn\.Linear"):
        to_noisy(net, lambda name, _: name == "head")
    with pytest.raises(ConfigError, match="layer '1' is lazy"):
        to_noisy(nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(2)))


@pytest.mark.parametrize("width", [7, 1030])
def test_functional_transforms(width: int) -> None:
    (made, noise), (other, noise2) = layer(width, width), layer(width, width)
    noise2.draw()
    x = torch.randn(5, width)

    def loss(p: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        return functional_call(made, p, (row,)).square().sum()

    with noise.using(1), noise2.using(1):
        assert torch.allclose(vmap(made)(x), made(x), atol=1e-5)
        parameters, noises = stack_module_state([made, other])
        y = vmap(lambda p, b: functional_call(made, (p, b), (x,)))(parameters, noises)
        assert torch.allclose(y, torch.stack((made(x), other(x))), atol=1e-5)
        p = dict(made.named_parameters())
        each, whole = vmap(grad(loss), (None, 0))(p, x), grad(loss)(p, x)
    for name in p:
        assert torch.allclose(each[name].sum(0), whole[name], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_features": 0}, "widths of at least 1"),
        ({"noise": "gaussian"}, "'factorised' or 'independent'"),
        ({"bias_sigma": "fan"}, "'fan_in' or 'fan_out'"),
        ({"noise": "independent", "bias_sigma": "fan_out"}, "factorised noise alone"),
        ({"sigma0": -0.1}, "at least 0"),
        ({"sigma0": math.nan}, "at least 0"),
    ],
)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    # Past the run-time type check, as users without it are.
    plain = NoisyLinear.__init__
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    with pytest.raises(ConfigError, match=message):
        plain(NoisyLinear.__new__(NoisyLinear), **{"in_features": 3, "out_features": 2, **options})


def test_representation() -> None:
    assert repr(NoisyLinear(3, 2)) == (
        "NoisyLinear(in_features=3, out_features=2, bias=True, noise=factorised, sigma0=0.5)"
    )
