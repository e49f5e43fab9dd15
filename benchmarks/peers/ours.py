"""Runs jostle's PPO or DQN: `python ours.py JSON`, with a preset or settings."""

import itertools
import json
import os
import sys
from typing import Any

from tick import tick

import jostle
from jostle import presets
from jostle.algo.settings import merged


def train(
    env: str = "",
    num_envs: int = 0,
    preset: str = "",
    seed: int = 1,
    steps: int = 10**9,
    env_options: dict[str, Any] | None = None,
    algorithm: str = "PPO",
    every: int = 1,
    **settings: Any,
) -> None:
    """An algorithm with the preset's settings, ours over them, reporting after so many iterations of its loop."""
    data = presets.load(preset) if preset else {}
    config = presets.settings(preset) if preset else None
    if settings.get("hidden"):
        settings["hidden"] = tuple(settings["hidden"])
    settings["threads"] = int(os.environ["OMP_NUM_THREADS"])
    agent = getattr(jostle, algorithm)(
        env or data["env"],
        merged(config or getattr(jostle, f"{algorithm}Config")(), settings),
        num_envs=num_envs or data["num_envs"],
        env_options=data.get("env_options", {}) | (env_options or {}),
        seed=seed,
    )
    iterations = itertools.count(1)

    def report(agent: Any) -> None:
        if next(iterations) % every == 0:
            tick(agent.steps, agent.returns)

    agent.learn(steps, callback=report)


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
