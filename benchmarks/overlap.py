"""Whether stepping two halves of the environments by turns pays: one half's environments run while the other's actions
are computed.

    python benchmarks/overlap.py

No training: EnvPool's asynchronous interface and the policy alone, all environments at once against two halves, each
with every split of the cores between environments and network; the best of each counts. Rounds are interleaved. Written
to benchmarks/results/overlap.json.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import envpool
import gymnasium as gym
import torch
from circumstances import circumstances  # beside this file

from jostle.nn.actor_critic import ActorCritic

RESULTS = Path(__file__).parent / "results"
TASKS = {  # environment and number
    "CartPole-v1, 64": ("CartPole-v1", 64),
    "LunarLander-v3, 64": ("LunarLander-v3", 64),
    "MontezumaRevenge-v5, 128": ("MontezumaRevenge-v5", 128),
}


class Pools:
    """The environments in one or two pools of equal size, and a policy that acts in them."""

    def __init__(self, env: str, num_envs: int, count: int, threads: int) -> None:
        size = num_envs // count
        self.pools = [
            envpool.make(env, env_type="gymnasium", num_envs=size, num_threads=threads, seed=i) for i in range(count)
        ]
        space, actions = self.pools[0].observation_space, self.pools[0].action_space
        assert isinstance(actions, gym.spaces.Discrete)
        torch.manual_seed(0)
        self.network = ActorCritic(space, actions).eval()
        for pool in self.pools:
            pool.async_reset()

    @torch.no_grad()
    def steps(self, count: int) -> None:
        """As many steps of all environments, the pools by turns."""
        for _ in range(count):
            for pool in self.pools:
                obs, *_, info = pool.recv()
                pi, _ = self.network.act(torch.from_numpy(obs), None, None)
                actions = torch.multinomial(pi.softmax(1), 1)[:, 0].int().numpy()
                pool.send(actions, info["env_id"])


def splits() -> Iterator[tuple[int, int]]:
    """Threads of the environments and of the network."""
    cores = os.cpu_count() or 1
    for for_envs in range(1, cores + 1):
        for for_network in range(1, cores + 1):
            yield for_envs, for_network


def measure(name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Steps per second of each way, all environments counted."""
    env, num_envs = TASKS[name]
    contestants = {
        (count, *threads): Pools(env, num_envs, count, threads[0]) for count in (1, 2) for threads in splits()
    }
    rates: dict[tuple[int, ...], list[float]] = {key: [] for key in contestants}
    for turn in range(rounds + 1):  # the first warms up
        for key, pools in contestants.items():
            torch.set_num_threads(key[2])
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                pools.steps(4)
                done += 4
            if turn:
                rates[key].append(done * num_envs / (time.perf_counter() - began))
    median = {key: statistics.median(values) for key, values in rates.items()}
    best = {count: max((k for k in median if k[0] == count), key=lambda k: median[k]) for count in (1, 2)}
    return {
        "task": name,
        "together": median[best[1]], "together_threads": best[1][1:],
        "halves": median[best[2]], "halves_threads": best[2][1:],
        "ratio": median[best[2]] / median[best[1]],
        "rates": {" ".join(map(str, key)): values for key, values in rates.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    args = parser.parse_args()
    rows = [measure(name, args.rounds, args.seconds) for name in args.only]
    print("| environments | together | two halves by turns | ratio |")
    print("|---" * 4 + "|")
    for r in rows:
        print(f"| {r['task']} | {r['together']:,.0f} | {r['halves']:,.0f} | {r['ratio']:.2f} |")
    command = f"python benchmarks/overlap.py --rounds {args.rounds} --seconds {args.seconds:g}"
    data = {"command": command, "rows": rows, **circumstances("jostle", "torch", "envpool")}
    (RESULTS / "overlap.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
