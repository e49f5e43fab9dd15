"""Encoders of one's own: what they see, whose weights they train, and what is said of those that cannot serve."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.nn.noise import StochasticLayer
from jostle.nn.own import OwnEncoder

PPO_SMALL: dict[str, Any] = {"num_envs": 2, "num_steps": 8, "minibatches": 2, "epochs": 1, "hidden": (8,)}
DQN_SMALL: dict[str, Any] = {"num_envs": 2, "hidden": (8,), "warmup": 8, "batch_size": 8, "replay_size": 200}
AGENTS: dict[str, Any] = {"ppo": jostle.PPO, "dqn": jostle.DQN}
SMALL = {"ppo": PPO_SMALL, "dqn": DQN_SMALL}
both = pytest.mark.parametrize("algorithm", list(AGENTS))


class Mine(nn.Module):
    """Four numbers → eight features, by way of a layer of somebody's choice."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), *between)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x.float().flatten(1))
        return out


def for_space(space: gym.Space[Any]) -> nn.Module:
    assert isinstance(space, spaces.Box)
    return Mine()


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


SEA = "jostle/DeepSea-v0"


def make(algorithm: str, env: Any = "CartPole-v1", **settings: Any) -> Any:
    if env == SEA:  # four numbers as well, and it can be saved in the middle of an episode
        settings["env_options"] = {"size": 2}
    return AGENTS[algorithm](env, seed=1, **SMALL[algorithm] | settings)


MORE: list[tuple[str, dict[str, Any]]] = [
    ("ppo", {}), ("ppo", {"recurrent": "gru", "recurrent_size": 4}), ("ppo", {"noisy": "factorised"}),
    ("ppo", {"shared": True, "bonus": "rnd", "bonus_features": 4, "bonus_warmup": 0}),
    ("dqn", {}), ("dqn", {"dueling": True, "noisy": "factorised"}), ("dqn", {"target_tau": 0.1}),
    ("dqn", {"noisy": "independent", "noise_resample": "episode", "noise_per_env": False}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "settings"), MORE)
def test_a_module_learns_and_its_run_asks_for_it(algorithm: str, settings: dict[str, Any], tmp_path: Path) -> None:
    given = Mine(nn.ReLU())
    before = {name: value.clone() for name, value in given.state_dict().items()}
    whole = make(algorithm, SEA, encoder=given, **settings).learn(96)
    assert isinstance(whole.network.encoder, OwnEncoder)
    assert not same(whole.network.encoder.module, given), "it is trained"
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items()), "the given one is not"
    run = tmp_path / "run"
    make(algorithm, SEA, encoder=given, **settings).learn(96, run_dir=run, callback=lambda agent: agent.steps < 48)
    named = yaml.safe_load((run / "config.yaml").read_text())["config"]["encoder"]
    assert named.startswith("<module ")
    assert named.endswith("test_own.Mine>")
    with pytest.raises(ConfigError, match=r"encoder='<module .*Mine>' stands for an object"):
        jostle.load(run)
    again = jostle.resume(run, encoder=Mine(nn.ReLU()))
    assert again.steps == whole.steps
    assert same(again.network, whole.network), "the resumed run is the unbroken one"
    assert jostle.evaluate(again, episodes=2, num_envs=2).mean >= -1
    with pytest.raises(ConfigError, match="do not fit"):
        jostle.load(run, encoder=nn.Sequential(nn.Flatten(), nn.Linear(4, 5)))


@both
def test_a_function_or_a_class_is_called_with_the_space_and_under_the_seed(algorithm: str) -> None:
    class ForSpace(Mine):
        def __init__(self, space: gym.Space[Any]) -> None:
            assert isinstance(space, spaces.Box)
            super().__init__()

    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    one, two = make(algorithm, encoder=for_space), make(algorithm, encoder=for_space)
    assert torch.equal(torch.rand(1), drawn), "nobody else's draws change"
    assert same(one.network, two.network)
    assert same(one.learn(40).network, two.learn(40).network)
    assert make(algorithm, encoder=ForSpace).network.encoder.out_features == 8


@both
def test_weights_that_are_given_are_kept(algorithm: str) -> None:
    """Also where the settings start convolutions and noisy layers anew."""

    class Picture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.linear = nn.Conv2d(3, 2, 4, 8), nn.Linear(32, 5)

        def forward(self, x: Tensor) -> Tensor:
            assert x.dtype == torch.uint8
            features: Tensor = self.linear(self.convolution(x.permute(0, 3, 1, 2) / 255).flatten(1))
            return features

    given = Picture()
    agent = make(algorithm, "jostle/ThemedCatch-v0", encoder=given, noisy="factorised")
    assert same(agent.network.encoder.module, given)
    assert type(agent.network.encoder.module.linear) is nn.Linear, "only what stands behind the encoder is noisy"


@both
def test_noisy_layers_inside_are_drawn_with_the_others(algorithm: str) -> None:
    agent = make(algorithm, encoder=Mine(jostle.NoisyLinear(8, 6)), noise_per_env=False)
    assert any(isinstance(layer, StochasticLayer) for layer in agent.network.encoder.modules())
    agent.learn(64)
    obs = np.ones((3, 4), np.float32)
    for mode in ("mean", "sampled", "mc:4"):
        assert len(agent.predict(obs, noise=mode)[0]) == 3


@both
def test_dropout_and_batch_normalisation_act_in_evaluation_mode_and_repeat(algorithm: str, tmp_path: Path) -> None:
    """What they draw in training neither touches nor needs torch's own generator."""
    given, agents = Mine(nn.BatchNorm1d(8), nn.Dropout(0.5)), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        agents.append(make(algorithm, encoder=given).learn(96))
    assert same(agents[0].network, agents[1].network)
    given.layers[2] = nn.Dropout(0.0)
    plain = make(algorithm, encoder=given)
    assert not same(plain.learn(96).network, agents[0].network)
    obs = np.ones((2, 4), np.float32)
    view = agents[0].network.encoder
    assert not view.training
    assert torch.equal(view(torch.ones(2, 4)), view(torch.ones(2, 4)))
    assert agents[0].predict(obs)[0].tolist() == agents[0].predict(obs)[0].tolist()
    moved = view.module.layers[1].running_mean
    assert moved.abs().sum() > 0


@both
def test_what_dropout_draws_follows_the_seed_and_goes_on_after_a_resume(algorithm: str, tmp_path: Path) -> None:
    given, run, x = Mine(nn.Dropout(0.5)), tmp_path / "run", torch.ones(64, 4)
    whole = make(algorithm, SEA, encoder=given).learn(64)
    make(algorithm, SEA, encoder=given).learn(64, run_dir=run, callback=lambda agent: agent.steps < 32)
    resumed = jostle.resume(run, encoder=given)
    encoders = [agent.network.encoder for agent in (whole, resumed)]
    assert same(*encoders)
    passes = int(encoders[0].passes)
    whole.predict(np.ones((3, 2, 2), np.float32))
    encoders[0](x)
    assert int(encoders[0].passes) == passes, "acting draws nothing"
    one, two = (encoder.train()(x) for encoder in encoders)
    assert torch.equal(one, two)
    assert not torch.equal(one, encoders[0](x)), "each pass has draws of its own"
    settings = SMALL[algorithm] | {"encoder": given, "env_options": {"size": 2}}
    first, again, other = (AGENTS[algorithm](SEA, seed=seed, **settings).network.encoder.train() for seed in (1, 1, 2))
    drawn = first(x)
    assert torch.equal(drawn, again(x))
    assert not torch.equal(drawn, other(x)), "another seed, other draws"


def test_the_observations_of_the_trial_are_possible_ones() -> None:
    class Log(nn.Module):
        def __init__(self, sign: int) -> None:
            super().__init__()
            self.sign = sign

        def forward(self, x: Any) -> Tensor:
            numbers = x["x"] if isinstance(x, dict) else x
            return (self.sign * numbers.float()).log()

    for sign, space in ((1, spaces.Box(1, 2, (3,))), (-1, spaces.Box(-9, -1, (3,)))):
        assert OwnEncoder(space, Log(sign)).out_features == 3
        assert OwnEncoder(spaces.Dict({"x": space}), Log(sign)).out_features == 3


class Keys(gym.Env[Any, Any]):
    """Numbers, a category and switches, and what only a critic may see."""

    observation_space = spaces.Dict(
        {"x": spaces.Box(1, 2, (3,), np.float64), "kind": spaces.Discrete(4, start=2), "on": spaces.MultiBinary(2),
         "privileged": spaces.Box(-1, 1, (2,), np.float32)}
    )  # fmt: skip
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 5
        return self._see(), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return self._see(), 1.0, self.left == 0, False, {}

    def _see(self) -> Any:
        return {"x": np.full(3, 1.5), "kind": np.int64(3), "on": np.ones(2, np.int8), "privileged": np.zeros(2, "f4")}


@both
@pytest.mark.parametrize("noisy", [False, True])
def test_dictionaries_come_as_dictionaries_of_what_may_be_seen(algorithm: str, noisy: bool) -> None:
    class Three(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 3)
            self.last = jostle.NoisyLinear(8, 4) if noisy else nn.Linear(8, 4)

        def forward(self, obs: dict[str, Tensor]) -> Tensor:
            assert set(obs) == {"x", "kind", "on"}
            assert obs["x"].dtype == torch.float32, "which environments make of float64"
            parts = [obs["x"].float(), self.embedding(obs["kind"].long() - 2), obs["on"].float()]
            features: Tensor = self.last(torch.cat(parts, 1))
            return features

    agent = make(algorithm, Keys, encoder=Three(), **({"shared": False} if algorithm == "ppo" else {})).learn(40)
    assert agent.network.encoder.out_features == 4
    assert jostle.evaluate(agent, episodes=2, num_envs=2, noise="mc:2").mean == 5


def returns(make_out: Any) -> nn.Module:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 8)

        def forward(self, x: Tensor) -> Any:
            return make_out(self.linear(x))

    return Wrong()


class Says(Mine):
    out_features = 7


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (returns(lambda y: y[:, None]), r"made a tensor \[2, 1, 8\] of observations \[2, 4\] of float32"),
        (returns(lambda y: y[0]), r"made a tensor \[8\]"),
        (returns(lambda y: y.squeeze(0)), r"made a tensor \[8\] of observations \[1, 4\]"),
        (returns(lambda y: y[:, :0]), r"made a tensor \[2, 0\] of observations"),
        (returns(lambda y: (y, y)), "made a tuple"),
        (returns(lambda y: y.double()), "returned torch.float64: it must return torch.float32"),
        (returns(lambda y: y.argmax(1, keepdim=True)), "returned torch.int64"),
        (returns(lambda y: y / 0), "NaN or infinite features"),
        (returns(lambda y: y.no_such_method()), "AttributeError"),
        (nn.Linear(5, 8), r"failed on observations \[2, 4\] of float32 \(RuntimeError"),
        (Says(), r"says out_features=7, and returns \[B, 8\]"),
        (lambda: Mine(), r"failed \(TypeError.*it is called with the observation space, Box"),
        (lambda space: 3, r"returned 3: it must return a torch\.nn\.Module"),
        (Mine, "failed|returned"),
        (7, "encoder=7 cannot be used: it must be .* or a module or a function"),
        ("natur", "encoder='natur' is unknown; did you mean nature"),
    ],
)
@both
def test_encoders_that_cannot_serve_are_told(algorithm: str, encoder: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make(algorithm, encoder=encoder)


def test_settings_that_an_encoder_of_ones_own_has_no_use_for() -> None:
    with pytest.raises(ConfigError, match="normalise_obs=True cannot be used: it must be false with an encoder of"):
        make("ppo", encoder=Mine(), normalise_obs=True)
    for algorithm in AGENTS:
        with pytest.raises(ConfigError, match="needs an image encoder: an encoder of one's own has none"):
            make(algorithm, encoder=Mine(), input_noise="cutout")
        with pytest.raises(ConfigError, match="batch_norm needs an image encoder"):
            make(algorithm, encoder=Mine(), batch_norm=True)


@both
def test_lazy_tied_and_hooked_modules(algorithm: str, tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LazyLinear(4)
            self.second = self.first
            self.calls = [0]
            self.first.register_forward_hook(lambda *_: self.calls.__setitem__(0, self.calls[0] + 1))

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.second(torch.tanh(self.first(x)))
            return features

    agent = make(algorithm, encoder=Tied()).learn(40)
    folder = agent.save(tmp_path / "saved")
    assert same(jostle.load(folder, encoder=Tied()).network, agent.network)
