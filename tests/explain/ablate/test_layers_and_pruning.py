"""Layers set back, weights pruned: the planted layer is found, and what is worth nothing costs nothing."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_nets import Units, rows, view_of
from torch import nn

from jostle.errors import ConfigError
from jostle.explain.ablate import layer_ablation, pruned, pruning
from jostle.explain.tracing import fingerprint


def deep(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))


def test_the_layer_that_was_trained_is_critical_and_the_others_are_robust(tmp_path: Path) -> None:
    start = deep()
    trained = copy.deepcopy(start)
    with torch.no_grad():
        trained[2].weight.copy_(-2 * start[2].weight + torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))
    view = view_of(trained)
    before = fingerprint(view)
    found = layer_ablation(view, rows(50), start, draws=3)
    assert found.layers == ["0", "2", "4"]
    assert found.verdicts == ["robust", "critical", "robust"]
    assert found.relative == pytest.approx([0, 1, 0])
    assert found.reinitialised[1] == pytest.approx(found.everything)
    assert found.distance[[0, 2]].tolist() == [0, 0]
    assert found.distance[1] > 1
    assert found.randomised.shape == (3, 3, 50)
    assert found.randomised[0].mean() > 0.001
    assert not found.moved[0].any()
    assert found.moved[1].mean() > 0
    assert fingerprint(view) == before
    found.save(tmp_path)
    with torch.no_grad():  # by hand: the second layer alone set back
        other = copy.deepcopy(trained)
        other[2].load_state_dict(start[2].state_dict())
        x = torch.from_numpy(rows(50))
        p, q = trained(x).log_softmax(-1), other(x).log_softmax(-1)
    assert found.reinitialised[1] == pytest.approx((p.exp() * (p - q)).sum(-1).numpy(), abs=1e-6)


def test_a_network_that_never_learned_has_no_critical_layer() -> None:
    start = deep()
    found = layer_ablation(view_of(start), rows(20), deep(), draws=2, make=deep)
    assert found.verdicts == ["robust"] * 3
    assert not found.everything.any()
    assert found.randomised[0, 0] == pytest.approx(np.zeros(20)), "make(0) is the network itself"
    assert found.randomised[0, 1].any()
    with pytest.raises(ConfigError, match="of the same shape"):
        layer_ablation(view_of(start), rows(5), {k: v[:1] for k, v in start.state_dict().items()})
    with pytest.raises(ConfigError, match="did you mean"):
        layer_ablation(view_of(start), rows(5), {"0.weigh": torch.zeros(16, 4)})


def test_small_connections_are_worth_less_than_any(tmp_path: Path) -> None:
    net = deep(3)
    with torch.no_grad():
        for layer in (net[0], net[2]):
            keep = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(5)) < 0.2
            layer.weight.copy_(torch.where(keep, 4 * layer.weight, 0.01 * layer.weight))
    found = pruning(view_of(net), rows(40), sparsity=[0.0, 0.4, 0.7, 1.0], draws=12)
    change = found.change.mean(1)
    assert change[0] == 0
    assert change[2] < 0.1 * found.random.mean(0)[2]
    assert change[3] == pytest.approx(found.random[:, 3].mean())
    assert found.gain > 0.4
    assert found.p < 0.1
    found.save(tmp_path)
    units = pruning(view_of(net), rows(40), what="units", sparsity=[0.5], draws=3)
    assert units.random.shape == (3, 1)


def test_what_is_pruned() -> None:
    net = Units({1: 1.0})
    with torch.no_grad():
        net.hidden.weight.copy_(torch.arange(32).float().reshape(8, 4) - 4)
        net.hidden.bias.fill_(1)
    view = view_of(net)
    quarter = dict(pruned(view, "connections", 0.25).module.named_parameters())
    gone = (quarter["hidden.weight"] == 0).sum()
    assert int(gone) == 8
    assert float(quarter["hidden.weight"].abs().flatten().sort().values[8]) == 4
    assert torch.equal(quarter["out.weight"], net.out.weight)
    units = dict(pruned(view, "units", 0.25).module.named_parameters())
    assert units["hidden.bias"].tolist() == [1, 0, 1, 1, 1, 1, 1, 1] or units["hidden.bias"].sum() == 6
    assert units["hidden.weight"][[0, 1]].abs().sum() == 0
    assert torch.equal(net.hidden.bias, torch.ones(8)), "the policy is as it was"
    random = dict(pruned(view, "connections", 0.5, rng=np.random.default_rng(0)).module.named_parameters())
    assert int((random["hidden.weight"] == 0).sum()) in (16, 17)
    for arguments, said in [
        ({"what": "neurons"}, "cannot be pruned"),
        ({"sparsity": [1.5]}, "shares from 0 to 1"),
        ({"layers": ["hiden"]}, "did you mean hidden"),
    ]:
        with pytest.raises(ConfigError, match=said):
            pruning(view, rows(4), **arguments)
