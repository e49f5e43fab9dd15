"""The gradients of PPO's loss without autograd, for policies that are nothing but fully connected layers.

On networks as small as MuJoCo's, to record what is to be differentiated costs more than the arithmetic. The formulas
are those of `jostle.nn.linear` and `jostle.algo.ppo.loss`, which autograd goes by as well.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jostle.algo.ppo.batches import Batch
from jostle.algo.ppo.loss import Coefficients, loss_and_gradients, named
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.distributions import masked
from jostle.nn.encoders import Observation
from jostle.nn.linear import Tape, hooked


class Direct:
    """The two halves of a policy, each passed by itself.

    Args:
        network: one that `suits`.
    """

    def __init__(self, network: ActorCritic) -> None:
        self._network = network
        self._policy, self._value = (Tape(layers) for layers in _halves(network))

    @staticmethod
    def suits(network: nn.Module) -> bool:
        """Whether a network is two chains of fully connected layers on a CPU behind an encoder without weights, all of
        which learn, and none of which is hooked."""
        return (
            type(network) is ActorCritic
            and network.core is None
            and network.critic is not None
            and network.privileged is None
            and not any(True for _ in network.encoder.parameters())
            and all(Tape.runs(layers) for layers in _halves(network))
            and all(_plain(parameter) for parameter in network.parameters())
            and not any(hooked(module) for module in network.modules())
            and not _tied(network)
        )

    @torch.no_grad()
    def gradients(
        self, obs: Observation, batch: Batch, mask: Tensor | None, c: Coefficients
    ) -> tuple[dict[str, Float[Tensor, ""]], Float[Tensor, ""]]:
        """Give every parameter its gradient; the terms and the error of `ppo_loss`."""
        network = self._network
        encoded, log_std = network.encoder(obs), network.log_std
        pi, value = self._policy.forward(encoded), self._value.forward(encoded)
        if log_std is not None:
            pi = torch.cat([pi, log_std.expand_as(pi)], 1)
        _, _, weight, action, log_prob, advantage, old_value, target = (x.flatten(0, 1) for x in batch)
        if c.scale is not None:
            value, old_value, target = value / c.scale, old_value / c.scale, target / c.scale
        _, terms, for_pi, for_value = loss_and_gradients(
            masked(pi, mask),
            value,
            network.head.distribution,
            action,
            log_prob,
            advantage,
            old_value,
            target,
            weight,
            c,
        )
        if log_std is not None:
            for_pi, widths = for_pi.chunk(2, 1)
            log_std.grad = widths.sum(0)
        self._policy.backward(for_pi)
        self._value.backward(for_value if c.scale is None else for_value / c.scale)
        return named(terms), terms[-1]


def _halves(network: ActorCritic) -> tuple[list[nn.Module], list[nn.Module]]:
    return [*network.actor, network.policy], [*(network.critic or ()), network.value]


def _tied(network: ActorCritic) -> bool:
    """Whether two layers share a parameter, whose gradients would have to be added."""
    own = [id(p) for layers in _halves(network) for layer in layers for p in layer.parameters()]
    return len(set(own)) < len(own)


def _plain(p: nn.Parameter) -> bool:
    waited = p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
    return p.requires_grad and p.is_cpu and p.is_contiguous() and p.dtype == torch.float32 and not waited
