"""``jostle envs`` and ``jostle presets``."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from jostle import presets as stored
from jostle.cli.flags import named, parse
from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.envs.catalogue import EnvDescription


@dataclass
class Envs:
    """List environments whose id or family contains a text, or show one with its spaces and options.

    examples:
      jostle envs
      jostle envs minigrid
      jostle envs jostle/DeepSea-v0
    """

    filter: Annotated[tyro.conf.Positional[str], named("FILTER")] = ""
    """A part of the id or of the family; an exact id, or the only one that fits, is shown in full."""


@dataclass
class Presets:
    """List settings worth starting from, or print one as YAML.

    examples:
      jostle presets
      jostle presets cartpole-noisy > mine.yaml
    """

    name: Annotated[tyro.conf.Positional[str | None], named("NAME")] = None
    """The preset to print."""


def presets(arguments: list[str]) -> int:
    """``jostle presets [NAME]``"""
    args = parse(Presets, arguments, "jostle presets")
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
    from jostle.envs.catalogue import describe, list_envs, nearest_ids  # late, so that help is quick

    if ":" in args.filter:  # module:Name-v0 stands in no list before its module is imported
        _show(describe(args.filter))
        return 0
    found = list_envs(args.filter)
    exact = [info for info in found if info.id == args.filter]
    chosen = exact or (found if len(found) == 1 else [])
    if chosen:
        _show(describe(chosen[0].id))
        return 0
    if not found:
        raise ConfigError(f"no environment contains '{args.filter}'; {nearest_ids(args.filter)}")
    width = max(len(info.id) for info in found)
    for info in found:
        print(f"{info.id:{width}}  {info.engine:10}  {info.family}")
    print(f"{len(found):,} environments; jostle envs ID shows one with its spaces and options.", file=sys.stderr)
    return 0


def _show(about: "EnvDescription") -> None:
    print(f"{about.id} ({about.engine})")
    print(f"observation  {about.observation_space}")
    print(f"action       {about.action_space}")
    for index, (option, default) in enumerate(about.options.items()):
        print(f"{'' if index else 'options':12} {option}={default!r}")
