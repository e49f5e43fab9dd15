"""The hyperbolic tangent by PyTorch and by way of the logistic function: one thread, the two by turns.

    python benchmarks/tanh.py     # seconds; this processor's rows of results/tanh.json

`jostle.nn.tanh` takes the second on AMD's processors alone; this shows whether it should.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from circumstances import circumstances  # beside this file
from torch import Tensor

from jostle.nn.tanh import by_sigmoid

RESULTS = Path(__file__).parent / "results" / "tanh.json"
SHAPES = [(64, 64), (256, 64), (1024, 64), (4096, 64)]
ROUNDS, LEAST = 40, 0.002


def once(tanh: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Seconds of a call."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < LEAST:
        tanh(x)
        calls += 1
    return (time.perf_counter() - began) / calls


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    print("| numbers | PyTorch µs | logistic µs | ratio |\n|---|---|---|---|")
    for shape in SHAPES:
        x = torch.randn(shape)
        times = np.array([[once(torch.tanh, x), once(by_sigmoid, x)] for _ in range(ROUNDS)])
        own, logistic = (np.median(times, 0) * 1e6).tolist()
        ratio = float(np.median(times[:, 1] / times[:, 0]))
        rows.append({"numbers": x.numel(), "torch_us": own, "logistic_us": logistic, "ratio": ratio})
        print(f"| {x.numel():,} | {own:,.1f} | {logistic:,.1f} | {ratio:.2f} |", flush=True)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((x.split(":")[1].strip() for x in lines if "vendor_id" in x), "unknown")
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known[processor] = {"rows": rows} | circumstances("jostle", "torch")
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
