"""What PPO learns from a rollout: epochs of minibatches, each in pieces whose gradients add up."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from jostle.algo.machine import clip_norm, load_optimizer
from jostle.algo.parts.auxiliary import INPUT, Auxiliary, Minibatch, notify
from jostle.algo.parts.decay import decay_groups
from jostle.algo.parts.streams import Streams
from jostle.algo.parts.value_scale import ValueScale
from jostle.algo.ppo.batches import Batch, batches
from jostle.algo.ppo.bonuses import transitions
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.ppo.direct import Direct
from jostle.algo.ppo.forward import Forward
from jostle.algo.ppo.loss import Coefficients, ppo_loss
from jostle.algo.ppo.rollout import MinibatchBy, Rollout, flat
from jostle.bonus import Bonus
from jostle.errors import ConfigError
from jostle.functional import (
    adapt_beta,
    kl_penalty,
    masked_mean,
)
from jostle.nn.distributions import kl_divergence

_PIECE = 256  # pictures that go through a network at once: more do not fit into the caches


@dataclass(frozen=True)
class Scored:
    """What is learned from a rollout: combined advantages, the values' targets, and what each bonus has prepared.

    ``following`` are the flat rows whose observations follow each transition for the bonuses; ``reward`` is what the
    streams were given.
    """

    advantage: Float[Tensor, "T N"]
    target: Float[Tensor, "T N K"]
    following: Int[Tensor, "T N"]
    prepared: list[Tensor | None]
    reward: Float[Tensor, "T N K"]


class Learner:
    """Owns the optimisers. ``sums`` holds what is logged, until somebody takes it.

    Args:
        config: the settings.
        forward: calls the policy.
        rollout: the storage.
        streams: of rewards, as many as there are value heads.
        value_scale: the units of their values in the loss; None: their own.
        bonuses, aux: what is trained beside the policy.
        pictures: the observations are pictures, which go through the network in smaller pieces.
        shuffler: draws minibatches, on the CPU.
        generator: draws the bonuses' shares, on the rollout's device.
    """

    def __init__(
        self,
        config: PPOConfig,
        forward: Forward,
        rollout: Rollout,
        streams: Streams,
        value_scale: ValueScale | None,
        bonuses: Sequence[Bonus],
        aux: Sequence[Auxiliary],
        *,
        pictures: bool,
        shuffler: torch.Generator,
        generator: torch.Generator,
    ) -> None:
        self.config, self.forward, self.rollout = config, forward, rollout
        self.streams, self.value_scale = streams, value_scale
        self.bonuses, self.aux = bonuses, aux
        self.shuffler, self.generator = shuffler, generator
        self.head = forward.network.head
        self.beta, self.entropy_coef = config.kl_beta, config.entropy_weight
        self.sums: dict[str, list[Tensor]] = defaultdict(list)
        self._clip, self._value_clip = config.clip or math.inf, config.value_clip
        self.pictures = _PIECE if pictures and generator.device.type == "cpu" else 0
        self._piece = config.microbatch or self.pictures
        self._direct: Direct | None = None
        self.modules = [*bonuses, *(a for a in aux if isinstance(a, nn.Module))]
        self._parameters = [list(forward.network.parameters())]
        rates = [config.rate(1.0)]
        for module in self.modules:
            parameters = [p for p in module.parameters() if p.requires_grad]
            rate = getattr(module, "learning_rate", None)
            if rate is None:
                self._parameters[0] += parameters
            elif parameters:
                self._parameters.append(parameters)
                rates.append(rate)
        self._clipped = self._parameters
        if config.bonus_grad_norm == "own":
            theirs = [[p for p in bonus.parameters() if p.requires_grad] for bonus in bonuses]
            apart = {p for parameters in theirs for p in parameters}
            rest = [[p for p in parameters if p not in apart] for parameters in self._parameters]
            self._clipped = [parameters for parameters in [*rest, *theirs] if parameters]
        self.optimizers = [
            torch.optim.Adam(parameters, rate, eps=config.optimizer_eps, fused=True)
            for parameters, rate in zip(self._parameters, rates, strict=True)
        ]
        if config.weight_decay > 0 or config.sigma_decay > 0:  # not of bonuses that share its optimiser
            (group,) = self.optimizers[0].param_groups
            own = len(list(forward.network.parameters()))
            others = group["params"][own:]
            first, *more = decay_groups(forward.network, config.weight_decay, config.sigma_decay)
            group.update(first)
            for extra in [*more, *([{"params": others, "weight_decay": 0.0}] if others else [])]:
                self.optimizers[0].add_param_group(extra)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [p for group in self._parameters for p in group]

    def schedule(self, left: float) -> None:
        """Learning rate, weight of the entropy and clip ranges with a share ``left`` of the training still to come."""
        c = self.config
        self.entropy_coef = c.entropy_weight * (left if c.entropy_schedule == "linear" else 1.0)
        if c.clip_schedule == "linear":
            # Never 0, which means that nothing is clipped.
            self._clip = max(c.clip * left, 1e-8) if c.clip else math.inf
            self._value_clip = max(c.value_clip * left, 1e-8) if c.value_clip else 0.0
        for group in self.optimizers[0].param_groups:
            group["lr"] = c.rate(left)

    def learn(self, scored: Scored) -> int:
        """Epochs of minibatches; ends early where the policy has moved further than target_kl allows.

        Returns the number of gradient steps.
        """
        c, taken = self.config, 0
        self._direct = Direct(self.forward.network) if self._is_plain() else None
        self.forward.network.train()  # batch normalisation alone knows the difference
        for batch in itertools.chain.from_iterable(self._epoch(scored) for _ in range(c.epochs)):
            if not self._update(batch, scored, first=taken == 0):
                break
            taken += 1
        self.forward.network.eval()
        if c.kl_penalty == "adaptive":
            self._adapt()
        return taken

    def _is_plain(self) -> bool:
        """Nothing but PPO's loss passes the policy, all rows of a minibatch at once, and without noise."""
        c, f = self.config, self.forward
        plain = not (self.aux or self._piece or f.noisy or c.compile or c.bfloat16) and c.kl_penalty == "none"
        return plain and Direct.suits(f.network)

    def _epoch(self, scored: Scored) -> Iterator[Batch]:
        c, r = self.config, self.rollout
        rows = [self.by_draw(part.to(r.device)) for part in r.minibatches(c.minibatches, c.batched_by, self.shuffler)]
        return batches(r, rows, scored.advantage, scored.target, normalise=c.normalise_advantage)

    def _update(self, batch: Batch, scored: Scored, first: bool) -> bool:
        """One gradient step on one minibatch. False: the policy has moved too far, and the step is not taken."""
        c, rows, count = self.config, batch.rows, batch.valid.sum()
        for parameter in self.parameters:
            parameter.grad = None
        notify(self.aux, "before_minibatch")
        sums: dict[str, Tensor] = {}
        errors: list[Tensor] = []
        # The penalty's cutoff is no sum over rows: it takes the whole minibatch at once.
        width = self._width(rows) if c.kl_penalty == "none" else rows.shape[1]
        for piece in batch.pieces(width):
            terms, error = self._differentiate(piece, count)
            sums = {name: term + sums[name] if name in sums else term for name, term in terms.items()}
            errors.append(error)
        if first:
            self.sums["losses/first_ratio_error"].append(torch.stack(errors).max())
        elif c.target_kl > 0 and float(sums["approx_kl"]) > 1.5 * c.target_kl:
            return False
        self._learn_bonuses(rows, scored)
        for name, term in sums.items():
            self.sums[f"losses/{name}"].append(term)
        if c.max_grad_norm > 0:
            for parameters in self._clipped:
                clip_norm(parameters, c.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        notify(self.aux, "after_step")
        return True

    def _differentiate(self, batch: Batch, count: Int[Tensor, ""]) -> tuple[dict[str, Tensor], Float[Tensor, ""]]:
        """The gradients of a piece's loss, its terms, and the largest |ρ − 1|."""
        if self._direct is not None:
            rows, r = batch.rows.reshape(-1), self.rollout
            return self._direct.gradients(r.observations(rows), batch, r.masks(rows), self._coefficients())
        loss, terms, error = self._loss(batch, count)
        loss.backward()  # type: ignore[no-untyped-call]
        return terms, error

    def _coefficients(self) -> Coefficients:
        scale = None if self.value_scale is None else self.value_scale.scale
        return Coefficients(self._clip, self._value_clip, self.streams.value_coef, self.entropy_coef, scale)

    def by_draw(self, rows: Int[Tensor, "L n"]) -> Int[Tensor, "L n"]:
        """The columns sorted by the draws of their input: rows side by side under one draw share its convolution.

        Not with batch normalisation, to which every piece of a minibatch is to be a fair sample of it.
        """
        if not self.pictures or self.forward.looks is None or self.config.batch_norm:
            return rows
        return rows[:, flat(rows[:1], self.rollout.draw)[:, INPUT].argsort()]

    def _width(self, rows: Int[Tensor, "L n"]) -> int:
        """Columns of a minibatch that go through the network together."""
        return max(1, self._piece // len(rows)) if self._piece else rows.shape[1]

    def _loss(
        self, batch: Batch, count: Int[Tensor, ""]
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor], Float[Tensor, ""]]:
        """The loss of a piece of a minibatch with ``count`` valid rows; its terms; the largest |ρ − 1|."""
        c, r = self.config, self.rollout
        rows, valid, weight, action, log_prob, advantage, value, target = (x.flatten(0, 1) for x in batch)
        obs = r.observations(rows)
        out = self.forward.replay(r, batch.rows, obs=obs)
        given = log_prob, advantage, value, target, weight, self._coefficients()
        loss, terms, error = ppo_loss(self.head, out.pi, out.value, action, *given)
        if c.kl_penalty == "adaptive":
            old, new = self.head.distribution(flat(rows, r.pi)), self.head.distribution(out.pi)
            divergence = masked_mean(kl_divergence(old, new), valid, count)
            penalty = kl_penalty(divergence, self.beta, c.kl_target)
            terms["kl_penalty"] = penalty.detach()
            loss = loss + penalty
        if self.aux:
            seen = Minibatch(
                rows, obs, action, r.observations(rows + r.num_envs), valid, flat(rows, r.draw), count,
                again=lambda draw: self.forward.replay(r, batch.rows, obs=obs, draw=draw),
                loss=lambda other: ppo_loss(self.head, other.pi, other.value, action, *given)[0],
            )  # fmt: skip
            for aux in self.aux:
                for name, term in aux(self.forward.network, seen, out).items():
                    terms[name] = term.detach()
                    loss = loss + term
        return loss, terms, error

    def _learn_bonuses(self, rows: Int[Tensor, "L n"], scored: Scored) -> None:
        """The gradients of the bonuses' own networks, each from its share of the minibatch."""
        index = rows.reshape(-1)
        for bonus, target in zip(self.bonuses, scored.prepared, strict=True):
            chosen = index[bonus.select(flat(rows, self.rollout.valid), self.generator)]
            for piece in torch.split(chosen, self._piece or max(1, len(chosen))):
                seen = transitions(self.rollout, bonus, scored.following, piece)
                loss = bonus.loss_rows(seen, None if target is None else target[piece])
                (loss * (len(piece) / max(1, len(chosen)))).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _adapt(self) -> None:
        """The penalty's weight after a rollout, by the divergence over all of it."""
        c, r = self.config, self.rollout
        divergence = torch.zeros((), device=r.device)
        by: MinibatchBy = "rows" if r.state is None else "slices"
        for rows in r.minibatches(c.minibatches, by, self.shuffler):
            for piece in torch.split(self.by_draw(rows.to(r.device)), self._width(rows), 1):
                old, new = (self.head.distribution(p) for p in (flat(piece, r.pi), self.forward.replay(r, piece).pi))
                divergence += masked_mean(kl_divergence(old, new), flat(piece, r.valid), r.valid.sum())
        self.beta = adapt_beta(self.beta, float(divergence), c.kl_target)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next update reads beside the policy's weights, and what is not logged yet."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "modules": [module.state_dict() for module in self.modules],
            "beta": self.beta,
            "sums": {name: torch.stack(values) for name, values in self.sums.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`.

        Raises:
            ConfigError: it is of other bonuses or auxiliary losses.
        """
        if len(state["modules"]) != len(self.modules) or len(state["optimizers"]) != len(self.optimizers):
            raise ConfigError(
                f"{len(state['modules'])} modules were trained beside the saved policy, and here are "
                f"{len(self.modules)}; give the same bonuses and auxiliary losses."
            )
        for module, saved in zip(self.modules, state["modules"], strict=True):
            module.load_state_dict(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved)
        self.beta = state["beta"]
        self.sums.clear()
        for name, values in state["sums"].items():
            self.sums[name] = list(values.to(self.rollout.device))
