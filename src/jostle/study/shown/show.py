"""What a study's tables and figures show: the ``show:`` block of its file. Without one, everything is shown plainly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jostle.errors import ConfigError, closest
from jostle.study.results import title
from jostle.study.yaml_parts import keys, mapping

KEYS = (
    "labels", "titles", "about", "parts", "figures", "measures", "hidden", "extra", "ranges", "solved", "across",
    "together", "each",
)  # fmt: skip
PART = (
    "name", "task", "methods", "baseline", "pairs", "contrasts", "claims", "panels", "curves", "intervals", "score",
)  # fmt: skip
FIGURES = ("curves", "conditions", "intervals")
Measured = tuple[str, str]
"""A method and a measure."""


@dataclass(frozen=True)
class Claim:
    """That a method has more (or less) of a measure than another one has.

    Attributes:
        says: in words, with whose it is.
        measure: of `Results.scores`.
        methods: the one that has more, and the other.
    """

    says: str
    measure: str
    methods: tuple[str, str]


@dataclass(frozen=True)
class Part:
    """Methods that stand in one table.

    Attributes:
        name: of the part, and in its figures' names.
        task: whose runs they are.
        methods: in this order; None: all of the task.
        baseline: what the others are compared with; None: the first.
        pairs: methods that are compared besides.
        panels: conditions of a stress test that stand in a table of their own: title -> column -> condition.
        curves: methods of the learning curves; None: all.
        intervals: methods whose intervals are drawn, with what they are called there.
        score: of stress tests, ``success`` or ``return``; None: success where it is told.
        contrasts: pairs of a method by a measure, where the two are not by the same one.
        claims: that were made before anything was measured: one family, in which each is held against all seeds.
    """

    name: str
    task: str
    methods: Sequence[str] | None = None
    baseline: str | None = None
    pairs: Sequence[tuple[str, str]] = ()
    panels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    curves: Sequence[str] | None = None
    intervals: Mapping[str, str] = field(default_factory=dict)
    score: str | None = None
    contrasts: Sequence[tuple[Measured, Measured]] = ()
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class Across:
    """A figure over tasks that differ in a number: its name, what the number is, number -> task, and its title."""

    name: str
    label: str
    tasks: Mapping[float, str]
    title: str = ""


@dataclass(frozen=True)
class Show:
    """The whole block.

    Attributes:
        labels: methods as figures call them.
        titles: tasks as figures call them.
        about: sentences above the tables.
        parts: the tables; empty: one for each task.
        figures: kinds of them.
        measures: of `Results.scores` that have a table; None: ``evaluate`` and ``training``.
        measured: what measures are called, of those that have a name of their own.
        each: tables tell the number of every seed.
        hidden: conditions that no figure shows, since something was chosen by them.
        extra: further columns: title -> measure, whose mean stands there.
        ranges: returns of a task that are 0 and 1 where tasks are put together.
        solved: return of a task from which a run counts as solved.
        across: figures over tasks.
        together: methods that are put together over all tasks with a range; of them the last is a task's baseline,
            under that name.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    parts: Sequence[Part] = ()
    figures: Sequence[str] = ("curves", "conditions")
    measures: Sequence[str] | None = None
    measured: Mapping[str, str] = field(default_factory=dict)
    each: bool = False
    hidden: Sequence[str] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    solved: Mapping[str, float] = field(default_factory=dict)
    across: Sequence[Across] = ()
    together: Sequence[str] = ()

    def label(self, method: str) -> str:
        """A method's name in figures."""
        return self.labels.get(method, method)

    def title(self, measure: str) -> str:
        """What a measure is called."""
        return self.measured.get(measure, title(measure))


def read_show(data: Any, tasks: Sequence[str], methods: Sequence[str]) -> Show:
    """The block of a file.

    Raises:
        ConfigError: unknown keys, tasks or methods.
    """
    given = keys(data, KEYS, "show")

    def of(name: str, known: Sequence[str], what: str) -> dict[str, Any]:
        found = mapping(given.get(name), name, "show")
        _known(found, known, f"{name} of show", what)
        return found

    figures = _names(given.get("figures", list(Show.figures)), "figures of show")
    _known(figures, FIGURES, "figures of show", "kind")
    across = [_across(each, tasks) for each in _list(given.get("across"), "across")]
    together = _names(given.get("together", []), "together of show")
    _known(together[:-1], methods, "together of show", "method")
    ranges = of("ranges", tasks, "task")
    measures, measured = _measures(given.get("measures"))
    each = given.get("each", False)
    if not isinstance(each, bool):
        raise ConfigError(f"each={each!r} of show cannot be used: give true or false.")
    return Show(
        labels=of("labels", methods, "method"), titles=of("titles", tasks, "task"), about=str(given.get("about", "")),
        parts=[_part(each, tasks, methods) for each in _list(given.get("parts"), "parts")], figures=figures,
        measures=measures, measured=measured, each=each,
        hidden=_names(given.get("hidden", []), "hidden of show"), extra=mapping(given.get("extra"), "extra", "show"),
        ranges={task: _range(task, ends) for task, ends in ranges.items()}, solved=of("solved", tasks, "task"),
        across=across, together=together,
    )  # fmt: skip


def _part(data: Any, tasks: Sequence[str], methods: Sequence[str]) -> Part:
    given = keys(data, PART, "a part of show")
    task = given.get("task")
    _known([str(task)], tasks, "a part of show", "task")
    found = Part(
        name=str(given.get("name", task)), task=str(task),
        methods=None if given.get("methods") is None else _names(given["methods"], "methods of a part"),
        baseline=given.get("baseline"),
        pairs=[(str(a), str(b)) for a, b in map(_two, _list(given.get("pairs"), "pairs"))],
        contrasts=[(_measured(a), _measured(b)) for a, b in map(_two, _list(given.get("contrasts"), "contrasts"))],
        claims=[_claim(each) for each in _list(given.get("claims"), "claims")],
        panels=mapping(given.get("panels"), "panels", "a part of show"),
        curves=None if given.get("curves") is None else _names(given["curves"], "curves of a part"),
        intervals=mapping(given.get("intervals"), "intervals", "a part of show"), score=given.get("score"),
    )  # fmt: skip
    named = [
        *(found.methods or ()),
        *(found.curves or ()),
        *found.intervals,
        *(m for pair in found.pairs for m in pair),
        *(method for contrast in found.contrasts for method, _ in contrast),
        *(method for claim in found.claims for method in claim.methods),
    ]
    if found.score is not None:
        _known([found.score], ("success", "return"), f"part '{found.name}' of show", "score")
    _known([*named, *([found.baseline] if found.baseline else [])], methods, f"part '{found.name}' of show", "method")
    return found


def _claim(data: Any) -> Claim:
    given = keys(data, ("says", "measure", "more", "than"), "a claim")
    for name in ("says", "measure", "more", "than"):
        if not isinstance(given.get(name), str):
            raise ConfigError(
                f"a claim needs {name}, a text, not {given.get(name)!r}: write {{says: larger weights, measure: "
                "inside/weights/L2 of actor.0.weight, more: METHOD, than: METHOD}."
            )
    return Claim(given["says"], given["measure"], (given["more"], given["than"]))


def _across(data: Any, tasks: Sequence[str]) -> Across:
    given = keys(data, ("name", "label", "tasks", "title"), "across of show")
    of = given.get("tasks")
    if not isinstance(of, Mapping) or not of or not all(isinstance(number, int | float) for number in of):
        raise ConfigError(f"across of show needs tasks: numbers to their tasks, not {of!r}.")
    _known(list(map(str, of.values())), tasks, "across of show", "task")
    numbers = {float(number): str(task) for number, task in of.items()}
    return Across(str(given.get("name")), str(given.get("label", "")), numbers, str(given.get("title", "")))


def _known(named: Any, known: Sequence[str], where: str, what: str) -> None:
    for name in named:
        if name not in known:
            raise ConfigError(f"{where} names a {what} '{name}'; {closest(str(name), known)}")


def _list(value: Any, name: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{name} of show must be a list, not {value!r}.")
    return list(value or ())


def _names(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{where} must be a list of names, not {value!r}.")
    return list(value)


def _measures(given: Any) -> tuple[list[str] | None, dict[str, str]]:
    """Measures, and what they are called where that is given too."""
    if isinstance(given, Mapping):
        named = {str(measure): str(words) for measure, words in given.items()}
        return list(named), named
    return (None if given is None else _names(given, "measures of show")), {}


def _measured(given: Any) -> Measured:
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"contrasts of show are of two [METHOD, MEASURE] each, not {given!r}.")
    return given[0], given[1]


def _two(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ConfigError(f"pairs of show are of two methods each, not {pair!r}.")
    return pair[0], pair[1]


def _range(task: str, ends: Any) -> tuple[float, float]:
    low, high = _two(ends)
    if not all(isinstance(end, int | float) for end in (low, high)) or not low < high:
        raise ConfigError(f"the range of '{task}' must be two numbers, the lower one first, not {ends!r}.")
    return float(low), float(high)
