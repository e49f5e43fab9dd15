"""What PPO cannot use stops it with one sentence, and what is merely odd trains."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jostle
from jostle.bonus import RND
from jostle.errors import ConfigError, EnvError, JostleError

BONUSES = {"bonus": ("rnd", "icm", "e3b"), "normalise_obs": True, "reward_norm": "return_std"}


class Odd(gym.Env[Any, Any]):
    """Random observations; something is wrong from step 20 on."""

    def __init__(
        self,
        observations: Any = None,
        actions: Any = None,
        *,
        reward: float = 1.0,
        factor: float = 1.0,
        length: int = 6,
    ) -> None:
        self.observation_space = observations or spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = actions or spaces.Discrete(2)
        self.late, self.factor, self.length, self.t = reward, np.float32(factor), length, 0
        self.observation_space.seed(0)

    def _observation(self) -> Any:
        seen = self.observation_space.sample()
        return seen * self.factor if self.t >= 20 and self.factor != 1 else seen

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        over = bool(self.length) and self.t % self.length == 0
        return self._observation(), self.late if self.t >= 20 else 1.0, over, False, {}


def make(env: Any = Odd, num_envs: int = 4, **settings: Any) -> jostle.PPO:
    defaults = {"hidden": (8,), "num_steps": 8, "minibatches": 2, "bonus_warmup": 3, "bonus_features": 4}
    return jostle.PPO(env, num_envs=num_envs, **(defaults | settings))


def one_sentence(error: Exception) -> None:
    text = str(error)
    assert "\n" not in text
    assert text.endswith((".", "?")) or "known:" in text or "did you mean" in text, text


@pytest.mark.parametrize("settings", [{}, BONUSES, {"recurrent": "gru", "minibatch_by": "envs"}])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reward": math.nan}, "the reward of environment 0 is not finite"),
        ({"reward": math.inf}, "the reward of environment 0 is not finite"),
        ({"factor": math.nan}, "the observation of environment 0 is not finite"),
        ({"factor": math.inf}, "the observation of environment 0 is not finite"),
    ],
)
def test_numbers_that_are_not_finite(tmp_path: Any, wrong: Any, message: str, settings: Any) -> None:
    agent = make(lambda: Odd(**wrong), **settings)
    with pytest.raises(EnvError, match=message) as caught:
        agent.learn(400, run_dir=tmp_path / "run")
    one_sentence(caught.value)
    assert all(p.isfinite().all() for p in agent.network.parameters())
    assert jostle.load(tmp_path / "run", env=lambda: Odd(**wrong)).steps == agent.steps, "what was learned is saved"


@pytest.mark.parametrize(
    ("num_envs", "settings"),
    [
        (1, BONUSES),
        (1, {"minibatches": 1, "num_steps": 2}),
        (1, {"minibatches": 1, "recurrent": "lstm", "minibatch_by": "envs"} | BONUSES),
        (4, {"num_steps": 1, "bonus": ("rnd", "e3b")}),
        (4, {"num_steps": 1, "recurrent": "gru", "minibatch_by": "slices"}),
        (1, {"num_steps": 1, "minibatches": 1, "normalise_advantage": False} | BONUSES),
        (1, {"minibatches": 64, "normalise_advantage": False}),
        (2, {"microbatch": 1000, "epochs": 1}),
    ],
)
def test_few_environments_and_short_rollouts(num_envs: int, settings: dict[str, Any]) -> None:
    agent = make(num_envs=num_envs, **settings)
    before = [p.clone() for p in agent.network.policy.parameters()]
    agent.learn(24)
    assert agent.steps >= 24
    assert all(np.isfinite(value) for value in agent.metrics.values())
    changed = [not (p == q).all() for p, q in zip(before, agent.network.policy.parameters(), strict=True)]
    assert any(changed), "the policy must learn too"


@pytest.mark.parametrize(
    ("num_envs", "settings", "message"),
    [
        (1, {"num_steps": 1}, "1 transitions in 2 minibatches leave single ones"),
        (1, {"minibatches": 8}, "8 transitions in 8 minibatches leave single ones"),
        (4, {"num_steps": 1, "minibatches": 4, "minibatch_by": "envs"}, "leave single ones"),
        (2, {"minibatches": 3, "minibatch_by": "envs"}, "3 minibatches of whole sequences, and there are 2; lower"),
        (2, {"minibatches": 9, "minibatch_by": "slices", "sequence_length": 2}, "and there are 8; lower"),
        (4, {"recurrent": "gru", "minibatch_by": "rows"}, "minibatch_by='rows' cannot be used: it must be envs or"),
        (4, {"sequence_length": 3}, "a divisor of 8"),
        (4, {"recurrent": "gru", "minibatch_by": "envs", "shared": False}, "set shared=True"),
        (4, {"recurrent": "gru", "minibatch_by": "envs", "recompute": True}, "must be false with recurrence"),
        (4, {"num_steps": 10**10}, "does not fit into memory; lower num_steps or num_envs"),
        (4, {"encoder": "nature"}, "image encoder needs observations of 2 to 4 dimensions"),
        (4, {"env_options": {"frame_stack": 4}}, "needs uint8 images"),
        (4, {"gama": 0.9}, "no setting 'gama'; did you mean gamma"),
        (4, {"bonus": ("rdn",)}, "did you mean rnd"),
        (4, {"bonus": ("rnd", "rnd")}, "without repetition"),
        (4, {"coef_ext": 0.0}, "no reward has a weight"),
        (4, {"minibatch_by": "env"}, "did you mean envs"),
        (4, {"kl_penalty": "adaptve"}, "did you mean adaptive"),
        (4, {"recurrent": "rnn"}, "recurrent='rnn' is unknown"),
        (4, {"hidden": (0,)}, "positive widths"),
        (4, {"clip": -0.1}, "0 or more"),
        (4, {"learning_rate": math.inf}, "a finite number"),
        (4, {"device": "cudaa"}, "not to be had here"),
    ],
)
def test_settings_that_cannot_be_used(num_envs: int, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make(num_envs=num_envs, **settings)
    one_sentence(caught.value)


@pytest.mark.parametrize("settings", [{}, BONUSES])
def test_an_environment_that_never_ends(settings: dict[str, Any]) -> None:
    agent = make(lambda: Odd(length=0), **settings).learn(120)
    assert agent.steps >= 120
    assert agent.episodes == 0
    assert all(np.isfinite(value) for value in agent.metrics.values())


@pytest.mark.parametrize("end", ["truncated", "terminated"])
@pytest.mark.parametrize("length", [1, 5])
def test_observations_that_never_change(constant: Any, end: str, length: int) -> None:
    """No variance to divide by, and targets that are all the same, so that nothing is explained."""
    agent = make(lambda: constant(length, end), **BONUSES).learn(90)
    assert all(np.isfinite(value) for value in agent.metrics.values())


@pytest.mark.parametrize(
    "space", [spaces.Tuple([spaces.Discrete(2)]), spaces.Dict({"a": spaces.Discrete(2)}), spaces.Text(3)]
)
def test_actions_that_nobody_can_take(space: Any) -> None:
    with pytest.raises(EnvError, match="cannot act in: wrap the environment"):
        make(lambda: Odd(actions=space))


def test_integer_boxes_are_choices() -> None:
    agent = make(lambda: Odd(actions=spaces.Box(-1, 2, (2,), np.int32))).learn(60)
    action, _ = agent.predict(np.zeros((5, 2), np.float32))
    assert action.shape == (5, 2)
    assert ((action >= -1) & (action <= 2)).all()


@pytest.mark.parametrize(
    ("space", "num_envs", "message"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), 3, "made for 3 environments"),
        (spaces.Box(-1, 1, (5,), np.float32), 4, "observations of shape"),
        (spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32)}), 4, "the observation is a tensor"),
    ],
)
def test_a_bonus_that_does_not_fit(space: Any, num_envs: int, message: str) -> None:
    agent = make(bonuses=[RND(space, num_envs, features=4)], bonus_warmup=0)
    with pytest.raises(ConfigError, match=message) as caught:
        agent.learn(60)
    one_sentence(caught.value)


@pytest.mark.parametrize("actions", [spaces.Discrete(2), spaces.Box(-1, 1, (2,), np.float32)])
def test_divergence_is_told_and_not_saved(tmp_path: Any, actions: Any) -> None:
    agent = make(lambda: Odd(actions=actions), learning_rate=1e30, max_grad_norm=0.0)
    with pytest.raises(JostleError, match=r"training diverged: .*weights.* are not finite at step \d+; lower"):
        agent.learn(1_000, run_dir=tmp_path / "run")
    good = jostle.load(tmp_path / "run", env=lambda: Odd(actions=actions))
    assert all(p.isfinite().all() for p in good.network.parameters())
    assert good.steps == 0


def test_an_environment_that_was_moved_by_somebody_else_begins_anew() -> None:
    env = jostle.make_env("jostle/DeepSea-v0", 4)
    agent = make(env, recurrent="gru", minibatch_by="envs", num_steps=7)
    agent.advance()
    assert not agent._start.any()
    env.step(np.zeros(4, np.int64))
    agent.advance()
    assert agent.rollout.start[0].all()
    assert agent.rollout.valid[0].all()
    agent.advance()
    assert not agent.rollout.start[0].any(), "only once"


@pytest.mark.parametrize("kind", [jostle.PPO, jostle.DQN])
def test_moved_environments_begin_anew_in_a_restored_agent_too(kind: Any) -> None:
    """The saved observation is not the one that the saved environments go on from."""
    settings: dict[str, Any] = {"num_steps": 7} if kind is jostle.PPO else {"warmup": 4, "batch_size": 4}
    agent, other = (kind("jostle/DeepSea-v0", num_envs=4, hidden=(8,), seed=seed, **settings) for seed in (0, 1))
    agent.learn(28)
    agent.env.step(np.zeros(4, np.int64))
    other.load_state_dict(agent.state_dict())
    other.advance()
    if kind is jostle.PPO:
        assert other.rollout.start[0].all()
        assert other.rollout.valid[0].all()
    else:
        depth = other.replay.obs["obs"][: other.replay.added].reshape(other.replay.added, 4, 10, 10).any(3).argmax(2)
        assert (depth[-1] == 0).all(), "the newest row begins an episode"
        assert not other.replay.valid[other.replay.added - 2].any(), "and no transition leads to it"


def test_the_first_deviation_is_the_one_that_was_asked_for() -> None:
    agent = make(lambda: Odd(actions=spaces.Box(-1, 1, (2,), np.float32)), log_std_init=-2, entropy_coef=0.0)
    assert agent.network.log_std.tolist() == [-2.0, -2.0]
    agent.advance()
    drawn = agent.rollout.action[agent.rollout.valid]
    assert 0.09 < float(drawn.std()) < 0.19, "e to the -2 is 0.135, and means begin near 0"
    for wrong in (-11.0, 3.0):
        with pytest.raises(ConfigError, match=r"log_std_init=.* cannot be used: it must be from -10 to 2\."):
            make(lambda: Odd(actions=spaces.Box(-1, 1, (2,), np.float32)), log_std_init=wrong)
    with pytest.warns(UserWarning, match=r"log_std_init=-1 has no effect: the actions of .* are no continuous ones"):
        make(log_std_init=-1.0)
