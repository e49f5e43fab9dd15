"""Settings of randomness in the input reach the layer in the network, of PPO and of DQN alike."""

from typing import Any

import pytest
import torch
from torch import Tensor

import jostle
from jostle.algo.told import in_bytes
from jostle.nn.augment import Cutout, Shift
from jostle.nn.colour import Grey, Inversion, Jitter
from jostle.nn.input_layer import InputLayer
from jostle.nn.noise import Noise
from jostle.nn.random_conv import RandomConv2d

AGENTS: dict[str, Any] = {"ppo": jostle.PPO, "dqn": jostle.DQN}
PIXELS = 32  # of the themed game's pictures
SMALL: dict[str, dict[str, Any]] = {"ppo": {"num_steps": 4}, "dqn": {"replay_size": 100}}

both = pytest.mark.parametrize("algorithm", list(AGENTS))


def make(algorithm: str, **settings: Any) -> Any:
    settings = {"hidden": (8,), "num_envs": 3} | SMALL[algorithm] | settings
    return AGENTS[algorithm]("jostle/ThemedCatch-v0", **settings)


def layers(agent: Any) -> list[InputLayer]:
    """One of each network: DQN has a target."""
    networks = [agent.network, agent.target] if isinstance(agent, jostle.DQN) else [agent.network]
    found = [m for network in networks for m in network.modules() if isinstance(m, InputLayer)]
    assert len(found) == len(networks)
    return found


def through(layer: InputLayer, channels: int = 3) -> Tensor:
    """64 pictures, each through a draw of its own; layers that need as many numbers for a draw get the same ones."""
    x = torch.rand(64, channels, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    noise = Noise(layer, seed=7, role="test", slots=len(x))
    with noise.using(torch.arange(len(x))):
        seen: Tensor = layer(x)
    return seen


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clean": ({"input_clean": 0.6}, {"clean": 0.6}),
    "kernel": ({"input_kernel": 5}, {"kernel_size": 5}),
    "depth": ({"input_depth": 2}, {"depth": 2}),
    "init": ({"input_init": "xavier-truncated"}, {"init": "xavier-truncated"}),
    # An identity kernel is seen where there is an output map alone.
    "mixing": ({"input_mixing": "identity", "input_output": "sigmoid"}, {"mixing": "identity", "output": "sigmoid"}),
    "sigmoid": ({"input_output": "sigmoid"}, {"output": "sigmoid"}),
    "clip": ({"input_output": "clip"}, {"output": "clip"}),
    "moments": ({"input_output": "moments"}, {"output": "moments"}),
    "keep": ({"input_keep": (1, 2, 7, 5)}, {"keep": (1, 2, 7, 5)}),
}


@both
@pytest.mark.parametrize("case", list(CASES))
def test_the_random_convolution_is_that_of_the_settings(algorithm: str, case: str) -> None:
    """Made by hand with these options it does the same to every picture, and with any one of them left out another."""
    settings, options = CASES[case]
    expected = through(RandomConv2d(3, 1, **{"clean": 0.1} | options))
    for left_out in options:
        fewer = {name: value for name, value in options.items() if name != left_out}
        assert not torch.equal(through(RandomConv2d(3, 1, **{"clean": 0.1} | fewer)), expected)
    for layer in layers(make(algorithm, input_noise="random-conv", **settings)):
        assert torch.equal(through(layer), expected)


@both
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cutout", Cutout), ("grey", Grey), ("inversion", Inversion), ("jitter", Jitter), ("shift", Shift)],
)
def test_other_layers_heed_the_settings_that_concern_them(algorithm: str, kind: str, expected: Any) -> None:
    by_hand = through(expected(3, 1, clean=0.6, keep=(1, 2, 7, 5), **{"pad": 2} if kind == "shift" else {}))
    agent = make(algorithm, input_noise=kind, input_clean=0.6, input_keep=(1, 2, 7, 5))
    for layer in layers(agent):
        assert type(layer) is expected
        assert torch.equal(through(layer), by_hand)


@both
@pytest.mark.parametrize(("setting", "frames"), [(None, 2), (3, 3)])
def test_frames_are_those_of_the_setting_or_of_the_environment(algorithm: str, setting: Any, frames: int) -> None:
    """Two pictures of three channels are stacked: six channels."""
    agent = make(algorithm, input_noise="random-conv", input_frames=setting, env_options={"frame_stack": 2})
    expected = through(RandomConv2d(6 // frames, frames, clean=0.1), channels=6)
    for layer in layers(agent):
        assert (layer.frames, layer.channels) == (frames, 6 // frames)
        assert torch.equal(through(layer, channels=6), expected)


@pytest.mark.parametrize(
    ("per", "use", "told"),
    [
        # A draw is 3·3 kernels of 3×3 and the clean flag: 82 numbers of 4 bytes.
        ("iteration", "act", "1 draws (one per iteration), 328 bytes"),
        ("env", "act", "3 draws (one per env), 984 bytes"),
        ("episode", "act", "12 draws (one per episode), 3.94 kB"),  # episodes of one step, and the row between each two
        ("sample", "act", "15 draws (one per sample), 4.92 kB"),  # the last observation too
        ("iteration", "drac", "1 draws (one per iteration), 328 bytes"),
        ("env", "svea", "3 draws (one per env), 984 bytes"),
        ("sample", "drac", "10 draws (one per sample), 3.28 kB"),  # a minibatch, and a sequence more
    ],
)
def test_ppo_tells_how_many_draws_there_are_and_what_they_weigh(per: str, use: str, told: str) -> None:
    agent = make("ppo", input_noise="random-conv", input_per=per, input_use=use, minibatches=2)
    assert agent.storage()["input"] == told
    (layer,) = layers(agent)
    assert told.startswith(f"{len(layer.noise)} ")


@pytest.mark.parametrize(("each", "told"), [(True, "3 draws (one per env)"), (False, "1 draws (one per rollout)")])
def test_ppo_tells_what_the_draws_of_its_weights_weigh(each: bool, told: str) -> None:
    """Independent noise in a layer behind pictures takes megabytes per environment, and as many in a checkpoint."""
    agent = make("ppo", noisy="independent", noise_per_env=each)
    weigh = sum(layer.noise.numel() * 4 for layer in agent.noise.layers.values())
    assert agent.storage()["noise"] == f"{told}, {in_bytes(weigh)}"
    assert "noise" not in make("ppo").storage()


@pytest.mark.parametrize(
    ("per", "use", "told"),
    [
        ("iteration", "act", "acts under 1 draws, learns under 1 (one per iteration)"),
        ("env", "act", "acts under 3 draws, learns under 1 (one per env)"),
        ("sample", "act", "acts under 3 draws, learns under 16 (one per sample)"),
        ("sample", "svea", "acts clean, learns under 16 (one per sample)"),
    ],
)
def test_dqn_tells_how_many_draws_there_are(per: str, use: str, told: str) -> None:
    agent = make("dqn", input_noise="random-conv", input_per=per, input_use=use, batch_size=16)
    assert agent.storage()["input"] == told


@both
def test_nothing_is_told_where_nothing_is_drawn(algorithm: str) -> None:
    assert "input" not in make(algorithm).storage()
