"""Settings worth starting from, as data: one YAML file each, in the shape of a run folder's config.yaml.

>>> from jostle import presets
>>> presets.load("cartpole-noisy")["env"]
'CartPole-v1'
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jostle.errors import ConfigError, closest
from jostle.store.yaml_text import parse_yaml

if TYPE_CHECKING:
    from jostle.algo.dqn.config import DQNConfig
    from jostle.algo.ppo.config import PPOConfig

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def text(name: str) -> str:
    """The YAML of a preset with its comments, which name the sources.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in names():
        raise ConfigError(f"there is no preset '{name}'; {closest(name, names())}")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def describe(name: str) -> str:
    """What a preset is, in one line: the first comment of its file."""
    return text(name).splitlines()[0].removeprefix("#").strip()


def load(name: str) -> dict[str, Any]:
    """A preset as plain data: algorithm, env, num_envs, env_options, config, training.

    Raises:
        ConfigError: there is no such preset.
    """
    data: dict[str, Any] = parse_yaml(text(name))
    return data


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

    Raises:
        ConfigError: there is no such preset.
    """
    from jostle.algo import AGENTS
    from jostle.algo.settings import merged

    data = load(name)
    return merged(AGENTS[data["algorithm"]].settings(), data["config"])
