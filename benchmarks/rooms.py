"""Rooms without any reward, in pictures: the environment `rooms:Rooms-v0` of studies/coverage.yaml."""

from typing import Any

import gymnasium as gym
import numpy as np


class Rooms(gym.Env[np.ndarray, np.int64]):
    """Rooms in a row of rows, with doors one cell wide, drawn as a grey picture [cells · pixels]²; there is no reward.

    Where the white square stands, its column and row, is ``agent_pos`` of the info.

    Args:
        rooms: along one side.
        width: cells of a room's side.
        pixels: of a cell's side.
        length: steps of an episode.
    """

    MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))

    def __init__(self, rooms: int = 3, width: int = 5, pixels: int = 1, length: int = 200) -> None:
        side = rooms * (width + 1) + 1
        self.length, self.pixels = length, pixels
        self.walls = np.zeros((side, side), bool)
        for at in range(0, side, width + 1):
            self.walls[at] = self.walls[:, at] = True
        for row in range(rooms):  # one door between neighbours, at the near or at the far end
            for column in range(rooms):
                first, last = row * (width + 1) + 1, (row + 1) * (width + 1) - 1
                if column < rooms - 1:
                    self.walls[first if column % 2 else last, (column + 1) * (width + 1)] = False
                first, last = column * (width + 1) + 1, (column + 1) * (width + 1) - 1
                if row < rooms - 1:
                    self.walls[(row + 1) * (width + 1), last if row % 2 else first] = False
        self.observation_space = gym.spaces.Box(0, 255, (side * pixels, side * pixels), np.uint8)
        self.action_space = gym.spaces.Discrete(4)
        self._empty = np.kron(self.walls, np.full((pixels, pixels), 100)).astype(np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.t = (1, 1), 0
        return self._drawn(), self._told()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        down, right = self.MOVES[int(action)]
        to = (self.at[0] + down, self.at[1] + right)
        self.at, self.t = self.at if self.walls[to] else to, self.t + 1
        return self._drawn(), 0.0, False, self.t >= self.length, self._told()

    def _drawn(self) -> np.ndarray:
        picture, p = self._empty.copy(), self.pixels
        picture[self.at[0] * p : (self.at[0] + 1) * p, self.at[1] * p : (self.at[1] + 1) * p] = 255
        return picture

    def _told(self) -> dict[str, Any]:
        return {"agent_pos": np.array(self.at[::-1])}


gym.register("Rooms-v0", entry_point=Rooms)
