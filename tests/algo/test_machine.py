"""What agents ask of torch, against torch's own."""

import pytest
import torch
from torch import nn

from jostle.algo.machine import clip_norm


@pytest.mark.parametrize("most", [0.5, 100.0])
def test_gradients_are_clipped_as_by_torch(most: float) -> None:
    gradients = [torch.full((2, 3), 2.0), torch.tensor([3.0, -1.0])]
    ours, theirs = ([nn.Parameter(torch.zeros_like(g)) for g in [*gradients, torch.zeros(1)]] for _ in range(2))
    for parameters in (ours, theirs):
        for parameter, gradient in zip(parameters, gradients, strict=False):  # the last one has none
            parameter.grad = gradient.clone()
    clip_norm(ours, most)
    nn.utils.clip_grad_norm_(theirs, most)
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    assert ours[2].grad is None
