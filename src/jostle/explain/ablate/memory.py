"""A policy's memory taken away: does it rely on what it has seen before?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.ablate.measure import changes_between
from jostle.explain.asking import Subject, ask
from jostle.explain.results.kept import keep
from jostle.explain.tracing import Steps, Trace
from jostle.view import PolicyView

if TYPE_CHECKING:
    import matplotlib.figure

RULES = ("zeroed", "held", "mean", "other")
"""What stands in for the recurrent state before a step: zeros; that behind the episode's first step; the mean over the
trace; that of another episode of the same condition at the same step."""


@dataclass(frozen=True)
class MemoryAblation:
    """What the memory is worth at B steps.

    Attributes:
        policy, measure: what was asked.
        rules: what was done to it.
        values: the change [R, B] by each of R rules.
        step: of its episode, each [B].
        null: mean changes of N untrained policies [N, R].
    """

    policy: str
    measure: str
    rules: list[str]
    values: Float[np.ndarray, "R B"]
    step: Int[np.ndarray, "B"]
    null: Float[np.ndarray, "N R"]

    @property
    def mean(self) -> Float[np.ndarray, "R"]:
        """Over the steps."""
        return np.asarray(self.values.mean(1))

    def plot(self) -> "matplotlib.figure.Figure":
        """Each rule's change, and how it goes over the episode."""
        from jostle.explain.ablate.figures import plot_memory

        return plot_memory(self)

    def save(self, folder: str | Path, name: str = "memory") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        data = {
            "policy": self.policy, "measure": self.measure, "null": self.null,
            "change": dict(zip(self.rules, self.mean.tolist(), strict=True)),
        }  # fmt: skip
        return keep(folder, name, data, self.plot, {"values": self.values, "step": self.step})


def memory_ablation(
    policy: Any,
    trace: Trace,
    *,
    rules: Sequence[str] = RULES,
    steps: int = 500,
    measure: str = "policy",
    null: Sequence[PolicyView] = (),
    seed: int = 0,
    key: str | None = None,
) -> MemoryAblation:
    """How a recurrent policy changes at single steps when another state stands before them.

    Everything but this one state is as in the trace. First steps of episodes, which have no memory, are left out.

    Args:
        policy, key: see `jostle.explain.ask`.
        trace: of the policy, of at least two episodes.
        rules: of `RULES`.
        steps: at most so many, at equal distances over the trace.
        measure: ``policy``, ``switched`` or ``value``.
        null: untrained policies, each of which goes through the observations with states of its own.
        seed: chooses the other episodes.

    Raises:
        ConfigError: the policy has no memory, or an unknown rule.
    """
    if "state" not in trace.columns:
        raise ConfigError(f"'{trace.about.policy}' has no recurrent state, so that there is no memory to take away.")
    for rule in rules:
        if rule not in RULES:
            raise ConfigError(f"the rule '{rule}' is unknown; {closest(rule, RULES)}")
    rows = trace.spread(steps)
    rows = rows[trace.column("step", rows) > 0]
    if not len(rows):
        raise ConfigError("every episode of the trace is a single step, before which there is no memory.")
    at = trace.steps(rows)
    subject = ask(policy, at, key=key)
    every = torch.from_numpy(trace.column("state")).transpose(0, 1)
    values = _changes(subject, at, trace, every, rules, measure, seed)
    nulls = [_null(subject, view, at, trace, rules, measure, seed).mean(1) for view in null]
    return MemoryAblation(
        subject.view.name, measure, list(rules), values, np.asarray(trace.column("step", rows)),
        np.stack(nulls) if nulls else np.zeros((0, len(rules))),
    )  # fmt: skip


def replaced(
    rule: str, at: Steps, trace: Trace, states: Float[Tensor, "S R H"], seed: int = 0
) -> Float[Tensor, "S B H"]:
    """The states that stand in by a rule.

    Args:
        rule: of `RULES`.
        at: B steps of a trace of R rows.
        trace: this one.
        states: before every row of it.
        seed: chooses the other episodes.
    """
    assert at.rows is not None
    assert at.episode is not None
    own = states[:, torch.from_numpy(at.rows)]
    if rule == "zeroed":
        return torch.zeros_like(own)
    if rule == "mean":
        later = torch.from_numpy(np.flatnonzero(trace.column("step") > 0))
        return states[:, later].mean(1, keepdim=True).expand_as(own).clone()
    episodes, steps = trace.episode, np.asarray(trace.column("step"))
    if rule == "held":
        second = {int(e): row for row, (e, s) in enumerate(zip(episodes, steps, strict=True)) if s == 1}
        return states[:, torch.tensor([second[int(e)] for e in at.episode])]
    return states[:, torch.from_numpy(_others(at, trace, seed))]


def _others(at: Steps, trace: Trace, seed: int) -> Int[np.ndarray, "B"]:
    """For each step a row of another episode of its condition: the same step, or its last where none lasts so long."""
    assert at.step is not None
    assert at.episode is not None
    rng = np.random.default_rng(seed)
    first = np.searchsorted(trace.episode, np.arange(len(trace.episodes)))
    lengths = np.bincount(trace.episode, minlength=len(trace.episodes))
    conditions = np.array([e.condition for e in trace.episodes])
    found = np.empty(len(at), np.int64)
    for row, (episode, step) in enumerate(zip(at.episode, at.step, strict=True)):
        among = np.flatnonzero((conditions == conditions[episode]) & (np.arange(len(conditions)) != episode))
        if not len(among):
            raise ConfigError("the state of another episode needs two episodes of each condition: record more.")
        long = among[lengths[among] > step]
        other = int(rng.choice(long if len(long) else among))
        found[row] = first[other] + min(int(step), int(lengths[other]) - 1)
    return found


def _changes(
    subject: Subject, at: Steps, trace: Trace, states: Tensor, rules: Sequence[str], measure: str, seed: int
) -> Float[np.ndarray, "R B"]:
    found = []
    for rule in rules:
        other = Subject(
            subject.view, replace(at, state=replaced(rule, at, trace, states, seed)), subject.target, key=subject.key
        )
        found.append(changes_between(subject, other).of(measure)[0])
    return np.stack(found)


def _null(
    subject: Subject, view: PolicyView, at: Steps, trace: Trace, rules: Sequence[str], measure: str, seed: int
) -> Float[np.ndarray, "R B"]:
    states = states_of(view, trace)
    assert at.rows is not None
    own = replace(at, state=states[:, torch.from_numpy(at.rows)], origin=None)
    return _changes(Subject(view, own, subject.target, key=subject.key), own, trace, states, rules, measure, seed)


@torch.no_grad()
def states_of(view: PolicyView, trace: Trace) -> Float[Tensor, "S R H"]:
    """The states before every row of a trace that another policy has when it goes through its observations."""
    steps = np.asarray(trace.column("step"))
    found: Tensor | None = None
    state: Tensor | None = None
    episodes = trace.episode
    # All episodes go on together: the rows of step 0, then those of step 1, and so on.
    before: dict[int, int] = {}
    for step in range(int(steps.max()) + 1):
        rows = np.flatnonzero(steps == step)
        own = trace.steps(rows)
        if step:
            assert state is not None
            state = state[:, torch.tensor([before[int(e)] for e in episodes[rows]])]
        how = {} if own.draw is None or view.noise is None else {"draw": own.draw}
        out = view.forward(own.obs, state=state, **how)
        if out.state is None:
            raise ConfigError(f"{view.name} has no recurrent state, so that it is no null of one that has.")
        if found is None:
            found = torch.zeros(out.state.shape[0], len(trace), out.state.shape[2])
        if state is not None:
            found[:, torch.from_numpy(rows)] = state.cpu()
        state, before = out.state, {int(e): place for place, e in enumerate(episodes[rows])}
    assert found is not None
    return found
