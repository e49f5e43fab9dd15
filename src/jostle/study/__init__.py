"""Many runs together: studies of tasks, methods and seeds; what runs were asked to do, and how they differ."""

from typing import TYPE_CHECKING, Any

from jostle.study.records import Record, find_records, methods, read_record
from jostle.study.results import Results, read
from jostle.study.spec import Job, Study, make_study, read_study

if TYPE_CHECKING:
    from jostle.study.run import run_study

__all__ = [
    "Job",
    "Record",
    "Results",
    "Study",
    "find_records",
    "make_study",
    "methods",
    "read",
    "read_record",
    "read_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name != "run_study":
        raise AttributeError(f"module 'jostle.study' has no attribute '{name}'")
    from jostle.study.run import run_study  # late, for it needs torch, and lists of runs do not

    return run_study
