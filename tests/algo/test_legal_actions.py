"""Action masks in training, evaluation and resume: no illegal action is ever taken, and nothing is learned from one."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from masked import DoorsVector, Rules, doors

import jostle
from jostle.algo.agent import Agent
from jostle.doctor.dqn import examine as examine_dqn
from jostle.doctor.dqn import fresh_replay
from jostle.doctor.ppo import _most, examine
from jostle.errors import ConfigError
from jostle.nn.distributions import Categorical, MultiCategorical

PPO: dict[str, Any] = {"num_envs": 4, "seed": 0, "num_steps": 12, "minibatches": 2, "hidden": (12,), "epochs": 2}
DQN: dict[str, Any] = {"num_envs": 4, "seed": 0, "hidden": (12,), "warmup": 40, "batch_size": 16}
LOOKS: dict[str, Any] = {"input_noise": "random-conv", "observations": "picture", "epochs": 1, "num_steps": 6}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"recompute": True},
    "ppo-acting": {"recompute": False},
    "ppo-multi": {"actions": "multi"},
    "ppo-gru": {"recurrent": "gru", "minibatch_by": "envs", "recurrent_size": 8, "noisy": "factorised"},
    "ppo-penalty": {"kl_penalty": "adaptive", "noisy": "independent", "bonus": ("rnd",), "bonus_warmup": 4},
    "ppo-drac": {**LOOKS, "input_use": "drac", "input_per": "sample"},
    "ppo-svea": {**LOOKS, "input_use": "svea", "input_per": "env", "actions": "multi"},
    "dqn": {"epsilon_steps": 100},
    "dqn-noisy": {"noisy": "factorised", "double": False, "n_step": 3, "warmup_random": False},
    "dqn-bonus": {"epsilon_steps": 100, "bonus": ("rnd",), "n_step": 2, "dueling": True, "bonus_warmup": 4},
}
CASES = list(SETTINGS)


def make(case: str, **more: Any) -> Agent:
    settings = (PPO if case.startswith("ppo") else DQN) | SETTINGS[case] | more
    tell = settings.pop("tell", True)
    env = partial(Rules, settings.pop("actions", "discrete"), settings.pop("observations", "vector"), tell)
    kind: Any = jostle.PPO if case.startswith("ppo") else jostle.DQN
    return kind(env, **settings)


@pytest.mark.parametrize("case", CASES)
def test_no_illegal_action_is_taken(case: str) -> None:
    Rules.taken[:] = 0
    agent = make(case)
    agent.learn(60 if "observations" in SETTINGS[case] else 160)
    assert Rules.taken[1] == 0
    assert Rules.taken[0] >= agent.steps  # the bonuses' random play is in it
    if isinstance(agent, jostle.PPO):
        assert agent.metrics["losses/first_ratio_error"] <= 1e-4
        assert 0 < agent.metrics["losses/entropy"] < np.log(4)
    assert all(np.isfinite(value) for value in agent.metrics.values())
    noisy = "noisy" in SETTINGS[case] or "input_noise" in SETTINGS[case]
    for noise in ("mean", "sampled", "mc:3") if noisy else ("mean",):
        # Five environments for six episodes: those that have played their share go on.
        jostle.evaluate(agent, 6, num_envs=5, noise=noise, epsilon=0.3)
        if isinstance(agent, jostle.PPO):
            jostle.evaluate(agent, 6, num_envs=5, noise=noise, actions="sampled")
    assert Rules.taken[1] == 0
    jostle.evaluate(make(case, tell=False), 6, epsilon=0.3)  # the count does count
    assert Rules.taken[1] > 0


@pytest.mark.parametrize("case", CASES)
def test_the_doctor_plays_by_the_rules(case: str) -> None:
    agent = make(case)
    agent.learn(100)
    Rules.taken[:] = 0
    if isinstance(agent, jostle.PPO):
        found = {check.name: check for check in examine(agent)}
        assert found["first ratio"].status == "OK"
    else:
        assert isinstance(agent, jostle.DQN)
        replay = fresh_replay(agent)
        assert replay.mask is not None
        legal = np.take_along_axis(replay.mask, replay.action[..., None], 2)[..., 0]
        assert legal[replay.valid].all(), "each mask lies beside what was done by it"
        found = {check.name: check for check in examine_dqn(agent, replay)}
        assert found["values"].status != "FAIL"
    assert Rules.taken[1] == 0


def test_the_doctor_speaks_of_legal_actions() -> None:
    agent: Any = make("dqn-noisy")
    agent.learn(100)
    replay = fresh_replay(agent)
    assert replay.mask is not None
    with torch.no_grad():  # one action is valued far above the others, in every state
        agent.network.head[-1].bias[2] += 1e6
    found = {check.name: check.status for check in examine_dqn(agent, replay)}
    assert found["values"] == "FAIL"
    replay.mask[..., :] = [True, False, False, False]
    found = {check.name: check.status for check in examine_dqn(agent, replay)}
    assert found["values"] != "FAIL", "nothing is learned of what is never legal"
    (said,) = (check for check in examine_dqn(agent, replay) if check.name == "draws")
    assert "flips 0.0% of actions" in said.finding, "there is no choice"


def test_the_most_that_an_entropy_can_be_is_that_of_the_legal_actions() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, -1e30]])
    assert _most(Categorical(logits)) == pytest.approx(np.log(2) / 2)
    assert _most(MultiCategorical(torch.zeros(3, 5), [2, 3])) == pytest.approx(np.log(6))


# ---- what is stored ----


def test_a_rollout_stores_each_mask_with_its_observation() -> None:
    env, _ = doors()
    agent = jostle.PPO(env, **PPO | {"num_envs": 3})
    told = [agent._mask]
    step = agent.env.step

    def watched(action: Any) -> Any:
        result = step(action)
        told.append(result[4]["action_mask"])
        return result

    agent.env.step = watched  # type: ignore[method-assign]
    for _ in range(2):
        agent.advance()
        rollout = agent.rollout
        assert rollout.mask is not None
        assert torch.equal(rollout.mask, torch.from_numpy(np.stack([m for m in told[-13:] if m is not None])))
        legal = rollout.mask[:-1].gather(2, rollout.action[..., None])
        assert legal.all()
        assert ((rollout.pi == -1e30) == ~rollout.mask[:-1]).all()
    assert not rollout.mask.all()
    assert rollout.mask[1:][~rollout.valid].sum() > 0


def test_masks_that_come_late() -> None:
    """Before the first one everything is legal, and so it is stored."""

    class Late(Rules):
        def _answer(self, over: bool) -> tuple[Any, dict[str, Any]]:
            obs, info = super()._answer(over)
            self.told = getattr(self, "told", -1) + 1
            self.mask = self.mask | (self.told < 5)
            return obs, info if self.told >= 5 else {}

    Rules.taken[:] = 0
    ppo, dqn = jostle.PPO(Late, **PPO), jostle.DQN(Late, **DQN)
    ppo.advance()
    for _ in range(10):
        dqn.advance()
    for mask in (ppo.rollout.mask, dqn.replay.mask):
        assert mask is not None
        stored = np.asarray(mask)
        assert stored[:5].all()
        assert not stored[5:10].all()
    ppo.learn(100)
    dqn.learn(100)
    assert Rules.taken[1] == 0


def test_no_room_is_taken_where_there_are_no_masks() -> None:
    ppo, dqn = make("ppo", tell=False), make("dqn", tell=False)
    ppo.learn(50)
    dqn.learn(100)
    assert ppo.rollout.mask is None  # type: ignore[attr-defined]
    assert dqn.replay.mask is None  # type: ignore[attr-defined]
    assert "mask" not in ppo.state_dict()["carry"]


# ---- resume ----


def learn(kind: Callable[..., Agent], folder: Path, stop: int, **settings: Any) -> Agent:
    env, _ = doors()
    agent = kind(env, **settings)
    return agent.learn(
        200, run_dir=folder, log_every=50, checkpoint_every=40, callback=lambda agent: agent.steps < stop
    )


@pytest.mark.parametrize("case", ["ppo", "ppo-gru", "dqn", "dqn-noisy"])
def test_a_resumed_run_is_the_unbroken_one(case: str, tmp_path: Path) -> None:
    settings = (PPO if case.startswith("ppo") else DQN) | SETTINGS[case]
    settings.pop("num_envs")
    kind: Any = jostle.PPO if case.startswith("ppo") else jostle.DQN
    whole = learn(kind, tmp_path / "whole", 10_000, **settings)
    learn(kind, tmp_path / "broken", 100, **settings)
    env, vector = doors()
    said: list[str] = []
    resumed = jostle.resume(tmp_path / "broken", env=env, notify=said.append)
    assert not any("not exactly" in line for line in said)
    assert vector.illegal == 0
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    if isinstance(whole, jostle.DQN):
        assert isinstance(resumed, jostle.DQN)
        assert np.array_equal(np.asarray(whole.replay.mask), np.asarray(resumed.replay.mask))

    def lines(folder: str) -> list[dict[str, Any]]:
        text = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
        timing = {"time", "charts/SPS", "charts/FPS"}
        return [{k: v for k, v in json.loads(line).items() if k not in timing} for line in text]

    assert lines("whole") == lines("broken")


@pytest.mark.parametrize("case", ["ppo", "dqn"])
def test_a_run_without_snapshots_goes_on_by_the_rules(case: str, tmp_path: Path) -> None:
    make(case).learn(200, run_dir=tmp_path / "run")
    Rules.taken[:] = 0
    agent = jostle.resume(tmp_path / "run", env=partial(Rules, "discrete", "vector", True), steps=100)
    assert agent.steps >= 300
    assert Rules.taken[1] == 0
    if isinstance(agent, jostle.DQN):
        replay = agent.replay
        assert replay.mask is not None
        legal = np.take_along_axis(replay.mask[: replay.filled], replay.action[: replay.filled, :, None], 2)[..., 0]
        assert legal[replay.valid[: replay.filled]].all()


def test_a_saved_run_that_knew_no_masks_goes_on_with_them(tmp_path: Path) -> None:
    """Its transitions count as made where everything was legal."""
    for case in ("ppo", "dqn"):
        make(case, tell=False).learn(200, run_dir=tmp_path / case)
        Rules.taken[:] = 0
        agent = jostle.resume(tmp_path / case, env=partial(Rules, "discrete", "vector", True), steps=100)
        assert Rules.taken[1] == 0
    assert isinstance(agent, jostle.DQN)
    assert agent.replay.mask is not None
    assert agent.replay.mask[:40].all()


def test_others_may_move_the_environments() -> None:
    for kind, settings in ((jostle.PPO, PPO), (jostle.DQN, DQN)):
        env, vector = doors()
        agent: Any = kind(env, **{k: v for k, v in settings.items() if k != "num_envs"})
        agent.learn(100)
        env.reset(seed=5)
        env.step(np.zeros(3, np.int64))
        before = vector.illegal
        agent.learn(100)
        assert vector.illegal == before


def test_a_seam_has_the_mask_of_its_observation(tmp_path: Path) -> None:
    """Where episodes are cut, by others who reset the environments or by a resume, the last observation keeps its."""
    agent: Any = make("dqn")
    while agent.steps < 30 or agent._mask.all(1).any() or not agent.replay.valid[agent.replay.added - 1].all():
        agent.advance()
    told, seam = agent._mask.copy(), agent.replay.added
    env = partial(Rules, "discrete", "vector", True)
    loaded: Any = jostle.load(agent.save(tmp_path / "agent", replay=True), env=env)
    agent.env.reset(seed=5)
    agent.advance()
    for replay in (agent.replay, loaded.replay):
        assert not replay.valid[seam].any()
        assert np.array_equal(replay.mask[seam], told)


def test_metrics_are_of_the_masks_that_were_replayed() -> None:
    agent: Any = make("dqn-noisy")
    agent.learn(100)
    with torch.no_grad():  # one action is valued far above the others, in every state
        agent.network.head[-1].bias[2] += 1e6
    agent.replay.mask[..., 2] = False
    agent.replay.mask[..., 1] = True
    agent.learner.terms["losses/td_loss"].append(torch.zeros(()))
    assert agent.drain_metrics()["losses/q_value"] < 1e3


# ---- acting for others ----


def test_predict_takes_a_mask() -> None:
    for case in ("ppo", "dqn", "ppo-multi"):
        agent = make(case)
        obs, many = np.zeros(4, np.float32), np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
        if case == "ppo-multi":
            action, _ = agent.predict(obs, action_mask=([0, 0, 1], [1, 0]))
            assert np.asarray(action).tolist() == [2, 0]
            continue
        for legal in range(4):
            mask = np.arange(4) == legal
            assert agent.predict(obs, action_mask=mask) == (legal + 3, None)
            assert np.asarray(agent.predict(many, action_mask=np.tile(mask, (6, 1)))[0]).tolist() == [legal + 3] * 6
        with pytest.raises(ConfigError, match="shape"):
            agent.predict(obs, action_mask=[1, 0])
        with pytest.raises(ConfigError, match="no legal action"):
            agent.predict(obs, action_mask=np.zeros(4))
        with pytest.raises(ConfigError, match="shape"):
            agent.predict(many, action_mask=np.ones((5, 4)))
    box = jostle.PPO("Pendulum-v1", num_envs=1, num_steps=8, minibatches=1, hidden=(4,))
    with pytest.raises(ConfigError, match="no masks"):
        box.predict(np.zeros(3, np.float32), action_mask=[1])


# ---- what it buys ----


def test_masks_are_what_makes_the_difference() -> None:
    """In a game of 64 moves of which two are open, the one that is shown pays; an illegal move ends the game."""

    class Narrow(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
        action_space = gym.spaces.Discrete(64)
        illegal = 0

        def __init__(self, tell: bool) -> None:
            self.tell = tell

        def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.t = 0
            return self._answer()

        def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            right, illegal = bool(action == 20 + 20 * self.shown), action not in (20, 40)
            Narrow.illegal += illegal
            self.t += 1
            obs, info = self._answer()
            return obs, float(right), bool(illegal or self.t == 10), False, info

        def _answer(self) -> tuple[Any, dict[str, Any]]:
            self.shown = int(self.np_random.integers(2))
            told = {"action_mask": np.isin(np.arange(64), (20, 40))} if self.tell else {}
            return np.array([self.shown], np.float32), told

    settings = PPO | {"num_envs": 8, "num_steps": 32, "learning_rate": 3e-3, "hidden": (16,), "epochs": 4}
    scores = {}
    for tell in (True, False):
        Narrow.illegal = 0
        agent = jostle.PPO(partial(Narrow, tell), **settings)
        agent.learn(2_048)
        scores[tell] = jostle.evaluate(agent, 20).mean
        assert (Narrow.illegal == 0) == tell
    assert scores[True] > 9 > 2 * scores[False]


# ---- a foreign environment ----

TAXI = max((name for name in gym.registry if name.startswith("Taxi-v")), key=lambda name: int(name[6:]))


@pytest.mark.parametrize("workers", [0, 2])
def test_taxi(workers: int, tmp_path: Path) -> None:
    options = {"engine": "gymnasium", "workers": workers}
    ppo = jostle.PPO(TAXI, **PPO, env_options=options)
    ppo.learn(150)
    dqn = jostle.DQN(TAXI, **DQN, env_options=options)
    dqn.learn(150)
    rollout, replay = ppo.rollout, dqn.replay
    assert rollout.mask is not None
    assert replay.mask is not None
    assert rollout.mask[:-1].gather(2, rollout.action[..., None]).all()
    filled = slice(0, replay.filled)
    assert np.take_along_axis(replay.mask[filled], replay.action[filled, :, None], 2).all()
    assert not replay.mask[filled].all()
    assert not rollout.mask.all()
    if not workers:
        assert jostle.evaluate(ppo, 2, num_envs=2).episodes
        assert jostle.evaluate(dqn, 2, num_envs=2, epsilon=0.5).episodes


def test_doors_can_be_learned() -> None:
    env, vector = doors(8)
    agent = jostle.DQN(env, seed=0, hidden=(16,), warmup=100, epsilon_steps=1000, learning_rate=3e-3, replay_ratio=4)
    agent.learn(1_600)
    assert vector.illegal == 0
    fresh, inside = doors(8)
    shown = jostle.evaluate(agent, 40, env=fresh)
    lengths = np.array([e.length for e in shown.episodes])
    assert (shown.returns / lengths).mean() > 0.9
    assert inside.illegal == 0
    assert isinstance(inside, DoorsVector)
