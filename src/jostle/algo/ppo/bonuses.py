"""What bonuses see of a rollout."""

import torch
from jaxtyping import Int
from torch import Tensor

from jostle.algo.ppo.rollout import Rollout
from jostle.bonus import Bonus, Transitions
from jostle.nn.encoders import Observation


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
    """What a bonus sees of the flat rows [B] of a rollout, or of all of it [T, N].

    ``following`` says what `successors` has found; for a bonus that does not see resets, final observations do.
    """
    if not bonus.sees_resets:
        following = successors(rollout, "final")
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
