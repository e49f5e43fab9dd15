"""What a study asks for of the inside of its agents, and of which of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from jostle.errors import ConfigError
from jostle.study.jobs import RANDOM
from jostle.study.yaml_parts import keys, mapping, whole_number

_EXPLAIN = (
    "parts", "methods", "target", "steps", "episodes", "max_steps", "changes", "conditions", "noise", "actions",
    "sanity", "video", "seed", "seeds",
)  # fmt: skip


def read_explanation(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """How agents are looked into; None where nobody asks for it.

    Raises:
        ConfigError: unknown keys, or values that cannot be used.
    """
    if given.get("explain") is None:
        return None
    found = keys(given["explain"], _EXPLAIN, "explain")
    for name in ("parts", "methods"):
        if name in found and not (isinstance(found[name], list) and all(isinstance(each, str) for each in found[name])):
            raise ConfigError(f"{name} of explain must be a list of names, not {found[name]!r}.")
    for kind in ("conditions", "changes"):
        for name, options in mapping(found.get(kind), kind, "explain").items():
            mapping(options, f"{kind.removesuffix('s')} '{name}'", "explain")
    for name, said in (("seeds", "seeds of explain"), ("sanity", "sanity of explain (true, false, or so many seeds)")):
        if name in found and not (name == "sanity" and isinstance(found[name], bool)):
            found[name] = whole_number(found[name], said)
    from jostle.explain.methods import require_names  # late, for it needs torch
    from jostle.explain.parts import chosen_parts

    chosen_parts(found.get("parts"))
    require_names(found.get("methods"))
    return found


def explanation_of(
    explain: Mapping[str, Any] | None, asked: Mapping[str, Any], seed: int, seeds: Sequence[int]
) -> dict[str, Any] | None:
    """Of a job: of the first so many of its method's seeds, where that was said, and never of play by chance.

    The techniques of the first so many alone are checked, where ``sanity`` is a number.
    """
    if explain is None or asked["algorithm"] == RANDOM or seed not in seeds[: explain.get("seeds")]:
        return None
    asked_for = {name: value for name, value in explain.items() if name != "seeds"}
    checked = explain.get("sanity")
    if checked is not None and not isinstance(checked, bool):
        asked_for["sanity"] = seed in seeds[:checked]
    return asked_for
