"""Episodes of an actor in environments, counted by fixed shares."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from jostle.envs import JostleEnv, random_actions
from jostle.envs.actions import action_check
from jostle.errors import ConfigError, EnvError
from jostle.plain import as_count
from jostle.view.interface import Acts

PATIENCE = 30_000
"""Steps of an episode after which it is counted as it stands: a few more than the 27,000 of a game of Atari."""
MOST_TOGETHER = 64
"""Environments that evaluations and stress tests step together, unless more are asked for."""
TAGS = ("level_seed", "theme")
"""Entries of `info` that say which game an episode was; they are kept beside its return."""

Observe = Callable[[Any, Int[np.ndarray, "N"], Int[np.ndarray, "N"]], Any]
"""What an actor sees of the observations of N environments, given each one's episode and step in it."""


@dataclass(frozen=True)
class Episode:
    """One episode: which environment and which of its episodes, undiscounted return, length in steps.

    Attributes:
        success: as the rule says; None without a rule.
        disagreement: of the draws of noise, averaged over the episode's steps; None where the actor tells none.
        level_seed, theme: the game, where the environment tells it.
        draw: the noise that acted, ``seed:slot`` of the draws; None where no single draw held for the episode.
        cut: it did not end within the patience: return and length are those until then.
    """

    env: int
    index: int
    ret: float
    length: int
    success: bool | None = None
    disagreement: float | None = None
    level_seed: int | None = None
    theme: int | None = None
    draw: str | None = None
    cut: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data without what is None; ``cut`` where it is true."""
        return {k: v for k, v in vars(self).items() if v is not None and (k != "cut" or v)}


@dataclass(frozen=True)
class Success:
    """When an episode is a success: its return compares with a threshold, or an entry of the last `info` is true."""

    rule: Literal[">", ">=", "info"]
    threshold: float = 0.0
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> "Success":
        """From ``return > 0``, ``return >= 195`` or ``info caught``.

        >>> Success.parse("return > 0")
        Success(rule='>', threshold=0.0, key='')

        Raises:
            ConfigError: the text is none of these.
        """
        compared = re.fullmatch(r"return\s*(>=|>)\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)", text.strip())
        if compared:
            return cls(">" if compared[1] == ">" else ">=", float(compared[2]))
        told = re.fullmatch(r"info\s+(\w+)", text.strip())
        if told:
            return cls("info", key=told[1])
        raise ConfigError(
            f"the success rule '{text}' cannot be read: write 'return > 0', 'return >= 195' or 'info KEY'."
        )

    def __str__(self) -> str:
        return f"info {self.key}" if self.rule == "info" else f"return {self.rule} {self.threshold:g}"

    def holds_until(self, ret: float) -> bool:
        """Whether an episode that did not end was one, by its return so far."""
        return self.rule != "info" and self.holds(ret, {}, 0, "")

    def holds(self, ret: float, info: dict[str, Any], row: int, env: str) -> bool:
        """Whether the episode that ended in this row was one."""
        if self.rule != "info":
            return ret > self.threshold if self.rule == ">" else ret >= self.threshold
        if self.key not in info:
            raise ConfigError(f"{env} tells no '{self.key}' where an episode ends: use a rule such as 'return > 0'.")
        told = info[self.key]
        value = told[row] if isinstance(told, np.ndarray) else told
        value = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
        if value is None or (isinstance(value, bool | int | float) and value == value):
            return bool(value)
        raise ConfigError(
            f"{env} tells {value!r} as '{self.key}', which is neither true nor false: use a rule such as 'return > 0'."
        )


def play(
    actor: Acts,
    env: JostleEnv,
    episodes: int,
    *,
    seed: int = 0,
    epsilon: float = 0.0,
    success: Success | None = None,
    observe: Observe | None = None,
    draw: str | None = None,
    notify: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    patience: int = PATIENCE,
) -> list[Episode] | None:
    """Play episodes and return them ordered by (index, environment); None if ``stop`` said so before the last one.

    Every environment plays a fixed share, so short episodes are not favoured. For the same reason nothing is returned
    after a stop: the episodes that are over first are the short ones. Environments that have played their share go on
    with the others, but the actor need not compute their actions.

    Args:
        actor: acts in all environments of ``env`` together.
        env: it is reset with ``seed``.
        episodes: how many.
        seed: of environments and random actions.
        epsilon: probability of a random action.
        success: when an episode is one.
        observe: what the actor sees of an observation; the environment is not touched.
        draw: of the noise that the actor holds for all episodes.
        notify: called with the number of finished episodes.
        stop: asked before every step.
        patience: steps after which an episode is cut: it counts as it stands, is marked so, and a warning says how
            many there were. A row waits for the end of one that was cut; where all do, all are reset.

    Raises:
        ConfigError: the policy gave actions that are not finite, out of their range, or of another shape.
        EnvError: the environment failed.
    """
    check = action_check(env.single_action_space, env.num_envs, str(getattr(actor, "name", "the policy")))
    rng = np.random.default_rng([seed, 6])  # no stream of an environment, which Gymnasium seeds with the number alone
    rows = env.num_envs
    share = np.array([len(part) for part in np.array_split(np.arange(episodes), rows)])
    played = np.zeros(rows, np.int64)
    found: list[Episode] = []
    obs, info = env.reset(seed=seed)
    clock, uncertain = _Clock(rows), _Mean(rows)
    tags = {key: _Tags(rows) for key in TAGS}
    ended, cut, waited = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_), 0

    def keep(i: int, ret: float, length: int, won: bool | None) -> None:
        told = {key: tag.values[i] for key, tag in tags.items()}
        doubt = uncertain.pop(i)
        found.append(Episode(i, int(played[i]), ret, length, won, doubt, **told, draw=draw, cut=bool(cut[i])))
        played[i] += 1

    while len(found) < episodes:
        if stop():
            return None
        clock.tick(info["start"])
        if info["start"].any():
            for key, tag in tags.items():
                tag.read(info["start"], info.get(key), info.get(f"_{key}", True))
        seen = obs if observe is None else observe(obs, clock.episode, clock.step)
        mask = info.get("action_mask")
        legal = () if mask is None else (mask,)  # actors of other people's need not know of masks
        action = actor.act(seen, info["start"], np.flatnonzero(played < share), *legal)
        try:
            action = check(action)
        except EnvError as error:
            raise ConfigError(
                f"{error} That was at step {clock.ticks} in {env.id}: mend the policy, or clip its actions."
            ) from error
        uncertain.add(actor.disagreement, ~ended)  # the action of a row that has ended is ignored
        if epsilon > 0:
            random = rng.random(rows) < epsilon
            action[random] = random_actions(env.single_action_space, rows, rng, mask)[random]
        obs, _, terminated, truncated, info = env.step(action)
        ended = terminated | truncated
        waited += 1
        if "_episode" in info:
            for i in np.flatnonzero(info["_episode"]).tolist():
                if played[i] < share[i] and not cut[i]:
                    ret = float(info["episode"]["r"][i])
                    won = None if success is None else success.holds(ret, info, i, env.id)
                    keep(i, ret, int(info["episode"]["l"][i]), won)
                cut[i] = False
                uncertain.pop(i)
            notify(len(found))
        if waited < patience:
            continue
        returns, lengths = env.running()
        for i in np.flatnonzero((lengths >= patience) & (played < share) & ~cut).tolist():
            cut[i], ret = True, float(returns[i])
            keep(i, ret, int(lengths[i]), None if success is None else success.holds_until(ret))
            notify(len(found))
        if len(found) < episodes and not np.any((played < share) & ~cut):
            obs, info = env.reset()
            ended, cut, waited = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_), 0
            uncertain = _Mean(rows)
    _warn_of_cuts(found, env.id, patience)
    return sorted(found, key=lambda e: (e.index, e.env))


def _warn_of_cuts(found: list[Episode], env: str, patience: int) -> None:
    cut = sum(e.cut for e in found)
    if cut:
        warnings.warn(
            f"{env}: {cut} of {len(found)} episodes did not end within {patience:,} steps and count as they stood "
            "then; give the environment a time limit (max_episode_steps), or evaluate with more max_steps.",
            stacklevel=3,
        )


def require_seed(seed: object) -> None:
    """Raises: ConfigError where environments, draws and perturbations cannot all be seeded with it."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= int(seed) < 2**32:
        raise ConfigError(f"seed={seed!r} cannot be used: it must be a whole number from 0 to {2**32 - 1}.")


def at_least_one(name: str, value: object) -> int:
    """Raises: ConfigError where the value is no whole number of at least 1."""
    number = as_count(value)
    if type(number) is not int or number < 1:
        raise ConfigError(f"{name}={value} cannot be used: it must be a whole number of at least 1.")
    return number


class _Clock:
    """Which episode each environment is in, and at which step of it."""

    def __init__(self, rows: int) -> None:
        self.episode, self.step = np.full(rows, -1, np.int64), np.zeros(rows, np.int64)
        self.ticks = 0

    def tick(self, start: Bool[np.ndarray, "N"]) -> None:
        self.ticks += 1
        self.episode = self.episode + start
        self.step = np.where(start, 0, self.step + 1)


class _Mean:
    """A running mean per environment."""

    def __init__(self, rows: int) -> None:
        self.total, self.count = np.zeros(rows), np.zeros(rows, np.int64)

    def add(self, values: Any, where: Bool[np.ndarray, "N"]) -> None:
        if values is not None:
            self.total += np.where(where, np.asarray(values, np.float64), 0.0)
            self.count += where

    def pop(self, row: int) -> float | None:
        mean = float(self.total[row] / self.count[row]) if self.count[row] else None
        self.total[row], self.count[row] = 0.0, 0
        return mean


class _Tags:
    """What `info` told of each environment's game where its episode began; None where that was no whole number."""

    def __init__(self, rows: int) -> None:
        self.values: list[int | None] = [None] * rows

    def read(self, start: Bool[np.ndarray, "N"], told: Any, by: Any) -> None:
        each = isinstance(told, np.ndarray) and told.ndim == 1
        for i in np.flatnonzero(start).tolist():
            self.values[i] = _whole(told[i]) if each and (by is True or by[i]) else None


def _whole(value: Any) -> int | None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return int(value) if number and float(value).is_integer() else None
