"""``jostle envs`` and ``jostle presets``."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from jostle import presets as stored
from jostle.cli.flags import named, parse
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.envs.catalogue import EnvDescription, EnvInfo


@dataclass
class Envs:
    """List the families of environments, those whose id or family contains a text, or one with its spaces and options.

    examples:
      jostle envs
      jostle envs minigrid
      jostle envs jostle/DeepSea-v0
    """

    filter: Annotated[tyro.conf.Positional[str], named("FILTER")] = ""
    """A part of the id or of the family; an exact id, or the only one that fits, is shown in full. Without it: the
    families."""


@dataclass
class Presets:
    """List settings worth starting from, print one as YAML, or show in what two differ.

    examples:
      jostle presets
      jostle presets cartpole-noisy > mine.yaml
      jostle presets rnd-atari --diff rnd-atari-cleanrl
    """

    name: Annotated[tyro.conf.Positional[str | None], named("NAME")] = None
    """The preset to print."""
    diff: Annotated[str | None, named("OTHER")] = None
    """Show every value in which NAME differs from this preset."""


def presets(arguments: list[str]) -> int:
    """``jostle presets [NAME]``"""
    args = parse(Presets, arguments, "jostle presets")
    if args.diff is not None:
        if args.name is None:
            raise ConfigError(f"two presets can differ: jostle presets NAME --diff {args.diff}")
        _show_differences(args.name, args.diff)
        return 0
    if args.name is not None:
        print(stored.text(args.name), end="")
        return 0
    names = stored.names()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {stored.describe(name)}")
    return 0


def envs(arguments: list[str]) -> int:
    """``jostle envs [FILTER]``"""
    args = parse(Envs, arguments, "jostle envs")
    from jostle.envs.catalogue import describe, list_envs, nearest_ids, to_install  # late, so that help is quick

    if ":" in args.filter:  # module:Name-v0 stands in no list before its module is imported
        _show(describe(args.filter))
        return 0
    if not args.filter:
        _show_families(list_envs())
        hint = "jostle envs FAMILY lists one, jostle envs ID shows an environment with its spaces and options"
        print(f"{hint}{to_install('')}.", file=sys.stderr)
        return 0
    found = list_envs(args.filter, plugins=True)
    exact = [info for info in found if info.id == args.filter]
    chosen = exact or (found if len(found) == 1 else [])
    if chosen:
        _show(describe(chosen[0].id))
        return 0
    if not found:
        hint = to_install(args.filter)
        raise ConfigError(f"no environment contains '{args.filter}'{hint}; {nearest_ids(args.filter)}")
    width = max(len(info.id) for info in found)
    for info in found:
        print(f"{info.id:{width}}  {info.engine:10}  {info.family}")
    print(
        f"{len(found):,} environments{to_install('')}; jostle envs ID shows one with its spaces and options.",
        file=sys.stderr,
    )
    return 0


def _show_families(found: "list[EnvInfo]") -> None:
    """A line for each family: how many there are, on which engine, and the first of them."""
    families: dict[str, list[EnvInfo]] = {}
    for info in found:
        families.setdefault(info.family, []).append(info)
    width = max(map(len, families))
    for family, members in sorted(families.items()):
        print(f"{family:{width}}  {len(members):5,}  {members[0].engine:10}  such as {members[0].id}")


def _show_differences(name: str, other: str) -> None:
    """A table of the values in which two presets differ; what a file leaves out has its default."""
    a, b = stored.resolved(name), stored.resolved(other)
    rows = [(key, a.get(key, "—"), b.get(key, "—")) for key in [*a, *(k for k in b if k not in a)]]
    lines = [("", name, other), *((key, str(x), str(y)) for key, x, y in rows if x != y)]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _show(about: "EnvDescription") -> None:
    print(f"{about.id} ({about.engine})")
    print(f"observation  {about.observation_space}")
    print(f"action       {about.action_space}")
    for index, (option, default) in enumerate(about.options.items()):
        print(f"{'' if index else 'options':12} {option}={default!r}")
