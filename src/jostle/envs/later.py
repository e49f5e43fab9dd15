"""Environments that are made when somebody asks for them: until then a policy acts by what is known of them."""

from collections.abc import Callable
from typing import Any

from gymnasium.vector.utils import batch_space

from jostle.envs.space_data import space_data, space_of
from jostle.envs.vector import JostleEnv
from jostle.errors import CheckpointError, EnvError

_KNOWN = ("frame_stack", "stack_padding", "frame_skip", "can_snapshot", "engine")


def facts_of(env: JostleEnv) -> dict[str, Any] | None:
    """What agents read of an environment before its first step, as plain data; None where its spaces have none."""
    spaces = {f"{what}_space": space_data(getattr(env, f"single_{what}_space")) for what in ("observation", "action")}
    return None if None in spaces.values() else spaces | {name: getattr(env, name) for name in _KNOWN}


class LaterEnv(JostleEnv):
    """Stands for environments that are not made, and becomes them at the first use of more than what is known.

    It turns into the `JostleEnv` itself, so that whoever holds it holds the real one, and no step is slower for it.

    Args:
        facts: as `facts_of` gives them.
        make: makes the environments.
        env_id, num_envs, seed, source, made_with: as of `JostleEnv`; ``source`` None: only the user can tell.

    Attributes:
        then: called once they are made.

    Raises:
        CheckpointError: the facts are none that jostle wrote.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        make: Callable[[], JostleEnv],
        *,
        env_id: str,
        num_envs: int,
        seed: int,
        source: Any,
        made_with: dict[str, Any],
    ) -> None:
        types = {"frame_stack": int, "stack_padding": str, "frame_skip": int, "can_snapshot": bool, "engine": str}
        wrong = [name for name, kind in types.items() if type(facts.get(name)) is not kind]
        if wrong or min(facts["frame_stack"], facts["frame_skip"]) < 1:
            what = ", ".join(wrong) or "a stack below 1"
            raise CheckpointError(
                f"a checkpoint describes {env_id} in a way that jostle does not ({what}): use another checkpoint"
            )
        self.id, self.num_envs, self.seed = env_id, num_envs, seed
        self.source, self.made_with, self.options = source, dict(made_with), dict(made_with)
        self.single_observation_space = space_of(facts.get("observation_space"))
        self.single_action_space = space_of(facts.get("action_space"))
        for name in types:
            setattr(self, name, facts[name])
        self.then: Callable[[], None] = lambda: None
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_make" not in self.__dict__:  # asked for by copy, pickle and the like
            raise AttributeError(name)
        if name in ("observation_space", "action_space"):
            space = batch_space(getattr(self, f"single_{name}"), self.num_envs)
            setattr(self, name, space)
            return space
        return getattr(made(self), name)

    @property
    def diverged(self) -> int:
        """See `JostleEnv.diverged`: what was not made yet has not broken down."""
        return 0

    def reset(self, **how: Any) -> Any:
        """See `JostleEnv.reset`."""
        return made(self).reset(**how)

    def step(self, actions: Any) -> Any:
        """See `JostleEnv.step`."""
        return made(self).step(actions)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `JostleEnv.load_state_dict`."""
        made(self).load_state_dict(state)

    def close_extras(self, **kwargs: Any) -> None:
        """Nothing was made, and nothing will be."""


def made(env: JostleEnv) -> JostleEnv:
    """The environments, made now if they were not; what was given, and now they in any case.

    Raises:
        ConfigError, EnvError: they cannot be made, are closed, or their spaces are not those that were known.
    """
    if not isinstance(env, LaterEnv):
        return env
    if env.closed:
        raise EnvError(f"{env.id} is closed: make a new one.")
    real, then = env._make(), env.then
    for what in ("observation", "action"):
        known, found = (getattr(e, f"single_{what}_space") for e in (env, real))
        if known != found:
            real.close()
            raise EnvError(
                f"{env.id} has other {what}s ({found}) than when the agent was saved ({known}): install the version "
                "that it was trained with, or give env=…"
            )
    attributes = dict(vars(real))
    real.closed = True  # what it held is now held by another name
    env.__dict__.clear()
    env.__dict__.update(attributes)
    env.__class__ = JostleEnv  # type: ignore[assignment]  # the same object, so that everybody who holds it has them
    try:
        then()
    except BaseException:
        env.close()
        raise
    return env
