"""How often the nominal 95% intervals of success rates and of their differences hold the truth, over n and p.

    python benchmarks/rate_coverage.py

Of one run every outcome is counted with its probability, so these rows have no error. Of several runs, whose own rates
are drawn from a beta distribution, outcomes are simulated. Writes benchmarks/results/rate_coverage.json and .md.
"""

import argparse
import itertools
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from jostle.scores.intervals import Interval
from jostle.scores.rates import difference_interval, rate_interval

EPISODES = (5, 10, 20, 50, 100)
PAIRS = (5, 10, 20, 40)
RUNS = (2, 3, 5, 10)
RATES = np.linspace(0.001, 0.999, 999)
CHANCES = (1e-6, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)
"""That a pair is lost, and that it is won."""
SPREADS = {0.0: "equal", 0.02: "alike", 0.1: "apart", 0.3: "far apart"}
"""Share of p (1 − p) that is between the rates of runs."""


def successes(count: int, of: int) -> np.ndarray:
    """So many episodes of 1, the rest 0."""
    return (np.arange(of) < count).astype(float)


def summary(kind: str, size: str, found: list[Interval], cover: dict[str, float]) -> dict[str, Any]:
    """A row of the table: the least and the mean coverage, and the mean width."""
    least = min(cover, key=cover.__getitem__)
    width = float(np.mean([each.high - each.low for each in found]))
    return {
        "kind": kind, "size": size, "least": cover[least], "where": least, "mean": float(np.mean([*cover.values()])),
        "width": width,
    }  # fmt: skip


def of_rates(of: int) -> dict[str, Any]:
    """One rate, for every p."""
    found = [rate_interval([successes(count, of)]) for count in range(of + 1)]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    cover = {}
    for p in RATES:
        held = (low <= p) & (p <= high)
        cover[f"p = {p:.3f}"] = float(stats.binom.pmf(np.arange(of + 1), of, p)[held].sum())
    return summary("rate", f"{of} episodes", found, cover)


def of_differences(of: int) -> dict[str, Any]:
    """A difference of two rates, for every two chances that an episode is lost or won. Rates of unrelated episodes are
    among them: p (1 − q) are lost and (1 − p) q won."""
    counts = [(lost, won) for lost in range(of + 1) for won in range(of + 1 - lost)]
    found = []
    for lost, won in counts:
        seen, other = successes(lost, of), successes(lost + won, of) - successes(lost, of)
        found.append(difference_interval([seen], [[other]]))
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    cover = {}
    for p, q in itertools.product(CHANCES, repeat=2):
        if p + q < 1:
            pmf = stats.multinomial.pmf([[*pair, of - sum(pair)] for pair in counts], of, [p, q, 1 - p - q])
            held = (low <= p - q + 1e-12) & (p - q - 1e-12 <= high)
            cover[f"{p:g} lost, {q:g} won"] = float(pmf[held].sum())
    return summary("difference", f"{of} pairs of episodes", found, cover)


def of_runs(runs: int, spread: float, repeats: int, episodes: int = 50) -> dict[str, Any]:
    """The rate of several runs, for three means."""
    rng = np.random.default_rng([runs, int(1000 * spread)])
    every: list[Interval] = []
    cover = {}
    for mean in (0.5, 0.8, 0.95):
        shape = (repeats, runs)
        size = (1 - spread) / spread if spread else 0.0
        rates = rng.beta(mean * size, (1 - mean) * size, size=shape) if spread else np.full(shape, mean)
        counts = rng.binomial(episodes, rates)
        found = [rate_interval([successes(count, episodes) for count in row]) for row in counts]
        cover[f"p = {mean:g}"] = float(np.mean([each.low <= mean <= each.high for each in found]))
        every += found
    return summary(f"runs, {SPREADS[spread]}", f"{runs} runs of {episodes} episodes", every, cover)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    args = parser.parse_args()
    began = time.perf_counter()
    rows = [of_rates(of) for of in EPISODES] + [of_differences(of) for of in PAIRS]
    rows += [of_runs(runs, spread, args.repeats) for spread in SPREADS for runs in RUNS]
    table = ["| of | size | least coverage | at | mean coverage | mean width |", "|---" * 6 + "|"]
    for row in rows:
        shares = f"{100 * row['least']:.1f}% | {row['where']} | {100 * row['mean']:.1f}%"
        table.append(f"| {row['kind']} | {row['size']} | {shares} | {row['width']:.2f} |")
    print("\n".join(table))
    print(f"{time.perf_counter() - began:.0f} s")
    command = f"python benchmarks/rate_coverage.py --repeats {args.repeats}"
    result = {
        "command": command,
        "versions": {name: version(name) for name in ("jostle", "numpy", "scipy")}
        | {"python": platform.python_version()},
        "rows": rows,
    }
    out = Path(__file__).parent / "results"
    (out / "rate_coverage.json").write_text(json.dumps(result, indent=1) + "\n")
    note = f"`{command}`. Coverage of nominal 95% intervals; rows of several runs are simulated, the others exact."
    (out / "rate_coverage.md").write_text("\n".join([note, "", *table]) + "\n")


if __name__ == "__main__":
    main()
