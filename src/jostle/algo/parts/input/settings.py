"""Settings of randomness in the input, the same for every algorithm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from jostle.algo.settings import Settings


@dataclass(frozen=True)
class InputSettings(Settings):
    """What stands between pictures and the first convolution, who sees through it, and what both views teach."""

    # Randomness in the input
    input_noise: Literal["none", "random-conv", "cutout", "grey", "inversion", "jitter", "shift"] = "none"
    """What changes pictures before the encoder: Network Randomization's random convolution, or one of its baselines."""
    input_use: Literal["act", "drac", "svea"] = "act"
    """act: the agent acts on changed pictures and learns from the same ones, as in Network Randomization. drac: it acts
    on clean pictures, and policy and values are pulled to be the same on changed ones (Raileanu et al. 2021). svea: it
    acts on clean pictures and learns from clean and changed ones alike, with clean targets (Hansen et al. 2021)."""
    input_per: Literal["iteration", "env", "episode", "sample"] = "iteration"
    """Who shares a draw: all rows of an iteration, an environment during it, an episode, or nobody. Where the agent
    acts on clean pictures an iteration is a minibatch."""
    input_clean: float = 0.1
    """Probability that a draw leaves pictures clean, α (the official code's REAL_THRES is 1 − α)."""

    # The random convolution
    input_kernel: int = 3
    """Side of the random convolution's kernel, odd."""
    input_depth: int = 1
    """Number of random convolutions, one behind the other."""
    input_init: Literal["xavier", "xavier-truncated"] = "xavier"
    """Distribution of the random weights; truncated as TensorFlow's initialiser, which the official code uses."""
    input_mixing: Literal["bypass", "identity"] = "bypass"
    """What a clean draw is: the layer left out, as in the official code, or an identity kernel, as in the paper."""
    input_output: Literal["none", "clip", "sigmoid", "moments"] = "none"
    """What is done to the random convolution's output."""

    # Randomness in the input
    input_keep: tuple[int, ...] | None = None
    """A region that stays clean: top, left, height, width in pixels (0 0 12 24 for CoinRun's painted velocity)."""
    input_frames: int | None = None
    """Frames in the channels of a picture; None: as the environment stacks them."""
    input_coef: float | None = None
    """Weight of drac's or svea's loss; None: 0.1 (drac) or 1 (svea)."""
    input_target: Literal["clean", "same"] = "clean"
    """DQN bootstraps from clean next pictures, or from ones changed by the same draw."""

    # Feature matching
    feature_matching: float = 0.0
    """Weight β of feature matching: features of changed pictures are pulled to those of clean ones; 0: none."""
    feature_layer: Literal["hidden", "encoder"] = "hidden"
    """Features that are matched: behind the last fully connected layer, or the encoder's."""
    feature_reduce: Literal["mean", "sum"] = "mean"
    """Squared differences of a row are averaged over the features, as in the official code, or summed up."""
    feature_stop: Literal["clean", "changed", "none"] = "clean"
    """Which side gets no gradient."""
    feature_on_clean: bool = True
    """Rows whose draw is clean are matched too, with what the draw would have done, as in the official code."""
    feature_teacher: float = 0.0
    """Clean features come from a moving average of the weights that keeps this share at each update; 0: the weights."""

    # Regularisers
    dropout: float = 0.0
    """Probability that a feature of the encoder is left out; masks are draws of the input, replayed by the learner."""
    batch_norm: bool = False
    """Batch normalisation behind every convolution. Acting and learning then see different batches."""
    weight_decay: float = 0.0
    """L2 regularisation: this times a weight is added to its gradient."""
    sigma_decay: float = 0.0
    """The same for the size of NoisyNet's noise, which weight_decay leaves alone: it would end exploration."""

    def check(self) -> None:
        super().check()
        self.within_0_and_1("input_clean", "feature_teacher", "dropout")
        self.at_least(0, "input_coef", "feature_matching", "weight_decay", "sigma_decay")
        self.at_least(1, "input_kernel", "input_depth", "input_frames")
        self.need("input_kernel", self.input_kernel % 2 == 1, "odd")
        self.need("dropout", self.dropout < 1, "less than 1")
        self.need("feature_teacher", self.feature_teacher < 1, "less than 1")
        keep = self.input_keep
        self.need("input_keep", keep is None or len(keep) == 4, "top, left, height and width")
        randomised = self.input_noise != "none"
        self.need("feature_matching", self.feature_matching == 0 or randomised, "0 without input_noise")
        self.need("feature_matching", self.feature_matching == 0 or self.input_use == "act", "0 unless input_use=act")
        self.need("input_use", self.input_use == "act" or randomised, "act without input_noise")
        weighted = self.input_coef is None or self.input_use != "act"
        self.need("input_coef", weighted, "None unless input_use is drac or svea")
        acts = self.input_use == "act" or self.input_noise != "grey"
        self.need("input_use", acts, "act with grey, which is no noise: what the agent learns from it must act so too")
        clean = self.input_use != "svea" or self.input_target == "clean"
        self.need("input_target", clean, "clean with svea, whose targets are those of clean pictures")
        one_view = self.feature_matching == 0 and self.input_use == "act"
        why = "with feature_matching, drac and svea, whose second view would have"
        self.need("dropout", self.dropout == 0 or one_view, f"0 {why} other masks")
        self.need("batch_norm", not self.batch_norm or one_view, f"false {why} its own share in the statistics")
        teacher = self.feature_teacher == 0 or self.feature_stop == "clean"
        self.need("feature_stop", teacher, "clean with a teacher, which gets no gradient")

    def idle(self) -> Iterator[tuple[str, str]]:
        yield from super().idle()
        if self.input_noise == "none":
            if self.dropout == 0:
                yield "input_per", "without input_noise or dropout"
            for name in ("input_clean", "input_keep", "input_frames", "input_target"):
                yield name, "without input_noise"
        if self.input_noise != "random-conv":
            for name in ("input_kernel", "input_depth", "input_init", "input_mixing", "input_output"):
                yield name, "without input_noise=random-conv"
        if self.feature_matching == 0:
            for name in ("layer", "reduce", "stop", "on_clean", "teacher"):
                yield f"feature_{name}", "without feature_matching"

    def doubts(self) -> Iterator[str]:
        yield from super().doubts()
        if self.feature_matching > 0 and self.feature_reduce == "sum":
            yield (
                "feature_reduce='sum' makes feature matching as many times as strong as there are features, which "
                "destroyed learning in two of three seeds (docs/network-randomization.md): use feature_reduce='mean', "
                "or the preset network-randomization-mean."
            )

    @property
    def input_options(self) -> dict[str, Any]:
        """Options of the input layer."""
        options: dict[str, Any] = {"clean": self.input_clean, "keep": self.input_keep}
        if self.input_noise == "random-conv":
            options |= {"kernel_size": self.input_kernel, "depth": self.input_depth, "init": self.input_init}
            options |= {"mixing": self.input_mixing, "output": self.input_output}
        return options

    @property
    def input_weight(self) -> float:
        """Weight of drac's or svea's loss."""
        if self.input_coef is not None:
            return self.input_coef
        return 0.1 if self.input_use == "drac" else 1.0
