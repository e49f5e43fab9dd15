"""Algorithms: each a folder, with a training loop that can be read from top to bottom in its `agent.py`."""

from jostle.algo.dqn import DQN, DQNConfig
from jostle.algo.ppo import PPO, PPOConfig

AGENTS: dict[str, type[DQN] | type[PPO]] = {"dqn": DQN, "ppo": PPO}

__all__ = ["AGENTS", "DQN", "PPO", "DQNConfig", "PPOConfig"]
