"""The method ``algorithm: random``: actions by chance, the null that nothing was learned for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jostle.nn.rows import length
from jostle.study.jobs import RANDOM
from jostle.view import PolicyView, as_view


def chance_view(asked: Mapping[str, Any]) -> PolicyView:
    """A policy that takes every action with the same probability, whatever it sees.

    It draws for itself, so rows of several seeds play the same games as trained agents do.

    Args:
        asked: of its job: environment, options, seed of the actions.
    """
    from jostle.envs import make_env

    env = make_env(asked["env"], 1, seed=asked["seed"], **asked["env_options"])
    env.close()
    space, rng = env.single_action_space, np.random.default_rng(asked["seed"])
    count = getattr(space, "n", None)
    if count is None:
        space.seed(asked["seed"])

    def act(obs: Any) -> Any:
        if count is None:
            return np.stack([space.sample() for _ in range(length(obs))])
        return rng.integers(count, size=length(obs))

    return as_view(act, env=asked["env"], env_options=asked["env_options"], name=RANDOM)
