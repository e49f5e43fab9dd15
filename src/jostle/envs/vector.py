"""The one contract for environments: `JostleEnv`, a vector environment in NEXT_STEP mode with masks and statistics.

An engine (`Engine`) runs the environments; `JostleEnv` checks what goes in and what comes out, says which transitions
are real, and counts episodes. Every engine gives the same thing to the algorithms.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float32

from jostle.envs.actions import action_check
from jostle.envs.domain.driver import DomainDriver
from jostle.envs.frames import FrameStack
from jostle.envs.masks import KEY, MaskReader
from jostle.envs.names import ATTRIBUTE, Names, names_in
from jostle.envs.observations import Obs, float_keys, range_checks
from jostle.envs.past import Past
from jostle.envs.world import World, world_of
from jostle.errors import CheckpointError, ConfigError, EnvError
from jostle.nn.privileged import HISTORY, PRIVILEGED, is_privileged

Flags = Bool[np.ndarray, "N"]
Seed = int | Sequence[int] | None
"""One seed, of which environment i has ``seed + i``; a seed for each environment; or none."""
Step = tuple[Obs, Float32[np.ndarray, "N"], Flags, Flags, dict[str, Any]]


class Engine(Protocol):
    """What runs the environments. All arrays that `reset` and `step` return are new ones, never written to again.

    `step` returns observations of the stated space, reward float32 [N], terminated and truncated bool [N], and infos.
    It runs in NEXT_STEP mode: a row that ended is reset by the step after, whatever its action.
    """

    name: str
    single_observation_space: spaces.Space[Any]
    single_action_space: spaces.Space[Any]
    frame_stack: int
    stack_padding: Literal["repeat", "zero"]
    frame_skip: int
    can_snapshot: bool
    counts_games: bool
    """Whether infos carry "reward" (unclipped) and "terminated" (true game over), by which episodes are counted."""

    def reset(self, seed: Seed, options: dict[str, Any] | None) -> tuple[Obs, dict[str, Any]]: ...
    def step(self, actions: np.ndarray) -> Step: ...
    def render(self) -> np.ndarray: ...
    def close(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class JostleEnv(VectorEnv[Obs, np.ndarray, np.ndarray]):
    """N environments that are stepped together. Made by `make_env`.

    Each step t is one transition per row, and the step after an ending is none: its action is ignored, its reward is 0
    and its observation is the first one of the next episode (Gymnasium's NEXT_STEP mode).

    ``info`` always holds
        - ``valid``: bool [N], whether the transition just made is a real one (after `reset`: all true);
        - ``start``: bool [N], whether the observation just returned is the first of an episode (after `reset`: all
          true);
    and, where a game ended in some row,
        - ``episode``: ``r`` float64 [N] (undiscounted raw return), ``l`` int64 [N] (real transitions) and ``t``
          float64 [N] (seconds), zero in other rows;
        - ``_episode``: bool [N], the rows where a game ended;
    where environments tell which actions are legal (`masked`),
        - ``action_mask``: bool [N, P], the legal actions behind the observation just returned; in rows that tell none
          all are. P is A for Discrete, Σ nvec for MultiDiscrete and 2 D for MultiBinary actions;
    with a domain,
        - ``domain``: float64 [N, parameters], the values of its parameters under which the transition was made and the
          observation just returned was seen (`DomainDriver.names` says which);
        - ``domain_log_density``: float64 [N], of each episode's draw when it was drawn;
    where a simulation broke down,
        - ``diverged``: bool [N], the rows where it did; they are truncated, and `diverged` counts them;
    and whatever the engine adds. What an environment tells under the other names is dropped.

    Args:
        engine: runs the environments.
        env_id: the environment's name, for messages and records.
        num_envs: N.
        seed: given to the engine by the first `reset`.
        frame_stack: k ≥ 1 to stack frames here; 0 to leave the observations as the engine gives them.
        options: what the environments were made with, for records.
        source: what `make_env` was given: an id, or a function that makes one environment.
        made_with: the further arguments of `make_env`, to make more of the same kind.
        domain: draws the environments' quantities.
        history: k > 0 to tell the last k observations and actions as the observation "domain_history".

    Attributes:
        domain: what draws the environments' quantities; None: nothing.
        moves: resets, steps and loaded states so far. Who goes on from an observation of his can tell by it whether
            somebody else has moved the environments since.
        masked: an environment has told which actions are legal.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": ["rgb_array"]}  # noqa: RUF012  # as in Gymnasium

    def __init__(
        self,
        engine: Engine,
        env_id: str,
        num_envs: int,
        seed: int,
        *,
        frame_stack: int = 0,
        render_mode: str | None = None,
        options: dict[str, Any] | None = None,
        source: Any = None,
        made_with: dict[str, Any] | None = None,
        domain: DomainDriver | None = None,
        history: int = 0,
    ) -> None:
        self._engine, self.domain = engine, domain
        self.id, self.engine, self.num_envs, self.seed = env_id, engine.name, num_envs, seed
        self.options = options or {}
        self.source = env_id if source is None else source
        self.made_with = dict(options or {}) if made_with is None else made_with
        self.moves = 0
        self.render_mode = render_mode
        self.frame_stack, self.stack_padding = engine.frame_stack, engine.stack_padding
        self.frame_skip, self.can_snapshot = engine.frame_skip, engine.can_snapshot
        self.single_observation_space = engine.single_observation_space
        self.single_action_space = engine.single_action_space
        self._frames: FrameStack | None = None
        if frame_stack > 0:
            self._frames = FrameStack(engine.single_observation_space, num_envs, frame_stack, env_id)
            self.frame_stack, self.stack_padding = frame_stack, "repeat"
            self.single_observation_space = self._frames.space
        self._past: Past | None = None
        if history > 0:
            inner, actions = engine.single_observation_space, engine.single_action_space
            self._past = Past(inner, actions, num_envs, history, env_id)
            self.single_observation_space = _beside(self.single_observation_space, HISTORY, self._past.space, env_id)
        told = None if domain is None else domain.privileged_space
        self._told = told is not None
        if told is not None:
            self.single_observation_space = _beside(self.single_observation_space, PRIVILEGED, told, env_id)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._check_actions = action_check(self.single_action_space, num_envs, env_id)
        self._masks = MaskReader(self.single_action_space, num_envs, env_id)
        self.masked = False
        # The diagnostics are ours and compute nothing that could overflow: their tests vouch for them. The MuJoCo
        # engine looks by itself, to end what broke down.
        self._foreign = engine.name not in ("jostle", "mujoco")
        self._float_keys = float_keys(engine.single_observation_space) if self._foreign else []
        self._ranges = range_checks(engine.single_observation_space, engine.name) if self._foreign else []
        self._finite: dict[tuple[int, ...], np.ndarray] = {}
        self._all = np.ones(num_envs, np.bool_)
        self._all.flags.writeable = False
        self._ended: np.ndarray | None = None
        """bool [N], the rows that the next step resets; None before the first reset and after `close`."""
        self._any_ended = False
        self._seeded = False
        self._clear_statistics()

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Start all episodes anew.

        Args:
            seed: a new seed: environment i is seeded with ``seed + i``; or a seed for each (not on EnvPool, nor with a
                domain, whose draws need one). None: the seed given to `make_env` at the first reset, the running random
                state later. On EnvPool a new seed builds the pool anew.
            options: handed to the environments (Gymnasium only).
        """
        if self.closed:
            raise EnvError(f"{self.id} is closed: make a new one.")
        if seed is None and not self._seeded:
            seed = self.seed
        if seed is not None and not isinstance(seed, int | np.integer):
            seed = self._seed_of_each(seed)
        self.moves += 1
        if self.domain is not None:
            self.domain.reset(seed if seed is None or isinstance(seed, int | np.integer) else seed[0])
        obs, info = self._engine.reset(seed, options)
        self._seeded = True
        self._check_observation(obs, "reset")
        if self.masked or KEY in info:
            info = self._with_masks(info, ~self._all)
        self._clear_statistics()
        self._ended, self._any_ended = ~self._all, False
        if self._past is not None:
            self._past.begin(obs)
        if self._frames is not None:
            assert isinstance(obs, np.ndarray)
            obs = self._frames.push(obs, self._all)
        info.pop("episode", None)
        info.pop("_episode", None)
        info["valid"] = info["start"] = self._all
        if self.domain is not None:
            info |= self.domain.info()
        return self._with_told(obs), info

    def step(self, actions: np.ndarray) -> Step:
        """Make one transition in every environment.

        Returns:
            Observations, reward float32 [N], terminated bool [N], truncated bool [N], and the infos described above.

        Raises:
            EnvError: wrong actions, a reward or observation that is not finite, an environment that failed, or no
                `reset` before.
        """
        start = self._ended
        if start is None:
            raise EnvError(
                f"{self.id} is closed, was never reset, or failed in its last step: call reset() before step()."
            )
        actions = self._check_actions(actions)
        self.moves += 1
        self._ended = None  # until the step is whole: after an error below, only a reset can follow
        if self.domain is not None:
            self._prepare_domain(self.domain, start)
        obs, reward, terminated, truncated, info = self._engine.step(actions)
        self._check_observation(obs, "step")
        if self._foreign:
            self._require_finite(reward, "reward")
        info.pop("episode", None)
        info.pop("_episode", None)
        raw = info["reward"] if self._engine.counts_games else reward
        if self._any_ended:
            valid = ~start
            np.multiply(reward, valid, out=reward)
            np.logical_and(terminated, valid, out=terminated)
            np.logical_and(truncated, valid, out=truncated)
            if raw is not reward:
                raw = raw * valid
            np.add(self._lengths, valid, out=self._lengths)
        else:
            valid = self._all
            np.add(self._lengths, 1, out=self._lengths)
        np.add(self._returns, raw, out=self._returns)
        ended = terminated | truncated
        game_over = self._game_over(info, start, valid, truncated) if self._engine.counts_games else ended
        if self.masked or KEY in info:
            info = self._with_masks(info, ended)
        if self.domain is not None and np.count_nonzero(game_over):
            self.domain.finish(game_over, self._returns, self._lengths, info)
        self._ended, self._any_ended = ended, bool(np.count_nonzero(ended))
        if self._any_ended if game_over is ended else np.count_nonzero(game_over):
            info["episode"], info["_episode"] = self._pop_statistics(game_over), game_over
        if self._past is not None:
            self._past.push(obs, actions, start)
        if self._frames is not None:
            assert isinstance(obs, np.ndarray)
            obs = self._frames.push(obs, start)
        info["valid"], info["start"] = valid, start
        if self.domain is not None:
            info |= self.domain.info()
        obs = self._with_told(obs)
        return obs, reward, terminated, truncated, info

    def render(self) -> np.ndarray:  # type: ignore[override]  # Gymnasium says a tuple of frames; this is their stack
        """The picture of every environment, uint8 [N, H, W, 3]. Needs ``render_mode="rgb_array"``."""
        if self.render_mode != "rgb_array":
            raise EnvError(f'{self.id} was made without pictures: make_env("{self.id}", render_mode="rgb_array").')
        try:
            return self._engine.render()
        except NotImplementedError as error:
            raise EnvError(
                f"{self.id} on {self.engine} draws no pictures: make it without render_mode, or on another engine."
            ) from error

    @property
    def diverged(self) -> int:
        """How many simulations have broken down so far."""
        return int(getattr(self._engine, "diverged", 0))

    def object_masks(self) -> dict[str, Bool[np.ndarray, "N H W"]] | None:
        """Which pixels of the observations just returned show which object; None where the environment tells none."""
        told = getattr(self._engine, "object_masks", None)
        masks: dict[str, np.ndarray] | None = None if told is None else told()
        return masks

    @property
    def observation_names(self) -> Names:
        """A name for each number of an observation, by the observation's parts ("" where it has none), where somebody
        tells: see `jostle.envs.names`. Parts without names are left out.
        """
        told = getattr(self._engine, ATTRIBUTE, None)
        found = {} if self._frames is not None else names_in(told, self._engine.single_observation_space, self.id)
        if not self._told:
            return found
        assert self.domain is not None
        plain = not isinstance(self._engine.single_observation_space, spaces.Dict)
        rest = {"obs" if plain else part: names for part, names in found.items()}
        return {**rest, PRIVILEGED: self.domain.told}

    @property
    def counts_games(self) -> bool:
        """Whether infos carry "reward" (unclipped) and "terminated" (true game over), by which episodes are counted."""
        return bool(self._engine.counts_games)

    def close_extras(self, **kwargs: Any) -> None:
        """End the engine and its processes."""
        self._ended = None
        self._engine.close()

    @property
    def world(self) -> World | None:
        """What offers the environments' quantities; None: they offer none."""
        return world_of(self._engine)

    def running(self) -> tuple[np.ndarray, np.ndarray]:
        """Undiscounted raw return float64 [N] and length int64 [N] of the running episodes, zero where one ended."""
        return self._returns.copy(), self._lengths.copy()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step reads, as nested dicts of arrays and numbers.

        Raises:
            EnvError: the engine cannot be snapshotted (`can_snapshot` is false), or there was no reset yet.
        """
        self._require_snapshots()
        if self._ended is None:
            raise EnvError(f"{self.id} was never reset: there is no state to save before reset().")
        state = {
            "ended": self._ended.copy(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "seconds": time.perf_counter() - self._since,
            "engine": self._engine.state_dict(),
        }
        if self.masked:
            state["masked"] = True
        if self.domain is not None:
            state["domain"] = self.domain.state_dict()
        if self._past is not None:
            state["past"] = self._past.state_dict()
        if self._frames is not None:
            state["frames"] = self._frames.stack.copy()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state of `state_dict`, of an environment made with the same arguments."""
        self._require_snapshots()
        ended = np.array(state["ended"], np.bool_)
        if ended.shape != (self.num_envs,):
            raise CheckpointError(
                f"The saved state holds {ended.size} environments of {self.id}, and this one {self.num_envs}: make it "
                f"with num_envs={ended.size}."
            )
        if (self.domain is None) != ("domain" not in state):
            raise CheckpointError(f"The saved state of {self.id} is of another domain: make it with the same one.")
        if (self._past is None) != ("past" not in state):
            raise CheckpointError(
                f"The saved state of {self.id} has another domain_history: make it with the same one."
            )
        self.moves += 1
        if self.domain is not None:
            self.domain.load_state_dict(state["domain"])
        self._engine.load_state_dict(state["engine"])
        if self._past is not None:
            self._past.load_state_dict(state["past"])
        self._ended, self._any_ended, self._seeded = ended, bool(ended.any()), True
        self.masked = bool(state.get("masked", False))
        self._returns = np.array(state["returns"], np.float64)
        self._lengths = np.array(state["lengths"], np.int64)
        self._since = time.perf_counter() - np.array(state["seconds"], np.float64)
        if self._frames is not None:
            self._frames.stack = np.array(state["frames"], np.uint8)

    def _seed_of_each(self, seeds: Sequence[int]) -> list[int]:
        found = [int(seed) for seed in seeds]
        if len(found) != self.num_envs:
            raise ConfigError(
                f"{self.id} was given {len(found)} seeds for {self.num_envs} environments: give each its own."
            )
        if self.domain is not None and len(self.domain.bound):
            raise ConfigError(f"{self.id} draws a domain by one seed: reset it with one, or make it without a domain.")
        return found

    def _prepare_domain(self, domain: DomainDriver, start: Flags) -> None:
        """Before a step: draws for the rows that it starts anew, and for what varies within episodes."""
        if self._any_ended:
            domain.begin(start)
        if domain.varies_within:
            domain.vary(self._lengths, start)
        domain.heard()

    def _with_told(self, obs: Obs) -> Obs:
        """The observations with what is told of the past, and of the domain's draws."""
        if not self._told and self._past is None:
            return obs
        told = dict(obs) if isinstance(obs, dict) else {"obs": obs}
        if self._past is not None:
            told[HISTORY] = self._past.window
        if self._told:
            assert self.domain is not None
            told[PRIVILEGED] = self.domain.privileged
        return told

    def _require_snapshots(self) -> None:
        if not self.can_snapshot:
            raise EnvError(
                f"{self.id} on {self.engine} cannot be snapshotted (can_snapshot is false): start its episodes anew "
                "with reset() instead."
            )

    def _with_masks(self, info: dict[str, Any], ended: Flags) -> dict[str, Any]:
        """The infos with ``action_mask`` in its one form; of actions without choices, such as boxes, without it."""
        kept = {key: value for key, value in info.items() if key not in (KEY, f"_{KEY}")}
        if self._masks.counts:
            self.masked = True
            kept[KEY] = self._masks.read(info.get(KEY), info.get(f"_{KEY}"), ended)
        return kept

    def _clear_statistics(self) -> None:
        self._returns = np.zeros(self.num_envs, np.float64)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._since = np.full(self.num_envs, time.perf_counter())
        self._lives: np.ndarray | None = None

    def _pop_statistics(self, game_over: Flags) -> dict[str, np.ndarray]:
        """The statistics of the games that ended, and zero for the next ones."""
        now = time.perf_counter()
        episode = {
            "r": self._returns * game_over,
            "l": self._lengths * game_over,
            "t": (now - self._since) * game_over,
        }
        # Subtracting leaves exactly zero where the game ended and the running value elsewhere.
        np.subtract(self._returns, episode["r"], out=self._returns)
        np.subtract(self._lengths, episode["l"], out=self._lengths)
        self._since[game_over] = now
        return episode

    def _game_over(self, info: dict[str, Any], start: Flags, valid: Flags, truncated: Flags) -> Flags:
        """Rows where a game ended, not only a life.

        After a lost life the reset plays a few idle frames; a game that ends in them is started anew without a word,
        and shows only by lives that rise in a reset row.
        """
        over: np.ndarray = (info["terminated"].astype(np.bool_) | truncated) & valid
        lives = info["lives"]
        if self._lives is not None and self._any_ended:
            over |= start & (lives > self._lives)
        # A game that was counted as over gets its lives back in the row after: not a second ending.
        self._lives = np.where(over, np.iinfo(lives.dtype).max, lives)
        return over

    def _check_observation(self, obs: Obs, where: str) -> None:
        for part, check in self._ranges:
            wrong = check(obs[part] if isinstance(obs, dict) else obs)
            if wrong is not None:
                self._refuse_outside(obs[part] if isinstance(obs, dict) else obs, wrong, part, where)
        for key in self._float_keys:
            if isinstance(obs, dict):
                self._require_finite(obs[key], f'observation "{key}"')
            else:
                self._require_finite(obs, "observation")

    def _refuse_outside(self, values: np.ndarray, wrong: np.ndarray, part: str, where: str) -> None:
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        space = self._engine.single_observation_space
        declared = space.spaces[part] if isinstance(space, spaces.Dict) else space
        what = f'observation "{part}"' if isinstance(space, spaces.Dict) else "observation"
        place = f" at {list(index[1:])}" if len(index) > 1 else ""
        raise EnvError(
            f"{self.id}: the {what} of environment {index[0]} in {where} is {values[index]}{place}, outside its space "
            f"{declared}: mend the environment, or declare a space that holds it."
        )

    def _require_finite(self, values: np.ndarray, what: str) -> None:
        buffer = self._finite.get(values.shape)
        if buffer is None:
            buffer = self._finite.setdefault(values.shape, np.empty(values.shape, np.bool_))
        np.isfinite(values, out=buffer)
        if np.count_nonzero(buffer) != values.size:
            row = int(np.argwhere(~buffer)[0][0])
            raise EnvError(
                f"{self.id}: the {what} of environment {row} is not finite ({values[row]}): the simulation broke, or "
                "the environment divides by zero."
            )


def _beside(space: spaces.Space[Any], key: str, told: spaces.Space[Any], env_id: str) -> spaces.Dict:
    """The space with one more key beside what there is."""
    inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {"obs": space}
    if any(other == key or (key == PRIVILEGED and is_privileged(other)) for other in inner):
        option = {PRIVILEGED: "domain_privileged=False", HISTORY: "domain_history=0"}[key]
        raise ConfigError(f"{env_id} tells observations under the key '{key}' already: make it with {option}.")
    return spaces.Dict({**inner, key: told})
