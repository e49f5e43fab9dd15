"""How many places the training has seen."""

from markupsafe import Markup

from jostle.report.html import join, tag
from jostle.report.material import Material
from jostle.report.section import Section
from jostle.report.sections.curves import pair

PLACES = {"rooms": "rooms", "cells": "places"}


def coverage(material: Material) -> Section | None:
    """Charts of every measure of coverage that was logged."""
    parts: list[Markup | None] = []
    for task in material.tasks:
        names = {name for run in material.of(task) if run.record for row in run.record.rows[-3:] for name in row}
        for metric in sorted(name for name in names if name.startswith("coverage/") and "per_episode" not in name):
            if not _grows(material, task, metric):
                continue
            what = PLACES.get(metric.removeprefix("coverage/"), metric.removeprefix("coverage/"))
            found = pair(material, task, metric, f"different {what} seen", f"Different {what} seen on {task}.")
            if found is not None:
                parts += [tag("h3", task) if len(material.tasks) > 1 else None, found]
    if not parts:
        return None
    told = "How many different places the training has seen so far, whatever it was rewarded for."
    return Section("Coverage", join(tag("p", told, class_="quiet"), parts), "coverage")


def _grows(material: Material, task: str, metric: str) -> bool:
    """Some training saw more than what all had seen by their first line: else there is nothing to be seen."""
    told = [found[1] for run in material.of(task) if (found := run.series(metric)) is not None]
    return len({float(value) for values in told for value in values}) > 1
