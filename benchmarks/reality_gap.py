"""Roads over the reality gap: what reaches a hidden pendulum, against the real steps that it takes.

    python benchmarks/reality_gap.py            # rows that are missing, then table and figure
    python benchmarks/reality_gap.py --table    # table and figure alone

The "real" system is jostle/Pendulum-v1 under constants that no road is told (`HIDDEN`) and with noise in what is seen;
the simulator is the nominal pendulum. A row is one road, one seed and so many real steps: mean return and share of
successes over 100 episodes of the real system. It is no study spec, because roads have phases. Those that learn go on
from the same agent of the nominal simulator, each as many steps.

A history encoder is another network, so its road has no agent to go on from: its domain opens from the nominal
simulator over as many steps as that agent had. The same without a history stands beside it. Another road is a function
of `ROADS`, from a seed to its rows.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import jostle
from jostle.reality import Planner, fit, record
from jostle.scores import interval
from jostle.study.machine import processor, versions
from jostle.view import Success, as_view, play

HERE = Path(__file__).parent / "results"
RAW = HERE / "reality_gap.jsonl"
ENV = "jostle/Pendulum-v1"
HIDDEN = {"rod.mass": 1.6, "rod.length": 1.3, "rod.damping": 0.1, "observation.noise": 0.01}
"""Gravity turns the rod by 10.4 N·m at most, and not by 5: the motor's 2 N·m need more swings to bring it up, and
hold it within 11° of upright instead of 24°."""
ESTIMATED = ("rod.mass", "rod.length", "rod.damping")
DOMAIN = {"rod.mass": [0.5, 2.0], "rod.length": [0.6, 1.6], "rod.damping": [0.0, 0.3]}
"""What randomisation draws: ranges of who knows which constants are uncertain, and not where they lie."""
SCHEDULES = {
    "uniform": "uniform",
    "adr": "adr(high=-500, low=-900, episodes=4, delta=0.15, share=0.7)",
    "doraemon": "doraemon(threshold=-600, episodes=25, epsilon=0.5)",
    "rollback": "rollback(high=-500, low=-900, episodes=4, delta=0.25)",
}
"""Coarse, because a training has 160 episodes."""
PPO = {
    "num_envs": 32, "num_steps": 32, "epochs": 6, "minibatches": 4, "gamma": 0.9, "learning_rate": 1e-3,
    "entropy_coef": 0.0, "reward_norm": "return_std",
}  # fmt: skip
ROLLOUT = 32 * 32
SIMULATED = 60 * ROLLOUT
"""Steps in the nominal simulator, which every road that learns begins with."""
LOGGED = 400
"""Real steps of random actions, held for five steps each, that are identified from."""
TUNED = tuple(k * ROLLOUT for k in (2, 4, 8, 16, 32))
"""Real steps at which fine-tuning is looked at; the last of them are also the further steps of the other roads."""
HISTORY = 8
"""Steps of the episode that the history encoder sees."""
PLAN = {"horizon": 35, "samples": 100, "iterations": 2}
EPISODES, EPISODES_PLANNED = 100, 8
Row = dict[str, Any]


def on_real(policy: Any, episodes: int = EPISODES) -> Row:
    """Mean return and share of successes on the hidden system; the same first states for every policy."""
    view = as_view(policy, env=ENV)
    env = jostle.make_env(ENV, min(episodes, 50), seed=10_000, **view.env_options | {"domain": HIDDEN})
    found = play(
        view.actor("mean", rows=env.num_envs, seed=10_000),
        env,
        episodes,
        seed=10_000,
        success=Success.parse("info is_success"),
    )
    env.close()
    assert found is not None
    return {
        "return": float(np.mean([e.ret for e in found])),
        "success": float(np.mean([bool(e.success) for e in found])),
    }


@cache
def folder_of(seed: int) -> Path:
    """Where the agent of the nominal simulator lies, which every road begins with."""
    agent = jostle.PPO(ENV, seed=seed, **PPO).learn(SIMULATED)
    return Path(agent.save(Path(tempfile.mkdtemp()) / "agent"))


def going_on(seed: int, steps: int = TUNED[-1], **how: Any) -> Any:
    """That agent, trained further somewhere else."""
    env = jostle.make_env(ENV, PPO["num_envs"], seed=seed + 500, **how)
    agent = jostle.load(folder_of(seed), env=env)
    return agent.learn(steps) if steps else agent


def estimated(seed: int) -> Any:
    """Identified from a log of the hidden system."""
    return fit(record(ENV, LOGGED, seed=seed, hold=5, env_options={"domain": HIDDEN}), ESTIMATED)


def nominal(seed: int) -> Iterator[Row]:
    """The nominal simulator alone, and as much of it again."""
    yield {"road": "nominal", "real": 0} | on_real(going_on(seed, 0))
    yield {"road": "nominal, longer", "real": 0} | on_real(going_on(seed))


def tuned(seed: int) -> Iterator[Row]:
    """Fine-tuning: on the real system."""
    agent, done = going_on(seed, 0, domain=HIDDEN), 0
    for real in TUNED:
        agent.learn(real - done)
        done = real
        yield {"road": "fine-tuning", "real": real} | on_real(agent)


def identified(seed: int) -> Iterator[Row]:
    """In the identified simulator, or in a domain around the estimate."""
    found = estimated(seed)
    told = {"estimate": found.as_dict(), "std": dict(zip(found.names, found.std.tolist(), strict=True))}
    for road, spread, least in (("identified", "none", 0.0), ("identified + domain", "normal", 0.05)):
        agent = going_on(seed, domain=found.space(spread, least=least))
        yield {"road": road, "real": LOGGED} | on_real(agent) | told


def from_nothing(seed: int) -> Iterator[Row]:
    """In the identified simulator from the beginning, without the nominal one first."""
    agent = jostle.PPO(ENV, seed=seed, domain=estimated(seed).space("none"), **PPO).learn(SIMULATED)
    yield {"road": "identified, from nothing", "real": LOGGED} | on_real(agent)


def randomised(schedule: str) -> Callable[[int], Iterator[Row]]:
    """In the domain, by a schedule; the real system is not touched."""

    def road(seed: int) -> Iterator[Row]:
        agent = going_on(seed, domain=DOMAIN, domain_schedule=SCHEDULES[schedule])
        told = {name: value for name, value in agent.metrics.items() if name.startswith("domain/")}
        yield {"road": schedule, "real": 0, "domain": told} | on_real(agent)

    return road


def adapted(seed: int) -> Iterator[Row]:
    """In the domain, as it opens, without and with a history from which an encoder tells the draw (RMA); the agent with
    one adapts within the episode, and the real system is not touched."""
    history = {"domain_privileged": True, "privileged": "none", "domain_history": HISTORY, "draw_recovery": 1.0}
    opening = f"linear(steps={SIMULATED})"
    for road, settings in (("uniform, opening", {}), ("uniform, opening, with a history", history)):
        agent = jostle.PPO(ENV, seed=seed, domain=DOMAIN, domain_schedule=opening, **settings, **PPO)
        agent.learn(SIMULATED + TUNED[-1])
        told = {name: value for name, value in agent.metrics.items() if name.endswith("/r2")}
        yield {"road": road, "real": 0, "told": told} | on_real(agent)


def planned(seed: int) -> Iterator[Row]:
    """Planning, without learning, with the nominal, the identified and the true model."""
    estimate = estimated(seed).as_dict()
    true = {name: HIDDEN[name] for name in ESTIMATED}
    for road, real, values in (("nominal", 0, {}), ("identified", LOGGED, estimate), ("true", 0, true)):
        planner = Planner(ENV, quantities=values, seed=seed, **PLAN)
        yield {"road": f"planning, {road} model", "real": real} | on_real(planner, EPISODES_PLANNED)
        planner.close()


def chance(seed: int) -> Iterator[Row]:
    """Random actions."""
    rng = np.random.default_rng(seed)
    yield {"road": "random", "real": 0} | on_real(lambda obs: rng.uniform(-2, 2, (len(obs), 1)).astype(np.float32))


ROADS: dict[str, Callable[[int], Iterator[Row]]] = {
    "random": chance,
    "nominal": nominal,
    "fine-tuning": tuned,
    "planning": planned,
    "identified": identified,
    **{name: randomised(name) for name in SCHEDULES},
    "adaptation": adapted,
    "from nothing": from_nothing,
}


def main() -> None:
    """Run what is missing; table and figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--roads", nargs="*", default=list(ROADS), choices=list(ROADS))
    parser.add_argument("--table", action="store_true", help="table and figure alone")
    args = parser.parse_args()
    rows = [json.loads(line) for line in RAW.read_text().splitlines()] if RAW.exists() else []
    made = {"versions": versions(), "processor": processor(), "command": " ".join(["python", *sys.argv])}
    for seed in range(args.seeds if not args.table else 0):
        for name in args.roads:
            if any(row["part"] == name and row["seed"] == seed for row in rows):
                continue
            began, fresh = time.perf_counter(), []
            for row in ROADS[name](seed):
                fresh.append({"part": name, "seed": seed} | row)
                print({k: row[k] for k in ("road", "real", "return", "success")}, flush=True)
            seconds = round(time.perf_counter() - began, 1)
            with RAW.open("a") as file:  # whole parts only
                for row in fresh:
                    file.write(json.dumps(row | {"seconds_of_part": seconds} | made) + "\n")
            rows += fresh
    write(rows)


def write(rows: list[Row]) -> None:
    """Table and figure."""
    places = list(dict.fromkeys((row["road"], row["real"]) for row in rows))
    hidden = ", ".join(f"{name} {value:g}" for name, value in HIDDEN.items())
    lines = [
        "# The reality gap",
        "",
        "Made by `python benchmarks/reality_gap.py --table` from `reality_gap.jsonl`.",
        f"{ENV}; the real system has {hidden}. {EPISODES} episodes of it for every row",
        f"({EPISODES_PLANNED} where it is planned). Roads that learn go on for {TUNED[-1]:,} steps from an agent of",
        f"{SIMULATED:,} steps in the nominal simulator. Means over seeds with 95% bootstrap intervals, which of so few",
        "seeds are narrow; success: within 60° of upright in the last 100 of 200 steps.",
        "",
        "| road | real steps | seeds | return | successes |",
        "|---|---|---|---|---|",
    ]
    for road, real in places:
        found = [row for row in rows if (row["road"], row["real"]) == (road, real)]
        shown = [str(interval(np.array([row[key] for row in found]), "mean")) for key in ("return", "success")]
        lines.append(f"| {road} | {real:,} | {len(found)} | {' | '.join(shown)} |")
    lines += ["", "![Transfer against real steps](reality_gap.png)"]
    (HERE / "reality_gap.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    figure(rows, HERE / "reality_gap.png")


def figure(rows: list[Row], path: Path) -> None:
    """Return of every road, those together that take as many real steps, the best of them first."""
    import matplotlib.pyplot as plt

    from jostle.scores.plots import COLOURS

    groups: dict[int, dict[str, list[float]]] = {}
    for row in rows:
        groups.setdefault(row["real"], {}).setdefault(row["road"], []).append(row["return"])
    drawn, axes = plt.subplots(figsize=(8.4, 6.4), layout="constrained")
    height, ticks, names = 0.0, [], []
    for at, (real, roads) in enumerate(sorted(groups.items())):
        height -= 0.5
        axes.text(0.99, height + 0.6, f"{real:,} real steps", color=COLOURS[at], fontsize="small", weight="bold",
                  ha="right", va="center", transform=axes.get_yaxis_transform())  # fmt: skip
        for road, returns in sorted(roads.items(), key=lambda item: -float(np.mean(item[1]))):
            found = interval(np.array(returns), "mean")
            if np.isfinite(found.low):
                axes.plot([found.low, found.high], [height, height], color=COLOURS[at], lw=5, alpha=0.3)
            axes.plot(returns, [height] * len(returns), "o", color=COLOURS[at], ms=4)
            ticks.append(height)
            names.append(road)
            height -= 1.0
        axes.axhline(height + 0.4, color="0.85", lw=0.8)
    axes.set_yticks(ticks, names)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("return on the real system (dots: seeds; bars: 95% intervals of the mean)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    drawn.savefig(path, dpi=150)
    plt.close(drawn)


if __name__ == "__main__":
    main()
