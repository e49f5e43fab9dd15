"""jostle: randomisation in deep reinforcement learning.

The public names and modules are imported when they are first used, so that ``import jostle`` and ``jostle --help`` are
quick. Where Gymnasium is imported already, jostle's environments are made known to it.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jostle import (
        bonus,
        doctor,
        domain,
        envs,
        explain,
        functional,
        nn,
        presets,
        reality,
        scores,
        stress,
        study,
        watch,
    )
    from jostle.algo import DQN, PPO, DQNConfig, PPOConfig
    from jostle.by_preset import train
    from jostle.envs import JostleEnv, list_envs, make_env
    from jostle.errors import CheckpointError, ConfigError, EnvError, JostleError
    from jostle.evaluation import Evaluation, evaluate
    from jostle.explain.whole import explain_policy
    from jostle.loading import load, resume
    from jostle.nn.noise import Noise, StochasticLayer
    from jostle.nn.noisy import NoisyLinear, noisy_layers, to_linear, to_noisy
    from jostle.store import read_metrics
    from jostle.stress import compare_policies, stress_test
    from jostle.view import as_view

__all__ = [
    "DQN",
    "PPO",
    "CheckpointError",
    "ConfigError",
    "DQNConfig",
    "EnvError",
    "Evaluation",
    "JostleEnv",
    "JostleError",
    "Noise",
    "NoisyLinear",
    "PPOConfig",
    "StochasticLayer",
    "as_view",
    "bonus",
    "compare_policies",
    "doctor",
    "domain",
    "envs",
    "evaluate",
    "explain",
    "explain_policy",
    "functional",
    "list_envs",
    "load",
    "make_env",
    "nn",
    "noisy_layers",
    "presets",
    "read_metrics",
    "reality",
    "resume",
    "scores",
    "stress",
    "stress_test",
    "study",
    "to_linear",
    "to_noisy",
    "train",
    "watch",
]

_HOME = {
    "jostle.algo": ("DQN", "PPO", "DQNConfig", "PPOConfig"),
    "jostle.by_preset": ("train",),
    "jostle.envs": ("JostleEnv", "list_envs", "make_env"),
    "jostle.errors": ("CheckpointError", "ConfigError", "EnvError", "JostleError"),
    "jostle.evaluation": ("Evaluation", "evaluate"),
    "jostle.explain.whole": ("explain_policy",),
    "jostle.loading": ("load", "resume"),
    "jostle.nn.noise": ("Noise", "StochasticLayer"),
    "jostle.nn.noisy": ("NoisyLinear", "noisy_layers", "to_linear", "to_noisy"),
    "jostle.store": ("read_metrics",),
    "jostle.stress": ("compare_policies", "stress_test"),
    "jostle.view": ("as_view",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jostle' has no attribute '{name}'")
    if name not in _MODULE:
        return importlib.import_module(f"jostle.{name}")
    return getattr(importlib.import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if hasattr(sys.modules.get("gymnasium"), "register"):  # as gym.make("jostle:jostle/DeepSea-v0") expects
    importlib.import_module("jostle.registration").register()
