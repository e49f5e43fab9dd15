"""Ablated policies that act: each block of rows with its own units, weights or memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.ablate.cutting import cut
from jostle.nn.inference import Mask, Starts
from jostle.nn.rows import Rows
from jostle.view import PolicyView
from jostle.view.inside import Patch, hooked


@dataclass(frozen=True)
class Ablation:
    """What is done to a policy while it acts.

    Attributes:
        keep: layer -> false for the units that are taken out [U].
        fill: layer -> what these put out instead [U, …]; zeros where nothing is given.
        memory: before every step but an episode's first the recurrent state is ``zeroed``, ``held`` at what it was
            behind the first step, the ``mean`` given as ``state``, or decays: ``decayed`` halves it (Greydanus et al.
            2018 let it decay by a factor). None: left alone.
        state: [S, H], for ``mean``.
        view: another policy that acts instead, such as a pruned one; it has its own pass.
    """

    keep: Mapping[str, Bool[np.ndarray, "U"]] = field(default_factory=dict)
    fill: Mapping[str, Tensor] = field(default_factory=dict)
    memory: str | None = None
    state: Float[Tensor, "S H"] | None = None
    view: PolicyView | None = None


ACTING_RULES = ("zeroed", "held", "mean", "decayed")


class AblatedActor:
    """Acts in A blocks of R rows; blocks of one network go through it in one pass.

    Args:
        view: the policy.
        blocks: what is done in each.
        rows: R.

    Raises:
        ConfigError: an unknown rule of memory, or one for a policy without any.
    """

    def __init__(self, view: PolicyView, blocks: Sequence[Ablation], rows: int) -> None:
        self.name = view.name
        self.disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None
        groups: dict[int, tuple[PolicyView, list[int]]] = {}
        for number, block in enumerate(blocks):
            if block.memory is not None and block.memory not in ACTING_RULES:
                raise ConfigError(f"the rule '{block.memory}' is unknown; {closest(block.memory, ACTING_RULES)}")
            if block.memory == "mean" and block.state is None:
                raise ConfigError("the rule 'mean' needs the mean state: give it as state=….")
            own = view if block.view is None else block.view
            groups.setdefault(id(own), (own, []))[1].append(number)
        self._groups = [_Group(own, [blocks[n] for n in numbers], numbers, rows) for own, numbers in groups.values()]
        self._total = rows * len(blocks)

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """Actions of all rows."""
        begun = np.zeros(self._total, np.bool_) if start is None else np.asarray(start)
        whole: np.ndarray[Any, Any] | None = None
        for group in self._groups:
            part = group.act(_some(obs, group.rows), begun[group.rows], None if mask is None else mask[group.rows])
            if whole is None:
                whole = np.empty((self._total, *part.shape[1:]), part.dtype)
            whole[group.rows] = part
        assert whole is not None
        return whole


class _Group:
    """The blocks of one network."""

    def __init__(self, view: PolicyView, blocks: list[Ablation], numbers: list[int], rows: int) -> None:
        self.view = view
        self.rows = np.concatenate([np.arange(n * rows, (n + 1) * rows) for n in numbers])
        self._patch = _patches(view, blocks, rows)
        self._rules = [block.memory for block in blocks for _ in range(rows)]
        if any(self._rules) and not view.recurrent:
            raise ConfigError(f"{view.name} has no recurrent state, so that there is no memory to take away.")
        self._given = [block.state for block in blocks for _ in range(rows)]
        self._state: Tensor | None = None
        self._held: Tensor | None = None
        self._begun = np.zeros(len(self.rows), np.bool_)

    @torch.no_grad()
    def act(self, obs: Any, start: Bool[np.ndarray, "N"], mask: Mask | None) -> np.ndarray[Any, Any]:
        how: dict[str, Any] = {}
        if self._state is not None:
            begins = torch.from_numpy(start)
            state = self._ruled(self._state.masked_fill(begins[None, :, None], 0.0), start)
            how["state"] = state
        with hooked(self.view.module, self.view.name, patch=self._patch):
            out = self.view.forward(obs, **how)
        if out.state is not None:
            self._state = out.state.clone()
            first = torch.from_numpy(start)[None, :, None]
            self._held = out.state.clone() if self._held is None else torch.where(first, out.state, self._held)
        return self.view.actions(out, mask=mask)

    def _ruled(self, state: Float[Tensor, "S N H"], start: Bool[np.ndarray, "N"]) -> Float[Tensor, "S N H"]:
        if not any(self._rules):
            return state
        state = state.clone()
        for row, rule in enumerate(self._rules):
            if rule is None or start[row]:
                continue
            if rule == "zeroed":
                state[:, row] = 0.0
            elif rule == "held":
                assert self._held is not None
                state[:, row] = self._held[:, row]
            elif rule == "decayed":
                state[:, row] *= 0.5
            else:
                given = self._given[row]
                assert given is not None
                state[:, row] = given
        return state


def _patches(view: PolicyView, blocks: list[Ablation], rows: int) -> dict[str, Patch]:
    layers = dict.fromkeys(layer for block in blocks for layer in block.keep)
    found: dict[str, Patch] = {}
    for layer in layers:
        known = [block.keep[layer] for block in blocks if layer in block.keep]
        if len({len(each) for each in known}) > 1:
            raise ConfigError(f"ablations of '{layer}' disagree about how many units it has.")
        everything = np.ones(len(known[0]), np.bool_)
        keep = np.stack([block.keep.get(layer, everything) for block in blocks])
        fills = [block.fill[layer] for block in blocks if layer in block.fill]
        fill = fills[0] if fills else torch.zeros(1)
        if any(f is not fill and not torch.equal(f, fill) for f in fills):
            raise ConfigError(f"ablations of '{layer}' that act together must put out the same instead of its units.")
        per_row = torch.from_numpy(keep).repeat_interleave(rows, 0)
        found[layer] = cut(per_row, fill, f"'{layer}' of {view.name}")
    return found


def _some(obs: Any, rows: np.ndarray[Any, Any]) -> Any:
    return {key: part[rows] for key, part in obs.items()} if isinstance(obs, dict) else obs[rows]
