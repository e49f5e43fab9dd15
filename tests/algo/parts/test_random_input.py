"""Randomness in PPO's input: who sees through which draw, and what is learned from the clean and the changed view."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jostle
from jostle.algo.parts.auxiliary import INPUT, WEIGHTS, Minibatch
from jostle.algo.parts.input.draws import MinibatchDraws, RolloutDraws
from jostle.algo.parts.input.terms import FeatureMatching
from jostle.algo.ppo.batches import batches
from jostle.algo.ppo.learner import Learner
from jostle.errors import ConfigError
from jostle.functional import clipped_policy_loss, masked_mean, value_loss
from jostle.nn import random_conv
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.distributions import Categorical
from jostle.nn.input_layer import InputLayer

STEPS, ENVS = 12, 5


def make(lively: Any, **settings: Any) -> jostle.PPO:
    settings = {"hidden": (8,), "num_steps": STEPS, "epochs": 1, "minibatches": 2} | settings
    if "input_noise" in settings:
        settings = {"input_clean": 0.3} | settings
    if settings.get("recurrent"):
        settings = {"minibatch_by": "envs", "recurrent_size": 6} | settings
    return jostle.PPO(lambda: lively(observations="picture"), num_envs=ENVS, seed=3, **settings)


def layer_of(agent: jostle.PPO) -> InputLayer:
    (layer,) = [m for m in agent.network.modules() if isinstance(m, InputLayer)]
    return layer


def collected(agent: jostle.PPO) -> tuple[Tensor, Tensor, np.ndarray[Any, Any]]:
    """A rollout's slots [T + 1, N], the noise that each row saw through [T + 1, N, P], and its first rows."""
    agent._collect()
    slots = agent.rollout.draw[..., INPUT].long()
    return slots, layer_of(agent).noise[slots].clone(), agent.rollout.start.numpy()


# ---- who sees through which draw ----


def test_an_iteration_has_one_draw(lively: Any) -> None:
    agent = make(lively, input_noise="random-conv")
    first, second = collected(agent)[1], collected(agent)[1]
    for noise in (first, second):
        assert (noise == noise[0, 0]).all()
    assert (first[0, 0, :-1] != second[0, 0, :-1]).all()


def test_an_environment_has_its_own_draw_for_an_iteration(lively: Any) -> None:
    agent = make(lively, input_noise="random-conv", input_per="env")
    first, second = collected(agent)[1], collected(agent)[1]
    for noise in (first, second):
        assert (noise == noise[:1]).all()
        assert len({tuple(row.tolist()) for row in noise[0]}) == ENVS
    assert (first[0, :, :-1] != second[0, :, :-1]).all()


def test_a_draw_lasts_for_an_episode_also_across_rollouts(lively: Any) -> None:
    agent = make(lively, input_noise="random-conv", input_per="episode")
    before: Tensor | None = None
    seen: set[tuple[float, ...]] = set()
    for _ in range(6):
        _, noise, start = collected(agent)
        if before is not None:
            assert torch.equal(noise[0], before), "the row between two rollouts is seen through one draw"
        before = noise[-1]
        for n in range(ENVS):
            for t in range(1, STEPS + 1):
                same = torch.equal(noise[t, n], noise[t - 1, n])
                assert same != start[t, n], "the draw changes where an episode begins, and nowhere else"
                if start[t, n]:
                    assert tuple(noise[t, n].tolist()) not in seen, "no draw comes again"
                    seen.add(tuple(noise[t, n].tolist()))


@pytest.mark.parametrize("steps", [1, 2, 7, 12])
@pytest.mark.parametrize("first", [0, 1])
def test_the_shortest_episodes_have_draws_of_their_own(lively: Any, steps: int, first: int) -> None:
    """An episode of one step, and the row behind it, and the next one: no draw of a rollout comes twice in it."""
    agent = make(lively, input_noise="random-conv", input_per="episode")
    draws = RolloutDraws(agent.network, "episode", steps, 2, seed=0)
    row = first
    for _ in range(3):
        draws.begin()
        used, begun = [draws.slots().tolist()], 0
        for _ in range(steps):
            row += 1
            starts = row % 2 == 0
            begun += starts
            used.append(draws.step(np.full(2, starts)).tolist())
        for mine in zip(*used, strict=True):
            assert len(set(mine)) == 1 + begun
        assert {slot // (draws.noise.total // 2) for slot, _ in used} == {0}, "each environment has slots of its own"


def test_a_sample_has_its_own_draw(lively: Any) -> None:
    agent = make(lively, input_noise="random-conv", input_per="sample")
    first, second = collected(agent)[1], collected(agent)[1]
    rows = [tuple(row.tolist()) for noise in (first, second[1:]) for row in noise.flatten(0, 1)]
    assert len(set(rows)) == len(rows) == ENVS * (2 * STEPS + 1)
    assert torch.equal(first[-1], second[0]), "one observation, one draw"


@pytest.mark.parametrize("use", ["drac", "svea"])
def test_who_learns_from_both_views_acts_on_clean_pictures(lively: Any, use: str) -> None:
    agent = make(lively, input_noise="cutout", input_use=use, input_per="sample", minibatches=1)
    slots, _, _ = collected(agent)
    assert (slots == -1).all()
    assert isinstance(agent.looks, MinibatchDraws)
    assert not isinstance(agent.looks, RolloutDraws)
    rows = torch.arange(6)
    before = agent.looks.noise.state_dict()["noise"]
    agent.looks.draw()
    assert torch.cat([agent.looks.slots(rows), agent.looks.slots(rows)]).tolist() == list(range(12)), (
        "no row shares a slot"
    )
    after = agent.looks.noise.state_dict()["noise"]
    assert not any(torch.equal(before[k], after[k]) for k in after)


def test_the_frequency_of_clean_draws_is_alpha(lively: Any) -> None:
    agent = make(lively, input_noise="random-conv", input_per="sample", input_clean=0.1)
    flags = [collected(agent)[1][..., -1] for _ in range(20)]
    assert 0.05 < torch.stack(flags).mean() < 0.15, "the official code's REAL_THRES is 1 − α"


# ---- what is learned ----


def minibatch(agent: jostle.PPO) -> tuple[Minibatch, Any]:
    """All rows of a rollout that has been scored, and the policy's output for them."""
    caught: list[Any] = []

    def catch(policy: Any, batch: Minibatch, out: Any) -> dict[str, Tensor]:
        caught.append((batch, out))
        return {}

    terms, agent.learner.aux = agent.learner.aux, [catch]
    agent._collect()
    scored, rows = agent._score(), torch.arange(ENVS * STEPS).view(1, -1)
    if agent.rollout.state is not None:
        rows = torch.arange(ENVS * STEPS).view(STEPS, ENVS)
    (batch,) = batches(agent.rollout, [rows], scored.advantage, scored.target, normalise=False)
    agent.learner._loss(batch, agent.rollout.valid.sum())
    agent.learner.aux = terms
    return caught[0]


def hidden_by_hand(agent: jostle.PPO, obs: Tensor, slots: Tensor | None, layer: str = "hidden") -> Tensor:
    """Features of every row by itself: its φ of 3×3 convolved with it, or the clean picture."""
    network: ActorCritic = agent.network
    pictures = obs.permute(0, 3, 1, 2).float() / 255
    if slots is not None:
        phi = layer_of(agent).noise[:, :-1].view(-1, 1, 1, 3, 3)
        pictures = torch.cat(
            [torch.nn.functional.conv2d(p[None], phi[s], padding=1) for p, s in zip(pictures, slots, strict=True)]
        )
    encoder: Any = network.encoder
    encoded: Tensor = encoder.convolutions(pictures)
    if layer == "encoder":
        return encoded
    hidden: Tensor = torch.nn.Sequential(*network.actor)(encoded)
    return hidden


@pytest.mark.parametrize("on_clean", [True, False])
@pytest.mark.filterwarnings("ignore:feature_reduce")
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("layer", ["hidden", "encoder"])
def test_feature_matching_by_hand(lively: Any, layer: str, reduce: str, on_clean: bool) -> None:
    agent = make(
        lively, input_noise="random-conv", input_per="sample", feature_matching=0.7, feature_reduce=reduce,
        feature_on_clean=on_clean, feature_layer=layer,
    )  # fmt: skip
    batch, out = minibatch(agent)
    (term,) = agent.learner.aux
    (loss,) = term(agent.network, batch, out).values()
    slots = batch.draw[:, INPUT].long()
    flags = layer_of(agent).clean[slots]
    assert flags.any()
    assert not flags.all()
    clean, changed = (hidden_by_hand(agent, batch.obs, s, layer) for s in (None, slots))
    if not on_clean:
        changed = torch.where(flags[:, None], clean, changed)
    squares = (changed - clean).square()
    rows = squares.mean(1) if reduce == "mean" else squares.sum(1)
    assert loss.item() == pytest.approx(0.7 * rows[batch.valid].mean().item(), rel=1e-4)
    assert (~batch.valid).any(), "episodes must have ended"


def test_gradients_of_feature_matching_go_through_the_changed_side_alone(lively: Any) -> None:
    """With the clean side held fixed by hand, the gradient is the same; with it let through, another."""
    found = {}
    for stop in ("clean", "changed", "none"):
        agent = make(
            lively, input_noise="random-conv", input_per="sample", feature_matching=1.0, feature_stop=stop,
            input_clean=0.0,
        )  # fmt: skip
        batch, out = minibatch(agent)
        (term,) = agent.learner.aux
        (loss,) = term(agent.network, batch, out).values()
        weights = list(agent.network.encoder.parameters())
        found[stop] = torch.autograd.grad(loss, weights)
        sides = [hidden_by_hand(agent, batch.obs, s) for s in (None, batch.draw[:, INPUT].long())]
        fixed = {"clean": [sides[0].detach(), sides[1]], "changed": [sides[0], sides[1].detach()], "none": sides}[stop]
        by_hand = masked_mean((fixed[1] - fixed[0]).square().mean(1), batch.valid)
        for ours, theirs in zip(found[stop], torch.autograd.grad(by_hand, weights), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)
    for a, b, c in zip(*found.values(), strict=True):
        torch.testing.assert_close(a + b, c, atol=1e-6, rtol=1e-3)
        assert not torch.allclose(a, b)


def test_both_branches_share_the_draw_of_the_weights(lively: Any) -> None:
    """Without a change of the input there is nothing to match, however noisy the weights are."""
    agent = make(
        lively, input_noise="random-conv", input_clean=1.0, feature_matching=1.0, feature_on_clean=False,
        noisy="factorised", sigma0=2.0, input_per="env",
    )  # fmt: skip
    batch, out = minibatch(agent)
    (term,) = agent.learner.aux
    (loss,) = term(agent.network, batch, out).values()
    assert loss.item() <= 1e-12
    assert len(batch.draw[:, WEIGHTS].unique()) == ENVS


def test_the_teacher_is_a_moving_average(lively: Any) -> None:
    agent = make(
        lively, input_noise="random-conv", input_clean=0.0, feature_matching=1.0, feature_teacher=0.9,
        learning_rate=0.1,
    )  # fmt: skip
    (term,) = agent.learner.aux
    assert isinstance(term, FeatureMatching)
    average = {name: p.detach().clone() for name, p in agent.network.named_parameters()}
    weights: list[dict[str, Tensor]] = []
    step = term.after_step

    def spy() -> None:
        weights.append({name: p.detach().clone() for name, p in agent.network.named_parameters()})
        step()

    term.after_step = spy  # type: ignore[method-assign]
    agent.advance()
    assert len(weights) == 2
    for present in weights:
        average = {name: 0.9 * average[name] + 0.1 * present[name] for name in average}
    for name, value in average.items():
        torch.testing.assert_close(term.get_buffer(name.replace(".", "/")), value)
    batch, out = minibatch(agent)
    (loss,) = term(agent.network, batch, out).values()
    changed = hidden_by_hand(agent, batch.obs, batch.draw[:, INPUT].long())
    agent.network.load_state_dict(average, strict=False)
    clean = hidden_by_hand(agent, batch.obs, None)
    assert loss.item() == pytest.approx(masked_mean((changed - clean).square().mean(1), batch.valid).item(), rel=1e-4)


@pytest.mark.parametrize(("coef", "weight"), [(None, 0.1), (0.35, 0.35)])
def test_agreement_by_hand(lively: Any, coef: float | None, weight: float) -> None:
    agent = make(
        lively, input_noise="random-conv", input_use="drac", input_per="sample", input_clean=0.0, minibatches=1,
        input_coef=coef,
    )  # fmt: skip
    batch, out = minibatch(agent)
    (term,) = agent.learner.aux
    term.before_minibatch()
    terms = term(agent.network, batch, out)
    slots = torch.arange(len(batch.rows))
    clean, changed = (hidden_by_hand(agent, batch.obs, s) for s in (None, slots))
    p, q = (torch.log_softmax(agent.network.policy(h), 1) for h in (clean, changed))
    kl = (p.exp() * (p - q)).sum(1)
    error = 0.5 * (agent.network.value(changed) - agent.network.value(clean)).square()[:, 0]
    assert terms["agreement_policy"].item() == pytest.approx(weight * kl[batch.valid].mean().item(), rel=1e-3)
    assert terms["agreement_value"].item() == pytest.approx(weight * error[batch.valid].mean().item(), rel=1e-3)
    # The gradient of the divergence is that of −log π(a | changed), in expectation over a ~ π(clean).
    (ours,) = torch.autograd.grad(terms["agreement_policy"], agent.network.policy.weight, retain_graph=True)
    expected = -weight * (p.exp().detach() * q).sum(1)[batch.valid].mean()
    (theirs,) = torch.autograd.grad(expected, agent.network.policy.weight)
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-3)
    # The clean value is fixed.
    clean, changed = (agent.network.value(hidden_by_hand(agent, batch.obs, s)) for s in (None, slots))
    expected = weight * 0.5 * (changed - clean.detach()).square()[batch.valid].mean()
    (ours,) = torch.autograd.grad(terms["agreement_value"], agent.network.value.weight)
    (theirs,) = torch.autograd.grad(expected, agent.network.value.weight)
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize(("coef", "weight"), [(None, 1.0), (0.35, 0.35)])
def test_clean_targets_by_hand(lively: Any, coef: float | None, weight: float) -> None:
    agent = make(
        lively, input_noise="random-conv", input_use="svea", input_per="env", input_clean=0.0, minibatches=1,
        input_coef=coef,
    )  # fmt: skip
    batch, out = minibatch(agent)
    r = agent.rollout
    (term,) = agent.learner.aux
    term.before_minibatch()
    (loss,) = term(agent.network, batch, out).values()
    hidden = hidden_by_hand(agent, batch.obs, batch.rows % ENVS)
    policy, value = Categorical(agent.network.policy(hidden)), agent.network.value(hidden)
    scored = agent._score()
    rows = (
        clipped_policy_loss(policy.log_prob(batch.action), r.log_prob.flatten(), scored.advantage.flatten(), 0.2)
        + 0.5 * value_loss(value, r.value[:-1].flatten(0, 1), scored.target.flatten(0, 1), 0.0)[:, 0]
        - 0.01 * policy.entropy()
    )
    assert loss.item() == pytest.approx(weight * rows[batch.valid].mean().item(), rel=1e-3)


@pytest.mark.parametrize("settings", [
    {"input_noise": "random-conv", "feature_matching": 0.1, "feature_teacher": 0.9, "input_per": "episode"},
    {"input_noise": "jitter", "input_use": "drac", "input_per": "sample", "channels": 3},
    {"input_noise": "shift", "input_use": "svea", "input_per": "env", "recurrent": "gru"},
    {"batch_norm": True, "dropout": 0.2, "weight_decay": 1e-4, "input_per": "sample"},
])  # fmt: skip
def test_pieces_add_up_to_the_whole(lively: Any, settings: dict[str, Any]) -> None:
    if settings.pop("channels", 1) == 3:
        settings["input_noise"] = "inversion"
    if settings.get("batch_norm"):  # the labelled exception
        settings["batch_norm"] = False
    metrics = []
    for microbatch in (0, 15):
        agent = make(lively, microbatch=microbatch, minibatches=1, learning_rate=1e-3, **settings)
        agent.advance()
        metrics.append({k: float(v[0]) for k, v in agent.learner.sums.items() if k.startswith("losses/")})
    assert metrics[0].keys() == metrics[1].keys()
    for name, value in metrics[0].items():
        assert metrics[1][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("settings", [
    {"feature_matching": 0.1}, {"input_per": "episode"}, {"recompute": True}, {"recurrent": "gru"},
])  # fmt: skip
def test_the_order_of_a_minibatch_does_not_matter(
    lively: Any, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    settings = {"input_noise": "random-conv", "input_per": "env", "microbatch": 20} | settings
    metrics = []
    for sort in (True, False):
        if not sort:
            monkeypatch.setattr(Learner, "by_draw", lambda self, rows: rows)
        agent = make(lively, **settings)
        agent.advance()
        metrics.append({k: [float(x) for x in v] for k, v in agent.learner.sums.items()})
    error = "losses/first_ratio_error"
    assert max(of.pop(error)[0] for of in metrics) <= 1e-4
    for name, values in metrics[0].items():
        assert metrics[1][name] == pytest.approx(values, rel=1e-3, abs=1e-5), name


def test_rows_under_one_draw_are_convolved_together(lively: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make(lively, input_noise="random-conv", input_per="env", feature_matching=0.1)
    agent._collect()
    scored = agent._score()
    monkeypatch.setattr(random_conv, "conv_per_row", lambda *_: pytest.fail("every row by itself"))
    agent.learner.learn(scored)


def test_with_batch_norm_minibatches_stay_shuffled(lively: Any) -> None:
    rows = torch.randperm(STEPS * ENVS)[None]
    for batch_norm in (False, True):
        agent = make(lively, input_noise="random-conv", input_per="env", batch_norm=batch_norm)
        agent._collect()
        assert torch.equal(agent.learner.by_draw(rows), rows) == batch_norm


def test_weight_decay_is_the_policys_alone(lively: Any) -> None:
    agent = make(lively, weight_decay=0.5, bonus=("rnd",), bonus_features=8, bonus_warmup=2)
    groups = agent.learner.optimizers[0].param_groups
    assert [g["weight_decay"] for g in groups] == [0.5, 0.0]
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in agent.network.parameters()}
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in agent.bonuses[0].predictor.parameters()}


def test_batch_norm_learns_from_batches_and_acts_on_running_statistics(lively: Any) -> None:
    agent = make(lively, batch_norm=True)
    (norm, *_) = [m for m in agent.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    agent._collect()
    assert int(norm.num_batches_tracked) == 0, "acting changes nothing"
    agent.learner.learn(agent._score())
    assert int(norm.num_batches_tracked) > 0
    assert not agent.network.training


def test_clip_ranges_fall_but_never_to_nothing(lively: Any) -> None:
    agent = make(lively, clip=0.2, value_clip=0.4, clip_schedule="linear")
    for left, expected in ((1.0, (0.2, 0.4)), (0.5, (0.1, 0.2)), (0.0, (1e-8, 1e-8))):
        agent.learner.schedule(left)
        assert (agent.learner._clip, agent.learner._value_clip) == pytest.approx(expected)


# ---- saving, and wrong settings ----


@pytest.mark.parametrize("settings", [
    {"input_per": "episode", "feature_matching": 0.1, "feature_teacher": 0.9, "noisy": "factorised"},
    {"input_per": "sample", "input_use": "drac"},
    {"input_per": "iteration", "recurrent": "gru", "dropout": 0.1},
])  # fmt: skip
def test_a_resumed_run_is_the_unbroken_one(tmp_path: Any, settings: dict[str, Any]) -> None:
    common = {
        "num_envs": 4, "num_steps": 16, "hidden": (8,), "minibatches": 2, "epochs": 1, "input_noise": "random-conv",
        "recurrent_size": 4, "seed": 1,
    }  # fmt: skip
    if "recurrent" in settings:
        common["minibatch_by"] = "envs"
    whole = jostle.PPO("jostle/ThemedCatch-v0", **common, **settings).learn(256)
    part = jostle.PPO("jostle/ThemedCatch-v0", **common, **settings).learn(128)
    again = jostle.load(part.save(tmp_path / "agent"))
    again.learn(256 - again.steps)
    assert again.steps == whole.steps
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_noise": "random_conv"}, "random-conv"),
        ({"input_noise": "random-conv", "input_clean": 1.5}, "within 0 and 1"),
        ({"input_noise": "random-conv", "input_kernel": 4}, "odd"),
        ({"input_noise": "random-conv", "input_keep": (0, 0, 5)}, "top, left, height and width"),
        ({"input_noise": "random-conv", "input_keep": (0, 0, 50, 5)}, "reaches beyond"),
        ({"input_use": "drac"}, "act without input_noise"),
        ({"feature_matching": 0.1}, "0 without input_noise"),
        ({"input_noise": "cutout", "input_use": "drac", "feature_matching": 0.1}, "0 unless input_use=act"),
        ({"input_noise": "cutout", "feature_teacher": 0.5, "feature_stop": "none"}, "clean with a teacher"),
        ({"input_noise": "grey"}, "frames of 3 channels"),
        ({"input_noise": "random-conv", "encoder": "flat"}, "encoder='nature'"),
        ({"input_noise": "random-conv", "input_frames": 3}, "does not divide"),
    ],
)
def test_settings_that_cannot_be(lively: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(lively, **settings)


def test_vectors_and_grids_have_no_looks() -> None:
    with pytest.raises(ConfigError, match="vectors"):
        jostle.PPO("CartPole-v1", num_envs=2, input_noise="random-conv")
    with pytest.raises(ConfigError, match="grids"):
        jostle.PPO("MiniGrid-Empty-5x5-v0", num_envs=2, input_noise="random-conv")
    with pytest.raises(ConfigError, match="image encoder"):
        jostle.PPO("CartPole-v1", num_envs=2, dropout=0.1)


@pytest.mark.parametrize("settings", [{"feature_matching": 0.1}, {"input_use": "drac"}, {"input_per": "episode"}])
def test_it_learns_on_where_generators_cannot_go_on(lively: Any, settings: dict[str, Any]) -> None:
    """A state from another kind of device: every loss goes on with the draws that there are then."""
    agent = make(lively, input_noise="random-conv", noisy="factorised", **settings)
    agent.advance()
    state, other = agent.state_dict(), make(lively, input_noise="random-conv", noisy="factorised", **settings)
    state["rng"]["act"] = state["rng"]["act"][:16]
    assert any("another kind of device" in reason for reason in other.load_state_dict(state))
    other.advance()
    assert float(other.learner.sums["losses/first_ratio_error"][-1]) <= 1e-4
