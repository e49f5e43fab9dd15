"""Memory taken away, and what ablations cost in return: who needs his memory loses, who does not loses nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from planted_nets import Units, recall_view, view_of

import jostle
from jostle.errors import ConfigError
from jostle.explain.ablate import Ablation, ablation_returns, memory_ablation, pruned, unit_ablations, view_ablations
from jostle.explain.ablate.memory import replaced, states_of
from jostle.explain.tracing import Trace, trace
from jostle.view import as_view


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return trace(recall_view(), tmp_path_factory.mktemp("recall") / "t", episodes=8, layers=["core"])


def test_memory_that_is_needed(recorded: Trace, tmp_path: Path) -> None:
    assert [e.ret for e in recorded.episodes] == [6.0] * 8, "the planted policy remembers"
    found = memory_ablation(recall_view(), recorded, null=[recall_view(reads=False)])
    zeroed, held, mean, _ = found.mean
    # Both actions have ½ without memory, and 3 tanh(…) each way with it.
    logit = abs(float(recorded.column("out.logits")[1, 0])) * 2
    p = 1 / (1 + np.exp(-logit))
    assert zeroed == pytest.approx(p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)), rel=1e-4)
    assert held == pytest.approx(0, abs=1e-3), "what is kept does not change after the first step"
    assert mean > 0.1
    assert found.values.shape == (4, 40)
    assert found.step.min() == 1
    assert found.null == pytest.approx(np.zeros((1, 4)), abs=1e-6), "whoever reads no memory loses nothing"
    found.save(tmp_path)


def test_what_stands_in(recorded: Trace) -> None:
    states = torch.from_numpy(recorded.column("state")).transpose(0, 1)
    at = recorded.steps(recorded.rows(episode=2)[1:])
    other = replaced("other", at, recorded, states)
    theirs = {tuple(s.tolist()) for e in range(8) if e != 2 for s in states[0, recorded.rows(episode=e)]}
    assert all(tuple(s.tolist()) in theirs for s in other[0])
    held = replaced("held", at, recorded, states)
    assert torch.equal(held[0], states[0, recorded.rows(episode=2)[1]].expand(5, -1))
    later = recorded.column("step") > 0
    assert torch.allclose(replaced("mean", at, recorded, states)[0, 3], states[0, later].mean(0), atol=1e-6)
    own = states_of(recall_view(), recorded)
    assert torch.allclose(own, states, atol=1e-5), "a pass over whole episodes gives the states that acted"


def test_memory_costs_return_where_it_is_needed() -> None:
    ablations = {rule: Ablation(memory=rule) for rule in ("zeroed", "held", "decayed")}
    found = ablation_returns(recall_view(), ablations, episodes=12, rows=4)
    assert found.whole.tolist() == [6.0] * 12
    assert found.returns[1].tolist() == [6.0] * 12
    zeroed = found.cost[0]
    # Without memory it does the first action, which is right in about half of the episodes: 6, or only the first step.
    assert set(found.returns[0]) == {1.0, 6.0}
    assert zeroed.interval.high < 0
    told = ablation_returns(recall_view(cue_again=True), {"zeroed": Ablation(memory="zeroed")}, episodes=6)
    assert told.cost[0].interval.point == 0


def test_many_ablations_in_one_rollout_equal_each_alone(tmp_path: Path) -> None:
    agent = jostle.DQN("jostle/CartPole-v1", num_envs=1, hidden=(6,), seed=2)
    view = as_view(agent)
    linear = {name: m for name, m in view.module.named_modules() if isinstance(m, torch.nn.Linear)}
    layer = next(name for name, m in linear.items() if m.out_features == 6)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    ablations = unit_ablations(view, obs, layer, fill="zero")
    assert len(ablations) == 6
    smaller = view_ablations({"half": pruned(view, "connections", 0.5, [layer])})
    how: dict[str, Any] = {"episodes": 4, "rows": 2, "max_steps": 60, "success": "return >= 10"}
    together = ablation_returns(view, ablations | smaller, **how)
    for number, (name, one) in enumerate((ablations | smaller).items()):
        alone = ablation_returns(view, {name: one}, **how)
        assert alone.returns[0].tolist() == together.returns[number].tolist(), name
        assert alone.whole.tolist() == together.whole.tolist()
    played = jostle.evaluate(agent, 4, num_envs=2, max_steps=60)
    assert together.whole.tolist() == [e.ret for e in played.episodes]
    assert together.successes is not None
    assert together.successes[0].tolist() == (together.whole >= 10).tolist()
    assert len(together.success_cost) == 7
    together.save(tmp_path)


def test_bad_input(recorded: Trace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no ablation to play"):
        ablation_returns(recall_view(), {})
    with pytest.raises(ConfigError, match="did you mean zeroed"):
        ablation_returns(recall_view(), {"x": Ablation(memory="zero")})
    with pytest.raises(ConfigError, match="needs the mean state"):
        ablation_returns(recall_view(), {"x": Ablation(memory="mean")})
    with pytest.raises(ConfigError, match="has no recurrent state"):
        ablation_returns(as_view(jostle.DQN("jostle/CartPole-v1", num_envs=1)), {"x": Ablation(memory="zeroed")})
    with pytest.raises(ConfigError, match="did you mean held"):
        memory_ablation(recall_view(), recorded, rules=["hold"])
    plain = trace(as_view(Units({}), kind="q", env="CartPole-v1"), tmp_path / "t", episodes=1, max_steps=3)
    with pytest.raises(ConfigError, match="no memory to take away"):
        memory_ablation(view_of(Units({})), plain)
    with pytest.raises(ConfigError, match="give success="):
        _ = ablation_returns(recall_view(), {"x": Ablation()}, episodes=2).success_cost
