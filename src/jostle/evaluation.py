"""Evaluation: episodes in environments of its own, under a stated inference mode, with an interval. It never trains."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from scipy import stats

from jostle.algo.agent import Agent
from jostle.envs import JostleEnv, make_env, random_actions
from jostle.errors import ConfigError, EnvError, closest
from jostle.nn.inference import Actor, Inference

PATIENCE = 500_000
"""Steps without the end of an episode still wanted, after which an evaluation gives up."""


@dataclass(frozen=True)
class Episode:
    """One evaluated episode: which environment and which of its episodes, undiscounted return, length in steps."""

    env: int
    index: int
    ret: float
    length: int


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. ``noise`` and ``actions`` (greedy, sampled) belong beside every number quoted."""

    env: str
    noise: str
    actions: str
    epsilon: float
    seed: int
    episodes: list[Episode]

    @property
    def returns(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Undiscounted returns, one per episode."""
        return np.array([e.ret for e in self.episodes])

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean return over these episodes (BCa bootstrap; the mean itself where all are equal).

        It says nothing about other training seeds.
        """
        returns = self.returns
        if len(returns) < 2 or np.ptp(returns) == 0:
            return (self.mean, self.mean) if len(returns) > 1 else (float("nan"), float("nan"))
        found = stats.bootstrap((returns,), np.mean, n_resamples=5_000, rng=np.random.default_rng(0))
        return float(found.confidence_interval.low), float(found.confidence_interval.high)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the table of episodes included."""
        low, high = self.interval
        summary = {"mean": self.mean, "interval95": [low, high], "std": float(self.returns.std())}
        return {
            "env": self.env,
            "noise": self.noise,
            "actions": self.actions,
            "epsilon": self.epsilon,
            "seed": self.seed,
            **summary,
            "episodes": [dataclasses.asdict(e) for e in self.episodes],
        }


def evaluate(
    agent: Agent,
    episodes: int = 10,
    *,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    epsilon: float = 0.0,
    num_envs: int | None = None,
    seed: int = 10_000,
    env: str | JostleEnv | Callable[[], gym.Env[Any, Any]] | None = None,
    env_options: dict[str, Any] | None = None,
    notify: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Play episodes in environments and with draws of noise of their own; the agent is not changed.

    Every environment plays a fixed share of the episodes, so short episodes are not favoured.

    Args:
        agent: the agent.
        episodes: how many to play.
        noise: ``mean``, ``sampled`` (fresh draw per action and environment) or ``mc:M`` (values averaged over M draws).
        actions: ``greedy``, the likeliest or best ones, or ``sampled`` from a policy.
        epsilon: probability of a random action.
        num_envs: environments stepped together; None: as many as episodes, 16 at most.
        seed: seed of environments, draws and random actions; not the training's.
        env: another environment than the agent's; its spaces must be the same. One that is made already is reset with
            ``seed``.
        env_options: options of the environment; None: the agent's own.
        notify: called with the number of finished episodes.

    Raises:
        ConfigError: no episodes, an unknown noise mode, an environment with other spaces.
        EnvError: the environment failed, or its episodes never end.
    """
    if episodes < 1:
        raise ConfigError(f"episodes={episodes} cannot be used: it must be at least 1.")
    if not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon={epsilon} cannot be used: it must be within 0 and 1.")
    if actions not in ("greedy", "sampled"):
        raise ConfigError(f"actions='{actions}' are unknown; {closest(str(actions), ['greedy', 'sampled'])}")
    inference = Inference.parse(noise)
    if isinstance(env, JostleEnv):
        vector = env
    else:
        options = agent.env_options if env_options is None else env_options
        count = min(episodes, 16) if num_envs is None else num_envs
        vector = make_env(agent.env_source if env is None else env, count, seed=seed, **options)
    try:
        ours, theirs = agent.env.single_observation_space, vector.single_observation_space
        if ours != theirs or agent.env.single_action_space != vector.single_action_space:
            raise ConfigError(f"{vector.id} has other spaces than {agent.env.id}, which the agent was trained in.")
        actor = agent.actor(inference, rows=vector.num_envs, seed=seed, sample=actions == "sampled")
        found = _play(actor, vector, episodes, epsilon, seed, notify)
    finally:
        if vector is not env:
            vector.close()
    return Evaluation(vector.id, str(inference), actions, epsilon, seed, found)


def _play(
    actor: Actor,
    env: JostleEnv,
    episodes: int,
    epsilon: float,
    seed: int,
    notify: Callable[[int], None],
) -> list[Episode]:
    rng = np.random.default_rng(seed)
    share = np.array([len(part) for part in np.array_split(np.arange(episodes), env.num_envs)])
    played = np.zeros(env.num_envs, np.int64)
    found: list[Episode] = []
    obs, info = env.reset(seed=seed)
    waited = 0
    while len(found) < episodes:
        action = actor.act(obs, info["start"])
        if epsilon > 0:
            random = rng.random(env.num_envs) < epsilon
            action[random] = random_actions(env.single_action_space, env.num_envs, rng)[random]
        obs, _, _, _, info = env.step(action)
        waited += 1
        if waited > PATIENCE:
            raise EnvError(
                f"{env.id}: no episode ended within {PATIENCE:,} steps of every environment; give it a time limit "
                "(max_episode_steps)."
            )
        if "_episode" not in info:
            continue
        for i in np.flatnonzero(info["_episode"]):
            if played[i] < share[i]:
                episode = info["episode"]
                found.append(Episode(int(i), int(played[i]), float(episode["r"][i]), int(episode["l"][i])))
                played[i] += 1
                waited = 0
        notify(len(found))
    return sorted(found, key=lambda e: (e.index, e.env))
