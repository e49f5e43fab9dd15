"""From settings to bonuses."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium import spaces
from torch import Tensor

from jostle.algo.parts.bonus_settings import BonusSettings
from jostle.algo.parts.stream_settings import EXTRINSIC, SUM
from jostle.algo.parts.streams import one_stream
from jostle.bonus import BONUSES, Bonus, make_bonus, warm_up
from jostle.bonus.part import holds_numbers
from jostle.bonus.rnd import VECTOR_FEATURES, VECTOR_RATE
from jostle.envs import JostleEnv, make_env
from jostle.errors import ConfigError
from jostle.nn.distributions import policy_space


def make_bonuses(config: BonusSettings, env: JostleEnv, own: Sequence[Bonus], *, bfloat16: bool = False) -> list[Bonus]:
    """The bonuses of the settings, for the observations and actions of an environment, and the user's ``own``.

    Raises:
        ConfigError: one of ``own`` is no bonus, or has another's or another stream's name.
    """
    made: list[Bonus] = []
    for name in config.bonus:
        space = newest_space(env) if BONUSES[name].last_frame else env.single_observation_space
        rate, features = config.bonus_learning_rate, config.bonus_features
        if name == "rnd" and rate is None and holds_numbers(space):
            rate, features = VECTOR_RATE, features or VECTOR_FEATURES
        stream = one_stream(config, name)
        bonus = make_bonus(
            name,
            space,
            policy_space(env.single_action_space, getattr(config, "action_scaling", "none")),
            env.num_envs,
            features=features,
            discount=stream.discount,
            share=config.bonus_share,
            obs_norm=config.bonus_obs_norm,
            clip=config.bonus_obs_clip,
            codes=_codes(config, env),
            reward_norm=stream.reward_norm,
            scale_horizon=config.bonus_scale_horizon,
            **(_of_rnd(config, bfloat16) if name == "rnd" else {}),
        )
        if getattr(config, "obs_scaling", "bounds") == "bytes":
            bonus.preprocess.scale_bytes_alone()
        bonus.learning_rate = None if rate == "joint" else rate
        made.append(bonus)
    for bonus in [own] if isinstance(own, str) else own:
        if not isinstance(bonus, Bonus):
            raise ConfigError(
                f"bonuses= takes objects such as jostle.bonus.RND(…), not {bonus!r}; by name they are a setting: "
                "bonus=('rnd',)."
            )
        if bonus.name in (EXTRINSIC, SUM):
            raise ConfigError(f"a bonus cannot be called '{bonus.name}', the name of another stream; give it its own.")
        if bonus.name in [other.name for other in made]:
            raise ConfigError(
                f"two bonuses are called '{bonus.name}', and streams, metrics and weights go by that name; give one of "
                "them a subclass with another `name`."
            )
        if bonus.name in config.streams and config.streams[bonus.name].reward_norm is not None:
            raise ConfigError(
                f"streams.{bonus.name}.reward_norm has no effect on a bonus that is made already: give reward_norm=… "
                "where it is made."
            )
        made.append(bonus)
    return made


def _codes(config: BonusSettings, env: JostleEnv) -> bool | None:
    """Whether small bytes [H, W, 3] are codes; None: the observations' keys say."""
    if config.bonus_codes is not None:
        return config.bonus_codes
    return True if env.id.rpartition(":")[2].startswith(("MiniGrid-", "BabyAI-")) else None


def _of_rnd(config: BonusSettings, bfloat16: bool) -> dict[str, Any]:
    return {
        "target": config.bonus_target,
        "slope": config.bonus_slope,
        "depth": config.bonus_depth,
        "convolutions": config.bonus_convolutions,
        "bf16": bfloat16,
    }


def newest_space(env: JostleEnv) -> gym.Space[Any]:
    """The space of the newest frame of a stack; without a stack, of the whole observation."""
    space = env.single_observation_space
    if env.frame_stack == 1:
        return space
    if isinstance(space, spaces.Dict):  # what is told beside a stack
        return spaces.Dict({**space.spaces, "obs": _newest(space.spaces["obs"], env.frame_stack)})
    return _newest(space, env.frame_stack)


def _newest(space: gym.Space[Any], frame_stack: int) -> spaces.Box:
    assert isinstance(space, spaces.Box)
    channels = space.shape[0] // frame_stack
    return spaces.Box(space.low[-channels:], space.high[-channels:], dtype=space.dtype.type)


def warm_up_all(bonuses: Sequence[Bonus], env: JostleEnv, steps: int, seed: int) -> None:
    """Random play in environments of their own, from which bonuses learn what observations look like."""
    for bonus in bonuses:
        if all(part.moments is None for part in bonus.preprocess.parts):
            continue  # it normalises no observations
        options = dict(env.made_with)
        if bonus.takes_newest and env.frame_stack > 1:
            options["frame_stack"] = 1
        separate = make_env(env.source, env.num_envs, seed=seed, **options)
        try:
            warm_up(bonus, separate, steps, seed)
        finally:
            separate.close()


def frozen_parameters(bonuses: Sequence[Bonus]) -> dict[str, Tensor]:
    """What no optimiser may change, by the bonus's name and its own."""
    return {
        f"{bonus.name}.{name}": parameter.detach()
        for bonus in bonuses
        for name, parameter in bonus.named_parameters()
        if not parameter.requires_grad
    }
