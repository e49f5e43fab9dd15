"""An environment whose constants are attributes, as a world of one row."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain import Quantity
from jostle.envs.randomise.known import Derived, known
from jostle.envs.randomise.paths import is_plain, numbers_of, own_arrays, read, write
from jostle.envs.randomise.rebuilt import followers
from jostle.errors import ConfigError, EnvError

_TINY = 1e-12


class Attributes:
    """The numbers that an environment holds, by attribute path, with what is computed from them made anew.

    Args:
        env: the environment itself, without wrappers.
        paths: those that will vary.
        derived: attributes that follow from them, each with its formula of the environment, in order. None: what is
            known of Gymnasium's classes; of others it is found out whether anything follows.
        of: the environment's name, for messages.

    Raises:
        ConfigError: a path to no number, or one from which other attributes follow that `derived` does not name.
    """

    def __init__(self, env: Any, paths: Iterable[str], derived: Derived | None, of: str) -> None:
        self._env, self._of = env, of
        facts = known(env)
        positive = () if facts is None else facts.positive
        self._derived: Derived = derived if derived is not None else {} if facts is None else facts.derived
        nominal = numbers_of(env) | {path: read(env, path, of) for path in paths}
        for name in self._derived:
            nominal.pop(name, None)
        self._quantities = {
            path: Quantity(path, value, low=_TINY if path in positive else -math.inf) for path, value in nominal.items()
        }
        self._set: dict[str, float] = {}
        for path in paths:
            if path in self._derived:
                raise ConfigError(f"{path} of {of} is computed from other constants: vary those instead.")
            own_arrays(env, path, of)
            if derived is None and facts is None:
                self._require_no_followers(path)

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by path."""
        return self._quantities

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Set the attributes, then what is computed from them."""
        for path, value in values.items():
            write(self._env, path, float(value[0]), self._of)
            self._set[path] = float(value[0])
        for name, formula in self._derived.items():
            setattr(self._env, name, formula(self._env))

    def confirm(self) -> None:
        """After a reset of the environment: what was set still holds.

        Raises:
            EnvError: the environment has set it back.
        """
        for path, value in self._set.items():
            found = read(self._env, path, self._of)
            if found != value:
                raise EnvError(
                    f"{self._of} sets {path} to {found:g} in its reset, and {value:g} was drawn for it: what is varied "
                    "there has no effect; vary what the environment computes it from."
                )

    def _require_no_followers(self, path: str) -> None:
        if not is_plain(path):
            return
        nominal = self._quantities[path].nominal
        found = followers(self._env, path, 1.5 * nominal if nominal else 1.0)
        if found:
            names = ", ".join(found)
            raise ConfigError(
                f"{self._of} computes {names} from {path} when it is made, and would keep the old value when {path} "
                f'varies: give derived={{"{found[0]}": lambda env: …}} with the formula of each (derived={{}}: none is '
                "needed)."
            )
