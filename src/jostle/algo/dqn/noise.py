"""What the noise of a DQN's weights costs, and saved noise back into its networks."""

import warnings
from typing import Any

from jostle.algo.dqn.config import DQNConfig
from jostle.algo.dqn.looks import ReplayLooks
from jostle.algo.refit import fit_noise
from jostle.nn.noise import Noise
from jostle.nn.noisy import NoisyLinear

COSTLY = 10_000_000
"""Normals for one step of all environments from which their drawing is felt: a tenth of a second on a CPU."""


def warn_of_cost(noise: Noise, acting: int, num_envs: int, config: DQNConfig) -> None:
    """Say so where independent noise on wide layers takes most of the time; factorised noise never does.

    Args:
        noise: of the online network.
        acting: slots that act.
        num_envs: N.
        config: the settings.
    """
    layers = [layer for layer in noise.layers.values() if isinstance(layer, NoisyLinear)]
    size = sum(layer.noise_size for layer in layers)
    updates = num_envs * config.replay_ratio / config.batch_size
    redraws = {"action": 1.0, "update": min(1.0, updates), "episode": 0.0}[config.noise_resample]
    normals = size * (acting * redraws + 3 * updates)  # an update draws ξ, ξ′ and ξ″
    if noise.device.type != "cpu" or normals < COSTLY:
        return
    factorised = sum(layer.in_features + layer.out_features for layer in layers)
    fewer = ", and noise_per_env=False fewer" if acting > 1 and redraws else ""
    warnings.warn(
        f"independent noise on {size:,} weights draws {normals / 1e6:,.0f} million normal numbers for every step of "
        f"the {num_envs} environments, about {normals / 1e8:.1f} s on one core: noisy='factorised' draws "
        f"{factorised / size:.1%} of that{fewer}.",
        stacklevel=4,
    )


def load_noise(online: Noise, target: Noise, looks: ReplayLooks, state: dict[str, Any], seed: int) -> list[str]:
    """Restore the noise of an agent's state. Generators of a CPU and of a GPU cannot go on with each other's state.

    Args:
        online, target: of the weights.
        looks: of the input.
        state: the agent's.
        seed: of the generators that begin anew where the saved ones cannot go on.

    Returns:
        Why going on differs from never having stopped; empty where it does not.
    """
    roles = state["noise"]
    saved, mine = (part["generators"] for part in (roles["online"], online.state_dict()))
    foreign = {k: v.numel() for k, v in saved.items()} != {k: v.numel() for k, v in mine.items()}
    if foreign and saved.keys() == mine.keys():
        for noise, role in ((online, "online"), (target, "target")):
            noise.reseed(seed)
            roles = roles | {role: {**roles[role], "generators": noise.state_dict()["generators"]}}
        looks.reseed(seed)
    online.load_state_dict(fit_noise(online.state_dict(), roles["online"]))
    target.load_state_dict(roles["target"])
    own, saved = looks.state_dict(), state.get("looks")
    if not foreign:
        looks.load_state_dict(saved if own is None or saved is None else fit_noise(own, saved))
    if not foreign or not (online.layers or looks.online):
        return []
    return ["the generators of noise were saved on another kind of device: new ones begin"]
