"""Evaluations within a training, in environments and with seeds of their own: the training is the same without them."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
import torch

from jostle.algo.schedule import Schedule
from jostle.domain import Space
from jostle.envs import JostleEnv
from jostle.envs.domain import DOMAIN_OPTIONS, asked, off
from jostle.envs.later import made
from jostle.envs.sources import rows_of
from jostle.errors import ConfigError
from jostle.nn.inference import Inference

Env: TypeAlias = str | JostleEnv | Callable[[], gym.Env[Any, Any]]
TOGETHER = 16
"""Environments of an evaluation, at most; in all versions the same, so that a resumed run goes on with its episodes."""
METRICS = ("eval/return_mean", "eval/return_low", "eval/return_high", "eval/length")
"""What an evaluation logs: mean return, its 95% interval (of two episodes and more), mean length of an episode."""


def name_of_eval(env: Env | None) -> str | None:
    """What config.yaml says of the environment of evaluations; a function's or an object's name in ``<…>``."""
    if env is None or isinstance(env, str):
        return env
    if isinstance(env, JostleEnv):
        return f"<{env.id}>"
    return f"<{getattr(env, '__qualname__', type(env).__name__).replace('<', '').replace('>', '')}>"


class Evaluations:
    """Evaluates an agent as a schedule says. Every evaluation plays the same episodes, so that they can be compared.

    Args:
        schedule: the training's.
        env: where to play if not where the schedule says.

    Raises:
        ConfigError: an unknown inference mode, options for an environment that is made already, or the schedule's
            environment is one that no folder holds and it is not given.
    """

    def __init__(self, schedule: Schedule, env: Env | None = None) -> None:
        self.schedule = schedule
        self._env = schedule.eval_env if env is None else env
        if not schedule.eval_every:
            return
        Inference.parse(schedule.eval_noise)
        if isinstance(self._env, str) and self._env.startswith("<"):
            raise ConfigError(
                f"the training is evaluated in {self._env[1:-1]}, which no folder holds: give eval_env=…, or end "
                "its evaluations by eval_every=0."
            )
        if isinstance(self._env, JostleEnv) and schedule.eval_env_options is not None:
            raise ConfigError(f"eval_env_options come too late: {self._env.id} is made already.")
        if isinstance(self._env, JostleEnv) and schedule.eval_domain is not None:
            raise ConfigError(f"eval_domain comes too late: {self._env.id} is made already; give it to make_env.")

    def check(self, agent: Any) -> None:
        """Before anything is trained.

        Raises:
            ConfigError: evaluations shall play in a domain that the training has not, or that its environment cannot.
        """
        domain = self.schedule.eval_domain
        if not self.schedule.eval_every or domain is None:
            return
        if domain == "train":
            asked(off(agent.env_options), "train")
        elif self._env is None:
            env = made(agent.env)
            if env.world is None:
                raise ConfigError(f"eval_domain randomises {env.id}, which offers nothing that a domain could vary.")
            Space.load(domain).bind(env.world.quantities, env.id)

    def __call__(self, agent: Any) -> dict[str, float]:
        """Play, and give what is logged."""
        from jostle.evaluation import evaluate  # here, for it takes a third of a second that most runs need not pay

        s, options = self.schedule, self.schedule.eval_env_options
        if options is not None or self._env is not None:  # what is told of the domain is told there too
            told = {name: value for name, value in off(agent.env_options).items() if name in DOMAIN_OPTIONS}
            options = told | (options or {})
        with _generators_untouched():
            found = evaluate(
                agent, s.eval_episodes, noise=s.eval_noise, env=self._env, env_options=options,
                domain=s.eval_domain, num_envs=rows_of(self._env, min(s.eval_episodes, TOGETHER)),
            )  # fmt: skip
        low, high = found.interval
        length = sum(e.length for e in found.episodes) / len(found.episodes)
        values = dict(zip(METRICS, (found.mean, low, high, length), strict=True))
        return {name: value for name, value in values.items() if math.isfinite(value)}


@contextlib.contextmanager
def _generators_untouched() -> Iterator[None]:
    """The global generators afterwards as they were: environments may draw from them."""
    python, numpy, torchs = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.random.set_rng_state(torchs)
