"""The gap between a simulator and the system that it stands for: identification from logs, and control by planning."""

from jostle.reality.estimate import Blurred, Fit
from jostle.reality.fitting import fit, sensitivities
from jostle.reality.log import Log
from jostle.reality.model import Model
from jostle.reality.planner import Planner
from jostle.reality.recording import record

__all__ = ["Blurred", "Fit", "Log", "Model", "Planner", "fit", "record", "sensitivities"]
