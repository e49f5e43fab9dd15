"""The doctor sees when the values of a stream have gone wrong, by hand and in DQN."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import jostle
from jostle.doctor import dqn
from jostle.doctor.shared import Check
from jostle.doctor.streams import compared, judged

SMALL = {"num_envs": 4, "hidden": (8,), "warmup": 64, "replay_size": 2000, "bonus_features": 8, "bonus_warmup": 10}


@pytest.fixture
def agent() -> Iterator[jostle.DQN]:
    agent = jostle.DQN("jostle/DeepSea-v0", bonus=("rnd", "e3b"), coef_int=0.5, **SMALL).learn(120)
    yield agent
    agent.env.close()


def found(agent: jostle.DQN) -> dict[str, Check]:
    return {check.name: check for check in dqn.streams(agent)}


def test_a_healthy_agent(agent: jostle.DQN) -> None:
    names = ["values (rnd)", "values (e3b)", "value losses of streams"]
    assert {name: check.status for name, check in found(agent).items()} == dict.fromkeys(names, "OK")


def test_without_bonuses_there_is_nothing_to_compare() -> None:
    agent = jostle.DQN("jostle/DeepSea-v0", num_envs=4, hidden=(8,), warmup=64).learn(80)
    assert dqn.streams(agent) == []
    agent.env.close()


@pytest.mark.parametrize(("stream", "name", "other"), [(1, "rnd", "e3b"), (2, "e3b", "rnd")])
@pytest.mark.parametrize(("times", "status"), [(5.0, "warning"), (50.0, "FAIL"), (math.nan, "FAIL")])
def test_values_that_explode(
    stream: int, name: str, other: str, times: float, status: str, agent: jostle.DQN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one stream alone: so many times what its rewards of 1 can add up to, 1 / (1 − 0.99) = 100."""
    size = {"rnd": 1, "e3b": 2}

    def shown(self: Any, obs: Any) -> torch.Tensor:
        q = torch.zeros(len(obs), 3, 2)
        q[:, size[name]] = times * 100
        return q

    assert agent.intrinsic is not None
    plain = agent.intrinsic.rewarded

    def rewarded(batch: Any) -> Any:
        batch = plain(batch)
        batch.reward[..., 1:] = 1
        return batch

    monkeypatch.setattr(agent.intrinsic, "rewarded", rewarded)
    monkeypatch.setattr(type(agent.network), "forward", shown)
    checks = found(agent)
    assert checks[f"values ({name})"].status == status, checks
    if not math.isnan(times):
        assert checks[f"values ({other})"].status == "OK", checks


@pytest.mark.parametrize(("kind", "losses"), [("huber", [0.125, 0.675, 0.3125]), ("squared", [0.25, 1.8, 0.625])])
def test_losses_by_hand(kind: Any, losses: list[float]) -> None:
    """Errors 0.5 (ext), 4 (rnd) and 1 (e3b), units 1, 2 and 1, weights 1, 0.45 and 0.625.

    Huber: ½·0.25, (2 − ½)·0.45, ½·0.625. Squared: 0.25, 4·0.45, 0.625.
    """
    agent = jostle.DQN("jostle/DeepSea-v0", bonus=("rnd", "e3b"), loss=kind, **SMALL)
    agent.streams.value_coef = torch.tensor([1.0, 0.45, 0.625])
    assert agent.learner.value_scale is not None
    agent.learner.value_scale.scale.copy_(torch.tensor([1.0, 2.0, 1.0]))
    goal = torch.tensor([[0.5, 4.0, 1.0]]).expand(6, 3)
    each = dqn.weighted_losses(agent, torch.zeros(6, 3), goal)
    assert each.tolist() == pytest.approx(losses)
    agent.env.close()


def test_one_loss_that_dwarfs_the_others() -> None:
    check = compared({"ext": 0.1, "rnd": 0.05, "e3b": 1.6})
    assert (check.status, check.finding) == ("warning", "ext 0.1, rnd 0.05, e3b 1.6: that of e3b dwarfs the others'")
    assert "streams.e3b.value_coef, or set value_norm to intrinsic" in check.remedy
    assert "set value_norm to all" in compared({"ext": 30.0, "rnd": 1.0}).remedy
    assert compared({"ext": 0.02, "rnd": 0.9}).status == "OK"  # too small to drown anything
    assert compared({"ext": 0.2, "rnd": 1.9}).status == "OK"  # not ten times


def test_worse_than_a_constant_counts_once_there_was_time_to_learn() -> None:
    goal = torch.tensor([0.0, 1.0]).repeat(20)
    for settled, status in ((False, "OK"), (True, "warning")):
        assert judged("values", 1 - goal, goal, math.inf, settled=settled).status == status
