"""An MJCF file, compiled so that everything about it can be varied afterwards."""

import warnings
from pathlib import Path
from typing import Any

from jostle.envs.engines.mujoco.package import require_mujoco
from jostle.errors import EnvError


def compile_model(mjcf: str | Path, history: int = 0) -> Any:
    """The MjModel of an MJCF text or file.

    Bodies are compiled without the optimisation for "simple" ones, which a changed centre of mass would break, and
    actuators and sensors remember so many controls and readings more than they would, so that they can be delayed. Both
    leave the trajectories of the plain model as they are, bit for bit.

    Args:
        mjcf: a path, or the text itself (which begins with "<").
        history: how many, in simulation steps.

    Raises:
        EnvError: there is no such file, or it does not compile.
    """
    mujoco = require_mujoco()
    text = str(mjcf)
    name = "the MJCF text" if is_text(text) else text
    if not is_text(text) and not Path(text).is_file():
        raise EnvError(f"There is no MJCF file {text}: give its path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated attributes, as in Gymnasium's half_cheetah.xml
            spec = mujoco.MjSpec.from_string(text) if is_text(text) else mujoco.MjSpec.from_file(text)
            for body in spec.bodies[1:]:
                body.simple = 0
            for actuator in spec.actuators:
                actuator.nsample += history
            for sensor in spec.sensors:
                sensor.nsample += history
            return spec.compile()
    except (ValueError, RuntimeError, mujoco.FatalError) as error:
        raise EnvError(f"MuJoCo cannot compile {name} ({' '.join(str(error).split())}): mend the file.") from error


def is_text(mjcf: str) -> bool:
    """Whether this is MJCF itself, and no path."""
    return mjcf.lstrip().startswith("<")


def names_of(model: Any, kind: str, count: int) -> list[str]:
    """The names of a model's elements of one kind ("body", "geom" …); where one has none, its kind and its number."""
    mujoco = require_mujoco()
    kinds = {"material": "MATERIAL", "texture": "TEXTURE"}
    number = getattr(mujoco.mjtObj, f"mjOBJ_{kinds.get(kind, kind.upper())}")
    return [mujoco.mj_id2name(model, number, i) or f"{kind}{i}" for i in range(count)]
