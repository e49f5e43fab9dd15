"""Noise in networks of other people: what is kept, what is refused, and that no noise vanishes silently."""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from jostle.errors import ConfigError
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear, noisy_layers, to_linear, to_noisy


def attention_excluded(name: str, _: nn.Module) -> bool:
    return not name.endswith("out_proj")


def transformer(layers: int = 2) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, layers).eval()


X = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))


# ---- weights that are read past forward ----


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("padding", [False, True])
def test_a_transformer_keeps_its_noise_in_evaluation(padding: bool) -> None:
    """PyTorch's shortcut for eval() without gradients reads linear1.weight past its forward; it is not taken."""
    encoder = transformer()
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 3:] = True
    more = {"src_key_padding_mask": mask} if padding else {}
    with torch.no_grad():
        plain = encoder(X, **more)
    to_noisy(encoder, attention_excluded, sigma0=1.0)
    assert list(noisy_layers(encoder)) == [f"layers.{i}.linear{j}" for i in (0, 1) for j in (1, 2)]
    noise = Noise(encoder, seed=0, role="online", slots=2)
    with noise.using(1):
        slow = encoder(X, **more).detach()  # with gradients there is no shortcut
    with torch.no_grad():
        with noise.using(1):
            quick = encoder(X, **more)
        with noise.using(0):
            other = encoder(X, **more)
        with noise.using(torch.tensor([1, 0, 1])):
            rows = encoder(X, **more)
        with noise.mean():
            mean = encoder(X, **more)
        noise.fold(1)
        with noise.using(mode="folded"):
            folded = encoder(X, **more)
    real = ~mask if padding else torch.ones(3, 5, dtype=torch.bool)
    torch.testing.assert_close(quick[real], slow[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded[real], slow[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(rows[1][real[1]], other[1][real[1]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean[real], plain[real], rtol=1e-4, atol=1e-5)
    assert (quick - mean)[real].abs().mean() > 0.05
    assert (quick - other)[real].abs().mean() > 0.05


class Past(nn.Module):
    """Computes with its layer's weights itself, as fused and tied layers do."""

    def __init__(self, read: Callable[[nn.Linear, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.read = nn.Linear(16, 16), read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.layer, x)


READS = {
    "linear": lambda layer, x: F.linear(x, layer.weight, layer.bias),
    "matmul": lambda layer, x: x @ layer.weight.T,
    "in a helper": lambda layer, x: (lambda w: torch.einsum("...i,oi->...o", x, w))(layer.weight),
    "in an older way": lambda layer, x: nn.Linear.forward(layer, x),
    "bias": lambda layer, x: x + layer.bias,
    "a list": lambda layer, x: torch.cat([layer.weight, layer.weight])[:16] @ x[0].T,
    "data": lambda layer, x: x @ layer.weight.data,
}


@pytest.mark.parametrize("how", READS)
def test_whoever_computes_with_the_weights_past_forward_is_refused(how: str) -> None:
    net = nn.Sequential(Past(READS[how]), nn.ReLU())
    expected = net(X)
    to_noisy(net)
    noise = Noise(net, seed=0, role="online")
    for context in (torch.enable_grad(), torch.no_grad()):
        with context, pytest.raises(ConfigError, match=r"Past computes with the (weight|bias) of NoisyLinear.*where="):
            net(X)
    noise.fold()
    with torch.no_grad(), noise.using(mode="folded"), pytest.raises(ConfigError, match="past that layer's forward"):
        net(X)
    with noise.mean():  # the mean is right to read
        torch.testing.assert_close(net(X), expected)
    to_linear(net)
    torch.testing.assert_close(net(X), expected)


ASKS = {
    "dtype": lambda layer, x: layer(x.to(layer.weight.dtype).to(layer.weight.device)),
    "to": lambda layer, x: layer(x.to(layer.weight).type_as(layer.weight)),
    "shape": lambda layer, x: layer(x[..., : layer.weight.shape[1]].reshape(-1, layer.weight.size(1))),
    "new": lambda layer, x: layer(x + layer.weight.new_zeros(16) + torch.zeros_like(layer.bias)),
    "none": lambda layer, x: layer(x) if layer.weight is not None and layer.weight.requires_grad else x,
}


@pytest.mark.parametrize("how", ASKS)
def test_whoever_asks_for_shape_or_type_alone_is_served(how: str) -> None:
    net = Past(ASKS[how])
    to_noisy(net)
    noise = Noise(net, seed=0, role="online")
    y = net(X)
    assert type(y) is Tensor
    with noise.mean():
        assert not torch.allclose(net(X), y)


def test_weights_are_everybodys_outside_of_a_pass() -> None:
    net = to_noisy(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)))
    noise, seen = Noise(net, seed=0, role="online"), []
    net[0].register_forward_hook(lambda layer, _, out: seen.append(float(layer.weight.detach().norm())))
    for context in (noise.using(0), noise.mean()):
        with context:
            net(X)
            assert type(net[0].weight) is nn.Parameter
            loss = net(X).square().mean() + 0.1 * net[2].weight.square().sum()
        loss.backward()
    assert seen == [float(net[0].weight.detach().norm())] * 4
    nn.init.orthogonal_(net[0].weight)
    torch.testing.assert_close(net[0].weight @ net[0].weight.T, torch.eye(16), atol=1e-5, rtol=0)


def test_a_compiled_transformer_keeps_its_noise() -> None:
    encoder = to_noisy(transformer(1), attention_excluded, sigma0=1.0)
    noise = Noise(encoder, seed=0, role="online", slots=2)
    compiled = torch.compile(encoder, backend="eager")
    with torch.no_grad(), noise.using(1):
        torch.testing.assert_close(compiled(X), encoder(X), rtol=1e-4, atol=1e-5)
    past = to_noisy(Past(READS["linear"]))
    Noise(past, seed=0, role="online")
    with pytest.raises(Exception, match="past that layer's forward"):
        torch.compile(past, backend="eager")(X)


# ---- what is kept ----


def test_hooks_and_every_reference_are_kept() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    first, calls = net[0], []
    handles = [
        first.register_forward_pre_hook(lambda *_: calls.append("before")),
        first.register_forward_hook(lambda *_: calls.append("after")),
        first.register_full_backward_hook(lambda *_: calls.append("backward")),
        first.register_full_backward_pre_hook(lambda *_: calls.append("before backward")),
        first.register_state_dict_post_hook(lambda *_: calls.append("saved")),
        first.register_load_state_dict_post_hook(lambda *_: calls.append("loaded")),
        first.register_forward_hook(lambda _, args, kwargs, out: out * 2, with_kwargs=True),
    ]
    first.note, held = "mine", [first]  # a list is no child: only the object itself reaches it
    to_noisy(net)
    noise = Noise(net, seed=0, role="online")
    assert held[0] is net[0] is first
    assert isinstance(first, NoisyLinear)
    assert first.note == "mine"
    x = torch.randn(5, 4, requires_grad=True)
    net(x).sum().backward()
    net.load_state_dict(net.state_dict())
    assert calls == ["before", "after", "before backward", "backward", "saved", "loaded"]
    with noise.mean():
        doubled = first(x)
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(doubled, 2 * first(x))
    to_linear(net)
    assert net[0] is first
    assert first.note == "mine"


@pytest.mark.parametrize("bias", [True, False])
def test_frozen_layers_stay_frozen_and_tied_ones_tied(bias: bool) -> None:
    net = nn.Sequential(nn.Linear(4, 4, bias), nn.Linear(4, 4, bias), nn.Linear(4, 4, bias), nn.Embedding(4, 4))
    net[0].requires_grad_(False)
    net[1].weight.requires_grad_(False)  # the bias learns on
    net[2].weight = net[3].weight
    weights = [layer.weight for layer in net]
    to_noisy(net)
    assert [layer.weight for layer in net] == weights
    assert not any(p.requires_grad for p in net[0].parameters())
    assert [s.requires_grad for s in net[1].sigmas] == [False, True][: 1 + bias]
    assert net[2].weight is net[3].weight
    assert all(s.requires_grad for s in net[2].sigmas)
    Noise(net, seed=0, role="online")
    net[:3](torch.randn(2, 4)).sum().backward()
    assert {n for n, p in net.named_parameters() if p.grad is not None} == {
        f"{n}" for n, p in net.named_parameters() if p.requires_grad
    }


def test_replicas_of_data_parallel_pass() -> None:
    """As `torch.nn.parallel.replicate` makes them: their parameters are plain attributes."""
    layer = to_noisy(nn.Linear(16, 8))
    noise = Noise(layer, seed=0, role="online", slots=2)
    replica = layer._replicate_for_data_parallel()
    for name, parameter in layer._parameters.items():
        setattr(replica, name, parameter * 1)
    for name, buffer in layer._buffers.items():
        if buffer is None:
            replica._buffers[name] = None
        else:
            setattr(replica, name, buffer)
    found: list[Tensor] = []
    with noise.using(1):
        worker = threading.Thread(target=lambda: found.append(replica(X)))  # which says no slot of its own
        worker.start()
        worker.join()
        assert torch.equal(found[0], layer(X))
    found[0].sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight_sigma.grad is not None


# ---- what is refused ----


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight_norm": weight_norm,
    "old spectral_norm": spectral_norm,
    "pruning": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
}


@pytest.mark.parametrize("how", COMPUTED)
def test_weights_that_are_computed_are_refused_with_the_remedy(how: str) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        COMPUTED[how](net[2])
    kinds, state = [type(m) for m in net], {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ConfigError, match=r"layer '2' has no weight of its own.*remove_parametrizations.*where"):
        to_noisy(net)
    assert [type(m) for m in net] == kinds, "nothing is half done"
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    to_noisy(net, lambda name, _: name == "0")
    assert list(noisy_layers(net)) == ["0"]
    with pytest.raises(ConfigError, match="computes its weight"):
        NoisyLinear.from_linear(net[2])


def test_norms_taken_off_leave_a_layer_that_can_be_noisy() -> None:
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Noise(to_noisy(layer), seed=0, role="online")
    assert layer(torch.ones(1, 4)).shape == (1, 4)


def test_a_norm_put_on_a_noisy_layer_works_on_its_mean() -> None:
    layer = to_noisy(nn.Linear(4, 4, bias=False), sigma0=0.0)
    Noise(layer, seed=0, role="online")
    parametrizations.weight_norm(layer)
    x = torch.randn(3, 4)
    before = layer(x)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(2.0)
    torch.testing.assert_close(layer(x), 2 * before)


# ---- Stable-Baselines3 ----


def test_a_policy_of_stable_baselines_is_noisy_all_through() -> None:
    policies = pytest.importorskip("stable_baselines3.common.policies")
    from gymnasium import spaces

    box = spaces.Box(-1, 1, (4,), dtype="float32")
    policy: Any = policies.ActorCriticPolicy(box, spaces.Discrete(3), lambda _: 1e-3)
    to_noisy(policy)
    noise = Noise(policy, seed=0, role="online", slots=2)
    obs = torch.randn(6, 4)
    with torch.no_grad():
        policy.eval()
        values = []
        for slot in (0, 0, 1):
            with noise.using(slot):
                _, value, _ = policy(obs, deterministic=True)
                values.append(torch.cat([value, policy.get_distribution(obs).distribution.logits], 1))
    assert torch.equal(values[0], values[1])
    assert ((values[0] - values[2]).abs() > 1e-6).any(0).all()
