"""The suite `physics-sobol`: which parameters matter to a policy, played; what it leaves, and how it reads back."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jostle
from jostle.domain import Space
from jostle.errors import ConfigError
from jostle.stress import read_result, stress_test
from jostle.stress.physics import control_of, sobol_test
from jostle.stress.physics.field import Field, How, Scores, seeds_of
from jostle.stress.physics.sobol import of_method, sentences, write_csv
from jostle.stress.report import as_dict
from jostle.stress.target import target_of
from jostle.view import Success, as_view

CARTPOLE = "jostle/CartPole-v1"
SPACE = {"force": [2, 20], "gravity": [9.7, 9.9], "timestep": [0.005, 0.03]}


def right(name: str = "right") -> Any:
    """Push to the right alone: how long the pole stands depends on force and timestep, and hardly on gravity."""
    return as_view(lambda obs: np.ones(len(obs), np.int64), env=CARTPOLE, name=name)


def test_what_matters_is_found() -> None:
    found = sobol_test(right(), SPACE, points=64)
    indices = found.indices["return"]
    assert indices.names == ("force", "gravity", "timestep")
    force, gravity, timestep = indices.total
    assert force.low > 0.1
    assert timestep.low > 0.2
    assert gravity.point == pytest.approx(0.0, abs=0.03)
    assert indices.certain
    assert 0 < indices.share_of_luck < 0.3
    assert sum(each.point for each in indices.first) == pytest.approx(1 - indices.together)
    assert found == sobol_test(right(), SPACE, points=64), "the same seed, the same points and episodes"
    other = sobol_test(right(), SPACE, points=64, seed=1).indices["return"]
    assert other.mean != indices.mean
    assert other.mean == pytest.approx(indices.mean, rel=0.1)


def test_constants_and_names_that_do_not_vary_have_no_index() -> None:
    found = sobol_test(right(), SPACE | {"pole.mass": 0.2}, points=16)
    assert found.indices["return"].names == ("force", "gravity", "timestep")
    with pytest.raises(ConfigError, match="no variance"):
        sobol_test(right(), {"force": 3.0})
    tied = {"parameters": SPACE, "correlated": [{"names": ["force", "gravity"], "correlation": 0.5}]}
    with pytest.raises(ConfigError, match="independent"):
        sobol_test(right(), tied)
    with pytest.raises(ConfigError, match="powers of two"):
        sobol_test(right(), SPACE, points=100)


def test_every_episode_has_its_own_luck_and_its_points_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score is the force: it explains everything, and nothing is luck."""
    seeds = []

    def played(self: Field, view: Any, values: np.ndarray, given: np.ndarray, how: How) -> Scores:
        seeds.append(given)
        return Scores(values[:, self.bound.names.index("force")].copy(), None)

    monkeypatch.setattr(Field, "play", played)
    found = sobol_test(right(), {"pole.mass": 0.2, "gravity": [9, 10], "force": [2, 20]}, points=64, episodes=3)
    indices = found.indices["return"]
    assert indices.names == ("gravity", "force")
    assert indices.luck == pytest.approx(0.0, abs=1e-20)
    assert [each.point for each in indices.total] == pytest.approx([0.0, 1.0], abs=0.05)
    assert indices.mean == pytest.approx(11.0, abs=0.1)
    assert indices.variance.point == pytest.approx(18**2 / 12, rel=0.03)
    assert len(np.unique(seeds[0])) == len(seeds[0]) == 4 * 64 * 3


def test_a_field_counts_successes_by_its_rule() -> None:
    view = right()
    with Field(target_of(view), Space.load({"force": [2, 20]}), 8) as field:
        values, seeds = np.linspace(2, 20, 8)[:, None], np.arange(8)
        found = field.play(view, values, seeds, How(success=Success.parse("return >= 10")))
    assert found is not None
    assert found.successes is not None
    np.testing.assert_array_equal(found.successes, found.returns >= 10)
    assert len(set(found.successes)) == 2


def test_a_field_plays_the_same_episode_for_the_same_seed() -> None:
    """Whatever the row, the neighbours and the round: and a lone environment plays it again, bit for bit."""
    view = as_view(lambda obs: (obs[:, 2] > 0).astype(np.int64), env=CARTPOLE, name="late")
    target = target_of(view)
    space = Space.load({"force": [1, 30], "pole.half_length": [0.05, 2.0]})
    rng = np.random.default_rng(0)
    values = np.stack([rng.uniform(1, 3, 21), rng.uniform(0.05, 0.2, 21)], 1)
    seeds = rng.permutation(10_000)[:21]
    with Field(target, space, 8) as field:
        there = field.play(view, values, seeds, How())
        order = rng.permutation(21)
        again = field.play(view, values[order], seeds[order], How())
    assert there is not None
    assert again is not None
    assert np.array_equal(there.returns[order], again.returns)
    assert len(np.unique(there.returns)) > 5
    for m in (0, 7, 13, 20):
        domain = {"force": float(values[m, 0]), "pole.half_length": float(values[m, 1])}
        alone = jostle.evaluate(view, 1, seed=int(seeds[m]), domain=domain)
        assert alone.episodes[0].ret == there.returns[m]


def test_equal_worlds_under_equal_seeds_are_equal_and_under_others_not() -> None:
    view = right()
    with Field(target_of(view), Space.load({"force": [5, 15]}), 6) as field:
        values = np.full((6, 1), 10.0)
        same = field.play(view, values, np.full(6, 5), How())
        apart = field.play(view, values, np.arange(6), How())
    assert same is not None
    assert apart is not None
    assert len(set(same.returns)) == 1
    assert len(set(apart.returns)) > 1


def test_streams_of_seeds_share_none() -> None:
    found = [set(seeds_of(10_000, stream, 1000).tolist()) for stream in range(8)]
    assert all(len(each) == 1000 for each in found)
    assert len(set.union(*found)) == 8000
    assert seeds_of(10_000, 0, 3).tolist() == [10_000, 10_001, 10_002]
    assert max(seeds_of(2**32 - 2, 7, 5)) < 2**32


def test_the_suite_plays_the_domain_and_shares_the_variance_out(tmp_path: Path) -> None:
    how: dict[str, Any] = {"episodes": 8, "points": 16, "domain": SPACE}
    result = stress_test(
        {"right": right(), "rule": as_view(control_of(CARTPOLE), env=CARTPOLE)}, "physics-sobol", **how
    )
    assert result.complete
    assert result.suite.names == ["nominal", "domain"]
    assert [(each.method, each.run) for each in result.sobol] == [("right", 0), ("rule", 0)]
    assert set(result.sobol[0].indices) == {"return", "success"}
    shares = of_method(result.sobol, "right", "return")
    assert shares is not None
    assert shares["timestep"][1].point > shares["gravity"][1].point
    assert of_method(result.sobol, "right", "success") is None, "it never succeeds, wherever it is"
    assert any("right, success: no certain dependence" in told for told in sentences(result.sobol))
    # It reads back.
    result.write_rows(tmp_path / "episodes.jsonl")
    (tmp_path / "summary.json").write_text(json.dumps(as_dict(result), allow_nan=False))
    again = read_result(tmp_path)
    assert of_method(again.sobol, "right", "return") == shares
    write_csv(tmp_path / "sobol.csv", result.sobol, result.runs)
    lines = list(csv.DictReader((tmp_path / "sobol.csv").read_text().splitlines()))
    assert len(lines) == 2 * 2 * 3
    assert float(lines[0]["total"]) == pytest.approx(shares["force"][1].point)
    assert {line["total"] for line in lines if (line["method"], line["metric"]) == ("right", "success")} == {""}


def test_of_several_runs_the_intervals_are_over_runs() -> None:
    def pushing(number: int) -> Any:
        """Now and then to the left, each in its own rhythm."""
        return as_view(lambda obs: (np.abs(obs[:, 2] * 1000).astype(np.int64) % number > 0).astype(np.int64),
                       env=CARTPOLE, name=f"s{number}")  # fmt: skip

    result = stress_test({"pushing": [pushing(n) for n in (3, 5, 9)]}, "physics-sobol", episodes=4, points=16,
                         domain=SPACE, baseline=False)  # fmt: skip
    assert [each.run for each in result.sobol] == [0, 1, 2]
    shares = of_method(result.sobol, "pushing", "return")
    assert shares is not None
    own = [each.indices["return"].total[2].point for each in result.sobol]
    assert shares["timestep"][1].point == pytest.approx(np.mean(own))
    assert min(own) <= shares["timestep"][1].low <= shares["timestep"][1].high <= max(own)


def test_a_stop_leaves_the_test_incomplete() -> None:
    asked = []

    def stop() -> bool:
        asked.append(0)
        return len(asked) > 1010

    rule = as_view(control_of(CARTPOLE), env=CARTPOLE)
    result = stress_test(rule, "physics-sobol", episodes=4, points=64, domain=SPACE, baseline=False, stop=stop)
    assert not result.complete
    assert len(result.cells) == 2
    assert result.sobol == []


def test_sampled_noise_is_drawn_anew_in_each_round() -> None:
    """Equal worlds in two rounds: by the same draws of the policy's noise their luck would be one."""
    agent = jostle.PPO(CARTPOLE, num_envs=2, num_steps=8, hidden=(8,), seed=3)
    view = as_view(agent)
    with Field(target_of(view), Space.load({"force": [5, 15]}), 8) as field:
        values, seeds = np.full((16, 1), 10.0), np.arange(16)
        seeds[8:] += 2**20
        found = field.play(view, values, seeds, How(sample=True))
    agent.env.close()
    assert found is not None
    assert not np.array_equal(found.returns[:8], found.returns[8:])


def test_the_draw_that_a_policy_is_told_is_that_of_its_world() -> None:
    domain = {"force": [5, 15], "gravity": [9, 11]}
    agent = jostle.PPO(CARTPOLE, num_envs=2, num_steps=8, hidden=(8,), domain=domain, domain_privileged=True,
                       privileged="both")  # fmt: skip
    view = as_view(agent)
    seen = []

    class Watching:
        """Notes what the policy is told."""

        def __getattr__(self, name: str) -> Any:
            return getattr(view, name)

        def actor(self, *how: Any, **more: Any) -> Any:
            actor = view.actor(*how, **more)
            acted = actor.act

            def act(obs: Any, *rest: Any) -> Any:
                seen.append(obs["privileged"].copy())
                return acted(obs, *rest)

            actor.act = act
            return actor

    with Field(target_of(view), Space.load({"force": [5, 15]}), 3) as field:
        assert field.play(Watching(), np.array([[5.0], [10.0], [15.0]]), np.arange(3), How()) is not None  # type: ignore[arg-type]
    agent.env.close()
    assert all(np.allclose(each[:, 0], [-1, 0, 1]) for each in seen)
    assert all(np.allclose(each[:, 1], (9.8 - 10) / 1) for each in seen), "what does not vary here is nominal"
