"""What is learned from the clean and the changed view of a picture: feature matching, agreement, clean targets."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.algo.parts.auxiliary import INPUT, Minibatch, rows_of
from jostle.algo.parts.input.settings import InputSettings
from jostle.nn.distributions import Head, kl_divergence
from jostle.nn.encoders import Observation
from jostle.nn.input_layer import InputLayer
from jostle.nn.noise import Mode

Features = Callable[[Observation, Int[Tensor, "B 2"], Mode], tuple[Tensor, Tensor]]
"""(observations, draws, mode) → (the encoder's features, those behind the last fully connected layer)."""


class FeatureMatching(nn.Module):
    """``β · mean_b |h(clean) − h(changed)|²``: Network Randomization's second loss (Lee et al. 2020).

    Both branches share the draw of NoisyNet, or the loss would penalise that noise. The official code averages over the
    features too (`feature_reduce`), lets gradients through the changed branch alone (`feature_stop`), and matches on
    clean iterations as well (`feature_on_clean`).

    Args:
        config: the settings, of which ``feature_*`` are read.
        network: the policy, with an input layer.
        features: computes its features.
    """

    def __init__(self, config: InputSettings, network: nn.Module, features: Features) -> None:
        super().__init__()
        self.config, self._features = config, features
        self._layers = [m for m in network.modules() if isinstance(m, InputLayer)]
        self._network = [network]  # in a list: it is no part of this module
        self._average: dict[str, Tensor] = {}
        if config.feature_teacher > 0:
            for name, parameter in network.named_parameters():
                key = name.replace(".", "/")
                self.register_buffer(key, parameter.detach().clone())
                self._average[name] = self.get_buffer(key)

    def forward(self, policy: nn.Module, batch: Minibatch, out: Any) -> dict[str, Tensor]:
        """The named term."""
        c = self.config
        changed = self._pick(out.encoded, out.hidden).float()
        on_clean = self._clean_rows(batch.draw[:, INPUT])
        if on_clean.any() and c.feature_on_clean:
            rows = on_clean.nonzero()[:, 0]
            # What the draw would have done: modes heed clean flags, and this one does not.
            redone = self._pick(*self._features(rows_of(batch.obs, rows), batch.draw[rows], "randomised")).float()
            changed = changed.index_copy(0, rows, redone)
        with torch.set_grad_enabled(c.feature_stop != "clean"):
            clean = self._clean_features(batch, out)
        if c.feature_stop == "changed":
            changed = changed.detach()
        squares = (changed - clean).square()
        return {"feature_matching": c.feature_matching * batch.mean(_reduce(squares, c.feature_reduce))}

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher towards the policy."""
        if self._average:
            (network,) = self._network
            present = dict(network.named_parameters())
            torch._foreach_lerp_(
                list(self._average.values()), [present[n] for n in self._average], 1 - self.config.feature_teacher
            )

    def _clean_features(self, batch: Minibatch, out: Any) -> Float[Tensor, "B F"]:
        if not self._average:
            if torch.equal(batch.draw, batch.clean):  # the policy's own pass was clean
                own = self._pick(out.encoded, out.hidden).float()
                return own.detach() if self.config.feature_stop == "clean" else own
            return self._pick(*self._features(batch.obs, batch.clean, "sampled")).float()
        (network,) = self._network
        present = {name: p.data for name, p in network.named_parameters()}
        try:  # the teacher's weights, under the policy's own draw of noise
            for name, p in network.named_parameters():
                p.data = self._average[name]
            return self._pick(*self._features(batch.obs, batch.clean, "sampled")).float()
        finally:
            for name, p in network.named_parameters():
                p.data = present[name]

    def _clean_rows(self, slots: Int[Tensor, "B"]) -> Bool[Tensor, "B"]:
        flags = [layer.bypasses(layer.clean)[slots.clamp(min=0)] for layer in self._layers]
        return torch.stack(flags).any(0) | (slots < 0)  # with two cameras one may be clean and the other not

    def _pick(self, encoded: Tensor, hidden: Tensor) -> Tensor:
        return encoded if self.config.feature_layer == "encoder" else hidden


def _reduce(squares: Float[Tensor, "B F"], how: Literal["mean", "sum"]) -> Float[Tensor, "B"]:
    return squares.mean(1) if how == "mean" else squares.sum(1)


class Slots(Protocol):
    """Draws that change the rows of a minibatch."""

    def draw(self) -> None:
        """Draw anew, before a minibatch."""

    def slots(self, rows: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """The slots of the next rows."""
        ...


class Agreement:
    """``c · (KL(π(clean) ‖ π(changed)) + ½ (V(clean) − V(changed))²)`` with the clean side fixed: DrAC.

    Raileanu et al. 2021, Automatic Data Augmentation for Generalization in Reinforcement Learning. The official code
    estimates the divergence's gradient by the log-probability of one action that it samples.

    Args:
        head: of the policy.
        weight: c.
        slots: of the draws that change the rows.
    """

    def __init__(self, head: Head, weight: float, slots: Slots) -> None:
        self.head, self.weight, self.slots = head, weight, slots

    def __call__(self, policy: nn.Module, batch: Minibatch, out: Any) -> dict[str, Tensor]:
        changed = batch.again(batch.under(self.slots.slots(batch.rows)))
        old, new = self.head.distribution(out.pi.detach()), self.head.distribution(changed.pi)
        values = 0.5 * (changed.value - out.value.detach()).square().sum(1)
        return {
            "agreement_policy": self.weight * batch.mean(kl_divergence(old, new)),
            "agreement_value": self.weight * batch.mean(values),
        }

    def before_minibatch(self) -> None:
        """Draw anew."""
        self.slots.draw()


class CleanTargets:
    """``c · L(changed)``: the algorithm's own loss on changed pictures, with the targets of clean ones, as in SVEA.

    Hansen et al. 2021, Stabilizing Deep Q-Learning with ConvNets and Vision Transformers under Data Augmentation: there
    clean and changed share a weight of ½; here of 1, which Adam does not see.
    """

    def __init__(self, weight: float, slots: Slots) -> None:
        self.weight, self.slots = weight, slots

    def __call__(self, policy: nn.Module, batch: Minibatch, out: Any) -> dict[str, Tensor]:
        changed = batch.again(batch.under(self.slots.slots(batch.rows)))
        return {"clean_targets": self.weight * batch.loss(changed)}

    def before_minibatch(self) -> None:
        """Draw anew."""
        self.slots.draw()
