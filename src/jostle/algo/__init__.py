"""Algorithms: each training loop readable from top to bottom in one file."""

from jostle.algo.config import DQNConfig
from jostle.algo.dqn import DQN

__all__ = ["DQN", "DQNConfig"]
