"""What ablations cost in return and success: many of them in one batched rollout, all on the same episodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from jostle.envs import JostleEnv, make_env
from jostle.envs.make import capped
from jostle.envs.sources import EnvSource, rows_of
from jostle.errors import ConfigError
from jostle.explain.ablate.acting import AblatedActor, Ablation
from jostle.explain.ablate.cutting import checked_units, filling, one_by_one, outputs_of
from jostle.explain.ablate.together import Together
from jostle.explain.asking import ask
from jostle.explain.results.kept import keep
from jostle.scores.differences import Difference, paired_returns, paired_successes
from jostle.view import PolicyView, Success, as_view, play, require_fit, source_of
from jostle.view.playing import PATIENCE, at_least_one, require_seed

if TYPE_CHECKING:
    import matplotlib.figure

MOST = 512
"""Rows that are stepped together."""
WHOLE = "unablated"


@dataclass(frozen=True)
class AblationReturns:
    """Returns of A ablated policies and of the whole one, on the same E episodes.

    Attributes:
        policy, env: whose, where.
        names: of the ablations.
        whole: returns of the policy as it is [E].
        returns: [A, E].
        successes: the same of successes, the whole policy's first [A + 1, E]; None without a rule.
    """

    policy: str
    env: str
    names: list[str]
    whole: Float[np.ndarray, "E"]
    returns: Float[np.ndarray, "A E"]
    successes: Bool[np.ndarray, "A1 E"] | None = None

    @property
    def cost(self) -> list[Difference]:
        """Ablated − whole, episode by episode."""
        return [paired_returns(self.whole, each) for each in self.returns]

    @property
    def success_cost(self) -> list[Difference]:
        """The same of successes.

        Raises:
            ConfigError: there was no rule.
        """
        if self.successes is None:
            raise ConfigError("nobody said what a success is: give success='return > 0', or a rule of your own.")
        return [paired_successes(self.successes[0], each) for each in self.successes[1:]]

    def plot(self) -> "matplotlib.figure.Figure":
        """Each ablation's cost with its interval."""
        from jostle.explain.ablate.figures import plot_returns

        return plot_returns(self)

    def save(self, folder: str | Path, name: str = "ablated_returns") -> list[Path]:
        """Write ``NAME.json``, ``NAME.png`` and ``NAME.npz``.

        Raises:
            ConfigError: the folder cannot be written.
        """
        told = self.success_cost if self.successes is not None else [None] * len(self.names)
        data = {
            "policy": self.policy, "env": self.env, "whole": float(self.whole.mean()),
            "ablations": {
                name: {"return": cost.y, "cost": cost.interval.as_dict(), "p": cost.p}
                | ({} if won is None else {"success": won.y, "success cost": won.interval.as_dict()})
                for name, cost, won in zip(self.names, self.cost, told, strict=True)
            },
        }  # fmt: skip
        return keep(folder, name, data, self.plot, {"whole": self.whole, "returns": self.returns})


def ablation_returns(
    policy: Any,
    ablations: Mapping[str, Ablation],
    *,
    episodes: int = 20,
    rows: int | None = None,
    success: str | None = None,
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    max_steps: int = PATIENCE,
    notify: Callable[[int, int], None] = lambda _done, _total: None,
    **view: Any,
) -> AblationReturns:
    """Play the same episodes with the whole policy and with every ablated one; without noise, greedily.

    Every ablation has a block of R environments with the same seeds; all blocks of one network are one pass.

    Args:
        policy: whatever `jostle.as_view` takes.
        ablations: name -> what is done.
        episodes: E of each, shared out evenly among R environments.
        rows: R; None: as many as episodes, 16 at most.
        success: a rule such as ``return > 0``.
        seed: of the environments.
        env, env_options: where to play; None: where the policy was trained.
        max_steps: of one episode, which then counts as it stands.
        notify: called with episodes done and in all.
        **view: further arguments of `jostle.as_view`.

    Raises:
        ConfigError: an argument cannot be used.
        EnvError: the environment failed.
    """
    episodes, max_steps = at_least_one("episodes", episodes), at_least_one("max_steps", max_steps)
    require_seed(seed)
    if not ablations:
        raise ConfigError("there is no ablation to play: give at least one.")
    seen = as_view(policy, **view).clone()
    source = source_of(seen, env)
    each = rows_of(source, min(episodes, 16)) if rows is None else at_least_one("rows", rows)
    each = min(each, episodes)
    rule = None if success is None else Success.parse(success)
    names, blocks = [WHOLE, *ablations], [Ablation(), *ablations.values()]
    options = dict(seen.env_options if env_options is None else env_options)
    together = max(1, MOST // each)
    returns, won, where = [], [], ""
    for first in range(0, len(blocks), together):
        some = blocks[first : first + together]
        vector = side_by_side(source, options, len(some), each, seed)
        try:
            require_fit(seen, vector)
            where = vector.id
            actor = AblatedActor(seen, some, each)
            done = first * episodes
            played = play(
                actor, vector, episodes * len(some), seed=seed, success=rule, patience=max_steps,
                notify=lambda n, done=done: notify(done + n, len(blocks) * episodes),  # type: ignore[misc]
            )  # fmt: skip
        finally:
            vector.close()
        assert played is not None
        for block in range(len(some)):
            # In the order of (index, row), which is the same in every block.
            own = [e for e in played if e.env // each == block]
            returns.append([e.ret for e in own])
            won.append([bool(e.success) for e in own])
    table = np.array(returns, np.float64)
    return AblationReturns(
        seen.name, where, names[1:], table[0], table[1:], np.array(won, np.bool_) if rule is not None else None
    )


def side_by_side(source: EnvSource, options: Mapping[str, Any], blocks: int, rows: int, seed: int) -> JostleEnv:
    """So many blocks of environments with the same seeds, as one."""
    made = [make_env(source, rows, seed=seed, **capped(options, rows)) for _ in range(blocks)]
    return JostleEnv(Together(made), made[0].id, rows * blocks, seed, source=source, made_with=dict(options))


def unit_ablations(
    policy: Any, steps: Any, layer: str, *, units: Sequence[int] | None = None, fill: str | float = "mean"
) -> dict[str, Ablation]:
    """An `Ablation` for each unit of a layer; arguments as of `jostle.explain.ablate.unit_ablation`."""
    subject = ask(policy, steps)
    outputs = outputs_of(subject, layer)
    chosen = checked_units(units, outputs.shape[1], layer, subject.view)
    filled = filling(outputs, fill)
    kept = one_by_one(chosen, outputs.shape[1])
    return {f"{layer} {unit}": Ablation({layer: row}, {layer: filled}) for unit, row in zip(chosen, kept, strict=True)}


def view_ablations(views: Mapping[str, PolicyView]) -> dict[str, Ablation]:
    """An `Ablation` for each of several policies with other weights, such as pruned ones."""
    return {name: Ablation(view=view) for name, view in views.items()}
