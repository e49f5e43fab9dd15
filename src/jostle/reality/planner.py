"""Model-predictive control by sampling: at each step, the best sequence of actions in a model, and its first action."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, Float64, Int64

from jostle.errors import ConfigError
from jostle.reality.cem import best_of, noise, proposal_of
from jostle.reality.model import Model


class Planner:
    """A policy that plans with a model, for `jostle.evaluate`, `stress_test` and anybody's loop.

    At each step, from the state behind the observation, K sequences of H actions are played in the model, the
    distribution moves to the best of them, `iterations` times (`jostle.reality.cem`), and the first action of the best
    sequence is taken. The next step begins with the plan of this one, shifted. What lies behind the horizon counts
    nothing. Every sequence of every row is a simulation of one batch.

    What it does depends on its observations and `seed` alone: row i of a batch draws by (seed, i, step of its episode).

    >>> import jostle
    >>> from jostle.reality import Planner
    >>> planner = Planner("jostle/CartPole-v1", horizon=20, samples=32, iterations=2)
    >>> jostle.evaluate(planner, 2, env="jostle/CartPole-v1", env_options={"max_episode_steps": 50}).mean
    50.0

    Args:
        env: whose simulator is the model.
        horizon: H, steps that are looked ahead.
        samples: K.
        iterations: of sampling, at each step.
        elites: share of the sequences that the distribution moves to.
        quantities: values of the model's physics, by name: what is identified, say; nominal where they say nothing.
        gamma: discount of rewards within the horizon.
        share: how far the distribution moves to the elites in an iteration.
        correlation: ρ of the samples from step to step.
        seed: of the samples.
        env_options: of the model.

    Attributes:
        observation_space, action_space: of one environment.

    Raises:
        ConfigError: an environment that cannot be planned in, or numbers that cannot be used.
    """

    def __init__(
        self,
        env: str,
        *,
        horizon: int = 30,
        samples: int = 128,
        iterations: int = 3,
        elites: float = 0.1,
        quantities: Mapping[str, float] | None = None,
        gamma: float = 1.0,
        share: float = 0.9,
        correlation: float = 0.7,
        seed: int = 0,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        for name, count, least in (("horizon", horizon, 1), ("samples", samples, 2), ("iterations", iterations, 1)):
            if type(count) is not int or count < least:
                raise ConfigError(f"{name}={count!r} cannot be used: it must be a whole number of at least {least}.")
        for name, value in (("elites", elites), ("share", share)):
            if not 0 < value <= 1:
                raise ConfigError(f"{name}={value!r} cannot be used: it must be above 0 and at most 1.")
        for name, value in (("gamma", gamma), ("correlation", correlation)):
            if not 0 <= value <= 1 or (name == "correlation" and value == 1):
                raise ConfigError(f"{name}={value!r} cannot be used: it must be within 0 and 1.")
        self.env, self.horizon, self.samples, self.iterations = env, horizon, samples, iterations
        self.elites = max(1, round(elites * samples))
        self.gamma, self.share, self.correlation, self.seed = gamma, share, correlation, seed
        self._options, self._quantities = dict(env_options or {}), dict(quantities or {})
        self._model = self._made(1)
        self.observation_space, self.action_space = self._model.observation_space, self._model.action_space
        self._proposal = proposal_of(self.action_space, self._model.id)
        self._double = isinstance(self.action_space, spaces.Box)

    def predict(
        self,
        obs: Float[np.ndarray, "B D"],
        state: tuple[np.ndarray, np.ndarray] | None = None,
        episode_start: Bool[np.ndarray, "B"] | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Actions for a batch of observations, and the plans to begin the next step with.

        Args:
            obs: of B environments.
            state: what the last call gave back; None: every row begins an episode.
            episode_start: rows that do.
        """
        fresh = self._proposal.first(len(obs), self.horizon)
        if state is None:
            plan, tick = fresh, np.zeros(len(obs), np.int64)
        else:
            plan, tick = self._proposal.shifted(state[0]), state[1] + 1
            if episode_start is not None:
                plan, tick = np.where(episode_start[:, None, None], fresh, plan), np.where(episode_start, 0, tick)
        model = self._of_rows(len(obs))
        actions, plan = self.plan(model.states_of(np.asarray(obs)), plan, tick)
        return actions, (plan, tick)

    def plan(
        self, states: Float64[np.ndarray, "B S"], plan: Float64[np.ndarray, "B H W"], tick: Int64[np.ndarray, "B"]
    ) -> tuple[np.ndarray, Float64[np.ndarray, "B H W"]]:
        """The first actions [B, …] of the best sequences from states of the model, and the plans they come from.

        Args:
            plan: the distribution to begin with.
            tick: steps of each row's episode.
        """
        rows, shape = np.arange(len(states)), (self.samples, self.horizon, self._proposal.channels)
        best, highest = None, np.full(len(states), -np.inf)
        for iteration in range(self.iterations):
            z = noise(self.seed, rows, tick, iteration, shape, self.correlation)
            actions = self._proposal.actions(plan, z)
            returns = self.returns(states, actions)
            top = best_of(actions, returns, self.elites)
            better = returns.max(1) > highest
            first = top[:, 0, 0]
            best = first if best is None else np.where(better[:, None] if first.ndim > 1 else better, first, best)
            highest = np.maximum(highest, returns.max(1))
            plan = self._proposal.moved(plan, top, self.share)
        assert best is not None
        return best.astype(self.action_space.dtype), plan

    def returns(self, states: Float64[np.ndarray, "B S"], actions: np.ndarray) -> Float64[np.ndarray, "B K"]:
        """Discounted returns of sequences [B, K, H, …] within the horizon, each until its episode ends."""
        count, samples = actions.shape[:2]
        model = self._of_rows(count, samples)
        flat = actions.reshape(count * samples, *actions.shape[2:])
        model.put(np.repeat(states, samples, axis=0))
        total, alive = np.zeros(len(flat)), np.ones(len(flat), np.bool_)
        for k in range(flat.shape[1]):
            told = model.step(flat[:, k])
            paid = np.where(np.isfinite(told.reward), self.gamma**k * told.reward, -np.inf)  # -inf: it broke down
            total[alive] += paid[alive]
            alive &= ~told.ended
        return total.reshape(count, samples)

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def _of_rows(self, count: int, samples: int | None = None) -> Model:
        """The model, with a row for each sequence of so many environments."""
        needed = count * (self.samples if samples is None else samples)
        if self._model.rows != needed:
            self._model.close()
            self._model = self._made(needed)
        return self._model

    def _made(self, rows: int) -> Model:
        model = Model(self.env, rows, self._options)
        model.set(self._quantities)
        return model
