"""An episode of a comparison, played again: its environment, its seed, and what the policy saw."""

from typing import Any

import numpy as np

from jostle.envs import make_env
from jostle.envs.make import capped
from jostle.stress.pairs.found import Comparison, Worst
from jostle.stress.run import observer
from jostle.view import PolicyView, source_of
from jostle.view.interface import EnvSource
from jostle.view.playing import Observe


def again(found: Comparison, episode: Worst, view: PolicyView) -> tuple[EnvSource, dict[str, Any], Observe | None]:
    """What plays an episode again in a lone environment with its seed: the environment, its options, what is seen.

    It is the same game; the same episode where noise and actions are not drawn.
    """
    condition = found.suite[episode.condition]
    source, options = source_of(view, condition.env), condition.options(view.env_options)
    if condition.perturbation is None:
        return source, options, None
    row, begin = episode.index % found.together, episode.index // found.together * found.together
    lone = make_env(source, 1, seed=episode.seed, **capped(options, 1))
    lone.close()
    seen = observer(condition.perturbation, lone, episode.seed - episode.index)
    assert seen is not None

    def observe(obs: Any, number: np.ndarray, step: np.ndarray) -> Any:
        """A perturbation depends on the row that is looked at: so many copies, of which the last one counts."""

        def copies(x: Any) -> Any:
            return np.repeat(x, row + 1, 0)

        whole = seen({k: copies(v) for k, v in obs.items()} if isinstance(obs, dict) else copies(obs),
                     copies(number) + begin, copies(step))  # fmt: skip
        return {key: value[row:] for key, value in whole.items()} if isinstance(whole, dict) else whole[row:]

    return source, options, observe
