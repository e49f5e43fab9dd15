"""What fixed rules and random play reach on the sets of Packer et al., before anything is learned.

    python benchmarks/physics_controls.py     # prints a table, writes benchmarks/results/physics_controls.json

Where a rule exceeds 95% on the extreme set, success there says nothing for learning. Intervals are those of Clopper and
Pearson.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np

import jostle
from jostle.scores import rate_interval
from jostle.stress import stress_test
from jostle.stress.physics import PACKER, RULES, SATURATED, control_of
from jostle.view import as_view

ENVS = {name: f"jostle/{name}-{'v0' if name == 'MountainCar' else 'v1'}" for name in RULES}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "physics_controls.json")
    args = parser.parse_args()
    rows = []
    print("| task | policy | default | random | extreme |")
    print("|---|---|---|---|---|")
    for name, env in ENVS.items():
        rule = as_view(control_of(env), env=env, name="fixed rule")
        result = stress_test({"fixed rule": rule}, "physics-sets", episodes=args.episodes)
        for cells, policy in ((result.cells, "fixed rule"), (result.chance, "random play")):
            found = {c.condition: [bool(e.success) for e in c.episodes] for c in cells}
            rates = {key: rate_interval([np.array(won, float)]) for key, won in found.items()}
            saturated = policy == "fixed rule" and rates["extreme"].point > SATURATED
            rows.append(
                {
                    "env": env,
                    "policy": policy,
                    "parameters": list(PACKER[name]),
                    "rates": {key: [r.point, r.low, r.high] for key, r in rates.items()},
                    "successes": {key: sum(won) for key, won in found.items()},
                    "episodes": args.episodes,
                    "saturated": saturated,
                }
            )
            cells_ = " | ".join(f"{r.point:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in rates.values())
            print(f"| {name} | {policy}{' (saturated)' if saturated else ''} | {cells_} |", flush=True)
    versions = {"jostle": jostle.__version__, "python": platform.python_version(), "numpy": np.__version__}
    versions["gymnasium"] = gym.__version__
    command = " ".join(["python", "benchmarks/physics_controls.py", *sys.argv[1:]])
    args.out.write_text(json.dumps({"command": command, "versions": versions, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
