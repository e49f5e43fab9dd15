"""`explain_policy`: trace, techniques, their checks, figures and videos, in one folder."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from jostle.errors import ConfigError
from jostle.explain.asking import Subject, Target, ask
from jostle.explain.methods import feature_methods, map_methods
from jostle.explain.results import Importance, Maps
from jostle.explain.results.gallery import plot_gallery
from jostle.explain.results.objects import object_mass
from jostle.explain.results.video import record_maps
from jostle.explain.sanity import Sanity, check
from jostle.explain.sanity.permuted import Students, students
from jostle.explain.tracing import Trace, trace
from jostle.store.files import replace_file
from jostle.view import PolicyView, as_view
from jostle.view.interface import EnvSource

FILES = ("summary.json", "summary.md", "gallery.png", "saliency.mp4")
FOLDERS = ("trace", "maps", "features", "sanity")
VIDEO = "blur"
"""The technique of the video."""
LAYERS = 5
"""Layers after which maps are made with fresh weights; deep networks would take minutes for all."""
Notify = Callable[[int, int, str], None]


@dataclass
class Explanation:
    """What `explain_policy` found.

    Attributes:
        folder: where the files are.
        trace: the episodes.
        found: maps, or the importance of features, by the technique's name.
        sanity: checks of techniques.
        masses: of each technique on each object whose pixels are known, and of the picture alone; see `object_mass`.
        left_out: what was not done, and why.
        seconds: that it took.
        complete: nobody stopped it.
    """

    folder: Path
    trace: Trace
    found: dict[str, Maps | Importance] = field(default_factory=dict)
    sanity: dict[str, Sanity] = field(default_factory=dict)
    masses: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = True

    def rows(self) -> list[dict[str, str]]:
        """A line a technique: what failed, the likeness to the picture alone, after fresh weights, the gain."""
        return [self._row(name, found) for name, found in self.found.items()]

    def _row(self, name: str, found: Maps | Importance) -> dict[str, str]:
        sanity = self.sanity.get(name)
        cascade = None if sanity is None or sanity.cascade is None else sanity.cascade.last
        permuted = None if sanity is None or sanity.permuted is None else float(sanity.permuted.alike.mean())
        gain = None if sanity is None else float(sanity.curves.gain.mean())
        null = float(np.nanmean(found.like_null)) if isinstance(found, Maps) else None
        masses = self.masses.get(name, {})
        best = "" if isinstance(found, Maps) else found.names[int(found.mean.argmax())]
        row = {
            "technique": found.method,
            "explains": found.target,
            "like the picture alone": _number(null),
            "like fresh weights": _number(cascade),
            "like permuted actions": _number(permuted),
            "gain": _number(gain),
            **{f"on {what}": f"{own:.1f} ({alone:.1f})" for what, (own, alone) in masses.items()},
            "verdict": "not checked" if sanity is None else sanity.failed or "passed",
        }
        if not isinstance(found, Maps):
            row = {"technique": found.method, "explains": found.target, "most important": best}
        return row

    def as_dict(self) -> dict[str, Any]:
        """Plain data without maps."""
        about = self.trace.about
        return {
            "policy": about.policy,
            "fingerprint": about.fingerprint,
            "env": about.env,
            "noise": about.noise,
            "episodes": len(self.trace.episodes),
            "steps": len(self.trace),
            "mean return": float(np.mean([e.ret for e in self.trace.episodes])),
            "techniques": self.rows(),
            "left out": self.left_out,
            "seconds": round(self.seconds, 1),
            "complete": self.complete,
        }

    def markdown(self) -> str:
        """A page with the table and what was left out."""
        data, rows = self.as_dict(), self.rows()
        about = f"{data['episodes']} episodes, {data['steps']:,} steps, noise {data['noise']}"
        lines = [f"# {data['policy']} in {data['env']}", "", f"{about}, mean return {data['mean return']:.4g}.", ""]
        if rows:
            heads = list(rows[0])
            lines += [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
            lines += [f"| {' | '.join(row[head] for head in heads)} |" for row in rows]
            lines += [""]
        if self.sanity:
            lines += [_LEGEND, ""]
        lines += [f"Left out: {name}: {why}" + "\n" for name, why in self.left_out.items()]
        return "\n".join(lines)


_LEGEND = (
    "The columns *like* are rank correlations of absolute maps: with the saliency of the picture alone, with the maps "
    "of a network with fresh weights, and between two networks that learned the policy's actions as they are and "
    "exchanged between the steps. *Gain*: by how much deletion and insertion beat the same map shifted at random. A "
    "technique fails above 0.5 in the second or third, or at a gain of 0 or less. *On* an object: the share of the map "
    "that lies on its pixels over its share of the picture, and that of the picture alone."
)


def explain_policy(
    policy: Any,
    folder: str | Path,
    *,
    target: str | Target | None = None,
    methods: Sequence[str] | None = None,
    steps: int = 6,
    episodes: int = 5,
    max_steps: int = 200,
    layers: Sequence[str] = (),
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    max_size: str | int = "1GB",
    key: str | None = None,
    sanity: bool = True,
    sanity_steps: int = 3,
    video: bool = True,
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    notify: Notify = lambda _done, _total, _what: None,
    stop: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Look inside of a policy: record episodes, apply the techniques that fit it, check them, and write it all down.

    The policy is not changed. What cannot be done with it is left out, and said.

    Args:
        policy: whatever `jostle.as_view` takes.
        folder: a new one.
        target: the number that is explained (`jostle.explain.asking.targets`); None: the action's log-probability, its
            value, or the first mean of a continuous one.
        methods: techniques by name (`jostle.explain.methods`); None: all that fit.
        steps: how many are explained, at equal distances over the trace.
        episodes, max_steps, layers, conditions, noise, actions, seed, env, env_options, max_size: see
            `jostle.explain.trace`.
        key: which part of a dictionary is explained.
        sanity: check the techniques (of pictures).
        sanity_steps: at how many of the steps.
        video: record one of the first episode.
        overwrite: replace what an earlier one left in the folder.
        announce: called with a sentence about the size of the trace, before it is made.
        notify: called with units done, in all, and what comes next.
        stop: asked between units; what is done until then is kept.

    Raises:
        ConfigError: an argument cannot be used.
        EnvError: the environment failed.
    """
    begun, folder = time.perf_counter(), Path(folder)
    if steps < 1 or sanity_steps < 1:
        raise ConfigError(f"steps={steps} and sanity_steps={sanity_steps} must be at least 1.")
    _require_free(folder, overwrite)
    view = as_view(policy)
    notify(0, 1, "trace")
    recorded = trace(
        view, folder / "trace", episodes=episodes, max_steps=max_steps, layers=layers, conditions=conditions,
        noise=noise, actions=actions, seed=seed, env=env, env_options=env_options, max_size=max_size,
        overwrite=overwrite, announce=announce, stop=stop,
    )  # fmt: skip
    found = Explanation(folder, recorded)
    each = max(1, steps // len(recorded.about.conditions))
    rows = np.concatenate([recorded.spread(each, condition=name) for name in recorded.about.conditions])
    subject = ask(view, recorded.steps(rows), target, key=key)
    try:
        subject.layout()
    except ConfigError as error:
        found.left_out["maps of pictures"] = str(error)
        _features(found, recorded, subject, methods, notify, stop)
    else:
        _maps(found, subject, methods, sanity_steps if sanity else 0, video, notify, stop)
    found.seconds = time.perf_counter() - begun
    try:
        replace_file(folder / "summary.json", json.dumps(found.as_dict(), indent=1) + "\n")
        replace_file(folder / "summary.md", found.markdown())
    except OSError as error:
        raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
    return found


def _features(
    found: Explanation,
    recorded: Trace,
    subject: Subject,
    names: Sequence[str] | None,
    notify: Notify,
    stop: Callable[[], bool],
) -> None:
    """Of vectors, more steps are explained, for they cost next to nothing."""
    many = Subject(subject.view, recorded.steps(recorded.spread(256)), subject.target, key=subject.key)
    methods = feature_methods(many, names)
    for place, (name, method) in enumerate(methods.items()):
        if stop():
            found.complete = False
            return
        notify(place, len(methods), name)
        try:
            found.found[name] = method(many)
        except ConfigError as error:
            found.left_out[name] = str(error)
            continue
        found.found[name].save(found.folder / "features", name)


def _maps(
    found: Explanation,
    subject: Subject,
    names: Sequence[str] | None,
    checked: int,
    video: bool,
    notify: Notify,
    stop: Callable[[], bool],
) -> None:
    methods = map_methods(subject, found.trace, names)
    total = len(methods) * (2 if checked else 1) + bool(checked) + bool(video)
    done = 0

    def goes_on(what: str) -> bool:
        nonlocal done
        if stop():
            found.complete = False
            return False
        notify(done, total, what)
        done += 1
        return True

    for name, method in methods.items():
        if not goes_on(name):
            break
        try:
            found.found[name] = method(subject)
        except ConfigError as error:
            found.left_out[name] = str(error)
    few = None
    if checked and found.complete:
        among = np.linspace(0, len(subject.steps) - 1, min(checked, len(subject.steps)))
        few = subject.only(among.round().astype(int))
    taught = _taught(found, subject.view) if few is not None and goes_on("students of permuted actions") else None
    for name in list(found.found) if few is not None else []:
        if not goes_on(f"checks of {name}"):
            break
        assert few is not None
        _, sanity = check(methods[name], few, taught=taught, most=LAYERS)
        found.sanity[name] = sanity
        sanity.save(found.folder / "sanity", name)
        own = found.found[name]
        assert isinstance(own, Maps)
        found.found[name] = own.marked(sanity.failed)
    _on_objects(found, subject)
    made = [maps for maps in found.found.values() if isinstance(maps, Maps)]
    for name, each in found.found.items():
        each.save(found.folder / "maps", name)
    if made:
        title = f"{found.trace.about.policy} in {found.trace.about.env}"
        plot_gallery(made, title=title).savefig(found.folder / "gallery.png", dpi=200)
    if video and found.complete and goes_on("video"):
        _video(found, subject)


def _on_objects(found: Explanation, subject: Subject) -> None:
    rows = subject.steps.rows
    pixels = {name: found.trace.column(f"object.{name}", rows) for name in found.trace.objects}
    for name, maps in found.found.items():
        if isinstance(maps, Maps) and all(p.shape == maps.values.shape for p in pixels.values()):
            own, alone = object_mass(maps, pixels), object_mass(replace(maps, values=maps.null), pixels)
            found.masses[name] = {what: (_mean(own[what]), _mean(alone[what])) for what in pixels}


def _mean(values: Float[np.ndarray, "B"]) -> float:
    """Of the numbers that there are; NaN where there are none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _taught(found: Explanation, view: PolicyView) -> Students | None:
    try:
        return students(view, found.trace)
    except ConfigError as error:
        found.left_out["permuted actions"] = str(error)
        return None


def _video(found: Explanation, subject: Subject) -> None:
    """Of the first episode, by blurs, with the verdict on these."""
    steps = found.trace.steps(found.trace.rows(episode=0))
    episode = Subject(subject.view, steps, subject.target, key=subject.key)
    try:
        maps = map_methods(episode, found.trace, [VIDEO])[VIDEO](episode)
        record_maps(maps, found.folder / "saliency.mp4", overwrite=True)
    except ConfigError as error:
        found.left_out["video"] = str(error)


def _require_free(folder: Path, overwrite: bool) -> None:
    """Raises: ConfigError where the folder holds what may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another name for the folder.")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names - {*FILES, *FOLDERS}:
        other = min(names - {*FILES, *FOLDERS})
        raise ConfigError(f"{folder} holds other files, such as {other}: give the explanation a folder of its own.")
    if names and not overwrite:
        raise ConfigError(f"{folder} holds an explanation already: choose another folder, or give overwrite=True.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
