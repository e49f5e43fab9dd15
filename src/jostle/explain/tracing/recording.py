"""`trace`: episodes of a policy, recorded step by step."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from jostle.envs import JostleEnv, make_env
from jostle.envs.actions import action_check
from jostle.envs.make import capped
from jostle.envs.sources import rows_of
from jostle.errors import ConfigError, closest
from jostle.explain.tracing.fingerprint import fingerprint
from jostle.explain.tracing.format import Description, TracedEpisode, shown_size, size_of
from jostle.explain.tracing.passes import Passes
from jostle.explain.tracing.reading import Trace, read_trace
from jostle.explain.tracing.writing import Writer, require_free
from jostle.plain import plain
from jostle.view import as_view, require_fit, source_of
from jostle.view.interface import EnvSource
from jostle.view.playing import TAGS, at_least_one, require_seed

MODES = ("mean", "fixed", "sampled")
TOGETHER = 8
PLAIN = "as trained"
"""The name of the only condition where none is asked for."""


def trace(
    policy: Any,
    folder: str | Path,
    *,
    episodes: int = 5,
    max_steps: int = 200,
    layers: Sequence[str] = (),
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    num_envs: int | None = None,
    objects: bool = True,
    max_size: str | int = "1GB",
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trace:
    """Play episodes and record each step: what the policy saw, remembered and put out, and what the world answered.

    The policy is not changed; a copy of it plays. Steps go to the disk in pieces, so that memory is bounded.

    Args:
        policy: whatever `jostle.as_view` takes. Of what shows no outputs, as functions, actions alone are recorded.
        folder: a new one.
        episodes: of each condition, shared out evenly among environments.
        max_steps: of one episode, which is left there.
        layers: whose outputs to keep, such as ``encoder``.
        conditions: name -> options of the environment, over those of the policy.
        noise: ``mean``: without noise; ``fixed``: one draw; ``sampled``: every episode under one of its own, held to
            its end, so that it can be named and gone through again (`jostle.evaluate` redraws at every action).
        actions: ``greedy``, the likeliest or best ones, or ``sampled`` from a policy.
        seed: of environments, draws and sampled actions. Every condition begins with it.
        env, env_options: where to play; None: where the policy was trained.
        num_envs: environments that are stepped together; None: 8, or fewer.
        objects: keep the pixels of objects where the environment tells them.
        max_size: what the trace may take on the disk at most, such as ``500MB``.
        overwrite: replace a former trace in the folder.
        announce: called with a sentence that says how large it will be at most, before anything is written.
        notify: called with episodes done and in all.
        stop: asked at every step; the trace then holds what was recorded until then.

    Raises:
        ConfigError: an argument cannot be used, the trace could become too large, or a number is not finite.
        EnvError: the environment failed.
    """
    episodes, max_steps = at_least_one("episodes", episodes), at_least_one("max_steps", max_steps)
    require_seed(seed)
    if noise not in MODES:
        known = closest(str(noise), MODES)
        raise ConfigError(f"noise='{noise}' cannot be traced, for no single draw acts; {known}")
    if actions not in ("greedy", "sampled"):
        raise ConfigError(f"actions='{actions}' are unknown; {closest(str(actions), ['greedy', 'sampled'])}")
    limit, folder = size_of(max_size), Path(folder)
    require_free(folder, overwrite)
    given = {PLAIN: {}} if conditions is None else {str(k): dict(v) for k, v in conditions.items()}
    if not given:
        raise ConfigError("there is no condition to play under: give at least one, or None.")
    view = as_view(policy).clone()
    base = dict(view.env_options if env_options is None else env_options)
    source = source_of(view, env)
    total = episodes * len(given)
    passes = Passes(view, layers, noise, total, seed, sample=actions == "sampled")
    recorder = _Recorder(folder, limit, total * max_steps, overwrite, announce)
    name, called = "", dict[str, list[str]]()
    for number, (condition, options) in enumerate(given.items()):
        rows = rows_of(source, min(episodes, TOGETHER) if num_envs is None else at_least_one("num_envs", num_envs))
        made = make_env(source, rows, seed=seed, **capped(base | options, rows))
        with closing(made):
            require_fit(view, made)
            name = made.id
            called = {part: list(names) for part, names in made.observation_names.items()}
            one = _Condition(condition, number * episodes, episodes, max_steps, seed, objects)
            _play(one, made, passes, recorder, partial(_notify, notify, number * episodes, total), stop)
        if stop():
            break
    if not recorder.steps:
        raise ConfigError("the trace holds no step, for it was stopped before the first one: record it again.")
    recorder.close(
        lambda columns, pieces, found: Description(
            policy=view.name, fingerprint=fingerprint(view), env=name, env_options=plain(base), conditions=plain(given),
            noise=passes.noise, slots=passes.slots, noise_seed=seed, actions=actions, seed=seed, layers=list(layers),
            columns=columns, pieces=pieces, episodes=found, names=called,
        )
    )  # fmt: skip
    return read_trace(folder)


def _notify(notify: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    notify(before + done, total)


class _Recorder:
    """Where steps go. Nothing is on the disk before the first one has said how large they are."""

    def __init__(self, folder: Path, limit: int, most: int, overwrite: bool, announce: Callable[[str], None]) -> None:
        self.folder, self.limit, self.most, self.overwrite = folder, limit, most, overwrite
        self.announce, self.steps = announce, 0
        self.episodes: dict[int, TracedEpisode] = {}
        self._writer: Writer | None = None

    def add(self, row: Mapping[str, Any]) -> None:
        if self._writer is None:
            self._measure(row)
            self._writer = Writer(self.folder, overwrite=self.overwrite)
        self._writer.add(row)
        self.steps += 1

    def close(self, describe: Callable[..., Description]) -> None:
        assert self._writer is not None
        self._writer.flush()
        ordered = [self.episodes[key] for key in sorted(self.episodes)]
        self._writer.close(describe(self._writer.columns, self._writer.pieces, ordered))

    def _measure(self, row: Mapping[str, Any]) -> None:
        each = sum(np.asarray(value).nbytes for value in row.values())
        size = each * self.most
        said = f"at most {self.most:,} steps of {shown_size(each)}, {shown_size(size)} in all"
        remedy = "take fewer episodes, a smaller max_steps or fewer layers"
        if size > self.limit:
            raise ConfigError(
                f"the trace could take {said}, more than max_size={shown_size(self.limit)}: {remedy}, or allow more."
            )
        there = next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free
        if size > free:
            raise ConfigError(
                f"the trace could take {said}, and {shown_size(free)} are free at {os.fspath(there)}: {remedy}."
            )
        self.announce(f"trace in {self.folder}: {said}")


@dataclass
class _Running:
    """The episode that one environment is in; −1: none that is recorded."""

    id: int = -1
    step: int = 0
    ret: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Condition:
    name: str
    first: int
    episodes: int
    max_steps: int
    seed: int
    objects: bool


def _play(
    one: _Condition,
    env: JostleEnv,
    passes: Passes,
    recorder: _Recorder,
    notify: Callable[[int], None],
    stop: Callable[[], bool],
) -> None:
    """Episodes of one condition; each environment plays a fixed share, so that short ones are not favoured."""
    n = env.num_envs
    shares = np.array_split(np.arange(one.first, one.first + one.episodes), n)
    waiting: list[list[int]] = [share.tolist() for share in shares]
    running = [_Running() for _ in range(n)]
    check = action_check(env.single_action_space, n, passes.view.name)
    obs, info = env.reset(seed=one.seed)
    ended, done = np.zeros(n, np.bool_), 0
    passes.begin(n)
    while any(waiting) or any(r.id >= 0 for r in running):
        if not any(r.id >= 0 for r in running) and not info["start"].any() and not ended.any():
            obs, info = env.reset()  # all that were left run on without an end
            passes.begin(n)
        for i in np.flatnonzero(info["start"]).tolist():
            running[i] = _begin(waiting[i], _told(env, info), i)
        if stop():
            break
        live = [i for i in range(n) if running[i].id >= 0 and not ended[i]]
        masks = env.object_masks() if one.objects else None
        mask = info.get("action_mask")
        action, found = passes.act(obs, info["start"], [r.id for r in running], mask)
        action = check(action)
        seen = obs
        obs, reward, terminated, truncated, info = env.step(action)
        ended = terminated | truncated
        for i in live:
            r = running[i]
            row = _parts("obs", seen, i) | {name: values[i] for name, values in found.items()}
            row |= {"action": action[i], "reward": np.float32(reward[i])}
            row |= {"terminated": terminated[i], "truncated": truncated[i]}
            row |= {"episode": np.int64(r.id), "step": np.int64(r.step), "draw": np.int64(passes.slot(r.id))}
            if mask is not None:
                row["mask"] = mask[i]
            row |= {f"object.{name}": pixels[i] for name, pixels in (masks or {}).items()}
            recorder.add(row)
            r.step, r.ret = r.step + 1, r.ret + float(reward[i])
            if ended[i] or r.step >= one.max_steps:
                recorder.episodes[r.id] = _episode(one, r, i, passes, cut=not ended[i])
                running[i] = _Running()
                done += 1
                notify(done)
    for i, r in enumerate(running):
        if r.id >= 0 and r.step:
            recorder.episodes[r.id] = _episode(one, r, i, passes, cut=True)


def _begin(waiting: list[int], info: Mapping[str, Any], row: int) -> _Running:
    """The next episode of an environment, with what is told of it at its beginning."""
    if not waiting:
        return _Running()
    told: dict[str, Any] = {"domain": _domain(info.get("domain"), row)}
    for key in TAGS:
        values, by = info.get(key), info.get(f"_{key}")
        known = isinstance(values, np.ndarray) and (by is None or bool(by[row]))
        told[key] = int(values[row]) if known and values is not None else None
    return _Running(int(waiting.pop(0)), told=told)


def _told(env: JostleEnv, info: Mapping[str, Any]) -> dict[str, Any]:
    """The infos, with jostle's own draws [N, P] of a domain by their names, as `Randomise` gives those of others."""
    draws = info.get("domain")
    if env.domain is None or not isinstance(draws, np.ndarray):
        return dict(info)
    return {**info, "domain": dict(zip(env.domain.names, draws.T, strict=True))}


def _domain(told: Any, row: int) -> dict[str, float]:
    """One environment's draw of the domain, by name."""
    if not isinstance(told, dict):
        return {}
    numbers = {name: np.asarray(values) for name, values in told.items() if not name.startswith("_")}
    return {name: float(v[row]) for name, v in numbers.items() if v.ndim == 1 and v.dtype.kind in "iufb"}


def _episode(one: _Condition, r: _Running, row: int, passes: Passes, *, cut: bool) -> TracedEpisode:
    return TracedEpisode(one.name, row, r.ret, r.step, cut, passes.slot(r.id), **r.told)


def _parts(name: str, value: Any, row: int) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"{name}.{key}": part[row] for key, part in value.items()}
    return {name: value[row].detach().cpu().numpy() if isinstance(value, Tensor) else value[row]}
