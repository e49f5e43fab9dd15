"""NoisyLinear under torch.compile, run by test_noisy_compiled.py in a process without run-time type checks.

Usage: python compiled_noise.py BACKEND. Prints one JSON object per kind of noise.
"""

import json
import sys
from typing import Any

import torch
import torch._dynamo
from torch import nn
from torch._dynamo.utils import counters

from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear, to_noisy


def check(kind: Any, backend: str) -> dict[str, Any]:
    """Errors against eager, and the numbers of graphs, of one network whose layers take both paths of a shared slot."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    net = to_noisy(nn.Sequential(nn.Linear(1040, 1030), nn.ReLU(), nn.Linear(1030, 3)), noise=kind)
    noise = Noise(net, seed=0, role="online", slots=8)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    x, draw = torch.randn(8, 1040), torch.arange(8) % 4
    worst = 0.0

    def compare(**selection: Any) -> None:
        nonlocal worst
        results = []
        for forward in (compiled, net):
            net.zero_grad()
            with noise.using(**selection):
                y = forward(x)
                y.square().sum().backward()
            results.append([y.detach(), *(p.grad for p in net.parameters() if p.grad is not None)])
        worst = max(worst, *(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*results, strict=True)))

    def fold() -> None:
        nonlocal worst
        noise.fold()
        with torch.no_grad(), noise.using(mode="folded"):
            worst = max(worst, (compiled(x) - net(x)).abs().max().item())

    def graphs() -> int:
        return counters["stats"]["unique_graphs"]

    compare(draw=0)
    compare(draw=draw)
    compare(mode="mean")
    fold()
    first = graphs()
    for _ in range(3):
        noise.draw()
        fold()
        compare(draw=0)
        compare(draw=draw.flip(0))
        compare(mode="mean")
    noise.load_state_dict(noise.state_dict())
    compare(draw=0)
    redrawn = graphs()
    slots = []
    for slot in range(1, 8):
        compare(draw=slot)
        slots.append(graphs())
    return {"kind": kind, "worst": worst, "first": first, "redrawn": redrawn, "slots": slots}


def check_operator() -> None:
    """PyTorch's own test of a custom operator: schema, fake tensors, autograd."""
    layer = NoisyLinear(3, 2, noise="independent")
    noise = Noise(layer, seed=0, role="online", slots=3)
    assert noise.total == 3
    x, draw = torch.randn(4, 3, requires_grad=True), torch.tensor([2, 0, 0, 2])
    operator = torch.ops.jostle.noise_product.default
    torch.library.opcheck(operator, (x, draw, layer.weight_sigma.detach().requires_grad_(), layer.noise))


if __name__ == "__main__":
    check_operator()
    for kind in ("factorised", "independent"):
        print(json.dumps(check(kind, sys.argv[1])))
