"""What a suite must know of the environment that a policy was trained in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from jostle.domain import Bound
from jostle.envs import make_env
from jostle.envs.domain import SpaceLike, asked
from jostle.envs.engines.envpool import envpool_ids
from jostle.envs.make import capped
from jostle.envs.sources import rows_of
from jostle.view import PolicyView, source_of
from jostle.view.interface import EnvSource


@dataclass(frozen=True)
class Target:
    """An environment and its options as in training, with what its observations are.

    Attributes:
        own: what the environment draws by itself, as `jostle.envs.Randomise` does; None: nothing.
    """

    source: EnvSource
    env: str
    engine: str
    options: Mapping[str, Any]
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    frame_stack: int
    own: Bound | None = None

    @property
    def is_procgen(self) -> bool:
        """It is one of EnvPool's Procgen games."""
        return self.engine == "envpool" and envpool_ids().get(self.env) == "procgen"


def target_of(
    view: PolicyView,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    domain: SpaceLike | None = None,
) -> Target:
    """The policy's own environment and options, or those given in their place.

    Raises:
        ConfigError: neither the policy nor the caller says which environment.
        EnvError: it cannot be made.
    """
    options = dict(view.env_options if env_options is None else env_options)
    options = options if domain is None else asked(options, domain)
    source = source_of(view, env)
    made = make_env(source, **capped(options, rows_of(source, 1)))
    own = getattr(made.world, "own", None)
    made.close()
    seen, acts = made.single_observation_space, made.single_action_space
    return Target(made.source, made.id, made.engine, options, seen, acts, made.frame_stack, own)
