"""The randomisation check agrees with Quantus, an oracle that is no dependency (skipped where it is not installed)."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.explain.asking import Subject, ask
from jostle.explain.results import Maps
from jostle.explain.saliency import gradient
from jostle.explain.sanity import randomisation
from jostle.view import as_view

SIDE = 20
SPACE = spaces.Box(0.0, 1.0, (3, SIDE, SIDE), np.float32)


class Settled:
    """Layers whose fresh weights are always the same, whatever the seed: both sides then randomise alike."""

    def reset_parameters(self: Any) -> None:
        generator = torch.Generator().manual_seed(self.weight.numel())
        with torch.no_grad():
            for parameter in (self.weight, self.bias):
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


class Conv(Settled, nn.Conv2d):
    pass


class Linear(Settled, nn.Linear):
    pass


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Conv(3, 4, 3, padding=1), Conv(4, 4, 3, padding=1, stride=2)
        self.relu, self.out = nn.ReLU(), Linear(4 * (SIDE // 2) ** 2, 3)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.out(self.relu(self.two(self.relu(self.one(x)))).flatten(1))
        return found


def by_gradient(subject: Subject) -> Maps:
    found = gradient(subject, None)
    assert isinstance(found, Maps)
    return found


def theirs(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray[Any, Any]:
    """The greatest |∂y/∂x| over the channels, without jostle."""
    x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    at = torch.as_tensor(np.asarray(targets), dtype=torch.int64)
    y = model(x).gather(1, at[:, None]).sum()
    slopes: Tensor = torch.autograd.grad(y, x)[0]
    return np.asarray(slopes.abs().amax(1, keepdim=True).numpy())


@pytest.mark.parametrize(("mode", "order"), [("cascade", "top_down"), ("independent", "independent")])
@pytest.mark.filterwarnings("ignore")
def test_weight_randomisation_is_quantus(mode: Any, order: str) -> None:
    quantus = pytest.importorskip("quantus", exc_type=ImportError)
    net, obs = Net().eval(), np.random.default_rng(0).random((3, 3, SIDE, SIDE), np.float32)
    metric = quantus.MPRT(
        similarity_func=quantus.similarity_func.correlation_spearman, layer_order=order, abs=False, normalise=False,
        disable_warnings=True, display_progressbar=False,
    )  # fmt: skip
    target = np.ones(3, np.int64)
    with torch.random.fork_rng():
        scores = metric(
            model=net, x_batch=obs, y_batch=target, a_batch=theirs(net, obs, target), explain_func=theirs,
            channel_first=True, device="cpu",
        )  # fmt: skip
    view = as_view(net, kind="logits", observation_space=SPACE, action_space=spaces.Discrete(3))
    found = randomisation(by_gradient, ask(view, obs, "logit:1"), mode=mode)
    assert found.layers[::-1] == [name for name in ("one", "two", "out") if name in scores]
    for layer, ours in zip(found.layers, found.absolute, strict=True):
        np.testing.assert_allclose(ours, scores[layer], atol=1e-4)
    if mode == "cascade":
        assert found.absolute[-1].max() < 0.95, "something must change for this to say anything"
