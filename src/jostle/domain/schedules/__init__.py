"""Schedules: how the distribution of the domain moves during a training."""

from jostle.domain.schedules.adr import ADR
from jostle.domain.schedules.doraemon import DORAEMON
from jostle.domain.schedules.interface import Proposal, Results, Schedule
from jostle.domain.schedules.linear import LinearSchedule
from jostle.domain.schedules.making import KINDS, make_schedule, schedule_data
from jostle.domain.schedules.plr import PLR
from jostle.domain.schedules.rollback import Rollback
from jostle.domain.schedules.uniform import UniformSchedule

__all__ = [
    "ADR",
    "DORAEMON",
    "KINDS",
    "PLR",
    "LinearSchedule",
    "Proposal",
    "Results",
    "Rollback",
    "Schedule",
    "UniformSchedule",
    "make_schedule",
    "schedule_data",
]
