"""Settings of DQN. Every one is a switch; any combination trains."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gymnasium import Space
from torch import nn

from jostle.algo.parts.bonus_settings import BonusSettings
from jostle.algo.parts.input.settings import InputSettings
from jostle.algo.parts.noise_settings import noise_idle
from jostle.algo.parts.rate import RateSchedule, check_rate, rate_at
from jostle.algo.parts.stream_settings import EXTRINSIC
from jostle.errors import ConfigError
from jostle.nn.encoders import EncoderKind
from jostle.nn.scaling import Scaling


@dataclass(frozen=True)
class DQNConfig(InputSettings, BonusSettings):
    """Settings of DQN and its family. Steps are environment steps, summed over all environments."""

    # The network
    encoder: EncoderKind | nn.Module | Callable[[Space[Any]], nn.Module] = "auto"
    """Encoder of the observations; auto chooses by the observation space. In Python also a module of your own, or a
    function from the space to one."""
    obs_scaling: Scaling = "bounds"
    """bounds: integers and pictures are brought to [0, 1] by the bounds of their space; bytes: uint8 is divided by 255,
    and nothing else is changed (as in runs of former versions)."""
    privileged: Literal["none", "both"] = "none"
    """Who sees what the environment tells under the key "privileged", such as the draws of its domain: nobody, or both
    the acting and the learning."""
    hidden: tuple[int, ...] | None = None
    """Widths of the fully connected layers; None: 512 behind convolutions, 128 128 otherwise."""
    dueling: bool = False
    """Separate streams for value and advantage; the last hidden layer stands in both."""

    # Noise in the weights
    noisy: Literal["none", "factorised", "independent"] = "none"
    """NoisyNet: noise on every fully connected layer."""
    sigma0: float | None = None
    """Initial size of the noise; None: the paper's 0.5 (factorised) or 0.017 (independent)."""
    bias_sigma: Literal["fan_in", "fan_out"] = "fan_in"
    """Initial sigma of the biases: sigma0/sqrt(fan_in) as in the paper, or the widespread fan_out."""
    noise_resample: Literal["action", "update", "episode"] = "action"
    """When the acting noise is redrawn. Learning noise is redrawn at every update in any case."""
    noise_per_env: bool = True
    """Each environment acts under its own draw; otherwise all share one."""
    target_noise: bool = True
    """The target network is noisy too, with its own draw."""

    # Exploration
    epsilon_start: float | None = None
    """First probability of a random action; None: 1, or 0 with NoisyNet."""
    epsilon_end: float | None = None
    """Last probability of a random action; None: 0.05, or 0 with NoisyNet."""
    epsilon_steps: int = 10_000
    """Steps over which epsilon falls linearly from its first to its last value."""
    warmup: int = 1_000
    """Steps collected before the first update."""
    warmup_random: bool = True
    """Act uniformly at random during the warm-up; otherwise as afterwards."""

    # Learning
    gamma: float = 0.99
    """Discount factor."""
    n_step: int = 1
    """Rewards summed before the bootstrapped value."""
    double: bool = True
    """Double Q-learning: the online network selects the action that the target network values."""
    loss: Literal["huber", "squared"] = "huber"
    """Loss of the temporal-difference error."""
    batch_size: int = 32
    """Transitions per update."""
    replay_ratio: float = 8.0
    """Transitions learned per environment step, kept constant: updates per step are replay_ratio / batch_size."""
    replay_size: int = 100_000
    """Transitions kept in the replay."""
    target_interval: int = 500
    """Steps between hard copies into the target network; unused with target_tau."""
    target_tau: float = 0.0
    """Soft target: after every update the target moves by this share towards the online network; 0: hard copies."""

    # The optimiser
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimiser; rmsprop is Mnih et al.'s (2015): centred, smoothing 0.95."""
    learning_rate: float | Callable[[float], float] = 5e-4
    """Learning rate. In Python also a function of the share of the training that is left, from 1 to 0."""
    lr_schedule: RateSchedule = "constant"
    """linear: the learning rate falls to 0 over the training; cosine: along half a cosine."""
    optimizer_eps: float = 1e-8
    """Epsilon in the optimiser's denominator."""
    max_grad_norm: float = 10.0
    """Gradients are scaled down to this norm; 0: never."""

    # Speed
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    threads: int = 0
    """Threads of torch while training on a CPU; 0: one for vectors, all for pictures."""
    bfloat16: bool = False
    """Forward passes in bfloat16 (autocast); weights and losses stay float32."""
    compile: bool = False
    """Compile the networks with torch.compile; needs a C++ compiler on a CPU."""

    def check(self) -> None:
        super().check()
        self.need("hidden", self.hidden is None or all(h >= 1 for h in self.hidden), "positive widths")
        self.need("hidden", not (self.dueling and self.hidden == ()), "at least one layer with dueling")
        self.within_0_and_1("epsilon_start", "epsilon_end", "gamma", "target_tau")
        self.at_least(1, "n_step", "batch_size", "replay_size", "target_interval")
        self.at_least(0, "epsilon_steps", "warmup", "threads", "sigma0", "max_grad_norm")
        self.positive("replay_ratio", "learning_rate", "optimizer_eps")
        check_rate(self.learning_rate, self.lr_schedule)
        for name, own in self.streams.items():
            if own.gae_lambda is not None:
                raise ConfigError(
                    f"streams.{name}.gae_lambda has no effect on DQN, whose returns have no λ: leave it out."
                )
            if name == EXTRINSIC and own.reward_norm is not None:
                raise ConfigError("streams.ext.reward_norm has no effect on DQN, which takes rewards as they are.")

    def idle(self) -> Iterator[tuple[str, str]]:
        yield from super().idle()
        yield from noise_idle(self, "noise_per_env", "noise_resample", "target_noise", "sigma_decay")
        if self.target_tau > 0:
            yield "target_interval", "with target_tau, which moves the target after every update"
        start, end = self._epsilons
        if start == end:
            yield "epsilon_steps", f"where epsilon is {start:g} from the first step to the last"
        if self.warmup == 0:
            yield "warmup_random", "without warmup"

    def rate(self, left: float) -> float:
        """The learning rate with a share ``left`` of the training still to come."""
        return rate_at(self.learning_rate, self.lr_schedule, left)

    @property
    def _epsilons(self) -> tuple[float, float]:
        """The first and the last probability of a random action."""
        start = self.epsilon_start if self.epsilon_start is not None else (1.0 if self.noisy == "none" else 0.0)
        end = self.epsilon_end if self.epsilon_end is not None else (0.05 if self.noisy == "none" else 0.0)
        return start, end

    def epsilon(self, step: int) -> float:
        """Probability of a random action after ``step`` environment steps."""
        start, end = self._epsilons
        done = min(1.0, step / self.epsilon_steps) if self.epsilon_steps else 1.0
        return start + (end - start) * done
