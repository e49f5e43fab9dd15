"""Which draw of the input's noise each row is seen through, while acting and while learning."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from jostle.nn.noise import Noise, StochasticLayer, family

Per = Literal["iteration", "env", "episode", "sample"]


def input_layers(network: nn.Module) -> list[StochasticLayer]:
    """The layers of a network whose noise is in the input."""
    return [m for m in network.modules() if isinstance(m, StochasticLayer) and m.family == "input"]


class RolloutDraws:
    """Draws that N environments act under in rollouts of T steps, held until these are learned from.

    Slots: ``iteration`` has one; ``env`` N, environment n seeing through slot n; ``episode`` enough of each
    environment's own for every episode that a rollout can hold; ``sample`` one for each row. The observation that ends
    a rollout and begins the next is, in these two, under the same draw in both.

    Args:
        network: with input layers.
        per: who shares a draw.
        steps, num_envs: T and N.
        seed: of the draws.
    """

    def __init__(self, network: nn.Module, per: Per, steps: int, num_envs: int, seed: int) -> None:
        self.per, self.steps, self.num_envs = per, steps, num_envs
        # An episode takes a step, and the row between it and the next one.
        self._each = {"iteration": 1, "env": 1, "episode": steps // 2 + 2, "sample": steps + 1}[per]
        slots = self._each * (1 if per == "iteration" else num_envs)
        self.noise = Noise(network, seed=seed, role="online input", slots=slots, layers=family("input"))
        self._current = np.zeros(num_envs, np.int64)  # of each environment's own slots

    def begin(self) -> None:
        """Before a rollout: draw anew what its first row does not see through."""
        if self.per in ("iteration", "env"):
            self.noise.draw()
            return
        held = self.slots()
        self.noise.draw(np.setdiff1d(np.arange(self.noise.total), held).tolist())

    def slots(self) -> Int[np.ndarray, "N"]:
        """The present slot of every environment."""
        if self.per == "iteration":
            return np.zeros(self.num_envs, np.int64)
        return np.arange(self.num_envs) * self._each + self._current

    def step(self, start: Bool[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
        """The slots of the next row, whose observations are the first of an episode where ``start`` is true."""
        if self.per in ("episode", "sample"):
            moves = start if self.per == "episode" else np.ones(self.num_envs, np.bool_)
            self._current = (self._current + moves) % self._each
        return self.slots()

    def state_dict(self) -> dict[str, Any]:
        """The draws, the generators, and who sees through which."""
        return {"noise": self.noise.state_dict(), "current": torch.from_numpy(self._current.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`.

        Raises:
            CheckpointError: it is of other layers or sizes.
        """
        self.noise.load_state_dict(state["noise"])
        self._current = state["current"].numpy().copy()


class MinibatchDraws:
    """Draws for learning alone, while the agent acts on clean pictures: fresh ones for every minibatch.

    Slots: ``iteration`` has one, ``env`` and ``episode`` one for each environment, ``sample`` one for each row.

    Args:
        network: with input layers.
        per: who shares a draw.
        rows: of a minibatch, at most.
        num_envs: N; row r of the storage is environment r mod N's.
        seed: of the draws.
    """

    def __init__(self, network: nn.Module, per: Per, rows: int, num_envs: int, seed: int) -> None:
        self.per, self.num_envs, self._used = per, num_envs, 0
        slots = {"iteration": 1, "sample": rows}.get(per, num_envs)
        self.noise = Noise(network, seed=seed, role="online input", slots=slots, layers=family("input"))

    def draw(self) -> None:
        """Before a minibatch."""
        self.noise.draw()
        self._used = 0

    def slots(self, rows: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The slots of the next rows of the minibatch."""
        if self.per == "iteration":
            return torch.zeros_like(rows)
        if self.per != "sample":
            return rows % self.num_envs
        first, self._used = self._used, self._used + len(rows)
        return torch.arange(first, self._used, device=rows.device)

    def state_dict(self) -> dict[str, Any]:
        """The draws and the generators."""
        return {"noise": self.noise.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`.

        Raises:
            CheckpointError: it is of other layers or sizes.
        """
        self.noise.load_state_dict(state["noise"])
