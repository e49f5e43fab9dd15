"""What DQN learns from a minibatch: its loss, the bootstrapped targets, and one step of the optimiser."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from jostle.algo.dqn.config import DQNConfig
from jostle.algo.dqn.looks import ReplayLooks
from jostle.algo.dqn.replay import Batch
from jostle.algo.dqn.targets import follow, followed, joined
from jostle.algo.machine import clip_norm, compiled
from jostle.algo.parts.auxiliary import INPUT, Auxiliary, Minibatch, notify
from jostle.algo.parts.decay import decay_groups
from jostle.algo.parts.input.layers import make_terms
from jostle.algo.parts.streams import Streams
from jostle.algo.parts.value_scale import make_value_scale
from jostle.functional import greedy_value, td_loss
from jostle.nn.encoders import Observation
from jostle.nn.noise import Mode, Noise
from jostle.nn.policy import QNetwork, QOutputs

MEASURED = 16
"""Every so many minibatches, the targets are counted for the units of the values; more often would cost time."""
LEARN, SELECT, ACT = 0, 1, 2
"""Slots of the online network's noise: ξ of the learned values, ξ″ of the selection, and from ACT on those that act."""


class Learner:
    """Owns the optimiser. ``terms`` holds the losses that are logged, until somebody takes them.

    Args:
        config: settings.
        network, target: the online network and its copy.
        noise, target_noise: in their weights.
        looks: in their input.
        streams: of the rewards.
        aux: auxiliary losses of the user's own.
        device: where all of it lies.

    Attributes:
        forward: the online network, compiled where that is wanted.
        aux: the auxiliary losses of the settings and the user's.
        value_scale: the units of the streams' values in the loss; None: their own.
    """

    def __init__(
        self,
        config: DQNConfig,
        network: QNetwork,
        target: QNetwork,
        noise: Noise,
        target_noise: Noise,
        looks: ReplayLooks,
        streams: Streams,
        aux: Sequence[Auxiliary],
        device: torch.device,
    ) -> None:
        self.config, self.network, self.target = config, network, target
        self.noise, self.target_noise, self.looks = noise, target_noise, looks
        self.streams, self.device = streams, device
        self.value_scale = make_value_scale(config.value_norm, streams.names)
        if self.value_scale is not None:
            self.value_scale.to(device)
        self.terms: dict[str, list[Tensor]] = defaultdict(list)
        self.aux = [*make_terms(config, network, self.features, looks), *aux]
        self.optimizer = self._make_optimizer()
        self.forward = compiled(network, config.compile, device)
        self._target_forward = compiled(target, config.compile, device)
        self._outputs = compiled(network.outputs, config.compile, device)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        c = self.config
        start = c.rate(1.0)
        groups = decay_groups(self.network, c.weight_decay, c.sigma_decay)
        self._scheduled = list(range(len(groups)))
        for aux in self.aux:
            if isinstance(aux, nn.Module) and any(p.requires_grad for p in aux.parameters()):
                rate = getattr(aux, "learning_rate", None)
                self._scheduled += [len(groups)] if rate is None else []
                groups.append({"params": list(aux.parameters()), "lr": start if rate is None else rate})
        if c.optimizer == "adam":
            return torch.optim.Adam(groups, start, eps=c.optimizer_eps, fused=True)
        return torch.optim.RMSprop(groups, start, alpha=0.95, eps=c.optimizer_eps, centered=True, foreach=True)

    def set_rate(self, rate: float) -> None:
        """A learning rate for whatever has none of its own."""
        for group in self._scheduled:
            self.optimizer.param_groups[group]["lr"] = rate

    def update(self, batch: Batch, measure: bool = True) -> None:
        """One gradient step on one minibatch, with fresh ξ, ξ″ (online) and ξ′ (target) for the whole batch.

        ``measure``: the units of the values see its targets.
        """
        c = self.config
        self.noise.draw([LEARN, SELECT])
        self.target_noise.draw()
        self.looks.before_update()
        notify(self.aux, "before_minibatch")
        target = self.td_target(batch)
        if measure and self.value_scale is not None:
            self.value_scale.update(target)
        loss = self.loss(batch, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if c.max_grad_norm > 0:
            clip_norm(self.network.parameters(), c.max_grad_norm)
        self.optimizer.step()
        notify(self.aux, "after_step")
        if c.target_tau > 0:
            follow(self.target, self.network, c.target_tau)
        self.terms["losses/td_loss"].append(loss.detach())

    def loss(self, batch: Batch, target: Float[Tensor, "B K"] | None = None) -> Float[Tensor, ""]:
        """The loss of one minibatch under the noise drawn last; ``target`` where `td_target` is known already."""
        target, count = self.td_target(batch) if target is None else target, len(batch.action)
        scale = None if self.value_scale is None else self.value_scale.scale
        self.network.train()  # batch normalisation alone knows the difference

        def again(draw: Int[Tensor, "B 2"]) -> QOutputs:
            with self.noise.using(LEARN), self.looks.using(draw[:, INPUT]), self._precision():
                out: QOutputs = self._outputs(batch.obs)
            return QOutputs(*(x.float() for x in out))

        def td(out: QOutputs) -> Tensor:
            chosen = out.q.gather(2, batch.action[:, None, None].expand(-1, out.q.shape[1], 1)).squeeze(2)
            if scale is not None:
                return td_loss(chosen / scale, target / scale, self.config.loss, self.streams.value_coef)
            return td_loss(chosen, target, self.config.loss, self.streams.value_coef)

        draw = self.looks.draws(count, LEARN)
        out = again(draw)
        loss = td(out)
        if self.aux:
            valid = torch.ones(count, dtype=torch.bool, device=self.device)
            given = Minibatch(
                batch.row, batch.obs, batch.action, batch.next_obs, valid, draw, valid.sum(), again=again, loss=td
            )
            for aux in self.aux:
                for name, term in aux(self.network, given, out).items():
                    self.terms[f"losses/{name}"].append(term.detach())
                    loss = loss + term
        self.network.eval()
        return loss

    @torch.no_grad()
    def td_target(self, batch: Batch) -> Float[Tensor, "B K"]:
        """Bootstrapped targets: the target network under ξ′, the selection of double Q-learning under ξ″."""
        obs, mask = batch.next_obs, batch.next_mask
        links = batch.linked is not None and len(batch.linked) > 0
        if links:
            obs = joined(obs, batch.linked_obs)
            if mask is not None:
                assert batch.linked_mask is not None
                mask = torch.cat([mask, batch.linked_mask])
        mode: Mode = "sampled" if self.config.target_noise else "mean"
        following = torch.arange(len(batch.action), device=self.device)
        if links:
            assert batch.linked is not None
            following = torch.cat([following, batch.linked])
        with self.target_noise.using(mode=mode), self.looks.following(following, target=True):
            evaluate = self.q(self._target_forward, obs)
        select = evaluate
        if self.config.double:
            with self.noise.using(SELECT), self.looks.following(following, target=False):
                select = self.q(self.forward, obs)
        value = greedy_value(evaluate, select, self.streams.coefficient, mask)
        if links:
            value = followed(value, batch, self.streams.episodic)
        n_return, factor = batch.n_step_return(
            self.streams.discount, None if batch.linked is None else self.streams.episodic
        )
        return n_return + factor * value

    def q(self, network: Callable[[Observation], Tensor], obs: Observation) -> Float[Tensor, "B K A"]:
        """Q in float32, by a network in the precision of the settings."""
        with self._precision():
            return network(obs).float()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        wanted = self.config.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16) if wanted else contextlib.nullcontext()

    def features(self, obs: Observation, draw: Int[Tensor, "B 2"], mode: Mode) -> tuple[Tensor, Tensor]:
        """The encoder's features and those behind the last hidden layer, under the learning noise."""
        with self.noise.using(LEARN), self.looks.using(draw[:, INPUT], mode), self._precision():
            return self.network.features(obs)
