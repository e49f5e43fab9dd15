"""``jostle domain record`` and ``jostle domain fit``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from jostle.cli.flags import named, parse, refuse_twice
from jostle.cli.play import console, refuse_existing
from jostle.cli.policies import is_zip, read_policy
from jostle.cli.recipe import parse_options
from jostle.errors import ConfigError
from jostle.yaml_text import dump_yaml

if TYPE_CHECKING:
    from jostle.reality import Log

SHOWN = 12
"""Quantities that are listed where none is named."""


@dataclass
class Record:
    """Play in an environment, and write its transitions to a log.

    Without a run the actions are random. With a domain of constants the environment is another one than its simulator:
    a system to try identification on.

    examples:
      jostle domain record jostle/Pendulum-v1 pendulum.npz --steps 400 --hold 5
      jostle domain record jostle/Pendulum-v1 real.npz --domain hidden.yaml
      jostle domain record jostle/Hopper-v5 hopper.npz --run runs/hopper --states
    """

    env: tyro.conf.Positional[Annotated[str, named("ENV")]]
    """Environment id."""
    out: tyro.conf.Positional[Annotated[Path, named("LOG")]]
    """The file to write, NumPy's .npz."""
    steps: int = 1000
    """Transitions."""
    num_envs: int = 1
    """Environments played together."""
    run: Path | None = None
    """The folder of the run whose agent plays, or a zip of Stable-Baselines3."""
    algo: str | None = None
    """The algorithm of a zip (ppo, a2c, dqn, sac, td3, ddpg), which does not tell it."""
    hold: int = 1
    """Random actions are held for so many steps."""
    states: bool = False
    """Write the simulator's full states too."""
    domain: Annotated[Path | None, named("FILE")] = None
    """What differs from the nominal environment."""
    env_options: Annotated[tuple[str, ...], named("[KEY=VALUE ...]")] = field(default=())
    """Options of the environment as key=value."""
    seed: int = 0
    """Seed of environment and actions."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""
    trust: tyro.conf.FlagCreatePairsOff[bool] = False
    """Run code that the run may name or hold."""


@dataclass
class Fit:
    """Estimate an environment's physics from a log of a real system, or of another simulator.

    Without --parameters: how much each quantity changes what is predicted. With them: the values that predict the log
    best, their intervals, what cannot be told apart, and a domain around them. Exits with 1 where the log does not tell
    all of them, or the search did not end.

    examples:
      jostle domain fit real.npz jostle/Pendulum-v1
      jostle domain fit real.npz jostle/Pendulum-v1 --parameters rod.mass rod.length --out identified.yaml
      jostle domain fit real.npz jostle/Hopper-v5 --parameters torso.mass --horizon 5 --loss huber
      jostle train ppo --env jostle/Pendulum-v1 --domain identified.yaml --steps 200000
    """

    log: tyro.conf.Positional[Annotated[Path, named("LOG")]]
    """NumPy's .npz with obs, action, next_obs and episode, as jostle domain record writes it."""
    env: tyro.conf.Positional[Annotated[str, named("ENV")]]
    """The environment whose simulator is fitted."""
    parameters: Annotated[tuple[str, ...], named("[NAME ...]")] = field(default=())
    """Quantities to estimate."""
    horizon: int = 1
    """Transitions predicted from each state."""
    loss: Literal["linear", "huber"] = "linear"
    """huber minds outliers less."""
    out: Annotated[Path | None, named("FILE")] = None
    """Write the domain here."""
    spread: Literal["normal", "uniform", "none"] = "normal"
    """Of the domain: the estimates' normal distribution, cut off; uniform; or the estimates themselves."""
    width: float = 3.0
    """The domain reaches so many standard deviations to each side."""
    least: float = 0.01
    """Standard deviation that each parameter has at least, as a share of its nominal value."""
    env_options: Annotated[tuple[str, ...], named("[KEY=VALUE ...]")] = field(default=())
    """Options of the environment as key=value."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the file if it exists."""


def record(arguments: list[str]) -> int:
    """``jostle domain record ENV LOG``"""
    refuse_twice(arguments, "--env-options")
    args = parse(Record, arguments, "jostle domain record")
    refuse_existing(args.out, args.overwrite)
    if args.out.suffix != ".npz":
        raise ConfigError(f"the log {args.out} is to be a .npz file: name it so.")
    from jostle.domain import Space
    from jostle.reality import record as recorded

    options = parse_options(args.env_options)
    if args.domain is not None:
        options["domain"] = Space.load(args.domain)
    policy = None
    if args.run is not None:
        zipped = is_zip(args.run)
        policy, _ = read_policy(
            args.run, algo=args.algo, env=args.env if zipped else None, env_options=options if zipped else {},
            device=None, which="newest", trust=args.trust,
        )  # fmt: skip
    log = recorded(
        args.env, args.steps, policy, num_envs=args.num_envs, seed=args.seed, hold=args.hold, states=args.states,
        env_options=options,
    )  # fmt: skip
    path = log.save(args.out)
    print(f"{path}: {len(log)} transitions of {len(set(log.episode.tolist()))} episodes of {log.env}.")
    return 0


def fit(arguments: list[str]) -> int:
    """``jostle domain fit LOG ENV``"""
    refuse_twice(arguments, "--env-options")
    refuse_twice(arguments, "--parameters")
    args = parse(Fit, arguments, "jostle domain fit")
    if args.out is not None:
        refuse_existing(args.out, args.overwrite)
        if not args.parameters:
            raise ConfigError("--out writes a domain of what --parameters names, and it names none.")
    from jostle.reality import Log
    from jostle.reality import fit as fitted

    log, options = Log.load(args.log), parse_options(args.env_options)
    if not args.parameters:
        return _told(log, args.env, options)
    found = fitted(log, args.parameters, args.env, horizon=args.horizon, loss=args.loss, env_options=options)
    columns, rows = found.table()
    _print(columns, rows)
    print(
        f"{found.transitions} transitions, predicted {found.horizon} ahead: error {found.fitted_error:.3g} of what "
        f"changes in a step, {found.nominal_error:.3g} under nominal values."
    )
    doubts = [f"{blurred}." for blurred in found.blurred]
    doubts += [
        f"{name} lies at the end of its range: what makes up for it may lie elsewhere." for name in found.at_bounds
    ]
    if not found.converged:
        doubts.append("the search did not end: begin elsewhere, or name fewer parameters.")
    print("\n".join(doubts), end="\n" if doubts else "")
    if args.out is not None:
        text = dump_yaml(found.space(args.spread, width=args.width, least=args.least).data())
        try:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {args.out} ({error.strerror}): choose another file.") from error
        print(f"{args.out}: a domain around the estimates.")
    return 1 if found.blurred or not found.converged else 0


def _told(log: "Log", env: str, options: dict[str, Any]) -> int:
    """What the log tells of each quantity, one at a time."""
    from jostle.reality import sensitivities

    found = sensitivities(log, env, env_options=options)
    telling = {name: value for name, value in found.items() if value > 0}
    _print(
        ("name", "change of a step's prediction, per 100% of the nominal value"),
        [(name, f"{value:.3g}") for name, value in list(telling.items())[:SHOWN]],
    )
    rest = len(telling) - SHOWN
    if rest > 0:
        print(f"and {rest} more that change predictions.")
    print("Name those to estimate with --parameters; the others keep their nominal values.")
    return 0


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console().print(table)
