"""What a critic may know of the world and a policy may not: the key ``"privileged"`` of a dictionary observation.

Below it may stand a dictionary, whose keys environments flatten to ``"privileged.mass"`` and the like.
"""

from typing import Any, Literal

import gymnasium as gym
from gymnasium import spaces

from jostle.errors import ConfigError

PRIVILEGED = "privileged"
HISTORY = "domain_history"
"""The key of an episode's last observations and actions (`jostle.envs.past`)."""
SeenBy = Literal["critic", "both", "none"]


def is_privileged(key: str) -> bool:
    """Whether a key of a flat dictionary observation is hidden from policies."""
    return key == PRIVILEGED or key.startswith(f"{PRIVILEGED}.")


def is_beside(key: str) -> bool:
    """Whether a key is none of the environment's own view: bonuses and coverage see neither it nor the past."""
    return key == HISTORY or is_privileged(key)


def split(space: gym.Space[Any], seen_by: SeenBy = "critic") -> tuple[gym.Space[Any], spaces.Dict | None]:
    """The space that a policy sees, and the privileged part that a critic sees beside it.

    Args:
        space: of the observations.
        seen_by: who sees the privileged part: the critic alone, both (then it is a part like any other), or none.

    Raises:
        ConfigError: there is nothing but the privileged part, or it should be seen by the policy and is not there.
    """
    if seen_by == "both":
        if not isinstance(space, spaces.Dict) or not any(map(is_privileged, space.spaces)):
            raise ConfigError(
                f"privileged='both' has no effect: the environment tells nothing under the key '{PRIVILEGED}'; give "
                "domain and domain_privileged=True, or leave it out."
            )
        return space, None
    if not isinstance(space, spaces.Dict) or not any(map(is_privileged, space.spaces)):
        return space, None
    rest = {key: part for key, part in space.spaces.items() if not is_privileged(key)}
    if not rest:
        raise ConfigError(f"all observations are under the key '{PRIVILEGED}', so the policy would see nothing.")
    hidden = spaces.Dict({key: part for key, part in space.spaces.items() if is_privileged(key)})
    return spaces.Dict(rest), hidden if seen_by == "critic" else None
