"""What the parts of an explanation work with, and where they put what they find."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import Tensor

from jostle.errors import ConfigError, JostleError
from jostle.explain.activations import Activations, gather
from jostle.explain.asking import Subject
from jostle.explain.explanation import Explanation, Inside
from jostle.explain.parts.choosing import inner_layers
from jostle.explain.parts.progress import Progress
from jostle.explain.results.numbers import Number
from jostle.explain.weights.start import nulls_of
from jostle.view import PolicyView

LARGE = 100_000
"""Weights from which a network is large."""
MANY, FEW = 19, 5
"""Untrained networks that stand beside a small one, and beside a large one."""
GATHERED = 400
"""Steps, at most, whose activations are looked at."""


@dataclass(frozen=True)
class Asked:
    """How techniques are made.

    Attributes:
        methods: by name; None: all that fit.
        checked: steps at which they are checked; 0: none.
        video: record one.
        seed: of nulls.
        changes: what is changed in the simulator, and where; see `jostle.explain.sanity.changes.change_objects`.
    """

    methods: Sequence[str] | None = None
    checked: int = 3
    video: bool = True
    seed: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """What every part is given.

    Attributes:
        subject: the policy under the draws of the trace, at the steps that are explained.
        found: the trace, and what was found until now.
        asked: how.
        initial: first weights by name; None: not known.
        progress: of all parts.
        part: the one that is made.
    """

    subject: Subject
    found: Explanation
    asked: Asked
    initial: dict[str, Tensor] | None
    progress: Progress
    part: str = field(default="", init=False)
    _own: dict[str, Activations] = field(default_factory=dict, init=False)
    _others: dict[str, list[Activations]] = field(default_factory=dict, init=False)

    @property
    def view(self) -> PolicyView:
        """Of the policy."""
        return self.subject.view

    @property
    def own(self) -> Inside:
        """What the part has found."""
        return self.found.inside.setdefault(self.part, Inside())

    @cached_property
    def layers(self) -> list[str]:
        """The last hidden layer, and the last one of feature maps, as far as there are such.

        Raises:
            ConfigError: there is none.
        """
        return inner_layers(self.subject)

    @property
    def large(self) -> bool:
        """The network has more weights than a small one."""
        return sum(p.numel() for p in self.view.module.parameters()) > LARGE

    @cached_property
    def nulls(self) -> list[PolicyView]:
        """Untrained networks."""
        return nulls_of(self.view, FEW if self.large else MANY, seed=self.asked.seed, source=self.initial)

    @property
    def pictures(self) -> bool:
        """What is explained are pictures."""
        try:
            self.subject.layout()
        except ConfigError:
            return False
        return True

    def require_network(self) -> None:
        """Raises: ConfigError where there is nothing to look into."""
        if self.subject.acts_only:
            raise ConfigError(
                f"{self.view.name} gives actions and shows nothing else: there is no network to look into."
            )

    def at(self, steps: int) -> Subject:
        """The policy at so many steps of the trace, or at all where there are fewer."""
        trace, subject = self.found.trace, self.subject
        return Subject(self.view, trace.steps(trace.spread(steps)), subject.target, key=subject.key)

    def activations(self, layer: str) -> Activations:
        """What a layer puts out at `GATHERED` steps of the trace, of feature maps each channel's mean."""
        if layer not in self._own:
            self._own[layer] = gather(self.found.trace, layer, self.view, rows=self._rows, pool="mean")
        return self._own[layer]

    def untrained(self, layer: str) -> list[Activations]:
        """The same in untrained networks."""
        if layer not in self._others:
            self._others[layer] = [
                gather(self.found.trace, layer, null, rows=self._rows, pool="mean") for null in self.nulls
            ]
        return self._others[layer]

    @property
    def _rows(self) -> Int[np.ndarray, "B"]:
        return self.found.trace.spread(GATHERED)

    @property
    def told_apart(self) -> list[str]:
        """What differs between episodes for a reason: conditions, quantities of the world, themes that come again."""
        trace = self.found.trace
        found = ["condition"] if len({e.condition for e in trace.episodes}) > 1 else []
        for name in dict.fromkeys(name for e in trace.episodes for name in e.domain):
            values = np.array([e.domain.get(name, np.nan) for e in trace.episodes])
            if len(np.unique(values[np.isfinite(values)])) > 1:
                found.append(name)
        themes = [e.theme for e in trace.episodes if e.theme is not None]
        if 1 < len(set(themes)) <= len(themes) // 2:
            found.append("theme")
        return found

    def require_differences(self) -> list[str]:
        """`told_apart`.

        Raises:
            ConfigError: nothing does.
        """
        if not self.told_apart:
            raise ConfigError(
                "all episodes are of one condition, and nothing is told of the world that differs between them: give "
                "conditions, such as {'seen': {'split': 'train'}, 'unseen': {'split': 'test'}}, or a domain."
            )
        return self.told_apart

    def begin(self, part: str) -> None:
        """The next part."""
        self.part = part
        self.progress.begin(part)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """A unit of the part: what cannot be done is left out, with its reason.

        Raises:
            Stopped: somebody asked to stop.
        """
        self.progress.step(f"{self.part}: {what}")
        try:
            yield
        except JostleError as error:
            self.found.left_out[what] = str(error)

    def keep(self, name: str, result: Any, seen: str, *numbers: Number, **how: Any) -> None:
        """Write a result into the part's folder, and note it.

        Args:
            name: of its files; what file names cannot hold becomes _.
            result: what has ``save``.
            seen: what is to be seen on its figure.
            *numbers: that it says.
            **how: further arguments of ``save``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        result.save(self.found.folder / self.part, name, **how)
        own = self.own
        own.results[name] = result
        own.figures[f"{self.part}/{name}.png"] = seen
        own.numbers += numbers
