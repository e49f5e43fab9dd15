"""What this version of jostle and another checkout of it compute: the operations of two updates of PPO with RND.

    git worktree add ../former COMMIT
    python benchmarks/former_ops.py --former ../former

Counts do not depend on what else the machine does, as times do: every operation of torch by the shapes of its inputs,
and every call of a Python function. Montezuma's Revenge, 32 environments, 16 steps, one minibatch, one thread.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from former import commit  # beside this file

HERE = Path(__file__).parent
PRESET, ENV, UPDATES = "rnd-atari-cleanrl", "MontezumaRevenge-v5", 2
SETTINGS = {"num_steps": 16, "minibatches": 1, "bonus_warmup": 8, "threads": 1}


def measure() -> dict[str, Any]:
    """Counts of operations and of calls, and processor seconds, of this process's jostle."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    import jostle
    from jostle import presets
    from jostle.algo.settings import merged

    torch.set_num_threads(1)
    config = merged(presets.settings(PRESET), SETTINGS)
    options = presets.load(PRESET).get("env_options", {})
    agent = jostle.PPO(ENV, config, num_envs=32, env_options=options, seed=1)
    agent.advance()
    began = time.process_time()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        for _ in range(UPDATES):
            agent.advance()
    seconds = time.process_time() - began
    events = seen.key_averages(group_by_input_shape=True)
    operations = {f"{e.key} {json.dumps(e.input_shapes)}": e.count for e in events}
    calls = cProfile.Profile()
    calls.enable()
    for _ in range(UPDATES):
        agent.advance()
    calls.disable()
    total = sum(found[0] for found in pstats.Stats(calls).stats.values())  # type: ignore[attr-defined]
    return {"operations": operations, "calls": total, "seconds": round(seconds, 2)}


def table(this: dict[str, Any], former: dict[str, Any]) -> str:
    """Operations whose numbers differ, the largest tensors first; the rest is the same."""
    mine, theirs = this["operations"], former["operations"]
    differ = [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]
    lines = [
        f"Calls of Python functions: {former['calls']:,} former, {this['calls']:,} this. Processor seconds under the",
        f"profiler: {former['seconds']} former, {this['seconds']} this. Kinds of operations, with shapes, of which",
        f"there are as many in both: {len(mine.keys() | theirs.keys()) - len(differ)}. The others:",
        "",
        "| operation and shapes | former | this |",
        "|---|---|---|",
    ]
    rows = sorted(((_size(name), name) for name in differ), reverse=True)
    lines += [f"| `{name}` | {theirs.get(name, 0)} | {mine.get(name, 0)} |" for _, name in rows]
    return "\n".join(lines)


def _size(name: str) -> int:
    """Numbers of the largest input."""
    largest = 0
    for shape in json.loads(name[name.index(" ") + 1 :]):
        count = 1
        for side in shape:
            count *= side if isinstance(side, int) else 1
        largest = max(largest, count if shape else 0)
    return largest


def main() -> None:
    """Measure both in processes of their own, and write what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, help="the other checkout")
    parser.add_argument("--measure", action="store_true", help="print the counts of the jostle on PYTHONPATH")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure()))
        return
    if args.former is None:
        parser.error("--former is missing")
    found = []
    for tree in (HERE.parent, args.former.resolve()):
        environment = os.environ | {"PYTHONPATH": str(tree / "src")}
        command = [sys.executable, str(Path(__file__).resolve()), "--measure"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]) | {"commit": commit(tree)})
    write(*found)


def write(this: dict[str, Any], former: dict[str, Any]) -> None:
    """The counts of both, and the table."""
    results = HERE / "results"
    (results / "former_ops.json").write_text(json.dumps({"this": this, "former": former}, indent=0) + "\n")
    text = f"# Operations beside the former version\n\n`{Path(__file__).name}` made this.\n\n{table(this, former)}\n"
    (results / "former_ops.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
