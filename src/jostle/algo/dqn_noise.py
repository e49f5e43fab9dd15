"""A saved DQN's noise back into its networks."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jostle.algo.dqn import DQN


def load_noise(agent: "DQN", state: dict[str, Any]) -> list[str]:
    """Restore the noise of an agent's state. Generators of a CPU and of a GPU cannot go on with each other's state.

    Returns:
        Why going on differs from never having stopped; empty where it does not.
    """
    roles = state["noise"]
    saved, mine = (part["generators"] for part in (roles["online"], agent.noise.state_dict()))
    foreign = {k: v.numel() for k, v in saved.items()} != {k: v.numel() for k, v in mine.items()}
    if foreign and saved.keys() == mine.keys():
        # Seeded anew, or the draws of the beginning would come again.
        agent._make_noise(int(np.random.default_rng([agent.seed, state["progress"]["steps"], 1]).integers(2**30)))
        fresh = {"online": agent.noise.state_dict(), "target": agent.target_noise.state_dict()}
        roles = {role: {**part, "generators": fresh[role]["generators"]} for role, part in roles.items()}
    agent.noise.load_state_dict(roles["online"])
    agent.target_noise.load_state_dict(roles["target"])
    if not foreign:
        agent.looks.load_state_dict(state.get("looks"))
    if agent._folds:
        agent.noise.fold(agent._act_slots[0])
    if not foreign or not (agent.noise.layers or agent.looks.online):
        return []
    return ["the generators of noise were saved on another kind of device: new ones begin"]
