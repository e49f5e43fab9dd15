"""Observation statistics before training, from random play."""

import copy
import itertools

import numpy as np
import torch
from torch import Tensor

from jostle.bonus.interface import Bonus
from jostle.envs.actions import random_actions
from jostle.envs.vector import JostleEnv
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.policy import map_observation

CHUNK = 128


def warm_up(bonus: Bonus, env: JostleEnv, steps: int, seed: int) -> None:
    """Play uniformly random actions and count the observations; the networks stay as they are.

    The official code of RND takes 128·50 = 6,400 steps of every environment, in chunks of 128. As in `Bonus.update`,
    the observations counted are those from which a transition starts, so final ones are not.

    Args:
        bonus: whose observation statistics are updated.
        env: environments of their own for it; the caller makes and closes them.
        steps: steps of every environment.
        seed: of the actions and of the environments' reset.
    """
    if steps < 0:
        raise ConfigError(f"warm_up: steps={steps} must not be negative.")
    device = next(itertools.chain(bonus.parameters(), bonus.buffers())).device
    actions = copy.deepcopy(env.action_space)
    actions.seed(seed)
    obs, info = env.reset(seed=seed)
    rng = np.random.default_rng(seed)  # of legal actions, where environments tell them
    kept = [map_observation(obs, device)]
    masks = [torch.ones(env.num_envs, dtype=torch.bool, device=device)]
    for step in range(steps):
        mask = info.get("action_mask")
        action = actions.sample() if mask is None else random_actions(env.single_action_space, env.num_envs, rng, mask)
        obs, _, terminated, truncated, info = env.step(action)
        kept.append(map_observation(obs, device))
        masks.append(torch.as_tensor(~(terminated | truncated), device=device))
        if len(kept) >= CHUNK or step == steps - 1:
            bonus.observe(_stack(kept), torch.stack(masks))
            kept, masks = [], []


def _stack(steps: list[Observation]) -> Observation:
    if isinstance(steps[0], dict):
        return {key: torch.stack([obs[key] for obs in steps if isinstance(obs, dict)]) for key in steps[0]}
    return torch.stack([obs for obs in steps if isinstance(obs, Tensor)])
