"""PPO: the loop in `agent.py`, its storage in `rollout.py`, its epochs in `learner.py`."""

from jostle.algo.ppo.agent import PPO
from jostle.algo.ppo.config import PPOConfig

__all__ = ["PPO", "PPOConfig"]
