"""The doctor finds each illness of PPO and of bonuses that is put into a run, and none in a healthy one."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import jostle
from jostle.bonus import RND
from jostle.doctor import Check, diagnose, ppo
from jostle.doctor.bonus import bonuses, frozen_targets, replayed, statistics
from jostle.doctor.ppo import value_loss
from jostle.doctor.shared import saturated_share

SEA = "jostle/DeepSea-v0"
SMALL = {"hidden": (16,), "num_steps": 16, "bonus_warmup": 20, "bonus_features": 16, "device": "cpu"}


def trained(env: str = SEA, rollouts: int = 4, **settings: Any) -> jostle.PPO:
    agent = jostle.PPO(env, num_envs=8, **{**SMALL, **settings})
    for _ in range(rollouts):
        agent.advance()
    return agent


@pytest.fixture
def agent() -> Iterator[jostle.PPO]:
    agent = trained(bonus=("rnd",), recompute=False)
    yield agent
    agent.env.close()


def checks(agent: jostle.PPO, **kwargs: Any) -> dict[str, Check]:
    found = [*ppo.examine(agent, **kwargs), *bonuses(agent)]
    assert all(check.remedy for check in found if check.status != "OK")
    assert not any(check.remedy for check in found if check.status == "OK")
    return {check.name: check for check in found}


def bonus_of(agent: jostle.PPO) -> RND:
    (bonus,) = agent.bonuses
    assert isinstance(bonus, RND)
    return bonus


def test_a_healthy_agent(agent: jostle.PPO) -> None:
    assert {name: check.status for name, check in checks(agent).items()} == dict.fromkeys(
        [
            "first ratio",
            "policy",
            "values (ext)",
            "values (rnd)",
            "value loss",
            "schedules",
            "value losses of streams",
            "dead units",
            "rnd: statistics",
            "rnd: frozen target",
            "rnd: observations",
            "rnd: reward",
            "rnd: predictor",
        ],
        "OK",
    )


def test_a_stream_whose_value_loss_dwarfs_the_others() -> None:
    """By hand: values 0, targets 4 (rnd) and 0.5, weights 0.25 and 0.5: ½·16·0.25 = 2 and ½·0.25·0.5 = 0.0625."""
    for norm, status in (("none", "warning"), ("intrinsic", "OK")):
        agent = trained(rollouts=0, bonus=("rnd",), value_norm=norm)
        agent._warm = True
        agent._collect()
        scored = agent._score()
        agent.rollout.value.zero_()
        target = torch.full_like(scored.target, 0.5)
        target[..., 1] = 4.0
        scored = dataclasses.replace(scored, target=target)
        if agent.value_scale is not None:
            agent.value_scale.scale[1] = 4.0
        else:
            assert ppo.weighted_losses(agent, scored).tolist() == pytest.approx([0.0625, 2.0])
        found = ppo.stream_losses(agent, scored)
        assert found.status == status
        assert ("that of rnd dwarfs" in found.finding) == (status == "warning")
        agent.env.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"noisy": "factorised"},
        {"noisy": "independent", "noise_per_env": False, "recompute": False},
        {"recurrent": "gru", "recurrent_size": 8, "minibatch_by": "envs", "sequence_length": 8},
        {"recurrent": "lstm", "recurrent_size": 8, "minibatch_by": "slices", "bonus": ("icm",)},
        {"bonus": ("e3b", "rnd"), "value_heads": "single"},
        {"kl_penalty": "adaptive", "clip": 0.0, "lr_schedule": "linear"},
        {"bonus": ("rnd",), "bonus_obs_norm": False, "bonus_reward_norm": "none"},
        {"hidden": (), "gamma": 1.0},
    ],
    ids=str,
)
def test_any_healthy_agent(settings: dict[str, Any]) -> None:
    agent = trained(rollouts=2, **settings)
    found = checks(agent)
    agent.env.close()
    assert [c for c in found.values() if c.status == "FAIL"] == []


@pytest.mark.parametrize("env", ["Pendulum-v1", "MiniGrid-Empty-5x5-v0", "jostle/ThemedCatch-v0"])
def test_other_spaces(env: str) -> None:
    """Actions in a box, a dictionary of observations, pictures."""
    agent = trained(env, rollouts=1, bonus=("rnd",), normalise_obs=env == "Pendulum-v1")
    found = checks(agent)
    agent.env.close()
    assert [c for c in found.values() if c.status == "FAIL"] == []


def test_untrained() -> None:
    agent = trained(rollouts=0, bonus=("rnd",), normalise_obs=True)
    found = checks(agent)
    agent.env.close()
    assert [c for c in found.values() if c.status == "FAIL"] == []


# ---- the policy ----


def test_a_learner_that_sees_other_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained(noisy="factorised", recompute=False)
    score = agent._score

    def wrong() -> Any:
        agent.rollout.draw.copy_(agent.rollout.draw.roll(1, 1))  # every environment with its neighbour's draw
        return score()

    monkeypatch.setattr(agent, "_score", wrong)
    assert checks(agent)["first ratio"].status == "FAIL"
    agent.env.close()


def test_a_learner_that_forgets_the_recurrent_state(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained(recurrent="gru", recurrent_size=8, minibatch_by="envs")
    with torch.no_grad():
        agent.network.policy.weight.mul_(100)  # type: ignore[operator,union-attr]
    monkeypatch.setattr(agent.rollout, "initial_state", lambda rows: torch.zeros(1, rows.shape[1], 8))
    agent.advance()  # so that the next rollout begins with a state that is not 0
    assert checks(agent)["first ratio"].status == "FAIL"
    agent.env.close()


def test_a_policy_that_explores_no_more(agent: jostle.PPO) -> None:
    with torch.no_grad():
        agent.network.policy.bias[0] += 30  # type: ignore[operator,union-attr,index]
    check = checks(agent)["policy"]
    assert check.status == "warning"
    assert "(0%)" in check.finding


def test_a_policy_that_is_still_random(agent: jostle.PPO) -> None:
    with torch.no_grad():
        for p in agent.network.policy.parameters():
            p.zero_()
    assert checks(agent)["policy"].status == "OK"  # it has only begun
    agent.updates = ppo.LONG * 16
    check = checks(agent)["policy"]
    assert check.status == "warning"
    assert "(100%)" in check.finding


def test_the_most_entropy_of_several_choices() -> None:
    from jostle.nn.distributions import Categorical, MultiCategorical

    assert ppo._most(Categorical(torch.zeros(3, 4))) == pytest.approx(math.log(4))
    assert ppo._most(MultiCategorical(torch.zeros(3, 9), [2, 4, 3])) == pytest.approx(math.log(2 * 4 * 3))


@pytest.mark.parametrize(("log_std", "status"), [(0.0, "OK"), (-6.0, "warning"), (3.0, "warning")])
def test_a_gaussian_policy(log_std: float, status: str) -> None:
    agent = trained("Pendulum-v1", rollouts=1)
    with torch.no_grad():
        assert agent.network.log_std is not None
        agent.network.log_std.fill_(log_std)
    assert checks(agent)["policy"].status == status
    agent.env.close()


# ---- values ----


@pytest.mark.parametrize(("stream", "name"), [(0, "ext"), (1, "rnd")])
@pytest.mark.parametrize(("times", "status"), [(0.8, "OK"), (5.0, "warning"), (50.0, "FAIL"), (math.nan, "FAIL")])
def test_values_that_explode(stream: int, name: str, times: float, status: str, agent: jostle.PPO) -> None:
    """One head alone gives so many times what its rewards can add up to (at least 1)."""
    agent._collect()
    reward = float(agent._score().reward[..., stream].abs().max())
    with torch.no_grad():
        agent.network.value.weight[stream] = 0  # type: ignore[operator,union-attr]
        agent.network.value.bias[stream] = times * max(1.0, reward / 0.01)  # type: ignore[operator,union-attr]
    found = checks(agent)
    assert found[f"values ({name})"].status == status, found[f"values ({name})"]
    other = "rnd" if name == "ext" else "ext"
    assert found[f"values ({other})"].status == "OK"


def test_values_without_rewards_have_no_bound(agent: jostle.PPO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout in which nothing was found says nothing of what the values may be."""
    monkeypatch.setattr(agent, "_extrinsic", lambda: torch.zeros_like(agent.rollout.reward))
    with torch.no_grad():
        agent.network.value.bias[0] = 60.0  # type: ignore[operator,union-attr]
    check = checks(agent)["values (ext)"]
    assert check.status == "OK"
    assert "add up to" not in check.finding


@pytest.mark.parametrize(("last", "status"), [(0.1, "OK"), (9.0, "warning"), (500.0, "FAIL"), (math.nan, "FAIL")])
def test_a_value_loss_that_explodes(last: float, status: str) -> None:
    history = [{"losses/value": loss} for loss in [0.1] * 9 + [last] * 3]
    assert value_loss(history).status == status
    assert value_loss(history[-4:]).status == "OK"  # too few to tell


# ---- along the training ----


def test_a_schedule_that_has_ended() -> None:
    agent = trained(rollouts=1, lr_schedule="linear")
    assert checks(agent, planned=10 * agent.steps)["schedules"].status == "OK"
    assert "is reached; who trains on" in checks(agent, planned=100)["schedules"].finding
    agent.env.close()


@pytest.mark.parametrize(("beta", "status"), [(1.0, "OK"), (1e6, "warning"), (1e-12, "FAIL"), (1e17, "FAIL")])
def test_a_penalty_that_runs_away(beta: float, status: str) -> None:
    agent = trained(rollouts=1, kl_penalty="adaptive")
    agent.learner.beta = beta
    assert checks(agent)["KL penalty"].status == status
    agent.env.close()


def test_the_normaliser_of_observations() -> None:
    agent = trained("CartPole-v1", normalise_obs=True)
    normaliser: Any = agent.network.encoder.normaliser  # type: ignore[union-attr]
    assert checks(agent)["observation normaliser"].status == "OK"
    normaliser.std.mul_(1e-4)  # statistics of other observations
    assert checks(agent)["observation normaliser"].status == "warning"
    normaliser.moments.count.zero_()
    assert checks(agent)["observation normaliser"].status == "FAIL"
    agent.env.close()


# ---- noise and units ----


def test_changed_pictures() -> None:
    settings: dict[str, Any] = {"num_envs": 4, "num_steps": 8, "minibatches": 1, "hidden": (8,)}
    for use in ("act", "svea"):
        agent = jostle.PPO("jostle/ThemedCatch-v0", input_noise="random-conv", input_use=use, **settings).learn(32)
        assert checks(agent)["input"].status == "OK"
        agent.env.close()
    # The fault: the whole picture is kept clean.
    agent = jostle.PPO("jostle/ThemedCatch-v0", input_noise="shift", input_keep=(0, 0, 32, 32), **settings).learn(32)
    assert checks(agent)["input"].status == "FAIL"
    agent.env.close()


def test_noise_that_is_off() -> None:
    agent = trained(noisy="factorised")
    # The fault: the learner and the rollout run without noise.
    agent.forward._under = lambda draw, mode: contextlib.nullcontext()  # type: ignore[method-assign]
    agent.noise.selection.mode = "mean"
    found = checks(agent)
    agent.env.close()
    assert found["gradient of sigma"].status == "FAIL"
    assert found["draws"].status == "FAIL"


def test_environments_that_share_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained(noisy="factorised")
    draw = agent.noise.draw

    def shared(slots: Any = None) -> None:
        draw(slots)
        for layer in agent.noise.layers.values():
            layer.noise[1] = layer.noise[0]

    monkeypatch.setattr(agent.noise, "draw", shared)
    check = checks(agent)["draws"]
    agent.env.close()
    assert check.status == "FAIL"
    assert "same draw" in check.finding


def test_a_saturated_layer(agent: jostle.PPO) -> None:
    with torch.no_grad():
        agent.network.actor[0].bias.fill_(20.0)  # type: ignore[union-attr]
    check = checks(agent)["dead units"]
    assert check.status == "FAIL"
    assert "actor.1 100%" in check.finding


def test_saturated_share_by_hand() -> None:
    assert saturated_share(torch.tensor([[0.999, -0.999, 0.999], [0.995, 0.999, 0.5]])) == pytest.approx(2 / 3)


# ---- bonuses ----


def test_a_bonus_that_has_vanished(agent: jostle.PPO) -> None:
    bonus = bonus_of(agent)
    assert bonus.scale.returns is not None
    bonus.scale.returns.moments.m2.mul_(1e12)
    check = checks(agent)["rnd: reward"]
    assert check.status == "warning"
    assert "vanished" in check.finding


def test_a_bonus_of_which_little_is_left_of_what_it_was_at_first(agent: jostle.PPO) -> None:
    assert checks(agent)["rnd: reward"].status == "OK"
    assert "of what it was at first" in checks(agent)["rnd: reward"].finding
    bonus_of(agent).first[0].mul_(1e5)
    check = checks(agent)["rnd: reward"]
    assert check.status == "warning"
    assert "vanished" in check.finding
    assert "bonus_learning_rate" in check.remedy


def test_a_predictor_that_is_the_target(agent: jostle.PPO) -> None:
    """A predictor with the target's own weights knows everything: there is no reward, and never will be."""
    bonus = bonus_of(agent)
    bonus.predictor = bonus.target
    found = checks(agent)
    assert found["rnd: reward"].status == "FAIL"
    assert found["rnd: predictor"].status == "FAIL"


def test_a_saturated_predictor(agent: jostle.PPO) -> None:
    """It predicts what it has never seen as well as what it has."""
    bonus = bonus_of(agent)

    class Nearly(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            target = bonus.target(x)
            return target + 0.01 * target.std()

    bonus.predictor = Nearly()
    check = checks(agent)["rnd: predictor"]
    assert check.status == "warning"
    assert "saturated" in check.finding


def test_a_target_that_tells_nothing_apart(agent: jostle.PPO) -> None:
    with torch.no_grad():
        for p in bonus_of(agent).target.parameters():
            if p.ndim > 1:
                p.zero_()
            else:
                p.fill_(1.0)
    assert checks(agent)["rnd: predictor"].status == "warning"


def test_a_target_that_has_learned(agent: jostle.PPO) -> None:
    bonus, first = bonus_of(agent), {name: p.clone() for name, p in agent.frozen().items()}
    assert first
    assert [c.status for c in frozen_targets(bonus, first)] == ["OK"]
    with torch.no_grad():
        next(iter(bonus.target.parameters())).add_(1e-6)
    assert [c.status for c in frozen_targets(bonus, first)] == ["FAIL"]
    bonus.target.requires_grad_(True)
    assert [c.status for c in frozen_targets(bonus, None)] == ["FAIL"]


def test_statistics_that_never_counted(agent: jostle.PPO) -> None:
    bonus = bonus_of(agent)
    moments = bonus.preprocess.parts[0].moments
    assert moments is not None
    moments.count.fill_(1e-4)
    assert statistics(bonus).status == "FAIL"
    assert statistics(bonus, begun=False).status == "OK"
    moments.count.fill_(100.0)
    assert statistics(bonus).status == "OK"
    moments.mean[0] = float("nan")
    assert statistics(bonus).status == "FAIL"


def test_observations_that_are_clipped(agent: jostle.PPO) -> None:
    bonus = bonus_of(agent)
    moments = bonus.preprocess.parts[0].moments
    assert moments is not None
    moments.count.mul_(1e6)  # the variance becomes tiny, and stays so in the rollout that follows
    check = checks(agent)["rnd: observations"]
    assert check.status == "warning"
    assert "±5" in check.finding


def test_a_bonus_with_nan(agent: jostle.PPO, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RND.raw
    agent._collect()
    found = []
    for factor, status in ((1.0, "OK"), (float("nan"), "FAIL")):
        monkeypatch.setattr(RND, "raw", lambda self, t, factor=factor: plain(self, t) * factor)
        (check,) = [c for c in bonuses(agent) if c.name == "rnd: reward"]
        found.append(check.status == status)
    assert found == [True, True]


def test_the_bonuses_of_dqn(tmp_path: Path) -> None:
    settings = {"hidden": (8,), "warmup": 64, "replay_size": 2000, "bonus_features": 8, "bonus_warmup": 10}
    agent = jostle.DQN(SEA, num_envs=4, bonus=("rnd", "e3b"), **settings)
    agent.learn(400, run_dir=tmp_path / "run")
    found = {c.name: c for c in diagnose(tmp_path / "run")}
    agent.env.close()
    names = ["rnd: statistics", "rnd: frozen target", "rnd: reward", "e3b: statistics", "e3b: reward"]
    assert [found[name].status for name in names] == ["OK"] * 5
    assert found["rnd: frozen target"].finding == "as it was at first"
    assert agent.intrinsic is not None
    rnd = agent.intrinsic.bonuses[0]
    assert rnd.scale.returns is not None
    rnd.scale.returns.moments.m2.mul_(1e12)  # type: ignore[operator]
    (check,) = [c for c in replayed(agent) if c.name == "rnd: reward"]
    assert check.status == "warning"


# ---- folders ----


def test_a_run_from_disk(tmp_path: Path) -> None:
    agent = jostle.PPO(SEA, num_envs=8, **SMALL, bonus=("rnd",))
    agent.learn(1500, run_dir=tmp_path / "run", log_every=100)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    found = {c.name: c for c in diagnose(tmp_path / "run")}
    assert {c.status for c in found.values()} == {"OK"}
    assert found["rnd: frozen target"].finding == "as it was at first"
    assert "of late" in found["value loss"].finding
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
    agent.save(tmp_path / "saved")
    agent.env.close()
    assert {c.status for c in diagnose(tmp_path / "saved")} == {"OK"}


def test_a_target_that_learned_during_the_run(tmp_path: Path) -> None:
    """The fault put into the training itself: something writes to the target between two rollouts."""
    agent = jostle.PPO(SEA, num_envs=8, **SMALL, bonus=("rnd",))

    def drift(agent: jostle.PPO) -> None:
        with torch.no_grad():
            next(iter(bonus_of(agent).target.parameters())).mul_(1.01)

    agent.learn(300, run_dir=tmp_path / "run", callback=drift)
    agent.env.close()
    found = {c.name: c for c in diagnose(tmp_path / "run")}
    assert found["rnd: frozen target"].status == "FAIL"
