"""Unit tests of what is inside: statements about a layer or a map, beside the stress test's checks of behaviour.

A file is a list of statements:

    - {metric: probe, layer: core, of: pole.mass, min: 0.2}
    - {metric: probe, layer: encoder, of: theme, max: 0.1, untrained: 3}
    - {metric: mass, technique: blur, of: ball, condition: test, min: 0.5}
    - {metric: sanity, technique: blur}

*probe*: how well a linear probe reads something from a layer in episodes that it has not seen, R² or balanced accuracy,
less the 95th percentile of probes of permuted labels (and, with ``untrained``, less the best of so many untrained
networks, where that is more). *mass*: a map's mass on an object, in units of the object's share of the picture, less
that of the picture alone. *sanity*: the technique passes its sanity checks. An interval must pass, not an estimate.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import ConfigError, closest
from jostle.explain.activations import Activations, gather, probe
from jostle.explain.asking import Subject, Target
from jostle.explain.methods import MAPS, map_methods
from jostle.explain.results import Maps
from jostle.explain.results.objects import object_mass
from jostle.explain.sanity import check
from jostle.explain.sanity.permuted import students
from jostle.explain.tracing import Trace
from jostle.explain.weights.start import nulls_of
from jostle.scores.intervals import Interval, interval
from jostle.stress.checks import Verdict, bounds_of, outside
from jostle.view import PolicyView, as_view
from jostle.yaml_file import known_keys, read_yaml

METRICS = ("probe", "mass", "sanity")
_KEYS = {
    "probe": ("metric", "layer", "of", "condition", "untrained", "min", "max"),
    "mass": ("metric", "technique", "of", "condition", "steps", "min", "max"),
    "sanity": ("metric", "technique"),
}
_NEEDED = {"probe": ("layer", "of"), "mass": ("technique", "of"), "sanity": ("technique",)}
_EXAMPLE = {
    "probe": "{metric: probe, layer: encoder, of: theme, max: 0.1}",
    "mass": "{metric: mass, technique: blur, of: ball, min: 0.5}",
    "sanity": "{metric: sanity, technique: blur}",
}
STEPS, CHECKED = 32, 3
"""Steps at which masses are measured, and at which techniques are checked."""
PERMUTATIONS = 200


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        metric: ``probe``, ``mass`` or ``sanity``.
        layer, technique: whose.
        of: what the layer knows or does not (see `jostle.explain.activations.Activations.labels`), or the object.
        condition: of the trace, whose steps alone count; None: all.
        untrained: networks that a probe must beat beside permuted labels.
        steps: at which a mass is measured, at most.
        low, high: as of `jostle.stress.checks.Check`.
    """

    metric: str
    layer: str = ""
    technique: str = ""
    of: str = ""
    condition: str | None = None
    untrained: int = 0
    steps: int = STEPS
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        where = "" if self.condition is None else f" under {self.condition}"
        bound = f">= {self.low:g}" if self.low is not None else f"<= {self.high:g}" if self.high is not None else ""
        if self.metric == "probe":
            null = "permuted labels" + (" and untrained networks" if self.untrained else "")
            return f"what {self.layer} knows of {self.of}{where}, beyond {null} {bound}"
        if self.metric == "mass":
            return f"mass of {self.technique} on {self.of}{where}, beyond the picture alone {bound}"
        return f"{self.technique} passes its sanity checks"


def read_statements(path: Path, view: PolicyView, conditions: Sequence[str] | None = None) -> list[Statement]:
    """The statements of a file. What can be known before episodes are recorded is checked.

    Args:
        path: the YAML file.
        view: whose layers may be named.
        conditions: that will be recorded; None: not known yet.

    Raises:
        ConfigError: it cannot be read, or names what there is not.
    """
    data = read_yaml(path, "file of statements")
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path} needs a list of statements, such as - {_EXAMPLE['probe']}.")
    return [_statement(entry, f"statement {n} of {path}", view, conditions) for n, entry in enumerate(data, 1)]


def run_statements(
    policy: Any,
    trace: Trace,
    statements: Sequence[Statement],
    *,
    target: str | Target | None = None,
    key: str | None = None,
    seed: int = 0,
    notify: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> list[Verdict]:
    """Each statement on a trace of the policy; what cannot be measured has failed, with the reason.

    Args:
        policy: whatever `jostle.as_view` takes.
        trace: of it; probes need four episodes at least, and better twenty.
        statements: as `read_statements` gives them.
        target, key: of maps, as of `jostle.explain.ask`.
        seed: of nulls and intervals.
        notify: called with statements done, in all, and the next one.

    Raises:
        ConfigError: the trace is another policy's.
    """
    view = trace.prepared(as_view(policy))
    found = []
    for place, each in enumerate(statements):
        notify(place, len(statements), str(each))
        try:
            if each.metric == "sanity":
                failure = _checked(each, view, trace, target, key, seed)
            else:
                failure = outside(measure(each, view, trace, target=target, key=key, seed=seed), each.low, each.high)
        except ConfigError as error:
            failure = str(error)
        found.append(Verdict(each, view.name, trace.about.noise, failure))
    return found


def measure(
    statement: Statement,
    policy: Any,
    trace: Trace,
    *,
    target: str | Target | None = None,
    key: str | None = None,
    seed: int = 0,
) -> Interval:
    """The number of a statement, beyond its null, with its interval; arguments as of `run_statements`.

    Raises:
        ConfigError: it cannot be measured.
    """
    view = trace.prepared(as_view(policy))
    if statement.metric == "probe":
        return _known(statement, view, trace, seed)
    if statement.metric == "mass":
        return _mass(statement, view, trace, target, key)
    raise ConfigError(f"'{statement}' is no number: use run_statements.")


def _known(statement: Statement, view: PolicyView, trace: Trace, seed: int) -> Interval:
    """The probe's interval less what its nulls reach."""
    rows = trace.rows(condition=statement.condition)

    def at(policy: PolicyView) -> Activations:
        return gather(trace, statement.layer, policy, rows=rows, pool="mean")

    fresh = [at(null) for null in nulls_of(view, statement.untrained, seed=seed)]
    found = probe(at(view), statement.of, permutations=PERMUTATIONS, untrained=fresh, seed=seed)
    null = max(float(np.quantile(found.null, 0.95)), *found.untrained.tolist(), -math.inf)
    score = found.score
    return replace(score, point=score.point - null, low=score.low - null, high=score.high - null)


def _mass(
    statement: Statement, view: PolicyView, trace: Trace, target: str | Target | None, key: str | None
) -> Interval:
    """The mean over episodes, which are resampled."""
    if statement.of not in trace.objects:
        hint = closest(statement.of, trace.objects) if trace.objects else f"{trace.about.env} tells none"
        raise ConfigError(f"the trace knows no pixels of an object '{statement.of}'; {hint}")
    rows = trace.spread(statement.steps, condition=statement.condition)
    subject = Subject(view, trace.steps(rows), target, key=key)
    maps = _maps(statement.technique, subject, trace)
    pixels = {statement.of: trace.column(f"object.{statement.of}", rows)}
    own, alone = (object_mass(each, pixels)[statement.of] for each in (maps, replace(maps, values=maps.null)))
    lead, episode = own - alone, trace.episode[rows]
    known = np.isfinite(lead)
    if not known.any():
        raise ConfigError(f"'{statement.of}' is to be seen at no step, or the map is 0 everywhere.")
    means = [lead[known & (episode == e)].mean() for e in np.unique(episode[known])]
    return interval(means, "mean", resamples=2000)


def _checked(
    statement: Statement, view: PolicyView, trace: Trace, target: str | Target | None, key: str | None, seed: int
) -> str | None:
    subject = Subject(view, trace.steps(trace.spread(CHECKED)), target, key=key)
    method = _methods(statement.technique, subject, trace)
    try:
        taught = students(view, trace, seed=seed)
    except ConfigError:  # what has no weights is checked by the rest
        taught = None
    return check(method, subject, taught=taught, seed=seed, most=5)[1].failed


def _methods(technique: str, subject: Subject, trace: Trace) -> Callable[[Subject], Maps]:
    return map_methods(subject, trace, [technique])[technique]


def _maps(technique: str, subject: Subject, trace: Trace) -> Maps:
    return _methods(technique, subject, trace)(subject)


def _statement(entry: object, where: str, view: PolicyView, conditions: Sequence[str] | None) -> Statement:
    metric = str(entry.get("metric")) if isinstance(entry, dict) else ""
    if isinstance(entry, dict) and metric not in METRICS:
        what = f"the metric '{metric}'" if "metric" in entry else "no metric"
        raise ConfigError(f"{where} names {what}; {closest(metric, METRICS)}")
    given = known_keys(entry, _KEYS.get(metric, ("metric",)), where)
    for needed in _NEEDED[metric]:
        if needed not in given:
            raise ConfigError(f"{where} has no {needed}: write {_EXAMPLE[metric]}.")
    named: dict[str, tuple[str, Sequence[str]]] = {}
    if "layer" in given:
        named["layer"] = str(given["layer"]), [*view.layers(), "observation", "state"]
    if "technique" in given:
        named["technique"] = str(given["technique"]), MAPS
    if "condition" in given and conditions is not None:
        named["condition"] = str(given["condition"]), conditions
    for what, (value, known) in named.items():
        if value not in known:
            raise ConfigError(f"{where} names the {what} '{value}', which there is not; {closest(value, known)}")
    low, high = (None, None) if metric == "sanity" else bounds_of(given, where)
    return Statement(
        metric, str(given.get("layer", "")), str(given.get("technique", "")), str(given.get("of", "")),
        None if given.get("condition") is None else str(given["condition"]), _count(given, "untrained", 0, 0, where),
        _count(given, "steps", STEPS, 1, where), low, high,
    )  # fmt: skip


def _count(given: Mapping[str, Any], name: str, default: int, least: int, where: str) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r} of {where} cannot be used: give a whole number, {least} or more.")
    return value
