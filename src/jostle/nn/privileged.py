"""What a critic may know of the world and a policy may not: the key ``"privileged"`` of a dictionary observation.

Below it may stand a dictionary, whose keys environments flatten to ``"privileged.mass"`` and the like.
"""

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from jostle.errors import ConfigError

PRIVILEGED = "privileged"


def is_privileged(key: str) -> bool:
    """Whether a key of a flat dictionary observation is hidden from policies, bonuses and coverage."""
    return key == PRIVILEGED or key.startswith(f"{PRIVILEGED}.")


def split(space: gym.Space[Any]) -> tuple[gym.Space[Any], spaces.Dict | None]:
    """The space that a policy sees, and the privileged part.

    Raises:
        ConfigError: there is nothing but the privileged part.
    """
    if not isinstance(space, spaces.Dict) or not any(map(is_privileged, space.spaces)):
        return space, None
    rest = {key: part for key, part in space.spaces.items() if not is_privileged(key)}
    if not rest:
        raise ConfigError(f"all observations are under the key '{PRIVILEGED}', so the policy would see nothing.")
    return spaces.Dict(rest), spaces.Dict({key: part for key, part in space.spaces.items() if is_privileged(key)})
