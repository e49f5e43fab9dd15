"""One interface for intrinsic rewards. It knows no algorithm: PPO, DQN and other people's loops call the same methods.

reward = bonus.update(rollout)                  # [T, N], each new transition once, in time order
target = bonus.prepare(rollout)                 # once per rollout: what the loss needs in every epoch
loss = bonus.loss(minibatch, generator, target[rows])
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.bonus.preprocess import Preprocess, require_tensors
from jostle.bonus.scale import RewardNorm, RewardScale
from jostle.errors import ConfigError, EnvError
from jostle.nn.encoders import Observation

FIRST = 256
"""Transitions, at least, whose mean raw reward is the beginning that later ones are compared with."""

VANISHED = 1e-3
"""Share of its beginning below which a bonus guides nobody."""
SLOWER = "lower bonus_learning_rate or bonus_share, or give bonus_scale_horizon"
"""The remedy where there is still something to be found."""


@dataclass(frozen=True)
class Transitions:
    """Transitions of leading shape [T, N] (a rollout, in time order) or [B] (a minibatch).

    obs, next_obs: raw observations in the environment's own dtype, a tensor or a dictionary of tensors.
    action: as the policy's distribution gives it: categories count from 0.
    valid: the transition is a real one, not the reset after an episode's end.
    start: ``obs`` is the first of an episode; only bonuses with a memory read it.
    done: the transition ended an episode (terminated or truncated).

    Raises:
        ConfigError: a field is no tensor.
    """

    obs: Observation
    next_obs: Observation
    action: Tensor
    valid: Bool[Tensor, "..."]
    start: Bool[Tensor, "..."] | None = None
    done: Bool[Tensor, "..."] | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            require_tensors("Transitions", name, getattr(self, name))

    def rows(self, index: Int[Tensor, "S"]) -> "Transitions":
        """Some transitions of a minibatch."""
        return self._map(lambda x: x[index])

    def flatten(self) -> "Transitions":
        """[T, N] → [T·N]."""
        return self._map(lambda x: x.flatten(0, 1))

    def _map(self, f: Callable[[Tensor], Tensor]) -> "Transitions":
        def each(value: Any) -> Any:
            if value is None:
                return None
            return {key: f(x) for key, x in value.items()} if isinstance(value, dict) else f(value)

        return Transitions(*(each(getattr(self, name)) for name in self.__dataclass_fields__))


class Bonus(nn.Module, ABC):
    """An intrinsic reward: a formula (`raw`), running statistics, and an auxiliary loss of its own networks.

    Everything that the next call reads is a parameter or a buffer, so ``state_dict`` and ``load_state_dict`` restore it
    exactly.

    Args:
        observation_space: of one environment.
        num_envs: N.
        frame_stack: k if the observation is a stack of the last k frames, else 1.
        discount: γ of the filter behind the reward's scale; the paper takes the intrinsic stream's own.
        reward_norm: what rewards are divided by; see `RewardScale`.
        obs_norm: observations are normalised by running statistics per pixel or feature and clipped.
        clip: the bound of normalised observations.
        share: share of the valid transitions that enter the loss.
        codes: small bytes [H, W, 3] are MiniGrid's codes, not colours; None: see `Preprocess`.
        scale_horizon: transitions over which the reward's scale forgets; see `RewardScale`.

    Raises:
        ConfigError: the observations cannot be used, or an argument is out of range.
    """

    name: ClassVar[str]
    """Name of the reward stream, and prefix of the metrics."""
    stored: ClassVar[bool] = False
    """The reward depends on the episode so far: it is computed when transitions are collected, never again."""
    sees_resets: ClassVar[bool] = False
    """With `bonus_ending="reset"` an episode's last transition shows it the next episode's first observation. That is
    meant for what looks at one observation alone; a model of actions would learn what no action did."""
    last_frame: ClassVar[bool]
    """Of a stack of frames, only the newest is seen; it is picked here where ``frame_stack`` says how many there are,
    and by whoever calls where not (``takes_newest``)."""

    first: Float[Tensor, "2"]
    """Sum and number of the raw rewards that came first."""
    learning_rate: float | None = None
    """With a rate the algorithms give it an optimiser of its own; without one it shares theirs."""

    def __init__(
        self,
        observation_space: gym.Space[Any],
        num_envs: int,
        *,
        frame_stack: int,
        discount: float,
        reward_norm: RewardNorm,
        obs_norm: bool,
        clip: float,
        share: float,
        codes: bool | None = None,
        scale_horizon: float | None = None,
    ) -> None:
        super().__init__()
        if num_envs < 1:
            raise ConfigError(f"{self.name}: num_envs={num_envs} must be at least 1.")
        if not 0 < share <= 1:
            raise ConfigError(f"{self.name}: share={share} must lie in (0, 1].")
        if not clip > 0:
            raise ConfigError(f"{self.name}: clip={clip} must be positive.")
        self.num_envs, self.share = num_envs, share
        stack = frame_stack if self.last_frame else 1
        self.takes_newest = self.last_frame and frame_stack == 1
        self.preprocess = Preprocess(observation_space, self.name, stack, obs_norm, clip, codes)
        self.scale = RewardScale(num_envs, discount, reward_norm, self.name, scale_horizon)
        self.register_buffer("first", torch.zeros(2, dtype=torch.float64))
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    @abstractmethod
    def raw(self, t: Transitions) -> Float[Tensor, "..."]:
        """The reward's formula under the present statistics, not normalised; of the leading shape."""

    @abstractmethod
    def loss_rows(self, t: Transitions, target: Tensor | None) -> Float[Tensor, ""]:
        """The mean loss over all B rows; 0 for none."""

    def update(self, t: Transitions) -> Float[Tensor, "T N"]:
        """The normalised rewards of newly collected transitions, and one step of all statistics.

        The order is the official code's (openai/random-network-distillation, `ppo_agent.py`): rewards under the old
        observation statistics; these see ``obs``; the filter and its variance see the rewards; the rewards are divided
        by the new deviation. Call it once for each transition, in time order. Rewards of invalid rows are 0.

        Raises:
            ConfigError: shapes that do not fit the space and ``num_envs``, or a network that has diverged.
            EnvError: an observation of a valid transition is not finite. Nothing is changed then.
        """
        if t.valid.ndim != 2 or t.valid.shape[1] != self.num_envs:
            raise ConfigError(
                f"{self.name} was made for {self.num_envs} environments and got transitions of shape "
                f"{list(t.valid.shape)}: give [time, {self.num_envs}]."
            )
        self._require_finite(t)
        with torch.no_grad():
            raw = torch.where(t.valid, self.raw(t).float(), 0.0)
            if not raw.isfinite().all():
                raise ConfigError(
                    f"the reward of {self.name} is not finite though the observations are: its networks have "
                    "diverged; lower their learning rate."
                )
            self.observe(t.obs, t.valid)
            self.scale.update(raw, t.valid)
            reward = self.scale.divide(raw)
            self._count_rewards(raw, reward, t.valid)
        return reward

    @torch.no_grad()
    def compute(self, t: Transitions) -> Float[Tensor, "..."]:
        """Normalised rewards under the present statistics, 0 on invalid rows; changes nothing.

        Raises:
            ConfigError: the bonus depends on the episode's history (`stored`).
        """
        if self.stored:
            raise ConfigError(
                f"{self.name} depends on the episode's history: store what update() returned with each transition "
                "instead of computing it again."
            )
        return torch.where(t.valid, self.scale.divide(self.raw(t).float()), 0.0)

    @torch.no_grad()
    def observe(self, obs: Observation, mask: Bool[Tensor, "..."]) -> None:
        """Count observations [..., *shape] in the observation statistics; ``mask`` says which."""
        self.preprocess.observe(self.preprocess.rows(obs, mask.shape), mask.flatten())

    def prepare(self, t: Transitions) -> Tensor | None:
        """What `loss` needs of every row and no gradient step changes: [T·N, …] or [B, …]; None if there is nothing.

        Call it once per rollout, after `update`.
        """
        return None

    def loss(
        self, t: Transitions, generator: torch.Generator | None = None, target: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """The auxiliary loss of a minibatch [B] or a rollout [T, N]: the mean over a random share of its valid rows.

        Args:
            generator: draws the share; None is PyTorch's global one.
            target: the rows of what `prepare` returned, [B, …] or [T·N, …]; None computes them anew.

        Raises:
            ConfigError: another leading shape, or as many rows of ``target`` as there are not.
        """
        if t.valid.ndim == 2:
            t = t.flatten()
        index = self.select(t.valid, generator)
        if target is not None and len(target) != len(t.valid):
            raise ConfigError(
                f"{self.name}: the loss of {len(t.valid)} rows got a target of {len(target)}: give the rows of "
                "prepare() that the minibatch is made of."
            )
        return self.loss_rows(t.rows(index), None if target is None else target[index])

    def select(self, valid: Bool[Tensor, "B"], generator: torch.Generator | None = None) -> Int[Tensor, "S"]:
        """The rows that enter the loss: valid ones, each with probability `share`.

        Whoever gathers a minibatch from storage may select first and give only these rows to `loss_rows`.

        Raises:
            ConfigError: ``valid`` has not one axis.
        """
        if valid.ndim != 1:
            raise ConfigError(
                f"{self.name}: rows are selected from a minibatch [B], not from {list(valid.shape)}: flatten it first."
            )
        if self.share < 1:
            device = valid.device if generator is None else generator.device
            uniform = torch.rand(valid.shape, generator=generator, device=device)
            valid = valid & (uniform < self.share).to(valid.device)
        return valid.nonzero().squeeze(1)

    def left(self, mean: Tensor) -> Tensor | None:
        """A mean raw reward as a share of the first ones; None where these are not known, or were 0."""
        total, number = self.first
        return mean / (total / number).to(mean.dtype) if total > 0 else None

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters for an optimiser; frozen networks are none of them."""
        return (p for p in self.parameters() if p.requires_grad)

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call, by names that begin with the bonus's own."""
        out = {f"{self.name}/{key}": torch.stack(values).mean().item() for key, values in self._sums.items()}
        self._sums.clear()
        return out

    def count_metric(self, key: str, value: Tensor) -> None:
        """Note a scalar for `drain_metrics`: the mean over some rows, of which there must be one."""
        self._sums[key].append(value.detach().float())

    def _count_rewards(self, raw: Tensor, reward: Tensor, valid: Tensor) -> None:
        count = valid.sum()
        if not count:
            return
        mean = reward.sum() / count
        if self.first[1] < FIRST:
            self.first += torch.stack([raw.sum().double(), count.double()])
        self.count_metric("raw_mean", raw.sum() / count)
        if (left := self.left(raw.sum() / count)) is not None:
            self.count_metric("left", left)
        self.count_metric("reward_mean", mean)
        self.count_metric("reward_std", (torch.where(valid, reward - mean, 0.0).square().sum() / count).sqrt())
        self.count_metric("scale", self.scale.value)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if f"{prefix}first" not in state_dict:  # a former version's: nobody knows what it was at first
            state_dict = {**state_dict, f"{prefix}first": torch.tensor([0.0, FIRST], dtype=torch.float64)}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _require_finite(self, t: Transitions) -> None:
        for what, obs in (("observation", t.obs), ("next observation", t.next_obs)):
            for part in self.preprocess.rows(obs, t.valid.shape):
                if part.is_floating_point():
                    bad = ~part.isfinite().reshape(len(part), -1).all(1).view(t.valid.shape) & t.valid
                    if bad.any():
                        step, env = bad.nonzero()[0].tolist()
                        raise EnvError(
                            f"{self.name}: the {what} of environment {env} at step {step} is not finite: the "
                            "simulation broke, or the environment divides by zero."
                        )
