"""``jostle envs`` and ``jostle presets``."""

import sys
from dataclasses import dataclass

import tyro

from jostle import presets as stored
from jostle.errors import ConfigError, closest


@dataclass
class Envs:
    """List environments whose id or family contains a text, or show one with its spaces and options.

    examples:
      jostle envs
      jostle envs minigrid
      jostle envs jostle/DeepSea-v0
    """

    filter: tyro.conf.Positional[str] = ""
    """A part of the id or of the family; an exact id, or the only one that fits, is shown in full."""


@dataclass
class Presets:
    """List settings worth starting from, or print one as YAML.

    examples:
      jostle presets
      jostle presets cartpole-noisy > mine.yaml
    """

    name: tyro.conf.Positional[str | None] = None
    """The preset to print."""


def presets(arguments: list[str]) -> int:
    """``jostle presets [NAME]``"""
    args = tyro.cli(Presets, prog="jostle presets", args=arguments)
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
    args = tyro.cli(Envs, prog="jostle envs", args=arguments)
    from jostle.envs.catalogue import describe, list_envs  # late, so that help is quick

    found = list_envs(args.filter)
    exact = [info for info in found if info.id == args.filter]
    chosen = exact or (found if len(found) == 1 else [])
    if chosen:
        about = describe(chosen[0].id)
        print(f"{about.id} ({about.engine})")
        print(f"observation  {about.observation_space}")
        print(f"action       {about.action_space}")
        for title, option, default in zip(
            ["options", *[""] * len(about.options)], about.options, about.options.values(), strict=False
        ):
            print(f"{title:12} {option}={default!r}")
        return 0
    if not found:
        near = closest(args.filter, [info.id for info in list_envs()])
        hint = near if near.startswith("did") else "jostle envs lists them all"
        raise ConfigError(f"no environment contains '{args.filter}'; {hint}")
    width = max(len(info.id) for info in found)
    for info in found:
        print(f"{info.id:{width}}  {info.engine:10}  {info.family}")
    print(f"{len(found):,} environments; jostle envs ID shows one with its spaces and options.", file=sys.stderr)
    return 0
