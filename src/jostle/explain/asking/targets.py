"""The number that is explained, by name.

| name | what |
|---|---|
| ``log_prob``, ``log_prob:A`` | log π(a) of the action taken, or of action A (counted from 0) |
| ``prob``, ``prob:A`` | π(a) |
| ``logit``, ``logit:A`` | what the network puts out for it before probabilities are made |
| ``q``, ``q:A``, ``q:A:STREAM`` | an action's value: the streams' weighted sum, or one stream's |
| ``value``, ``value:STREAM`` | V of a reward stream, by name or number (without one: the first) |
| ``entropy`` | of the policy, in nats |
| ``kl`` | KL(unperturbed ‖ perturbed policy) in nats |
| ``mean:D``, ``std:D`` | of number D of a continuous action, in the policy's units |
| ``policy`` | all logits, action values or means at once [B, O], for scores that are distances |

Choices side by side (MultiDiscrete actions) are summed; ``logit:D:A`` is action A of choice D. Illegal actions, where
the environment tells them, count as impossible. An intrinsic reward is `intrinsic_reward`'s target.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

from jostle.errors import ConfigError, closest
from jostle.explain.asking.passing import Pass
from jostle.view import MeanStd, Output, PolicyView, Probabilities
from jostle.view.choosing import logits_of

Function: TypeAlias = Callable[[Pass], Tensor]
NAMES = ("log_prob", "prob", "logit", "q", "value", "entropy", "kl", "mean", "std", "policy")


@dataclass(frozen=True)
class Target:
    """A number [N] of each row of a pass (``policy``: several, [N, O]).

    Attributes:
        name: for titles.
        function: makes it of a pass.
        flat: its gradient vanishes at the unperturbed input, whatever the policy.
    """

    name: str
    function: Function
    flat: bool = False

    def __call__(self, one: Pass) -> Tensor:
        return self.function(one)


def default_target(out: Output) -> str:
    """What is explained where nobody says: the action's log-probability, its value, or the first mean."""
    if out.distribution is None:
        return "q"
    return "log_prob" if isinstance(out.distribution, Probabilities) else "mean:0"


def make_target(text: str, view: PolicyView, out: Output) -> Target:
    """The target of a name.

    Args:
        text: as in the table above.
        view: the policy.
        out: one of its outputs, by which it is known what there is.

    Raises:
        ConfigError: there is no such target, or the policy has not what it is about.
    """
    name, *more = str(text).split(":")
    if name not in NAMES:
        raise ConfigError(f"there is no target '{text}' to explain; {closest(name, NAMES)}")
    made = {
        "log_prob": _chosen, "prob": _chosen, "logit": _chosen, "q": _q, "value": _value, "entropy": _entropy,
        "kl": _kl, "mean": _continuous, "std": _continuous, "policy": _policy,
    }[name](text, name, more, view, out)  # fmt: skip
    return Target(str(text), made, flat=name == "kl")


# ---- what a pass gives ----


def vector(out: Output, view: PolicyView) -> Float[Tensor, "N O"]:
    """All logits, the streams' weighted action values, or the means of an output."""
    logits = logits_of(out)
    if logits is not None:
        return logits.flatten(1)
    if isinstance(out.distribution, MeanStd):
        return out.distribution.mean
    return combined_q(out, view)


def combined_q(out: Output, view: PolicyView) -> Float[Tensor, "N A"]:
    """Action values of the streams' weighted sum."""
    assert out.q is not None
    coefficient = getattr(view, "coefficient", None)
    return out.q.sum(1) if coefficient is None else (out.q * coefficient[:, None]).sum(1)


def kl(old: Output, new: Output, old_logits: Tensor | None = None, new_logits: Tensor | None = None) -> Tensor:
    """KL(old ‖ new) of the action distributions in nats, row by row [N]; summed over choices and numbers."""
    if isinstance(old.distribution, MeanStd) and isinstance(new.distribution, MeanStd):
        a, b = old.distribution, new.distribution
        std_a, std_b = a.std.clamp_min(1e-6), b.std.clamp_min(1e-6)
        each = (std_b / std_a).log() + (std_a.square() + (a.mean - b.mean).square()) / (2 * std_b.square()) - 0.5
        return each.sum(-1)
    assert old_logits is not None
    assert new_logits is not None
    log_p, log_q = old_logits.log_softmax(-1), new_logits.log_softmax(-1)
    return (
        (log_p.exp() * (log_p - log_q)).sum(-1).flatten(1).sum(1)
        if log_p.ndim > 2
        else ((log_p.exp() * (log_p - log_q)).sum(-1))
    )


# ---- one name each ----


def _chosen(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    if not isinstance(out.distribution, Probabilities):
        what = "is all action values: use q" if out.distribution is None else "acts by numbers: use mean:0"
        raise ConfigError(f"there is no {name} of {view.name}, which {what}.")
    choices = out.distribution.p.shape[1:]
    if more and len(more) != len(choices):
        form = "A" if len(choices) == 1 else "CHOICE:ACTION"
        raise ConfigError(f"the target '{text}' cannot be read: write {name}:{form}.")
    place = tuple(_number(text, part, size, "action") for part, size in zip(more, choices, strict=bool(more)))

    flat = sum(number * math.prod(choices[i + 1 :]) for i, number in enumerate(place))

    def function(one: Pass) -> Tensor:
        logits = one.logits
        assert logits is not None
        values = logits if name == "logit" else logits.log_softmax(-1)
        if place:
            found = values.flatten(1)[:, flat]
            return found.exp() if name == "prob" else found
        found = values.gather(-1, one.action.unsqueeze(-1)).squeeze(-1)
        found = found if found.ndim == 1 else found.sum(-1)
        return found.exp() if name == "prob" else found

    return function


def _q(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    if out.q is None:
        raise ConfigError(f"{view.name} has no action values: use log_prob or value.")
    if len(more) > 2:
        raise ConfigError(f"the target '{text}' cannot be read: write q:A or q:A:STREAM.")
    action = _number(text, more[0], out.q.shape[2], "action") if more else None
    stream = _stream(text, more[1], view, out.q.shape[1]) if len(more) > 1 else None

    def function(one: Pass) -> Tensor:
        assert one.out.q is not None
        q = combined_q(one.out, view) if stream is None else one.out.q[:, stream]
        return _at(q, one.action) if action is None else q[:, action]

    return function


def _value(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    if out.value is None:
        raise ConfigError(f"{view.name} has no values: explain its policy.")
    stream = _stream(text, ":".join(more), view, out.value.shape[1]) if more else 0

    def function(one: Pass) -> Tensor:
        assert one.out.value is not None
        return one.out.value[:, stream]

    return function


def _entropy(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    if out.distribution is None:
        raise ConfigError(f"{view.name} is all action values, whose policy has no entropy: use q.")

    def function(one: Pass) -> Tensor:
        if isinstance(one.out.distribution, MeanStd):
            return (one.out.distribution.std.clamp_min(1e-6).log() + 0.5 * _LOG_2PI_E).sum(-1)
        assert one.logits is not None
        log_p = one.logits.log_softmax(-1)
        each = -(log_p.exp() * log_p).sum(-1)
        return each if each.ndim == 1 else each.sum(-1)

    return function


def _kl(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    def function(one: Pass) -> Tensor:
        if one.out.distribution is None:  # of action values: of their softmax
            return kl(one.reference, one.out, combined_q(one.reference, view), combined_q(one.out, view))
        return kl(one.reference, one.out, one.reference_logits, one.logits)

    return function


def _continuous(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    if not isinstance(out.distribution, MeanStd):
        raise ConfigError(f"the actions of {view.name} are no numbers: use log_prob or q.")
    if len(more) != 1:
        raise ConfigError(f"the target '{text}' cannot be read: write {name}:0 for the first number of the action.")
    place = _number(text, more[0], out.distribution.mean.shape[1], "number")

    def function(one: Pass) -> Tensor:
        assert isinstance(one.out.distribution, MeanStd)
        values = one.out.distribution.mean if name == "mean" else one.out.distribution.std
        return values[:, place]

    return function


def _policy(text: str, name: str, more: list[str], view: PolicyView, out: Output) -> Function:
    return lambda one: vector(one.out, view)


_LOG_2PI_E = 2.8378770664093453


def _at(values: Float[Tensor, "N A"], action: Int[Tensor, "N"]) -> Float[Tensor, "N"]:
    return values.gather(1, action[:, None]).squeeze(1)


def _number(text: str, part: str, size: int, what: str) -> int:
    number = int(part) if part.isdigit() else -1
    if not 0 <= number < size:
        raise ConfigError(f"the target '{text}' has no {what} '{part}': there are 0 to {size - 1}.")
    return number


def _stream(text: str, part: str, view: PolicyView, size: int) -> int:
    if part in view.streams:
        return view.streams.index(part)
    if part.isdigit() and int(part) < size:
        return int(part)
    known = view.streams or tuple(map(str, range(size)))
    raise ConfigError(f"the target '{text}' names no reward stream of {view.name}; {closest(part, known)}")
