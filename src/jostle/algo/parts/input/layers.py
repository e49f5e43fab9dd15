"""From settings to randomness in the input: layers in the network, their draws, and losses on both views."""

from torch import nn

from jostle.algo.parts.auxiliary import Auxiliary
from jostle.algo.parts.input.draws import MinibatchDraws, RolloutDraws, input_layers
from jostle.algo.parts.input.settings import InputSettings
from jostle.algo.parts.input.terms import Agreement, CleanTargets, FeatureMatching, Features, Slots
from jostle.errors import ConfigError
from jostle.nn.augment import image_encoders, to_random_input
from jostle.nn.distributions import Head
from jostle.nn.own import OwnEncoder
from jostle.nn.regularise import add_batch_norm, add_dropout


def randomise_input(network: nn.Module, config: InputSettings, frame_stack: int) -> None:
    """Put the layers of the settings into a network's image encoders, in place.

    Raises:
        ConfigError: there is no image encoder, or its pictures do not fit the settings.
    """
    c = config
    encoders = image_encoders(network)
    for name, wanted in (("dropout", c.dropout > 0), ("batch_norm", c.batch_norm)):
        if wanted and not encoders:
            own = isinstance(network.encoder, OwnEncoder)
            why = "an encoder of one's own has none of jostle's" if own else "the observations are none"
            raise ConfigError(f"{name} needs an image encoder, and {why}: leave it out.")
    if c.input_noise != "none" and not encoders and isinstance(network.encoder, OwnEncoder):
        raise ConfigError(
            f"input_noise='{c.input_noise}' needs an image encoder: an encoder of one's own has none of jostle's, "
            "such as jostle.nn.encoders.Nature(space); build on one, or leave it out."
        )
    if c.input_noise != "none":
        frames = c.input_frames if c.input_frames is not None else (frame_stack if frame_stack > 1 else None)
        to_random_input(network, c.input_noise, frames=frames, **c.input_options)
    for encoder in encoders:
        if c.batch_norm:
            add_batch_norm(encoder)
        if c.dropout > 0:
            add_dropout(encoder, c.dropout)


def make_draws(
    config: InputSettings, network: nn.Module, steps: int, num_envs: int, rows: int, seed: int
) -> RolloutDraws | MinibatchDraws | None:
    """The draws of a network's input: those that rollouts of ``steps`` are acted under, or, where the agent acts on
    clean pictures, those that minibatches of up to ``rows`` are changed by. None without input layers."""
    if not input_layers(network):
        return None
    if config.input_use == "act":
        return RolloutDraws(network, config.input_per, steps, num_envs, seed)
    return MinibatchDraws(network, config.input_per, rows, num_envs, seed)


def make_terms(
    config: InputSettings,
    network: nn.Module,
    features: Features,
    draws: RolloutDraws | Slots | None,
    head: Head | None = None,
) -> list[Auxiliary]:
    """The losses of the settings."""
    terms: list[Auxiliary] = []
    if config.feature_matching > 0:
        terms.append(FeatureMatching(config, network, features))
    if config.input_use == "drac":
        assert head is not None
        assert isinstance(draws, MinibatchDraws)
        terms.append(Agreement(head, config.input_weight, draws))
    elif config.input_use == "svea":
        assert draws is not None
        assert not isinstance(draws, RolloutDraws)
        terms.append(CleanTargets(config.input_weight, draws))
    return terms
