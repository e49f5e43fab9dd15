"""Settings of the algorithms. Every one is a switch; any combination trains."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jostle.errors import ConfigError, closest
from jostle.nn.encoders import EncoderKind


@dataclass(frozen=True)
class DQNConfig:
    """Settings of DQN and its family. Steps are environment steps, summed over all environments."""

    # The network
    encoder: EncoderKind = "auto"
    """Encoder of the observations; auto chooses by the observation space."""
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
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Optimiser; rmsprop is Mnih et al.'s (2015): centred, smoothing 0.95."""
    learning_rate: float = 5e-4
    """Learning rate."""
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

    def __post_init__(self) -> None:
        def need(name: str, good: bool, what: str) -> None:
            if not good:
                raise ConfigError(f"{name}={getattr(self, name)!r} cannot be used: it must be {what}.")

        for name, kind in typing.get_type_hints(type(self)).items():
            check_type(name, getattr(self, name), kind)
        need("hidden", self.hidden is None or all(h >= 1 for h in self.hidden), "positive widths")
        need("hidden", not (self.dueling and self.hidden == ()), "at least one layer with dueling")
        need("sigma0", self.sigma0 is None or self.sigma0 >= 0, "0 or more")
        for name in ("epsilon_start", "epsilon_end"):
            value = getattr(self, name)
            need(name, value is None or 0 <= value <= 1, "a probability within 0 and 1")
        need("gamma", 0 <= self.gamma <= 1, "within 0 and 1")
        need("target_tau", 0 <= self.target_tau <= 1, "within 0 and 1")
        for name in ("n_step", "batch_size", "replay_size", "target_interval"):
            need(name, getattr(self, name) >= 1, "at least 1")
        for name in ("epsilon_steps", "warmup", "threads"):
            need(name, getattr(self, name) >= 0, "0 or more")
        for name in ("replay_ratio", "learning_rate", "optimizer_eps"):
            need(name, getattr(self, name) > 0, "greater than 0")
        need("max_grad_norm", self.max_grad_norm >= 0, "0 or more")

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `merged` reads back."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def epsilon(self, step: int) -> float:
        """Probability of a random action after ``step`` environment steps."""
        start = self.epsilon_start if self.epsilon_start is not None else (1.0 if self.noisy == "none" else 0.0)
        end = self.epsilon_end if self.epsilon_end is not None else (0.05 if self.noisy == "none" else 0.0)
        done = min(1.0, step / self.epsilon_steps) if self.epsilon_steps else 1.0
        return start + (end - start) * done


def merged(config: DQNConfig | None, values: Mapping[str, Any]) -> DQNConfig:
    """The settings of ``config`` (None: the defaults) with some of them replaced.

    Raises:
        ConfigError: an unknown key (with the nearest known ones) or a value that cannot be used.
    """
    names = [field.name for field in dataclasses.fields(DQNConfig)]
    for key in values:
        if key not in names:
            raise ConfigError(f"there is no setting '{key}'; {closest(str(key), names)}")
    ready: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return dataclasses.replace(config or DQNConfig(), **ready)


def check_type(name: str, value: Any, kind: Any) -> None:
    """Refuse a value that is not of the annotated type of its setting; an int will do for a float.

    Raises:
        ConfigError: names the setting, the value and what may stand there.
    """
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        origin, arguments = typing.get_origin(option), typing.get_args(option)
        if origin is typing.Literal:
            if value in arguments and isinstance(value, str):
                return
            if isinstance(value, str):
                raise ConfigError(f"{name}='{value}' is unknown; {closest(value, arguments)}")
        elif origin is tuple:
            if isinstance(value, tuple) and all(type(v) is arguments[0] for v in value):
                return
        elif option is float:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return
        elif type(value) is option:
            return
    wanted = " or ".join(_describe(option) for option in options)
    raise ConfigError(f"{name}={value!r} cannot be used: it must be {wanted}.")


def _describe(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "a list of whole numbers"
    names = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", type(None): "null"}
    return names.get(kind, str(kind))
