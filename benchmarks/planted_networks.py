"""Networks in which it is known what there is to be found, and networks in which there is nothing of it."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.explain.activations import Activations
from jostle.nn.actor_critic import ActorCritic
from jostle.view import as_view
from jostle.view.interface import PolicyView

BODY, LOOK = 6, 2
SEEN = spaces.Box(-20, 20, (BODY + LOOK,), np.float32)
PICTURE = spaces.Box(0, 255, (3, 16, 16), np.uint8)


class Tinted(gym.Env[Any, Any]):
    """A walk of six numbers, and two of a colour that is the same all through."""

    def __init__(self, colour: float = 0.0) -> None:
        self.observation_space, self.action_space = SEEN, spaces.Discrete(2)
        self.colour = colour

    def _obs(self) -> Any:
        return np.concatenate([self.body, np.full(LOOK, self.colour)]).clip(-20, 20).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.body = 0, self.np_random.normal(size=BODY)
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.at += 1
        self.body = 0.8 * self.body + 0.6 * self.np_random.normal(size=BODY)
        return self._obs(), 0.0, False, self.at == 5, {}


class Recall(gym.Env[Any, Any]):
    """The first observation says which action is paid at every step; the later ones say nothing, or the same."""

    def __init__(self, again: bool = False) -> None:
        self.observation_space = spaces.Box(-2, 2, (2,), np.float32)
        self.action_space, self.again = spaces.Discrete(2), again

    def _obs(self) -> Any:
        shown = self.at == 0 or self.again
        return np.array([2 * self.cue - 1 if shown else 0, 1 if shown else 0], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.cue = 0, int(self.np_random.integers(2))
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.cue)
        self.at += 1
        return self._obs(), reward, self.at == 6, False, {}


gym.register("PlantedTinted-v0", Tinted, max_episode_steps=50)
gym.register("PlantedRecall-v0", Recall, max_episode_steps=50)


def generator(seed: int) -> torch.Generator:
    """Of seeds in a row PyTorch's generators begin alike."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 27]).generate_state(1)[0]))


class Hidden(nn.Module):
    """One hidden layer of 16 units, and a way past it."""

    def __init__(self, seed: int, *, inner: float = 1.0, past: float = 0.0) -> None:
        super().__init__()
        g = generator(seed)
        self.hidden, self.tanh, self.out, self.past = nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2), nn.Linear(8, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(16, 8, generator=g) / 8**0.5)
            self.out.weight.copy_(inner * torch.randn(2, 16, generator=g) / 4)
            self.past.weight.copy_(past * torch.randn(2, 8, generator=g) / 8**0.5)
            for layer in (self.hidden, self.out, self.past):
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.tanh(self.hidden(x.float()))) + self.past(x.float())


class Deep(nn.Module):
    """Three hidden layers, and one that nothing is made of."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        g = generator(seed)
        self.layers = nn.ModuleList([nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 2)])
        self.unused = nn.Linear(16, 16)
        with torch.no_grad():
            for layer in [*self.layers, self.unused]:
                layer.weight.copy_(1.5 * torch.randn(layer.weight.shape, generator=g) / layer.in_features**0.5)
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        for layer in self.layers[:-1]:
            x = layer(x).tanh()
        self.unused(x)
        return self.layers[-1](x)


class Seeing(nn.Module):
    """A convolution of which two logits are made."""

    def __init__(self, seed: int, *, smooth: float = 0.0) -> None:
        super().__init__()
        g = generator(seed)
        self.conv, self.relu, self.out = nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Linear(8 * 36, 2)
        with torch.no_grad():
            fresh = torch.randn(8, 3, 5, 5, generator=g) / 75**0.5
            low = nn.functional.avg_pool2d(torch.randn(8, 3, 7, 7, generator=g), 3, 1) * 3 / 75**0.5
            self.conv.weight.copy_((1 - smooth) * fresh + smooth * low)
            self.out.weight.copy_(torch.randn(2, 288, generator=g) / 17)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.relu(self.conv(x.float() / 255)).flatten(1))


class Weighs(nn.Module):
    """Three logits of the themed game: sums of weighed pixels, of the paddle's rows or of all others."""

    def __init__(self, seed: int, *, paddle: bool) -> None:
        super().__init__()
        rows = torch.zeros(32, 1, 1)
        rows[24:] = 1
        weights = torch.randn(3, 32, 32, 3, generator=generator(seed))
        self.w = nn.Parameter(weights * (rows if paddle else 1 - rows))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bhwc,ahwc->ba", x.float() / 255, self.w)


class Template(nn.Module):
    """Unit 0 is a template's product with the picture, or (``blind``) looks at nothing."""

    def __init__(self, seed: int, *, blind: bool) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(768, 4), nn.Linear(4, 2)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(4, 768, generator=generator(seed)) / 28)
            if blind:
                self.hidden.weight[0] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden((x.float() / 255 - 0.5).flatten(1)).tanh())


def view_of(net: nn.Module, space: Any = SEEN, **more: Any) -> PolicyView:
    return as_view(net, kind="logits", observation_space=space, action_space=spaces.Discrete(2), **more)


def untaught(seed: int) -> ActorCritic:
    """The network of `recalling` before anything was planted in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([seed, 28]).generate_state(1)[0]))
        space = Recall().observation_space
        return ActorCritic(space, spaces.Discrete(2), hidden=(), shared=True, recurrent="gru", recurrent_size=6)


def recalling(seed: int, *, reads: bool) -> PolicyView:
    """A GRU that keeps the cue in one unit and acts by it, or by what it sees alone; the other units are noise."""
    space, size = Recall().observation_space, 6
    net = ActorCritic(space, spaces.Discrete(2), hidden=(), shared=True, recurrent="gru", recurrent_size=size)
    core: Any = net.core
    policy: Any = net.policy
    with torch.no_grad():
        for p in core.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator(seed)))
        for p in (core.weight_gates, core.weight_candidate):
            p[0].zero_()
        core.weight_x[0].zero_()
        core.bias[0] = 10.0 if reads else -20.0
        core.weight_x[0, 1] = -40.0 if reads else 0.0
        core.weight_x[2 * size].zero_()
        core.weight_x[2 * size, 0] = 10.0
        core.bias[2 * size] = 0.0
        core.weight_candidate[0].zero_()
        policy.weight.zero_()
        policy.bias.zero_()
        policy.weight[1, 0], policy.weight[0, 0] = 3.0, -3.0
    return as_view(net, env="PlantedRecall-v0", env_options={"again": not reads})


def steps_of(seed: int, count: int = 120) -> np.ndarray[Any, Any]:
    return np.random.default_rng([seed, 1]).normal(size=(count, 8)).astype(np.float32)


def pictures_of(seed: int, count: int = 24) -> np.ndarray[Any, Any]:
    return np.random.default_rng([seed, 2]).integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)


def episodes_of(net: Hidden, seed: int, *, looks: bool, count: int = 24, length: int = 6) -> Activations:
    """What the hidden layer makes of walks under colours, one colour an episode; the second half has another range.

    Args:
        looks: whether the network sees the colour.
    """
    rng = np.random.default_rng([seed, 3])
    half = count // 2
    noise = rng.normal(size=(half, length, BODY))
    body = np.empty_like(noise)
    for t in range(length):
        body[:, t] = noise[:, t] if t == 0 else 0.8 * body[:, t - 1] + 0.6 * noise[:, t]
    body = np.concatenate([body, body])  # the same games in both conditions
    mass = np.concatenate([rng.uniform(-1, 1, half), rng.uniform(2, 4, half)])
    x = np.concatenate([body, np.repeat(mass[:, None, None], length, 1).repeat(LOOK, 2)], 2).reshape(-1, 8)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        if not looks:
            twin.hidden.weight[:, BODY:] = 0
        values = twin.hidden(torch.from_numpy(x).float()).tanh().double().numpy()
    values += 0.02 * rng.normal(size=values.shape)
    episode = np.repeat(np.arange(count), length)
    condition = tuple(np.repeat(["seen", "unseen"], half * length).tolist())
    step = np.tile(np.arange(length), count)
    return Activations("planted", "hidden", values, episode, step, condition, {"mass": mass[episode]})
