"""The run folder, checkpoints, metrics, progress and signals. Handles plain dicts and knows no algorithm."""

from jostle.store.best import best_value, load_best, save_best
from jostle.store.checkpoint import load_checkpoint, save_checkpoint
from jostle.store.commit import working_commit
from jostle.store.metrics import Metrics, read_metrics
from jostle.store.progress import Progress
from jostle.store.run import Run
from jostle.store.signals import Stop, catch_signals
from jostle.store.tree import Segmented

__all__ = [
    "Metrics",
    "Progress",
    "Run",
    "Segmented",
    "Stop",
    "best_value",
    "catch_signals",
    "load_best",
    "load_checkpoint",
    "read_metrics",
    "save_best",
    "save_checkpoint",
    "working_commit",
]
