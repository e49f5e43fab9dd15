"""The intrinsic reward of a bonus as the number that is explained."""

import copy
from typing import Any

import torch

from jostle.bonus.interface import Transitions
from jostle.errors import ConfigError
from jostle.explain.asking.passing import Pass
from jostle.explain.asking.targets import Target


def intrinsic_reward(bonus: Any, name: str | None = None) -> Target:
    """The raw reward that a bonus gives for coming to an observation, before any scaling.

    Of bonuses that look at the new observation alone, as Random Network Distillation does. A copy of the bonus is
    asked, so that its statistics stay as they are.

    Args:
        bonus: a `jostle.bonus.Bonus` with ``raw``, such as ``agent.bonuses[0]``.
        name: for titles; None: the bonus's own.

    Raises:
        ConfigError: its reward depends on more than the new observation.
    """
    if getattr(bonus, "sees", None) not in ("next_obs", "obs") or not hasattr(bonus, "raw"):
        raise ConfigError(
            f"the reward of a {type(bonus).__name__} depends on more than the observation that it is explained by: "
            "bonuses of the kind rnd can be explained."
        )
    own = copy.deepcopy(bonus).requires_grad_(False)

    def function(one: Pass) -> torch.Tensor:
        seen: Any = one.x if one.subject.key is None else {one.subject.key: one.x} | {
            k: v[one.at] for k, v in one.subject.rest.items()
        }  # fmt: skip
        rows = len(one.x)
        none = torch.zeros(rows, dtype=torch.int64, device=one.x.device)
        valid = torch.ones(rows, dtype=torch.bool, device=one.x.device)
        raw: torch.Tensor = own.raw(Transitions(obs=seen, next_obs=seen, action=none, valid=valid))
        return raw

    return Target(f"intrinsic reward ({name or bonus.name})", function)
