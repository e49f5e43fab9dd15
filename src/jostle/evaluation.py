"""Evaluation: episodes in environments of its own, under a stated inference mode, with an interval. It never trains."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jostle.envs import JostleEnv, make_env
from jostle.envs.domain import SpaceLike, asked
from jostle.envs.make import capped
from jostle.envs.sources import EnvSource, rows_of
from jostle.errors import ConfigError, closest
from jostle.nn.inference import Inference
from jostle.scores.intervals import RESAMPLES, interval
from jostle.view import Episode, as_view, play, require_fit, source_of
from jostle.view.playing import MOST_TOGETHER, PATIENCE, at_least_one, require_seed


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. ``noise`` and ``actions`` (greedy, sampled) belong beside every number quoted."""

    env: str
    noise: str
    actions: str
    epsilon: float
    seed: int
    episodes: list[Episode]
    domain: str | None = None
    """What was randomised: nothing ("nominal"), the training's ("train"), a file's ("FILE"); None: nothing could be."""

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
        """95% interval of the mean return over these episodes, as a stress test gives it (percentile bootstrap).

        NaN of one episode. It says nothing about other training seeds, nor about what episodes that were cut would
        still have brought.
        """
        found = interval(self.returns, "mean", confidence=0.95, resamples=RESAMPLES)
        return found.low, found.high

    @property
    def cut(self) -> int:
        """How many episodes did not end within ``max_steps``: their returns, which are those until then, count too."""
        return sum(e.cut for e in self.episodes)

    @property
    def disagreement(self) -> float | None:
        """How far the draws of ``mc`` disagreed, averaged over episodes; None in other modes."""
        told = [e.disagreement for e in self.episodes if e.disagreement is not None]
        return float(np.mean(told)) if told else None

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
            "episodes": [e.as_dict() for e in self.episodes],
        } | self._sometimes()

    def _sometimes(self) -> dict[str, Any]:
        doubt = {} if self.disagreement is None else {"disagreement": self.disagreement}
        world = {} if self.domain is None else {"domain": self.domain}
        return world | doubt | ({"cut": self.cut} if self.cut else {})


def evaluate(
    policy: Any,
    episodes: int = 10,
    *,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    epsilon: float = 0.0,
    num_envs: int | None = None,
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: dict[str, Any] | None = None,
    domain: SpaceLike | None = None,
    max_steps: int = PATIENCE,
    notify: Callable[[int], None] = lambda _: None,
) -> Evaluation:
    """Play episodes in environments and with draws of noise of their own; the policy is not changed.

    Every environment plays a fixed share of the episodes, so short episodes are not favoured.

    Args:
        policy: an agent, or whatever `jostle.as_view` takes or gives.
        episodes: how many to play.
        noise: ``mean``, ``fixed`` (one draw for all), ``sampled`` (fresh draw per action and environment) or ``mc:M``
            (outputs averaged over M draws).
        actions: ``greedy``, the likeliest or best ones, or ``sampled`` from a policy.
        epsilon: probability of a random action.
        num_envs: environments stepped together; None: as many as episodes, 64 at most, as in a stress
            test, which plays the same episodes with the same seed.
        seed: seed of environments, draws and random actions; not the training's.
        env: another environment than the policy's own; its spaces must be the same. One that is made already is reset
            with ``seed``.
        env_options: options of the environment; None: the policy's own.
        domain: what is randomised: None nothing, whatever the training did; "train" the whole domain of the training;
            or another one, a `jostle.domain.Space`, a YAML file or its data.
        max_steps: of one episode. One that has not ended by then counts as it stands: it is marked as ``cut``, and a
            warning says how many there were.
        notify: called with the number of finished episodes.

    Raises:
        ConfigError: no episodes, a seed that cannot be used, an unknown noise mode, an environment with other spaces.
        EnvError: the environment failed.
    """
    episodes, max_steps = at_least_one("episodes", episodes), at_least_one("max_steps", max_steps)
    num_envs = None if num_envs is None else at_least_one("num_envs", num_envs)
    if not isinstance(epsilon, Real) or not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon={epsilon} cannot be used: it must be within 0 and 1.")
    if actions not in ("greedy", "sampled"):
        raise ConfigError(f"actions='{actions}' are unknown; {closest(str(actions), ['greedy', 'sampled'])}")
    require_seed(seed)
    seed, epsilon = int(seed), float(epsilon)
    inference, view = Inference.parse(noise), as_view(policy)
    if isinstance(env, JostleEnv):
        if domain is not None:
            raise ConfigError(f"domain={domain!r} comes too late: {env.id} is made already; give it to make_env.")
        vector = env
    else:
        source = source_of(view, env)
        count = rows_of(source, min(episodes, MOST_TOGETHER)) if num_envs is None else num_envs
        options = view.env_options if env_options is None else env_options
        options = dict(options) if domain is None else asked(options, domain)
        vector = make_env(source, count, seed=seed, **capped(options, count))
    try:
        require_fit(view, vector)
        actor = view.actor(inference, rows=vector.num_envs, seed=seed, sample=actions == "sampled")
        found = play(actor, vector, episodes, seed=seed, epsilon=epsilon, notify=notify, patience=max_steps)
    finally:
        if vector is not env:
            vector.close()
    assert found is not None
    return Evaluation(vector.id, str(inference), actions, epsilon, seed, found, _world(vector, domain))


def _world(vector: JostleEnv, domain: SpaceLike | None) -> str | None:
    """What an evaluation says of the world that was played in."""
    if domain is not None:
        return str(domain) if isinstance(domain, str | Path) else "given"
    if vector.domain is not None and len(vector.domain.names):
        return "given"
    return "nominal" if "domain_seen" in vector.made_with else None
