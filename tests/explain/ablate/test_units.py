"""Units: the planted one is found, numbers are those worked out by hand, batches make no difference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from planted_nets import Units, rows, view_of
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.ablate import cumulative_ablation, magnitude_importance, unit_ablation
from jostle.explain.ablate.units import CumulativeAblation
from jostle.explain.tracing import fingerprint, trace
from jostle.view import as_view


def test_changes_by_hand() -> None:
    """KL of the two softmaxes, where unit 3 is the only one that is heard."""
    net, x = Units({3: 2.0}), rows(20)
    found = unit_ablation(view_of(net), x, "relu", fill="zero")
    with torch.no_grad():
        logits = net(torch.from_numpy(x)).double().numpy()
    p = 1 / (1 + np.exp(-logits[:, 0]))
    by_hand = p * np.log(p / 0.5) + (1 - p) * np.log((1 - p) / 0.5)
    assert found.values[3] == pytest.approx(by_hand, abs=1e-6)
    assert not found.values[[0, 1, 2, 4, 5, 6, 7]].any()
    hidden = np.maximum(x @ net.hidden.weight.detach().numpy().T, 0)[:, 3]
    mean = unit_ablation(view_of(net), x, "relu", units=[3, 5])
    q = 1 / (1 + np.exp(-2 * hidden.mean()))
    assert mean.values[0] == pytest.approx(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), abs=1e-6)
    assert mean.units.tolist() == [3, 5]
    switched = unit_ablation(view_of(net), x, "relu", fill="zero", measure="switched")
    assert switched.values[3].tolist() == (logits[:, 0] < 0).astype(float).tolist()
    assert unit_ablation(view_of(net), x, "relu", fill=0.0).values[3] == pytest.approx(by_hand, abs=1e-6)


def test_the_planted_unit_is_found_and_nothing_where_nothing_is(tmp_path: Path) -> None:
    view, x = view_of(Units({5: 3.0, 1: 0.1})), rows(64)
    null = [view_of(_Dense(seed)) for seed in range(10)]
    found = unit_ablation(view, x, "relu", null=null)
    assert found.found[0] == 5
    assert 1 not in found.found
    assert found.share[5] > 0.9 > found.threshold
    assert [p.suffix for p in found.save(tmp_path)] == [".json", ".png", ".npz"]
    assert found.threshold == found.null.max(), "of ten networks"
    many = replace(found, null=np.arange(39) / 100)
    assert many.threshold == pytest.approx(0.37), "two of 39 lie above, and one more would with 2 in 40"
    deaf = unit_ablation(view_of(Units({})), x, "relu", null=null)
    assert deaf.found == []
    assert not deaf.mean.any()


class _Dense(Units):
    def __init__(self, seed: int) -> None:
        super().__init__({}, seed)
        with torch.no_grad():
            self.out.weight.copy_(torch.randn(2, 8, generator=torch.Generator().manual_seed(seed)))


def test_batches_and_channels() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 3))
    space = {"observation_space": spaces.Box(-9, 9, (3, 8, 8), np.float32), "action_space": spaces.Discrete(3)}
    view = as_view(net, kind="q", **space)
    x = np.random.default_rng(0).normal(size=(7, 3, 8, 8)).astype(np.float32)
    whole, small = (unit_ablation(view, x, "1", batch=b) for b in (2048, 8))
    assert whole.values.shape == (5, 7)
    np.testing.assert_allclose(whole.values, small.values, rtol=1e-4, atol=1e-8)
    with torch.no_grad():  # channel 2 replaced by its mean picture, by hand
        hidden = net[:2](torch.from_numpy(x))
        hidden[:, 2] = hidden[:, 2].mean(0)
        before, after = net(torch.from_numpy(x)), net[2:](hidden)
    value = unit_ablation(view, x, "1", measure="value").values[2]
    assert value == pytest.approx((before.amax(1) - after.amax(1)).abs().numpy(), abs=1e-6)


def test_an_order_that_is_worth_something(tmp_path: Path) -> None:
    x = rows(60)
    found = cumulative_ablation(view_of(Units({0: 2.0, 4: 1.0})), x, "relu", orders=30)
    assert found.counts.tolist() == [*range(9)]
    assert found.ranked[0] == 0
    assert found.ranked[2] == pytest.approx(found.ranked[-1])
    assert found.reverse[6] == 0
    assert found.random[:, -1] == pytest.approx(np.full(30, found.ranked[-1]))
    assert found.gain == pytest.approx((found.ranked.mean() - found.reverse.mean()) / found.ranked[-1])
    assert found.gain > 0.6
    assert found.p <= 3 / 31
    again = cumulative_ablation(view_of(Units({0: 2.0, 4: 1.0})), x, "relu", orders=2)
    assert np.array_equal(again.random[0], found.random[0]), "orders do not depend on how many there are"
    found.save(tmp_path)
    deaf = cumulative_ablation(view_of(Units({})), x, "relu", orders=5)
    assert deaf.gain == 0
    assert deaf.p == 1


def test_orders_are_tested_to_one_side() -> None:
    zero, counts = np.zeros((3, 2)), np.array([0, 4])
    random = np.array([[0.5, 0.5], [0, 0], [0.2, 0.2]])
    backwards = np.array([[0, 0], [1.2, 1.2], [0, 0]])
    ranked, reverse = np.array([1.0, 1.0]), np.zeros(2)
    found = CumulativeAblation("p", "l", "mean", "policy", counts, ranked, reverse, random, backwards)
    assert found.p == 2 / 8, "the order itself and a random one turned round, of four orders in both directions"
    nothing = CumulativeAblation("p", "l", "mean", "policy", counts, zero[0], zero[0], zero, zero)
    assert nothing.p == 1


def test_magnitude_against_cost(tmp_path: Path) -> None:
    net = Units(dict.fromkeys(range(8), 0.3), seed=1)
    with torch.no_grad():
        net.hidden.weight.mul_(torch.linspace(0.3, 3, 8)[:, None] / net.hidden.weight.norm(dim=1, keepdim=True))
    ablated = unit_ablation(view_of(net), rows(200), "relu")
    found = magnitude_importance(view_of(net), ablated)
    assert found.weights == "hidden.weight"
    assert found.correlation.point > 0.9
    assert found.p < 0.01
    assert found.correlation.low > 0.3
    found.save(tmp_path)
    assert np.isnan(magnitude_importance(view_of(Units({})), unit_ablation(view_of(Units({})), rows(9), "relu")).
                    correlation.point)  # fmt: skip
    with pytest.raises(ConfigError, match="have no correlation"):
        magnitude_importance(view_of(net), unit_ablation(view_of(net), rows(9), "relu", units=[1, 2]))
    with pytest.raises(ConfigError, match="no weights 'out' with 8 rows"):
        magnitude_importance(view_of(net), ablated, weights="out")


def test_recurrent_agents_with_noise_are_ablated_as_they_acted_and_stay_as_they_are(tmp_path: Path) -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,), shared=True, recurrent="lstm",
        recurrent_size=4, noisy="factorised", minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip
    recorded = trace(agent, tmp_path / "t", episodes=3, noise="sampled", layers=["core"])
    view = as_view(agent)
    before = fingerprint(view), str([layer.noise for layer in agent.noise.layers.values()])
    found = unit_ablation(agent, recorded, "core", fill="zero")
    assert found.values.shape == (4, 8)
    assert (fingerprint(as_view(agent)), str([layer.noise for layer in agent.noise.layers.values()])) == before
    prepared = recorded.prepared(view)
    steps = recorded.steps(recorded.spread(8))
    how = {"state": steps.state, "draw": steps.draw}

    def silent(out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        out[:, 2] = 0
        return out

    with torch.no_grad():
        whole = prepared.forward(steps.obs, **how).logits.double().log_softmax(-1)
        cut = prepared.look(steps.obs, patch={"core": silent}, **how)[0].logits.double().log_softmax(-1)
    by_hand = (whole.exp() * (whole - cut)).sum(-1)
    assert found.values[2] == pytest.approx(by_hand.numpy(), abs=1e-7)
    assert not [m for m in agent.network.modules() if m._forward_hooks]


def test_bad_input() -> None:
    view, x = view_of(Units({1: 1.0})), rows(5)
    for arguments, said in [
        ({"layer": "rellu"}, "did you mean relu"),
        ({"layer": "relu", "units": [8]}, "has the units 0 to 7: there are no unit 8"),
        ({"layer": "relu", "units": []}, "no units asked for"),
        ({"layer": "relu", "fill": "median"}, "use 'zero', 'mean' or a number"),
        ({"layer": "relu", "measure": "return"}, "is unknown"),
        ({"layer": "relu", "measure": "value"}, "has no values"),
    ]:
        with pytest.raises(ConfigError, match=said):
            unit_ablation(view, x, **arguments)
    with pytest.raises(ConfigError, match="at least two steps"):
        cumulative_ablation(view, x[:1], "relu")
    with pytest.raises(ConfigError, match="no layer 'relu'"):
        unit_ablation(as_view(lambda obs: obs[:, 0] > 0, env="CartPole-v1"), x, "relu")
    broken = Units({1: 1.0})
    nn.init.constant_(broken.hidden.weight, float("nan"))
    with pytest.raises(ConfigError, match="puts out NaN"):
        unit_ablation(view_of(broken), x, "relu")
