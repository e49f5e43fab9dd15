"""PPO's network by its settings."""

import warnings

from jostle.algo.parts.input.layers import randomise_input
from jostle.algo.ppo.config import PPOConfig
from jostle.envs import JostleEnv
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.encoders import Normaliser
from jostle.nn.noisy import to_noisy
from jostle.nn.own import behind_encoder


def make_network(config: PPOConfig, env: JostleEnv, num_streams: int, *, pictures: bool) -> ActorCritic:
    """The network for the spaces of an environment, with the noise of the settings in weights and input.

    Args:
        num_streams: value heads.
        pictures: the observations hold pictures, behind which other defaults stand.
    """
    c = config
    network = ActorCritic(
        env.single_observation_space,
        env.single_action_space,
        num_streams=num_streams,
        encoder=c.encoder,
        hidden=c.hidden if c.hidden is not None else ((512,) if pictures else (64, 64)),
        activation=c.activation if c.activation != "auto" else ("relu" if pictures else "tanh"),
        shared=c.shared if c.shared is not None else pictures or c.recurrent != "none",
        heads=c.heads,
        recurrent=c.recurrent,
        recurrent_size=c.recurrent_size,
        normalise_obs=bool(c.normalise_obs),
        obs_scaling=c.obs_scaling,
        action_scaling=c.action_scaling,
        log_std_init=c.log_std_init,
        privileged=c.privileged,
        history_encoder=c.history_encoder,
        history_features=c.history_features,
    )
    normalises = any(isinstance(module, Normaliser) for module in network.modules())
    if c.normalise_obs and c.obs_scaling == "bounds" and not normalises:
        warnings.warn(
            f"normalise_obs=True has no effect: the observations of {env.id} hold no vector of numbers, and "
            "pictures and categories are not normalised; leave it out.",
            stacklevel=5,
        )
    if c.log_std_init and network.log_std is None:
        warnings.warn(
            f"log_std_init={c.log_std_init:g} has no effect: the actions of {env.id} are no continuous ones; leave it "
            "out.",
            stacklevel=5,
        )
    if c.noisy != "none":
        to_noisy(network, behind_encoder, noise=c.noisy, sigma0=c.sigma0, bias_sigma=c.bias_sigma)
    randomise_input(network, c, env.frame_stack)
    return network.eval()
