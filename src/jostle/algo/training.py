"""Runs any agent: logs, saves, shows progress, and ends cleanly on a signal. It knows no algorithm."""

import contextlib
import dataclasses
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from jostle.algo.heap import keep_heap
from jostle.algo.settings import check_type, plain
from jostle.envs import JostleEnv
from jostle.errors import ConfigError, EnvError, JostleError
from jostle.store import Metrics, Progress, Run, catch_signals


class Trainable(Protocol):
    """What training needs of an agent; see `jostle.algo.agent.Agent`."""

    finite: ClassVar[tuple[str, ...]]
    config: Any
    device: torch.device
    env: JostleEnv
    steps: int
    returns: deque[float]
    metrics: dict[str, float]
    planned: int

    @property
    def sees_pictures(self) -> bool: ...
    @property
    def sees_large_pictures(self) -> bool: ...
    def advance(self) -> None: ...
    def drain_metrics(self) -> dict[str, float]: ...
    def state_dict(self, *, replay: bool = True) -> dict[str, Any]: ...
    def meta(self) -> dict[str, Any]: ...


A = TypeVar("A", bound=Trainable)


@dataclass(frozen=True)
class Schedule:
    """When training ends, logs and saves, in environment steps."""

    total: int
    log_every: int
    checkpoint_every: int
    save_replay: bool = True

    @classmethod
    def of(
        cls,
        steps: int,
        *,
        start: int = 0,
        log_every: int | None,
        checkpoint_every: int | None,
        save_replay: bool = True,
    ) -> "Schedule":
        """The schedule of ``steps`` more steps from ``start`` on, with defaults for what is None.

        Raises:
            ConfigError: a number that is not positive.
        """
        steps, log_every, checkpoint_every = plain(steps), plain(log_every), plain(checkpoint_every)
        log_every = max(1_000, steps // 100) if log_every is None else log_every
        checkpoint_every = max(10_000, steps // 10) if checkpoint_every is None else checkpoint_every
        for name, value in (("steps", steps), ("log_every", log_every), ("checkpoint_every", checkpoint_every)):
            if value < 1:
                raise ConfigError(f"{name}={value} cannot be used: it must be at least 1.")
        return cls(start + steps, log_every, checkpoint_every, save_replay)

    @classmethod
    def from_mapping(cls, values: object) -> "Schedule":
        """The schedule of a run's config.yaml.

        Raises:
            ConfigError: it is missing, or holds what no schedule can.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not names - {"save_replay"} <= set(values) <= names:
            raise ConfigError(
                f"the section 'training' of config.yaml must hold {', '.join(sorted(names))}; restore it."
            )
        for name, value in values.items():
            check_type(f"training.{name}", value, bool if name == "save_replay" else int)
            if name != "save_replay" and value < 1:
                raise ConfigError(f"training.{name}={value} cannot be used: it must be at least 1.")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a configuration file."""
        return dataclasses.asdict(self)


def train(
    agent: A,
    schedule: Schedule,
    *,
    run: Run | None = None,
    metrics_offset: int | None = None,
    callback: Callable[[A], bool | None] | None = None,
    progress: bool = False,
) -> None:
    """Train until the schedule's total.

    Args:
        metrics_offset: metrics of the run after this byte are dropped first: they come again.

    Raises:
        KeyboardInterrupt, SystemExit: after Ctrl-C or SIGTERM, once the agent is saved.
        JostleError: the environment failed or the loss is not finite; the newest good checkpoint stays.
    """
    agent.planned = schedule.total
    metrics = Metrics(run.path) if run else None
    if metrics and metrics_offset is not None:
        metrics.cut(metrics_offset, agent.steps)
    clock, counted = time.perf_counter(), agent.steps

    def log() -> None:
        nonlocal clock, counted
        values = agent.drain_metrics()
        now = time.perf_counter()
        values["charts/SPS"] = (agent.steps - counted) / max(now - clock, 1e-9)
        values["charts/FPS"] = values["charts/SPS"] * agent.env.frame_skip
        clock, counted = now, agent.steps
        agent.metrics = values
        if metrics:
            metrics.log(agent.steps, values)
        _check_finite(values, agent.steps)

    def save() -> None:
        if run and metrics:
            meta = agent.meta() | {"metrics_offset": metrics.offset()}
            run.save(agent.steps, agent.state_dict(replay=schedule.save_replay), meta, finite=agent.finite)

    bar = Progress(schedule.total, start=agent.steps, quiet=not progress)
    with (
        contextlib.closing(metrics) if metrics else contextlib.nullcontext(),
        threads(agent),
        bar,
        catch_signals() as stop,
    ):
        if run and not run.checkpoints():
            save()  # from here on a kill at any moment leaves something to resume
        while agent.steps < schedule.total and stop.signal is None:
            before = agent.steps
            try:
                agent.advance()
            except EnvError:
                if not agent.env.can_snapshot:  # what was learned is saved; its episodes are lost in any case
                    save()
                raise
            if _crossed(before, agent.steps, schedule.log_every) or agent.steps >= schedule.total:
                log()
            if _crossed(before, agent.steps, schedule.checkpoint_every):
                save()
            bar.update(agent.steps, _headline(agent))
            if callback is not None and callback(agent) is False:
                break
        save()
    if stop.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _headline(agent: Trainable) -> dict[str, float]:
    """The numbers that a progress bar shows: return, loss, and what drives and shows exploration."""
    out = {}
    if agent.returns:
        out["return"] = sum(agent.returns) / len(agent.returns)
    for name in ("td_loss", "value"):
        if f"losses/{name}" in agent.metrics:
            out["loss"] = agent.metrics[f"losses/{name}"]
    for name, value in agent.metrics.items():
        part = name.split("/")
        if part[0] == "bonus" and part[-1] == "reward_mean":
            out[part[1]] = value
        elif name == "coverage/rooms":
            out["rooms"] = value
    return out


def _check_finite(values: dict[str, float], steps: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise JostleError(
                f"training diverged: {name} is {value} at step {steps}; lower the learning rate or max_grad_norm. "
                "Checkpoints saved before are untouched."
            )


@contextlib.contextmanager
def threads(agent: Trainable) -> Iterator[None]:
    """Torch's thread count as the agent's settings have it, and as it was afterwards; for pictures, a kept heap.

    Small networks are faster on one thread than on two: the work is shorter than handing it over.
    """
    if agent.sees_large_pictures and agent.device.type == "cpu":
        keep_heap()
    before = torch.get_num_threads()
    wanted = agent.config.threads or (before if agent.sees_pictures else 1)
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
