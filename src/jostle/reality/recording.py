"""Recording a log: a policy, or random play, in an environment."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from jostle.envs import JostleEnv, make_env, random_actions
from jostle.envs.sources import EnvSource
from jostle.envs.world import Simulated
from jostle.errors import ConfigError
from jostle.plain import as_count
from jostle.reality.log import Log
from jostle.view import as_view, require_fit


def record(
    env: EnvSource | JostleEnv,
    steps: int = 1000,
    policy: Any = None,
    *,
    num_envs: int = 1,
    seed: int = 0,
    hold: int = 1,
    states: bool = False,
    actions: Literal["greedy", "sampled"] = "greedy",
    env_options: Mapping[str, Any] | None = None,
) -> Log:
    """Play, and write down what happened.

    Args:
        env: what `make_env` takes, or a made one.
        steps: transitions to record, of all environments together.
        policy: what plays, as `jostle.as_view` takes it; None: random actions.
        num_envs: environments played together; each records its share.
        seed: of environments and actions.
        hold: random actions are held for so many steps: what changes slowly is seen better under slow actions.
        states: record the simulator's full states too.
        actions: of the policy.
        env_options: of the environment, its domain included.

    Raises:
        ConfigError: observations are no vectors, there are no states to record, or the policy does not fit.
    """
    steps, num_envs, hold = as_count(steps), as_count(num_envs), as_count(hold)
    for name, value in (("steps", steps), ("num_envs", num_envs), ("hold", hold)):
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name}={value!r} cannot be used: it must be a whole number of at least 1.")
    vector = env if isinstance(env, JostleEnv) else make_env(env, num_envs, seed=seed, **dict(env_options or {}))
    try:
        return _recorded(vector, steps, policy, seed, hold, states, actions == "sampled")
    finally:
        if vector is not env:
            vector.close()


def _recorded(vector: JostleEnv, steps: int, policy: Any, seed: int, hold: int, states: bool, sample: bool) -> Log:
    space, world, count = vector.single_observation_space, vector.world, vector.num_envs
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ConfigError(f"{vector.id} tells {space}, and logs hold vectors of numbers: observe it without pictures.")
    if states and not isinstance(world, Simulated):
        raise ConfigError(f"{vector.id} on {vector.engine} tells no states: record it without.")
    actor = None
    if policy is not None:
        view = as_view(policy, observation_space=space, action_space=vector.single_action_space)
        require_fit(view, vector)
        actor = view.actor("mean", rows=count, seed=seed, sample=sample)
    rng = np.random.default_rng([seed, 7])
    obs, info = vector.reset(seed=seed)
    held = random_actions(vector.single_action_space, count, rng)
    episode, rows = np.zeros(count, np.int64), list[dict[str, Any]]()
    need = -(-steps // count)
    got, tick = np.zeros(count, np.int64), 0
    while got.min() < need:
        if actor is not None:
            mask = info.get("action_mask")
            action = actor.act(obs, info["start"], None, *(() if mask is None else (mask,)))
        else:
            if tick % hold == 0:
                held = random_actions(vector.single_action_space, count, rng, info.get("action_mask"))
            action = held
        tick += 1
        row: dict[str, Any] = {"obs": np.asarray(obs).copy(), "action": np.asarray(action).copy()}
        if states:
            assert isinstance(world, Simulated)
            row["state"] = world.read_states()
        obs, _, _, _, info = vector.step(action)
        rows.append(row | {"next_obs": np.asarray(obs).copy(), "episode": episode, "valid": info["valid"]})
        got += info["valid"]
        episode = episode + info["start"]
    return _log(rows, steps, vector.id)


def _log(rows: list[dict[str, Any]], steps: int, env: str) -> Log:
    """Row after row of one environment, then the next; each keeps its share of the steps."""
    stacked = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}  # [N, T, …]
    valid, count = stacked.pop("valid"), len(stacked["episode"])
    shares = [len(part) for part in np.array_split(np.arange(steps), count)]
    keep = valid & (np.cumsum(valid, axis=1) <= np.array(shares)[:, None])
    last = int(stacked["episode"].max()) + 1
    stacked["episode"] = stacked["episode"] + last * np.arange(count)[:, None]
    return Log.of({name: value[keep] for name, value in stacked.items()} | {"env": env})
