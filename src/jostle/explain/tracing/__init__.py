"""Episodes recorded once, to plain files, which every technique then reads."""

from jostle.explain.tracing.fingerprint import fingerprint
from jostle.explain.tracing.reading import Steps, Trace, read_trace
from jostle.explain.tracing.recording import trace

__all__ = ["Steps", "Trace", "fingerprint", "read_trace", "trace"]
