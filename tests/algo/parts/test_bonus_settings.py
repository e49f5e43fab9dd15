"""What the settings of bonuses come to in PPO and in DQN: each reaches the bonus, the warm-up is played as asked."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

import jostle
from jostle.algo.parts import bonuses as parts
from jostle.algo.ppo.bonuses import successors, transitions
from jostle.bonus import RND, Bonus
from jostle.errors import ConfigError
from jostle.loading import rebuild
from jostle.store import load_checkpoint

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"num_steps": 16, "minibatches": 2, "hidden": (8,)},
    "dqn": {"hidden": (8,), "warmup": 8},
}
AGENTS: dict[str, Any] = {"ppo": jostle.PPO, "dqn": jostle.DQN}


class Shown(gym.Env[Any, int]):
    """Samples of a space, in episodes of five steps."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.observation_space.sample(), 0.0, self.t == 5, False, {}


def vector() -> Shown:
    return Shown(spaces.Box(-1, 1, (3,), np.float32))


def made(kind: str, env: Any = vector, **settings: Any) -> Any:
    given = {"bonus": ("rnd",), "bonus_features": 8, "bonus_warmup": 3} | SMALL[kind] | settings
    return AGENTS[kind](env, num_envs=2, seed=3, **given)


def of(agent: Any) -> list[Bonus]:
    return agent.bonuses if isinstance(agent, jostle.PPO) else agent.intrinsic.bonuses


REACHES: dict[str, tuple[Any, Any]] = {
    "bonus_share": (0.25, lambda b: b.share),
    "bonus_obs_clip": (2.5, lambda b: b.preprocess.parts[0].clip),
    "bonus_obs_norm": (False, lambda b: b.preprocess.parts[0].moments is not None),
    "bonus_reward_norm": ("reward_std", lambda b: "reward_std" if b.scale.rewards is not None else "another"),
    "bonus_scale_horizon": (50.0, lambda b: b.scale.horizon),
    "gamma_int": (0.7, lambda b: b.scale.returns and b.scale.returns.discount),
    "bonus_features": (5, lambda b: b.prepare(b.seen).shape[1]),
    "bonus_target": ("obs", lambda b: b.sees),
    "bonus_slope": (0.05, lambda b: next(m for m in b.modules() if isinstance(m, torch.nn.LeakyReLU)).negative_slope),
    "bonus_depth": (1, lambda b: sum(isinstance(m, torch.nn.Linear) for m in b.predictor.modules()) - 3),
    "bonus_learning_rate": (3e-3, lambda b: b.learning_rate),
}


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("name", REACHES)
def test_each_setting_reaches_the_bonus(kind: str, name: str) -> None:
    value, read = REACHES[name]
    (bonus,) = of(made(kind, **{name: value}))
    x = torch.zeros(2, 3)
    bonus.seen = jostle.bonus.Transitions(x, x, torch.zeros(2).long(), torch.ones(2) > 0)
    assert read(bonus) == value


@pytest.mark.parametrize("kind", AGENTS)
def test_the_convolutions_reach_the_networks(kind: str) -> None:
    (bonus,) = of(made(kind, lambda: Shown(spaces.Box(0, 255, (40, 40), np.uint8)), bonus_convolutions="small"))
    convolutions = [m for m in bonus.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == 6 * [(3, 3)]


@pytest.mark.parametrize("kind", AGENTS)
def test_a_single_number_can_be_observed(kind: str) -> None:
    agent = made(kind, lambda: Shown(spaces.Box(-1, 1, (), np.float32)), bonus=("rnd", "icm", "e3b")).learn(80)
    assert agent.steps >= 80
    assert all(bonus.preprocess.parts[0].moments.count > 60 for bonus in of(agent))


@pytest.mark.parametrize("kind", AGENTS)
@pytest.mark.parametrize("steps", [0, 7])
def test_the_warm_up_plays_so_many_steps_of_its_own_environments(
    kind: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, once, and from another seed, lest it show what the training begins with."""
    seeds: list[int | None] = []
    make = parts.make_env

    def spying(*args: Any, **kwargs: Any) -> Any:
        env = make(*args, **kwargs)
        reset = env.reset

        def resetting(*, seed: int | None = None, **rest: Any) -> Any:
            seeds.append(seed)
            return reset(seed=seed, **rest)

        env.reset = resetting
        return env

    monkeypatch.setattr(parts, "make_env", spying)
    agent = made(kind, bonus_warmup=steps)
    (bonus,) = of(agent)
    counts: list[float] = []
    update = bonus.update

    def counting(t: Any) -> Any:
        counts.append(float(bonus.preprocess.parts[0].moments.count))
        return update(t)

    bonus.update = counting  # type: ignore[method-assign]
    agent.learn(64)
    episodes = (steps + 1) // 6 * 5 + min(5, (steps + 1) % 6)  # of six observations the final one is not counted
    assert counts[0] == pytest.approx(2 * episodes + 1e-4 if steps else 1e-4)
    assert len(seeds) == (1 if steps else 0)
    assert not set(seeds) & {None, 3}


# ---- endings ----


@pytest.mark.parametrize("kind", AGENTS)
def test_endings_of_the_official_code_are_rnds_alone(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"bonus_ending='reset' does nothing without the bonus rnd"):
        made(kind, bonus=("icm", "e3b"), bonus_ending="reset")


def test_with_resets_other_bonuses_see_the_final_observation() -> None:
    agent = made("ppo", bonus=("rnd", "icm", "e3b"), bonus_ending="reset")
    agent.advance()
    r = agent.rollout
    following = successors(r, "reset")
    ended = (r.terminated | r.truncated)[:-1]
    assert ended.sum() >= 4
    final, first = r.newest()[1:][ended], r.newest(following=True)[1:][ended]
    for bonus in agent.bonuses:
        seen = transitions(r, bonus, following).next_obs[:-1][ended]
        flat = transitions(r, bonus, following, torch.arange(r.steps * r.num_envs)).next_obs.view(*r.valid.shape, -1)
        assert torch.equal(seen, first if isinstance(bonus, RND) else final)
        assert torch.equal(flat[:-1][ended], seen)


# ---- codes and colours ----


def codes() -> Shown:
    return Shown(spaces.Box(0, 255, (7, 7, 3), np.uint8))


@pytest.mark.parametrize(("settings", "kind"), [({"bonus_codes": True}, "grid"), ({"bonus_codes": False}, "vector")])
def test_small_bytes_are_what_they_are_said_to_be(settings: dict[str, Any], kind: str) -> None:
    (bonus,) = of(made("ppo", codes, encoder="flat", **settings))
    assert bonus.preprocess.parts[0].kind == kind


def test_small_pictures_in_colour_can_be_explored() -> None:
    with pytest.warns(UserWarning, match="rnd: bytes"):
        agent = made("ppo", codes, encoder="flat")
    agent.learn(64)
    assert agent.metrics["bonus/rnd/raw_mean"] > 0


def test_minigrid_is_known_by_its_name_and_by_its_keys() -> None:
    agent = made("ppo", "MiniGrid-Empty-5x5-v0")
    assert "grid" in [part.kind for part in agent.bonuses[0].preprocess.parts]
    env = agent.env
    env.single_observation_space = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    (bonus,) = parts.make_bonuses(agent.config, env, ())
    assert bonus.preprocess.parts[0].kind == "grid"


# ---- defaults ----


def test_vectors_of_numbers_have_defaults_of_their_own() -> None:
    """A predictor with a rate of its own, a narrow one, and a policy that sees normalised observations."""
    pair = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)})
    for env in (vector, lambda: Shown(pair)):
        agent = jostle.PPO(env, num_envs=2, num_steps=8, bonus=("rnd", "icm"), bonus_warmup=0)
        rates = [group["lr"] for optimizer in agent.learner.optimizers for group in optimizer.param_groups]
        assert rates == [3e-4, 1e-5]
        assert [bonus.learning_rate for bonus in agent.bonuses] == [1e-5, None]
        assert agent.bonuses[0].predictor[-1].out_features == 64
        assert agent.config.normalise_obs is True
    assert of(made("dqn", bonus_features=None))[0].predictor[-1].out_features == 64
    joint = jostle.PPO(vector, num_envs=2, num_steps=8, bonus=("rnd",), bonus_learning_rate="joint")
    assert joint.bonuses[0].learning_rate is None
    assert joint.bonuses[0].predictor[-1].out_features == 512
    assert jostle.PPO(vector, num_envs=2, bonus=("rnd",), normalise_obs=False).config.normalise_obs is False


@pytest.mark.parametrize("space", [
    spaces.Box(0, 1, (4, 4), np.float32),
    spaces.Box(0, 9, (3,), np.int32),
    spaces.Box(0, 255, (20, 20), np.uint8),
    spaces.Discrete(4),
    spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Box(0, 255, (20, 20), np.uint8)}),
])  # fmt: skip
def test_other_observations_keep_the_policys_optimiser(space: spaces.Space[Any]) -> None:
    agent = made("ppo", lambda: Shown(space))
    assert agent.bonuses[0].learning_rate is None
    assert agent.config.normalise_obs is False


def test_without_a_bonus_nothing_is_normalised() -> None:
    assert jostle.PPO(vector, num_envs=2, num_steps=8).config.normalise_obs is False
    with pytest.raises(ConfigError, match=r"bonus_learning_rate='join' is unknown; did you mean joint"):
        made("ppo", bonus_learning_rate="join")
    with pytest.raises(ConfigError, match=r"bonus_learning_rate=-1\.0 .* greater than 0, or joint"):
        made("ppo", bonus_learning_rate=-1.0)


# ---- a bonus that has vanished ----


@pytest.mark.parametrize("kind", AGENTS)
def test_what_is_left_of_a_bonus_is_logged_and_its_end_told_once(kind: str) -> None:
    agent = made(kind, num_steps=64) if kind == "ppo" else made(kind)
    raw: list[torch.Tensor] = []
    (bonus,) = of(agent)
    update = bonus.update

    def noting(t: Any) -> Any:
        raw.append(bonus.raw(t).detach()[t.valid])
        return update(t)

    bonus.update = noting  # type: ignore[method-assign]
    agent.learn(700, log_every=100)
    total, count, used = 0.0, 0, 0
    while count < 256:
        total, count, used = total + float(raw[used].sum()), count + len(raw[used]), used + 1
    np.testing.assert_allclose(bonus.first.numpy(), [total, count], rtol=1e-5)
    left = agent.metrics["bonus/rnd/left"]
    assert left == pytest.approx(agent.metrics["bonus/rnd/raw_mean"] / (total / count), rel=1e-4)
    assert 0.001 < left < 2
    bonus.first[0] *= 1e4
    with pytest.warns(UserWarning, match=r"the bonus rnd has vanished at step .* of what it was at first") as told:
        agent.learn(agent.steps + 500, log_every=100)
    assert len([w for w in told if "vanished" in str(w.message)]) == 1


def test_of_a_bonus_that_an_older_version_saved_nobody_knows_the_beginning() -> None:
    (bonus,) = of(made("ppo"))
    state = {name: value for name, value in bonus.state_dict().items() if name != "first"}
    bonus.load_state_dict(state)
    x = torch.rand(9, 2, 3)
    bonus.update(jostle.bonus.Transitions(x, x, torch.zeros(9, 2), torch.ones(9, 2) > 0))
    assert "rnd/left" not in bonus.drain_metrics()
    assert bonus.left(torch.ones(())) is None


def test_runs_of_a_version_without_these_defaults_keep_theirs(tmp_path: Path) -> None:
    """Their None meant the policy's optimiser and 512 features, in their checkpoints and in their config.yaml."""
    run = tmp_path / "run"
    former = {"bonus_learning_rate": "joint", "normalise_obs": False, "bonus_features": None}
    made("ppo", **former).learn(32, run_dir=run).env.close()
    younger = ("bonus_slope", "bonus_depth", "bonus_target", "bonus_convolutions", "bonus_codes", "bonus_scale_horizon")
    (newest,) = sorted((run / "checkpoints").iterdir())[-1:]
    state, meta = load_checkpoint(newest)
    config = {k: v for k, v in meta["config"].items() if k not in younger} | {"bonus_learning_rate": None}
    again, _ = rebuild(state, {**meta, "config": config}, env=vector)
    assert (again.config.bonus_learning_rate, again.config.bonus_codes) == ("joint", True)
    assert len(again.learner.optimizers) == 1
    written = yaml.safe_load((run / "config.yaml").read_text())
    written["config"] = {k: v for k, v in written["config"].items() if k not in younger} | {"bonus_learning_rate": None}
    (run / "config.yaml").write_text(yaml.safe_dump(written))
    resumed = jostle.resume(run, steps=32, env=vector)
    assert resumed.config.bonus_learning_rate == "joint"
    assert resumed.bonuses[0].predictor[-1].out_features == 512
