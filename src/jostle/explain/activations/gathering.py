"""What a layer puts out at the steps of a trace, with all that these may be sorted and coloured by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.ablate.memory import states_of
from jostle.explain.tracing import Steps, Trace
from jostle.explain.tracing.fingerprint import fingerprint
from jostle.view import PolicyView, as_view

ROWS = 1024
"""Steps that go through the network at a time."""
SEEN, MEMORY = "observation", "state"
"""Names that stand for what the policy sees, and for its recurrent state before the step."""


@dataclass(frozen=True)
class Activations:
    """F numbers at each of B steps.

    Attributes:
        policy, layer: whose.
        values: [B, F].
        episode, step: where each is from [B].
        condition: by name.
        draws: of the domain, the level and the theme, as far as the environment told them: name -> [B], NaN: not told.
        action: as the environment took it; None where it is no single number.
        value: V of the first stream (of action values the best one); None where there is none.
    """

    policy: str
    layer: str
    values: Float[np.ndarray, "B F"]
    episode: Int[np.ndarray, "B"]
    step: Int[np.ndarray, "B"]
    condition: tuple[str, ...]
    draws: dict[str, Float[np.ndarray, "B"]]
    action: Shaped[np.ndarray, "B"] | None = None
    value: Float[np.ndarray, "B"] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def only(self, rows: Int[np.ndarray, "R"]) -> "Activations":
        """Some of the steps."""
        return replace(
            self,
            values=self.values[rows],
            episode=self.episode[rows],
            step=self.step[rows],
            condition=tuple(self.condition[int(r)] for r in rows),
            draws={name: v[rows] for name, v in self.draws.items()},
            action=None if self.action is None else self.action[rows],
            value=None if self.value is None else self.value[rows],
        )

    def of(self, condition: str) -> Int[np.ndarray, "R"]:
        """The steps of a condition.

        Raises:
            ConfigError: there is no such one.
        """
        rows = np.flatnonzero(np.array(self.condition) == condition)
        if not len(rows):
            raise ConfigError(f"there is no condition '{condition}'; {closest(condition, set(self.condition))}")
        return rows

    def labels(self, what: str) -> Shaped[np.ndarray, "B"]:
        """What steps are told apart by: ``condition``, ``episode``, ``step``, ``action``, ``value``, or a draw's name.

        Raises:
            ConfigError: there is no such one.
        """
        known: dict[str, Any] = {
            "condition": np.array(self.condition), "episode": self.episode, "step": self.step, "action": self.action,
            "value": self.value, **self.draws,
        }  # fmt: skip
        known = {name: values for name, values in known.items() if values is not None}
        if what not in known:
            raise ConfigError(f"steps cannot be told apart by '{what}'; {closest(what, known)}")
        return np.asarray(known[what])


def gather(
    trace: Trace,
    layer: str,
    policy: Any = None,
    *,
    rows: Sequence[int] | Int[np.ndarray, "B"] | None = None,
    pool: Literal["none", "mean"] = "none",
    **view: Any,
) -> Activations:
    """What a layer puts out at the steps of a trace.

    Args:
        trace: of a policy.
        layer: the module's name; ``observation``: what is seen; ``state``: the recurrent state before the step.
        policy: the traced one, needed where the trace has not recorded the layer; or another, such as an untrained one,
            which goes through the same observations with recurrent states of its own.
        rows: of the trace; None: all.
        pool: ``mean``: each channel's mean over the picture.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: no such layer, or it was not recorded and there is no policy; NaN.
    """
    at = np.arange(len(trace)) if rows is None else np.asarray(rows, np.int64)
    if not len(at):
        raise ConfigError("there is no step to gather: give at least one row.")
    seen = None if policy is None else as_view(policy, **view)
    own = seen is None or fingerprint(seen) == trace.about.fingerprint
    recorded = own and f"act.{layer}" in trace.columns
    if layer == SEEN:
        values = _flat_observation(trace.obs(at))
    elif recorded:
        values = trace.activations(layer, at)
    elif seen is None and layer == MEMORY and "state" in trace.columns:
        values = trace.column("state", at)
    elif seen is None:
        values = trace.activations(layer, at)  # says what there is
    else:
        values = _passed(trace.prepared(seen) if own else seen, trace, layer, at, own=own)
    if pool not in ("none", "mean"):
        raise ConfigError(f"pool='{pool}' is unknown; {closest(str(pool), ['none', 'mean'])}")
    if pool == "mean" and values.ndim > 2:
        values = values.mean(tuple(range(2, values.ndim)))
    flat = np.asarray(values, np.float64).reshape(len(at), -1)
    if not np.isfinite(flat).all():
        raise ConfigError(f"the layer '{layer}' holds NaN or infinities: its weights do, or its network overflows.")
    name = trace.about.policy if seen is None else seen.name
    return Activations(name, layer, flat, **_told(trace, at))


def _told(trace: Trace, at: Int[np.ndarray, "B"]) -> dict[str, Any]:
    episode = trace.episode[at]
    about = [trace.episodes[int(e)] for e in episode]
    names = dict.fromkeys(name for e in trace.episodes for name in e.domain)
    draws = {name: np.array([e.domain.get(name, np.nan) for e in about], np.float64) for name in names}
    for tag in ("level_seed", "theme"):
        told = np.array([np.nan if getattr(e, tag) is None else float(getattr(e, tag)) for e in about])
        if np.isfinite(told).any():
            draws[tag] = told
    action = trace.column("action", at)
    value = None
    if "out.value" in trace.columns:
        value = trace.column("out.value", at)[:, 0].astype(np.float64)
    elif "out.q" in trace.columns:
        value = trace.column("out.q", at)[:, 0].max(-1).astype(np.float64)
    step, condition = np.asarray(trace.column("step", at)), tuple(e.condition for e in about)
    return {
        "episode": episode, "step": step, "condition": condition, "draws": draws,
        "action": action if action.ndim == 1 else None, "value": value,
    }  # fmt: skip


def _flat_observation(obs: Any) -> np.ndarray[Any, Any]:
    parts = list(obs.values()) if isinstance(obs, dict) else [obs]
    return np.concatenate([np.asarray(p, np.float64).reshape(len(p), -1) for p in parts], 1)


@torch.no_grad()
def _passed(view: PolicyView, trace: Trace, layer: str, at: Int[np.ndarray, "B"], *, own: bool) -> np.ndarray[Any, Any]:
    states: Tensor | None = None
    if "state" in trace.columns and not own and view.recurrent:
        states = states_of(view, trace)
        if layer == MEMORY:
            return np.asarray(states[:, torch.from_numpy(at)].transpose(0, 1))
    elif layer == MEMORY:
        return trace.column("state", at)
    parts = []
    for first in range(0, len(at), ROWS):
        rows = at[first : first + ROWS]
        steps: Steps = trace.steps(rows)
        how: dict[str, Any] = {}
        if states is not None:
            how["state"] = states[:, torch.from_numpy(rows)].to(view.device)
        elif steps.state is not None and view.recurrent:
            how["state"] = steps.state.to(view.device)
        if steps.draw is not None and view.noise is not None and own:
            how["draw"] = steps.draw.to(view.device)
        found = view.look(steps.obs, [layer], **how)[1][layer]
        if found.ndim < 1 or len(found) != len(rows):
            raise ConfigError(
                f"the layer '{layer}' of {view.name} puts out {list(found.shape)} for {len(rows)} observations, no row "
                "for each: choose another layer."
            )
        parts.append(found.float().cpu().numpy())
    return np.concatenate(parts)
