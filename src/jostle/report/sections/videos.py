"""The worst episodes of each method, played anew and shown within the page."""

import base64
import tempfile
import warnings
from pathlib import Path

from markupsafe import Markup

from jostle.errors import JostleError
from jostle.report.html import join, tag
from jostle.report.material import Material, Run
from jostle.report.section import Section
from jostle.report.svg.lines import swatch
from jostle.report.words import counted, number

PLAYED = 16
"""Episodes of which the worst ones are shown."""
LONGEST = 400
"""Frames of an episode, after which its video ends."""
_ROOM = 5_500_000  # bytes of all videos together, before they grow by a third as text
_FIRST = 20_000  # seed of the first episode


def videos(material: Material) -> Section | None:
    """As many episodes a method and task as were asked for; nothing without that."""
    if not material.videos:
        return None
    figures: list[Markup] = []
    left = _ROOM
    for task in material.tasks:
        for method in material.methods_of(task):
            run = _worst_run(material, task, method)
            if run is None:
                continue
            try:
                for film, caption in _films(material, run):
                    if len(film) > left:
                        material.notes.append(
                            f"A video of {method} on {task} is left out: the page would be too large."
                        )
                        continue
                    left -= len(film)
                    figures.append(_figure(material, method, film, f"{task}: {caption}"))
            except (JostleError, OSError) as error:
                material.notes.append(f"There is no video of {method} on {task}: {error}")
    if not figures:
        return None
    told = (
        f"Of {PLAYED} episodes in environments seeded for each, without noise and by the best actions, those with the "
        "least return, of each method's worst run."
    )
    grid = tag("div", figures, class_="videos")
    return Section("Worst episodes", join(tag("p", told, class_="quiet"), grid), "videos")


def _worst_run(material: Material, task: str, method: str) -> Run | None:
    """The run of the least score whose folder is there."""
    measures = material.measures(task)
    measure = "evaluate" if "evaluate" in measures else "training"
    scores = material.scores(task, measure).get(method, {}) if measure in measures else {}
    there = [run for run in material.of(task, method) if run.record]
    return min(there, key=lambda run: scores.get(run.seed, float("inf")), default=None)


def _films(material: Material, run: Run) -> list[tuple[bytes, str]]:
    """Bytes and captions of the worst episodes of a run."""
    import jostle  # late, for it needs torch, and reports without videos do not
    from jostle.envs import make_env
    from jostle.envs.make import capped
    from jostle.nn.inference import Inference
    from jostle.stress.pairs.matched import play_matched
    from jostle.view import as_view, source_of
    from jostle.watch import record

    assert run.record is not None
    material.notify(f"videos: {run.task}, {run.method}, seed {run.seed}")
    agent = jostle.load(run.record.path, replay=False, trust=material.trust)
    found = []
    try:
        view = as_view(agent)
        options = dict(view.env_options)
        env = make_env(source_of(view, None), PLAYED, seed=_FIRST, **capped(options, PLAYED))
        try:
            played = play_matched(view, env, PLAYED, noise=Inference.parse("mean"), seed=_FIRST)
        finally:
            env.close()
        assert played is not None
        order = sorted(range(PLAYED), key=lambda k: (played.returns[k], k))[: material.videos]
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*did not end within")
            for k in order:
                path = Path(folder) / f"{k}.mp4"
                video = record(view, path, episodes=1, seed=played.seeds[k], max_frames=LONGEST)
                cut = "" if video.cut is None else f", cut after {counted(video.frames, 'frame')}"
                told = f"return {number(float(played.returns[k]))}, training seed {run.seed}"
                found.append((path.read_bytes(), f"{told}, episode seed {played.seeds[k]}{cut}"))
    finally:
        agent.env.close()
    return found


def _figure(material: Material, method: str, film: bytes, caption: str) -> Markup:
    source = f"data:video/mp4;base64,{base64.b64encode(film).decode()}"
    shown = tag("video", controls=True, loop=True, muted=True, playsinline=True, preload="metadata", src=source,
                aria_label=f"{method}, {caption}")  # fmt: skip
    return tag("figure", shown, tag("figcaption", swatch(material.colour(method)), " ", method, ". ", caption))
