"""How long a whole explanation takes, part by part: an agent for Atari, all defaults.

    python benchmarks/explain_speed.py
    python benchmarks/explain_speed.py --threads 1 --env jostle/ThemedCatch-v0 --encoder impala

PPO with the network of Mnih et al. (2015), 512 hidden units, on Pong; a run of a few hundred steps, since how long it
has learned makes no difference to the time, and a run keeps its first weights. Goal: 180 seconds on two cores. Wall
time is for an idle machine only; processor time stands beside it. Writes benchmarks/results/explain_speed.json.
"""

import argparse
import json
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

import jostle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--env", default="Pong-v5")
    parser.add_argument("--encoder", default="nature")
    parser.add_argument("--parts", nargs="*", default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    agent = jostle.PPO(
        args.env, num_envs=2, num_steps=64, encoder=args.encoder, hidden=(512,), shared=True, activation="relu", seed=1
    )
    wall: dict[str, float] = {}
    spent: dict[str, float] = {}
    last = ("trace", time.perf_counter(), time.process_time())

    def heard(_done: int, _total: int, what: str) -> None:
        nonlocal last
        part, began, worked = last
        wall[part] = wall.get(part, 0.0) + time.perf_counter() - began
        spent[part] = spent.get(part, 0.0) + time.process_time() - worked
        last = what.partition(":")[0], time.perf_counter(), time.process_time()

    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        agent.learn(256, run_dir=run)
        begun, worked = time.perf_counter(), time.process_time()
        last = ("trace", begun, worked)
        found = jostle.explain_policy(agent, Path(place) / "explain", initial=run, parts=args.parts, notify=heard)
        heard(0, 0, "end")
        seconds = {"wall": time.perf_counter() - begun, "processor": time.process_time() - worked}
        size = sum(path.stat().st_size for path in found.folder.rglob("*.png"))
    agent.env.close()
    told = {
        "env": args.env, "encoder": args.encoder, "threads": args.threads, "seconds": seconds,
        "steps": len(found.trace),
        "wall seconds by part": wall, "processor seconds by part": spent, "bytes of figures": size,
        "left out": found.left_out,
        "versions": {name: version(name) for name in ("torch", "captum", "openTSNE", "numpy")}
        | {"python": platform.python_version()},
    }  # fmt: skip
    out = Path(__file__).parent / "results" / "explain_speed.json"
    kept = json.loads(out.read_text()) if out.exists() else {}
    kept[f"{args.env}, {args.encoder}, {args.threads} threads"] = told
    out.write_text(json.dumps(kept, indent=1) + "\n")
    for part, taken in wall.items():
        print(f"{part:40} {taken:7.1f} s wall {spent[part]:7.1f} s processor")
    whole = f"{seconds['wall']:7.1f} s wall {seconds['processor']:7.1f} s processor; {size / 1e6:.1f} MB of figures"
    print(f"{'all':40} {whole}")
    for name, why in found.left_out.items():
        print(f"left out: {name}: {why}")


if __name__ == "__main__":
    main()
