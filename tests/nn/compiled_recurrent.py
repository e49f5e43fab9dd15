"""A recurrent layer under torch.compile, run by test_recurrent_compiled.py in a process without run-time type checks.

Prints the largest difference from the eager layer, and the number of nodes in each graph.
"""

import json

import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from jostle.nn.recurrent import GRU


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.core, self.behind = nn.Linear(4, 4), GRU(4, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, state: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        return self.behind(self.core(self.before(x).relu(), state, start)[0])


torch.manual_seed(0)
net, counter = Net(), CompileCounterWithBackend("eager")
compiled = torch.compile(net, backend=counter)
worst = 0.0
for steps in (5, 5, 9):
    x, state, start = torch.randn(steps * 3, 4), torch.zeros(1, 3, 8), torch.rand(steps, 3) < 0.3
    worst = max(worst, float((compiled(x, state, start) - net(x, state, start)).abs().max()))
print(json.dumps({"worst": worst, "nodes": [len(graph.graph.nodes) for graph in counter.graphs]}))
