"""What every bonus keeps: observations of all kinds, masks, statistics, exact restoring, and what it refuses."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from bonus_cases import grid, observations, pixels, rollout, vector
from gymnasium import spaces

from jostle.bonus import BONUSES, E3B, ICM, RND, Bonus, Transitions, make_bonus, warm_up
from jostle.envs import make_env
from jostle.errors import ConfigError, EnvError

ACTIONS = spaces.Discrete(3)
MIXED = spaces.Dict(
    {
        "image": grid(),
        "direction": spaces.Discrete(4),
        "arm.joints": vector(3),
        "privileged": vector(2),
        "privileged.mass": vector(1),
    }
)
SPACES = [
    pixels(4, 84, 84),
    pixels(40, 36, 3),
    pixels(20, 16),
    pixels(10, 10),
    grid(),
    spaces.Box(0, 1, (3, 18, 18), np.float32),
    spaces.Box(0, 1, (5, 5), np.float32),
    vector(4),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Box(-3, 3, (2, 3), np.int32),
    spaces.Discrete(5, start=-2),
    spaces.MultiDiscrete([2, 3], start=[0, 4]),
    spaces.MultiBinary(4),
    MIXED,
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def made(name: str, space: gym.Space | None = None, num_envs: int = 3, **options: object) -> Bonus:
    """With bytes [7, 7, 3] taken for MiniGrid's codes, unless options say otherwise."""
    return make_bonus(name, space or vector(4), ACTIONS, num_envs, **({"features": 16, "codes": True} | options))


def steps(space: gym.Space, seed: int = 0, length: int = 5, num_envs: int = 3) -> Transitions:
    valid = torch.ones(length, num_envs, dtype=torch.bool)
    if length > 2 and num_envs > 1:
        valid[2, 1] = False
    action = torch.randint(3, (length, num_envs), generator=torch.Generator().manual_seed(seed))
    return rollout(observations(space, length + 1, num_envs, seed), valid, action)


@pytest.mark.parametrize("name", BONUSES)
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_bonus_takes_every_space(name: str, space: gym.Space) -> None:
    frames = 4 if space.shape == (4, 84, 84) else 1
    bonus = made(name, space, frame_stack=frames)
    t = steps(space)
    reward = bonus.update(t)
    assert reward.shape == (5, 3)
    assert reward.dtype == torch.float32
    assert reward.isfinite().all()
    assert (reward >= 0).all()
    assert reward[2, 1] == 0
    assert reward[~t.start & t.valid].all()
    target = bonus.prepare(t)
    rows = torch.tensor([0, 4, 7])
    loss = bonus.loss(t.flatten().rows(rows), None, None if target is None else target[rows])
    loss.backward()
    assert loss.item() > 0
    assert all(p.grad is not None for p in bonus.trainable_parameters())
    metrics = bonus.drain_metrics()
    assert all(key.startswith(f"{name}/") and np.isfinite(value) for key, value in metrics.items())
    assert bonus.drain_metrics() == {}


@pytest.mark.parametrize("name", BONUSES)
def test_one_environment_one_step(name: str) -> None:
    bonus = made(name, num_envs=1)
    reward = bonus.update(steps(vector(4), length=1, num_envs=1))
    assert reward.shape == (1, 1)
    assert reward.isfinite().all()


@pytest.mark.parametrize("name", BONUSES)
def test_invalid_rows_change_nothing(name: str) -> None:
    """Whatever stands in an invalid row, be it NaN, the rewards, the statistics and the memory are the same."""
    one, two = made(name), made(name)
    two.load_state_dict(one.state_dict())
    t = steps(vector(4))
    obs, next_obs, action = t.obs.clone(), t.next_obs.clone(), t.action.clone()
    obs[2, 1], next_obs[2, 1], action[2, 1] = torch.nan, torch.inf, 0
    u = Transitions(obs, next_obs, action, t.valid, t.start, t.done)
    torch.testing.assert_close(one.update(t), two.update(u), atol=0, rtol=0)
    for key, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[key], value, atol=0, rtol=0)
    torch.testing.assert_close(one.loss(t.flatten()), two.loss(u.flatten()), atol=0, rtol=0)
    assert one.drain_metrics() == two.drain_metrics()


@pytest.mark.parametrize("name", BONUSES)
def test_the_loss_of_a_rollout_is_that_of_its_rows(name: str) -> None:
    bonus = made(name, share=0.6)
    t = steps(vector(4))
    target = bonus.prepare(t)

    def loss(seen: Transitions) -> torch.Tensor:
        return bonus.loss(seen, torch.Generator().manual_seed(1), target)

    assert loss(t).item() == loss(t.flatten()).item() > 0
    valid = t.valid.flatten()
    chosen = bonus.select(valid, torch.Generator().manual_seed(1))
    assert 0 < len(chosen) < int(valid.sum())
    expected = bonus.loss_rows(t.flatten().rows(chosen), None if target is None else target[chosen])
    assert loss(t).item() == expected.item()


@pytest.mark.parametrize("name", BONUSES)
def test_what_is_not_there_is_not_in_the_means(name: str) -> None:
    """Neither the loss over an empty share nor the reward of a rollout that only resets."""
    bonus = made(name)
    t = steps(vector(4))
    none = rollout(t.obs, torch.zeros(4, 3, dtype=torch.bool))
    bonus.update(none)
    bonus.loss(none)
    assert bonus.drain_metrics() == {}
    bonus.update(t)
    bonus.loss(t)
    alone = bonus.drain_metrics()
    bonus.loss(t)
    bonus.loss(none)
    again = bonus.drain_metrics()
    assert again == {key: alone[key] for key in again}
    assert any("loss" in key for key in again)


def test_small_pictures_in_colour_are_no_codes() -> None:
    """MiniGrid's keys tell its codes; a space of its own could be either, and a warning says what it is taken for."""
    space = pixels(12, 12, 3)
    with pytest.warns(UserWarning, match=r"rnd: bytes \[H, W, 3\] .* taken for colours; if they are MiniGrid's codes"):
        bonus = RND(space, 3, features=16)
    assert bonus.update(steps(space)).isfinite().all()
    kinds = {
        codes: [
            part.kind for part in made("rnd", spaces.Dict({"a": grid(), "b": pixels(3)}), codes=codes).preprocess.parts
        ]
        for codes in (True, False)
    }
    assert kinds == {True: ["grid", "vector"], False: ["vector", "vector"]}
    assert [part.kind for part in RND(MIXED, 1).preprocess.parts] == ["vector", "category", "grid"]
    assert RND(MIXED, 1, codes=False).preprocess.parts[2].kind == "vector"


@pytest.mark.parametrize("kind", ["return_std", "reward_std"])
def test_a_moving_scale_forgets(kind: str) -> None:
    """Before a rollout of n transitions is counted, all before it weighs exp(−n / horizon); by hand, in float64."""
    bonus = made("rnd", reward_norm=kind, discount=0.9, scale_horizon=20.0)
    weights, values, totals = [1e-4], [0.0], np.zeros(3)
    spread = 1e-4  # of the made-up observation to start from
    for seed in range(4):
        t = steps(vector(4), seed)
        raw = bonus.raw(t).detach().double().numpy()
        reward = bonus.update(t)
        fade = np.exp(-14 / 20)
        weights, spread = [w * fade for w in weights], spread * fade
        for n, step in np.ndindex(3, 5):
            if t.valid[step, n]:
                totals[n] = 0.9 * totals[n] + raw[step, n]
                weights.append(1.0)
                values.append(totals[n] if kind == "return_std" else raw[step, n])
        mean = np.average(values, weights=weights)
        variance = (np.dot(weights, (np.array(values) - mean) ** 2) + spread) / sum(weights)
        assert bonus.scale.value.item() == pytest.approx(np.sqrt(variance), rel=1e-6)
        np.testing.assert_allclose(reward[t.valid].numpy(), raw[t.valid.numpy()] / np.sqrt(variance), rtol=1e-5)


@pytest.mark.parametrize("name", BONUSES)
def test_a_restored_bonus_goes_on_bit_for_bit(name: str) -> None:
    def train(bonus: Bonus, optimiser: torch.optim.Optimizer, seed: int) -> torch.Tensor:
        t = steps(vector(4), seed)
        t.start[0] = seed == 0  # episodes last from one rollout to the next
        reward = bonus.update(t)
        optimiser.zero_grad()
        bonus.loss(t.flatten(), torch.Generator().manual_seed(seed)).backward()
        optimiser.step()
        return reward

    first = made(name, share=0.5)
    optimiser = torch.optim.SGD(first.trainable_parameters(), 0.1)
    for seed in range(2):
        train(first, optimiser, seed)
    torch.manual_seed(99)
    second = made(name, share=0.5)
    second.load_state_dict({key: value.clone() for key, value in first.state_dict().items()})
    again = torch.optim.SGD(second.trainable_parameters(), 0.1)
    for seed in range(2, 4):
        assert torch.equal(train(first, optimiser, seed), train(second, again, seed))
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value)


@pytest.mark.parametrize("name", ["rnd", "icm"])
def test_compute_reads_and_update_writes(name: str) -> None:
    bonus = made(name)
    t = steps(vector(4))
    bonus.update(t)
    before = {key: value.clone() for key, value in bonus.state_dict().items()}
    flat = bonus.compute(t.flatten())
    assert torch.equal(flat.view(5, 3), bonus.compute(t))
    assert flat[7] == 0
    raw = bonus.raw(t).detach()
    torch.testing.assert_close(bonus.compute(t)[t.valid], (raw / bonus.scale.value.float())[t.valid])
    assert all(torch.equal(before[key], value) for key, value in bonus.state_dict().items())


def test_a_bonus_with_a_memory_is_not_computed_again() -> None:
    with pytest.raises(ConfigError, match=r"e3b depends on the episode's history: store what update\(\) returned"):
        made("e3b").compute(steps(vector(4)))


@pytest.mark.parametrize("kind", ["return_std", "reward_std", "none"])
def test_rewards_are_divided_by_the_chosen_deviation(kind: str) -> None:
    bonus = made("rnd", reward_norm=kind, discount=0.9)
    t = steps(vector(4))
    raw = bonus.raw(t).detach().double()
    reward = bonus.update(t)
    values = []
    for n in range(3):
        total = 0.0
        for step in range(5):
            if t.valid[step, n]:
                total = 0.9 * total + raw[step, n].item()
                values.append(total if kind == "return_std" else raw[step, n].item())
    variance = np.var(values) * 14 + 1e-4 + np.mean(values) ** 2 * 1e-4 * 14 / 14.0001
    scale = 1.0 if kind == "none" else np.sqrt(variance / 14.0001)
    torch.testing.assert_close(reward[t.valid].double(), raw[t.valid] / scale, rtol=1e-5, atol=0)


@pytest.mark.parametrize("space", [vector(4), pixels(36, 36), grid()])
def test_observations_without_variance(space: gym.Space) -> None:
    bonus = made("rnd", space)
    obs = observations(space, 1, 1).expand(6, 3, *space.shape)
    for _ in range(3):
        assert bonus.update(rollout(obs)).isfinite().all()
    (x,) = bonus.preprocess([part.newest(obs.flatten(0, 1)) for part in bonus.preprocess.parts])
    assert x.abs().max() < 0.1


@pytest.mark.parametrize("space", [pixels(36, 36), pixels(10, 10), pixels(6)])
def test_bytes_that_are_not_normalised_lie_between_0_and_1(space: gym.Space) -> None:
    bonus = made("rnd", space, obs_norm=False)
    obs = torch.zeros(2, *space.shape, dtype=torch.uint8)
    obs[1] = 255
    (x,) = bonus.preprocess(bonus.preprocess.rows(obs, (2,)))
    assert x[0].eq(0).all()
    assert x[1].eq(1).all()
    before = {key: value.clone() for key, value in bonus.state_dict().items()}
    bonus.observe(obs[:, None], torch.ones(2, 1, dtype=torch.bool))
    assert all(torch.equal(before[key], value) for key, value in bonus.state_dict().items())


def test_codes_become_planes() -> None:
    """Channel c with code k stands in plane k behind those of the channels before, at its own place."""
    bonus = made("rnd", grid(), obs_norm=False)
    obs = torch.zeros(1, 7, 7, 3, dtype=torch.uint8)
    obs[0, 2, 5] = torch.tensor([10, 3, 1])
    (x,) = bonus.preprocess(bonus.preprocess.rows(obs, (1,)))
    assert x.shape == (1, 21, 7, 7)
    assert x[0, :, 2, 5].nonzero().flatten().tolist() == [10, 11 + 3, 17 + 1]
    assert x[0, :, 0, 0].nonzero().flatten().tolist() == [0, 11, 17]
    assert x.sum() == 3 * 49


def test_the_privileged_key_is_not_seen() -> None:
    bonus = made("rnd", MIXED)
    obs = observations(MIXED, 6, 3)
    other = {**obs, "privileged": obs["privileged"] + 100, "privileged.mass": obs["privileged.mass"] + 100}
    assert torch.equal(bonus.raw(rollout(obs)), bonus.raw(rollout(other)))
    for key in ("image", "direction", "arm.joints"):
        changed = {**obs, key: (obs[key] + 1) % 4}
        assert not torch.allclose(bonus.raw(rollout(obs)), bonus.raw(rollout(changed)))


def test_warm_up_counts_the_observations_that_transitions_start_from() -> None:
    bonus = RND(vector(4), 3, features=8)
    weights = [p.clone() for p in bonus.parameters()]
    env, twin = make_env("CartPole-v1", 3), make_env("CartPole-v1", 3)
    warm_up(bonus, env, 300, seed=5)
    twin.action_space.seed(5)
    obs, _ = twin.reset(seed=5)
    seen, kept = [obs], np.ones(3, bool)
    endings = 0
    for _ in range(300):
        obs, _, terminated, truncated, _ = twin.step(twin.action_space.sample())
        kept = ~(terminated | truncated)
        endings += int((~kept).sum())
        seen.append(obs[kept])
    assert endings > 20
    rows = np.concatenate(seen).astype(np.float64)
    moments = bonus.preprocess.parts[0].moments
    assert moments.count.item() == pytest.approx(1e-4 + len(rows))
    np.testing.assert_allclose(moments.mean.numpy(), rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.std.numpy(), rows.std(0), rtol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(bonus.parameters(), weights, strict=True))
    assert bonus.scale.returns.moments.count.item() == pytest.approx(1e-4)
    env.close()
    twin.close()


def test_warm_up_takes_dictionaries() -> None:
    env = make_env("MiniGrid-Empty-5x5-v0", 2, engine="gymnasium")
    bonus = RND(env.single_observation_space, 2, features=8)
    warm_up(bonus, env, 10, seed=0)
    assert all(part.moments.count.item() > 15 for part in bonus.preprocess.parts)
    env.close()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["obs", "next_obs"])
def test_observations_that_are_not_finite(value: float, where: str) -> None:
    bonus = made("rnd")
    t = steps(vector(4))
    broken = getattr(t, where).clone()
    broken[3, 2, 1] = value
    u = Transitions(**{**{k: getattr(t, k) for k in t.__dataclass_fields__}, where: broken})
    before = {key: x.clone() for key, x in bonus.state_dict().items()}
    what = "next observation" if where == "next_obs" else "observation"
    with pytest.raises(EnvError, match=f"rnd: the {what} of environment 2 at step 3 is not finite: the simulation"):
        bonus.update(u)
    assert all(torch.equal(before[key], x) for key, x in bonus.state_dict().items())


def test_a_network_that_has_diverged() -> None:
    bonus = made("rnd")
    with torch.no_grad():
        next(bonus.trainable_parameters()).fill_(torch.inf)
    with pytest.raises(ConfigError, match=r"the reward of rnd is not finite .* lower their learning rate"):
        bonus.update(steps(vector(4)))


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: RND(spaces.Text(5), 1), r"rnd cannot see observations of the kind Text.*FlattenObservation"),
    (lambda: RND(spaces.Dict({"privileged": vector(2)}), 1), "nothing to see"),
    (lambda: RND(pixels(4, 84, 84), 1, frame_stack=3), "frame_stack=3 does not divide the 4 channels"),
    (lambda: RND(vector(4), 1, frame_stack=4), "frame_stack=4 needs pictures"),
    (lambda: RND(vector(4), 0), "num_envs=0"),
    (lambda: RND(vector(4), 1, features=0), "features=0"),
    (lambda: RND(vector(4), 1, share=0.0), "share=0.0"),
    (lambda: RND(vector(4), 1, clip=0.0), "clip=0.0"),
    (lambda: RND(vector(4), 1, discount=1.5), "discount=1.5"),
    (lambda: RND(vector(4), 1, target="next"), "target='next'"),
    (lambda: RND(vector(4), 1, reward_norm="return"), r"reward_norm='return' is unknown: did you mean return_std"),
    (lambda: ICM(vector(4), 1, action_space=spaces.Text(3)), "icm cannot predict actions of the kind Text"),
    (lambda: ICM(vector(4), 1, action_space=ACTIONS, beta=2.0), "beta=2.0"),
    (lambda: ICM(vector(4), 1, action_space=ACTIONS, features=0), "icm: features=0"),
    (lambda: E3B(vector(4), 1, action_space=ACTIONS, ridge=0.0), "ridge=0.0"),
    (lambda: make_bonus("rdn", vector(4), ACTIONS, 1), r"no bonus 'rdn': did you mean rnd\?"),
    (lambda: made("rnd").update(steps(vector(4), num_envs=2)), r"made for 3 environments .* give \[time, 3\]"),
    (lambda: made("rnd").update(steps(vector(5))), r"observations of shape \[5, 3, 4\] are needed, not \[5, 3, 5\]"),
    (lambda: made("rnd").update(steps(MIXED)), "and a tensor was to be seen"),
    (lambda: made("rnd").loss(steps(vector(4)), None, torch.zeros(5, 16)), "15 rows got a target of 5"),
    (lambda: made("rnd").select(steps(vector(4)).valid), r"from a minibatch \[B\], not from \[5, 3\]"),
    (lambda: made("rnd").observe(np.zeros((5, 3, 4)), torch.ones(5, 3) > 0), "the observation holds a NumPy array"),
    (lambda: made("rnd", MIXED).observe({"image": np.zeros(1)}, torch.ones(5, 3) > 0), "holds a NumPy array"),
    (lambda: Transitions(np.zeros(4), *torch.ones(3, 4)), r"obs holds a NumPy array.*as_tensor"),
    (lambda: RND(vector(4), 1, slope=1.0), r"slope=1.0 must lie in \[0, 1\)"),
    (lambda: RND(vector(4), 1, depth=-1), "depth=-1 be 0 or more"),
    (lambda: RND(vector(4), 1, convolutions="nautre"), r"convolutions='nautre' is unknown: did you mean nature"),
    (lambda: RND(pixels(20, 20), 1, convolutions="nature"), "pictures of 20×20 are too small .* use 'auto' or 'small'"),
    (lambda: RND(vector(4), 1, scale_horizon=0.0), "scale_horizon=0.0 must be positive"),
    (lambda: made("rnd", MIXED).update(steps(vector(4))), "the observation is a tensor"),
    (lambda: made("rnd", pixels(12, 12, 3)).update(steps(pixels(12, 12, 3))), r"codes outside of its \[11, 6, 4\]"),
    (lambda: made("rnd", spaces.Discrete(3, start=2)).update(rollout(torch.ones(2, 3).long())), r"of its \[3\]"),
])  # fmt: skip
def test_what_is_refused(make, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


def test_e3b_asks_for_starts() -> None:
    t = steps(vector(4))
    with pytest.raises(ConfigError, match="where episodes start"):
        made("e3b").update(Transitions(t.obs, t.next_obs, t.action, t.valid))
