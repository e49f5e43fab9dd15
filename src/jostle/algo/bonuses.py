"""From settings to bonuses and their reward streams, and from a rollout to what bonuses see of it."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from jaxtyping import Int
from torch import Tensor

from jostle.algo.bonus_config import BonusSettings
from jostle.algo.rollout import Rollout
from jostle.algo.streams import Stream
from jostle.bonus import BONUSES, Bonus, Transitions, make_bonus, warm_up
from jostle.envs import JostleEnv, make_env
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation


def make_bonuses(config: BonusSettings, env: JostleEnv, own: Sequence[Bonus], *, bfloat16: bool = False) -> list[Bonus]:
    """The bonuses of the settings, for the observations and actions of an environment, and the user's ``own``.

    Raises:
        ConfigError: one of ``own`` is no bonus, or has another's or another stream's name.
    """
    made: list[Bonus] = []
    for name in config.bonus:
        bonus = make_bonus(
            name,
            newest_space(env) if BONUSES[name].last_frame else env.single_observation_space,
            env.single_action_space,
            env.num_envs,
            features=config.bonus_features,
            discount=config.gamma_int,
            share=config.bonus_share,
            obs_norm=config.bonus_obs_norm,
            clip=config.bonus_obs_clip,
            reward_norm=config.bonus_reward_norm,
            bf16=True if bfloat16 and name == "rnd" else None,
        )
        bonus.learning_rate = config.bonus_learning_rate  # type: ignore[assignment]  # for whoever makes optimisers
        made.append(bonus)
    for bonus in [own] if isinstance(own, str) else own:
        if not isinstance(bonus, Bonus):
            raise ConfigError(
                f"bonuses= takes objects such as jostle.bonus.RND(…), not {bonus!r}; by name they are a setting: "
                "bonus=('rnd',)."
            )
        if bonus.name in ("ext", "sum"):
            raise ConfigError(f"a bonus cannot be called '{bonus.name}', the name of another stream; give it its own.")
        if bonus.name in [other.name for other in made]:
            raise ConfigError(
                f"two bonuses are called '{bonus.name}', and streams, metrics and weights go by that name; give one of "
                "them a subclass with another `name`."
            )
        made.append(bonus)
    return made


def intrinsic_streams(config: BonusSettings, bonuses: Sequence[Bonus], gae_lambda: float) -> list[Stream]:
    """A stream for each bonus.

    Raises:
        ConfigError: there is no stream with a weight.
    """
    if not (config.coef_ext or (bonuses and config.coef_int)):
        raise ConfigError("no reward has a weight: raise coef_ext, or give a bonus and coef_int.")
    return [Stream(bonus.name, config.gamma_int, gae_lambda, config.episodic_int, config.coef_int) for bonus in bonuses]


def newest_space(env: JostleEnv) -> gym.Space[Any]:
    """The space of the newest frame of a stack; without a stack, of the whole observation."""
    space = env.single_observation_space
    if env.frame_stack == 1:
        return space
    assert isinstance(space, spaces.Box)
    channels = space.shape[0] // env.frame_stack
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


def successors(rollout: Rollout, ending: str) -> Int[Tensor, "T N"]:
    """The flat row whose observation follows each transition: the next one.

    With ``ending="reset"``, an episode's last transition is followed by the first observation of the next episode, two
    rows on, as in the official code of RND; where that lies behind the rollout, by its final observation all the same.
    """
    steps, n = rollout.steps, rollout.num_envs
    following = torch.arange(n, (steps + 1) * n, device=rollout.device).view(steps, n)
    if ending == "reset":
        ended = (rollout.terminated | rollout.truncated) & (following < steps * n)
        following = following + n * ended
    return following


def transitions(
    rollout: Rollout, bonus: Bonus, following: Int[Tensor, "T N"], rows: Int[Tensor, "B"] | None = None
) -> Transitions:
    """What a bonus sees of the flat rows [B] of a rollout, or of all of it [T, N]."""
    done = rollout.terminated | rollout.truncated
    if rows is None:
        plain = bool((following == following[0] + rollout.num_envs * _column(rollout)).all())
        if bonus.takes_newest or rollout.stack == 1:
            obs = rollout.newest()
            next_obs = (
                rollout.newest(following=True) if plain else _lead(rollout.newest_of(following.flatten()), rollout)
            )
        else:
            obs = _lead(rollout.observations(torch.arange(rollout.steps * rollout.num_envs)), rollout)
            next_obs = _lead(rollout.observations(following.flatten()), rollout)
        return Transitions(obs, next_obs, rollout.action, rollout.valid, rollout.start[:-1], done)
    pick = rollout.newest_of if bonus.takes_newest else rollout.observations
    action, valid, start, ended = (
        x.flatten(0, 1)[rows] for x in (rollout.action, rollout.valid, rollout.start[:-1], done)
    )
    return Transitions(pick(rows), pick(following.flatten()[rows]), action, valid, start, ended)


def _column(rollout: Rollout) -> Tensor:
    return torch.arange(rollout.steps, device=rollout.device)[:, None]


def _lead(obs: Observation, rollout: Rollout) -> Observation:
    lead = (rollout.steps, rollout.num_envs)
    if isinstance(obs, dict):
        return {key: value.view(*lead, *value.shape[1:]) for key, value in obs.items()}
    return obs.view(*lead, *obs.shape[1:])
