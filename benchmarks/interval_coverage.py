"""How often a nominal 95% interval covers the truth when there are 3, 5 or 10 runs.

    python benchmarks/interval_coverage.py

Draws scores whose true mean and interquartile mean are known, computes each interval, and counts. Writes
benchmarks/results/interval_coverage.json and .md. Student's t of the mean stands beside as a reference for one task.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import stats

from jostle import stress

RUNS = (3, 5, 10)
TASKS = (1, 4)
CONFIDENCE = 0.95
# A log-normal with sigma 1 has skewness 6: most runs are poor, a few are excellent.
SCORES: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "skewed": lambda rng, shape: rng.lognormal(size=shape),
}
QUARTILE = stats.norm.ppf(0.75)
TRUTH = {
    ("normal", "mean"): 0.0,
    ("normal", "iqm"): 0.0,
    ("skewed", "mean"): np.exp(0.5),
    # E[X | X between its quartiles], with X = exp(Z): 2 e^½ (Φ(q − 1) − Φ(−q − 1)).
    ("skewed", "iqm"): 2 * np.exp(0.5) * (stats.norm.cdf(QUARTILE - 1) - stats.norm.cdf(-QUARTILE - 1)),
}
KINDS = (("mean", "percentile"), ("mean", "bca"), ("iqm", "percentile"), ("iqm", "bca"))


def student(scores: np.ndarray) -> tuple[float, float]:
    """The classical interval of a mean of normal scores, one task."""
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))
    return float(scores.mean() - half), float(scores.mean() + half)


def coverage(name: str, runs: int, tasks: int, repeats: int, resamples: int) -> dict[str, float]:
    """Share of repeats in which each kind of interval holds its truth."""
    rng = np.random.default_rng([runs, tasks, list(SCORES).index(name)])
    hits = {f"{statistic}, {method}": 0 for statistic, method in KINDS} | {"mean, Student's t": 0}
    for repeat in range(repeats):
        scores = SCORES[name](rng, (runs, tasks))
        for statistic, method in KINDS:
            found = stress.interval(
                scores, statistic, method=method, resamples=resamples, seed=repeat, confidence=CONFIDENCE
            )
            hits[f"{statistic}, {method}"] += found.low <= TRUTH[name, statistic] <= found.high
        if tasks == 1:
            low, high = student(scores[:, 0])
            hits["mean, Student's t"] += low <= TRUTH[name, "mean"] <= high
    return {kind: hit / repeats for kind, hit in hits.items() if tasks == 1 or "Student" not in kind}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    began = time.perf_counter()
    rows = [
        {
            "scores": name,
            "tasks": tasks,
            "runs": runs,
            "coverage": coverage(name, runs, tasks, args.repeats, args.resamples),
        }
        for name in SCORES
        for tasks in TASKS
        for runs in RUNS
    ]
    kinds = list(rows[0]["coverage"])
    table = ["| scores | tasks | runs | " + " | ".join(kinds) + " |", "|---" * (3 + len(kinds)) + "|"]
    for row in rows:
        shares = [f"{100 * row['coverage'][kind]:.0f}%" if kind in row["coverage"] else "" for kind in kinds]
        table.append(f"| {row['scores']} | {row['tasks']} | {row['runs']} | " + " | ".join(shares) + " |")
    print("\n".join(table))
    print(f"{time.perf_counter() - began:.0f} s")
    command = f"python benchmarks/interval_coverage.py --repeats {args.repeats} --resamples {args.resamples}"
    error = 100 * np.sqrt(0.25 / args.repeats)
    result = {
        "command": command,
        "versions": {name: version(name) for name in ("jostle", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "confidence": CONFIDENCE,
        "rows": rows,
    }
    out = Path(__file__).parent / "results"
    (out / "interval_coverage.json").write_text(json.dumps(result, indent=1) + "\n")
    note = (
        f"`{command}`. Coverage of nominal 95% intervals; the standard error of a share is at most {error:.1f} points."
    )
    (out / "interval_coverage.md").write_text("\n".join([note, "", *table]) + "\n")


if __name__ == "__main__":
    main()
