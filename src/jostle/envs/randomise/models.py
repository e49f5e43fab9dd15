"""An environment around an MjModel, as a world of one row, with the quantities of the engine `mujoco`."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain import Quantity
from jostle.envs.engines.mujoco.offered import offered
from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.envs.engines.mujoco.physics import Physics
from jostle.errors import EnvError


def has_model(env: Any) -> bool:
    """Whether an environment holds an MjModel; MuJoCo is not imported to tell."""
    kind = type(getattr(env, "model", None))
    return kind.__name__ == "MjModel" and kind.__module__.partition(".")[0] == "mujoco"


class Model:
    """The physics and looks of an environment's MjModel: values go into the model, and MuJoCo's constants follow.

    Args:
        env: the environment itself, which has the model as `model`.
        of: its name, for messages.
    """

    def __init__(self, env: Any, of: str) -> None:
        self._env, self._of = env, of
        self._one = _One(env.model)
        self._physics = Physics(self._one, offered(self._one.model), of)

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return {name: slot.quantity for name, slot in self._physics.slots.items()}

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """Write the values into the model; inertias follow masses, and `mj_setConst` makes the rest fresh."""
        self._require_same()
        self._physics.set(values, np.asarray(rows))
        self._one.put()

    def confirm(self) -> None:
        """After a reset of the environment: it still simulates the model that was written to.

        Raises:
            EnvError: it has made another one.
        """
        self._require_same()

    def _require_same(self) -> None:
        if self._env.model is not self._one.live:
            raise EnvError(
                f"{self._of} makes a new model in its reset, so that what was set is lost: switch that off (in "
                "robosuite hard_reset=False), or wrap it anew."
            )


class _One:
    """One MjModel behind the few methods of a `Batch` that `Physics` uses.

    Bodies whose frame and inertia are simple are treated as any other from the moment their numbers may change: MuJoCo
    would go on with the shortcuts that were right for the model as it was compiled.
    """

    nsim = 1

    def __init__(self, model: Any) -> None:
        mujoco = require_mujoco()
        self.live, self.model = model, copy.deepcopy(model)
        self._set_const, self._scratch = mujoco.mj_setConst, mujoco.MjData(model)
        self._scalars: dict[str, np.ndarray[Any, Any]] = {}

    def expand(self, field: str) -> np.ndarray[Any, Any]:
        """A view [1, …] of the live model's field."""
        owner, name = (self.live.opt, field[4:]) if field.startswith("opt.") else (self.live, field)
        if field in ("body_mass", "body_inertia", "body_ipos", "body_iquat"):
            self.live.body_simple[:] = 0
            self.live.dof_simplenum[:] = 0
        if field in ("body_ipos", "body_iquat"):
            self.live.body_sameframe[:] = 0
        value = getattr(owner, name)
        if isinstance(value, np.ndarray):
            return value[None]
        if field not in self._scalars:
            self._scalars[field] = np.array([value])
        return self._scalars[field]

    def put(self) -> None:
        """Numbers that stand alone are no views: put them into the model."""
        for field, value in self._scalars.items():
            setattr(self.live.opt, field[4:], value[0])

    def set_const(self, rows: Any) -> None:
        """What MuJoCo computes from the model, in a scratch MjData, for `mj_setConst` sets its positions back."""
        self._set_const(self.live, self._scratch)
