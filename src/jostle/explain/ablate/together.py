"""Several vector environments of one kind, stepped as one: every block of rows plays the same episodes."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from jostle.envs import JostleEnv
from jostle.envs.vector import Seed


class Together:
    """An engine (`jostle.envs.vector.Engine`) made of A environments of R rows each.

    They are reset with one seed, so that row r of every block plays the same episodes: what differs between blocks is
    what acts in them.
    """

    name = "jostle"  # whose values the blocks have checked already
    can_snapshot = False
    frame_stack = 1
    frame_skip = 1
    stack_padding: Literal["repeat", "zero"] = "repeat"

    def __init__(self, blocks: Sequence[JostleEnv]) -> None:
        self.blocks = list(blocks)
        self.rows = [block.num_envs for block in blocks]
        self.single_observation_space = blocks[0].single_observation_space
        self.single_action_space = blocks[0].single_action_space
        self.counts_games = blocks[0].counts_games

    def reset(self, seed: Seed, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """All blocks begin with the same seed, or each row with its own."""
        ends = np.cumsum([0, *self.rows]).tolist()
        parts = [seed[a:b] if isinstance(seed, Sequence) else seed for a, b in itertools.pairwise(ends)]
        told = zip(self.blocks, parts, strict=True)
        return self._joined([block.reset(seed=part, options=options) for block, part in told])

    def step(self, actions: np.ndarray) -> Any:
        """One step of every block."""
        parts = np.split(actions, np.cumsum(self.rows)[:-1])
        found = [block.step(part) for block, part in zip(self.blocks, parts, strict=True)]
        obs, info = self._joined([(each[0], each[4]) for each in found])
        reward, terminated, truncated = (np.concatenate([each[i] for each in found]) for i in (1, 2, 3))
        return obs, reward, terminated, truncated, info

    def render(self) -> np.ndarray:
        """Of the first block."""
        found: np.ndarray = self.blocks[0].render()
        return found

    def close(self) -> None:
        """Close all."""
        for block in self.blocks:
            block.close()

    def state_dict(self) -> dict[str, Any]:
        """It has none."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """It has none."""
        raise NotImplementedError

    def _joined(self, parts: Sequence[tuple[Any, dict[str, Any]]]) -> tuple[Any, dict[str, Any]]:
        observations = [obs for obs, _ in parts]
        first = observations[0]
        if isinstance(first, dict):
            obs: Any = {key: np.concatenate([each[key] for each in observations]) for key in first}
        else:
            obs = np.concatenate(observations)
        return obs, joined([info for _, info in parts], self.rows)


def joined(infos: Sequence[dict[str, Any]], rows: Sequence[int]) -> dict[str, Any]:
    """Infos of blocks as those of all rows: an array of numbers for each row, zeros where a block tells nothing.

    What is no array with a row for each environment, nor a dictionary of such, is dropped.
    """
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = [info.get(key) for info in infos]
        if any(isinstance(value, dict) for value in values):
            found[key] = joined([value if isinstance(value, dict) else {} for value in values], rows)
            continue
        arrays = [
            value if isinstance(value, np.ndarray) and value.ndim and len(value) == n else None
            for value, n in zip(values, rows, strict=True)
        ]
        model = next((a for a in arrays if a is not None), None)
        if model is None or model.dtype.kind == "O":
            continue
        found[key] = np.concatenate(
            [
                np.zeros((n, *model.shape[1:]), model.dtype) if a is None else a
                for a, n in zip(arrays, rows, strict=True)
            ]
        )
    return found
