"""A policy at given steps, as a function of what it sees there; all else, such as its memory and its noise, is held."""

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Int
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.explain.asking.layout import Layout, layout_of
from jostle.explain.asking.passing import Pass
from jostle.explain.asking.targets import NAMES, Target, combined_q, default_target, make_target
from jostle.explain.tracing import Steps, Trace
from jostle.nn.pictures import is_picture_like, is_sizeable
from jostle.view import MeanStd, Output, PolicyView, Probabilities, as_view
from jostle.view.acting import ActingView
from jostle.view.choosing import logits_of, padded

STEPS = 8
"""Steps of a trace that are explained where nobody says which."""


class Subject(nn.Module):
    """What is explained: ``subject(x, at)`` is the target [N] of inputs x [N, …] in the place of those of the steps.

    A module, so that libraries find the network's layers in it.

    Args:
        view: the policy, under the draws of the steps.
        steps: B steps.
        target: by name, or one of one's own; None: see `default_target`.
        key: which part of a dictionary is explained; the others stay as they are. None: the only picture, or only part.

    Attributes:
        x: the steps' inputs [B, …], floats in the units of the observations.
        reference: the outputs of these.
        action: the steps' actions, counted from 0.
    """

    def __init__(self, view: PolicyView, steps: Steps, target: str | Target | None = None, *, key: str | None = None):
        super().__init__()
        if not len(steps):
            raise ConfigError("there is no step to explain: give at least one.")
        self.view, self.steps, self.network = view, steps, view.module
        self.acts_only = isinstance(view, ActingView)
        inputs = view.inputs(steps.obs)
        self.key = _key(view, inputs, key)
        self.rest: dict[str, Tensor] = {}
        if isinstance(inputs, dict):
            self.rest = {k: v for k, v in inputs.items() if k != self.key}
            inputs = inputs[str(self.key)]
        self.x = inputs.clone()  # nobody else's
        device = view.device
        self._state = None if steps.state is None else steps.state.to(device)
        self._draw = None if steps.draw is None else steps.draw.to(device)
        mask = None if steps.mask is None else torch.from_numpy(np.ascontiguousarray(steps.mask)).to(device)
        self._mask = None if mask is None else padded(mask, view.action_space)
        with torch.no_grad():
            self.reference = self.outputs(self.x.clone(), torch.arange(len(steps)))
        self.action = self._actions()
        if target is None:
            target = "prob" if self.acts_only else default_target(self.reference)
        self.target = target if isinstance(target, Target) else make_target(target, view, self.reference)

    def forward(self, x: Tensor, at: Int[Tensor, "N"] | None = None) -> Tensor:
        """The target [N] of inputs [N, …], each in the place of step ``at``'s (None: of all steps, again and again)."""
        return self.target(self.run(x, at))

    @property
    def before(self) -> Tensor:
        """The target [B] of the steps' own inputs, without gradients."""
        with torch.no_grad():
            return self.target(Pass(self, self.x, torch.arange(len(self.steps)), self.reference))

    def run(self, x: Tensor, at: Int[Tensor, "N"] | None = None) -> Pass:
        """A pass of inputs."""
        x = x.clone() if x is self.x else x  # there are networks that write into what they are given
        return Pass(self, x, torch.arange(len(x)) % len(self.steps) if at is None else at)

    def outputs(self, x: Tensor, at: Int[Tensor, "N"]) -> Output:
        """What the policy puts out for inputs in the place of those of steps."""
        obs: Any = x if not self.rest and self.key is None else {self.key: x} | {k: v[at] for k, v in self.rest.items()}
        if self.acts_only:
            return self._acted(obs, len(x))
        how: dict[str, Any] = {}
        if self._state is not None:
            how["state"] = self._state[:, at]
        if self._draw is not None:
            shared = self._draw[at]
            how["draw"] = int(shared[0]) if bool((shared == shared[0]).all()) else shared
        return self.view.forward(obs, **how)

    def mask_of(self, at: Int[Tensor, "N"]) -> Tensor | None:
        """The legal actions of steps; None where nobody tells."""
        return None if self._mask is None else self._mask[at]

    def layout(self, frames: int | None = None) -> Layout:
        """How its pictures lie.

        Raises:
            ConfigError: it sees none.
        """
        return layout_of(self.space, tuple(self.x.shape[1:]), self.view.name, frames)

    @property
    def space(self) -> Any:
        """Of what is explained of one observation."""
        space = self.view.observation_space
        return space[self.key] if isinstance(space, spaces.Dict) and self.key is not None else space

    def about(self, target: str | Target) -> "Subject":
        """The same policy and steps with another target."""
        if target in (self.target, self.target.name):
            return self
        other = copy(self)
        other.target = target if isinstance(target, Target) else make_target(target, self.view, self.reference)
        return other

    def of(self, view: PolicyView) -> "Subject":
        """The same steps and target under another view, such as one with other weights; actions stay the steps'."""
        other = Subject(view, self.steps, self.target.name if _named(self.target) else self.target, key=self.key)
        other.action = self.action
        return other

    def only(self, rows: Int[np.ndarray, "R"]) -> "Subject":
        """Some of the steps."""
        return Subject(self.view, take(self.steps, rows), self.target, key=self.key)

    def _actions(self) -> Tensor:
        out, taken, space = self.reference, self.steps.action, self.view.action_space
        if isinstance(out.distribution, MeanStd):
            return torch.zeros(len(self.steps), dtype=torch.int64)
        if taken is None:
            logits = logits_of(out, self._mask)
            return (combined_q(out, self.view) if logits is None else logits).argmax(-1)
        first = getattr(space, "start", 0)
        index = np.asarray(taken) - np.asarray(first)
        shape = (len(self.steps), -1) if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) else (-1,)
        return torch.from_numpy(index.astype(np.int64).reshape(shape)).to(self.x.device)

    def _acted(self, obs: Any, rows: int) -> Output:
        """Of what gives actions alone: probabilities 0 and 1, or the action as a mean."""
        space = self.view.observation_space
        seen = (
            {k: _as_given(v, space[k]) for k, v in obs.items()}
            if isinstance(obs, dict) and isinstance(space, spaces.Dict)
            else _as_given(obs, space)
        )
        start = np.ones(rows, np.bool_)
        action = np.asarray(self.view.actor("mean", rows=rows).act(seen, start))
        acts = self.view.action_space
        if isinstance(acts, spaces.Discrete):
            index = torch.from_numpy(action.astype(np.int64) - int(acts.start))
            return Output(Probabilities(nn.functional.one_hot(index, int(acts.n)).float()))
        mean = torch.from_numpy(action.reshape(rows, -1).astype(np.float32))
        return Output(MeanStd(mean, torch.zeros_like(mean)))


def ask(policy: Any, steps: Any, target: str | Target | None = None, *, key: str | None = None, **view: Any) -> Subject:
    """A `Subject` of whatever may be meant by a policy and steps.

    Args:
        policy: a `Subject`, which has its steps and its target (where no other is asked for), or what `jostle.as_view`
            takes.
        steps: `Steps`, observations [B, …], or a `Trace`, of which `STEPS` steps are taken; None of a subject.
        target, key: as of `Subject`.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: the trace is another policy's, or holds no step.
    """
    if isinstance(policy, Subject):
        return policy if target is None else policy.about(target)
    seen = as_view(policy, **view)
    if isinstance(steps, Trace):
        steps = steps.steps(steps.spread(STEPS))
    if not isinstance(steps, Steps):
        steps = Steps(steps)
    if steps.origin is not None:
        seen = steps.origin.prepared(seen)
    return Subject(seen, steps, target, key=key)


def take(steps: Steps, rows: Int[np.ndarray, "R"]) -> Steps:
    """Some of the steps."""

    def some(x: Any) -> Any:
        return None if x is None else x[rows]

    obs = {k: v[rows] for k, v in steps.obs.items()} if isinstance(steps.obs, dict) else steps.obs[rows]
    return replace(
        steps,
        obs=obs,
        state=None if steps.state is None else steps.state[:, rows],
        draw=some(steps.draw),
        mask=some(steps.mask),
        action=some(steps.action),
        rows=some(steps.rows),
        condition=tuple(steps.condition[int(r)] for r in rows) if steps.condition else (),
        episode=some(steps.episode),
        step=some(steps.step),
    )


def _named(target: Target) -> bool:
    return target.name.split(":")[0] in NAMES


def _key(view: PolicyView, inputs: Any, key: str | None) -> str | None:
    if not isinstance(inputs, dict):
        if key is not None:
            raise ConfigError(f"the observations of {view.name} have no parts: leave key='{key}' out.")
        return None
    if key is not None:
        if key not in inputs:
            raise ConfigError(f"the observations of {view.name} have no part '{key}'; {closest(key, inputs)}")
        return key
    space = view.observation_space
    assert isinstance(space, spaces.Dict)
    pictures = [k for k, s in space.items() if isinstance(s, spaces.Box) and is_picture_like(s) and is_sizeable(s)]
    for among in (pictures, list(inputs)):
        if len(among) == 1:
            return str(among[0])
    raise ConfigError(
        f"the observations of {view.name} have the parts {', '.join(inputs)}: say by key=… which is explained."
    )


def _as_given(x: Tensor, space: Any) -> np.ndarray[Any, Any]:
    """Floats as an environment would give them."""
    array = x.detach().cpu().numpy()
    kind = np.dtype(space.dtype)
    if kind.kind in "iu":
        ends = np.iinfo(str(kind))
        array = array.round().clip(ends.min, ends.max)
    return np.asarray(array.astype(kind))
