"""Places seen without any reward: RND at its defaults beside a frozen random policy, where no preset sets anything.

    python benchmarks/coverage.py              # every run that is still missing, then the table
    python benchmarks/coverage.py --tune       # those that the defaults were chosen from
    python benchmarks/coverage.py --table      # the table alone

Every finished run is one line of benchmarks/results/coverage.jsonl, and is not run again. All methods have the same
environments, number of environments and steps, and PPO's defaults. A place is what `jostle.algo.coverage` counts; in
the rooms, which are drawn here, the cell of the white square.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from runs import Job, Row, circumstances, finished, jobs, run  # beside this file

import jostle

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "coverage.jsonl"


class Rooms(gym.Env[np.ndarray, np.int64]):
    """Rooms in a row of rows, with doors one cell wide, drawn as a grey picture [cells · pixels]²; there is no reward.

    Args:
        rooms: along one side.
        width: cells of a room's side.
        pixels: of a cell's side.
    """

    MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))

    def __init__(self, rooms: int, width: int, pixels: int, length: int = 200) -> None:
        side = rooms * (width + 1) + 1
        self.length, self.pixels = length, pixels
        self.walls = np.zeros((side, side), bool)
        for at in range(0, side, width + 1):
            self.walls[at] = self.walls[:, at] = True
        for row in range(rooms):  # one door between neighbours, at the near or at the far end
            for column in range(rooms):
                first, last = row * (width + 1) + 1, (row + 1) * (width + 1) - 1
                if column < rooms - 1:
                    self.walls[first if column % 2 else last, (column + 1) * (width + 1)] = False
                first, last = column * (width + 1) + 1, (column + 1) * (width + 1) - 1
                if row < rooms - 1:
                    self.walls[(row + 1) * (width + 1), last if row % 2 else first] = False
        self.observation_space = gym.spaces.Box(0, 255, (side * pixels, side * pixels), np.uint8)
        self.action_space = gym.spaces.Discrete(4)
        self._empty = np.kron(self.walls, np.full((pixels, pixels), 100)).astype(np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.t = (1, 1), 0
        return self._drawn(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        down, right = self.MOVES[int(action)]
        to = (self.at[0] + down, self.at[1] + right)
        self.at, self.t = self.at if self.walls[to] else to, self.t + 1
        return self._drawn(), 0.0, False, self.t >= self.length, {}

    def _drawn(self) -> np.ndarray:
        picture, p = self._empty.copy(), self.pixels
        picture[self.at[0] * p : (self.at[0] + 1) * p, self.at[1] * p : (self.at[1] + 1) * p] = 255
        return picture


def small_rooms() -> Rooms:
    """3×3 rooms of 5×5 cells in a picture of 19×19."""
    return Rooms(3, 5, 1)


TASKS: dict[str, dict[str, Any]] = {
    "MountainCarContinuous": {"env": "MountainCarContinuous-v0", "steps": 100_000, "methods": ("former",)},
    "Acrobot": {"env": "Acrobot-v1", "steps": 50_000},
    "Pendulum": {"env": "Pendulum-v1", "steps": 50_000},
    "MiniGrid-KeyCorridorS4R3": {
        "env": "MiniGrid-KeyCorridorS4R3-v0", "steps": 30_000, "num_envs": 16, "methods": ("e3b",),
    },
    "MiniGrid-SimpleCrossingS11N5": {
        "env": "MiniGrid-SimpleCrossingS11N5-v0", "steps": 30_000, "num_envs": 16, "methods": ("e3b",),
    },
    "MiniGrid-FourRooms": {
        "env": "MiniGrid-FourRooms-v0", "steps": 30_000, "num_envs": 16, "methods": ("e3b",),
    },
    "rooms": {"env": small_rooms, "steps": 30_000},
}  # fmt: skip
"""Environments, steps and further methods."""

ALONE = {"bonus": ("rnd",), "coef_ext": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "random": {"learning_rate": 1e-20, "epochs": 1, "minibatches": 1},  # the policy that the others begin with
    "rnd": ALONE,
    "e3b": ALONE | {"bonus": ("e3b",)},
    "former": ALONE | {"bonus_learning_rate": "joint", "normalise_obs": False},
}
TUNED: dict[str, dict[str, Any]] = {
    f"rate {rate:g}{', normalised' if normalise else ''}{f', policy {policy:g}' if policy != 3e-4 else ''}": ALONE
    | {"bonus_learning_rate": rate, "bonus_features": 64, "normalise_obs": normalise, "learning_rate": policy}
    for rate, normalise, policy in (
        (1e-5, False, 3e-4), (3e-5, False, 3e-4), (1e-4, False, 3e-4), (3e-4, False, 3e-4),
        (1e-5, True, 3e-4), (3e-4, True, 3e-4), (1e-5, True, 1e-3), (3e-4, True, 1e-3),
    )
}  # fmt: skip
"""What the defaults for vectors were chosen from, with 64 features."""
GRIDS: dict[str, dict[str, Any]] = {
    f"rate {rate:g}, 64 features": ALONE | {"bonus_learning_rate": rate, "bonus_features": 64} for rate in (1e-4, 3e-3)
} | {
    f"raw codes, rate {rate:g}": ALONE
    | {"bonus_learning_rate": rate, "bonus_features": 64, "bonus_obs_norm": False}
    for rate in (3e-5, 3e-3)
}  # fmt: skip
"""RND on KeyCorridor, where they did not help: slower and quicker predictors, and codes that are not normalised, by
which rare objects are no larger than common ones."""
METHODS |= TUNED | GRIDS
SEEDS = 3
TUNING_SEEDS = {"MountainCarContinuous": 2, "MiniGrid-KeyCorridorS4R3": 1}


def settings(task: str, method: str) -> dict[str, Any]:
    """The settings of a run."""
    return METHODS[method]


def cells(agent: jostle.PPO) -> set[int]:
    """Where the white square stood in a rollout of rooms."""
    pictures = agent.rollout.newest(following=True)[agent.rollout.valid]
    return set(pictures.flatten(1).float().argmax(1).tolist())


def shares(agent: jostle.PPO) -> list[float] | None:
    """How often each action was taken in the newest rollout; None where actions cannot be counted."""
    if not isinstance(agent.env.single_action_space, gym.spaces.Discrete):
        return None
    taken = agent.rollout.action[agent.rollout.valid].flatten().long()
    counts = torch.bincount(taken, minlength=int(agent.env.single_action_space.n))
    return [round(share, 3) for share in (counts / len(taken)).tolist()]


def train(job: Job) -> Row:
    """One run on one thread."""
    torch.set_num_threads(1)
    task, method, seed = job
    spec, given = TASKS[task], settings(task, method)
    agent = jostle.PPO(spec["env"], seed=seed, num_envs=spec.get("num_envs", 8), threads=1, **given)
    own: set[int] = set()
    drawn = callable(spec["env"])
    curve: list[list[float]] = []
    began = time.perf_counter()
    seen = [agent.metrics]

    def note(trained: jostle.PPO) -> None:
        if drawn:
            own.update(cells(trained))
        if trained.metrics is not seen[0]:
            seen[0] = m = trained.metrics
            count = len(own) if drawn else m.get("coverage/cells", 0)
            curve.append([trained.steps, count, m.get("coverage/cells_per_episode"), m.get("bonus/rnd/raw_mean")])

    agent.learn(spec["steps"], callback=note, log_every=spec["steps"] // 10)
    seconds = time.perf_counter() - began
    agent.env.close()
    return {
        "task": task, "method": method, "seed": seed, "settings": given, "steps": agent.steps,
        "final": curve[-1][1], "per_episode": curve[-1][2], "curve": curve, "actions": shares(agent),
        "seconds": round(seconds, 1),
        **circumstances("jostle", "torch", "numpy"),
    }  # fmt: skip


def wanted(task: str) -> tuple[str, ...]:
    """The methods of a task."""
    more: tuple[str, ...] = TASKS[task].get("methods", ())
    return ("random", "rnd", *more)


def table(runs: Mapping[Job, Row]) -> str:
    """Every run's score, seed by seed, the share of the bonus that is left, and what episodes saw."""
    lines = [
        "# Places seen without any reward",
        "",
        "Made by `python benchmarks/coverage.py --table` from `coverage.jsonl`. One number a seed. *Left* is the",
        "last `raw_mean` as a share of that of the first tenth of the steps; *an episode* the mean number of places",
        "that one sees, of the first and of the last that are logged. The rates were chosen on MountainCarContinuous,",
        "and on no other task; of E3B nothing was chosen.",
        "",
        "| task | steps | method | places | mean | an episode | left |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, spec in TASKS.items():
        for method in METHODS:
            rows = [row for (of, by, _), row in sorted(runs.items()) if (of, by) == (task, method)]
            if rows:
                scores = [row["final"] for row in rows]
                shown = ", ".join(f"{score:,}" for score in scores)
                raw = [[at[3] for at in row["curve"]] for row in rows if row["curve"][0][3]]
                left = f"{np.mean([one[-1] / one[0] for one in raw]):.2g}" if raw else ""
                seen = [[at[2] for at in row["curve"] if at[2] is not None] for row in rows]
                each = "" if not all(seen) else " to ".join(f"{np.mean([s[i] for s in seen]):.3g}" for i in (0, -1))
                cells = (task, f"{spec['steps']:,}", method, shown, f"{np.mean(scores):,.0f}", each, left)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="run what the defaults were chosen from")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="no more than these")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if not args.table:
        have = finished(RAW, settings)
        if args.tune:
            tried = {"MountainCarContinuous": TUNED, "MiniGrid-KeyCorridorS4R3": GRIDS}
            todo = jobs(
                [task for task in tried if task in args.only],
                tried.__getitem__,
                lambda task, _: min(args.seeds, TUNING_SEEDS[task]),
            )
        else:
            todo = jobs(args.only, wanted, lambda *of: args.seeds)
        run([job for job in todo if job not in have], train, RAW, 1, args.minutes)
    (RESULTS / "coverage.md").write_text(table(finished(RAW, settings)))


if __name__ == "__main__":
    main()
