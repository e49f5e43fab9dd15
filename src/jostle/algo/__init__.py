"""Algorithms: each training loop readable from top to bottom in one file."""

from jostle.algo.config import DQNConfig
from jostle.algo.dqn import DQN
from jostle.algo.ppo import PPO
from jostle.algo.ppo_config import PPOConfig

__all__ = ["DQN", "PPO", "DQNConfig", "PPOConfig"]
