"""What nothing was learned for: the random policy in the place of an agent, under every condition of a task."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from runs import Row  # beside this file
from torch import Tensor, nn


class Uniform(nn.Module):
    """Every action with the same probability, whatever is seen.

    It draws for itself, so that rows of several seeds play the same games, as those of trained agents do.

    Args:
        actions: A, how many there are.
        seed: of the draws.
    """

    def __init__(self, actions: int, seed: int) -> None:
        super().__init__()
        self.actions, self.rng = actions, np.random.default_rng(seed)

    def forward(self, obs: Tensor) -> Tensor:
        """Logits [B, A]: 0 for the action drawn, −∞ for the others."""
        drawn = torch.from_numpy(self.rng.integers(self.actions, size=len(obs)))
        return torch.full((len(obs), self.actions), -torch.inf).scatter(1, drawn[:, None], 0.0)


def cells(chosen: Mapping[str, Any], seed: int) -> list[Row]:
    """Return and success of the random policy under every condition of the task's suite.

    Conditions that differ in looks alone are the same games to one that does not look: where the suite names layouts,
    one condition of each kind is played, and stands for the others (``played``).
    """
    import jostle
    from jostle.stress.run import prepare

    env = jostle.make_env(chosen["env"], 1, seed=seed, **chosen["env_options"])
    env.close()
    view = jostle.as_view(
        Uniform(int(env.single_action_space.n), seed),
        kind="logits", env=chosen["env"], env_options=chosen["env_options"], name="random",
    )  # fmt: skip
    _, suite = prepare({"random": [view]}, chosen["suite"])
    stands_for = {name: name for name in suite.names}
    first: dict[str, str] = {}
    for condition in suite.conditions:
        if "layouts" in condition.labels:
            stands_for[condition.name] = first.setdefault(condition.labels["layouts"], condition.name)
    suite = replace(suite, conditions=tuple(c for c in suite.conditions if stands_for[c.name] == c.name))
    found = {
        cell.condition: {
            "return": round(float(cell.returns.mean()), 4),
            "success": None if cell.successes is None else round(float(cell.successes.mean()), 4),
        }
        for cell in jostle.stress_test(view, suite, episodes=chosen["episodes"], seed=10_000, baseline=False).cells
    }
    return [{"condition": name, "noise": "–", **found[as_in], "played": as_in} for name, as_in in stands_for.items()]
