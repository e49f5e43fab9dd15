"""The errors that users see: one sentence that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class JostleError(Exception):
    """Base of every error that jostle raises on purpose. The command prints it in one line and exits with 2."""


class ConfigError(JostleError, ValueError):
    """An option, a configuration key or an argument that cannot be used."""


class EnvError(JostleError, RuntimeError):
    """An environment that cannot be made, was given a wrong action, or failed while stepping."""


class CheckpointError(JostleError, RuntimeError):
    """A run folder or checkpoint that cannot be written, or read back whole."""


def closest(name: str, candidates: Iterable[str], count: int = 3) -> str:
    """A clause that offers the nearest known names, to be appended to "unknown …".

    >>> closest("gama", ["gamma", "seed"])
    'did you mean gamma?'
    >>> closest("zzz", ["CartPole-v1", "Acrobot-v1"])
    'known: Acrobot-v1, CartPole-v1'
    """
    known = sorted(set(candidates))
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), list(lower), n=count, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(lower[n] for n in near)}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"known: {shown}"
