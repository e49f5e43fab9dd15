"""Fully connected layers by whichever library is quicker: the results are PyTorch's own up to rounding."""

import itertools

import pytest
import torch
from torch import Tensor, nn

import jostle.nn.linear as quick
from jostle.nn.linear import Chain, linear
from jostle.nn.noisy import to_noisy
from jostle.nn.tanh import Tanh

SHAPES = [(4, 64, 64, 2), (400, 96, 64), (1000, 130, 18)]
ACTIVATIONS = {"tanh": Tanh, "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.2), "none": nn.Identity}


def layers(sizes: tuple[int, ...], activation: str) -> list[nn.Module]:
    torch.manual_seed(0)
    made: list[nn.Module] = []
    for p, q in itertools.pairwise(sizes):
        made += [nn.Linear(p, q, bias=q != 64), ACTIVATIONS[activation]()]
    return made[:-1]


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of a weighted sum of it for the input and all parameters."""
    out = network(x)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *network.parameters()])]


def close(a: list[Tensor], b: list[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        assert (x - y).abs().max() <= 2e-5 * y.abs().max()


@pytest.fixture(params=[True, False], ids=["onednn", "mkl"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries, wherever the tests run."""
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(quick, "_ONEDNN", request.param)
    monkeypatch.setattr(quick, "_LARGE", 50_000)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SHAPES)
def test_a_chain_is_a_sequence_of_its_layers(sizes: tuple[int, ...], activation: str) -> None:
    made = layers(sizes, activation)
    chain, plain = Chain(*made), nn.Sequential(*made)
    for rows in (0, 1, 200):
        x = torch.randn(rows, sizes[0], requires_grad=True)
        if rows:
            close(gradients(chain, x), gradients(plain, x))
        with torch.no_grad():
            assert torch.allclose(chain(x), plain(x), atol=1e-5)
    assert list(chain.state_dict()) == list(plain.state_dict())


@pytest.mark.usefixtures("library")
def test_only_wanted_gradients_are_there() -> None:
    chain = Chain(*layers((30, 200, 100), "relu"))
    first, last = chain[0], chain[2]
    first.requires_grad_(False)
    chain(torch.randn(100, 30)).sum().backward()
    assert first.weight.grad is None
    assert last.weight.grad is not None
    assert last.bias.grad is not None


@pytest.mark.usefixtures("library")
def test_linear_takes_any_leading_shape() -> None:
    x, weight, bias = torch.randn(3, 50, 40, requires_grad=True), torch.randn(60, 40), torch.randn(60)
    expected = nn.functional.linear(x, weight, bias)
    got = linear(x, weight, bias)
    assert got.shape == expected.shape
    close([got], [expected])
    close([torch.autograd.grad(got.sum(), x)[0]], [torch.autograd.grad(expected.sum(), x)[0]])


@pytest.mark.usefixtures("library")
def test_hooks_see_every_layer() -> None:
    made = layers((20, 80, 3), "tanh")
    chain, seen = Chain(*made), []
    for layer in chain:
        layer.register_forward_hook(lambda _, __, out: seen.append(out.shape[1]))
    chain(torch.randn(100, 20))
    assert seen == [80, 80, 3]


def test_noisy_layers_doubles_and_other_precisions_run_one_by_one() -> None:
    chain = Chain(*layers((20, 80, 3), "tanh"))
    doubled = chain(torch.randn(5, 20).float()).double()
    assert torch.allclose(chain.double()(torch.ones(5, 20).double()), chain(torch.ones(5, 20).double()))
    assert doubled.dtype == torch.float64
    chain.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert chain(torch.randn(5, 20)).dtype == torch.bfloat16
    to_noisy(chain)
    with pytest.raises(Exception, match="no noise yet"):
        chain(torch.randn(5, 20))


def test_function_transforms_still_work() -> None:
    chain = Chain(*layers((6, 8, 2), "relu"))
    x = torch.randn(7, 6)
    found = torch.func.jacrev(lambda row: chain(row))(x)
    assert found.shape == (7, 2, 7, 6)
