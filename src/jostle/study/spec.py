"""A study's YAML file: tasks × methods × seeds, and what becomes of each trained agent.

name: deepsea
seeds: 5
steps: 100000
tasks:
  deepsea-10: {env: jostle/DeepSea-v0, env_options: {size: 10}}
methods:
  rnd: {preset: deepsea-rnd}
  none: {preset: deepsea-rnd, config: {bonus: [], entropy_coef: 0.01}}
  noisy: {algorithm: dqn, config: {noisy: factorised}, sweep: {sigma0: [0.1, 0.5]}}
evaluate: {episodes: 50}
stress: {suite: themes, episodes: 100}
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jostle import preset_files
from jostle.errors import ConfigError, closest
from jostle.yaml_text import parse_yaml

_STUDY = ("name", "seeds", "steps", "tasks", "methods", "evaluate", "stress", "config")
_TASK = ("env", "env_options", "num_envs", "steps", "config", "methods", "evaluate", "stress")
_METHOD = ("algorithm", "preset", "config", "env_options", "num_envs", "sweep", "version")
_EVALUATE = ("episodes", "noise", "actions", "env_options", "seed")
_STRESS = ("suite", "episodes", "noise", "actions", "seed")
ALGORITHMS = ("dqn", "ppo")


@dataclass(frozen=True, eq=False)
class Job:
    """One training with what comes after it, everything decided.

    Attributes:
        task, method, seed: its place in the study.
        asked: plain data that decides the result: algorithm, environment, settings, steps, seed, version.
        evaluate, stress: what is measured of the agent; None and () for nothing.
    """

    task: str
    method: str
    seed: int
    asked: Mapping[str, Any]
    evaluate: Mapping[str, Any] | None = None
    stress: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def key(self) -> str:
        """Of the training: equal for jobs that were asked for the same, whatever the study calls them."""
        return _digest(self.asked)

    @property
    def measured(self) -> str:
        """Of what is measured of the trained agent."""
        return _digest({"evaluate": self.evaluate, "stress": list(self.stress)})

    @property
    def folder(self) -> Path:
        """Where it lies in the study's folder."""
        return Path(self.task) / self.method / f"s{self.seed}-{self.key}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `Job.of` reads back."""
        whole = {"task": self.task, "method": self.method, "seed": self.seed, "asked": dict(self.asked)}
        return whole | {"evaluate": self.evaluate, "stress": [dict(each) for each in self.stress]}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Job":
        """From `as_dict`."""
        return cls(data["task"], data["method"], data["seed"], data["asked"], data["evaluate"], data["stress"])


@dataclass(frozen=True)
class Study:
    """A study: its name, and its jobs, seeds first, so that an early stop has few seeds of everything."""

    name: str
    jobs: Sequence[Job]

    @property
    def tasks(self) -> list[str]:
        """In the order of the file."""
        return list(dict.fromkeys(job.task for job in self.jobs))

    @property
    def methods(self) -> list[str]:
        """In the order of the file, each point of a sweep a method of its own."""
        return list(dict.fromkeys(job.method for job in self.jobs))


def read_study(path: Path) -> Study:
    """The study of a file.

    Raises:
        ConfigError: it cannot be read, has unknown keys, or a setting that cannot be used.
    """
    try:
        data = parse_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the study {path} ({error.strerror}): give a YAML file.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"the study {path} is no YAML: {' '.join(str(error).split())[:160]}") from error
    return make_study(data, path.stem)


def make_study(data: Any, name: str = "study") -> Study:
    """The study of plain data, as a file holds it.

    Raises:
        ConfigError: as `read_study`.
    """
    whole = _keys(data, _STUDY, "a study")
    tasks, methods = (_named(whole, part) for part in ("tasks", "methods"))
    name = str(whole.get("name") or name)
    _file_name(name, "a study")
    seeds = _seeds(whole.get("seeds", 3))
    points = {method: dict(_sweep(method, each)) for method, each in methods.items()}
    asked = {
        (t, label): _asked(t, task, label, _on_task(point, own), whole)
        for t, task in tasks.items()
        for method, own in _of_task(t, task, methods).items()
        for label, point in points[method].items()
    }
    for method in methods:
        if not any(label in points[method] for _, label in asked):
            raise ConfigError(f"no task runs the method '{method}': name it in methods of a task, or take it away.")
    measured = {t: (_evaluation({**whole, **task}), _stresses({**whole, **task})) for t, task in tasks.items()}
    jobs = [
        Job(task, label, seed, {**each, "seed": seed}, *measured[task])
        for seed in seeds
        for (task, label), each in asked.items()
    ]
    _refuse_doubles(jobs)
    return Study(name, jobs)


def _of_task(name: str, task: Mapping[str, Any], methods: Mapping[str, Any]) -> dict[str, Any]:
    """The methods that run on a task, each with the settings that it has there alone."""
    given = task.get("methods")
    chosen = dict.fromkeys(methods) if given is None else dict.fromkeys(given) if isinstance(given, list) else given
    if not isinstance(chosen, Mapping) or not chosen:
        raise ConfigError(f"methods of task '{name}' must be names, or a mapping of names to settings, not {given!r}.")
    for method in chosen:
        if method not in methods:
            raise ConfigError(
                f"task '{name}' has a method '{method}', which the study has not; {closest(method, methods)}"
            )
    return {method: _mapping(own, "settings", f"method '{method}' on task '{name}'") for method, own in chosen.items()}


def _on_task(point: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**point, "config": {**_mapping(point.get("config"), "config", "a method"), **own}}


def _evaluation(given: Mapping[str, Any]) -> dict[str, Any] | None:
    return None if given.get("evaluate") is None else _keys(given["evaluate"], _EVALUATE, "evaluate")


def _stresses(given: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    asked = given.get("stress") or []
    stress = tuple(_keys(one, _STRESS, "stress") for one in (asked if isinstance(asked, list) else [asked]))
    if any("suite" not in one for one in stress):
        raise ConfigError("stress needs a suite: write stress: {suite: themes}.")
    return stress


def _asked(name: str, task: Mapping[str, Any], method: str, point: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """What a method on a task is asked to do: of its settings those that are not the defaults, so that settings which
    later versions add do not make it another job."""
    from jostle.algo import AGENTS  # late: torch is needed for settings alone
    from jostle.algo.start import starting

    where = f"method '{method}' on task '{name}'"
    preset = point.get("preset")
    known = {} if preset is None else preset_files.load(preset)
    algorithm = point.get("algorithm") or known.get("algorithm")
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"{where} needs an algorithm, one of {', '.join(ALGORITHMS)}, or a preset.")
    parts = [_mapping(one.get("config"), "config", where) for one in (whole, task, point)]
    config = {key: value for part in parts for key, value in part.items()}
    options = [_mapping(one.get("env_options"), "env_options", where) for one in (task, point)]
    steps = task.get("steps") or whole.get("steps") or (known.get("training") or {}).get("total")
    if not isinstance(steps, int | float) or isinstance(steps, bool) or steps < 1 or steps != int(steps):
        raise ConfigError(f"{where} has steps={steps!r}: give whole steps, of the study or of the task.")
    kind = AGENTS[algorithm]
    try:
        start = starting(
            kind.settings, task.get("env"), config, {}, algorithm=algorithm, preset=preset,
            num_envs=point.get("num_envs") or task.get("num_envs"),
            env_options={**options[0], **options[1]} or None,
        )  # fmt: skip
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    defaults = kind.settings().as_dict()
    chosen = {key: value for key, value in start.config.as_dict().items() if value != defaults[key]}
    return {
        "algorithm": algorithm, "env": start.env, "num_envs": start.num_envs or 8,
        "env_options": start.env_options or {}, "steps": int(steps), "config": chosen,
        "version": point.get("version", 1),
    }  # fmt: skip


def _sweep(method: str, data: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A method as it stands, or one for every combination of its sweep, each with a name that says which."""
    given = _keys(data, _METHOD, f"method '{method}'")
    sweep = _mapping(given.pop("sweep", None), "sweep", f"method '{method}'")
    for key, values in sweep.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"the sweep of method '{method}' needs a list of values of {key}, not {values!r}.")
    for combination in itertools.product(*sweep.values()):
        point = dict(zip(sweep, combination, strict=True))
        label = ",".join([method, *(f"{key}={_short(value)}" for key, value in point.items())])
        _file_name(label, "a method")
        yield label, given | {"config": {**_mapping(given.get("config"), "config", method), **point}}


def _short(value: Any) -> str:
    return (
        "-".join(map(_short, value)) if isinstance(value, list) else f"{value:g}" if _is_number(value) else str(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seeds(given: Any) -> list[int]:
    """A count, or the seeds themselves."""
    whole = isinstance(given, int) and not isinstance(given, bool)
    seeds = list(range(given)) if whole else given
    good = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not good or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds={given!r} cannot be used: give how many, or a list of different whole numbers.")
    return list(seeds)


def _named(whole: Mapping[str, Any], part: str) -> dict[str, Any]:
    known = {"tasks": _TASK, "methods": _METHOD}[part]
    found = _mapping(whole.get(part), part, "a study")
    if not found:
        raise ConfigError(f"a study needs {part}: a mapping of names, such as {part}: {{first: {{…}}}}.")
    for name in found:
        _file_name(name, part)
    return {name: _keys(value, known, f"{part[:-1]} '{name}'") for name, value in found.items()}


def _mapping(value: Any, name: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} of {where} must be a mapping, not {value!r}.")
    return {str(key): part for key, part in value.items()}


def _keys(data: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    found = _mapping(data, where, "the file")
    for key in found:
        if key not in known:
            raise ConfigError(f"{where} has no '{key}'; {closest(key, known)}")
    return found


def _file_name(name: object, what: str) -> None:
    """Names are those of folders."""
    text = name if isinstance(name, str) else ""
    if not text.strip(" .") or not text.isprintable() or set(text) & set('/\\:*?"<>|') or len(text) > 120:
        raise ConfigError(f"{what} cannot be called {name!r}: its folder would be; use letters, digits, - and _.")


def _refuse_doubles(jobs: Sequence[Job]) -> None:
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.key, job)
        if other is not job:
            raise ConfigError(
                f"'{job.method}' on '{job.task}' and '{other.method}' on '{other.task}' ask for the same: take one "
                "away."
            )


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
