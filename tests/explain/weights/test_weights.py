"""Weights: norms and moments by hand, kernels on one scale, first weights from run folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from small_networks import Small, view_of
from torch import nn

import jostle
from jostle.errors import CheckpointError, ConfigError
from jostle.explain.weights import (
    at_start,
    compare_weights,
    drawn_like,
    initial_weights,
    kernels,
    moments,
    untrained,
    weight_statistics,
    weight_tensors,
)
from jostle.view import as_view


def number(x: torch.Tensor) -> float:
    return float(x.detach())


def test_moments_by_hand() -> None:
    found = moments(np.array([[1.0, -1.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0]]))
    assert found["L1"].tolist() == [6, 8]
    assert found["L2"].tolist() == pytest.approx([12**0.5, 4])
    assert found["mean"].tolist() == [1, 2]
    assert found["sd"].tolist() == pytest.approx([2**0.5, 0])
    assert found["skew"][0] == pytest.approx(0)  # −8 + 8
    assert found["kurtosis"][0] == pytest.approx((16 + 16) / 4 / 4 - 3)
    assert np.isnan(found["skew"][1])
    rows = np.random.default_rng(0).gamma(2, size=(3, 50))
    assert moments(rows)["skew"] == pytest.approx(stats.skew(rows, axis=1))
    assert moments(rows)["kurtosis"] == pytest.approx(stats.kurtosis(rows, axis=1))


def test_statistics_against_start_and_fresh_networks(tmp_path: Path) -> None:
    net, start = Small(0), Small(0)
    with torch.no_grad():
        net.conv.weight.mul_(3)
    found = weight_statistics(view_of(net), initial=start, untrained=4)
    conv, out = found.layers["conv.weight"], found.layers["out.weight"]
    assert conv["relative distance"] == pytest.approx(2)
    assert conv["cosine"] == pytest.approx(1)
    assert out["distance"] == 0
    assert found.initial["conv.weight"]["L2"] * 3 == pytest.approx(conv["L2"])
    assert found.filters["conv.weight"]["relative distance"] == pytest.approx(np.full(6, 2.0))
    assert found.beyond_null("conv.weight", "L2") > 20
    assert abs(found.beyond_null("out.weight", "L2")) < 6
    assert found.p("conv.weight", "L2") < 0.01
    null = found.null["out.weight"]["L2"]
    far = abs(found.layers["out.weight"]["L2"] - null.mean()) / null.std(ddof=1)
    assert found.p("out.weight", "L2") == pytest.approx(2 * stats.t.sf(far / (1 + 1 / 4) ** 0.5, 3))
    paths = found.save(tmp_path)
    assert [p.suffix for p in paths] == [".json", ".png", ".npz"]
    assert json.loads(paths[0].read_text())["layers"]["out.weight"]["distance"] == 0


def test_the_noise_of_a_noisy_layer_is_no_weight() -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=1, hidden=(8,), noisy="factorised", seed=1)
    names = [t.name for t in weight_tensors(as_view(agent).module)]
    assert names
    assert not [n for n in names if "sigma" in n]


def test_kernels_share_one_scale(tmp_path: Path) -> None:
    net, start = Small(0), Small(0)
    with torch.no_grad():
        net.conv.weight[2] *= 10
    found = kernels(view_of(net), initial=start)
    assert found.values.shape == (6, 3, 5, 5)
    assert found.bound == pytest.approx(number(net.conv.weight.abs().max()))
    tiles = found.pictures()
    assert tiles.shape == (6, 5, 5, 3)
    assert max(tiles.max() - 0.5, 0.5 - tiles.min()) == pytest.approx(0.5)
    assert np.ptp(tiles[2]) > 4 * np.ptp(tiles[0])
    assert np.ptp(found.pictures(initial=True)) < 0.2
    assert tiles[1, 2, 3, 0] == pytest.approx(number(net.conv.weight[1, 0, 2, 3]) / (2 * found.bound) + 0.5)
    found.save(tmp_path)
    shaped = kernels(view_of(net), "out", shape=(6, 6, 6))
    assert shaped.values[1, 2, 3, 4] == pytest.approx(number(net.out.weight[1, 2 * 36 + 3 * 6 + 4]))
    with pytest.raises(ConfigError, match="has 8 places for the 216 inputs"):
        kernels(view_of(net), "out", shape=(2, 2, 2))
    with pytest.raises(ConfigError, match="did you mean conv"):
        kernels(view_of(net), "cnv")


def test_first_weights_of_a_run(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=3)
    before = {name: p.clone() for name, p in agent.network.named_parameters()}
    agent.learn(64, run_dir=tmp_path / "run")
    view = as_view(agent)
    first = at_start(view, tmp_path / "run")
    for name, p in first.module.named_parameters():
        assert torch.equal(p, before[name])
    assert not torch.equal(dict(view.module.named_parameters())["policy.weight"], before["policy.weight"])
    found = weight_statistics(agent, initial=tmp_path / "run", untrained=0)
    assert found.layers["policy.weight"]["distance"] > 0
    with pytest.raises(CheckpointError, match="no folder"):
        initial_weights(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="has no first weights"):
        initial_weights(7)
    other = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(9,), seed=3)
    with pytest.raises(ConfigError, match="of a network of the same shape"):
        at_start(view, other.network)


def test_fresh_draws_are_like_the_first_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    start = nn.init.orthogonal_(torch.empty(8, 3, 2, 2), 1.4)
    fresh = drawn_like(start, generator)
    gram = fresh.flatten(1) @ fresh.flatten(1).T
    assert torch.allclose(gram, 1.96 * torch.eye(8), atol=1e-4)
    assert not torch.allclose(fresh, start, atol=0.1)
    tall = nn.init.orthogonal_(torch.empty(9, 4), 0.5)
    again = drawn_like(tall, generator)
    assert torch.allclose(again.T @ again, 0.25 * torch.eye(4), atol=1e-4)
    assert torch.equal(drawn_like(torch.zeros(5), generator), torch.zeros(5))
    normal = torch.randn(400, 30, generator=generator) * 0.3 + 2
    drawn = drawn_like(normal, generator)
    assert float(drawn.mean()) == pytest.approx(2, abs=0.02)
    assert float(drawn.std()) == pytest.approx(0.3, abs=0.01)
    view = view_of(Small(0))
    one, two, same = (untrained(view, seed) for seed in (1, 2, 1))
    assert torch.equal(one.module.conv.weight, same.module.conv.weight)
    assert not torch.equal(one.module.conv.weight, two.module.conv.weight)
    made = untrained(view, 5, make=Small)
    assert torch.equal(made.module.conv.weight, Small(5).conv.weight)


def test_seeds_are_compared(tmp_path: Path) -> None:
    def nets(scale: float, first: int) -> list[Small]:
        made = [Small(first + i) for i in range(5)]
        with torch.no_grad():
            for net in made:
                net.out.weight.mul_(scale)
        return made

    space = {"kind": "logits", "observation_space": view_of(Small()).observation_space,
             "action_space": view_of(Small()).action_space}  # fmt: skip
    found = compare_weights(nets(1, 0), nets(1.5, 10), numbers=["L2"], names=("plain", "more"), **space)
    out, conv = found["out.weight L2"], found["conv.weight L2"]
    assert out.g.low > 1
    assert out.difference.interval.low > 0
    assert out.p == pytest.approx(2 * 2 / 252)  # the least of 5 against 5, twice by Holm
    assert conv.g.low < 0 < conv.g.high
    paths = found.save(tmp_path)
    assert paths[1].exists()
    with pytest.raises(ConfigError, match="no number 'L3'"):
        compare_weights(nets(1, 0), nets(1, 5), numbers=["L3"], **space)
    with pytest.raises(ConfigError, match="two seeds a side"):
        compare_weights(nets(1, 0)[:1], nets(1, 5), **space)
