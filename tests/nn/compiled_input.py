"""Input layers under torch.compile, run by test_random_conv_compiled.py in a process without run-time type checks.

Usage: python compiled_input.py BACKEND KIND… Prints one JSON object per kind of layer.
"""

import json
import sys
from typing import Any

import numpy as np
import torch
import torch._dynamo
from gymnasium import spaces
from torch._dynamo.utils import counters

from jostle.nn.augment import to_random_input
from jostle.nn.encoders import make_encoder
from jostle.nn.noise import CLEAN, Noise


def check(kind: Any, backend: str, **options: Any) -> dict[str, Any]:
    """Errors against eager, and the numbers of graphs, of one encoder's output and gradients."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    net = make_encoder(spaces.Box(0, 255, (40, 40, 3), np.uint8), "nature")
    to_random_input(net, kind, clean=0.4, keep=(0, 0, 3, 5), **options)
    noise = Noise(net, seed=0, role="online", slots=8)
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    obs, draw = torch.randint(0, 256, (8, 40, 40, 3), dtype=torch.uint8), torch.tensor([0, 1, 2, 3, 4, 5, CLEAN, 7])
    worst = 0.0

    def compare(**selection: Any) -> None:
        nonlocal worst
        results = []
        for forward in (compiled, net):
            net.zero_grad()
            with noise.using(**selection):
                y = forward(obs)
            y.square().sum().backward()
            results.append([y.detach(), *(p.grad for p in net.parameters() if p.grad is not None)])
        worst = max(worst, *(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*results, strict=True)))

    compare(draw=0)
    compare(draw=draw)
    compare(mode="mean")
    compare(draw=draw, mode="randomised")
    first = counters["stats"]["unique_graphs"]
    for slot in range(1, 4):
        noise.draw()
        compare(draw=slot)
        compare(draw=draw.flip(0))
    return {"kind": kind, "worst": worst, "first": first, "redrawn": counters["stats"]["unique_graphs"]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for kind in sys.argv[2:]:
        options = {"output": "moments", "mixing": "identity"} if kind == "random-conv" else {}
        print(json.dumps(check(kind, sys.argv[1], **options)))
