"""Settings of PPO. Every one is a switch; any combination trains."""

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
from jostle.nn.distributions import ActionScaling
from jostle.nn.encoders import EncoderKind
from jostle.nn.history import HistoryKind
from jostle.nn.own import is_own
from jostle.nn.privileged import SeenBy
from jostle.nn.scaling import Scaling


@dataclass(frozen=True)
class PPOConfig(InputSettings, BonusSettings):
    """Settings of PPO. Steps are environment steps, summed over all environments."""

    # The network
    encoder: EncoderKind | nn.Module | Callable[[Space[Any]], nn.Module] = "auto"
    """Encoder of the observations; auto chooses by the observation space. In Python also a module of your own, or a
    function from the space to one."""
    hidden: tuple[int, ...] | None = None
    """Widths of the fully connected layers; None: 512 behind convolutions, 64 64 otherwise."""
    activation: Literal["auto", "tanh", "relu"] = "auto"
    """Activation of the fully connected layers; auto: relu behind convolutions, tanh otherwise."""
    shared: bool | None = None
    """Policy and values share their fully connected layers; None: behind convolutions and recurrence only."""
    heads: Literal["plain", "residual"] = "plain"
    """residual: the branches before the heads of RND's official network."""
    recurrent: Literal["none", "gru", "lstm"] = "none"
    """A recurrent layer behind the fully connected ones."""
    recurrent_size: int = 256
    """Width of the recurrent layer."""
    sequence_length: int = 0
    """Steps of backpropagation through time, from stored states; 0: the whole rollout."""

    # Observations and actions
    obs_scaling: Scaling = "bounds"
    """bounds: integers and pictures are brought to [0, 1] by the bounds of their space; bytes: uint8 is divided by 255,
    and nothing else is changed (as in runs of former versions)."""
    normalise_obs: bool | None = None
    """The network normalises vectors by running statistics (clipped at ±10), frozen in evaluation; None: with a bonus,
    where observations are vectors of numbers: what is new lies outside of where they have been."""
    action_scaling: ActionScaling = "bounds"
    """bounds: continuous actions from −1 to 1 fill the bounds of their space; none: they are clipped to them (as in
    runs of former versions)."""
    log_std_init: float = 0.0
    """log σ that continuous actions begin with."""

    privileged: SeenBy = "critic"
    """Who sees what the environment tells under the key "privileged", such as the draws of its domain: the values alone
    (where they share no layers with the policy), both, or none."""
    history_encoder: HistoryKind = "conv"
    """What compresses the last observations and actions that the environment tells (domain_history): convolutions over
    time, or an mlp."""
    history_features: int = 8
    """Numbers that it compresses them to, which policy and values see."""
    draw_recovery: float = 0.0
    """Weight of the loss by which these numbers tell the episode's draw, as in rapid motor adaptation; 0: none. Needs
    domain_history and domain_privileged."""

    # Noise in the weights
    noisy: Literal["none", "factorised", "independent"] = "none"
    """NoisyNet: noise on the fully connected layers, redrawn for every rollout."""
    sigma0: float | None = None
    """Initial size of the noise; None: the paper's 0.5 (factorised) or 0.017 (independent)."""
    bias_sigma: Literal["fan_in", "fan_out"] = "fan_in"
    """Initial sigma of the biases: sigma0/sqrt(fan_in) as in the paper, or the widespread fan_out."""
    noise_per_env: bool = True
    """Each environment acts under its own draw; otherwise all share one."""

    # Rollouts and returns
    num_steps: int = 128
    """Steps of every environment per rollout."""
    gamma: float = 0.99
    """Discount of the extrinsic stream."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation; 1: plain discounted returns."""
    time_limit: Literal["bootstrap", "terminal"] = "bootstrap"
    """What the end of an episode's time is to episodic streams: a cut behind which there is value, or an end."""
    value_heads: Literal["dual", "single"] = "dual"
    """A value head for every reward stream, or one for the weighted sum of the rewards (discounted by gamma)."""
    reward_norm: Literal["none", "return_std"] = "none"
    """Divide the extrinsic reward by the running deviation of its discounted returns."""
    reward_clip: float = 0.0
    """Bound of the extrinsic reward, after normalisation; 0: none."""

    # Learning
    epochs: int = 4
    """Passes over a rollout."""
    minibatches: int = 4
    """Minibatches per pass."""
    minibatch_by: Literal["rows", "envs", "slices"] | None = None
    """What a minibatch is made of: random transitions, whole rollouts of random environments, or of neighbouring ones
    in fixed order (as in RND's official code). Recurrent policies need envs or slices. None: rows, or envs with
    recurrence."""
    microbatch: int = 0
    """Rows that go through the network at once, their gradients accumulated; 0: 256 pictures on a CPU, or all."""

    # The objective
    clip: float = 0.2
    """Clip range of the probability ratio; 0: not clipped."""
    value_clip: float = 0.0
    """Clip range of the values' change; 0: not clipped."""
    clip_schedule: Literal["constant", "linear"] = "constant"
    """linear: both clip ranges fall to 0 over the training."""
    value_coef: float = 0.5
    """Weight of the values' loss ½(V − R)², of the stream that weighs most; the others' by value_weights."""
    entropy_coef: float | None = None
    """Weight of the entropy bonus; None: 0.01, or 0 with NoisyNet."""
    entropy_schedule: Literal["constant", "linear"] = "constant"
    """linear: the weight of the entropy falls to 0 over the training."""
    normalise_advantage: bool = True
    """Advantages of a minibatch are brought to mean 0 and deviation 1."""
    kl_penalty: Literal["none", "adaptive"] = "none"
    """adaptive: a penalty on the divergence from the old policy whose weight follows kl_target (Schulman et al. 2017,
    section 4, with TF-Agents' numbers)."""
    kl_beta: float = 1.0
    """First weight of the penalty."""
    kl_target: float = 0.01
    """Divergence that the penalty's weight aims at."""
    target_kl: float = 0.0
    """Stop learning from a rollout once the divergence passes 1.5 times this; 0: never."""

    # The optimiser
    learning_rate: float | Callable[[float], float] = 3e-4
    """Learning rate. In Python also a function of the share of the training that is left, from 1 to 0."""
    lr_schedule: RateSchedule = "constant"
    """linear: the learning rate falls to 0 over the training; cosine: along half a cosine."""
    optimizer_eps: float = 1e-5
    """Epsilon in Adam's denominator."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm; 0: never."""
    bonus_grad_norm: Literal["own", "joint"] = "own"
    """own: the gradients of each bonus are scaled down apart from the policy's; joint: those of an optimiser by one
    norm."""

    # Speed
    device: str = "auto"
    """cpu, cuda, cuda:1 …; auto: cuda where there is one."""
    threads: int = 0
    """Threads of torch while training on a CPU; 0: one for vectors, all for pictures."""
    recompute: bool | None = None
    """Values and probabilities are computed after a rollout, in one batch, by the learner's own kernels; None: for
    vectors, where that is quicker, and with bfloat16, where the kernels of acting would round differently."""
    bfloat16: bool = False
    """Forward passes in bfloat16 (autocast); weights and losses stay float32."""
    compile: bool = False
    """Compile the network with torch.compile; needs a C++ compiler on a CPU."""

    def check(self) -> None:
        super().check()
        self.need("hidden", self.hidden is None or all(h >= 1 for h in self.hidden), "positive widths")
        self.within_0_and_1("gamma", "gae_lambda")
        self.need("input_target", self.input_target == "clean", "clean: only DQN has targets from next pictures")
        self.at_least(1, "num_steps", "epochs", "minibatches", "recurrent_size", "history_features")
        self.at_least(
            0, "threads", "sigma0", "max_grad_norm", "sequence_length", "reward_clip", "microbatch", "clip",
            "value_clip", "value_coef", "entropy_coef", "target_kl", "kl_beta", "draw_recovery",
        )  # fmt: skip
        self.positive("learning_rate", "optimizer_eps", "kl_target")
        self.need("log_std_init", -10 <= self.log_std_init <= 2, "from -10 to 2")
        check_rate(self.learning_rate, self.lr_schedule)
        self._check_streams()
        normalises = self.normalise_obs and is_own(self.encoder)
        self.need("normalise_obs", not normalises, "false with an encoder of your own, which sees raw observations")
        by = ("envs", "slices", None)
        self.need("minibatch_by", self.recurrent == "none" or self.minibatch_by in by, "envs or slices with recurrence")
        length = self.sequence_length
        self.need("sequence_length", length == 0 or self.num_steps % length == 0, f"a divisor of {self.num_steps}")
        self.need("recompute", not (self.recompute and self.recurrent != "none"), "false with recurrence")

    def _check_streams(self) -> None:
        for name, own in self.streams.items():
            alone = {"gamma": own.gamma, "gae_lambda": own.gae_lambda, "episodic": own.episodic}
            for field, value in {**alone, "value_coef": own.value_coef}.items():
                if value is not None and self.value_heads == "single":
                    raise ConfigError(
                        f"streams.{name}.{field}={value!r} has no effect with value_heads='single', where all rewards "
                        "are one stream: leave it out, or use dual heads."
                    )
            if name == EXTRINSIC and own.reward_norm == "reward_std":
                raise ConfigError("streams.ext.reward_norm='reward_std' is for bonuses: use return_std or none.")

    def idle(self) -> Iterator[tuple[str, str]]:
        yield from super().idle()
        yield from noise_idle(self, "noise_per_env", "sigma_decay")
        if self.batched_by == "rows":
            yield "sequence_length", "with minibatches of rows, which have no sequences"
        if self.kl_penalty == "none":
            yield "kl_beta", "without kl_penalty"
            yield "kl_target", "without kl_penalty"
        if self.clip == 0 and self.value_clip == 0:
            yield "clip_schedule", "without clip and value_clip"
        if self.entropy_weight == 0:
            yield "entropy_schedule", "without entropy_coef"

    def decided_by_agent(self) -> tuple[str, ...]:
        return ("minibatch_by", "normalise_obs")

    @property
    def batched_by(self) -> Literal["rows", "envs", "slices"]:
        """What a minibatch is made of."""
        return self.minibatch_by or ("rows" if self.recurrent == "none" else "envs")

    def rate(self, left: float) -> float:
        """The learning rate with a share ``left`` of the training still to come."""
        return rate_at(self.learning_rate, self.lr_schedule, left)

    @property
    def entropy_weight(self) -> float:
        """Weight of the entropy at the start."""
        if self.entropy_coef is not None:
            return self.entropy_coef
        return 0.01 if self.noisy == "none" else 0.0
