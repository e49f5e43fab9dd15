"""A saved DQN's noise back into its networks."""

from typing import Any

from jostle.algo.dqn.looks import ReplayLooks
from jostle.algo.refit import fit_noise
from jostle.nn.noise import Noise


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
