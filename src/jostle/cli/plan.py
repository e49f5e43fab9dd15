"""The flags of `train` and `resume` that say when to log, save and evaluate."""

from dataclasses import dataclass
from typing import Annotated, Any

from jostle.cli.flags import named, shown
from jostle.cli.recipe import parse_options
from jostle.envs.domain import off


@dataclass
class Saving:
    """Logging and saving."""

    log_every: Annotated[int | None, shown("a hundredth of the training, 1,000 at least", "INT")] = None
    """Steps between two lines of metrics."""
    checkpoint_every: Annotated[int | None, shown("a tenth of the training, 10,000 at least", "INT")] = None
    """Steps between two checkpoints."""
    keep: int = 2
    """Checkpoints that are left, the newest ones; initial weights and the best checkpoint stay beside them."""
    save_replay: bool = True
    """Keep DQN's replay in checkpoints, so that a resumed run equals an unbroken one."""


@dataclass
class Evaluating:
    """Evaluation during training, in environments of its own: what is learned is the same with and without."""

    eval_every: Annotated[int, shown("0: none")] = 0
    """Steps between two evaluations; the best checkpoint by their mean return is kept in DIR/best."""
    eval_episodes: int = 10
    """Episodes of an evaluation, the same ones every time."""
    eval_noise: str = "mean"
    """mean: without noise; fixed: one draw; sampled: a fresh draw for every action; mc:M: averaged over M draws."""
    eval_env: Annotated[str | None, shown("the training's", "ENV")] = None
    """Another environment to evaluate in, with the same spaces."""
    eval_env_options: Annotated[tuple[str, ...], named("[KEY=VALUE ...]")] = ()
    """Options of the environment of evaluations, over those of the training where it is the same one."""
    eval_domain: Annotated[str | None, shown("nothing is randomised", "train|FILE|nominal")] = None
    """What is randomised in evaluations: the whole domain of the training, that of a file, such as a fixed set, or
    nothing, whatever the training does."""


def training_of(
    saving: Saving, evaluating: Evaluating, env_options: dict[str, Any], eval_domain: Any = None
) -> dict[str, Any]:
    """What the flags say of the section ``training``; the training's own options stay under those of evaluations.

    ``eval_domain`` is a domain that a file holds as data, which no flag can.
    """
    given = parse_options(evaluating.eval_env_options, "--eval-env-options")
    under = {} if evaluating.eval_env is not None else off(env_options)
    own = {"eval_env_options": under | given if given else None}
    if evaluating.eval_domain is None and "domain" not in given:
        own["eval_domain"] = eval_domain
    return {**vars(saving), **vars(evaluating), **own}


def from_training(training: dict[str, Any]) -> dict[str, Any]:
    """The flags' defaults, by what stands in the section ``training``: the two parts as arguments of a command."""
    saving = {name: training[name] for name in vars(Saving()) if training.get(name) is not None}
    evaluating = {name: training[name] for name in vars(Evaluating()) if training.get(name) is not None}
    if not isinstance(evaluating.get("eval_domain"), str):
        evaluating.pop("eval_domain", None)
    options = evaluating.pop("eval_env_options", None) or {}
    evaluating["eval_env_options"] = tuple(f"{key}={value}" for key, value in options.items())
    return {"saving": Saving(**saving), "evaluating": Evaluating(**evaluating)}
