"""What DQN does with bonuses: each new transition goes through them once, each replayed one is rewarded anew."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from jostle.algo.dqn.config import DQNConfig
from jostle.algo.dqn.replay import Array, Batch, Replay
from jostle.algo.machine import load_optimizer
from jostle.algo.parts.bonuses import warm_up_all
from jostle.algo.parts.streams import Streams
from jostle.bonus import Bonus, Transitions
from jostle.envs import JostleEnv
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation

TOGETHER = 32
"""New transitions, at least, that go through the bonuses together: alone, each would cost nearly as much as all."""


class ReplayBonuses:
    """Bonuses beside a replay.

    New transitions: filters, statistics and networks see each once, in time order, and never again when it is replayed.
    As many rows as hold ``TOGETHER`` of them go through together, and one gradient step is taken on these alone, by an
    Adam of the bonuses' own (at ``bonus_learning_rate``, or else at DQN's learning rate; gradients are not clipped).

    Replayed transitions: all n rewards of a window are computed when it is sampled, under the present statistics and
    networks. Bonuses that depend on the episode so far (`Bonus.stored`) cannot be: their raw rewards lie in the replay,
    and only their scale is the present one.

    Args:
        bonuses: on the device.
        replay: made with what `storage` says.
        config: settings.
        seed: of the share that the networks learn from, and of the warm-up.
        device: where the bonuses are.

    Attributes:
        seen: rows of the replay, of all ever added, that have gone through the bonuses.
    """

    def __init__(
        self, bonuses: Sequence[Bonus], replay: Replay, config: DQNConfig, *, seed: int, device: torch.device
    ) -> None:
        self.bonuses, self.replay, self.config, self.seed, self.device = list(bonuses), replay, config, seed, device
        self.seen = 0
        self._lag, self._rows = _lag(config), _rows(replay.num_envs)
        # These rows, their successors, the frames before them, and the seam that `Replay.cut` makes.
        least = self._rows + self._lag + replay.stack + 1
        if replay.rows < least:
            raise ConfigError(
                f"a replay of {replay.size} transitions forgets them before the bonuses have seen them; set "
                f"replay_size to at least {least * replay.num_envs}."
            )
        self._columns = {bonus.name: i for i, bonus in enumerate(b for b in bonuses if b.stored)}
        self._warm = False
        self._generator = torch.Generator().manual_seed(int(np.random.default_rng([seed, 5]).integers(2**62)))
        groups = [
            {"params": parameters, "lr": getattr(bonus, "learning_rate", None) or config.rate(1.0)}
            for bonus in bonuses
            if (parameters := list(bonus.trainable_parameters()))
        ]
        self.optimizer = torch.optim.Adam(groups, eps=config.optimizer_eps, fused=True) if groups else None
        trained = [bonus for bonus in bonuses if list(bonus.trainable_parameters())]
        self._scheduled = [i for i, bonus in enumerate(trained) if not getattr(bonus, "learning_rate", None)]

    def schedule(self, rate: float) -> None:
        """The learning rate of the bonuses that have none of their own."""
        for group in self._scheduled:
            assert self.optimizer is not None
            self.optimizer.param_groups[group]["lr"] = rate

    def warm_up(self, env: JostleEnv) -> None:
        """Once, before the first step: observation statistics from random play in other environments."""
        if not self._warm and self.config.bonus_warmup:
            seed = int(np.random.default_rng([self.seed, 4]).integers(2**20))
            warm_up_all(self.bonuses, env, self.config.bonus_warmup, seed)
        self._warm = True

    # ---- new transitions ----

    def collect(self) -> None:
        """To be called after every row added: new rows whose successors are known go through the bonuses."""
        last = self.replay.added - self._lag
        if last - self.seen < self._rows:
            return
        time = np.arange(self.seen, last)
        rows = (time % self.replay.rows)[:, None] * self.replay.num_envs + np.arange(self.replay.num_envs)  # [T, N]
        if self.optimizer is not None:
            self.optimizer.zero_grad(set_to_none=True)
        for bonus in self.bonuses:
            new = self._transitions(rows, bonus, start=self._starts(time))
            reward = bonus.update(new)
            if bonus.stored:
                raw = (reward / self._unit(bonus)).cpu().numpy()
                self.replay.intrinsic[time % self.replay.rows, :, self._columns[bonus.name]] = raw
            self._backward(bonus, new.flatten())
        if self.optimizer is not None:
            self.optimizer.step()
        self.seen = last

    def _backward(self, bonus: Bonus, new: Transitions) -> None:
        """Gradients of the bonus's own networks from its share of new transitions."""
        chosen = bonus.select(new.valid.cpu(), self._generator).to(self.device)
        if self.optimizer is not None and len(chosen):
            bonus.loss_rows(new.rows(chosen), None).backward()  # type: ignore[no-untyped-call]

    def _starts(self, time: Int[np.ndarray, "T"]) -> Bool[np.ndarray, "T N"]:
        """Whether rows begin an episode: the first row of all, and real ones behind a reset."""
        valid = self.replay.valid
        before = valid[(time - 1) % self.replay.rows]  # none before the first row: the ring is not full then
        start: Array = valid[time % self.replay.rows] & ~before
        return start

    # ---- replayed transitions ----

    @torch.no_grad()
    def rewarded(self, batch: Batch) -> Batch:
        """The batch with the rewards [B, n, K] of all streams."""
        assert batch.window is not None
        used = torch.ones_like(batch.terminated)
        if not self.replay.linked:  # nothing behind an end is summed
            ended = batch.terminated | batch.truncated
            used = ended.cumsum(1) - ended.long() == 0
        rows = batch.window[used.cpu().numpy()]
        rewards = [batch.reward[..., 0]]
        for bonus in self.bonuses:
            reward = torch.zeros_like(rewards[0])
            reward[used] = self._reward(bonus, rows)
            rewards.append(reward)
        return dataclasses.replace(batch, reward=torch.stack(rewards, 2))

    def _reward(self, bonus: Bonus, rows: Int[np.ndarray, "S"]) -> Float[Tensor, "S"]:
        """The normalised intrinsic reward of flat rows."""
        if not bonus.stored:
            return bonus.compute(self._transitions(rows, bonus))
        column = self.replay.intrinsic.reshape(self.replay.size, -1)[rows, self._columns[bonus.name]]
        return bonus.scale.divide(torch.from_numpy(column).to(self.device))

    def _unit(self, bonus: Bonus) -> Tensor:
        """What a raw reward of 1 becomes."""
        return bonus.scale.divide(torch.ones((), device=self.device))

    def _transitions(
        self, rows: Int[np.ndarray, "*lead"], bonus: Bonus, start: Bool[np.ndarray, "T N"] | None = None
    ) -> Transitions:
        """What a bonus sees of flat rows."""
        r, flat = self.replay, rows.reshape(-1)
        terminated, truncated, valid, action = (
            a.reshape(-1)[flat] for a in (r.terminated, r.truncated, r.valid, r.action)
        )
        done = terminated | truncated
        following = (flat + r.num_envs) % r.size
        if self.config.bonus_ending == "reset" and bonus.sees_resets:
            following = (following + r.num_envs * done) % r.size

        def seen(index: Int[np.ndarray, "S"]) -> Observation:
            obs = r.observations(index, self.device, newest=bonus.takes_newest)
            if isinstance(obs, dict):
                return {key: value.view(*rows.shape, *value.shape[1:]) for key, value in obs.items()}
            return obs.view(*rows.shape, *obs.shape[1:])

        def tensor(array: Array) -> Tensor:
            return torch.from_numpy(array.reshape(rows.shape)).to(self.device)

        return Transitions(
            seen(flat),
            seen(following),
            tensor(action.astype(np.int64)),
            tensor(valid),
            None if start is None else tensor(start),
            tensor(done),
        )

    # ---- what is logged and saved ----

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call."""
        return {f"bonus/{name}": value for bonus in self.bonuses for name, value in bonus.drain_metrics().items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next row and the next batch read beside the replay, and what is not logged yet."""
        return {
            "modules": [bonus.state_dict() for bonus in self.bonuses],
            "sums": [{name: torch.stack(values) for name, values in b._sums.items()} for b in self.bonuses],
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "seen": self.seen,
            "warm": self._warm,
        }

    def load_state_dict(self, state: dict[str, Any], *, replay: bool) -> None:
        """Restore `state_dict`; without its ``replay`` the rows that it had not seen are lost.

        Raises:
            ConfigError: it is of other bonuses.
        """
        if len(state["modules"]) != len(self.bonuses):
            raise ConfigError(
                f"the saved agent has {len(state['modules'])} bonuses, and here are {len(self.bonuses)}; give the same."
            )
        for bonus, module, sums in zip(self.bonuses, state["modules"], state["sums"], strict=True):
            bonus.load_state_dict(module)
            bonus._sums.clear()
            for name, values in sums.items():
                bonus._sums[name] = list(values.to(self.device))
        if self.optimizer is not None:
            load_optimizer(self.optimizer, state["optimizer"])
        self._generator.set_state(state["generator"])
        self.seen = state["seen"] if replay else 0
        self._warm = state["warm"]


def storage(config: DQNConfig, bonuses: Sequence[Bonus], streams: Streams, num_envs: int) -> dict[str, Any]:
    """What the replay needs for bonuses and streams, as arguments of `Replay`."""
    linked = not bool(streams.episodic.all())
    if not bonuses:
        return {"linked": linked}
    stored = sum(bonus.stored for bonus in bonuses)
    # Stored rewards come when their rows go through the bonuses.
    later = _lag(config) - 1 + (_rows(num_envs) - 1 if stored else 0)
    return {"linked": linked, "later": later, "num_intrinsic": stored}


def _lag(config: DQNConfig) -> int:
    """Rows behind a transition that must be there before a bonus can see it."""
    return 2 if config.bonus_ending == "reset" else 1


def _rows(num_envs: int) -> int:
    """Rows of N transitions that go through the bonuses together."""
    return -(-TOGETHER // num_envs)
