"""DQN and its family: the loop in `agent.py`, its storage in `replay.py`."""

from jostle.algo.dqn.agent import DQN
from jostle.algo.dqn.config import DQNConfig

__all__ = ["DQN", "DQNConfig"]
