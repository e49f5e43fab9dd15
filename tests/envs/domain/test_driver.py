"""The domain in an environment: what is set when, what is told, what is counted, and in which order."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pendulum import ID, QUANTITIES, TinyPendulum

import jostle
from jostle.domain import Space
from jostle.domain.schedules import Proposal, Results
from jostle.envs.domain.launches import Launches
from jostle.errors import CheckpointError, ConfigError

DOMAIN = {
    "mass": {"log_uniform": [0.2, 5], "operation": "scale"},
    "length": [0.5, 2],
    "push": {"truncated_normal": [0, 1, -2, 2], "when": "interval", "interval": 4},
}


def make(n: int = 4, seed: int = 0, domain: Any = DOMAIN, **more: Any) -> jostle.JostleEnv:
    return jostle.make_env(ID, n, seed, domain=domain, **more)


def world(env: jostle.JostleEnv) -> TinyPendulum:
    found = env._engine._vector
    assert isinstance(found, TinyPendulum)
    return found


def walk(env: jostle.JostleEnv, steps: int, seed: int = 3) -> Iterator[tuple[Any, ...]]:
    """Random steps, each with what it gave, while the world still is as it was then."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(rng.integers(0, 3, env.num_envs))
        yield obs, reward, terminated | truncated, info["domain"], info["domain_log_density"], info["start"]


def run(env: jostle.JostleEnv, steps: int, seed: int = 3) -> list[tuple[Any, ...]]:
    return list(walk(env, steps, seed))


def test_values_are_the_spaces_draws_of_seed_environment_and_episode() -> None:
    env = make(3, seed=11)
    _, info = env.reset()
    bound = Space.load(DOMAIN).bind(QUANTITIES)
    episode = np.zeros(3, np.int64)
    rows = np.arange(3)
    draw = bound.draw(11, rows, episode)
    np.testing.assert_array_equal(info["domain"], draw.values)
    np.testing.assert_array_equal(info["domain_log_density"], draw.log_density)
    assert env.domain.names == ("mass", "length", "push")
    for _, _, _, values, density, start in walk(env, 80):
        episode = episode + start
        draw = bound.draw(11, rows, episode)
        np.testing.assert_array_equal(values[:, :2], draw.values[:, :2])
        np.testing.assert_array_equal(density, draw.log_density)
        np.testing.assert_array_equal(values[:, 0], world(env).values["mass"])
    assert episode.min() >= 3


def test_the_world_is_set_before_an_episode_begins_and_only_there() -> None:
    env = make(4, domain={"level": {"integers": [1, 900]}})
    env.reset()
    assert len(world(env).calls) == 1
    for obs, *_, values, _, start in walk(env, 60):
        rows = np.flatnonzero(start)
        if len(rows):
            given, where = world(env).calls[-1]
            np.testing.assert_array_equal(where, rows)
            np.testing.assert_array_equal(given["level"], values[rows, 0])
            fresh = jostle.make_env(ID, 4)  # the first state is that of the new level
            inner = world(fresh)
            inner.values["level"] = values[:, 0].copy()
            inner._seed, inner._episode = world(env)._seed, world(env)._episode
            inner._begin(np.ones(4, bool))
            np.testing.assert_array_equal(obs[rows], inner._state.astype(np.float32)[rows])
    starts = sum(len(rows) for _, rows in world(env).calls)
    assert starts == world(env)._episode.sum() + 4


def test_what_varies_within_episodes_is_drawn_at_its_interval() -> None:
    env = make(2, seed=5)
    env.reset()
    bound = Space.load(DOMAIN).bind(QUANTITIES)
    steps, episode = np.zeros(2, np.int64), np.zeros(2, np.int64)
    kept = []
    for _, _, _, values, _, start in walk(env, 70):
        episode, before = episode + start, np.where(start, 0, steps)
        wanted = bound.draw(5, np.arange(2), episode, before).values
        np.testing.assert_array_equal(values[:, 2], wanted[:, 2])
        np.testing.assert_array_equal(world(env).values["push"], wanted[:, 2])
        steps = np.where(start, 0, steps + 1)
        kept.append(values[:, 2])
    assert len(np.unique(kept)) > 20
    changed = [set(given) for given, _ in world(env).calls]
    assert {"push"} in changed  # the others are not set again within an episode
    assert all(c in ({"push"}, {"mass", "length", "push"}) for c in changed)


def test_a_row_that_starts_keeps_what_was_proposed_for_it_however_long_the_episode_before_was() -> None:
    env = make(4)
    env.reset()
    driver, lengths, start = env.domain, np.full(4, 9), np.array([True, False, True, False])
    driver.vary(lengths, np.zeros(4, bool))
    driver.begin(start)
    proposed = driver.values
    driver.vary(lengths + 4, start)
    changed = driver.values != proposed
    np.testing.assert_array_equal(changed[:, 2], ~start)
    assert not changed[:, :2].any()


def test_rows_do_not_depend_on_their_number() -> None:
    few, many = make(2, seed=1), make(6, seed=1)
    assert (few.reset()[1]["domain"] == many.reset()[1]["domain"][:2]).all()
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.integers(0, 3, 6)
        a, b = few.step(action[:2]), many.step(action)
        np.testing.assert_array_equal(a[0], b[0][:2])
        np.testing.assert_array_equal(a[4]["domain"], b[4]["domain"][:2])


def test_a_reset_without_a_seed_goes_on_with_the_next_episodes() -> None:
    env = make(2)
    first = env.reset(seed=4)[1]["domain"]
    assert (env.reset()[1]["domain"] != first).any()
    np.testing.assert_array_equal(env.reset(seed=4)[1]["domain"], first)


@pytest.mark.parametrize(
    "schedule",
    [
        "uniform",
        "linear(steps=2000)",
        "adr(high=12, low=5, episodes=1, share=0.9)",
        "rollback(high=15, low=5, episodes=2)",
        "doraemon(alpha=0.3, episodes=10)",
    ],
)
def test_a_state_goes_on_exactly_with_every_schedule(schedule: str) -> None:
    one = make(5, seed=2, domain_schedule=schedule, domain_privileged=True)
    one.reset()
    run(one, 200)
    state, log = one.state_dict(), one.domain.log()
    two = make(5, seed=2, domain_schedule=schedule, domain_privileged=True)
    two.load_state_dict(state)
    for a, b in zip(run(one, 100, 8), run(two, 100, 8), strict=True):
        for x, y in zip(
            (a[0]["obs"], a[0]["privileged"], *a[1:]), (b[0]["obs"], b[0]["privileged"], *b[1:]), strict=True
        ):
            np.testing.assert_array_equal(x, y)
    assert one.domain.log() == two.domain.log()
    assert schedule == "uniform" or one.domain.log() != log


def test_a_state_of_another_domain_is_refused() -> None:
    env = make(2)
    env.reset()
    state = env.state_dict()
    with pytest.raises(CheckpointError, match="of another domain or schedule"):
        make(2, domain_schedule="linear(steps=5)").load_state_dict(state)
    with pytest.raises(CheckpointError, match="of another domain"):
        jostle.make_env(ID, 2).load_state_dict(state)


class Watching:
    """What a schedule is told."""

    kind, watches, listens = "watching", True, False

    def __init__(self) -> None:
        self.seen: list[Results] = []
        self.proposed: list[tuple[int, int]] = []

    def propose(self, seed: int, envs: np.ndarray, episodes: np.ndarray) -> Proposal:
        self.proposed += list(zip(envs.tolist(), episodes.tolist(), strict=True))
        return Proposal(np.tile([1.0, 1.0, 0.0], (len(envs), 1)), np.zeros(len(envs)), envs * 1000 + episodes)

    def observe(self, results: Results) -> None:
        self.seen.append(results)


def test_results_come_in_launch_order_with_what_was_proposed() -> None:
    env = make(6, domain=DOMAIN | {"push": 0.0})
    schedule = env.domain.schedule = Watching()
    env.reset()
    lengths, returns, running = {}, {}, {(i, 0): [0, 0.0] for i in range(6)}
    episode = np.zeros(6, np.int64)
    for _, reward, ended, _, _, start in walk(env, 150):
        episode += start
        for i in range(6):
            key = (i, int(episode[i]))
            one = running.setdefault(key, [0, 0.0])
            one[0] += int(not start[i])
            one[1] += float(reward[i])
            if ended[i]:
                lengths[key], returns[key] = one
    order = [key for r in schedule.seen for key in zip(r.envs.tolist(), r.episodes.tolist(), strict=True)]
    assert order == schedule.proposed[: len(order)]
    assert len(order) > 20
    for r in schedule.seen:
        for k, key in enumerate(zip(r.envs.tolist(), r.episodes.tolist(), strict=True)):
            assert (r.lengths[k], r.returns[k], r.tag[k]) == (lengths[key], returns[key], key[0] * 1000 + key[1])
            assert r.success[k] in ((0.0, 1.0) if r.lengths[k] == 20 else (0.0,))
    assert {s for r in schedule.seen for s in r.success.tolist()} == {0.0, 1.0}


def first_ten(in_launch_order: bool, seed: int) -> float:
    """The mean success of the first ten episodes that a schedule sees, of 8 rows that succeed in half of all episodes:
    a failure takes one step, a success forty."""
    rng, launches, rows = np.random.default_rng(seed), Launches(8), np.arange(8)
    seen: list[float] = []
    left, good, episode = np.zeros(8, int), np.zeros(8), np.zeros(8, np.int64)

    def begin(some: np.ndarray) -> None:
        good[some] = rng.integers(0, 2, len(some))
        left[some] = np.where(good[some] == 1, 40, 1)
        n = len(some)
        launches.begin(some, episode[some], Proposal(np.zeros((n, 1)), np.zeros(n), np.zeros(n, np.int64)))

    begin(rows)
    while len(seen) < 10:
        left -= 1
        done = np.flatnonzero(left == 0)
        for row in done:
            launches.end(int(row), 0.0, 1, float(good[row]))
            if not in_launch_order:
                seen.append(good[row])
        if in_launch_order and (results := launches.ready()) is not None:
            seen += results.success.tolist()
        episode[done] += 1
        if len(done):
            begin(done)
    return float(np.mean(seen[:10]))


def test_finish_order_favours_early_failures_and_launch_order_does_not() -> None:
    launch, finish = (np.mean([first_ten(order, seed) for seed in range(100)]) for order in (True, False))
    assert launch == pytest.approx(0.5, abs=0.05)  # its standard error is 0.016
    assert finish < 0.3


def test_episodes_that_are_broken_off_are_waited_for_by_none() -> None:
    launches = Launches(2)
    rows, some = np.arange(2), Proposal(np.zeros((2, 1)), np.zeros(2), np.arange(2))
    launches.begin(rows, np.zeros(2, np.int64), some)
    launches.end(1, 5.0, 3, np.nan)
    assert launches.ready() is None  # row 0's began before
    launches.begin(rows, np.ones(2, np.int64), some)  # a reset: row 0's was broken off
    results = launches.ready()
    assert (results.envs.tolist(), results.episodes.tolist(), results.returns.tolist()) == ([1], [0], [5.0])
    assert launches.ready() is None


def test_episodes_that_ended_and_wait_are_in_the_state_with_their_results() -> None:
    one, rows = Launches(3), np.arange(3)
    one.begin(rows, np.full(3, 4), Proposal(np.arange(6.0).reshape(3, 2), np.array([0.1, 0.2, 0.3]), rows + 7))
    one.end(1, 5.0, 3, 1.0)
    one.end(2, 2.0, 9, 0.0)
    other = Launches(3)
    other.load_state_dict(one.state_dict())
    told = []
    for launches in (one, other):
        launches.end(0, 8.0, 20, np.nan)
        told.append(launches.ready())
    np.testing.assert_equal(told[1]._asdict(), told[0]._asdict())
    assert (told[1].returns.tolist(), told[1].lengths.tolist()) == ([8.0, 5.0, 2.0], [20, 3, 9])
    np.testing.assert_array_equal(told[1].success, [np.nan, 1.0, 0.0])


def test_the_privileged_observation_is_where_values_lie() -> None:
    env = make(3, domain_privileged=True)
    obs, info = env.reset()
    assert set(env.single_observation_space.spaces) == {"obs", "privileged"}
    assert env.single_observation_space["privileged"].shape == (3,)
    mass, length, push = info["domain"].T
    wanted = np.stack([np.log(mass) / np.log(5), (length - 1.25) / 0.75, push], 1)
    np.testing.assert_allclose(obs["privileged"], wanted, rtol=1e-5, atol=1e-6)
    for told, _, _, values, _, _ in walk(env, 30):
        np.testing.assert_allclose(told["privileged"][:, 2], values[:, 2], rtol=1e-5)
        assert told["privileged"].dtype == np.float32


def test_off_and_elsewhere_the_privileged_observation_is_told_in_the_seen_ranges() -> None:
    off = jostle.make_env(ID, 2, domain_seen=DOMAIN, domain_privileged=True)
    obs, info = off.reset()
    np.testing.assert_allclose(obs["privileged"], [[0, -1 / 3, 0]] * 2, rtol=1e-6)
    assert info["domain"].shape == (2, 0)
    assert world(off).calls == []
    other = jostle.make_env(ID, 2, domain={"length": 2.75}, domain_seen=DOMAIN, domain_privileged=True)
    np.testing.assert_allclose(other.reset()[0]["privileged"], [[0, 2, 0]] * 2, rtol=1e-6)


def test_level_replay_hears_what_the_learner_knows() -> None:
    env = make(3, domain={"level": {"integers": [1, 6]}, "mass": [0.5, 1.5]}, domain_schedule="plr(staleness=0)")
    env.reset()
    levels, valid = [], []
    rng = np.random.default_rng(0)
    for _ in range(30):
        info = env.step(rng.integers(0, 3, 3))[4]
        levels.append(info["domain"][:, 0])
        valid.append(info["valid"])
    score = rng.uniform(size=(30, 3)).astype(np.float32)
    env.domain.feedback(score, np.stack(valid))
    at, ok = np.stack(levels), np.stack(valid)
    wanted = [score[(at == k) & ok].mean() if ((at == k) & ok).any() else 0.0 for k in range(1, 7)]
    np.testing.assert_allclose(env.domain.schedule.score, wanted, rtol=1e-6)
    env.step(np.zeros(3, np.int64))
    with pytest.raises(ConfigError, match="was stepped 1 times since the schedule's last feedback"):
        env.domain.feedback(score, np.stack(valid))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"domain": {"maas": [0, 1]}}, "TinyPendulum-v0 has no quantity maas .* did you mean mass"),
        ({"domain": {"mass": [-1, 1]}}, "would reach -1 kg"),
        ({"domain": {"mass": [2, 1]}}, "inverted bounds"),
        ({"domain_schedule": "adr(high=1, low=0)"}, "there is none: give domain"),
        ({"domain_privileged": True}, "there is none: give domain"),
        ({"domain": DOMAIN, "domain_privileged": 1}, "must be True or False"),
        ({"domain": DOMAIN, "domain_schedule": "adr"}, "adr needs high and low"),
    ],
)
def test_bad_input(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        jostle.make_env(ID, 2, **options)


def test_an_environment_that_offers_nothing_is_told_so() -> None:
    with pytest.raises(ConfigError, match="DeepSea-v0 on jostle offers nothing that a domain could vary"):
        jostle.make_env("jostle/DeepSea-v0", 2, domain={"mass": [1, 2]})


def test_successes_that_are_not_told_are_asked_for() -> None:
    env = make(4, tells=False, domain_schedule="doraemon")
    env.reset()
    with pytest.raises(ConfigError, match="the environment tells none"):
        run(env, 60)


def test_a_loaded_state_is_the_whole_state() -> None:
    """With what the learner has not spoken of yet, and ticks of what varies within episodes."""
    domain = {"level": {"integers": [1, 6]}, "push": DOMAIN["push"]}
    one, two = (make(3, domain=domain, domain_schedule="plr") for _ in range(2))
    one.reset()
    run(one, 9)
    two.reset(seed=5)
    two.load_state_dict(one.state_dict())
    np.testing.assert_equal(two.domain.state_dict(), one.domain.state_dict())
    for name in ("level", "push"):
        np.testing.assert_array_equal(world(two).values[name], world(one).values[name])
    assert len(one.domain.state_dict()["heard"]) == 9


def test_a_reset_forgets_what_the_learner_has_not_spoken_of() -> None:
    env = make(3, domain={"level": {"integers": [1, 6]}}, domain_schedule="plr")
    env.reset()
    run(env, 4)
    env.reset()
    run(env, 2)
    env.domain.feedback(np.ones((2, 3), np.float32), np.ones((2, 3), bool))
    assert env.domain.schedule.score.max() == 1.0


def test_what_is_told_is_never_written_to_again() -> None:
    env = make(3)
    kept = [(info["domain"], info["domain"].copy()) for info in (env.reset()[1], env.step(np.zeros(3, np.int64))[4])]
    run(env, 40)
    for told, before in kept:
        np.testing.assert_array_equal(told, before)
        with pytest.raises(ValueError, match="read-only"):
            told[0] = 0.0


def test_a_success_that_some_rows_tell_is_unknown_in_the_others() -> None:
    from jostle.envs.domain.driver import _success

    told = {"is_success": np.array([1.0, 0.0, 0.0]), "_is_success": np.array([True, True, False])}
    np.testing.assert_array_equal(_success(told, 3), [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(_success({"success": np.array([True, False, True])}, 3), [1.0, 0.0, 1.0])
    assert np.isnan(_success({}, 3)).all()
