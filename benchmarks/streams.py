"""What a bonus that hardly counts does to PPO: every bonus at a weight of 1e-6 and at its default, as streams share a
network now and as they did before.

    python benchmarks/streams.py               # every run that is still missing, then the table
    python benchmarks/streams.py --table       # the table alone

Every finished run is one line of benchmarks/results/streams.jsonl, and runs that stand there are not run again. The
task is easy: PPO finds a goal in an empty room, without any bonus. `before` is `value_weights="equal"`,
`value_norm="none"`, `bonus_grad_norm="joint"`: every stream's values weigh the same in the loss, in the units of their
returns, and gradients of bonuses are clipped with the policy's. `popart` is `now` with PopArt (van Hasselt et al. 2016)
in place of the running deviation, for one bonus. Scores are returns of evaluations, the likeliest actions, and sampled
ones.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs import Job, Row, circumstances, finished, jobs, run  # beside this file

RESULTS = Path(__file__).parent / "results"
RAW = RESULTS / "streams.jsonl"
ENV, STEPS, SEEDS, EPISODES = "MiniGrid-Empty-Random-6x6-v0", 12_000, 3, 100

SHARED = {"num_steps": 64, "hidden": (64,), "learning_rate": 1e-3}
BONUSES = {"rnd": ("rnd",), "icm": ("icm",), "e3b": ("e3b",), "all three": ("rnd", "icm", "e3b")}
WEIGHTS: dict[str, dict[str, Any]] = {"1e-6": {"coef_int": 1e-6}, "default": {}}
WAYS: dict[str, dict[str, Any]] = {
    "before": {"value_weights": "equal", "value_norm": "none", "bonus_grad_norm": "joint"},
    "now": {},
}
POPART = ("e3b",)
METHODS: dict[str, dict[str, Any]] = {"none": SHARED} | {
    f"{name}, {weight}, {way}": SHARED | {"bonus": bonus, "bonus_features": 32} | WEIGHTS[weight] | WAYS[way]
    for weight in WEIGHTS
    for name, bonus in BONUSES.items()
    for way in WAYS
}
METHODS |= {
    f"{name}, {weight}, popart": METHODS[f"{name}, {weight}, now"] | {"popart": True}
    for weight in WEIGHTS
    for name in POPART
}


def settings(task: str, method: str) -> dict[str, Any]:
    """The settings of a run."""
    return METHODS[method]


def use_popart(agent: Any) -> None:
    """Learn the bonuses' values as PopArt does: heads in units of mean and deviation of their targets, whose weights
    change with these so that no value changes (van Hasselt et al. 2016, equations 5 to 9)."""
    import torch

    head, scale = agent.network.value, agent.value_scale
    mean, deviation = torch.zeros_like(scale.scale), torch.ones_like(scale.scale)
    head.register_forward_hook(lambda module, given, out: out * deviation + mean)

    @torch.no_grad()
    def update(target: torch.Tensor, valid: torch.Tensor) -> None:
        scale.targets.update(target, valid)
        new_mean = torch.where(scale.normalised, scale.targets.mean.float(), 0.0)
        new = torch.where(scale.normalised, scale.targets.std.float().clamp_min(1e-4), 1.0)
        head.weight.mul_((deviation / new)[:, None])
        head.bias.mul_(deviation).add_(mean - new_mean).div_(new)
        mean.copy_(new_mean)
        deviation.copy_(new)
        scale.scale.copy_(new)

    scale.update = update


def train(job: Job) -> Row:
    """One run on one thread."""
    import torch

    import jostle

    torch.set_num_threads(1)
    task, method, seed = job
    given = dict(METHODS[method])
    popart = given.pop("popart", False)
    agent = jostle.PPO(ENV, seed=seed, num_envs=16, threads=1, **given)
    if popart:
        use_popart(agent)
    began = time.process_time()
    losses: list[dict[str, float]] = [agent.metrics]

    def note(trained: jostle.PPO) -> None:
        if trained.metrics is not losses[-1]:
            losses.append(trained.metrics)

    agent.learn(STEPS, log_every=STEPS // 4, callback=note)
    seconds = time.process_time() - began
    played = {
        actions: jostle.evaluate(agent, episodes=EPISODES, seed=10_000 + seed, actions=actions).mean
        for actions in ("greedy", "sampled")
    }
    agent.env.close()
    return {
        "task": task, "method": method, "seed": seed, "settings": METHODS[method], "steps": agent.steps,
        "final": round(played["greedy"], 4), "sampled": round(played["sampled"], 4),
        "value_loss": [round(m["losses/value"], 4) for m in losses if "losses/value" in m],
        "seconds": round(seconds, 1),
        **circumstances("jostle", "torch", "numpy", "envpool"),
    }  # fmt: skip


def table(rows: Mapping[Job, Row]) -> str:
    """A line for each bonus and weight: each seed's return, before and now."""

    def cell(method: str, column: str) -> str:
        found = [rows[key][column] for key in sorted(rows) if key[1] == method]
        return f"{sum(found) / len(found):.2f} ({', '.join(f'{x:.2f}' for x in found)})" if found else ""

    lines = ["| bonus | weight | greedy, before | greedy, now | sampled, before | sampled, now |"]
    lines += ["|---|---|---|---|---|---|", f"| none | | | {cell('none', 'final')} | | {cell('none', 'sampled')} |"]
    for weight in WEIGHTS:
        for name in BONUSES:
            cells = [cell(f"{name}, {weight}, {way}", column) for column in ("final", "sampled") for way in WAYS]
            lines.append(f"| {name} | {weight} | {' | '.join(cells)} |")
    lines += ["", "| values of the bonus | weight | greedy | sampled |", "|---|---|---|---|"]
    for weight in WEIGHTS:
        for name in POPART:
            for way, words in (("now", "running deviation"), ("popart", "PopArt")):
                cells = [cell(f"{name}, {weight}, {way}", column) for column in ("final", "sampled")]
                lines.append(f"| {name}, {words} | {weight} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    if not args.table:
        todo = jobs(["empty"], lambda _: METHODS, lambda *_: args.seeds)
        have = finished(RAW, settings)
        run([job for job in todo if job not in have], train, RAW, args.processes, args.minutes)
    text = f"""# Streams that share a network

`python benchmarks/streams.py` made this from the rows of `streams.jsonl`. PPO on `{ENV}`, {STEPS:,} steps of 16
environments, evaluated over {EPISODES} episodes: the mean over the seeds, and in brackets each seed's return, one
number for each run that was made.

{table(finished(RAW, settings))}

A weight of 1e-6 says what a bonus does to PPO that it should leave alone. At its default weight a bonus leads the
policy too, and returns after so few steps say whether it still explores. The likeliest actions of a policy that is
still learning can turn in circles, so of two returns that of sampled actions says more.
"""
    (RESULTS / "streams.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
