"""What an input layer adds to a training step of an encoder, and Monte-Carlo inference against one pass per draw.

    python benchmarks/random_conv.py
    python benchmarks/random_conv.py --rounds 3 --threads 1

A step is a forward and backward pass of an encoder and a dense layer of 256 over 1024 pictures, in pieces of 256 as
PPO's learner takes them; gradients reach the weights, not the pictures. All variants of a setting run by turns, in
another order every round, in one process, after a round that does not count. A ratio is the median over the rounds of a
variant's time to that of the plain encoder in the same round, its interval the bootstrap's 95 %. With one thread a time
is the process's own processor time, which other work on the machine lengthens least; with two it is wall time, for an
idle machine only. Writes benchmarks/results/random_conv.json.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.nn.actor_critic import ActorCritic
from jostle.nn.augment import to_random_input
from jostle.nn.encoders import make_encoder
from jostle.nn.inference import Inference, PolicyActor
from jostle.nn.noise import CLEAN, Noise

BATCH, PIECE, ENVS, DRAWS = 1024, 256, 64, 10
SETTINGS = (("impala", (3, 64, 64)), ("nature", (3, 64, 64)), ("nature", (4, 84, 84)))
GOALS = {"one φ": 1.10, "φ per sample": 1.25}
ROWS = (1, 16, 64)


def interleaved(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of every variant in every round, and the ratio to the first with its interval."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for run in variants.values():
        run()
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            begin = clock()
            variants[name]()
            times[name].append(clock() - begin)
    return {
        name: {"seconds": t, "median_ms": 1e3 * statistics.median(t), **ratio(t, times[names[0]])}
        for name, t in times.items()
    }


def ratio(times: list[float], base: list[float]) -> dict[str, Any]:
    """Median of the rounds' ratios and its bootstrap interval (95 %, 2000 resamples)."""
    ratios = np.array(times) / np.array(base)
    picks = np.random.default_rng(0).integers(len(ratios), size=(2000, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], 1), [2.5, 97.5])
    return {"ratio": float(np.median(ratios)), "interval": [float(low), float(high)]}


def step(encoder: str, shape: tuple[int, ...], kind: str | None, draw: Tensor, bfloat16: bool, **options: Any) -> Any:
    """One step of a network with an input layer of a kind, rows under the given draws."""
    torch.manual_seed(0)
    network = nn.Sequential(make_encoder(spaces.Box(0, 255, shape, np.uint8), encoder))  # type: ignore[arg-type]
    network += nn.Sequential(nn.Linear(network[0].out_features, 256), nn.ReLU())
    if kind is not None:
        to_random_input(network, kind, **options)  # type: ignore[arg-type]
    noise = Noise(network, seed=0, role="benchmark", slots=BATCH)
    obs = torch.randint(0, 256, (BATCH, *shape), dtype=torch.uint8)

    def run() -> None:
        network.zero_grad()
        for a in range(0, BATCH, PIECE):
            precision = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()
            with precision, noise.using(draw[a : a + PIECE]):
                loss = network(obs[a : a + PIECE]).sum()
            loss.backward()

    return run


def training(encoder: str, shape: tuple[int, ...], bfloat16: bool, rounds: int) -> dict[str, Any]:
    each, one = torch.arange(BATCH), torch.zeros(BATCH, dtype=torch.int64)
    shuffled = torch.randperm(BATCH, generator=torch.Generator().manual_seed(0)) % ENVS
    half = torch.where(each % 2 == 0, CLEAN, each)
    conv = "random-conv"
    draws: dict[str, tuple[str | None, Tensor, dict[str, Any]]] = {
        "no layer": (None, one, {}),
        "one φ": (conv, one, {}),
        f"φ per environment ({ENVS})": (conv, shuffled, {}),
        "φ per sample": (conv, each, {}),
        "φ per sample, half clean": (conv, half, {}),
        "one φ, a region kept": (conv, one, {"keep": (0, 0, 12, 24)}),
        "all clean": (conv, torch.full_like(each, CLEAN), {}),
        "cutout per sample": ("cutout", each, {}),
        "jitter per sample": ("jitter", each, {}),
        "shift per sample": ("shift", each, {}),
    }
    variants = {name: step(encoder, shape, kind, draw, bfloat16, **more) for name, (kind, draw, more) in draws.items()}
    return interleaved(variants, rounds)


def inference(encoder: str, shape: tuple[int, ...], rows: int, rounds: int) -> dict[str, Any]:
    """Actions of one batch of observations: M passes of one draw each, against mc:M."""
    torch.manual_seed(0)
    network = ActorCritic(
        spaces.Box(0, 255, shape, np.uint8),
        spaces.Discrete(15),
        encoder=encoder,  # type: ignore[arg-type]
        hidden=(256,),
        activation="relu",
        shared=True,
    )
    to_random_input(network, "random-conv")
    obs = np.random.default_rng(0).integers(256, size=(rows, *shape), dtype=np.uint8)
    many, fixed = (PolicyActor(network, Inference.parse(mode), rows=rows) for mode in (f"mc:{DRAWS}", "fixed"))

    def passes() -> None:
        for _ in range(DRAWS):
            fixed.act(obs)

    return interleaved({f"{DRAWS} passes": passes, f"mc:{DRAWS}": lambda: many.act(obs)}, rounds)


def table(title: str, results: dict[str, Any]) -> None:
    print(f"\n{title}\n\n| | ms | ratio | 95 % |\n|---|---|---|---|")
    for name, r in results.items():
        low, high = r["interval"]
        print(f"| {name} | {r['median_ms']:.1f} | {r['ratio']:.3f} | {low:.3f} to {high:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    if os.getloadavg()[0] > 0.5:
        print(f"other work is running (load {os.getloadavg()[0]:.1f})", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    for threads in args.threads:
        torch.set_num_threads(threads)
        for encoder, shape in SETTINGS:
            where = {"threads": threads, "encoder": encoder, "shape": list(shape)}
            for bfloat16 in (False, True):
                results = training(encoder, shape, bfloat16, args.rounds)
                rows.append({"part": "training", **where, "bfloat16": bfloat16, "results": results})
                table(f"{encoder} {shape}, {'bfloat16' if bfloat16 else 'float32'}, {threads} thread(s)", results)
            for count in ROWS:
                results = inference(encoder, shape, count, args.rounds)
                rows.append({"part": "inference", **where, "rows": count, "results": results})
                table(f"{encoder} {shape}, {count} observation(s), {threads} thread(s)", results)
    for row in rows:
        if row["part"] == "training" and row["encoder"] == "impala" and not row["bfloat16"]:
            for name, goal in GOALS.items():
                found = row["results"][name]["ratio"]
                verdict = "met" if found <= goal else "missed"
                print(f"{row['threads']} thread(s), {name}: {found:.3f}, goal {goal}: {verdict}")
    threads = " ".join(str(n) for n in args.threads)
    result = {
        "command": f"python benchmarks/random_conv.py --rounds {args.rounds} --threads {threads}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "settings": rows,
    }
    out = Path(__file__).parent / "results" / "random_conv.json"
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
