"""PPO that remembers its last observations and actions, and learns to tell its draw from them."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import jostle
from jostle.algo.parts.auxiliary import Minibatch
from jostle.algo.ppo.recovery import DrawRecovery, r_squared
from jostle.errors import ConfigError
from jostle.functional import masked_mean
from jostle.nn.history import history_of
from jostle.view import as_view

sys.path.insert(0, str(Path(__file__).parents[2] / "envs" / "domain"))
from pendulum import ID

KEY = "domain_history"
DOMAIN = {"mass": {"log_uniform": [0.5, 2]}, "push": [-2, 2]}
SMALL: dict[str, Any] = {"num_envs": 4, "num_steps": 16, "hidden": (8,), "minibatches": 2, "epochs": 1}
TOLD: dict[str, Any] = {"domain": DOMAIN, "domain_privileged": True, "domain_history": 6, "draw_recovery": 0.5}


def ppo(env: Any = ID, **settings: Any) -> jostle.PPO:
    return jostle.PPO(env, **(SMALL | TOLD | settings))


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            if key != "seconds":
                same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        np.testing.assert_array_equal(a, b)


# ---- by hand ----


def test_the_loss_by_hand() -> None:
    encoder = ppo(draw_recovery=0.0).network.encoder
    z, width = torch.zeros(3, encoder.out_features), history_of(encoder).out_features
    z[:, :width] = torch.tensor([[1.0, 2.0], [3.0, -1.0], [100.0, 100.0]]).repeat(1, width // 2)  # the last is no row
    term = DrawRecovery(0.5, encoder, 2)
    with torch.no_grad():
        term.head.weight.zero_()
        term.head.weight[0, 0], term.head.weight[1, 1] = 1.0, 0.5
        term.head.bias.copy_(torch.tensor([0.25, 0.0]))
    valid = torch.tensor([True, True, False])
    obs = {"privileged": torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, 0.0]])}
    batch = SimpleNamespace(obs=obs, mean=lambda x: masked_mean(x, valid, torch.tensor(2)))
    got = term(SimpleNamespace(encoder=encoder), batch, SimpleNamespace(encoded=z))
    # Row 0: told 1.25 and 1 of 1 and 0; row 1: 3.25 and −0.5 of −1 and 0.5.
    by_hand = 0.5 * ((0.25**2 + 1.0**2) / 2 + (4.25**2 + 1.0**2) / 2) / 2
    assert got["draw_recovery"].item() == pytest.approx(by_hand)
    assert list(Minibatch.__dataclass_fields__)[:2] == ["rows", "obs"]


def test_r_squared_by_hand() -> None:
    draw = torch.tensor([[1.0, 5.0], [3.0, 5.0], [99.0, 7.0]])
    told = torch.tensor([[1.5, 5.0], [2.0, 5.0], [0.0, 0.0]])
    found = r_squared(told, draw, torch.tensor([True, True, False]))
    assert found[0].item() == pytest.approx(1 - (0.25 + 1.0) / 2)
    assert found[1].isnan(), "what is the same in all rows cannot be told apart"
    biased = r_squared(draw + 1, draw, torch.ones(3, dtype=torch.bool))
    assert biased[1] < 1, "a constant error is an error"


# ---- what is seen and stored ----


@pytest.mark.parametrize("more", [{}, {"recurrent": "gru"}, {"noisy": "factorised", "recompute": False}], ids=str)
def test_the_rollout_gives_back_each_history(more: dict[str, Any]) -> None:
    agent = ppo(**more)
    seen: list[Any] = []
    step = agent.env.step

    def noted(actions: Any) -> Any:
        out = step(actions)
        seen.append(out[0][KEY])
        return out

    agent.env.step = noted
    starts = 0
    for _ in range(3):
        seen[:] = [agent._obs[KEY]]
        agent.advance()
        r = agent.rollout
        rows = torch.arange((r.steps + 1) * r.num_envs)
        got = r.observations(rows)
        assert isinstance(got, dict)
        np.testing.assert_array_equal(got[KEY].numpy(), np.concatenate(seen))
        few = torch.tensor([5, 60, 5])
        np.testing.assert_array_equal(r.part(KEY, few).numpy(), np.concatenate(seen)[few])
        starts += int(r.start[1:].sum())
    assert starts > 3
    steps, width = seen[0].shape[1:]
    assert r.obs[KEY].shape == (steps - 1 + r.steps + 1, r.num_envs, width), "each step is stored once"


@pytest.mark.parametrize(
    "more",
    [{}, {"noisy": "independent"}, {"recurrent": "lstm", "sequence_length": 8}, {"history_encoder": "mlp"},
     {"normalise_obs": True}, {"bonus": ("rnd",), "bonus_warmup": 0}, {"shared": True}, {"privileged": "none"}],
    ids=str,
)  # fmt: skip
def test_any_combination_trains_and_its_first_ratio_is_one(more: dict[str, Any]) -> None:
    agent = ppo(**more).learn(256)
    assert agent.metrics["losses/first_ratio_error"] <= 1e-4
    assert 0 < agent.metrics["losses/draw_recovery"] < 1
    assert {"domain/mass/r2", "domain/push/r2"} <= set(agent.metrics)


def test_bonuses_and_places_do_not_see_the_past() -> None:
    agent = ppo(bonus=("rnd",), bonus_warmup=0)
    assert agent.bonuses[0].preprocess.keys == ["obs"]
    assert set(agent.rollout.newest()) == {"obs", "privileged"}
    plain = jostle.PPO(ID, **SMALL)
    for each in (agent, plain):
        each.learn(64)
    found = [each.coverage._view.look(obs, {}) for each, obs in ((agent, agent._obs), (plain, agent._obs["obs"]))]
    np.testing.assert_array_equal(*found)


def test_the_encoder_learns_from_the_loss_alone_too() -> None:
    """Without rewards, advantages and entropy nothing else moves it."""
    agent = ppo(value_coef=0.0, entropy_coef=0.0, clip=0.0, gamma=0.0, learning_rate=1e-2)
    agent._extrinsic = lambda: torch.zeros_like(agent.rollout.reward)
    before = [p.clone() for p in history_of(agent.network.encoder).parameters()]
    head = agent.recovery.head.weight.clone()
    for _ in range(2):  # at first the head is 0, and nothing comes through it
        agent.advance()
    assert not torch.equal(head, agent.recovery.head.weight)
    after = list(history_of(agent.network.encoder).parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# ---- saving, evaluating, playing ----


@pytest.mark.parametrize(
    "more",
    [
        {"domain_schedule": "adr(high=12, low=8, episodes=2)"},
        {"noisy": "factorised", "normalise_obs": True, "env": "jostle/Pendulum-v1", "domain": {"rod.mass": [0.5, 2]}},
        {"recurrent": "gru", "history_encoder": "mlp", "draw_recovery": 0.0},
    ],
    ids=["adr", "noisy", "gru"],
)
def test_a_killed_run_goes_on_exactly(more: dict[str, Any], tmp_path: Path) -> None:
    ppo(**more).learn(512, run_dir=tmp_path / "whole", log_every=100, checkpoint_every=100)
    cut: dict[str, Any] = {"callback": lambda agent: agent.steps < 250}
    ppo(**more).learn(512, run_dir=tmp_path / "run", log_every=100, checkpoint_every=100, **cut)
    again, whole = jostle.resume(tmp_path / "run"), jostle.load(tmp_path / "whole")
    same(again.state_dict(), whole.state_dict())
    clocks = ("charts/SPS", "charts/FPS", "time")
    one, two = (
        [{k: v for k, v in line.items() if k not in clocks} for line in jostle.read_metrics(tmp_path / d)]
        for d in ("whole", "run")
    )
    assert one == two


def test_a_loaded_agent_acts_the_same_and_evaluation_is_nominal(tmp_path: Path) -> None:
    agent = ppo().learn(128)
    loaded = jostle.load(agent.save(tmp_path / "agent"))
    assert loaded.env_options[KEY] == 6
    for domain in (None, "train", {"mass": 2.0}):
        one, two = (jostle.evaluate(a, 5, seed=3, domain=domain).returns.tolist() for a in (agent, loaded))
        assert one == two
    assert as_view(agent).env_options.keys() == {"domain_seen", "domain_privileged", KEY}
    env = jostle.make_env(agent.env_source, 2, seed=5, **as_view(agent).env_options)
    obs, _ = env.reset()
    np.testing.assert_array_equal(agent.predict(obs)[0], loaded.predict(obs)[0])


def test_deterministic_playing_sees_its_past() -> None:
    agent = jostle.PPO("jostle/Pendulum-v1", **SMALL, domain={"rod.mass": [0.5, 2]}, domain_history=5)
    env = jostle.make_env("jostle/Pendulum-v1", 2, seed=5, domain_history=5)
    actor = agent.actor(rows=2)
    obs, info = env.reset()
    for t in range(8):
        action = actor.act(obs, info["start"])
        forgetful = actor.act(obs | {KEY: np.zeros_like(obs[KEY])}, info["start"])
        assert np.array_equal(action, forgetful) == (t == 0)
        obs, *_, info = env.step(action)


def test_a_stress_test_and_dqn_go_with_it(tmp_path: Path) -> None:
    agent = ppo().learn(64)
    found = jostle.stress_test(agent, "physics-sweep", episodes=2, noise="mean", baseline=False)
    assert found.complete
    dqn: dict[str, Any] = {"num_envs": 4, "hidden": (8,), "warmup": 20, "replay_size": 400, "batch_size": 8}
    dqn |= {"domain": DOMAIN, "domain_history": 4}
    whole = jostle.DQN(ID, **dqn).learn(200)
    jostle.DQN(ID, **dqn).learn(200, run_dir=tmp_path / "run", callback=lambda agent: agent.steps < 100)
    same(jostle.resume(tmp_path / "run").state_dict(), whole.state_dict())


@pytest.mark.parametrize("kind", ["PPO", "DQN"])
def test_draws_are_told_beside_stacks_of_frames(kind: str) -> None:
    more: dict[str, Any] = {"num_steps": 16} if kind == "PPO" else {"warmup": 20, "replay_size": 200}
    agent = getattr(jostle, kind)(
        "jostle/ThemedCatch-v0", num_envs=2, domain={"level": {"integers": [1, 9]}}, domain_privileged=True,
        env_options={"frame_stack": 2}, **more,
    )  # fmt: skip
    agent.learn(40)
    if kind == "PPO":
        r = agent.rollout
        assert r.observations(torch.tensor([0, 3]))["obs"].shape[1] == 2 * r.obs["obs"].shape[2]


# ---- bad input ----


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({KEY: None}, "does not tell both: give a domain and domain_history=16, or leave it out"),
        ({"domain_privileged": None}, "give a domain and domain_privileged=True, or"),
        ({KEY: None, "domain_privileged": None}, "domain_privileged=True and domain_history=16"),
        ({"draw_recovery": -1.0}, "draw_recovery=-1.0 cannot be used: it must be 0 or more"),
        ({"history_features": 0}, "history_features=0 cannot be used: it must be at least 1"),
        ({"history_encoder": "cnv"}, "history_encoder='cnv' is unknown; did you mean conv"),
        ({"encoder": lambda space: Picked()}, "no encoder of your own, which is given the history as it is"),
    ],
)
def test_what_cannot_be_is_said(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ppo(**settings)


class Picked(torch.nn.Module):
    """An encoder of one's own, which sees the history as it is."""

    def forward(self, obs: Any) -> torch.Tensor:
        return torch.cat([obs["obs"], obs[KEY].flatten(1)], 1)


def test_an_encoder_of_ones_own_is_given_the_history() -> None:
    ppo(encoder=lambda space: Picked(), draw_recovery=0.0).learn(64)


# ---- learning ----


def test_what_can_be_told_is_told_and_what_cannot_is_not() -> None:
    """The push acts at every step; the level decides first states alone, by a hash that nobody can read.

    Of episodes of ten to twenty steps the first two of each tell nothing yet, so that 1 is out of reach.
    """
    agent = jostle.PPO(
        ID, num_envs=16, num_steps=64, hidden=(16,), learning_rate=3e-3, seed=0, history_encoder="mlp",
        domain={"push": [-3, 3], "level": [0, 1000]}, domain_privileged=True, domain_history=4, draw_recovery=1.0,
    )  # fmt: skip
    agent.learn(18_000, log_every=1000)
    assert agent.metrics["domain/push/r2"] > 0.5
    assert -0.3 < agent.metrics["domain/level/r2"] < 0.1


@pytest.mark.slow
def test_the_mass_of_a_pendulum_is_told() -> None:
    """Values pass the same features: with returns in their own units, nothing was told after 100,000 steps."""
    agent = jostle.PPO(
        "jostle/Pendulum-v1", num_envs=32, num_steps=64, learning_rate=1e-3, seed=0, domain_history=8,
        domain={"rod.mass": {"log_uniform": [0.5, 2]}, "start.speed": [0.99, 1.0]}, domain_privileged=True,
        draw_recovery=1.0, normalise_obs=True, reward_norm="return_std",
    )  # fmt: skip
    agent.learn(300_000)
    assert agent.metrics["domain/rod.mass/r2"] > 0.5
    assert agent.metrics["domain/start.speed/r2"] < 0.1
