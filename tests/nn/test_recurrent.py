"""Recurrent layers against step-by-step transcriptions, and what an episode's start does to values and gradients."""

import itertools

import numpy as np
import pytest
import torch

from jostle.nn.recurrent import GRU, LSTM, Recurrent

T, N, F, H = 7, 3, 5, 4
BOTH = pytest.mark.parametrize("kind", [GRU, LSTM])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def made(kind: type[Recurrent]) -> Recurrent:
    """A layer whose biases are not zero."""
    torch.manual_seed(0)
    layer = kind(F, H)
    with torch.no_grad():
        layer.bias.normal_()
    return layer


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(T * N, F, generator=generator)
    start = torch.zeros(T, N, dtype=torch.bool)
    start[0, 1] = start[2, 0] = start[2, 2] = start[5, 0] = start[6, 0] = True
    return x, start


def state_of(layer: Recurrent, n: int = N) -> torch.Tensor:
    return torch.randn(layer.num_states, n, H, generator=torch.Generator().manual_seed(2))


def gru_step(layer: GRU, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """`GRUCell.call` of openai/random-network-distillation, with its concatenations [h, x] and [r∘h, x]."""
    w_x, w_h = layer.weight_x.detach().numpy(), layer.weight_gates.detach().numpy()
    w_mr = np.concatenate([w_h, w_x[: 2 * H]], 1).T
    w_htil = np.concatenate([layer.weight_candidate.detach().numpy(), w_x[2 * H :]], 1).T
    b = layer.bias.detach().numpy()
    mr = sigmoid(np.concatenate([h, x], 1) @ w_mr + b[: 2 * H])
    m, r = np.split(mr, 2, axis=1)
    htil = np.tanh(np.concatenate([r * h, x], 1) @ w_htil + b[2 * H :])
    return m * h + (1.0 - m) * htil


def test_gru_is_the_official_cell() -> None:
    layer, (x, start) = made(GRU), inputs()
    state = state_of(layer)
    out, last = layer(x, state, start)
    h, rows = state[0].numpy(), x.view(T, N, F).numpy()
    for t in range(T):
        h = h * (1.0 - start[t].numpy()[:, None])
        h = gru_step(layer, rows[t], h)
        np.testing.assert_allclose(out.view(T, N, H)[t].detach().numpy(), h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last[0].detach().numpy(), h, rtol=1e-5, atol=1e-6)


def test_gru_starts_as_the_official_cell() -> None:
    """Both matrices of the cell are orthogonal as wholes, and all biases are zero."""
    layer = GRU(6, 8)
    gates = torch.cat([layer.weight_gates, layer.weight_x[:16]], 1)  # [16, 14]
    candidate = torch.cat([layer.weight_candidate, layer.weight_x[16:]], 1)  # [8, 14]
    torch.testing.assert_close(gates.T @ gates, torch.eye(14), atol=1e-5, rtol=0)
    torch.testing.assert_close(candidate @ candidate.T, torch.eye(8), atol=1e-5, rtol=0)
    assert layer.bias.eq(0).all()
    assert sum(p.numel() for p in layer.parameters()) == (14 * 16 + 16) + (14 * 8 + 8)


def test_lstm_is_torchs() -> None:
    layer, (x, _) = made(LSTM), inputs()
    theirs = torch.nn.LSTM(F, H)
    order = [
        slice(0, H),
        slice(H, 2 * H),
        slice(3 * H, 4 * H),
        slice(2 * H, 3 * H),
    ]  # ours i, f, o, g; theirs i, f, g, o
    with torch.no_grad():
        for mine, other in ((layer.weight_x, theirs.weight_ih_l0), (layer.weight_h, theirs.weight_hh_l0)):
            other.copy_(torch.cat([mine[part] for part in order]))
        theirs.bias_ih_l0.copy_(torch.cat([layer.bias[part] for part in order]))
        theirs.bias_hh_l0.zero_()
    state = state_of(layer)
    out, last = layer(x, state, torch.zeros(T, N, dtype=torch.bool))
    expected, (h, c) = theirs(x.view(T, N, F), (state[:1].contiguous(), state[1:].contiguous()))
    torch.testing.assert_close(out.view(T, N, H), expected)
    torch.testing.assert_close(last, torch.cat([h, c]))


@BOTH
def test_a_start_cuts_the_sequence(kind: type[Recurrent]) -> None:
    """Each piece between two starts equals a sequence of its own from the zero state, not finite states included."""
    layer, (x, start) = made(kind), inputs()
    state = state_of(layer)
    state[:, 1] = torch.nan  # sequence 1 starts at once, so what it carried must not matter
    out = layer(x, state, start)[0].view(T, N, H)
    rows = x.view(T, N, F)
    for i in range(N):
        cuts = sorted({0, *start[:, i].nonzero().flatten().tolist(), T})
        for a, b in itertools.pairwise(cuts):
            first = layer.initial_state(1) if start[a, i] else state[:, i : i + 1]
            piece, _ = layer(rows[a:b, i], first, torch.zeros(b - a, 1, dtype=torch.bool))
            torch.testing.assert_close(out[a:b, i], piece)


@BOTH
def test_no_gradient_crosses_a_start(kind: type[Recurrent]) -> None:
    layer, (x, start) = made(kind), inputs()
    x.requires_grad_()
    state = state_of(layer).requires_grad_()
    layer(x, state, start)[0].view(T, N, H)[4, 0].sum().backward()  # sequence 0 started at step 2
    grad = x.grad.view(T, N, F)
    assert grad[2:5, 0].ne(0).all()
    grad[2:5, 0] = 0
    assert grad.eq(0).all()
    assert state.grad.eq(0).all()
    state.grad = None
    layer(x, state, start)[0].view(T, N, H)[1].sum().backward()
    assert state.grad[:, [0, 2]].ne(0).all()  # these go on from the state that came in
    assert state.grad[:, 1].eq(0).all()


@BOTH
def test_gradients_are_those_of_finite_differences(kind: type[Recurrent]) -> None:
    layer, (x, start) = made(kind).double(), inputs()
    parameters = list(layer.parameters())

    def run(x: torch.Tensor, state: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return layer(x, state, start)

    state = state_of(layer).double().requires_grad_()
    assert torch.autograd.gradcheck(run, (x.double().requires_grad_(), state, *parameters))


@BOTH
def test_chunks_with_the_state_carried_equal_the_whole(kind: type[Recurrent]) -> None:
    layer, (x, start) = made(kind), inputs()
    state = state_of(layer)
    whole, last = layer(x, state, start)
    parts = []
    for a, b in ((0, 1), (1, 3), (3, 7)):
        out, state = layer(x[a * N : b * N], state, start[a:b])
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, last)


@BOTH
def test_rows_are_independent(kind: type[Recurrent]) -> None:
    """Sequences may be taken apart, as minibatches of sequences do."""
    layer, (x, start) = made(kind), inputs()
    state = state_of(layer)
    whole = layer(x, state, start)[0].view(T, N, H)
    some = [2, 0]
    part = layer(x.view(T, N, F)[:, some].reshape(-1, F), state[:, some], start[:, some])[0]
    torch.testing.assert_close(part.view(T, 2, H), whole[:, some])


@BOTH
def test_initial_state_is_zero(kind: type[Recurrent]) -> None:
    state = kind(F, H).double().initial_state(6)
    assert state.shape == (kind.num_states, 6, H)
    assert state.dtype == torch.float64
    assert state.eq(0).all()
