"""The quick hyperbolic tangent against PyTorch's own."""

import pytest
import torch

import jostle.nn.tanh as quick
from jostle.nn.tanh import Tanh


@pytest.mark.parametrize("amd", [True, False])
def test_values_and_gradients_are_those_of_tanh(amd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "AMD", amd)
    x = torch.cat([torch.linspace(-30, 30, 20_001), torch.tensor([1e-6, -1e-6, 0.0, 1e4, -1e4])]).requires_grad_()
    ours, exact = Tanh()(x), torch.tanh(x.detach().double())
    assert (ours.double() - exact).abs().max() < 2.5e-7
    (gradient,) = torch.autograd.grad(ours.sum(), x)
    assert (gradient.double() - (1 - exact.square())).abs().max() < 5e-7
    small = torch.linspace(-1e-2, 1e-2, 101).bfloat16()
    assert torch.equal(Tanh()(small), torch.tanh(small))
    assert torch.autograd.gradcheck(Tanh(), torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True))
