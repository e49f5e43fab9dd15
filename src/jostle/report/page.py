"""The page: its parts in order, and the file."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from jostle import __version__
from jostle.errors import ConfigError
from jostle.report.gather import check_baseline, gather
from jostle.report.material import Material
from jostle.report.section import SectionOf
from jostle.report.sections.about import about, facts
from jostle.report.sections.answer import answer
from jostle.report.sections.comparison import comparison
from jostle.report.sections.coverage import coverage
from jostle.report.sections.curves import curves
from jostle.report.sections.health import health
from jostle.report.sections.inside import inside
from jostle.report.sections.physics_pair import physics_pair
from jostle.report.sections.physics_sets import physics_sets
from jostle.report.sections.physics_sobol import physics_sobol
from jostle.report.sections.physics_sweep import physics_sweep
from jostle.report.sections.physics_worst import physics_worst
from jostle.report.sections.profiles import profiles
from jostle.report.sections.repeat import repeat
from jostle.report.sections.scores import scores
from jostle.report.sections.search import search
from jostle.report.sections.settings import mixtures, settings
from jostle.report.sections.stress import stress
from jostle.report.sections.videos import videos as worst
from jostle.report.sections.world import world

SECTIONS: list[SectionOf] = [
    answer, curves, stress, physics_sets, physics_sweep, physics_pair, physics_sobol, physics_worst,
    scores, profiles, comparison, coverage, world, inside, worst, health, search, settings, repeat,
]  # fmt: skip
"""The parts of the page in order. A function more here is a part more there."""
LARGEST = 10_000_000
"""Characters of a page beyond which it is called large."""
_MARK = '<meta name="generator" content="jostle'


def write_report(
    folders: Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    title: str | None = None,
    baseline: str | None = None,
    videos: int = 0,
    trust: bool = False,
    overwrite: bool = False,
    sections: Sequence[SectionOf] | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write one HTML file of everything that lies in these folders, and return its path.

    Args:
        folders: a study's, runs', stress tests', or some that hold such.
        out: the file; None: ``report.html`` in the first folder. An earlier report there is replaced.
        title: of the page; None: the folders' names.
        baseline: the method that the others are compared with; None: the first of each task.
        videos: how many of the worst episodes are recorded and shown.
        trust: for videos, the module that a run may name may be imported.
        overwrite: replace also a file that is no report.
        sections: the parts; None: `SECTIONS`.
        notify: is told of what takes long.

    Raises:
        CheckpointError: there is nothing that can be shown.
        ConfigError: the file cannot be written, or an argument cannot be used.
    """
    given = [folders] if isinstance(folders, Path | str) else list(folders)
    places = [Path(folder) for folder in given]
    if not places:
        raise ConfigError("a report needs a folder: give that of a study, or of runs.")
    target = Path(out) if out is not None else places[0] / "report.html"
    _refuse(target, overwrite)
    material = gather(places, title)
    check_baseline(material, baseline)
    material.videos, material.trust, material.notify = videos, trust, notify
    text = render(material, sections)
    if len(text) > LARGEST:
        notify(
            f"the page has {len(text) / 1e6:.0f} MB: give fewer folders, or ask for fewer videos, and it loads sooner"
        )
    _write(target, text)
    return target


def render(material: Material, sections: Sequence[SectionOf] | None = None) -> str:
    """The page as text."""
    parts = [part for make in (SECTIONS if sections is None else sections) if (part := make(material)) is not None]
    home = resources.files("jostle.report") / "assets"
    style, script, template = (
        (home / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html")
    )
    now = datetime.now(UTC)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        title=material.title,
        lead=about(material),
        facts=facts(material),
        notes=[*mixtures(material), *material.notes],
        sections=parts,
        style=Markup(style),
        script=Markup(script),
        version=__version__,
        made=f"{now.day} {now:%B %Y, %H:%M} UTC",
    )


def _refuse(target: Path, overwrite: bool) -> None:
    """Raises: ConfigError where a folder stands, or another file."""
    try:
        if target.is_dir():
            raise ConfigError(f"{target} is a folder: give a file, such as {target / 'report.html'}.")
        if target.exists() and not overwrite:
            with target.open(encoding="utf-8", errors="replace") as file:
                if _MARK not in file.read(2000):
                    raise ConfigError(f"{target} exists and is no report: choose another file, or give --overwrite.")
    except OSError as error:
        raise ConfigError(f"cannot write {target} ({error.strerror}): choose another file with --out.") from error


def _write(target: Path, text: str) -> None:
    """The file, whole or not at all."""
    staged = target.with_name(f".staging-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staged.write_text(text, encoding="utf-8")
            os.replace(staged, target)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {target} ({error.strerror}): make room, or choose another file with --out."
        ) from error
