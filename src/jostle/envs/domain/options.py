"""The options of `make_env` that are the domain's, as plain data that a run's folder holds, and their switches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jostle.domain import Space
from jostle.domain.schedules import schedule_data
from jostle.envs.past import LONGEST
from jostle.errors import ConfigError
from jostle.plain import as_count

DOMAIN_OPTIONS = ("domain", "domain_schedule", "domain_privileged", "domain_seen", "domain_history")
SpaceLike = str | Path | Mapping[str, Any] | Space


def domain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an environment with those of the domain as plain data: files are read, short forms written out, and
    what says nothing is left out.

    Raises:
        ConfigError: a domain or schedule that cannot be read.
    """
    out = {name: value for name, value in options.items() if name not in DOMAIN_OPTIONS or value is not None}
    for name in ("domain", "domain_seen"):
        if name in out:
            out[name] = Space.load(out[name]).data()
    if "domain_schedule" in out:
        out["domain_schedule"] = schedule_data(out["domain_schedule"])
    privileged = out.get("domain_privileged", False)
    if not isinstance(privileged, bool):
        raise ConfigError(f"domain_privileged={privileged!r} cannot be used: it must be True or False.")
    if not privileged:
        out.pop("domain_privileged", None)
    history = as_count(out.get("domain_history", 0))
    if type(history) is not int or not 0 <= history <= LONGEST:
        raise ConfigError(
            f"domain_history={history!r} cannot be used: give the number of steps to remember, 0 (none) to {LONGEST}."
        )
    out.pop("domain_history", None)
    return out | ({"domain_history": history} if history else {})


def whole_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same of all options of an environment.

    Raises:
        ConfigError: also where a schedule, or what would be told, has no domain.
    """
    out = domain_options(options)
    if "domain_schedule" in out and "domain" not in out:
        raise ConfigError("domain_schedule says how a domain is drawn, and there is none: give domain=… too.")
    if "domain_privileged" in out and "domain" not in out and "domain_seen" not in out:
        raise ConfigError("domain_privileged tells the draws of a domain, and there is none: give domain=… too.")
    return out


def off(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training, with nothing randomised: what evaluation plays in unless it is asked otherwise.

    Observations stay of the same space: what the critic was told is told of the nominal world.
    """
    out = {name: value for name, value in options.items() if name not in ("domain", "domain_schedule")}
    if "domain" in options and "domain_seen" not in options:
        out["domain_seen"] = options["domain"]
    return out


def asked(options: Mapping[str, Any], domain: SpaceLike | None) -> dict[str, Any]:
    """The options under which a policy is tested.

    Args:
        options: of its training.
        domain: None: nothing is randomised; "train": the whole domain of the training; else another one.

    Raises:
        ConfigError: a training without a domain, or a domain that cannot be read.
    """
    out = off(options)
    if domain is None:
        return out
    if isinstance(domain, str) and domain == "train":
        if "domain_seen" not in out:
            raise ConfigError(
                "domain='train' asks for the domain of the training, and it had none: give a file, or leave it out."
            )
        return out | {"domain": out["domain_seen"]}
    return out | {"domain": Space.load(domain).data()}
