"""Runs jostle's PPO: `python ours.py JSON`, with a preset or settings."""

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
    **settings: Any,
) -> None:
    """PPO with the preset's settings, ours over them, reporting after each rollout."""
    data = presets.load(preset) if preset else {}
    config = presets.settings(preset) if preset else None
    if settings.get("hidden"):
        settings["hidden"] = tuple(settings["hidden"])
    settings["threads"] = int(os.environ["OMP_NUM_THREADS"])
    agent = jostle.PPO(
        env or data["env"],
        merged(config or jostle.PPOConfig(), settings),
        num_envs=num_envs or data["num_envs"],
        env_options=data.get("env_options", {}) | (env_options or {}),
        seed=seed,
    )
    agent.learn(steps, callback=lambda a: tick(a.steps, a.returns))


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
