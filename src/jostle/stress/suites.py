"""The suites by name, each a function of the environment that the policy was trained in."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jostle.envs.diagnostics import THEMED_CATCH
from jostle.envs.diagnostics.themed.themes import SPLITS, choose_themes
from jostle.errors import ConfigError, closest
from jostle.stress.condition import Condition, Suite
from jostle.stress.looks import REACH, reach_looks
from jostle.stress.perturbation import KINDS, STRENGTHS, Perturbation
from jostle.stress.physics.field import How
from jostle.stress.physics.suites import physics_pair, physics_sets, physics_sobol, physics_sweep
from jostle.stress.physics.worst import worst_suite
from jostle.stress.pictures import picture_layouts
from jostle.stress.procgen import procgen_levels, procgen_looks
from jostle.stress.suite_file import read_suite
from jostle.stress.target import Target
from jostle.view import PolicyView, Success


def themes(target: Target) -> Suite:
    """The themed game in the themes of the training, in others of the same split, and in the splits tune and test."""
    if target.env != THEMED_CATCH:
        raise ConfigError(f"the suite 'themes' is for {THEMED_CATCH}, not {target.env}: {_others('themes')}.")
    given = {key: target.options.get(key) for key in ("num_themes", "themes")}
    own = choose_themes(str(target.options.get("split", "train")), **given)
    conditions = [Condition("seen", labels={"looks": "seen"})]
    names = {"train": "unseen, same kind", "tune": "tune", "test": "test"}
    for split, name in names.items():
        rest = [index for index in SPLITS[split] if index not in own]
        if rest:
            options = {"split": None, "num_themes": None, "themes": rest}
            conditions.append(Condition(name, options, labels={"looks": "unseen"}))
    about = f"{len(own)} themes of the training against others; equal seeds play equal games"
    return Suite("themes", tuple(conditions), "seen", Success("info", key="caught"), about)


def pictures(target: Target) -> Suite:
    """Any environment that shows pictures, under eight graded perturbations of what the policy sees."""
    layouts = picture_layouts(target.observation_space, target.frame_stack, target.env).values()
    conditions = [Condition("clean", labels={"perturbation": "none", "strength": "0"})]
    for kind, strength in itertools.product(KINDS, STRENGTHS):
        perturbation = Perturbation(kind, strength)
        if any(perturbation.fits(layout) for layout in layouts):
            labels = {"perturbation": kind, "strength": str(strength)}
            conditions.append(Condition(f"{kind} {strength}", perturbation=perturbation, labels=labels))
    success = Success("info", key="caught") if target.env == THEMED_CATCH else None
    return Suite("pictures", tuple(conditions), "clean", success, "perturbed pictures against clean ones")


SUITES: dict[str, Callable[[Target], Suite]] = {
    "themes": themes,
    "pictures": pictures,
    "procgen-looks": procgen_looks,
    "procgen-levels": procgen_levels,
    "reach-looks": reach_looks,
    "physics-sets": physics_sets,
    "physics-sweep": physics_sweep,
    "physics-pair": physics_pair,
    "physics-sobol": physics_sobol,
}

SEARCHED: dict[str, Callable[[Mapping[str, Sequence[PolicyView]], Target, Mapping[str, How]], Suite]] = {
    "physics-worst": worst_suite,
}
"""Suites that are searched for with the policies themselves: method -> its runs, and how it is played."""

DESCRIPTIONS = {
    "themes": f"{THEMED_CATCH}: the training's themes, others of their kind, splits tune and test",
    "pictures": f"any pixels: {', '.join(KINDS)} at strengths 1 to 5",
    "procgen-looks": "Procgen's Hard ids: seen and unseen layouts × seen and unseen looks",
    "procgen-levels": "Procgen: the training's levels against the full distribution",
    "reach-looks": f"{REACH} in pictures: colours, textures, light, noise, camera, distractor, occluder",
    "physics-sets": "default, random and extreme physics after Packer et al., or around a domain of your own",
    "physics-sweep": "each parameter of the training's domain by itself, from end to end",
    "physics-pair": "the first two parameters of the domain against each other",
    "physics-sobol": "nominal against the whole domain, and each parameter's share in the variance (Sobol indices)",
    "physics-worst": "nominal against the worst cases within the domain, found by search and measured anew",
}


def make_suite(name: str | Path, target: Target) -> Suite:
    """A suite by name, or from a YAML file, for the environment that a policy was trained in.

    Raises:
        ConfigError: there is none of this name, or it does not fit the environment.
    """
    if not isinstance(name, str | Path):
        raise ConfigError(f"suite={name!r} is none: give one of {', '.join(SUITES)}, a YAML file, or a Suite.")
    if isinstance(name, Path) or name.endswith((".yaml", ".yml")):
        return read_suite(Path(name), target)
    if name in SEARCHED:
        raise ConfigError(f"the suite '{name}' is made by a search with policies: give its name to stress_test.")
    if name not in SUITES:
        known = [*SUITES, *SEARCHED]
        raise ConfigError(f"there is no suite '{name}'; {closest(name, known)} (or give a file, suite.yaml)")
    return SUITES[name](target)


def _others(name: str) -> str:
    return "try " + ", ".join(known for known in SUITES if known != name) + ", or a suite of your own in a YAML file"
