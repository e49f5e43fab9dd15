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
tune: {settings: {learning_rate: {log_uniform: [1e-4, 1e-2]}}, trials: 16, seeds: 2}
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jostle import preset_files
from jostle.errors import ConfigError, closest
from jostle.study.jobs import EVALUATE, OWN, RANDOM, Job, evaluation
from jostle.study.looked import explanation_of, read_explanation
from jostle.study.search.ranges import Range, by_chance, read_ranges
from jostle.study.search.tune import Budget, Search, read_budget
from jostle.study.shown.show import Show, read_show
from jostle.study.yaml_parts import file_name, keys, mapping, seed_list
from jostle.yaml_text import parse_yaml

_MEASURES = ("evaluate", "stress", "metrics", "explain")
_STUDY = ("name", "seeds", "steps", "tasks", "methods", "config", "tune", "show", *_MEASURES)
_TASK = ("env", "env_options", "num_envs", "steps", "config", "methods", "seeds", *_MEASURES)
_METHOD = (
    "algorithm", "preset", "config", "env_options", "num_envs", "sweep", "seeds", "version", "carried", "tune",
    *_MEASURES,
)  # fmt: skip
_EVALUATE = ("name", "episodes", "noise", "actions", "domain", "env_options", "seed")
_STRESS = ("suite", "conditions", "episodes", "noise", "actions", "seed", "domain", "points")
ALGORITHMS = ("dqn", "ppo", RANDOM)


@dataclass(frozen=True)
class Study:
    """A study: its name, its jobs, and the searches that will make more of them.

    Attributes:
        name: of the study.
        tasks, methods: in the order of the file, each point of a sweep a method of its own.
        jobs: of the methods without a search, seeds first, so that an early stop has few seeds of everything.
        searches: for the settings of the others, task by task.
        show: what tables and figures show.
    """

    name: str
    tasks: Sequence[str]
    methods: Sequence[str]
    jobs: Sequence[Job]
    searches: Sequence[Search] = ()
    show: Show = field(default_factory=Show)

    @property
    def plan(self) -> Counter[tuple[str, str]]:
        """How many jobs there will be, by task and label (a method's search is ``METHOD, search``)."""
        counted = Counter((job.task, job.method) for job in self.jobs)
        searches = {(search.task, search.method): search for search in self.searches}
        found: Counter[tuple[str, str]] = Counter()
        for task, method in itertools.product(self.tasks, self.methods):
            search = searches.get((task, method))
            if search is not None:
                found[task, label(method, 0)] = search.budget.trials * len(search.budget.seeds)
                found[task, method] = len(search.seeds)
            elif counted[task, method]:
                found[task, method] = counted[task, method]
        return found


def label(method: str, trial: int | None) -> str:
    """What a job is counted under."""
    return method if trial is None else f"{method}, search"


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
    whole = keys(data, _STUDY, "a study")
    tasks, methods = (_named(whole, part) for part in ("tasks", "methods"))
    name = str(whole.get("name") or name)
    file_name(name, "a study")
    seeds = seed_list(whole.get("seeds", 3))
    points = {method: dict(_sweep(method, each)) for method, each in methods.items()}
    measured = {(t, m): _measured(whole, task, method) for t, task in tasks.items() for m, method in methods.items()}
    told = {part for each in measured.values() for part in _measures(each)}
    tune = None if whole.get("tune") is None else read_budget(whole["tune"], sorted(told))
    jobs: list[Job] = []
    searches: list[Search] = []
    run: set[str] = set()
    for task, of_task in tasks.items():
        for method, own in _of_task(task, of_task, methods).items():
            run.add(method)
            mine = own.pop("seeds", methods[method].get("seeds", of_task.get("seeds", seeds)))
            mine = seed_list(mine, f"seeds of '{method}' on '{task}'")
            for label, point in points[method].items():
                measures = measured[task, method]
                found = _place(task, of_task, label, _on_task(point, own), whole, tune, mine, measures)
                if isinstance(found, Search):
                    searches.append(found)
                else:
                    jobs += found
    for method in methods:
        if method not in run:
            raise ConfigError(f"no task runs the method '{method}': name it in methods of a task, or take it away.")
    if tune is not None and not searches:
        raise ConfigError("tune has no settings to search for: give it settings, or a method its own tune.")
    order = {seed: number for number, seed in enumerate(dict.fromkeys(job.seed for job in jobs))}
    jobs.sort(key=lambda job: order[job.seed])
    refuse_doubles(jobs)
    labels = [label for each in points.values() for label in each]
    return Study(name, list(tasks), labels, jobs, searches, read_show(whole.get("show"), list(tasks), labels))


def read_shown(data: Any) -> Show:
    """What the file of a study shows, without its jobs, for which torch is needed.

    Raises:
        ConfigError: it is no study's, or names what it has not.
    """
    whole = keys(data, _STUDY, "a study")
    tasks, methods = (_named(whole, part) for part in ("tasks", "methods"))
    labels = [label for method, each in methods.items() for label, _ in _sweep(method, each)]
    return read_show(whole.get("show"), list(tasks), labels)


Asking = Callable[[Mapping[str, Any], int | None], dict[str, Any]]
Measured = Mapping[str, Any]
"""What is measured of the jobs of a method on a task: their ``evaluate``, ``stress``, ``metrics`` and ``explain``."""


def _place(
    task: str, of_task: Mapping[str, Any], method: str, point: Mapping[str, Any], whole: Mapping[str, Any],
    tune: tuple[Budget, Mapping[str, Range]] | None, seeds: Sequence[int], measured: Measured,
) -> list[Job] | Search:  # fmt: skip
    """The jobs of a method on a task, or the search that will make them."""
    asked = _asking(task, of_task, method, point, whole)
    own = read_ranges(mapping(point.get("tune"), "tune", f"method '{method}'"), f"method '{method}'")

    def of_seed(measures: Measured, seed: int) -> Measured:
        return {**measures, "explain": explanation_of(measures["explain"], asked({}, None), seed, seeds)}

    carried = point.get("carried", False)
    if not isinstance(carried, bool) or (carried and own):
        raise ConfigError(
            f"carried={carried!r} of method '{method}' cannot be used: give true, or leave it out; it has no search."
        )
    if tune is None or carried or not {**tune[1], **own}:
        if own:
            raise ConfigError(f"method '{method}' has a range to search: give the study a tune block.")
        return [
            Job(task, method, seed, {**asked({}, None), "seed": seed}, carried=carried, **of_seed(measured, seed))
            for seed in seeds
        ]
    budget, ranges = tune[0], {**tune[1], **own}
    both = sorted(set(budget.seeds) & set(seeds))
    if both:
        raise ConfigError(f"seed {both[0]} would choose settings and report of them: give tune other seeds.")
    of_trial = _only(measured, budget.measure)

    def job(settings: Mapping[str, Any], seed: int, trial: int | None) -> Job:
        plain = asked(settings, None if trial is None else budget.steps)
        measures = of_seed(measured, seed) if trial is None else of_trial
        return Job(task, method, seed, {**plain, "seed": seed}, trial=trial, **measures)

    middle = by_chance(ranges, budget.seed, 0)
    for name, each in ranges.items():
        for end in each.ends:
            job(middle | {name: end}, budget.seeds[0], 0)
    return Search(task, method, ranges, budget, job, seeds)


def _only(measured: Measured, measure: str) -> Measured:
    """What trials are measured by."""
    kind, _, rest = measure.partition("/")
    suite = rest.partition("/")[0] if kind == "stress" else None
    return {
        "evaluate": measured["evaluate"] if kind == EVALUATE else None,
        "stress": tuple(one for one in measured["stress"] if one["suite"] == suite),
        "metrics": tuple(name for name in measured["metrics"] if measure == f"metric/{name}"),
        "explain": None,
    }


def _measures(measured: Measured) -> Iterator[str]:
    """The names of what is measured."""
    given = measured["evaluate"] or ()
    yield from map(evaluation, [given] if isinstance(given, Mapping) else given)
    yield from (f"stress/{one['suite']}/" for one in measured["stress"])
    yield from (f"metric/{name}" for name in measured["metrics"])


def _asking(
    name: str, task: Mapping[str, Any], method: str, point: Mapping[str, Any], whole: Mapping[str, Any]
) -> Asking:
    """`_asked` of settings of a trial and its steps, where it has others; each is worked out once."""
    known: dict[str, dict[str, Any]] = {}

    def asked(settings: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
        place = json.dumps([dict(settings), steps])
        if place not in known:
            own = {"config": {**mapping(point.get("config"), "config", method), **settings}}
            known[place] = _asked(
                name, task if steps is None else {**task, "steps": steps}, method, {**point, **own}, whole
            )
        return known[place]

    return asked


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
    return {method: mapping(own, "settings", f"method '{method}' on task '{name}'") for method, own in chosen.items()}


def _on_task(point: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {**point, "config": {**mapping(point.get("config"), "config", "a method"), **own}}


def _measured(whole: Mapping[str, Any], task: Mapping[str, Any], method: Mapping[str, Any]) -> Measured:
    """A method's own measures come before the task's, and those before the study's."""
    given = {**whole, **task, **method}
    metrics = given.get("metrics") or ()
    if not isinstance(metrics, list | tuple) or not all(isinstance(name, str) for name in metrics):
        raise ConfigError(f"metrics={metrics!r} cannot be used: give a list of names, such as [losses/value].")
    return {
        "evaluate": _evaluation(given), "stress": _stresses(given), "metrics": tuple(dict.fromkeys(metrics)),
        "explain": read_explanation(given),
    }  # fmt: skip


def _evaluation(given: Mapping[str, Any]) -> dict[str, Any] | tuple[dict[str, Any], ...] | None:
    """One evaluation, or several of which all but one have a name."""
    asked = given.get("evaluate")
    if not isinstance(asked, list):
        return None if asked is None else _one_evaluation(asked)
    found = tuple(map(_one_evaluation, asked))
    if len({evaluation(one) for one in found}) < len(found):
        raise ConfigError("evaluate has two evaluations of one name: give all of them but one a name of their own.")
    return found or None


def _one_evaluation(asked: Any) -> dict[str, Any]:
    from jostle.envs.domain import domain_options  # late, as below

    found = keys(asked, _EVALUATE, "evaluate")
    if "name" in found:
        file_name(found["name"], "an evaluation")
    if isinstance(found.get("seed"), str) and found["seed"] != OWN:
        raise ConfigError(f"seed={found['seed']!r} of evaluate cannot be used: give a whole number, or {OWN}.")
    return found if found.get("domain") in (None, "train") else {**found, **domain_options({"domain": found["domain"]})}


def _stresses(given: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    asked = given.get("stress") or []
    stress = tuple(keys(one, _STRESS, "stress") for one in (asked if isinstance(asked, list) else [asked]))
    if any("suite" not in one for one in stress):
        raise ConfigError("stress needs a suite: write stress: {suite: themes}.")
    return stress


def _asked(name: str, task: Mapping[str, Any], method: str, point: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """What a method on a task is asked to do: of its settings those that are not the defaults, so that settings which
    later versions add do not make it another job."""
    from jostle.algo import AGENTS  # late: torch is needed for settings alone
    from jostle.algo.start import starting
    from jostle.envs.domain import domain_options

    where = f"method '{method}' on task '{name}'"
    preset = point.get("preset")
    known = {} if preset is None else preset_files.load(preset)
    algorithm = point.get("algorithm") or known.get("algorithm")
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"{where} needs an algorithm, one of {', '.join(ALGORITHMS)}, or a preset.")
    parts = [mapping(one.get("config"), "config", where) for one in (whole, task, point)]
    config = {key: value for part in parts for key, value in part.items()}
    options = [mapping(one.get("env_options"), "env_options", where) for one in (task, point)]
    steps = task.get("steps") or whole.get("steps") or (known.get("training") or {}).get("total")
    if not isinstance(steps, int | float) or isinstance(steps, bool) or steps < 1 or steps != int(steps):
        raise ConfigError(f"{where} has steps={steps!r}: give whole steps, of the study or of the task.")
    if algorithm == RANDOM:
        if not isinstance(task.get("env"), str):
            raise ConfigError(f"{where} needs an environment: give the task its env.")
        place = {"algorithm": RANDOM, "env": task["env"], "num_envs": 1, "env_options": {**options[0], **options[1]}}
        return place | {"steps": 0, "config": {}, "version": point.get("version", 1)}
    kind = AGENTS[algorithm]
    try:
        start = starting(
            kind.settings, task.get("env"), None, config, algorithm=algorithm, preset=preset,
            num_envs=point.get("num_envs") or task.get("num_envs"),
            env_options={**options[0], **options[1]} or None,
        )  # fmt: skip
        given = domain_options(start.env_options or {})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    defaults = kind.settings().as_dict()
    chosen = {key: value for key, value in start.config.as_dict().items() if value != defaults[key]}
    return {
        "algorithm": algorithm, "env": start.env, "num_envs": start.num_envs or 8,
        "env_options": given, "steps": int(steps), "config": chosen,
        "version": point.get("version", 1),
    }  # fmt: skip


def _sweep(method: str, data: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A method as it stands, or one for every combination of its sweep, each with a name that says which."""
    given = keys(data, _METHOD, f"method '{method}'")
    sweep = mapping(given.pop("sweep", None), "sweep", f"method '{method}'")
    for key, values in sweep.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"the sweep of method '{method}' needs a list of values of {key}, not {values!r}.")
    for combination in itertools.product(*sweep.values()):
        point = dict(zip(sweep, combination, strict=True))
        label = ",".join([method, *(f"{key}={_short(value)}" for key, value in point.items())])
        file_name(label, "a method")
        yield label, given | {"config": {**mapping(given.get("config"), "config", method), **point}}


def _short(value: Any) -> str:
    return (
        "-".join(map(_short, value)) if isinstance(value, list) else f"{value:g}" if _is_number(value) else str(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _named(whole: Mapping[str, Any], part: str) -> dict[str, Any]:
    known = {"tasks": _TASK, "methods": _METHOD}[part]
    found = mapping(whole.get(part), part, "a study")
    if not found:
        raise ConfigError(f"a study needs {part}: a mapping of names, such as {part}: {{first: {{…}}}}.")
    for name in found:
        file_name(name, part)
    return {name: keys(value, known, f"{part[:-1]} '{name}'") for name, value in found.items()}


def refuse_doubles(jobs: Sequence[Job]) -> None:
    """Raises ConfigError where two methods report of the same; chance may be the same on tasks that differ in training
    alone."""
    seen: dict[str, Job] = {}
    for job in jobs:
        if job.asked["algorithm"] == RANDOM:
            continue
        other = seen.setdefault(job.key, job)
        if other is not job:
            raise ConfigError(
                f"'{job.method}' on '{job.task}' and '{other.method}' on '{other.task}' ask for the same: take one "
                "away."
            )
