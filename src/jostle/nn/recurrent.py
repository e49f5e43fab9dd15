"""Recurrent layers over time-major rollouts that forget at the start of an episode."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.nn.eager import eager
from jostle.nn.linear import linear


class Recurrent(nn.Module, ABC):
    """A recurrent layer on T steps of n sequences, laid out flat and time-major: row t·n + i is step t of sequence i.

    The weights are plain parameters, not `nn.Linear`, so `to_noisy` leaves a recurrent layer without noise.

    Shapes: x [T·n, F], state [S, n, H], start [T, n] → [T·n, H], state [S, n, H]. Where ``start[t, i]`` is true, the
    state of sequence i is zeroed before step t's input, so neither values nor gradients cross it.
    """

    num_states: int
    """S: 1 of a GRU (h), 2 of an LSTM (h, c)."""

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.in_features, self.hidden_size = in_features, hidden_size

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "B F"], state: Float[Tensor, "S n H"], start: Bool[Tensor, "T n"]
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "S n H"]]: ...

    def initial_state(self, n: int) -> Float[Tensor, "S n H"]:
        """Zeros."""
        return next(self.parameters()).new_zeros(self.num_states, n, self.hidden_size)


def _orthogonal(rows: int, columns: int) -> Tensor:
    return nn.init.orthogonal_(torch.empty(rows, columns))


class GRU(Recurrent):
    """The gated unit of the Random Network Distillation code (openai/random-network-distillation, `GRUCell`).

    m, r = σ(W_mr [h, x] + b_mr); h̃ = tanh(W_h̃ [r∘h, x] + b_h̃); h′ = m∘h + (1 − m)∘h̃. It differs from `nn.GRU`, which
    applies r after the product with h and has a second bias. As there, each W starts orthogonal and each b zero.
    """

    num_states = 1

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__(in_features, hidden_size)
        size = hidden_size
        gates, candidate = _orthogonal(2 * size, size + in_features), _orthogonal(size, size + in_features)
        # Kept in the parts that multiply x and h, so that one product takes x through all three gates at all steps.
        self.weight_x = nn.Parameter(torch.cat([gates[:, size:], candidate[:, size:]]))
        self.weight_gates = nn.Parameter(gates[:, :size].clone())
        self.weight_candidate = nn.Parameter(candidate[:, :size].clone())
        self.bias = nn.Parameter(torch.zeros(3 * size))

    @eager  # a loop over time, which would be unrolled for minutes
    def forward(
        self, x: Float[Tensor, "B F"], state: Float[Tensor, "S n H"], start: Bool[Tensor, "T n"]
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "S n H"]]:
        size = self.hidden_size
        inputs = linear(x, self.weight_x, self.bias).view(*start.shape, 3 * size)
        gates, candidate = self.weight_gates.T, self.weight_candidate.T
        h, outputs = state[0], []
        for x_t, start_t in zip(inputs.unbind(), start.unsqueeze(-1).unbind(), strict=True):
            h = h.masked_fill(start_t, 0.0)
            m, r = torch.addmm(x_t[:, : 2 * size], h, gates).sigmoid().chunk(2, 1)
            new = torch.addmm(x_t[:, 2 * size :], r * h, candidate).tanh()
            h = torch.lerp(new.to(h.dtype), h, m.to(h.dtype))  # autocast makes gates shorter, the state stays whole
            outputs.append(h)
        return torch.cat(outputs), h[None]


class LSTM(Recurrent):
    """Long short-term memory: i, f, o = σ(·), g = tanh(·) of W [h, x] + b; c′ = f∘c + i∘g; h′ = o∘tanh(c′).

    One bias per gate, zero at the start; W starts orthogonal.
    """

    num_states = 2

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__(in_features, hidden_size)
        weight = _orthogonal(4 * hidden_size, hidden_size + in_features)
        self.weight_x = nn.Parameter(weight[:, hidden_size:].clone())
        self.weight_h = nn.Parameter(weight[:, :hidden_size].clone())
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))

    @eager
    def forward(
        self, x: Float[Tensor, "B F"], state: Float[Tensor, "S n H"], start: Bool[Tensor, "T n"]
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, "S n H"]]:
        inputs = linear(x, self.weight_x, self.bias).view(*start.shape, 4 * self.hidden_size)
        weight, outputs = self.weight_h.T, []
        for x_t, start_t in zip(inputs.unbind(), start.unsqueeze(-1).unbind(), strict=True):
            h, c = state.masked_fill(start_t, 0.0)
            gates = torch.addmm(x_t, h, weight)
            i, f, o = gates[:, : 3 * self.hidden_size].sigmoid().chunk(3, 1)
            c = f * c + i * gates[:, 3 * self.hidden_size :].tanh()
            h = o * c.tanh()
            state = torch.stack([h, c])
            outputs.append(h)
        return torch.cat(outputs), state
