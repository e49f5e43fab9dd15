"""Settings of intrinsic rewards, the same for every algorithm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jostle.algo.parts.stream_settings import NONE, StreamTable
from jostle.algo.settings import Settings

BonusName = Literal["rnd", "icm", "e3b"]
INTRINSIC = (
    "coef_int", "gamma_int", "episodic_int", "bonus_ending", "bonus_obs_norm", "bonus_obs_clip", "bonus_reward_norm",
    "bonus_share", "bonus_learning_rate", "value_heads", "value_weights", "bonus_grad_norm",
)  # fmt: skip
"""Settings that concern intrinsic streams alone, but for sizes, which may stand ready."""


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
    """What an episode's last transition is rewarded for: its final observation, or, as in the official code of RND, the
    first one of the next episode."""
    bonus_obs_norm: bool = True
    """Bonuses see observations normalised by running statistics, clipped."""
    bonus_obs_clip: float = 5.0
    """Bound of the normalised observations."""
    bonus_reward_norm: Literal["return_std", "reward_std", "none"] | None = None
    """Divide a bonus by the running deviation of its discounted returns, of itself, or not at all; None: its own
    default (return_std of RND and ICM, reward_std of E3B)."""

    # What bonuses learn
    bonus_share: float | None = None
    """Share of the transitions that a bonus's networks learn from; None: its own default (min(1, 32 / environments) of
    RND, 1 of the others)."""
    bonus_features: int | None = None
    """Width of a bonus's features; None: its own default."""
    bonus_learning_rate: float | None = None
    """Learning rate of a bonus's networks, which then have an optimiser of their own; None: the agent's learning rate,
    and, with PPO, the policy's optimiser."""

    def idle(self) -> Iterator[tuple[str, str]]:
        yield from super().idle()
        if not self.bonus:
            for name in INTRINSIC:
                if hasattr(self, name):  # heads of values are PPO's
                    yield name, "without a bonus"
            if self.value_norm == "none":
                yield "value_norm", "without a bonus"

    def check(self) -> None:
        self.need("bonus", len(set(self.bonus)) == len(self.bonus), "without repetition")
        self.within_0_and_1("gamma_int", "bonus_share")
        self.at_least(0, "bonus_warmup", "coef_ext", "coef_int")
        self.at_least(1, "bonus_features")
        self.positive("bonus_obs_clip", "bonus_learning_rate")
        self.need("bonus_share", self.bonus_share is None or self.bonus_share > 0, "greater than 0")
