"""PPO with compile=True beside the eager one, run by test_ppo_compiled.py in a process without run-time type checks.

Prints the largest difference of a weight after three rollouts, how far weights have moved, and the number of graphs.
"""

import json

import torch
from torch._dynamo.utils import counters

import jostle

torch.set_num_threads(1)


def trained(compiled: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights before and after three rollouts, learned from so quickly that actions depend on observations."""
    agent = jostle.PPO(
        "CartPole-v1", seed=0, num_envs=4, num_steps=16, hidden=(16,), epochs=1, minibatches=2, threads=1,
        learning_rate=0.02, compile=compiled,
    )  # fmt: skip
    before = [p.detach().clone() for p in agent.network.parameters()]
    for _ in range(3):
        agent.advance()
    agent.env.close()
    return before, [p.detach().clone() for p in agent.network.parameters()]


def furthest(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """The largest difference."""
    return max(float((p - q).abs().max()) for p, q in zip(a, b, strict=True))


before, eager = trained(compiled=False)
assert not counters["stats"]["unique_graphs"]
_, compiled = trained(compiled=True)
print(json.dumps({
    "worst": furthest(eager, compiled), "moved": furthest(before, eager), "graphs": counters["stats"]["unique_graphs"],
}))  # fmt: skip
