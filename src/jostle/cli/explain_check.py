"""Statements about the inside, for ``jostle explain --assert FILE.yaml``: read first, judged on the trace."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.explain.statements import Statement
    from jostle.explain.tracing import Trace
    from jostle.view import PolicyView

JUNIT = "junit.xml"
"""The file's name in the folder of the explanation, unless another one is asked for."""


def read_first(
    checks: Path | None, junit: Path | None, policy: "PolicyView", conditions: Sequence[str] | None = None
) -> "list[Statement]":
    """The statements of a file, before anything is recorded; none without a file.

    Raises:
        ConfigError: it cannot be read or names what there is not, or results are asked for and no file is given.
    """
    if checks is None:
        if junit is not None:
            raise ConfigError("--junit is for the results of statements: give --assert FILE.yaml, too.")
        return []
    from jostle.explain.statements import read_statements  # late, so that help is quick

    return read_statements(checks, policy, conditions)


def judge(
    statements: "Sequence[Statement]",
    policy: "PolicyView",
    trace: "Trace",
    junit: Path,
    *,
    target: str | None = None,
    key: str | None = None,
    seed: int = 0,
    quiet: bool = False,
    notify: Callable[[int, int, str], None] = lambda _done, _total, _what: None,
) -> int:
    """Measure the statements, write JUnit's XML, print what failed, and return the exit code: 1 where one did.

    Raises:
        ConfigError: the file cannot be written.
    """
    if not statements:
        return 0
    from jostle.explain.statements import run_statements
    from jostle.stress.checks import write_junit

    how: dict[str, Any] = {"target": target, "key": key, "seed": seed, "notify": notify}
    verdicts = run_statements(policy, trace, statements, **how)
    try:
        junit.parent.mkdir(parents=True, exist_ok=True)
        write_junit(junit, verdicts, trace.about.env, "jostle explain")
    except OSError as error:
        raise ConfigError(f"cannot write {junit} ({error.strerror}): choose another file.") from error
    failed = [verdict for verdict in verdicts if verdict.failure is not None]
    for verdict in failed:
        print(verdict)
    if not quiet:
        print(f"{len(verdicts) - len(failed)} of {len(verdicts)} statements hold")
    return int(bool(failed))
