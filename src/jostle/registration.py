"""The ids of the diagnostic environments, made known to Gymnasium; nothing of theirs is imported before one is made."""

import gymnasium as gym

DEEP_SEA = "jostle/DeepSea-v0"
THEMED_CATCH = "jostle/ThemedCatch-v0"
CLASSIC = {
    "jostle/CartPole-v1": 500,
    "jostle/Pendulum-v1": 200,
    "jostle/Acrobot-v1": 500,
    "jostle/MountainCar-v0": 200,
    "jostle/MountainCarContinuous-v0": 999,
}
"""Classic control: steps of an episode, the numbers and versions of Gymnasium's environments of these names."""
_MAKERS = "jostle.envs.diagnostics"


def register() -> None:
    """Make them known to Gymnasium. Calling it again changes nothing."""
    for env_id, maker in ((DEEP_SEA, "deep_sea"), (THEMED_CATCH, "themed_catch")):
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=f"{_MAKERS}:make_{maker}",
                vector_entry_point=f"{_MAKERS}:make_{maker}_vector",
            )
    for env_id, steps in CLASSIC.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=f"{_MAKERS}.classic:make_classic",
                vector_entry_point=f"{_MAKERS}.classic:make_classic_vector",
                max_episode_steps=steps,
                kwargs={"name": env_id.removeprefix("jostle/").rpartition("-")[0]},
            )
