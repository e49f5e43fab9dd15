"""Suites of EnvPool's Procgen: layouts and looks seen and unseen.

A level is its seed (`jostle.stress.levels`). Backgrounds, themes and monochrome assets change a level's looks and
nothing else: with equal seeds and actions, rewards and endings stay the same. ``use_generated_assets`` changes layouts
too, so no suite uses it.
"""

from jostle.errors import ConfigError
from jostle.stress.condition import Condition, Suite
from jostle.stress.levels import levels_of, unseen_levels
from jostle.stress.target import Target
from jostle.view import Success

_SUCCESS = Success("info", key="prev_level_complete")


def procgen_looks(target: Target) -> Suite:
    """{seen, unseen} layouts × {seen, unseen} looks, looks changed one at a time."""
    first, count = training_levels(target, "procgen-looks")
    if not target.env.endswith("Hard-v0"):
        hard = target.env.split("-")[0]
        for mode in ("Easy", "Memory", "Exploration", "Extreme"):
            hard = hard.removesuffix(mode)
        raise ConfigError(
            f"the suite 'procgen-looks' is for Procgen's Hard ids, since {target.env} shows fewer looks: train on "
            f"{hard}Hard-v0, or use procgen-levels."
        )
    conditions = []
    for layouts, options in {"seen": {}, "unseen": unseen_levels(first, count, target.env)}.items():
        for looks, changed in looks_of(target).items():
            shown = "seen looks" if looks == "seen" else looks
            name = "seen" if looks == layouts == "seen" else f"{layouts} layouts, {shown}"
            labels = {"layouts": layouts, "looks": looks}
            # Other layouts are other games, so they have seeds of their own.
            conditions.append(Condition(name, options | changed, seed_offset=100_000 * bool(options), labels=labels))
    about = f"levels {first} to {first + count - 1} and looks of the training against others"
    return Suite("procgen-looks", tuple(conditions), "seen", _SUCCESS, about, (first, count))


def procgen_levels(target: Target) -> Suite:
    """The training's levels against the full distribution, with the training's looks."""
    first, count = training_levels(target, "procgen-levels")
    everything = Condition("all levels", {"num_levels": 0}, seed_offset=100_000, labels={"layouts": "all"})
    conditions = (Condition("seen", labels={"layouts": "seen"}), everything)
    about = f"levels {first} to {first + count - 1} of the training against the full distribution"
    return Suite("procgen-levels", conditions, "seen", _SUCCESS, about, (first, count))


def training_levels(target: Target, suite: str) -> tuple[int, int]:
    """First level and number of levels of the training.

    Raises:
        ConfigError: it is no Procgen, was trained on every level, or has options that are no levels.
    """
    if not target.is_procgen:
        raise ConfigError(f"the suite '{suite}' is for EnvPool's Procgen (CoinrunHard-v0 …), not {target.env}.")
    first, count = levels_of(target.options, "the training")
    if count == 0:
        raise ConfigError(
            f"the policy was trained on every level of {target.env} (num_levels=0), so none is unseen: train with "
            "--env-options num_levels=500."
        )
    return first, count


def looks_of(target: Target) -> dict[str, dict[str, bool]]:
    """Options by which looks differ from the training's, one thing at a time."""
    own = {
        key: bool(target.options.get(key, default))
        for key, default in (("use_backgrounds", True), ("restrict_themes", False), ("use_monochrome_assets", False))
    }
    found: dict[str, dict[str, bool]] = {"seen": {}}
    if own["use_backgrounds"]:
        found["black"] = {"use_backgrounds": False}
    else:
        found["backgrounds"] = {"use_backgrounds": True}
    if own["restrict_themes"]:  # without the restriction every theme was seen
        found["themes"] = {"restrict_themes": False}
        if not own["use_backgrounds"]:
            found["backgrounds and themes"] = {"use_backgrounds": True, "restrict_themes": False}
    found["textured" if own["use_monochrome_assets"] else "monochrome"] = {
        "use_monochrome_assets": not own["use_monochrome_assets"]
    }
    return found
