"""NoisyLinear against nn.Linear and against the usual implementation, forward and backward, on a CPU.

Run: python benchmarks/noisy_linear.py
Prints Markdown tables and writes benchmarks/results/noisy_linear.json. All variants of a setting are timed in turn,
round after round, in one process. With one thread a time is the process's own processor time, which other work on the
machine does not lengthen; with two it is wall time, measured only where the machine is otherwise idle. Times are the
least of all rounds, ratios are those of two such times.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear

SIZES = ((3136, 512), (512, 512), (64, 64))
BATCHES = (1, 32, 256, 1024)
THREADS = (1, 2)
SECONDS = 1.5  # per setting and group of variants
ROUNDS = 15  # at least


class Usual(nn.Module):
    """As in most public code: ε is kept as a q×p buffer and the noisy weight is formed by plain tensor arithmetic."""

    def __init__(self, p: int, q: int) -> None:
        super().__init__()
        self.mu, self.sigma = nn.Parameter(torch.randn(q, p) / p**0.5), nn.Parameter(torch.full((q, p), 0.5 / p**0.5))
        self.bias_mu, self.bias_sigma = nn.Parameter(torch.zeros(q)), nn.Parameter(torch.full((q,), 0.5 / p**0.5))
        self.register_buffer("eps", torch.empty(q, p))
        self.register_buffer("eps_bias", torch.empty(q))
        self.draw()

    def draw(self) -> None:
        f_in, f_out = (torch.randn(n) for n in reversed(self.mu.shape))
        f_in, f_out = (f.sign().mul(f.abs().sqrt()) for f in (f_in, f_out))
        self.eps.copy_(torch.outer(f_out, f_in))
        self.eps_bias.copy_(f_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mu + self.sigma * self.eps, self.bias_mu + self.bias_sigma * self.eps_bias)


def interleaved(variants: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
    """Least and median milliseconds of each variant, and the ratio of its least time to the first one's."""
    for run in variants.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in variants}
    names, started = list(variants), time.perf_counter()
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    while time.perf_counter() - started < SECONDS or len(times[names[0]]) < ROUNDS:
        shift = len(times[names[0]]) % len(names)  # another order in every round
        for name in names[shift:] + names[:shift]:
            begin = clock()
            variants[name]()
            times[name].append(1e3 * (clock() - begin))
    least = min(times[names[0]])
    return {
        name: {"ms": min(t), "median_ms": statistics.median(t), "ratio": min(t) / least, "rounds": len(t)}
        for name, t in times.items()
    }


def learn(forward: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], None]:
    """One forward and backward pass, gradients of parameters and input included."""

    def run() -> None:
        module.zero_grad()
        x.grad = None
        forward(x).backward(grad)

    return run


def measure(p: int, q: int, batch: int) -> dict[str, Any]:
    torch.manual_seed(0)
    linear, usual, noisy, independent = (
        nn.Linear(p, q),
        Usual(p, q),
        NoisyLinear(p, q),
        NoisyLinear(p, q, noise="independent"),
    )
    noise = Noise(noisy, seed=0, role="online", slots=8)
    Noise(independent, seed=0, role="online", slots=1)
    x, grad = torch.randn(batch, p, requires_grad=True), torch.randn(batch, q)
    draw = torch.arange(batch) % 8

    def per_row(x: Tensor) -> Tensor:
        with noise.using(draw):
            return noisy(x)

    def redrawn(x: Tensor) -> Tensor:
        noise.draw([0])
        return noisy(x)

    def usual_redrawn(x: Tensor) -> Tensor:
        usual.draw()
        return usual(x)

    results = interleaved(
        {
            "linear": learn(linear, linear, x, grad),
            "learn": learn(noisy, noisy, x, grad),
            "usual": learn(usual, usual, x, grad),
            "learn, redrawn": learn(redrawn, noisy, x, grad),
            "usual, redrawn": learn(usual_redrawn, usual, x, grad),
            "learn, slot per row": learn(per_row, noisy, x, grad),
            "learn, independent": learn(independent, independent, x, grad),
        }
    )
    noise.fold()
    x = x.detach()

    def sampled() -> None:
        with noise.using(0):
            noisy(x)

    with torch.no_grad(), noise.using(mode="folded"):  # once around many passes, as one acts with a network of layers
        # The pair alone: at batch 1 the weights come from the cache, unless another variant's have driven them out.
        pair = interleaved({"linear": lambda: linear(x), "folded": lambda: noisy(x)})
        rest = interleaved({"linear": lambda: linear(x), "sampled": sampled, "usual": lambda: usual(x)})
    return {"learning": results, "acting": {**pair, "sampled": rest["sampled"], "usual": rest["usual"]}}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"other work is running (load {load:.1f}): one thread only", file=sys.stderr)
    rows = []
    for threads in THREADS if load <= 0.5 else THREADS[:1]:
        torch.set_num_threads(threads)
        for p, q in SIZES:
            for batch in BATCHES:
                rows.append({"threads": threads, "in": p, "out": q, "batch": batch, **measure(p, q, batch)})
                print(f"{p}→{q}, batch {batch}, {threads} threads", file=sys.stderr)
    for part in ("learning", "acting"):
        names = list(rows[0][part])
        print(f"\n{part}: milliseconds (times nn.Linear)\n\n| threads | layer | batch | {' | '.join(names)} |")
        print("|---" * (3 + len(names)) + "|")
        for row in rows:
            cells = [f"{row[part][n]['ms']:.3f} ({row[part][n]['ratio']:.2f})" for n in names]
            print(f"| {row['threads']} | {row['in']}→{row['out']} | {row['batch']} | {' | '.join(cells)} |")
    result = {
        "command": "python benchmarks/noisy_linear.py",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "settings": rows,
    }
    out = Path(__file__).parent / "results" / "noisy_linear.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
