"""`compare_policies`: is the new policy worse than the old one, on the same episodes and under which conditions?

One run on each side is compared episode by episode: what is found holds for these two agents. Several runs on each side
are compared run by run: what is found holds for the methods, and episodes are never taken for runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jostle.envs.domain import SpaceLike
from jostle.errors import ConfigError, closest
from jostle.scores.differences import (
    Difference,
    contrast,
    holm,
    paired_returns,
    paired_successes,
    unpaired_successes,
)
from jostle.scores.intervals import Interval
from jostle.stress.condition import Condition, Suite
from jostle.stress.independent import require_independent
from jostle.stress.pairs.found import Compared, Comparison, Metric, Verdict, Worst
from jostle.stress.pairs.matched import Matched, play_matched
from jostle.stress.run import check_levels, modes_of, observer, prepare, vector_of, views_of, ways
from jostle.view import PolicyView, Success
from jostle.view.interface import EnvSource
from jostle.view.playing import MOST_TOGETHER, require_seed

CLEAN = Suite("trained", (Condition("trained"),), "trained", about="the environment of the training")
"""The suite of one condition: as in training."""


def compare_policies(
    before: Any,
    after: Any,
    suite: str | Path | Suite | None = None,
    *,
    episodes: int = 100,
    metric: Metric | None = None,
    success: str | None = None,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    confidence: float = 0.95,
    seed: int = 10_000,
    num_envs: int | None = None,
    worst: int = 10,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    domain: SpaceLike | None = None,
    notify: Callable[[int, int], None] = lambda _, __: None,
    stop: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Play both on the same episodes, each seeded anew, and say whether ``after`` differs from ``before``.

    Args:
        before, after: whatever `jostle.as_view` takes, one on each side; or lists of them, the training seeds of two
            methods, at least two on each side.
        suite: as in `jostle.stress_test`; None: the environment as in training.
        episodes: of each policy under each condition.
        metric: ``success`` or ``return``; None: success where there is a rule.
        success: the rule, such as ``return >= 195`` or ``info caught``; None: the suite's.
        noise: one inference mode, as in `jostle.evaluate`.
        actions: ``greedy`` or ``sampled``.
        confidence: of the intervals; with ``1 − confidence`` chance at most, any equal pair is called different.
        seed: of environments, perturbations and draws: episode k has ``seed + k``.
        num_envs: environments stepped together; None: as many as episodes, 64 at most.
        worst: how many of the worst paired episodes to list.
        env, env_options: where the policies were trained, if they don't know it themselves.
        domain: what is randomised under every condition, as in `jostle.evaluate`; None: nothing, of agents.
        notify: called with episodes done and episodes in all.
        stop: asked at every step; where it says true, the conditions compared so far are returned.

    Raises:
        ConfigError: the sides do not fit each other or the suite, or an argument cannot be used.
        EnvError: an environment failed.
    """
    sides = {"before": views_of(before), "after": views_of(after)}
    _check(sides, episodes, metric, actions, confidence)
    for name, views in sides.items():
        if len(views) > 1:
            require_independent({name: views})
    require_seed(seed)
    (mode,) = modes_of(noise, sides)
    how = ways(sides, [mode], actions == "sampled", seed, stop)
    target, chosen = prepare(sides, CLEAN if suite is None else suite, env, env_options, domain, how=how)
    if success is not None:
        chosen = replace(chosen, success=Success.parse(success))
    if metric == "success" and chosen.success is None:
        raise ConfigError(f"the suite '{chosen.name}' has no rule of success: give success='return > 0', or another.")
    kind: Metric = metric or ("return" if chosen.success is None else "success")
    names = {side: [view.name for view in views] for side, views in sides.items()}
    count = min(episodes, MOST_TOGETHER) if num_envs is None else num_envs
    found = Comparison(
        target.env, chosen, kind, str(mode), actions, episodes, count, names["before"], names["after"], confidence
    )
    everyone = [(side, view) for side, views in sides.items() for view in views]
    total, done = len(chosen.conditions) * len(everyone) * episodes, 0
    played: list[tuple[str, _Played]] = []
    reference = chosen[chosen.reference]
    ordered = [reference, *(condition for condition in chosen.conditions if condition is not reference)]
    for condition in ordered:
        offset = seed + condition.seed_offset
        vector = vector_of(condition, target, count, seed)
        games: dict[str, list[Matched]] = {"before": [], "after": []}
        try:
            observe = observer(condition.perturbation, vector, offset)
            for side, view in everyone:
                part = play_matched(
                    view, vector, episodes, noise=mode, seed=offset, sample=actions == "sampled",
                    success=chosen.success, observe=observe, stop=stop,
                    notify=lambda now, done=done: notify(done + now, total),  # type: ignore[misc]
                )  # fmt: skip
                if part is None:
                    found.complete = False
                    break
                check_levels(chosen, condition, part.episodes, vector.id)
                games[side].append(part)
                done += episodes
        finally:
            vector.close()
        if not found.complete:
            break
        played.append((condition.name, _Played(games["before"], games["after"], kind)))
    _judge(found, played)
    if not found.over_runs:
        found.worst = _worst(played, worst)
    return found


@dataclass(frozen=True)
class _Played:
    """Both sides under one condition."""

    before: list[Matched]
    after: list[Matched]
    metric: Metric

    def scores(self, side: Sequence[Matched]) -> list[np.ndarray]:
        """Of each run, one number an episode."""
        each = [one.successes if self.metric == "success" else one.returns for one in side]
        return [one for one in each if one is not None]

    @property
    def paired(self) -> bool:
        """Every run met the same first observations."""
        first = self.before[0].first
        return all(one.first == first for one in (*self.before, *self.after))

    def difference(self, confidence: float) -> Difference:
        """after − before."""
        x, y = self.scores(self.before), self.scores(self.after)
        if len(x) > 1:
            return over_runs(x, y, confidence)
        if self.paired:
            both = paired_successes if self.metric == "success" else paired_returns
            return both(x[0], y[0], confidence=confidence)
        if self.metric == "success":
            return unpaired_successes(x[0], y[0], confidence=confidence)
        return contrast([x[0], y[0]], [-1, 1], confidence=confidence)

    def beyond(self, clean: "_Played", confidence: float) -> Interval:
        """after − before here, minus after − before under the clean condition."""
        x, y, x0, y0 = (self.scores(s) for s in (self.before, self.after, clean.before, clean.after))
        if len(x) > 1:
            return over_runs(_minus(x, x0), _minus(y, y0), confidence).interval
        if self.paired and clean.paired and self.before[0].seeds == clean.before[0].seeds:
            return paired_returns(x[0] - x0[0], y[0] - y0[0], confidence=confidence).interval
        return contrast([x[0], x0[0], y[0], y0[0]], [-1, 1, 1, -1], confidence=confidence).interval


def over_runs(x: Sequence[np.ndarray], y: Sequence[np.ndarray], confidence: float = 0.95) -> Difference:
    """The difference of two methods by the means of their runs [E each], whose spread is at least their episodes'."""
    means = [[float(run.mean()) for run in side] for side in (x, y)]
    luck = [float(np.mean([run.var(ddof=1) / len(run) if len(run) > 1 else 0.0 for run in side])) for side in (x, y)]
    return contrast(means, [-1, 1], confidence=confidence, variances=luck)


def _minus(runs: Sequence[np.ndarray], clean: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [run - reference for run, reference in zip(runs, clean, strict=True)]


def _judge(found: Comparison, played: Sequence[tuple[str, _Played]]) -> None:
    """Differences of all conditions, in the suite's order, and verdicts that hold for all of them together."""
    if not played:
        return
    by_name = dict(played)
    names = [name for name in found.suite.names if name in by_name]
    differences = [by_name[name].difference(found.confidence) for name in names]
    clean = by_name[found.suite.reference]
    adjusted = holm([difference.p for difference in differences])
    for name, difference, p in zip(names, differences, adjusted.tolist(), strict=True):
        own = None if name == found.suite.reference else by_name[name].beyond(clean, found.confidence)
        called = p <= 1 - found.confidence
        worse: Verdict = "REGRESSED" if difference.y < difference.x else "IMPROVED"
        verdict: Verdict = worse if called else "NO DIFFERENCE SEEN"
        found.conditions.append(Compared(name, difference, p, own, by_name[name].paired, verdict))


def _worst(played: Sequence[tuple[str, _Played]], count: int) -> list[Worst]:
    """The episodes that ``after`` lost most in, of conditions whose episodes are pairs."""
    found = []
    for name, both in played:
        if both.paired:
            x, y = both.before[0].returns, both.after[0].returns
            found += [
                Worst(name, seed, float(a), float(b), k)
                for k, (seed, a, b) in enumerate(zip(both.before[0].seeds, x, y, strict=True))
            ]
    lost = [episode for episode in found if episode.after < episode.before]
    return sorted(lost, key=lambda episode: episode.after - episode.before)[:count]


def _check(
    sides: Mapping[str, list[PolicyView]], episodes: int, metric: str | None, actions: str, confidence: float
) -> None:
    before, after = (len(views) for views in sides.values())
    if min(before, after) == 1 < max(before, after):
        raise ConfigError(
            f"{before} run{'s' if before > 1 else ''} against {after} cannot be compared: give one on each side, or at "
            "least two on each, for one run says nothing of how runs differ."
        )
    if episodes < 2:
        raise ConfigError(f"episodes={episodes} cannot be used: it must be at least 2.")
    if metric not in (None, "success", "return"):
        raise ConfigError(f"metric='{metric}' is unknown; {closest(str(metric), ['success', 'return'])}")
    if actions not in ("greedy", "sampled"):
        raise ConfigError(f"actions='{actions}' are unknown; {closest(str(actions), ['greedy', 'sampled'])}")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence={confidence} cannot be used: it must lie between 0.5 and 1, such as 0.95.")
