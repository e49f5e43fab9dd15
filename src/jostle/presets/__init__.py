"""Settings worth starting from, as data: one YAML file each, in the shape of a run folder's config.yaml.

>>> from jostle import presets
>>> presets.load("cartpole-noisy")["env"]
'CartPole-v1'
"""

from typing import TYPE_CHECKING, Any

from jostle.preset_files import describe, load, names, text

if TYPE_CHECKING:
    from jostle.algo.dqn.config import DQNConfig
    from jostle.algo.ppo.config import PPOConfig

__all__ = ["describe", "load", "names", "resolved", "settings", "text"]


def resolved(name: str) -> dict[str, Any]:
    """Every value of a preset by its name, ``config.gamma`` for instance, the defaults of settings included.

    Options of environments and of the training that a preset leaves out are not there: their defaults are elsewhere.

    Raises:
        ConfigError: there is no such preset.
    """
    data = load(name) | {"config": settings(name).as_dict()}
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return found


def settings(name: str) -> "DQNConfig | PPOConfig":
    """The settings of a preset, for `jostle.DQN(env, config)` or `jostle.PPO(env, config)`.

    They know where they come from: where ``env`` is the preset's own, its ``num_envs`` and ``env_options`` are taken
    too, unless others are given. `jostle.train` and ``jostle.PPO(preset=name)`` need no environment either.

    Raises:
        ConfigError: there is no such preset.
    """
    from jostle.algo import AGENTS
    from jostle.algo.settings import merged

    data = load(name)
    return merged(AGENTS[data["algorithm"]].settings(), data["config"], origin=name)
