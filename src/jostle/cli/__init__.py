"""The command ``jostle``. Nothing heavy is imported before a command needs it, so that help is quick."""

import contextlib
import importlib
import itertools
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from jostle import __version__
from jostle.errors import ConfigError, JostleError, closest

COMMANDS = {
    "train dqn": ("jostle.cli.train:train_dqn", "train DQN and its family (double, dueling, n-step, NoisyNet)"),
    "train ppo": ("jostle.cli.train:train_ppo", "train PPO, with intrinsic rewards if you like (RND, ICM, E3B)"),
    "resume": ("jostle.cli.resume:resume", "go on with a run that ended or was stopped"),
    "evaluate": ("jostle.cli.play:evaluate", "mean return of a run's agent, with its 95% interval"),
    "stress": ("jostle.cli.stress:stress", "test agents under conditions seen and unseen, with intervals and checks"),
    "explain": (
        "jostle.cli.explain:explain",
        "what an agent looks at and holds: saliency, weights, ablations, with nulls and checks",
    ),
    "compare": ("jostle.cli.compare:compare", "is one agent, or one method, worse than another, on the same episodes?"),
    "study": ("jostle.cli.study:study", "tasks × methods × seeds from one file, with tables, curves and a report"),
    "report": ("jostle.cli.report:report", "one offline page of a study or of runs: the answer, curves, tables"),
    "runs": ("jostle.cli.runs:runs", "list runs: how far, how good, and in which settings they differ"),
    "plot": ("jostle.cli.runs:plot", "learning curves of runs, a curve a method with its band"),
    "watch": ("jostle.cli.play:watch", "a video of a run's agent"),
    "doctor": ("jostle.cli.health:doctor", "check that a run's network, noise, target and replay are healthy"),
    "domain": ("jostle.cli.domain:domain", "what of an environment can vary, and its physics from a log"),
    "envs": ("jostle.cli.lists:envs", "list families or environments, or show one with its spaces and options"),
    "presets": ("jostle.cli.lists:presets", "list settings worth starting from, or print one"),
}
"""Each command: where its function is (it takes the remaining arguments and returns the exit code), what it does."""

EXAMPLES = """examples:
  jostle train dqn --preset cartpole-noisy
  jostle train dqn --env jostle/DeepSea-v0 --steps 50000 --noisy factorised --run-dir runs/deepsea
  jostle train ppo --env jostle/DeepSea-v0 --env-options size=20 --steps 500000 --bonus rnd
  jostle evaluate runs/deepsea --episodes 100 --noise mean
  jostle stress runs/catch --suite themes
  jostle explain runs/catch
  jostle compare runs/old runs/new --fail-on-regression
  jostle report runs
  jostle watch runs/deepsea --video deepsea.mp4
  jostle resume runs/deepsea --steps 50000
  jostle doctor runs/deepsea
  jostle envs cartpole"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 (a check failed), 2 (an error), 130 (Ctrl-C), 143 (SIGTERM)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("JOSTLE_DEBUG", "0") not in ("", "0")
    arguments = [a for a in arguments if a != "--debug"]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # so that `module:Name-v0` finds a file beside the user, but shadows nothing
    try:
        with _plain_warnings():
            return _dispatch(arguments)
    except JostleError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `jostle envs | head`: the reader has gone; nothing may be flushed to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as end:  # tyro's help (0); SIGTERM (143)
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:  # nothing foreseen: a full disk at the standard output, no memory, a fault of our own
        if debug:
            traceback.print_exc()
        print(f"error: {_unforeseen(error)}", file=sys.stderr)
        return 2


def _algorithm_of(arguments: list[str]) -> str | None:
    """The algorithm of the preset that is asked for; None without."""
    from jostle import presets

    for flag, name in itertools.pairwise(arguments):
        if flag == "--preset" and name in presets.names():
            return str(presets.load(name)["algorithm"])
    return None


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"jostle {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    algorithms = [known.split()[1] for known in COMMANDS if known.startswith("train ")]
    if name == "train":
        if not rest or rest[0].startswith("-"):
            if not {"-h", "--help"} & set(rest):
                wanted = _algorithm_of(rest) or algorithms[0]
                raise ConfigError(f"train needs an algorithm: jostle train {wanted} {' '.join(rest)}".rstrip())
            rest = [algorithms[0], *rest]
        if rest[0] not in algorithms:
            raise ConfigError(f"there is no algorithm '{rest[0]}' to train; {closest(rest[0], algorithms)}")
        name, rest = f"train {rest[0]}", rest[1:]
    if name not in COMMANDS:
        raise ConfigError(f"there is no command '{name}'; {closest(name, [known.split()[0] for known in COMMANDS])}")
    module, function = COMMANDS[name][0].split(":")
    command: Any = getattr(importlib.import_module(module), function)
    return int(command(rest))


def overview() -> str:
    """What ``jostle --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jostle COMMAND …",
            "",
            "Randomisation in deep reinforcement learning: train agents, and see what the noise bought.",
            "",
            "commands:",
            *lines,
            "",
            "  jostle COMMAND --help   options and examples of a command",
            "  jostle --version",
            "  --debug                 with any command: show where an error comes from (or JOSTLE_DEBUG=1)",
            "",
            EXAMPLES,
        ]
    )


def _sentence(error: Exception) -> str:
    text = str(error).strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _unforeseen(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, MemoryError):
        return f"out of memory ({text or 'no details'}): choose smaller numbers or fewer environments."
    if isinstance(error, OSError):
        return f"{text}: make room, or check the file and its permissions."
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"an unforeseen {what} (--debug shows where it comes from; please report it)."


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """jostle's own warnings in one line on the standard error; everybody else's as they are."""

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module=r"jostle(\.|$)")
        warnings.showwarning = show  # type: ignore[assignment]  # only its first argument is of interest
        yield
