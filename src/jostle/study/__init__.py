"""Many runs together: studies of tasks, methods and seeds; what runs were asked to do, and how they differ."""

from typing import TYPE_CHECKING, Any

from jostle.study.jobs import Job
from jostle.study.records import Record, find_records, methods, read_record
from jostle.study.results import Results, read
from jostle.study.spec import Study, make_study, read_study

if TYPE_CHECKING:
    from jostle.study.cluster import on_ray
    from jostle.study.run import run_study

__all__ = [
    "Job",
    "Record",
    "Results",
    "Study",
    "find_records",
    "make_study",
    "methods",
    "on_ray",
    "read",
    "read_record",
    "read_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    """Late: running needs torch or Ray, which lists of runs do not."""
    if name not in ("on_ray", "run_study"):
        raise AttributeError(f"module 'jostle.study' has no attribute '{name}'")
    if name == "on_ray":
        from jostle.study.cluster import on_ray

        return on_ray
    from jostle.study.run import run_study

    return run_study
