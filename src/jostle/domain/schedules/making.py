"""A schedule from its name and settings, as files, commands and Python give them."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jostle.domain.schedules.adr import ADR
from jostle.domain.schedules.doraemon import DORAEMON
from jostle.domain.schedules.interface import Schedule
from jostle.domain.schedules.linear import LinearSchedule
from jostle.domain.schedules.plr import PLR
from jostle.domain.schedules.rollback import Rollback
from jostle.domain.schedules.uniform import UniformSchedule
from jostle.domain.space import Bound
from jostle.errors import ConfigError, closest
from jostle.yaml_file import read_yaml
from jostle.yaml_text import parse_yaml, plain

KINDS: dict[str, type[Any]] = {s.kind: s for s in (UniformSchedule, LinearSchedule, ADR, DORAEMON, Rollback, PLR)}
_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*$", re.DOTALL)


def schedule_data(given: "str | Path | Mapping[str, Any]") -> dict[str, Any]:
    """A schedule's name and settings as data: ``{"adr": {"high": 1600, "low": 800}}``.

    Args:
        given: this; or its short forms ``"uniform"`` and ``"adr(high=1600, low=800)"``; or a YAML file of it.

    Raises:
        ConfigError: an unknown schedule or setting.
    """
    if isinstance(given, Path) or (isinstance(given, str) and given.endswith((".yaml", ".yml"))):
        given = read_yaml(Path(given), "domain schedule")
    if isinstance(given, str):
        found = _CALL.match(given)
        if found is None:
            raise ConfigError(f"domain_schedule={given!r} is no schedule: write it as adr(high=1600, low=800).")
        given = {found[1]: _settings(found[2] or "", given)}
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ConfigError(
            f"domain_schedule={given!r} is no schedule: give one of {', '.join(KINDS)}, with its settings."
        )
    ((kind, settings),) = plain(dict(given)).items()
    if kind not in KINDS:
        raise ConfigError(f"the domain schedule {kind!r} is unknown; {closest(str(kind), KINDS)}")
    settings = {} if settings is None else settings
    if not isinstance(settings, Mapping):
        raise ConfigError(f"the settings of the domain schedule {kind} must be a mapping, not {settings!r}.")
    _check(kind, settings)
    return {kind: dict(settings)}


def make_schedule(given: "str | Path | Mapping[str, Any]", bound: Bound) -> Schedule:
    """A schedule over a space.

    Raises:
        ConfigError: an unknown schedule or setting, or one that does not go with the space.
    """
    ((kind, settings),) = schedule_data(given).items()
    made: Schedule = KINDS[kind](bound, **settings)
    return made


def _check(kind: str, settings: Mapping[str, Any]) -> None:
    known = dict(list(inspect.signature(KINDS[kind]).parameters.items())[1:])
    for name, value in settings.items():
        if name not in known:
            offered = closest(str(name), known) if known else "it has none"
            raise ConfigError(f"the domain schedule {kind} has no setting {name!r}; {offered}")
        text = isinstance(known[name].default, str) or name in ("score", "parameter")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        optional = value is None and known[name].default is None
        if not optional and (not isinstance(value, str) if text else not number):
            raise ConfigError(
                f"{name}={value!r} of the domain schedule {kind} must be a {'text' if text else 'number'}."
            )
    missing = [n for n, p in known.items() if p.default is inspect.Parameter.empty and n not in settings]
    if missing:
        example = ", ".join(f"{n}=…" for n in missing)
        raise ConfigError(f"the domain schedule {kind} needs {' and '.join(missing)}: write it as {kind}({example}).")


def _settings(text: str, whole: str) -> dict[str, Any]:
    """``high=1600, low=800`` as a mapping."""
    out: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, found, value = part.partition("=")
        if not found:
            raise ConfigError(f"domain_schedule={whole!r} is no schedule: write it as adr(high=1600, low=800).")
        out[name.strip()] = parse_yaml(value.strip())
    return out
