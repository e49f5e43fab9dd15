"""This version of jostle beside another checkout of it: whether a change has cost speed.

    git worktree add ../former COMMIT
    python benchmarks/former.py --former ../former

Trainings run by turns (see `ppo_speed.py`): CartPole with 64 environments, PPO and DQN, and PPO with RND on Montezuma's
Revenge. The start is measured by processes one after the other, this version's and the other's in alternation:
importing jostle, `jostle --help`, `jostle train ppo --help` and `jostle envs`; wall time and peak of memory. What
stands in the file already and is not measured again is kept; each row says by which command and of which commits it is.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from turns import Contestant, interleave

HERE = Path(__file__).parent

CARTPOLE = {
    "env": "CartPole-v1", "num_envs": 64, "gamma": 0.99, "gae_lambda": 0.95, "hidden": [64, 64], "max_grad_norm": 0.5,
    "epochs": 4, "minibatches": 4, "num_steps": 128, "entropy_coef": 0.01, "clip": 0.1, "value_clip": 0.1,
    "learning_rate": 2.5e-4,
}  # fmt: skip
MONTEZUMA = {
    "env": "MontezumaRevenge-v5", "preset": "rnd-atari-cleanrl", "num_envs": 128, "num_steps": 32, "minibatches": 1,
    "bonus_warmup": 16,
}  # fmt: skip
DQN = {"algorithm": "DQN", "env": "CartPole-v1", "num_envs": 64, "noisy": "factorised", "warmup": 1000, "every": 20}

TRAININGS: dict[str, tuple[dict[str, Any], int, float]] = {
    "PPO, CartPole, 64 environments": (CARTPOLE, 1, 1.0),
    "DQN, CartPole, 64 environments": (DQN, 1, 1.0),
    "PPO with RND, Montezuma's Revenge, 128 environments": (MONTEZUMA, 2, 4.0),
}
"""Settings, threads, and the seconds of a turn."""

COMMAND = ["-c", "import sys; from jostle.cli import main; sys.exit(main())"]
STARTS = {
    "import jostle": ["-c", "import jostle"],
    "import jostle, PPO": ["-c", "import jostle; jostle.PPO"],
    "import jostle, DQN": ["-c", "import jostle; jostle.DQN"],
    "jostle --help": [*COMMAND, "--help"],
    "jostle train ppo --help": [*COMMAND, "train", "ppo", "--help"],
    "jostle envs": [*COMMAND, "envs"],
}


GROUPS = {
    "start": list(STARTS),
    "ppo": ["PPO, CartPole, 64 environments"],
    "dqn": ["DQN, CartPole, 64 environments"],
    "montezuma": ["PPO with RND, Montezuma's Revenge, 128 environments"],
}


def train(
    settings: dict[str, Any], threads: int, turn: float, former: Path, rounds: int, starts: int
) -> dict[str, Any]:
    """Both trainings by turns, each pair of processes started anew: their rates, and the ratio of each round."""
    rates: tuple[list[float], list[float]] = [], []
    memory: tuple[list[float], list[float]] = [], []
    for begun in range(starts):
        pair = []
        for name, tree in (("this", HERE.parent), ("former", former)):
            environment = {"PYTHONPATH": os.pathsep.join([str(tree / "src"), str(HERE / "peers")])}
            pair.append(Contestant(name, ["ours.py", json.dumps(settings)], threads=threads, environment=environment))
        try:
            for contestant in pair if begun % 2 == 0 else pair[::-1]:
                contestant.start()
            interleave(pair, rounds, turn, 2 * turn)
        finally:
            for contestant in pair:
                contestant.stop()
        for contestant, each, peak in zip(pair, rates, memory, strict=True):
            each += contestant.rates()
            peak.append(contestant.ticks[-1].memory / 2**20)
        print(f"  start {begun + 1} of {starts}: {compared(*rates)['each']}", flush=True)
    return compared(*rates) | {"peak_memory_mb": [statistics.median(peak) for peak in memory]}


def start(arguments: list[str], former: Path, rounds: int) -> dict[str, Any]:
    """Wall seconds and peak memory of a whole process, alternating."""
    seconds: dict[str, list[float]] = {"this": [], "former": []}
    memory: dict[str, list[float]] = {"this": [], "former": []}
    for turn in range(rounds + 1):  # the first one fills the caches
        for name, tree in (("this", HERE.parent), ("former", former)):
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": str(tree / "src")},
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{' '.join(arguments)} of {name} ended with {process.returncode}")
            if turn:
                seconds[name].append(time.perf_counter() - began)
                memory[name].append(used.ru_maxrss / 1024)
    rates = compared([1 / s for s in seconds["this"]], [1 / s for s in seconds["former"]])
    return rates | {"seconds": seconds, "peak_memory_mb": [statistics.median(memory[k]) for k in ("this", "former")]}


def compared(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Median ratio of the rounds, and its range."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "this": ours, "former": theirs, "each": [round(ratio, 3) for ratio in each], "ratio": statistics.median(each),
        "lowest": min(each), "highest": max(each),
    }  # fmt: skip


def commit(tree: Path) -> str:
    """The checkout's commit."""
    out = subprocess.run(["git", "-C", str(tree), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    return out.stdout.strip()


def table(results: dict[str, dict[str, Any]]) -> str:
    """A line for each measurement; above 1 this version is the quicker one."""
    lines = ["| | speed, this / former [rounds] | peak memory, this and former |", "|---|---|---|"]
    for name, r in results.items():
        mine, theirs = r["peak_memory_mb"]
        ratio = f"{r['ratio']:.3f} [{r['lowest']:.3f}, {r['highest']:.3f}]"
        lines.append(f"| {name} | {ratio} | {mine:,.0f} MB, {theirs:,.0f} MB |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--former", type=Path, required=True, help="the other checkout")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--rounds", type=int, default=7, help="of each pair of processes")
    parser.add_argument("--starts", type=int, default=1, help="pairs of processes, for where memory lies changes speed")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "former.json")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the contestants are ended too
    former = args.former.resolve()
    measured: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for name in [name for group in args.only for name in GROUPS[group]]:
        if name in STARTS:
            measured.append((name, lambda a=STARTS[name]: start(a, former, args.rounds)))
        else:
            measured.append((name, lambda t=TRAININGS[name]: train(*t, former, args.rounds, args.starts)))
    results: dict[str, Any] = json.loads(args.out.read_text())["results"] if args.out.exists() else {}
    made = {
        "command": f"python benchmarks/former.py --former DIR --only {' '.join(args.only)} --rounds {args.rounds}"
        + (f" --starts {args.starts}" if args.starts > 1 else ""),
        "commits": {"this": commit(HERE.parent), "former": commit(former)},
    }
    whole = {
        "versions": {name: version(name) for name in ("torch", "numpy", "gymnasium", "envpool")},
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "results": results,
    }
    for name, measure in measured:
        results[name] = made | measure()
        print(f"{name}: {results[name]['ratio']:.3f}", flush=True)
        args.out.write_text(json.dumps(whole, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
