"""Many runs together: what they were asked to do, how they differ, their curves."""

from jostle.study.records import Record, find_records, methods, read_record

__all__ = ["Record", "find_records", "methods", "read_record"]
