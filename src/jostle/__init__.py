"""jostle: randomisation in deep reinforcement learning.

The names below are imported when first used, so that ``import jostle`` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jostle.algo import DQN, DQNConfig
    from jostle.envs import JostleEnv, make_env
    from jostle.errors import CheckpointError, ConfigError, EnvError, JostleError
    from jostle.evaluate import Evaluation, evaluate
    from jostle.load import load, resume
    from jostle.nn.noise import Noise, StochasticLayer
    from jostle.nn.noisy import NoisyLinear, to_linear, to_noisy
    from jostle.store import read_metrics

_HOME = {
    "DQN": "algo",
    "DQNConfig": "algo",
    "JostleEnv": "envs",
    "make_env": "envs",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "EnvError": "errors",
    "JostleError": "errors",
    "Evaluation": "evaluate",
    "evaluate": "evaluate",
    "load": "load",
    "resume": "load",
    "Noise": "nn.noise",
    "StochasticLayer": "nn.noise",
    "NoisyLinear": "nn.noisy",
    "to_linear": "nn.noisy",
    "to_noisy": "nn.noisy",
    "read_metrics": "store",
}

__all__ = sorted(_HOME)  # noqa: PLE0605
