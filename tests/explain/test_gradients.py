"""Gradient saliency: exact on linear networks, equal to Captum and to numbers by hand, and where a patch is planted."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients
from gymnasium import spaces
from planted import SIZE, mass_in_patch, patch_view, pictures
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.asking import ask, intrinsic_reward
from jostle.explain.results import Importance, Maps
from jostle.explain.saliency import (
    cam,
    grad_cam,
    gradient,
    gradient_times_input,
    guided_backprop,
    integrated_gradients,
    smooth_grad,
)
from jostle.explain.tracing import trace
from jostle.view import as_view

VECTORS = spaces.Box(-1, 1, (4,), np.float32)
OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def vectors(module: nn.Module, outputs: int = 2) -> Any:
    return as_view(module, kind="logits", observation_space=VECTORS, action_space=spaces.Discrete(outputs))


def of_pictures(module: nn.Module, shape: tuple[int, ...] = (3, SIZE, SIZE), actions: int = 2) -> Any:
    space = spaces.Box(0, 255, shape, np.uint8)
    return as_view(module, kind="logits", observation_space=space, action_space=spaces.Discrete(actions))


@pytest.fixture
def mlp() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def test_all_is_exact_on_a_linear_network() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 2)
    view, w = vectors(linear), linear.weight[0].detach().numpy()
    for found, wanted in [
        (gradient(view, OBS, "logit:0"), np.broadcast_to(w, OBS.shape)),
        (gradient_times_input(view, OBS, "logit:0"), OBS * w),
        (smooth_grad(view, OBS, "logit:0", samples=3), np.broadcast_to(w, OBS.shape)),
        (integrated_gradients(view, OBS, "logit:0", points=1), OBS * w),
        (integrated_gradients(view, OBS, "logit:0", fill=[0, 1, 0, 2], points=3), (OBS - [0, 1, 0, 2]) * w),
    ]:
        assert isinstance(found, Importance)
        np.testing.assert_allclose(found.values, wanted, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_are_captums_and_complete(mlp: nn.Module) -> None:
    view = vectors(mlp)
    found = integrated_gradients(view, OBS, "log_prob:1", points=200)
    captum = IntegratedGradients(lambda x: mlp(x).log_softmax(1)[:, 1])
    wanted = captum.attribute(torch.tensor(OBS), n_steps=200).detach().numpy()
    np.testing.assert_allclose(found.values, wanted, rtol=1e-3, atol=1e-5)
    obs = pictures(2)
    few, many = (integrated_gradients(curved(), obs, "log_prob:0", points=n, fill="black") for n in (2, 64))
    assert isinstance(few, Maps)
    assert isinstance(many, Maps)
    for maps in (few, many):
        error = maps.numbers["completeness error"]
        np.testing.assert_allclose(error, maps.values.sum((1, 2)) - maps.numbers["difference"], rtol=1e-3, atol=1e-4)
    assert np.abs(few.numbers["completeness error"]).max() > 10 * np.abs(many.numbers["completeness error"]).max()


def curved() -> Any:
    """A network that bends between black and any picture."""

    class Squares(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = (x / 255).flatten(1).mean(1)
            return torch.stack([40 * (mean - 0.4).pow(3), mean], 1)

    return of_pictures(Squares())


def test_gradients_by_hand(mlp: nn.Module) -> None:
    view = vectors(mlp)
    x = torch.tensor(OBS, requires_grad=True)
    mlp(x).log_softmax(1)[:, 1].sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(gradient(view, OBS, "log_prob:1").values, x.grad, rtol=1e-4, atol=1e-7)
    picture = gradient(patch_view(), pictures(2), "logit:0")
    subject = ask(patch_view(), pictures(2), "logit:0")
    y = subject.x.clone().requires_grad_()
    subject(y, torch.arange(2)).sum().backward()
    assert y.grad is not None
    np.testing.assert_allclose(picture.values, y.grad.abs().amax(1), rtol=1e-4, atol=1e-9)


def test_smooth_grad_is_the_mean_of_noisy_gradients(mlp: nn.Module) -> None:
    class Kink(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0].relu(), x[:, 1]], 1)

    at = np.array([[0.1, 0.0, -0.4, 0.6]], np.float32)  # the range is 1, so that σ is 0.15
    found = smooth_grad(vectors(Kink()), at, "logit:0", samples=4000, batch=500).values
    from scipy.stats import norm

    assert found[0, 0] == pytest.approx(norm.cdf(0.1 / 0.15), abs=0.03)
    before = torch.get_rng_state()
    one = smooth_grad(vectors(mlp), OBS[1:2], "logit:0").values
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_allclose(smooth_grad(vectors(mlp), OBS, "logit:0").values[1:2], one, rtol=1e-4, atol=1e-7)


def test_guided_backprop_by_hand() -> None:
    layer, relu, out = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]]))
        layer.bias.zero_()
        out.weight.copy_(torch.tensor([[2.0, -3.0, 5.0], [0, 0, 0]]))
    at = np.array([[1.0, 1.0, -1.0, 0.0]], np.float32)
    found = guided_backprop(vectors(nn.Sequential(layer, relu, out)), at, "logit:0")
    assert found.values.tolist() == [[2.0, 0.0, 0.0, 0.0]], "the second comes back negative, the third goes in so"
    assert gradient(vectors(nn.Sequential(layer, relu, out)), at, "logit:0").values.tolist() == [[2.0, -3.0, 0.0, 0.0]]


def test_guided_backprop_goes_through_jostles_chains() -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=4, hidden=(8, 8), activation="relu", seed=1)
    torch.nn.init.normal_(agent.network.policy.weight)  # type: ignore[arg-type]
    found = guided_backprop(agent, OBS, "logit:0")
    network: Any = agent.network
    x = torch.tensor(OBS)
    first = network.actor[0](x)
    second = network.actor[2](first.relu())
    back = network.policy.weight[0].expand(3, -1)
    back = (back.relu() * (second > 0)) @ network.actor[2].weight
    back = (back.relu() * (first > 0)) @ network.actor[0].weight
    np.testing.assert_allclose(found.values, back.detach(), rtol=1e-4, atol=1e-6)


class Functional(nn.Module):
    def __init__(self, call: Any) -> None:
        super().__init__()
        self.a, self.b, self.call = nn.Linear(4, 3), nn.Linear(3, 2), call

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.call(self.a(x)))
        return out


def test_guided_backprop_refuses_what_it_cannot_reach() -> None:
    for call in (F.relu, torch.relu, lambda x: x.relu_(), lambda x: x.clamp(min=0), lambda x: x.clamp_min(0)):
        with pytest.raises(ConfigError, match=r"calls 1 of its 1 ReLUs as functions.*make each a torch\.nn\.ReLU"):
            guided_backprop(vectors(Functional(call)), OBS)
    with pytest.raises(ConfigError, match="has no ReLU"):
        guided_backprop(vectors(Functional(torch.tanh)), OBS)
    impala = jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,))
    obs, _ = impala.env.reset(seed=0)
    with pytest.raises(ConfigError, match="ReLUs as functions"):
        guided_backprop(impala, obs)


class Pooled(nn.Module):
    """Convolution, ReLU, global average pooling, and a linear layer right behind, or another one in between."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.rest = nn.Sequential(*between, nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rest(self.pool(self.relu(self.conv(x.float() / 255))).flatten(1))
        return out


def test_class_activation_maps_by_hand() -> None:
    net = Pooled()
    view, obs = of_pictures(net, actions=3), pictures(2)
    maps = net.relu(net.conv(torch.tensor(obs) / 255))
    weights = net.rest[0].weight  # type: ignore[union-attr]
    wanted = torch.einsum("k,bkhw->bhw", weights[2], maps)  # type: ignore[arg-type]
    wanted = F.interpolate(wanted[:, None], (SIZE, SIZE), mode="bilinear")[:, 0].detach()
    found = cam(view, obs, "logit:2")
    np.testing.assert_allclose(found.values, wanted, rtol=1e-3, atol=1e-6)
    both = grad_cam(view, obs, "logit:2")
    assert both.settings["layer"] == "relu"
    np.testing.assert_allclose(both.values, wanted / (10 * 10), rtol=1e-3, atol=1e-8)
    assert both.signed
    against = [grad_cam(view, obs, f"logit:{a}", positive=True).values for a in range(3)]
    signs = [torch.einsum("k,bkhw->bhw", weights[a], maps) for a in range(3)]  # type: ignore[arg-type]
    assert any((s < 0).any() for s in signs)
    for found_a, s in zip(against, signs, strict=True):
        small = F.interpolate(s.relu()[:, None], (SIZE, SIZE), mode="bilinear")[:, 0].detach()
        np.testing.assert_allclose(found_a, small / 100, rtol=1e-3, atol=1e-8)
    with pytest.raises(ConfigError, match="is not linear, as CAM needs it"):
        cam(of_pictures(Pooled(nn.Linear(4, 4), nn.ReLU()), actions=3), obs, "logit:2")
    with pytest.raises(ConfigError, match="is not linear"):
        cam(view, obs, "log_prob:2")
    with pytest.raises(ConfigError, match="no global average pooling"):
        cam(patch_view(), obs)


def test_cam_of_jostles_encoder_with_pooling() -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala-gap", hidden=(), shared=True, seed=2
    )
    obs, _ = agent.env.reset(seed=0)
    found = cam(agent, obs, "logit:1")
    network: Any = agent.network
    maps = network.encoder.convolutions[:-2](network.encoder.images(torch.tensor(obs)))
    wanted = torch.einsum("k,bkhw->bhw", network.policy.weight[1], maps)
    wanted = F.interpolate(wanted[:, None], (32, 32), mode="bilinear")[:, 0].detach()
    np.testing.assert_allclose(found.values, wanted, rtol=1e-3, atol=1e-6)


METHODS = {
    "gradient": lambda v, o: gradient(v, o, "logit:0"),
    "gradient × input": lambda v, o: gradient_times_input(v, o, "logit:0"),
    "SmoothGrad": lambda v, o: smooth_grad(v, o, "logit:0", samples=5),
    "guided backprop": lambda v, o: guided_backprop(v, o, "logit:0"),
    "integrated gradients": lambda v, o: integrated_gradients(v, o, "logit:0", points=8),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_planted_patch_is_found_and_nothing_where_it_is_ignored(method: str) -> None:
    obs = pictures(3)
    found = METHODS[method](patch_view(), obs)
    assert found.method == method
    assert mass_in_patch(found.values).min() > 0.999
    assert not METHODS[method](patch_view(0.0), obs).values.any()


def test_grad_cam_finds_a_planted_place() -> None:
    """Grad-CAM weighs maps, so that it finds places by what lights up there: a bright ball on the dark."""

    class Bright(nn.Module):
        def __init__(self, weight: float) -> None:
            super().__init__()
            self.conv, self.relu, self.out = nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Linear(2, 2)
            with torch.no_grad():
                self.conv.weight.fill_(0.1)
                self.conv.bias.fill_(-0.5)
                self.out.weight.copy_(torch.tensor([[weight, 0.0], [0.0, 0.0]]))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(self.relu(self.conv(x.float() / 255)).mean((2, 3)))
            return out

    obs = np.zeros((1, 3, SIZE, SIZE), np.uint8)
    obs[:, :, 6:11, 12:17] = 255
    assert mass_in_patch(grad_cam(of_pictures(Bright(1.0)), obs, "logit:0").values).min() > 0.7
    assert not grad_cam(of_pictures(Bright(0.0)), obs, "logit:0").values.any()


def test_recurrent_policies_are_explained_at_their_own_state(tmp_path: Any) -> None:
    agent = jostle.PPO(
        "CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), shared=True, recurrent="lstm", recurrent_size=4,
        noisy="factorised", minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip
    recorded = trace(agent, tmp_path / "t", episodes=2, noise="sampled", max_steps=9)
    rows = np.array([5, 12])
    found = integrated_gradients(agent, recorded.steps(rows), "value", points=9, batch=1)
    view = recorded.prepared(as_view(agent))
    for place, row in enumerate(rows):
        step = recorded.steps([int(row)])
        x = torch.tensor(step.obs, requires_grad=True)
        view.forward(x, state=step.state, draw=step.draw).value.sum().backward()  # type: ignore[union-attr]
        alone = integrated_gradients(agent, step, "value", points=9)
        np.testing.assert_allclose(found.values[place], alone.values[0], rtol=1e-3, atol=1e-6)
        own = gradient(agent, recorded.steps(rows), "value").values[place]
        assert x.grad is not None
        np.testing.assert_allclose(own, x.grad[0], rtol=1e-3, atol=1e-6)


def test_an_intrinsic_reward_is_explained() -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(8,), bonus="rnd", seed=1).learn(64)
    bonus: Any = agent.bonuses[0]
    target = intrinsic_reward(bonus)
    before = str(bonus.state_dict())
    found = gradient(agent, OBS, target)
    assert found.target == "intrinsic reward (rnd)"
    subject = ask(agent, OBS, target)
    step = torch.zeros(4)
    step[2] = 1e-2
    with torch.no_grad():
        ahead, behind = subject(subject.x + step), subject(subject.x - step)
    np.testing.assert_allclose(found.values[:, 2], (ahead - behind) / 2e-2, rtol=0.2, atol=1e-3)
    assert str(bonus.state_dict()) == before
    with pytest.raises(ConfigError, match="depends on more than"):
        intrinsic_reward(object())


def test_bad_input() -> None:
    obs = pictures(1)
    for call, said in [
        (lambda: gradient(patch_view(), obs, "kl"), "use integrated gradients or perturbation"),
        (lambda: gradient(patch_view(), obs, "policy"), "several numbers, which have no one gradient"),
        (lambda: grad_cam(patch_view(), obs, layer="outt"), "did you mean out"),
        (lambda: grad_cam(patch_view(), obs, layer="out"), r"puts out \[1, 2\] and no feature maps.*'relu'"),
        (lambda: grad_cam(vectors(nn.Linear(4, 2)), OBS), "no pictures"),
        (lambda: smooth_grad(patch_view(), obs, samples=0), "samples=0"),
        (lambda: integrated_gradients(vectors(nn.Linear(4, 2)), OBS, fill=[1, 2]), r"a baseline of \[2\]"),
    ]:
        with pytest.raises(ConfigError, match=said):
            call()
    acting = as_view(lambda seen: (seen[:, 2] > 0).astype(int), env="CartPole-v1")
    with pytest.raises(ConfigError, match="no gradient of 'prob' reaches the observations of policy"):
        gradient(acting, OBS)
    grid = jostle.PPO(lambda: _Codes(), num_envs=2, num_steps=4, encoder="grid", hidden=(8,))
    with pytest.raises(ConfigError, match="no gradient of 'log_prob' reaches the observations of ppo"):
        gradient(grid, np.zeros((1, 7, 7, 3), np.uint8))


class _Codes:
    """Symbols on a grid."""

    def __new__(cls) -> Any:
        import gymnasium as gym

        class Env(gym.Env[Any, Any]):
            observation_space = spaces.Box(0, 255, (7, 7, 3), np.uint8)
            action_space = spaces.Discrete(2)

            def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
                return np.zeros((7, 7, 3), np.uint8), {}

        return Env()
