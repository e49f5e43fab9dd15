"""Actor-critic networks: sizes of the published ones, their start, what is shared, recurrence, noise, normalisation."""

import math
import shutil
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic, Residual
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear, to_linear, to_noisy
from jostle.nn.policy import QNetwork

VECTOR = spaces.Box(-np.inf, np.inf, (4,), np.float32)
PICTURE = spaces.Box(0, 255, (4, 36, 36), np.uint8)
GRID = spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8), "direction": spaces.Discrete(4)})
OFFICIAL: dict[str, Any] = {"encoder": "nature-k4", "activation": "relu", "shared": True, "heads": "residual"}


def observations(space: gym.Space[Any], rows: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(space, spaces.Dict):
        return {key: observations(part, rows, seed) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return torch.randint(int(space.n), (rows,), generator=generator)
    if space.dtype == np.uint8:
        high = 4 if space.shape == (7, 7, 3) else 256
        return torch.randint(high, (rows, *space.shape), generator=generator, dtype=torch.uint8)
    return torch.randn(rows, *space.shape, generator=generator)


def made(space: gym.Space[Any] = VECTOR, actions: gym.Space[Any] | None = None, **options: Any) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(space, spaces.Discrete(3) if actions is None else actions, **options)


@pytest.mark.parametrize(("hidden", "recurrent", "count"), [
    ((256, 448), "none", 1_223_156),
    ((256,), "gru", 1_227_444),
])  # fmt: skip
def test_the_networks_of_random_network_distillation(hidden: tuple[int, ...], recurrent: Any, count: int) -> None:
    """openai/random-network-distillation at 18 actions and 4×84×84, with two value heads."""
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    policy = made(space, spaces.Discrete(18), num_streams=2, hidden=hidden, recurrent=recurrent, **OFFICIAL)
    assert sum(p.numel() for p in policy.parameters()) == count
    assert policy.encoder.out_features == 2304
    assert [m.linear.in_features for m in policy.modules() if isinstance(m, Residual)] == [
        policy.policy[1].in_features
    ] * 2


def gain(weight: Tensor) -> tuple[float, float]:
    """Least and greatest singular value."""
    values = torch.linalg.svdvals(weight.detach().flatten(1))
    return float(values.min()), float(values.max())


def gains_of(policy: ActorCritic) -> dict[str, tuple[float, float]]:
    return {n: gain(m.weight) for n, m in policy.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}


@pytest.mark.parametrize("space", [VECTOR, PICTURE])
def test_plain_networks_start_orthogonal(space: gym.Space[Any]) -> None:
    policy = made(space, num_streams=2, hidden=(16, 8))
    for name, (low, high) in gains_of(policy).items():
        expected = {"policy": 0.01, "value": 1.0}.get(name, math.sqrt(2))
        assert low == pytest.approx(expected, rel=1e-4), name
        assert high == pytest.approx(expected, rel=1e-4), name
    assert all(p.eq(0).all() for n, p in policy.named_parameters() if n.endswith("bias"))


def test_residual_networks_start_as_the_official_ones() -> None:
    policy = made(PICTURE, hidden=(16,), num_streams=2, **{**OFFICIAL, "encoder": "nature"})
    gains = gains_of(policy)
    for name, expected in {
        "policy.0.linear": 0.1, "value.0.linear": 0.1, "policy.1": 0.01, "value.1": 0.01, "actor.0": math.sqrt(2)
    }.items():  # fmt: skip
        assert gains[name] == pytest.approx((expected, expected), rel=1e-4)


def test_a_residual_branch_adds() -> None:
    branch, x = Residual(5), torch.randn(3, 5)
    torch.testing.assert_close(branch(x), x + (x @ branch.linear.weight.T).clamp(min=0))


CASES: list[tuple[gym.Space[Any], dict[str, Any]]] = [
    (VECTOR, {}),
    (VECTOR, {"shared": True, "heads": "residual", "normalise_obs": True}),
    (VECTOR, {"hidden": ()}),
    (PICTURE, {"hidden": (16,), "activation": "relu", "encoder": "impala-gap"}),
    (PICTURE, {"hidden": (16,), "shared": True, "recurrent": "lstm", "recurrent_size": 6}),
    (GRID, {"hidden": (16,), "shared": True, "recurrent": "gru", "recurrent_size": 5, "heads": "residual"}),
    (GRID, {"hidden": (16,)}),
]


@pytest.mark.parametrize(("space", "options"), CASES)
@pytest.mark.parametrize("actions", [spaces.Discrete(3), spaces.MultiBinary(2), spaces.Box(-1, 1, (2,))])
def test_shapes_and_acting(space: gym.Space[Any], options: dict[str, Any], actions: gym.Space[Any]) -> None:
    """`act` gives `forward`'s numbers, without touching the critic where there is one."""
    policy = made(space, actions, num_streams=2, **options)
    steps, n = 3, 4
    obs, state = observations(space, steps * n), policy.initial_state(n)
    start = torch.zeros(steps, n, dtype=torch.bool)
    start[1, 2] = True
    pi, value, after = policy(obs, state, start)
    assert pi.shape == (steps * n, policy.head.num_params)
    assert value.shape == (steps * n, 2)
    if policy.state_shape is None:
        assert state is None
        assert after is None
    else:
        assert state is not None
        assert state.shape == after.shape == (policy.state_shape[0], n, policy.state_shape[1])
    if policy.critic is not None:
        policy.critic.register_forward_pre_hook(lambda *_: pytest.fail("the critic ran"))
    policy.value.register_forward_pre_hook(lambda *_: pytest.fail("the value head ran"))
    acted, acted_state = policy.act(obs, state, start)
    assert torch.equal(acted, pi)
    assert acted_state is after is None or torch.equal(acted_state, after)
    distribution = policy.head.distribution(pi)
    action = distribution.sample(torch.Generator().manual_seed(0))
    assert distribution.log_prob(action).isfinite().all()


def trunk_gradients(policy: ActorCritic, output: Tensor) -> set[str]:
    """Names of the children that get a gradient other than zero."""
    policy.zero_grad()
    output.square().sum().backward()
    named = policy.named_parameters()
    return {name.split(".")[0] for name, p in named if p.grad is not None and p.grad.ne(0).any()}


def test_separate_halves_share_nothing_but_convolutions() -> None:
    for space, common in ((VECTOR, set()), (PICTURE, {"encoder"}), (GRID, {"encoder"})):
        policy = made(space, hidden=(16, 16))
        pi, value, _ = policy(observations(space, 4))
        assert trunk_gradients(policy, pi[:, 0] + 1) == {"actor", "policy"} | common
        pi, value, _ = policy(observations(space, 4))
        assert trunk_gradients(policy, value + 1) == {"critic", "value"} | common


def test_shared_halves_share_the_trunk() -> None:
    policy = made(VECTOR, shared=True)
    assert trunk_gradients(policy, policy(observations(VECTOR, 4))[0] + 1) == {"actor", "policy"}
    assert trunk_gradients(policy, policy(observations(VECTOR, 4))[1] + 1) == {"actor", "value"}


def test_log_std_is_a_parameter_of_its_own() -> None:
    policy = made(VECTOR, spaces.Box(-1, 1, (2,)))
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([-0.5, 0.25]))
    pi = policy(observations(VECTOR, 5))[0]
    assert pi[:, 2:].tolist() == [[-0.5, 0.25]] * 5
    assert trunk_gradients(policy, pi[:, 2:] + 1) == {"log_std"}


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_recurrent_rollouts_equal_single_steps(kind: Any) -> None:
    """T steps at once are what acting step by step gave, whichever shape the flags have."""
    policy = made(VECTOR, shared=True, hidden=(8,), recurrent=kind, recurrent_size=6)
    steps, n = 5, 3
    obs = observations(VECTOR, steps * n)
    start = torch.zeros(steps, n, dtype=torch.bool)
    start[0, 0] = start[3, 1] = True
    first = torch.randn(policy.state_shape[0], n, 6)
    pi, value, last = policy(obs, first, start)
    state = first
    for t, rows in enumerate(obs.view(steps, n, 4)):
        one, state = policy.act(rows, state, start[t])
        torch.testing.assert_close(one, pi.view(steps, n, -1)[t])
    torch.testing.assert_close(state, last)
    torch.testing.assert_close(policy(obs, first, start.flatten())[0], pi)
    # Nothing given: the zero state, one step, no start.
    torch.testing.assert_close(
        policy(obs[:n])[1], policy(obs[:n], torch.zeros_like(first), torch.zeros(1, n).bool())[1]
    )
    # The flags matter: without them the values differ from the first start on, and only there.
    differs = (policy(obs, first)[1] - value).view(steps, n).abs() > 1e-6
    assert differs.tolist() == [[True, t >= 3, False] for t in range(steps)]


def test_noise_goes_into_every_fully_connected_layer() -> None:
    policy = made(
        PICTURE, num_streams=2, hidden=(8,), recurrent="gru", recurrent_size=6, **{**OFFICIAL, "encoder": "nature"}
    )
    to_noisy(policy, noise="independent")
    noisy = {name for name, m in policy.named_modules() if isinstance(m, NoisyLinear)}
    assert noisy == {"actor.0", "policy.0.linear", "policy.1", "value.0.linear", "value.1"}
    assert not any(isinstance(m, nn.Linear) for m in policy.modules())
    separate = to_noisy(made(VECTOR, hidden=(8, 8)), noise="independent")
    noisy = {name for name, m in separate.named_modules() if isinstance(m, NoisyLinear)}
    assert noisy == {"actor.0", "actor.2", "critic.0", "critic.2", "policy", "value"}


@pytest.mark.parametrize(
    "options", [{}, {"shared": True, "heads": "residual", "recurrent": "gru", "recurrent_size": 6}]
)
@pytest.mark.parametrize("kind", ["independent", "factorised"])
def test_each_row_has_its_own_draw(options: dict[str, Any], kind: Any) -> None:
    policy = made(VECTOR, hidden=(8,), **options)
    plain_pi, plain_value, _ = policy(observations(VECTOR, 6))
    to_noisy(policy, noise=kind, sigma0=0.5)
    noise = Noise(policy, seed=0, role="online", slots=3)
    obs, draw = observations(VECTOR, 6), torch.tensor([2, 0, 1, 1, 0, 2])
    with noise.using(draw):
        pi, value, _ = policy(obs)
        acted, _ = policy.act(obs)
    torch.testing.assert_close(acted, pi)
    for row, slot in enumerate(draw.tolist()):
        with noise.using(slot):
            one_pi, one_value, _ = policy(obs[row : row + 1])
        torch.testing.assert_close(pi[row : row + 1], one_pi)
        torch.testing.assert_close(value[row : row + 1], one_value)
        with noise.using((slot + 1) % 3):
            other_pi, other_value, _ = policy(obs[row : row + 1])
        assert not torch.allclose(pi[row : row + 1], other_pi)
        assert not torch.allclose(value[row : row + 1], other_value)
    with noise.mean():
        torch.testing.assert_close(policy(obs)[:2], (plain_pi, plain_value))
    torch.testing.assert_close(to_linear(policy)(obs)[:2], (plain_pi, plain_value))


def test_observations_are_normalised_when_told() -> None:
    space = spaces.Dict({**GRID.spaces, "speed": VECTOR})
    policy, plain = made(space, hidden=(8,), normalise_obs=True), made(space, hidden=(8,))
    obs = observations(space, 50)
    obs["speed"] = obs["speed"] * torch.tensor([1.0, 100.0, 1e-3, 0.0]) + torch.tensor([0.0, 1e4, 1.0, 7.0])
    torch.testing.assert_close(policy(observations(space, 5)), plain(observations(space, 5)))  # no statistics yet
    before = policy(obs)[1]
    policy.train()
    torch.testing.assert_close(policy(obs)[1], before, rtol=0, atol=0)  # forward passes change nothing
    mask = torch.arange(50) < 40
    spoilt = {**obs, "speed": obs["speed"].masked_fill(~mask[:, None], torch.nan)}
    policy.update_normaliser(spoilt, mask)
    rows = obs["speed"][:40].double()
    expected = ((obs["speed"] - rows.mean(0)) / (rows.var(0, correction=0) + 1e-8).sqrt()).clamp(-10, 10).float()
    torch.testing.assert_close(policy(obs), plain({**obs, "speed": expected}), atol=1e-3, rtol=1e-3)
    assert policy(obs)[1].ne(before).any()
    far = {**obs, "speed": obs["speed"] + 1e9}
    farther = {**obs, "speed": obs["speed"] + 1e12}
    torch.testing.assert_close(policy(far)[1], policy(farther)[1])  # clipped
    policy.update_normaliser({key: value[:5] for key, value in obs.items()}, torch.zeros(5, dtype=torch.bool))
    copy = made(space, hidden=(8,), normalise_obs=True)
    copy.load_state_dict(policy.state_dict())
    torch.testing.assert_close(copy(obs), policy(obs), rtol=0, atol=0)
    assert torch.equal(torch.as_tensor([m.count for m in copy.modules() if hasattr(m, "count")]), torch.tensor([40.0]))


def test_pictures_and_categories_are_not_normalised() -> None:
    for space in (PICTURE, GRID, spaces.Discrete(5), spaces.MultiBinary(6)):
        policy = made(space, normalise_obs=True)
        before = {key: value.clone() for key, value in policy.state_dict().items()}
        policy.update_normaliser(observations(space, 4), torch.ones(4, dtype=torch.bool))
        assert all(torch.equal(value, before[key]) for key, value in policy.state_dict().items())


def test_the_policy_never_sees_what_is_privileged() -> None:
    space = spaces.Dict({"state": VECTOR, "privileged": spaces.Box(-1, 1, (2,))})
    obs, other = observations(space, 4), observations(space, 4)
    other["privileged"] = other["privileged"] + 1
    policy = made(space, normalise_obs=True)
    policy.update_normaliser(obs, torch.ones(4, dtype=torch.bool))
    (pi, value, _), (same, different, _) = policy(obs), policy(other)
    assert torch.equal(pi, same)
    assert value.ne(different).all()
    assert torch.equal(policy.act(other)[0], pi)
    assert policy.privileged.encoders["privileged"].normaliser.moments.count == 4
    pictures = made(spaces.Dict({"state": VECTOR, "privileged": PICTURE}), hidden=(8,))
    assert gains_of(pictures)["privileged.encoders.privileged.convolutions.0"] == pytest.approx(
        (math.sqrt(2), math.sqrt(2)), rel=1e-4
    )
    shared = made(space, shared=True)
    assert torch.equal(shared(obs)[1], shared(other)[1])
    with pytest.raises(ConfigError, match="see nothing"):
        made(spaces.Dict({"privileged": VECTOR}))


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_autocast_keeps_the_state_and_log_std_whole(kind: Any) -> None:
    policy = made(VECTOR, spaces.Box(-1, 1, (2,)), shared=True, hidden=(8,), recurrent=kind, recurrent_size=6)
    with torch.no_grad():
        policy.log_std.fill_(-0.123456)
    obs, state = observations(VECTOR, 6), policy.initial_state(2)
    with torch.autocast("cpu", torch.bfloat16):
        pi, value, after = policy(obs, state)
    assert pi.dtype == after.dtype == torch.float32
    assert pi[:, 2:].eq(policy.log_std).all()
    exact = policy(obs, state)
    torch.testing.assert_close((pi, value.float(), after), exact, atol=0.02, rtol=0.02)
    assert not torch.equal(value, exact[1])  # autocast was on


def test_heads_compute_in_float32_under_autocast() -> None:
    """Values beyond 64 would else go by halves, and actions with close values tie."""
    network = made(VECTOR, hidden=(16,))
    q = QNetwork(VECTOR, 5, hidden=(16,), dueling=True)
    with torch.no_grad():
        network.value.bias += 100.0
        q.value[-1].bias += 100.0
    obs = observations(VECTOR, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = [network(obs)[1][:, 0], q(obs)[:, 0, 0]]
    for values in found:
        assert values.dtype == torch.float32
        assert len(values.unique()) > 32


@pytest.mark.parametrize("keys", [("privileged",), ("privileged.mass", "privileged.friction")])
def test_what_is_privileged_may_be_several_things(keys: tuple[str, ...]) -> None:
    """Nested dictionaries come with dotted keys."""
    space = spaces.Dict({"state": VECTOR} | {key: spaces.Box(-1, 1, (2,)) for key in keys})
    obs, policy, q = observations(space, 4), made(space), QNetwork(space, 3, hidden=(8,))
    for key in keys:
        other = {**obs, key: obs[key] + 1}
        assert torch.equal(policy(obs)[0], policy(other)[0])
        assert policy(obs)[1].ne(policy(other)[1]).all()
        assert torch.equal(q(obs), q(other))
    assert q.encoder.keys == ["state"]


def test_a_recurrent_policy_shares_its_trunk() -> None:
    with pytest.raises(ConfigError, match="set shared=True"):
        made(VECTOR, recurrent="gru")


COMPILED = """
import numpy as np, torch
from gymnasium import spaces
from jostle.nn.actor_critic import ActorCritic
policy = ActorCritic(spaces.Box(-1, 1, (4,)), spaces.Box(-1, 1, (2,)), normalise_obs=True)
obs = torch.randn(32, 4)
policy.update_normaliser(obs, torch.ones(32, dtype=torch.bool))
torch.testing.assert_close(torch.compile(policy, fullgraph=True)(obs)[:2], policy(obs)[:2], rtol=1e-4, atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_forward_is_the_eager_one() -> None:
    """In a process of its own, for the run-time checks of annotations cannot be compiled."""
    run = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
