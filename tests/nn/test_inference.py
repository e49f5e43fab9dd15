"""Acting under a stated inference mode, for noise in weights, input or both: draws, averages, hidden states."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from jostle.errors import ConfigError
from jostle.nn import inference as inference_module
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.augment import to_random_input
from jostle.nn.disagreement import action_variance, mutual_information, value_variance
from jostle.nn.encoders import Encoder
from jostle.nn.inference import Inference, PolicyActor, QActor
from jostle.nn.input_layer import InputLayer
from jostle.nn.noise import StochasticLayer
from jostle.nn.noisy import to_noisy
from jostle.nn.policy import QNetwork
from jostle.nn.regularise import add_batch_norm

PICTURES = spaces.Box(0, 255, (3, 40, 40), np.uint8)
VECTORS = spaces.Box(-1, 1, (5,), np.float32)
BOTH = spaces.Dict({"eye": PICTURES, "speed": VECTORS})
FOUR = spaces.Discrete(4)
NOISES = ["input", "weights", "both"]


def noisy(network: nn.Module, kind: str, **options: Any) -> nn.Module:
    if kind in ("input", "both"):
        to_random_input(network, "random-conv", **options)
    if kind in ("weights", "both"):
        to_noisy(network, sigma0=2.0)
    return network


def policy(kind: str, actions: gym.Space[Any] = FOUR, space: gym.Space[Any] = PICTURES, **options: Any) -> ActorCritic:
    torch.manual_seed(0)
    network = ActorCritic(space, actions, hidden=(16,), shared=True, **options)
    with torch.no_grad():
        for parameter in network.policy.parameters():
            parameter.mul_(100)  # so that draws are told apart
    noisy(network, kind)
    return network


def observations(rows: int, space: gym.Space[Any] = PICTURES, seed: int = 0) -> Any:
    space.seed(seed)
    samples = [space.sample() for _ in range(rows)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([s[key] for s in samples]) for key in space.spaces}
    return np.stack(samples)


def tensors(obs: Any) -> Any:
    return {k: torch.as_tensor(v) for k, v in obs.items()} if isinstance(obs, dict) else torch.as_tensor(obs)


def one_by_one(actor: PolicyActor, obs: Any, draws: int) -> torch.Tensor:
    """Parameters of every draw [M, B, P], in a loop of plain forward passes."""
    results = []
    for m in range(draws):
        with torch.no_grad(), actor.noise.using(m, "randomised"):
            results.append(actor.network.act(tensors(obs))[0])
    return torch.stack(results)


@pytest.mark.parametrize("text", ["mean", "fixed", "sampled", "mc:1", "mc:16"])
def test_modes_are_read_and_written(text: str) -> None:
    assert str(Inference.parse(text)) == text


@pytest.mark.parametrize("text", ["clean", "mc", "mc:0", "mc:-1", "mc:99999", "fixed:2", ""])
def test_unknown_modes(text: str) -> None:
    with pytest.raises(ConfigError, match="'mean', 'fixed', 'sampled' or 'mc:M'"):
        Inference.parse(text)


@pytest.mark.parametrize("piece", [64, 8, 2])
@pytest.mark.parametrize("space", [PICTURES, BOTH])
@pytest.mark.parametrize("kind", NOISES)
def test_probabilities_are_averaged_not_logits(
    kind: str, space: gym.Space[Any], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_module, "PIECE", piece)
    actor = PolicyActor(policy(kind, space=space), Inference("mc", 6), rows=3)
    found: list[torch.Tensor] = []
    choose = actor._choose
    actor._choose = lambda pi: (found.append(pi), choose(pi))[1]  # type: ignore[method-assign]
    obs = observations(3, space)
    action = actor.act(obs)
    each = one_by_one(actor, obs, 6)
    torch.testing.assert_close(found[0], each, atol=1e-4, rtol=1e-4)
    assert (each[0] - each[1]).abs().min() > 1e-3  # the draws differ
    p = each.softmax(-1)
    assert action.tolist() == p.mean(0).argmax(-1).tolist()
    information = entropy(p.mean(0)) - entropy(p).mean(0)
    np.testing.assert_allclose(actor.disagreement, information, atol=1e-5)
    assert actor.disagreement.shape == (3,)


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * p.log()).sum(-1)


def test_a_confident_minority_is_not_outvoted() -> None:
    """Two draws that are sure of action 0 and one beyond all measure of action 1: by logits 1 would win."""
    actor = PolicyActor(policy("input", spaces.Discrete(2)), Inference("mc", 3), rows=1)
    pi = torch.tensor([[[4.0, 0.0]], [[4.0, 0.0]], [[0.0, 100.0]]])
    assert actor._choose(pi).tolist() == [0]
    assert pi.mean(0).argmax(-1).tolist() == [1]


def test_sampled_actions_follow_the_mixture() -> None:
    actor = PolicyActor(policy("input", spaces.Discrete(2)), Inference("mc", 2), rows=4000, sample=True)
    pi = torch.tensor([[[20.0, 0.0]], [[0.0, math.log(3)]]]).expand(2, 4000, 2)  # ½ · 1 + ½ · ¼
    assert actor._choose(pi).double().mean().item() == pytest.approx(0.375, abs=0.04)  # 5 standard errors


@pytest.mark.parametrize("piece", [64, 2])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("kind", NOISES)
def test_action_values_are_averaged_over_draws(
    kind: str, dueling: bool, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_module, "PIECE", piece)
    torch.manual_seed(0)
    network = noisy(QNetwork(PICTURES, 4, num_streams=2, hidden=(16,), dueling=dueling), kind)
    weight = torch.tensor([1.0, -0.5])
    actor = QActor(network, weight, Inference("mc", 5), rows=3, first_action=7)
    obs = observations(3)
    action = actor.act(obs)
    each = []
    for m in range(5):
        with torch.no_grad(), actor.noise.using(m, "randomised"):
            each.append(actor.network(torch.as_tensor(obs)))
    q = torch.stack(each)
    assert (q[0] - q[1]).abs().max() > 1e-3
    combined = q[:, :, 0] - 0.5 * q[:, :, 1]
    best = combined.mean(0).argmax(-1)
    assert action.tolist() == (best + 7).tolist()
    values = combined[:, torch.arange(3), best].double().numpy()
    np.testing.assert_allclose(actor.disagreement, values.var(0), rtol=1e-3)
    averaged = actor.q(torch.as_tensor(obs))  # redraws
    with torch.no_grad(), actor.noise.using(0, "randomised"):
        assert not torch.allclose(actor.network(torch.as_tensor(obs)), q[0])
    assert averaged.shape == q.shape[1:]
    assert not torch.allclose(averaged, q.mean(0))


@pytest.mark.parametrize("kind", NOISES)
def test_what_has_no_noise_is_computed_once(kind: str) -> None:
    actor = QActor(noisy(QNetwork(PICTURES, 4, hidden=(16,)), kind), torch.ones(1), Inference("mc", 5), rows=3)
    seen: list[int] = []
    actor.network.encoder.convolutions.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    actor.act(observations(3))
    assert seen == ([3] if kind == "weights" else [15])
    with torch.no_grad(), actor.noise.mean():  # nothing is repeated in anybody else's forward pass
        assert len(actor.network(torch.as_tensor(observations(3)))) == 3


def test_a_dictionary_repeats_each_part_as_late_as_it_can() -> None:
    actor = PolicyActor(policy("input", space=BOTH), Inference("mc", 4), rows=2)
    seen: dict[str, int] = {}
    for name, part in actor.network.encoder.encoders.items():
        part.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: len(args[0])}))
    actor.act(observations(2, BOTH))
    assert seen == {"eye": 2, "speed": 2}


class Own(Encoder):
    """A user's encoder with noise where nobody knows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = to_noisy(nn.Linear(5, 7), sigma0=2.0)
        self.out_features = 7

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.linear(obs)


def test_noise_within_any_encoder() -> None:
    network = policy("weights", space=VECTORS)
    network.encoder, network.actor = Own(), nn.Sequential(nn.Linear(7, 16))
    actor = PolicyActor(network, Inference("mc", 4), rows=2)
    obs = observations(2, VECTORS)
    action = actor.act(obs)
    p = one_by_one(actor, obs, 4).softmax(-1)
    assert action.tolist() == p.mean(0).argmax(-1).tolist()
    np.testing.assert_allclose(actor.disagreement, entropy(p.mean(0)) - entropy(p).mean(0), atol=1e-5)


def test_multi_discrete_disagreement_is_summed_over_the_choices() -> None:
    actions = spaces.MultiDiscrete([2, 3])
    actor = PolicyActor(policy("input", actions), Inference("mc", 5), rows=2)
    obs = observations(2)
    action = actor.act(obs)
    first, second = (x.softmax(-1) for x in one_by_one(actor, obs, 5).split([2, 3], -1))
    expected = sum(entropy(p.mean(0)) - entropy(p).mean(0) for p in (first, second))
    np.testing.assert_allclose(actor.disagreement, expected, atol=1e-5)
    assert action.tolist() == torch.stack([p.mean(0).argmax(-1) for p in (first, second)], 1).tolist()


def test_continuous_actions_average_the_means() -> None:
    actions = spaces.Box(-10, 10, (2,), np.float32)
    actor = PolicyActor(policy("both", actions), Inference("mc", 5), rows=2)
    obs = observations(2)
    action = actor.act(obs)
    means = one_by_one(actor, obs, 5)[..., :2].double().numpy()
    np.testing.assert_allclose(action, 10 * means.mean(0).clip(-1, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(actor.disagreement, means.var(0).mean(-1), rtol=1e-3)


def test_a_sampled_continuous_action_is_that_of_any_draw() -> None:
    """Three draws, at −0.8, 0 and 0.5, hardly spread: each row takes one of them, none preferred."""
    actor = PolicyActor(
        policy("input", spaces.Box(-1, 1, (1,), np.float32)), Inference("mc", 3), rows=3000, sample=True
    )
    pi = torch.tensor([[-0.8, -9.0], [0.0, -9.0], [0.5, -9.0]])[:, None].expand(3, 3000, 2)
    action = actor._choose(pi)
    shares = [(action - mean).abs().lt(0.01).double().mean().item() for mean in (-0.8, 0.0, 0.5)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.045)  # five standard errors


def test_disagreement_by_hand() -> None:
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()  # two draws, each sure of another action
    assert mutual_information(sure).item() == pytest.approx(math.log(2))
    alike = torch.tensor([[0.9, 0.1]] * 4).log()  # an entropy that all draws agree upon is no disagreement
    assert mutual_information(alike).item() == pytest.approx(0, abs=1e-6)
    some = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()  # H(¾, ¼) − ½ log 2
    expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25) - 0.5 * math.log(2)
    assert mutual_information(some).item() == pytest.approx(expected)
    actions = torch.tensor([[[1.0, 0.0]], [[3.0, 0.0]]])  # variances 1 and 0
    assert action_variance(actions).tolist() == [0.5]
    q = torch.tensor([[[1.0, 5.0]], [[1.0, 1.0]]])
    assert value_variance(q, torch.tensor([1])).tolist() == [4.0]
    assert value_variance(q, torch.tensor([0])).tolist() == [0.0]


@pytest.mark.parametrize("mode", ["mean", "fixed", "sampled"])
def test_other_modes_have_no_disagreement(mode: str) -> None:
    actor = PolicyActor(policy("both"), Inference.parse(mode), rows=2)
    actor.act(observations(2))
    assert actor.disagreement is None


def test_a_network_without_noise_agrees_with_itself() -> None:
    network = policy("none")
    obs = observations(3)
    plain, many = (PolicyActor(network, Inference.parse(mode), rows=3) for mode in ("mean", "mc:4"))
    assert plain.act(obs).tolist() == many.act(obs).tolist()
    assert many.disagreement.tolist() == [0, 0, 0]


def buffers(actor: PolicyActor) -> list[torch.Tensor]:
    return [m.noise.clone() for m in actor.network.modules() if isinstance(m, StochasticLayer)]


def test_fixed_holds_one_draw_and_sampled_takes_one_per_row_and_step() -> None:
    obs = np.repeat(observations(1), 6, 0)
    held, fresh = (PolicyActor(policy("both"), Inference.parse(mode), rows=6, seed=3) for mode in ("fixed", "sampled"))
    outputs: dict[str, list[torch.Tensor]] = {"held": [], "fresh": []}
    for name, actor in (("held", held), ("fresh", fresh)):
        choose = actor._choose
        actor._choose = lambda pi, name=name, choose=choose: (outputs[name].append(pi[0]), choose(pi))[1]
        before = buffers(actor)
        for _ in range(2):
            actor.act(obs)
        same = all(torch.equal(a, b) for a, b in zip(before, buffers(actor), strict=True))
        assert same == (name == "held")
    torch.testing.assert_close(outputs["held"][0], outputs["held"][1])
    torch.testing.assert_close(outputs["held"][0], outputs["held"][0][:1].expand(6, -1))
    rows = torch.cat(outputs["fresh"])
    assert (rows[:, None] - rows).abs().amax(-1)[~torch.eye(12, dtype=torch.bool)].min() > 1e-3


def test_the_mean_is_the_clean_network() -> None:
    network = policy("input")
    actor = PolicyActor(network, Inference("mean"), rows=3)
    obs = observations(3)
    plain = policy("none")
    plain.load_state_dict(network.state_dict())
    assert actor.act(obs).tolist() == plain.act(torch.as_tensor(obs))[0].argmax(-1).tolist()


def test_clean_flags_count_in_training_alone() -> None:
    """A bypassed picture would make one-draw inference a clean one now and then."""
    torch.manual_seed(0)
    network = ActorCritic(PICTURES, spaces.Discrete(4), hidden=(16,), shared=True)
    to_random_input(network, "random-conv", clean=1.0)
    plain = PolicyActor(network, Inference("mean"), rows=1)
    for mode in ("fixed", "sampled", "mc:3"):
        actor = PolicyActor(network, Inference.parse(mode), rows=1)
        seen: list[torch.Tensor] = []
        for agent in (plain, actor):
            agent.network.encoder.convolutions.register_forward_pre_hook(
                lambda _, args, seen=seen: seen.append(args[0])
            )
            agent.act(observations(1))
        assert (seen[1] - seen[0]).abs().amax((1, 2, 3)).min() > 0.1


@pytest.mark.parametrize("piece", [64, 2])
@pytest.mark.parametrize("kind", NOISES)
def test_every_draw_has_a_hidden_state_and_keeps_it_for_the_episode(
    kind: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_module, "PIECE", piece)
    rows, draws = 3, 4
    network = policy(kind, recurrent="gru", recurrent_size=8)
    actor = PolicyActor(network, Inference("mc", draws), rows=rows, seed=2)
    assert actor.noise.total == rows * draws
    found: list[torch.Tensor] = []
    choose = actor._choose
    actor._choose = lambda pi: (found.append(pi), choose(pi))[1]  # type: ignore[method-assign]
    states: dict[tuple[int, int], Any] = {(m, b): None for m in range(draws) for b in range(rows)}
    starts = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    for t, start in enumerate(starts):
        before = buffers(actor)
        obs = observations(rows, seed=t)
        actor.act(obs, start)
        for layer, old in zip(buffers(actor), before, strict=True):
            changed = (layer != old).any(1).view(draws, rows)
            assert torch.equal(changed, torch.as_tensor(start).expand(draws, -1))
        for (m, b), state in states.items():
            begins = torch.tensor([[bool(start[b])]])
            with torch.no_grad(), actor.noise.using(m * rows + b, "randomised"):
                pi, states[m, b] = actor.network.act(torch.as_tensor(obs[b : b + 1]), state, begins)
            torch.testing.assert_close(found[t][m, b], pi[0], atol=1e-4, rtol=1e-4)
    assert actor._state.shape == (1, draws * rows, 8)


@pytest.mark.parametrize("piece", [64, 2])
@pytest.mark.parametrize("mode", ["mean", "fixed", "sampled", "mc:3"])
@pytest.mark.parametrize("recurrent", ["none", "gru"])
def test_rows_that_do_not_count_change_nothing_for_the_others(
    recurrent: Any, mode: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_module, "PIECE", piece)
    network = policy("both", spaces.Discrete(50), recurrent=recurrent, recurrent_size=8)
    with torch.no_grad():
        for parameter in network.policy.parameters():
            parameter.mul_(1e-2)  # far from certain
    whole, part = (PolicyActor(network, Inference.parse(mode), rows=4, seed=2, sample=True) for _ in range(2))
    chosen = {id(actor): [] for actor in (whole, part)}
    pictures: list[int] = []
    part.network.encoder.register_forward_hook(lambda _module, _args, out: pictures.append(len(out)))
    for actor in (whole, part):
        choose = actor._choose
        actor._choose = lambda pi, choose=choose, actor=actor: (chosen[id(actor)].append(pi), choose(pi))[1]
    for t, among in enumerate([[0, 1, 2, 3], [1, 2, 3], [1, 3], [1, 3], [3]]):
        obs, start = observations(4, seed=t), np.array([t == 0, t == 2, t == 3, t in (0, 3)])
        every, some = whole.act(obs, start), part.act(obs, start, np.array(among))
        assert some.shape == (4,)
        assert every[among].tolist() == some[among].tolist()
        full, small = chosen[id(whole)][-1], chosen[id(part)][-1]
        torch.testing.assert_close(small[:, among], full[:, among], atol=1e-5, rtol=1e-4)
        assert (full[:, 1] - full[:, 3]).abs().max() > 1e-3, "rows are told apart"
        if mode.startswith("mc"):
            np.testing.assert_allclose(part.disagreement[among], whole.disagreement[among], atol=1e-5)
        assert sum(pictures) == len(among) * part.draws, "nothing is computed for nobody"
        pictures.clear()


@pytest.mark.parametrize("mode", ["mean", "fixed", "sampled", "mc:3"])
def test_action_values_of_some_rows(mode: str) -> None:
    torch.manual_seed(0)
    network = noisy(QNetwork(BOTH, 4, num_streams=2, hidden=(16,)), "both")
    whole, part = (QActor(network, torch.ones(2), Inference.parse(mode), rows=4, seed=1) for _ in range(2))
    for t, among in enumerate([[0, 2, 3], [2], [1, 2]]):
        obs = observations(4, BOTH, seed=t)
        every, some = whole._each(tensors(obs)), part._each(tensors(obs), np.array(among))
        torch.testing.assert_close(some[:, among], every[:, among])
        assert (every[:, 1] - every[:, 2]).abs().max() > 1e-3
        assert whole.act(obs)[among].tolist() == part.act(obs, None, np.array(among))[among].tolist()


def test_draws_are_the_actors_own() -> None:
    network = policy("both")
    layers = [m for m in network.modules() if isinstance(m, InputLayer)]
    obs = observations(2)

    def run(seed: int) -> list[np.ndarray]:
        actor = PolicyActor(network, Inference("mc", 3), rows=2, seed=seed)
        return [(actor.act(obs), actor.disagreement)[1] for _ in range(3)]

    one, again, other = run(1), run(1), run(2)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len({row.tobytes() for row in one}) == 3  # redrawn at every action
    assert layers[0].noise.numel() == 0  # the network itself never got a draw


def test_evaluation_teaches_batch_norm_nothing() -> None:
    torch.manual_seed(0)
    network = ActorCritic(PICTURES, FOUR, hidden=(16,), shared=True)
    add_batch_norm(network.encoder)
    actor = PolicyActor(network, Inference("mean"), rows=3)
    before = {name: value.clone() for name, value in actor.network.state_dict().items()}
    actor.act(observations(3))
    assert all(torch.equal(value, before[name]) for name, value in actor.network.state_dict().items())
    assert network.training
