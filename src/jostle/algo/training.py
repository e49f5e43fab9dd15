"""Runs any agent: logs, evaluates, saves, shows progress, and ends cleanly. It knows no algorithm."""

import contextlib
import math
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

import torch

from jostle.algo.evaluating import Env, Evaluations
from jostle.algo.heap import keep_heap
from jostle.algo.schedule import Schedule
from jostle.algo.stretches import begin_stretch, end_stretch
from jostle.bonus.interface import SLOWER, VANISHED
from jostle.envs import JostleEnv
from jostle.errors import CheckpointError, EnvError, JostleError
from jostle.store import Metrics, Progress, Run, best_value, catch_signals, save_best


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
    planned_from: int

    @property
    def sees_pictures(self) -> bool: ...
    @property
    def sees_large_pictures(self) -> bool: ...
    def advance(self) -> None: ...
    def drain_metrics(self) -> dict[str, float]: ...
    def drain_logged(self, own: dict[str, float]) -> dict[str, float]: ...
    def state_dict(self, *, replay: bool = True) -> dict[str, Any]: ...
    def meta(self) -> dict[str, Any]: ...


A = TypeVar("A", bound=Trainable)
Callback: TypeAlias = Callable[[A], bool | None]


class Diverged(JostleError):
    """What is logged is not finite: nothing of this state is saved."""


def train(
    agent: A,
    schedule: Schedule,
    *,
    run: Run | None = None,
    metrics_offset: int | None = None,
    callback: Callback[A] | Sequence[Callback[A]] | None = None,
    eval_env: Env | None = None,
    progress: bool = False,
) -> None:
    """Train until the schedule's total.

    After each `advance`: metrics, an evaluation, the callbacks, a checkpoint; each where it is due, in this order.

    Args:
        metrics_offset: metrics of the run after this byte are dropped first: they come again.
        callback: one or several; training ends when one of them returns False.
        eval_env: where to evaluate, in place of what the schedule says.

    Raises:
        KeyboardInterrupt, SystemExit: after Ctrl-C or another signal, once the agent is saved.
        JostleError: the environment failed or the loss is not finite; the newest good checkpoint stays.
        Exception: a callback's, or an unforeseen one. Where it comes between two calls of `advance` the agent is saved
            first.
    """
    evaluations = Evaluations(schedule, eval_env)
    evaluations.check(agent)
    callbacks = [] if callback is None else [callback] if callable(callback) else list(callback)
    agent.planned, agent.planned_from = schedule.total, schedule.schedules_from
    metrics = Metrics(run.path) if run else None
    if metrics and metrics_offset is not None:
        metrics.cut(metrics_offset, agent.steps)
    clock, counted = time.perf_counter(), agent.steps
    evaluated: dict[str, float] = {}
    told: set[str] = set()  # bonuses that have vanished
    whole = True  # the agent's state, which can be saved
    best = best_value(run.path) if run and schedule.eval_every else -math.inf

    def log() -> None:
        nonlocal clock, counted
        values = agent.drain_metrics()
        now = time.perf_counter()
        values["charts/SPS"] = (agent.steps - counted) / max(now - clock, 1e-9)
        values["charts/FPS"] = values["charts/SPS"] * agent.env.frame_skip
        clock, counted = now, agent.steps
        values |= agent.drain_logged(values)
        agent.metrics = values | evaluated
        if metrics:
            metrics.log(agent.steps, values)
        _check_finite(values, agent.steps)
        _tell_vanished(values, agent.steps, told)

    def meta() -> dict[str, Any]:
        assert metrics
        return agent.meta() | {"metrics_offset": metrics.offset()}

    def evaluate() -> None:
        nonlocal clock, best
        before = time.perf_counter()
        evaluated.update(evaluations(agent))
        clock += time.perf_counter() - before  # the speed is the training's
        agent.metrics = agent.metrics | evaluated
        if run and metrics:
            metrics.log(agent.steps, evaluated)
            if evaluated["eval/return_mean"] > best:
                best = evaluated["eval/return_mean"]
                save_best(run.path, agent.steps, agent.state_dict(replay=False), meta(), best, finite=agent.finite)

    def save() -> None:
        nonlocal whole
        whole = False  # what cannot be saved is not tried again
        if run and metrics:
            run.save(agent.steps, agent.state_dict(replay=schedule.save_replay), meta(), finite=agent.finite)
        whole = True

    bar = Progress(schedule.total, start=agent.steps, quiet=not progress)
    ended = "failed"
    try:
        with (
            contextlib.closing(metrics) if metrics else contextlib.nullcontext(),
            threads(agent),
            bar,
            catch_signals() as stop,
        ):
            try:
                if run:
                    begin_stretch(run, agent.steps, str(agent.device))
                    if not run.checkpoints():
                        save()  # from here on a kill at any moment leaves something to resume
                while agent.steps < schedule.total and stop.signal is None:
                    before, whole = agent.steps, False
                    agent.advance()
                    whole = True
                    if _crossed(before, agent.steps, schedule.log_every) or agent.steps >= schedule.total:
                        log()
                    if schedule.eval_every and _crossed(before, agent.steps, schedule.eval_every):
                        evaluate()
                    bar.update(agent.steps, _headline(agent))
                    going = [call(agent) is not False for call in callbacks]  # all are called
                    if _crossed(before, agent.steps, schedule.checkpoint_every):
                        save()
                    if not all(going):
                        break
                save()
                ended = signal.Signals(stop.signal).name if stop.signal is not None else "finished"
                if ended == "finished" and agent.steps < schedule.total:
                    ended = "stopped by a callback"
            except BaseException as error:
                ended = f"failed: {type(error).__name__}"
                # What was learned before the environment failed is saved where its episodes are lost in any case.
                lost = isinstance(error, EnvError) and not agent.env.can_snapshot
                if run and (stop.signal is None or isinstance(error, Exception)):
                    _save_first(save, run, error, (whole or lost) and not isinstance(error, Diverged))
                raise
    finally:
        if run:
            with contextlib.suppress(CheckpointError):  # a full disk, of which more is said elsewhere
                end_stretch(run, agent.steps, ended, finished=agent.steps >= schedule.total)
    if stop.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)


def _save_first(save: Callable[[], None], run: Run, error: BaseException, whole: bool) -> None:
    """Before an exception goes on: save what is whole, and note at the exception what there is."""
    if whole:
        with contextlib.suppress(Exception):  # the one that comes first is told
            save()
    saved = run.checkpoints()
    if saved and not isinstance(error, JostleError):
        step = int(saved[-1].name.removeprefix("step_"))
        error.add_note(f"The run's newest checkpoint, to go on from, is that of step {step:,}.")


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _headline(agent: Trainable) -> dict[str, float]:
    """The numbers that a progress bar shows: return, loss, and what drives and shows exploration.

    Each has the name that it has in the metrics, whose first words are left out where that leaves no doubt.
    """
    out = {}
    if agent.returns:
        out["return_100"] = mean_return(agent.returns)
    shown = {"losses/td_loss": "td_loss", "losses/value": "losses/value", "eval/return_mean": "eval/return_mean"}
    out |= {short: agent.metrics[name] for name, short in shown.items() if name in agent.metrics}
    for name, value in agent.metrics.items():
        if name.startswith("bonus/") and name.endswith("/reward_mean"):
            out[name.removeprefix("bonus/")] = value
        elif name == "coverage/rooms":
            out["rooms"] = value
    return out


def mean_return(returns: Sequence[float]) -> float:
    """The mean of the returns that an agent keeps: ``charts/return_100`` of the metrics and the progress bar."""
    return sum(returns) / len(returns)


def _check_finite(values: dict[str, float], steps: int) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(
                f"training diverged: {name} is {value} at step {steps}; lower the learning rate or max_grad_norm. "
                "Checkpoints saved before are untouched."
            )


def _tell_vanished(values: dict[str, float], steps: int, told: set[str]) -> None:
    """Warn once of each bonus that is nothing any more beside what it was at first."""
    for name, left in values.items():
        kind, _, rest = name.partition("/")
        bonus, _, what = rest.partition("/")
        if kind == "bonus" and what == "left" and left < VANISHED and bonus not in told:
            told.add(bonus)
            warnings.warn(
                f"the bonus {bonus} has vanished at step {steps:,}: {left:.1e} of what it was at first is left. "
                f"Either everything is known, or its networks learn too fast: {SLOWER}.",
                stacklevel=2,
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
