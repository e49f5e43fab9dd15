"""The ids of the diagnostic environments, made known to Gymnasium; nothing of theirs is imported before one is made."""

import gymnasium as gym

DEEP_SEA = "jostle/DeepSea-v0"
THEMED_CATCH = "jostle/ThemedCatch-v0"
_MAKERS = "jostle.envs.diagnostics"


def register() -> None:
    """Make both known to Gymnasium. Calling it again changes nothing."""
    for env_id, maker in ((DEEP_SEA, "deep_sea"), (THEMED_CATCH, "themed_catch")):
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=f"{_MAKERS}:make_{maker}",
                vector_entry_point=f"{_MAKERS}:make_{maker}_vector",
            )
