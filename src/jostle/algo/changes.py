"""What may change between two stretches of a run's training, and what has changed."""

from collections.abc import Iterator, Mapping
from typing import Any

from jostle.algo.settings import Settings
from jostle.errors import ConfigError
from jostle.yaml_text import plain

_SHARED = (
    "learning_rate", "lr_schedule", "optimizer_eps", "max_grad_norm", "gamma", "coef_ext", "coef_int", "input_coef",
    "batch_size", "device", "threads", "bfloat16", "compile", "value_weights", "value_norm",
)  # fmt: skip
MAY_CHANGE = {
    "ppo": (
        *_SHARED, "num_steps", "gae_lambda", "time_limit", "reward_clip", "epochs", "minibatches", "minibatch_by",
        "microbatch", "clip", "value_clip", "clip_schedule", "value_coef", "entropy_coef", "entropy_schedule",
        "normalise_advantage", "kl_target", "target_kl", "recompute", "bonus_grad_norm",
    ),
    "dqn": (
        *_SHARED, "n_step", "double", "loss", "replay_ratio", "replay_size", "target_interval", "target_tau",
        "epsilon_start", "epsilon_end", "epsilon_steps",
    ),
}  # fmt: skip
"""Settings of each algorithm that no saved state depends on, or whose state can begin anew."""
_OF_STREAMS = ("coef", "gae_lambda", "value_coef")
"""Of single streams; and the discount of the environment's rewards, which no filter hangs on."""
MAY_CHANGE_BESIDE = ("num_envs", "env_options")
_NEVER = ("algorithm", "env", "seed")


def changes(saved: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Settings) -> dict[str, list[Any]]:
    """Where a wanted description differs from a checkpoint's, if all of that may change; see `differences`.

    Raises:
        ConfigError: something differs that cannot change between stretches.
    """
    found = differences(saved, wanted, defaults)
    known = defaults.as_dict()
    may = (*MAY_CHANGE_BESIDE, *(name for name in MAY_CHANGE[str(saved["algorithm"])] if name in known))
    for name, (old, new) in _leaves(found):
        stream, _, field = name.removeprefix("streams.").rpartition(".")
        if name.startswith("streams.") and (field in _OF_STREAMS or (stream, field) == ("ext", "gamma")):
            continue
        if name not in may:
            own = (f"streams.NAME.{field}" for field in _OF_STREAMS)
            raise ConfigError(
                f"{name} cannot change from {old!r} to {new!r} between two stretches of a run, for what it has learned "
                f"hangs on it: put it back, or train a new run. What may change: {', '.join(sorted([*may, *own]))}."
            )
    return found


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Settings) -> dict[str, list[Any]]:
    """Where a wanted description differs from a saved one, as ``{name: [before, after]}``.

    Args:
        saved: the meta data of a checkpoint, or a run's config.yaml.
        wanted: in the shape of config.yaml. What it does not say is as it was; a setting that the checkpoint does not
            know is younger than it, and was as by default.
        defaults: the algorithm's.
    """
    found = {}
    for name in (*_NEVER, *MAY_CHANGE_BESIDE):
        before, after = plain(saved.get(name)), plain(wanted.get(name, saved.get(name)))
        if name == "env_options":
            before, after = before or {}, after or {}
        if before != after:
            found[name] = [before, after]
    known = plain(defaults.as_dict())
    before = {**known, **plain(saved.get("config") or {})}
    for name, after in plain(wanted.get("config") or {}).items():
        if name not in known or before[name] != after:
            found[name] = [before.get(name), after]
    return found


def _leaves(changed: Mapping[str, list[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """What has changed, of single streams field by field: ``streams.e3b.coef``."""
    for name, (old, new) in changed.items():
        tables = [table or {} for table in (old, new)]
        if name != "streams" or not all(_is_table(table) for table in tables):
            yield name, [old, new]
            continue
        before, after = ({(s, f): v for s, fs in t.items() for f, v in (fs or {}).items()} for t in tables)
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield f"streams.{'.'.join(key)}", [before.get(key), after.get(key)]


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(fields, Mapping | None) for fields in value.values())


def in_words(changed: Mapping[str, list[Any]]) -> str:
    """
    >>> in_words({"learning_rate": [0.001, 0.0001], "num_envs": [2, 8]})
    'learning_rate from 0.001 to 0.0001, num_envs from 2 to 8'
    """
    return ", ".join(f"{name} from {old} to {new}" for name, (old, new) in _leaves(changed))
