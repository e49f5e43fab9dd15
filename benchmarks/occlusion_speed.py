"""A map of Greydanus and one of occlusion beside Captum's `Occlusion`: 289 places of an 84×84 frame, Atari's network.

    python benchmarks/occlusion_speed.py
    python benchmarks/occlusion_speed.py --threads 2 --rounds 20

The network is that of Mnih et al. (2015) with 512 hidden units and six actions, on four grey frames. Captum covers
windows of 5×5 at stride 5, at its default of one picture a pass and at larger ones. Beside them stands what the network
alone takes for as many pictures. All variants run by turns, in another order every round, after a round that does not
count. With one thread a time is the process's own processor time, which other work on the machine lengthens least; with
more it is wall time, for an idle machine only. Goals: 8 times as fast as Captum's default, twice as fast as its best,
within 1 GiB. Writes benchmarks/results/occlusion_speed.json.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import Occlusion
from gymnasium import spaces

from jostle.explain import Subject, greydanus, occlusion
from jostle.explain.tracing import Steps
from jostle.nn.actor_critic import ActorCritic
from jostle.view import as_view

SPACE, ACTIONS = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)
EACH = (1, 16, 32, 64, 145, 289)
"""Pictures that Captum passes at a time, its default first."""
ALONE = "the network alone"
"""It passes as many pictures, which lie there already: no map that passes them all can be quicker."""


def variants() -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    net = ActorCritic(SPACE, ACTIONS, hidden=(512,), shared=True, activation="relu")
    view = as_view(net, observation_space=SPACE, action_space=ACTIONS)
    obs = np.random.default_rng(0).integers(0, 256, (1, 4, 84, 84), dtype=np.uint8)
    subject = Subject(view, Steps(obs), "logit:0")
    captum = Occlusion(lambda x: view.module(x)[0])
    x = subject.x

    def theirs(each: int) -> Any:
        return lambda: captum.attribute(
            x,
            sliding_window_shapes=(4, 5, 5),
            strides=(4, 5, 5),
            baselines=127.5,
            target=0,
            perturbations_per_eval=each,
        )

    batches = [x.expand(n, -1, -1, -1).contiguous(memory_format=torch.channels_last) for n in (97, 96, 96)]

    @torch.no_grad()
    def alone() -> None:
        for batch in batches:
            view.forward(batch)

    ours: dict[str, Callable[[], Any]] = {
        "jostle, blur": lambda: greydanus(subject, None),
        "jostle, occlusion": lambda: occlusion(subject, None, window=5),
        ALONE: alone,
    }
    return ours | {f"Captum, {each} a pass": theirs(each) for each in EACH}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    runs = variants()
    np.testing.assert_allclose(
        runs["jostle, occlusion"]().values[0], runs["Captum, 32 a pass"]()[0, 0].detach(), rtol=1e-2, atol=1e-4
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs["jostle, blur"]()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for name in [name for name in runs if name != "jostle, blur"]:
        runs[name]()
    names, times = list(runs), {name: list[float]() for name in runs}
    for turn in range(args.rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begin = clock()
            runs[name]()
            times[name].append(1e3 * (clock() - begin))
    best = min(EACH, key=lambda each: statistics.median(times[f"Captum, {each} a pass"]))
    ratios = {
        f"{what} against Captum's {kind}": statistics.median(
            theirs / ours
            for theirs, ours in zip(times[f"Captum, {each} a pass"], times[f"jostle, {what}"], strict=True)
        )
        for what in ("blur", "occlusion")
        for kind, each in (("default", 1), ("best", best))
    }
    ratios["the network alone against Captum's best"] = statistics.median(
        theirs / own for theirs, own in zip(times[f"Captum, {best} a pass"], times[ALONE], strict=True)
    )
    found = {
        "threads": args.threads,
        "clock": clock.__name__,
        "milliseconds": {name: {"median": statistics.median(t), "each": t} for name, t in times.items()},
        "Captum's best": f"{best} a pass",
        "ratios": ratios,
        "further memory of a map, MiB": memory,
        "versions": {name: version(name) for name in ("torch", "captum", "numpy")}
        | {"python": platform.python_version()},
    }
    out = Path(__file__).parent / "results" / "occlusion_speed.json"
    kept = json.loads(out.read_text()) if out.exists() else {}
    out.write_text(json.dumps(kept | {f"threads {args.threads}": found}, indent=1) + "\n")
    for name, t in times.items():
        print(f"{name:24} {statistics.median(t):8.1f} ms")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    print(f"further memory of a map: {memory:.0f} MiB")


if __name__ == "__main__":
    main()
