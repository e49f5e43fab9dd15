"""Gymnasium's environments stepped one after the other, with infos of any kind."""

from typing import Any

from gymnasium.vector import SyncVectorEnv

from jostle.envs.engines.infos import join_infos


class RowInfos(SyncVectorEnv[Any, Any]):
    """A `SyncVectorEnv` whose infos are not joined: {row: the info of that row} of the rows that tell something."""

    def _add_info(self, vector_infos: dict[Any, Any], env_info: Any, env_num: int) -> dict[Any, Any]:
        if isinstance(env_info, dict) and env_info:
            vector_infos[env_num] = env_info
        return vector_infos


class InProcess(RowInfos):
    """A `SyncVectorEnv` whose infos are joined by `join_infos`."""

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        """Reset all environments."""
        obs, told = super().reset(**given)
        return obs, self._joined(told)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments."""
        *rest, told = super().step(actions)
        obs, reward, terminated, truncated = rest
        return obs, reward, terminated, truncated, self._joined(told)

    def _joined(self, told: dict[Any, Any]) -> dict[str, Any]:
        return join_infos(told, self.num_envs) if told else {}
