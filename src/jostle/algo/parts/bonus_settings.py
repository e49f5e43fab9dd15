"""Settings of intrinsic rewards, the same for every algorithm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jostle.algo.parts.stream_settings import NONE, StreamTable
from jostle.algo.settings import Settings

BonusName = Literal["rnd", "icm", "e3b"]
INTRINSIC = (
    "coef_int", "gamma_int", "episodic_int", "bonus_ending", "bonus_obs_norm", "bonus_obs_clip", "bonus_reward_norm",
    "bonus_codes", "bonus_scale_horizon", "bonus_share", "bonus_learning_rate", "value_heads", "value_weights",
    "bonus_grad_norm",
)  # fmt: skip
"""Settings that concern intrinsic streams alone, but for sizes, which may stand ready."""
_OF_RND = ("bonus_ending", "bonus_target", "bonus_slope", "bonus_depth", "bonus_convolutions")


@dataclass(frozen=True)
class BonusSettings(Settings):
    """Which bonuses there are, and the reward streams that they make."""

    # Intrinsic rewards
    bonus: tuple[BonusName, ...] = ()
    """Intrinsic rewards, each a reward stream of its own: rnd, icm, e3b."""
    coef_ext: float = 1.0
    """Weight of the extrinsic stream; 0: intrinsic rewards only."""
    coef_int: float = 0.5
    """Weight of each intrinsic stream; 1 to 2 is RND's proportion (Burda et al. 2018, Table 5)."""
    gamma_int: float = 0.99
    """Discount of the intrinsic streams."""
    episodic_int: bool = False
    """Intrinsic returns end with the episode; otherwise they go on in the next one."""
    streams: StreamTable = NONE
    """What single streams have of their own, by name (ext, rnd, icm, e3b): coef, gamma, gae_lambda, episodic,
    reward_norm, value_coef; on the command line --streams.e3b.coef 0.1."""
    value_weights: Literal["coefficient", "equal"] = "coefficient"
    """Weights of the streams' values in the loss: by their coefficients, that of the largest being 1, or 1 for all."""
    value_norm: Literal["none", "intrinsic", "all"] = "intrinsic"
    """Streams whose values are learned in units of their targets' running deviation, where that is above 1."""

    # What bonuses see and pay
    bonus_warmup: int = 50
    """Random steps of every environment, in environments of their own, that initialise a bonus's observation
    statistics."""
    bonus_ending: Literal["final", "reset"] = "final"
    """What RND rewards an episode's last transition for: its final observation, or, as in its official code, the first
    one of the next episode. Other bonuses always see the final one."""
    bonus_obs_norm: bool = True
    """Bonuses see observations normalised by running statistics, clipped."""
    bonus_obs_clip: float = 5.0
    """Bound of the normalised observations."""
    bonus_codes: bool | None = None
    """To bonuses, small bytes [H, W, 3] (sides from 4 to 15) are MiniGrid's codes of objects and not colours; None: in
    environments that are called MiniGrid or BabyAI, or whose observations have the keys image and direction."""
    bonus_reward_norm: Literal["return_std", "reward_std", "none"] | None = None
    """Divide a bonus by the running deviation of its discounted returns, of itself, or not at all; None: its own
    default (return_std of RND and ICM, reward_std of E3B)."""
    bonus_scale_horizon: float | None = None
    """Transitions after which what that deviation has counted weighs 1/e of what it counts now, which brings a bonus
    that has fallen back to its size; None: all of the past weighs the same, as in the paper."""

    # What bonuses learn
    bonus_share: float | None = None
    """Share of the transitions that a bonus's networks learn from; None: its own default (min(1, 32 / environments) of
    RND, 1 of the others)."""
    bonus_features: int | None = None
    """Width of a bonus's features; None: its own default (512 of RND, or 64 with the rate that it has for vectors; 256
    of ICM, 128 of E3B)."""
    bonus_learning_rate: float | Literal["joint"] | None = None
    """Learning rate of a bonus's networks, which then have an optimiser of their own; joint: the agent's learning rate,
    and, with PPO, the policy's optimiser; None: 1e-5 of RND where observations are vectors of numbers, else joint."""

    # RND alone
    bonus_target: Literal["next_obs", "obs"] = "next_obs"
    """What RND rewards and learns: where a transition leads to (the paper), or where it starts."""
    bonus_slope: float = 0.2
    """Slope of the LeakyReLUs in RND's networks: TensorFlow's, hence the official code's; PyTorch's is 0.01."""
    bonus_depth: int = 2
    """Fully connected layers that RND's predictor has more than its target."""
    bonus_convolutions: Literal["auto", "nature", "small", "none"] = "auto"
    """Convolutions of RND's networks, for pictures: those of 84×84, those for small ones, or none; auto: by the
    size."""

    def idle(self) -> Iterator[tuple[str, str]]:
        yield from super().idle()
        if not self.bonus:
            for name in INTRINSIC:
                if hasattr(self, name):  # heads of values are PPO's
                    yield name, "without a bonus"
            if self.value_norm == "none":
                yield "value_norm", "without a bonus"
        if self.bonus_reward_norm == "none":
            yield "bonus_scale_horizon", "with bonus_reward_norm='none', which divides by nothing"
        if "rnd" not in self.bonus:
            for name in _OF_RND:
                yield name, "without the bonus rnd, which alone has it"

    def check(self) -> None:
        self.need("bonus", len(set(self.bonus)) == len(self.bonus), "without repetition")
        self.within_0_and_1("gamma_int", "bonus_share")
        self.at_least(0, "bonus_warmup", "coef_ext", "coef_int", "bonus_depth")
        self.at_least(1, "bonus_features")
        self.positive("bonus_obs_clip", "bonus_scale_horizon")
        rate = self.bonus_learning_rate
        self.need("bonus_learning_rate", rate is None or rate == "joint" or rate > 0, "greater than 0, or joint")
        self.need("bonus_slope", 0 <= self.bonus_slope < 1, "at least 0 and below 1")
        self.need("bonus_share", self.bonus_share is None or self.bonus_share > 0, "greater than 0")
