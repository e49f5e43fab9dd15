"""Fully connected layers by MKL and by oneDNN: forwards and backwards, one thread, the two by turns.

    python benchmarks/linear.py     # half a minute; writes results/linear.json and prints the table

`jostle.nn.linear` takes oneDNN for large products on AMD processors with AVX-512; this shows whether it should.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from circumstances import circumstances  # beside this file
from torch import Tensor, nn

import jostle.nn.linear as quick
from jostle.nn.linear import Chain

RESULTS = Path(__file__).parent / "results" / "linear.json"
SHAPES = [
    (64, 64, 64),
    (2048, 4, 64),
    (2048, 64, 64),
    (320, 400, 64),
    (256, 512, 18),
    (256, 512, 512),
    (256, 3136, 512),
]
ROUNDS, LEAST = 40, 0.004


def once(layer: Chain, x: Tensor, onednn: bool) -> float:
    """Seconds of a pass forwards and backwards."""
    quick._ONEDNN, quick._LARGE = onednn, 0
    began, passes = time.perf_counter(), 0
    while time.perf_counter() - began < LEAST:
        layer.zero_grad()
        layer(x).sum().backward()
        passes += 1
    return (time.perf_counter() - began) / passes


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    print("| rows | layer | MKL µs | oneDNN µs | ratio |\n|---|---|---|---|---|")
    for batch, wide, narrow in SHAPES:
        layer, x = Chain(nn.Linear(wide, narrow), nn.ReLU()), torch.randn(batch, wide, requires_grad=True)
        times = np.array([[once(layer, x, onednn) for onednn in (False, True)] for _ in range(ROUNDS)])
        mkl, onednn = (np.median(times, 0) * 1e6).tolist()
        ratio = float(np.median(times[:, 0] / times[:, 1]))
        row = {"rows": batch, "in": wide, "out": narrow, "mkl_us": mkl, "onednn_us": onednn, "ratio": ratio}
        rows.append(row)
        print(f"| {batch:,} | {wide} → {narrow} | {mkl:,.0f} | {onednn:,.0f} | {ratio:.2f} |", flush=True)
    model = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    out = {"rows": rows, "capability": torch.backends.cpu.get_cpu_capability(), "processor": model}
    RESULTS.write_text(json.dumps(out | circumstances("jostle", "torch"), indent=1) + "\n")


if __name__ == "__main__":
    main()
