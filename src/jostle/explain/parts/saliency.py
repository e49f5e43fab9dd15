"""What the policy looks at: maps of pictures with their checks, a gallery and a video; of vectors the features."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.explain.asking import Subject
from jostle.explain.methods import feature_methods, map_methods
from jostle.explain.parts.bench import Bench
from jostle.explain.parts.progress import Stopped
from jostle.explain.results import Maps
from jostle.explain.results.gallery import plot_gallery
from jostle.explain.results.numbers import Number
from jostle.explain.results.objects import object_mass
from jostle.explain.results.video import record_maps
from jostle.explain.sanity import check
from jostle.explain.sanity.changes import ChangedObjects, change_objects
from jostle.explain.sanity.intervening import intervention
from jostle.explain.sanity.permuted import Students, students

VIDEO = "blur"
"""The technique of the video."""
LAYERS = 5
"""Layers after which maps are made with fresh weights; deep networks would take minutes for all."""
FEATURE_STEPS = 256
"""Of vectors more steps are explained, for they cost next to nothing."""


def saliency(bench: Bench) -> None:
    """All techniques that fit what is seen."""
    try:
        bench.subject.layout()
    except ConfigError as error:
        bench.found.left_out["maps of pictures"] = str(error)
        _features(bench)
        return
    stopped: Stopped | None = None
    try:
        _made(bench)
        _checked(bench)
    except Stopped as asked:
        stopped = asked
    _written(bench)
    if stopped is not None:
        raise stopped
    if bench.asked.video:
        with bench.attempt("video"):
            _video(bench)


def require_known(bench: Bench) -> None:
    """Raises: ConfigError where a technique that was asked for does not exist, or not for what is seen."""
    if bench.pictures:
        map_methods(bench.subject, bench.found.trace, bench.asked.methods)
    else:
        feature_methods(bench.subject, bench.asked.methods)


def _features(bench: Bench) -> None:
    found, subject = bench.found, bench.subject
    rows = found.trace.spread(FEATURE_STEPS)
    many = Subject(subject.view, found.trace.steps(rows), subject.target, key=subject.key)
    methods = feature_methods(many, bench.asked.methods)
    checked = bool(bench.asked.checked)
    bench.progress.expect(len(methods) * (1 + checked) + checked)
    for name, method in methods.items():
        with bench.attempt(name):
            one = method(many)
            one.save(found.folder / "features", name)
            found.found[name] = one
            bench.own.figures[f"features/{name}.png"] = f"How much each feature matters, by {one.method}, {one.target}."
    changed = _changed(bench) if checked else None
    if changed is None:
        return
    for name in found.found:
        with bench.attempt(f"checks of {name}"):
            tested = intervention(methods[name], changed, seed=bench.asked.seed)
            tested.save(found.folder / "sanity", f"{name}_intervention")
            found.interventions[name] = tested


def _made(bench: Bench) -> None:
    methods = map_methods(bench.subject, bench.found.trace, bench.asked.methods)
    checked = bool(bench.asked.checked)
    bench.progress.expect(len(methods) * (2 if checked else 1) + 2 * checked + bench.asked.video)
    for name, method in methods.items():
        with bench.attempt(name):
            bench.found.found[name] = method(bench.subject)


def _checked(bench: Bench) -> None:
    found, subject, checked = bench.found, bench.subject, bench.asked.checked
    if not checked:
        return
    methods = map_methods(subject, found.trace, list(found.found))
    among = np.linspace(0, len(subject.steps) - 1, min(checked, len(subject.steps)))
    few = subject.only(among.round().astype(int))
    taught: Students | None = None
    with bench.attempt("permuted actions"):
        taught = students(subject.view, found.trace)
    changed = _changed(bench)
    for name, method in methods.items():
        with bench.attempt(f"checks of {name}"):
            _, sanity = check(method, few, taught=taught, changed=changed, most=LAYERS)
            found.sanity[name] = sanity
            sanity.save(found.folder / "sanity", name)
            own = found.found[name]
            assert isinstance(own, Maps)
            found.found[name] = own.marked(sanity.failed)


def _changed(bench: Bench) -> ChangedObjects | None:
    """Objects changed in the simulator, of environments whose objects are known."""
    subject = bench.subject
    with bench.attempt("objects changed in the simulator"):
        how: dict[str, Any] = {"target": subject.target, "key": subject.key, "seed": bench.asked.seed}
        return change_objects(subject.view, **how, **bench.asked.changes)
    return None


def _written(bench: Bench) -> None:
    """Maps with their verdicts, and the gallery."""
    found = bench.found
    _on_objects(bench)
    made = [maps for maps in found.found.values() if isinstance(maps, Maps)]
    for name, each in found.found.items():
        each.save(found.folder / "maps", name)
    if made:
        title = f"{found.trace.about.policy} in {found.trace.about.env}"
        plot_gallery(made, title=title).savefig(found.folder / "gallery.png", dpi=200)
        failed = [maps.method for maps in made if maps.failed]
        checks = f" Those that failed a check: {', '.join(dict.fromkeys(failed))}." if failed else ""
        bench.own.figures["gallery.png"] = (
            f"What {len(made)} techniques find at {len(bench.subject.steps)} steps, and the saliency of the picture "
            f"alone.{checks}"
        )


def _on_objects(bench: Bench) -> None:
    """The mass of each technique's maps on objects, over all steps, and condition by condition."""
    found, steps = bench.found, bench.subject.steps
    pixels = {name: found.trace.column(f"object.{name}", steps.rows) for name in found.trace.objects}
    conditions = np.array(steps.condition)
    for name, maps in found.found.items():
        if not isinstance(maps, Maps) or any(p.shape != maps.values.shape for p in pixels.values()):
            continue
        own, alone = object_mass(maps, pixels), object_mass(replace(maps, values=maps.null), pixels)
        found.masses[name] = {what: (_mean(own[what]), _mean(alone[what])) for what in pixels}
        for what in pixels:
            for condition in found.trace.about.conditions:
                at = conditions == condition
                level = _mean(alone[what][at])
                told = f"{name} on {what}, {condition}, over its share of the picture"
                null = (level, level) if np.isfinite(level) else None
                bench.own.numbers.append(Number(told, _mean(own[what][at]), "the picture alone", null))


def _mean(values: Float[np.ndarray, "B"]) -> float:
    """Of the numbers that there are; NaN where there are none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _video(bench: Bench) -> None:
    """Of the first episode, by blurs, with the verdict on these."""
    found, subject = bench.found, bench.subject
    steps = found.trace.steps(found.trace.rows(episode=0))
    episode = Subject(subject.view, steps, subject.target, key=subject.key)
    maps = map_methods(episode, found.trace, [VIDEO])[VIDEO](episode)
    record_maps(maps, found.folder / "saliency.mp4", overwrite=True)
