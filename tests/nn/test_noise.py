"""The noise contract: slots, generators, selection, state."""

import copy
import pickle
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from jostle.errors import CheckpointError, ConfigError
from jostle.nn.noise import Noise, StochasticLayer, _seed
from jostle.nn.noisy import NoisyLinear, to_noisy


def network(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return to_noisy(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)), **options)


def buffers(net: nn.Module) -> list[torch.Tensor]:
    return [m.noise for m in net.modules() if isinstance(m, StochasticLayer)]


def snapshot(net: nn.Module) -> torch.Tensor:
    """All noise of a network, [D, all layers' noise]."""
    return torch.cat([b.clone() for b in buffers(net)], dim=1)


def noise_of(seed: int = 0, role: str = "online", groups: tuple[int, ...] = (0,), slots: int = 2) -> torch.Tensor:
    net = network()
    Noise(net, seed=seed, role=role, slots=slots, groups=groups)
    return snapshot(net)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


X = torch.linspace(-1, 1, 30).view(5, 6)


def test_the_same_triple_gives_the_same_noise_and_any_other_does_not() -> None:
    assert torch.equal(noise_of(), noise_of())
    for other in (noise_of(seed=1), noise_of(role="target"), noise_of(groups=(1,))):
        assert not (other == noise_of()).any()


def test_seeds_are_the_same_on_every_run() -> None:
    assert _seed(0, "online", 0) == 6674534927031740673  # sha256("0 0 online"), computed apart from the code


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    net = network()
    before = torch.get_rng_state()
    noise = Noise(net, seed=0, role="online", slots=2)
    first = snapshot(net)
    noise.draw()
    with noise.using(1):
        net(X)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again = network()
    Noise(again, seed=0, role="online", slots=2)
    assert torch.equal(snapshot(again), first)


def test_two_groups_in_one_process_equal_one_group_in_each_of_two() -> None:
    both, one, two = network(), network(), network()
    noises = [
        Noise(net, seed=3, role="online", slots=2, groups=g) for net, g in ((both, (0, 1)), (one, (0,)), (two, (1,)))
    ]
    for step in ([1], None, [0]):
        for noise in noises:
            noise.draw(step)
        assert torch.equal(snapshot(both), torch.cat((snapshot(one), snapshot(two))))


def test_slots_and_layers_are_independent() -> None:
    net = nn.Sequential(NoisyLinear(2000, 3), NoisyLinear(2000, 3))  # as a dueling network's two streams
    noise = Noise(net, seed=0, role="online", slots=3, groups=(0, 1))
    value, advantage = (b[:, :2000].clone() for b in buffers(net))
    for i in range(noise.total):
        assert abs(correlation(value[i], advantage[i])) < 0.1  # 4.5 standard deviations of no correlation
        for j in range(i):
            assert abs(correlation(value[i], value[j])) < 0.1
    noise.draw()
    assert abs(correlation(value, buffers(net)[0][:, :2000])) < 0.05


def test_a_draw_touches_its_slots_in_every_group_alone() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=3, groups=(4, 7))
    before = snapshot(net)
    noise.draw([1])
    changed = (snapshot(net) != before).all(dim=1)
    same = (snapshot(net) == before).all(dim=1)
    assert changed.tolist() == [False, True, False, False, True, False]
    assert same.tolist() == [True, False, True, True, False, True]
    before = snapshot(net)
    noise.draw([])
    assert torch.equal(snapshot(net), before)


@pytest.mark.parametrize("kind", ["factorised", "independent"])
def test_addresses_stay(kind: str) -> None:
    net = network(noise=kind)
    noise = Noise(net, seed=0, role="online", slots=2)
    noise.fold()

    def addresses() -> list[int]:
        return [b.data_ptr() for _, b in net.named_buffers()]

    before, state = addresses(), noise.state_dict()
    assert len(before) == 6  # noise, folded weight and folded bias of two layers
    noise.draw()
    noise.draw([1])
    noise.fold(1)
    noise.load_state_dict(state)
    noise.fold(0)
    assert addresses() == before


def test_state_restores_noise_and_the_draws_to_come() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2, groups=(0, 5))
    noise.draw([1])
    state, at_save = noise.state_dict(), snapshot(net)
    noise.draw()
    expected = snapshot(net)
    noise.draw()
    noise.load_state_dict(state)
    assert torch.equal(snapshot(net), at_save)
    noise.draw()
    assert torch.equal(snapshot(net), expected)

    other = network()
    resumed = Noise(other, seed=8, role="online", slots=2, groups=(0, 5))
    resumed.load_state_dict(state)
    resumed.draw()
    assert torch.equal(snapshot(other), expected)


def test_a_state_of_another_shape_is_refused_whole() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2)
    before = snapshot(net)
    good = noise.state_dict()
    others = [
        Noise(network(), seed=0, role="online", slots=3).state_dict(),
        Noise(network(noise="independent"), seed=0, role="online", slots=2).state_dict(),
        {"noise": good["noise"], "generators": {"9": good["generators"]["0"]}},
        {"noise": good["noise"], "generators": {"0": torch.zeros_like(good["generators"]["0"])}},
        {},
    ]
    for bad in others:
        noise.draw()
        before = snapshot(net)
        with pytest.raises(CheckpointError, match="online"):
            noise.load_state_dict(bad)
        assert torch.equal(snapshot(net), before)


def test_a_noise_is_never_copied() -> None:
    noise = Noise(network(), seed=0, role="online")
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied"):
            make(noise)


def test_a_copied_network_has_no_noise_until_it_gets_its_own() -> None:
    online = network()
    noise = Noise(online, seed=0, role="online")
    with noise.mean():
        target = copy.deepcopy(online)
    selections = {id(m.selection) for m in target.modules() if isinstance(m, NoisyLinear)}
    assert len(selections) == 1
    assert id(noise.selection) not in selections
    with pytest.raises(ConfigError, match="no noise yet"):
        target(X)


def test_a_pickled_network_has_no_noise_until_it_gets_its_own() -> None:
    online = network()
    noise = Noise(online, seed=0, role="online", slots=2)
    with noise.using(1):
        other = pickle.loads(pickle.dumps(online))
    assert len({id(m.selection) for m in other.modules() if isinstance(m, NoisyLinear)}) == 1
    with pytest.raises(ConfigError, match="no noise yet"):
        other(X)
    own = Noise(other, seed=0, role="copy", slots=2)
    with own.mean(), noise.mean():
        assert torch.equal(other(X), online(X))
    with own.using(1), noise.using(1):
        assert not torch.allclose(other(X), online(X), atol=1e-3)


def test_the_state_of_another_role_is_refused() -> None:
    """ξ′ restored from ξ would be ξ for ever."""
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2)
    state = Noise(network(), seed=0, role="target", slots=2).state_dict()
    before = snapshot(net)
    with pytest.raises(CheckpointError, match="of role 'target' and this one of 'online'"):
        noise.load_state_dict(state)
    assert torch.equal(snapshot(net), before)
    assert noise.state_dict()["role"] == "online"
    noise.load_state_dict({k: v for k, v in state.items() if k != "role"})  # as former versions wrote it


def test_threads_have_each_their_own_selection() -> None:
    """Eight threads in one network under slots and modes of their own, hundreds of passes each."""
    net = network()
    noise = Noise(net, seed=0, role="online", slots=6)
    choices = [{"draw": s} for s in range(6)] + [{"mode": "mean"}, {"draw": torch.tensor([0, 1, 2, 3, 4])}]
    expected = []
    with torch.no_grad():
        for choice in choices:
            with noise.using(**choice):
                expected.append(net(X))
    wrong, errors = [], []
    together = threading.Barrier(len(choices))

    def work(i: int) -> None:
        try:
            together.wait()
            with torch.no_grad():
                for _ in range(60):
                    with noise.using(**choices[i]):
                        wrong.extend([i] * (not torch.equal(net(X), expected[i])))
                        with noise.using(**choices[i - 1]):
                            wrong.extend([i] * (not torch.equal(net(X), expected[i - 1])))
                        wrong.extend([i] * (not torch.equal(net(X), expected[i])))
        except BaseException as error:
            errors.append(error)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(choices))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert not errors
    assert not wrong
    assert noise.selection.others == {}
    assert noise.selection.first is None
    with torch.no_grad():
        assert torch.equal(net(X), expected[0]), "the selection from before is back"


def test_a_fold_that_is_stale_is_seen_from_every_thread() -> None:
    net = network().requires_grad_(False)
    noise = Noise(net, seed=0, role="online")
    noise.fold()
    found: list[object] = []

    def work() -> None:
        with noise.using(mode="folded"):
            found.append(net(X))
            noise.draw()
            try:
                net(X)
            except ConfigError as error:
                found.append(str(error))

    with noise.mean():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert isinstance(found[0], torch.Tensor)
    assert "needs Noise.fold()" in str(found[1])


# ---- σ that nobody trains ----


def train(net: nn.Module, noise: Noise, parameters: list[nn.Parameter], redraws: int = 250) -> None:
    optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    for _ in range(redraws):
        noise.draw()
        optimiser.zero_grad()
        net(X).square().mean().backward()
        optimiser.step()


def test_sigma_that_no_optimiser_has_is_said_once() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
    before = list(net.parameters())  # an optimiser of then has no σ
    to_noisy(net)
    noise = Noise(net, seed=0, role="online")
    with pytest.warns(UserWarning, match="sigma of 0, 2 has not moved .*to_noisy before making the optimiser") as said:
        train(net, noise, before, 900)
    assert len(said) == 1


def test_sigma_of_one_layer_alone_is_said() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online")
    left_out = {id(p) for p in net[2].sigmas}
    with pytest.warns(UserWarning, match="sigma of 2 has"):
        train(net, noise, [p for p in net.parameters() if id(p) not in left_out])


@pytest.mark.parametrize("case", ["trained", "frozen", "nothing moves", "a target"])
def test_nothing_is_said_where_sigma_is_as_it_should_be(case: str) -> None:
    net = network()
    if case == "frozen":
        for layer in (net[0], net[2]):
            for sigma in layer.sigmas:
                sigma.requires_grad_(False)
    noise = Noise(net, seed=0, role="online")
    if case == "a target":
        target = copy.deepcopy(net).requires_grad_(False)
        own = Noise(target, seed=0, role="target")
        for _ in range(250):
            own.draw()
            with torch.no_grad():
                target[0].weight.add_(1.0)
    elif case == "nothing moves":
        for _ in range(500):
            noise.draw()
    else:
        train(net, noise, [p for p in net.parameters() if p.requires_grad])


def test_online_and_target_noise_never_coincide() -> None:
    online = network()
    noise = Noise(online, seed=0, role="online", slots=2)
    target = copy.deepcopy(online)
    other = Noise(target, seed=0, role="target", slots=2)
    seen = []
    for _ in range(3):
        noise.draw()
        other.draw()
        target.load_state_dict(online.state_dict())
        seen += [snapshot(online), snapshot(target)]
    for i, a in enumerate(seen):
        for b in seen[:i]:
            assert not torch.isin(a, b).any()
    with noise.using(0), other.using(0):
        assert not torch.allclose(online(X), target(X), atol=1e-3)
    with noise.mean(), other.mean():
        assert torch.equal(online(X), target(X))


def test_the_weights_checkpoint_holds_no_noise() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=4)
    noise.fold()
    assert set(net.state_dict()) == set(dict(net.named_parameters()))


def test_noise_knows_nothing_of_train_and_eval() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online")
    outputs = []
    for train in (True, False):
        net.train(train)
        outputs.append(net(X))
        with noise.mean():
            outputs.append(net(X))
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])
    assert not torch.allclose(outputs[2], outputs[3], atol=1e-3)


def test_the_selection_is_restored() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2)
    plain = net(X)
    with noise.using(1):
        inner = net(X)
        with noise.mean():
            assert not torch.equal(net(X), inner)
        assert torch.equal(net(X), inner)
        with pytest.raises(RuntimeError, match="stop"), noise.using(0):
            raise RuntimeError("stop")
        assert torch.equal(net(X), inner)
    assert torch.equal(net(X), plain)
    assert not torch.equal(plain, inner)


def test_folded_weights_are_refreshed_by_hand_and_refused_when_stale() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2)
    with torch.no_grad():
        for make_stale in (lambda: None, noise.draw, lambda: noise.load_state_dict(noise.state_dict())):
            make_stale()
            with pytest.raises(ConfigError, match="fold"), noise.using(mode="folded"):
                net(X)
            noise.fold(1)
            with noise.using(1):
                expected = net(X)
            with noise.using(mode="folded"):
                assert torch.allclose(net(X), expected, atol=1e-6)
        net[0].weight += 1  # an optimiser's step: the fold is older until it is asked for
        with noise.using(mode="folded"):
            assert torch.allclose(net(X), expected, atol=1e-6)


def test_a_second_noise_retires_the_first() -> None:
    net = network()
    first = Noise(net, seed=0, role="online")
    Noise(net, seed=0, role="evaluation")
    for use in (first.draw, first.fold, lambda: first.using().__enter__()):
        with pytest.raises(ConfigError, match="taken over"):
            use()


def test_a_network_without_stochastic_layers_has_nothing_to_draw() -> None:
    net = nn.Linear(2, 2)
    noise = Noise(net, seed=0, role="online", slots=2)
    noise.draw()
    noise.fold()
    noise.load_state_dict(noise.state_dict())
    with noise.using(torch.tensor([0, 1])):
        assert torch.equal(net(torch.ones(2, 2)), net(torch.ones(2, 2)))


class Tint(StochasticLayer):
    """A layer with neither parameters nor weights to fold."""

    noise_size = 1

    def fold(self, slot: int) -> None:
        pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.noise.index_select(0, self.selection.draw.view(1))


def test_layers_without_parameters() -> None:
    net = nn.Sequential(Tint(), NoisyLinear(3, 2)).double()
    noise = Noise(net, seed=0, role="online", slots=3)
    assert net[0].noise.dtype == torch.float64
    x = torch.zeros(4, 3, dtype=torch.float64)
    with torch.no_grad():
        with noise.using(2):
            expected = net(x)
        noise.fold(2)
        with noise.using(mode="folded"):
            assert torch.allclose(net(x), expected, atol=1e-12)


def test_a_change_of_dtype_keeps_the_draws() -> None:
    net, single = network(), network()
    noise, other = Noise(net, seed=0, role="online"), Noise(single, seed=0, role="online")
    net.double()
    noise.draw()
    other.draw()
    assert buffers(net)[0].dtype == torch.float64
    assert torch.equal(snapshot(net).float(), snapshot(single))


def test_layers_on_two_devices_are_refused() -> None:
    net = nn.Sequential(NoisyLinear(2, 2), NoisyLinear(2, 2, device="meta"))
    with pytest.raises(ConfigError, match="several devices"):
        Noise(net, seed=0, role="online")


def test_a_network_that_moves_afterwards_is_refused() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online")
    net.to("meta")
    with pytest.raises(ConfigError, match="has left cpu"):
        noise.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"slots": 0}, "at least 1 slot"), ({"groups": ()}, "group"), ({"groups": (1, 1)}, "no group twice")],
)
def test_bad_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Noise(network(), seed=0, role="online", **options)


def test_bad_slots_and_modes() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2, groups=(0, 1))
    for slots in ([2], [-1], [0, 0]):
        with pytest.raises(ConfigError, match="0 to 1"):
            noise.draw(slots)
    for slot in (4, -1):
        with pytest.raises(ConfigError, match="0 to 3"):
            noise.fold(slot)
        with pytest.raises(ConfigError, match="0 to 3"), noise.using(slot):
            pass
    with pytest.raises(IndexError), noise.using(torch.tensor([0, 0, 4, 0, 0])):
        net(X)


def test_clean_flags_are_no_concern_of_noisy_weights() -> None:
    net = network()
    noise = Noise(net, seed=0, role="online", slots=2)
    with noise.using(1):
        expected = net(X)
    with noise.using(1, "randomised"):
        assert torch.equal(net(X), expected)
    with pytest.raises(ConfigError, match="'sampled', 'randomised', 'mean' or 'folded'"), noise.using(mode="clean"):
        net(X)


def test_a_noise_may_own_some_layers_alone() -> None:
    net = nn.Sequential(Tint(), NoisyLinear(3, 2))
    tints = Noise(net, seed=0, role="tints", slots=3, layers=lambda layer: isinstance(layer, Tint))
    assert list(tints.layers) == ["0"]
    with pytest.raises(ConfigError, match="no noise yet"):
        net(torch.zeros(1, 3))
    rest = Noise(net, seed=0, role="rest", layers=lambda layer: not isinstance(layer, Tint))
    before = net[1].noise.clone()
    tints.draw()
    with tints.using(2), rest.mean():
        expected = F.linear(net[0].noise[2].expand(1, 3), net[1].weight, net[1].bias)
        torch.testing.assert_close(net(torch.zeros(1, 3)), expected)
    assert torch.equal(net[1].noise, before)
    with pytest.raises(ConfigError, match="another role"):
        Noise(net, seed=0, role="rest", layers=lambda layer: isinstance(layer, Tint))
    Noise(net, seed=0, role="rest")  # one that takes over all of them may have any role
