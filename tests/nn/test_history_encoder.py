"""What compresses an episode's last observations and actions."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.history import HistoryEncoder, features_of, history_of
from jostle.nn.policy import QNetwork


def space(k: int = 6, width: int = 3) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (k, width), np.float32)


@pytest.mark.parametrize("kind", ["conv", "mlp"])
@pytest.mark.parametrize("k", [1, 2, 5, 6, 50])
def test_any_length_is_encoded(kind: str, k: int) -> None:
    encoder = HistoryEncoder(space(k), kind, 4)
    assert encoder(torch.randn(7, k, 3)).shape == (7, encoder.out_features) == (7, 4)


def test_the_order_of_steps_counts() -> None:
    x = torch.randn(5, 6, 3)
    for kind in ("conv", "mlp"):
        encoder = HistoryEncoder(space(), kind)
        assert not torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-3)


def test_convolutions_are_those_that_are_said() -> None:
    encoder = HistoryEncoder(space(9), "conv", 2)
    x = torch.randn(1, 9, 3)
    (line, conv1, conv2, last) = (m for m in encoder.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv1d))
    h = torch.relu(x[0] @ line.weight.T + line.bias)  # [9, 32]
    for conv in (conv1, conv2):
        width = conv.weight.shape[2]
        rows = [h[t : t + width] for t in range(0, len(h) - width + 1, 2)]
        h = torch.relu(torch.stack([torch.einsum("tc,oct->o", row, conv.weight) + conv.bias for row in rows]))
    torch.testing.assert_close(encoder(x)[0], last.weight @ h.T.flatten() + last.bias)


def test_numbers_are_normalised_by_the_steps_there_were() -> None:
    encoder = HistoryEncoder(space(2, 2), "mlp", normalise=True)
    x = torch.tensor([[[0.0, 0.0], [1.0, 10.0]], [[3.0, 10.0], [5.0, 40.0]], [[9.0, 9.0], [9.0, 9.0]]])
    encoder.update_normaliser(x, torch.tensor([True, True, False]))
    assert encoder.normaliser.mean.tolist() == [3.0, 20.0]
    np.testing.assert_allclose(encoder.normaliser.std, [np.std([1, 3, 5]), np.std([10, 10, 40])], rtol=1e-6)
    seen = []
    encoder.time.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    encoder(x)
    assert seen[0][0, 0].tolist() == [0.0, 0.0], "what there was not stays nothing"
    np.testing.assert_allclose(seen[0][1, 1, 0], (5 - 3) / np.std([1, 3, 5]), rtol=1e-5)


def told() -> spaces.Dict:
    numbers = {"obs": spaces.Box(-1, 1, (2,), np.float32), "zebra": spaces.Box(-1, 1, (4,), np.float32)}
    return spaces.Dict({**numbers, "domain_history": space(), "privileged": spaces.Box(-1, 1, (5,), np.float32)})


def test_policies_and_values_see_its_features_and_they_can_be_found() -> None:
    torch.manual_seed(0)
    network = ActorCritic(told(), spaces.Discrete(3), history_encoder="mlp", history_features=6)
    obs = {key: torch.randn(8, *part.shape) for key, part in told().spaces.items()}
    out = network.outputs(obs)
    assert out.encoded.shape == (8, 2 + 4 + 6)
    torch.testing.assert_close(
        features_of(network.encoder, out.encoded), history_of(network.encoder)(obs["domain_history"])
    )
    other = network.outputs(obs | {"domain_history": obs["domain_history"] + 1})
    assert not torch.equal(out.pi, other.pi)
    assert not torch.equal(out.value, other.value)
    assert QNetwork(told(), 3)(obs).shape == (8, 1, 3)


def test_there_is_none_to_be_found() -> None:
    network = ActorCritic(spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3))
    with pytest.raises(ConfigError, match="no encoder of a history: give domain_history=16"):
        history_of(network.encoder)
    with pytest.raises(ConfigError, match="history_encoder='cnv' is unknown; did you mean conv"):
        HistoryEncoder(space(), "cnv")
