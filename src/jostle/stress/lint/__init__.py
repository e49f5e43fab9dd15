"""Randomisation that proves itself: `jostle domain check`."""

from jostle.stress.lint.checks import domain_check
from jostle.stress.lint.findings import QUESTIONS, Finding, Report, write_junit

__all__ = ["QUESTIONS", "Finding", "Report", "domain_check", "write_junit"]
