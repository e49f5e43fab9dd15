"""The quick hyperbolic tangent against PyTorch's own."""

import torch

from jostle.nn.tanh import Tanh


def test_values_and_gradients_are_those_of_tanh() -> None:
    x = torch.cat([torch.linspace(-30, 30, 20_001), torch.tensor([1e-6, -1e-6, 0.0, 1e4, -1e4])]).requires_grad_()
    ours, exact = Tanh()(x), torch.tanh(x.detach().double())
    assert (ours.double() - exact).abs().max() < 2.5e-7
    (gradient,) = torch.autograd.grad(ours.sum(), x)
    assert (gradient.double() - (1 - exact.square())).abs().max() < 5e-7
    small = torch.linspace(-1e-2, 1e-2, 101).bfloat16()
    assert torch.equal(Tanh()(small), torch.tanh(small))
    assert torch.autograd.gradcheck(Tanh(), torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True))
