"""`as_view`: a view of whatever acts."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from torch import nn

from jostle.envs import make_env
from jostle.envs.make import capped
from jostle.envs.sources import rows_of
from jostle.errors import ConfigError
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.policy import QNetwork
from jostle.view.acting import PredictorView, name_of
from jostle.view.agents import NetworkView, agent_view
from jostle.view.interface import EnvSource, PolicyView
from jostle.view.modules import Called, Kind, ModuleView
from jostle.view.sb3 import SB3View, is_sb3


def as_view(
    policy: Any,
    *,
    kind: Kind | None = None,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    observation_space: gym.Space[Any] | None = None,
    action_space: gym.Space[Any] | None = None,
    name: str | None = None,
) -> PolicyView:
    """A view of a policy, for `evaluate`, `stress_test` and whoever looks inside.

    >>> import jostle, torch
    >>> view = jostle.as_view(torch.nn.Linear(4, 2), kind="logits", env="CartPole-v1")
    >>> view.distribution(torch.zeros(3, 4)).p.shape
    torch.Size([3, 2])
    >>> jostle.as_view(lambda obs: (obs[:, 2] > 0).astype(int), env="CartPole-v1").name
    'policy'

    Args:
        policy: an agent of jostle, a model of Stable-Baselines3, a `torch.nn.Module`, an object with ``predict`` or a
            function that turn a batch of observations into actions (see `jostle.view.acting.PredictorView`), or a view.
        kind: what a module or a function returns: ``logits``, ``q`` or ``mean``. It is then given tensors. Without a
            kind, functions and objects with ``predict`` are given arrays, and return actions.
        env, env_options: where a policy was trained, as `make_env` takes it; it is played there unless something else
            is asked for. Agents know it themselves.
        observation_space, action_space: of one environment, in place of those of ``env``.
        name: for tables.

    Raises:
        ConfigError: nothing that has a view, or what needs ``kind`` or spaces is given none.
    """
    view = _made(policy, kind, env, env_options, observation_space, action_space)
    if name is not None:
        view.name = name
    return view


def _made(
    policy: Any,
    kind: Kind | None,
    env: EnvSource | None,
    env_options: Mapping[str, Any] | None,
    observation_space: gym.Space[Any] | None,
    action_space: gym.Space[Any] | None,
) -> PolicyView:
    if isinstance(policy, PolicyView):
        return policy
    if is_sb3(policy):
        return SB3View(policy, env_source=env, env_options=env_options)
    if not isinstance(policy, nn.Module) and all(hasattr(policy, part) for part in ("network", "actor", "env")):
        return agent_view(policy)
    predict = getattr(policy, "predict", None)
    call = predict if callable(predict) else policy
    if isinstance(policy, type) or not callable(call):
        raise ConfigError(
            f"a {type(policy).__name__} is no policy that can be viewed: give an agent of jostle, a model of "
            "Stable-Baselines3, a torch.nn.Module with kind and env, or a function or an object with predict, and env."
        )
    name = name_of(policy)
    names: dict[str, tuple[str, ...]] = {}
    if env is not None and (observation_space is None or action_space is None):
        made = make_env(env, **capped(env_options or {}, rows_of(env, 1)))
        names = made.observation_names
        made.close()
        observation_space = observation_space or made.single_observation_space
        action_space = action_space or made.single_action_space
    else:
        observation_space = observation_space or getattr(policy, "observation_space", None)
        action_space = action_space or getattr(policy, "action_space", None)
    if observation_space is None or action_space is None:
        raise ConfigError(
            f"{name} does not know its spaces: give as_view(policy, env=…), or observation_space and action_space."
        )
    spaces = observation_space, action_space
    home: dict[str, Any] = {"env_source": env, "env_options": env_options}
    view: PolicyView
    if isinstance(policy, ActorCritic | QNetwork):
        view = NetworkView(policy, *spaces, **home)
    elif kind is not None:
        module = policy if isinstance(policy, nn.Module) else Called(call)
        view = ModuleView(module, *spaces, kind, name=name, **home)
    elif isinstance(policy, nn.Module) and call is policy:
        raise ConfigError(
            f"what {name} returns cannot be seen from outside: give as_view(module, kind='logits'), 'q' or 'mean'."
        )
    else:
        view = PredictorView(call, name, *spaces, **home)
    view.observation_names = names
    return view
