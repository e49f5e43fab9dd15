"""``jostle domain``: what of an environment can vary, what a file makes of it, and what a log says of it."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jostle.cli.flags import named, parse
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError, closest

if TYPE_CHECKING:
    from jostle.envs.world import World

PARTS = {
    "show": ("jostle.cli.domain:show", "what can vary in an environment, and what a file draws of it"),
    "check": ("jostle.cli.domain_check:check", "does each parameter act, where it should and nowhere else?"),
    "record": ("jostle.cli.domain_fit:record", "write transitions of an environment to a log"),
    "fit": ("jostle.cli.domain_fit:fit", "estimate physics from a log, and a domain around the estimate"),
}
"""Each part: where its function is (it takes the remaining arguments and returns the exit code), what it does."""


@dataclass
class Show:
    """What of an environment can vary: names, units, nominal values and the bounds within which they make sense.

    With a file of a domain: what it draws, and the values that come of it.

    examples:
      jostle domain show jostle/Pendulum-v1
      jostle domain show jostle/Hopper-v5 --filter torso
      jostle domain show jostle/Hopper-v5 --domain masses.yaml
    """

    env: tyro.conf.Positional[Annotated[str, named("ENV")]]
    """Environment id."""
    domain: Annotated[Path | None, named("FILE")] = None
    """A domain, checked against the environment and shown with the values that it reaches."""
    env_options: Annotated[tuple[str, ...], named("[KEY=VALUE ...]")] = field(default=())
    """Options of the environment as key=value."""
    filter: str = ""
    """Show only quantities whose name contains this."""


def domain(arguments: list[str]) -> int:
    """``jostle domain PART …``"""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] not in PARTS:
        raise ConfigError(f"jostle domain has no part '{arguments[0]}'; {closest(arguments[0], PARTS)}")
    module, function = PARTS[arguments[0]][0].split(":")
    part: Any = show if module == __name__ else getattr(importlib.import_module(module), function)
    return int(part(arguments[1:]))


def overview() -> str:
    """What the parts do."""
    width = max(map(len, PARTS))
    lines = [f"  jostle domain {name:{width}}  {what}" for name, (_, what) in PARTS.items()]
    examples = [
        "examples:",
        "  jostle domain show jostle/Pendulum-v1",
        "  jostle domain check Hopper-v5 masses.yaml",
        "  jostle domain fit real.npz jostle/Pendulum-v1 --parameters rod.mass rod.length --out identified.yaml",
    ]
    usage = "usage: jostle domain PART …"
    return "\n".join([usage, "", *lines, "", *examples, "", "jostle domain PART --help says more."])


def show(arguments: list[str]) -> int:
    """``jostle domain show ENV``"""
    args = parse(Show, arguments, "jostle domain show")
    from jostle.domain import Space
    from jostle.domain.table import QUANTITY_COLUMNS, lines_of, quantity_rows
    from jostle.envs.make import make_env, where_it_varies

    space = None if args.domain is None else Space.load(args.domain)
    env = make_env(args.env, 1, **parse_options(args.env_options))
    try:
        world = env.world
        if world is None:
            raise ConfigError(f"{env.id} on {env.engine} offers nothing that could vary: {where_it_varies(env.id)}.")
        if space is not None:
            print(space.bind(world.quantities, env.id))
            return 0
        found = [q for q in world.quantities.values() if args.filter in q.name]
    finally:
        env.close()
    if not found:
        raise ConfigError(f"no quantity of {args.env} contains '{args.filter}'; {closest(args.filter, _names(world))}")
    print("\n".join(lines_of(QUANTITY_COLUMNS, quantity_rows(found))))
    return 0


def _names(world: "World") -> list[str]:
    return list(world.quantities)
