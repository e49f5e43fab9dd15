"""An environment around an MjModel, as a world of one row, with the quantities of the engine `mujoco`."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jostle.domain import Quantity
from jostle.envs.engines.mujoco.offered import Slot, offered
from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.envs.engines.mujoco.physics import Physics
from jostle.errors import ConfigError, EnvError


def has_model(env: Any) -> bool:
    """Whether an environment holds an MjModel; MuJoCo is not imported to tell."""
    kind = type(getattr(env, "model", None))
    return kind.__name__ == "MjModel" and kind.__module__.partition(".")[0] == "mujoco"


class Model:
    """The physics and looks of an environment's MjModel: values go into the model, and MuJoCo's constants follow.

    Of bodies that the compiler calls simple, the mass matrix has no room for a centre of mass elsewhere, nor for other
    axes of inertia, and `mj_setConst` refuses them. They are not offered.

    Args:
        env: the environment itself, which has the model as `model`.
        names: those that will vary.
        of: its name, for messages.

    Raises:
        ConfigError: one of them is such a one.
    """

    def __init__(self, env: Any, names: Iterable[str], of: str) -> None:
        self._env, self._of = env, of
        self._one = _One(env.model)
        slots = offered(self._one.model)
        fixed = {name for name, slot in slots.items() if needs_full_matrix(self._one.model, name, slot)}
        for name in names:
            if name in fixed:
                raise ConfigError(
                    f"{name} of {of} cannot vary, for the body was compiled as a simple one, without the parts of the "
                    'mass matrix that this needs: write <body simple="false"> in its MJCF.'
                )
        self._physics = Physics(self._one, {k: slot for k, slot in slots.items() if k not in fixed}, of)

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


def needs_full_matrix(model: Any, name: str, slot: Slot) -> bool:
    """Whether a quantity is a centre of mass or a shape of inertia of a body that was compiled as simple."""
    bodies = {target.place // 3 for target in slot.targets if target.field == "body_ipos"}
    if slot.body is not None and ".inertia." in name:
        bodies.add(slot.body)
    return any(model.body_simple[body] for body in bodies)


class _One:
    """One MjModel behind the few methods of a `Batch` that `Physics` uses."""

    nsim = 1

    def __init__(self, model: Any) -> None:
        mujoco = require_mujoco()
        self.live, self.model = model, copy.deepcopy(model)
        self._set_const, self._scratch = mujoco.mj_setConst, mujoco.MjData(model)
        self._scalars: dict[str, np.ndarray[Any, Any]] = {}

    def expand(self, field: str) -> np.ndarray[Any, Any]:
        """A view [1, …] of the live model's field."""
        owner, name = (self.live.opt, field[4:]) if field.startswith("opt.") else (self.live, field)
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
