"""`explain_policy`: a trace, and all parts of an explanation that fit the policy, in one folder."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from jostle.errors import ConfigError, JostleError
from jostle.explain.asking import Target, ask
from jostle.explain.explanation import Explanation
from jostle.explain.methods import require_names
from jostle.explain.parts import PARTS, Asked, Bench, Notify, Progress, Stopped, chosen_parts, require_known
from jostle.explain.tracing import trace
from jostle.explain.weights import initial_weights
from jostle.store.files import replace_file
from jostle.view import as_view
from jostle.view.interface import EnvSource

FILES = ("summary.json", "summary.md", "gallery.png", "saliency.mp4", "junit.xml")
FOLDERS = ("maps", "features", "sanity", *(name for name in PARTS if name != "saliency"))
TRACE = "trace"


def explain_policy(
    policy: Any,
    folder: str | Path,
    *,
    parts: Sequence[str] | None = None,
    initial: Any = None,
    target: str | Target | None = None,
    methods: Sequence[str] | None = None,
    steps: int = 6,
    episodes: int = 5,
    max_steps: int = 200,
    layers: Sequence[str] = (),
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: Mapping[str, Any] | None = None,
    max_size: str | int = "1GB",
    key: str | None = None,
    sanity: bool = True,
    sanity_steps: int = 3,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    video: bool = True,
    overwrite: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    notify: Notify = lambda _done, _total, _what: None,
    stop: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Look inside of a policy: record episodes, apply what fits it, check it, and write it all down.

    The policy is not changed. What cannot be done with it is left out, and said.

    Args:
        policy: whatever `jostle.as_view` takes.
        folder: a new one.
        parts: of `jostle.explain.parts.PARTS`, by name; None: all.
        initial: first weights: the folder of the run, a module or a dictionary; None: not known.
        target: the number that is explained (`jostle.explain.asking.targets`); None: the action's log-probability, its
            value, or the first mean of a continuous one.
        methods: saliency's techniques by name (`jostle.explain.methods`); None: all that fit.
        steps: how many are explained, at equal distances over the trace.
        episodes, max_steps, layers, conditions, noise, actions, seed, env, env_options, max_size: see
            `jostle.explain.trace`. The seed is also that of nulls.
        key: which part of a dictionary is explained.
        sanity: check the techniques.
        sanity_steps: maps at how many of the steps.
        changes: object -> options of the environment under which it is another one, by which techniques are checked
            too (`jostle.explain.change_objects`); None: those that are known of jostle's own environments.
        video: record one of the first episode.
        overwrite: replace what an earlier one left in the folder.
        announce: called with a sentence about the size of the trace, before it is made.
        notify: called with units done, in all, and what comes next.
        stop: asked between units; what is done until then is kept.

    Raises:
        ConfigError: an argument cannot be used.
        EnvError: the environment failed.
    """
    begun, folder = time.perf_counter(), Path(folder)
    if steps < 1 or sanity_steps < 1:
        raise ConfigError(f"steps={steps} and sanity_steps={sanity_steps} must be at least 1.")
    chosen = chosen_parts(parts)
    require_names(methods)
    _require_free(folder, overwrite)
    view = as_view(policy)
    notify(0, 1, TRACE)
    recorded = trace(
        view, folder / TRACE, episodes=episodes, max_steps=max_steps, layers=layers, conditions=conditions,
        noise=noise, actions=actions, seed=seed, env=env, env_options=env_options, max_size=max_size,
        overwrite=overwrite, announce=announce, stop=stop,
    )  # fmt: skip
    each = max(1, steps // len(recorded.about.conditions))
    rows = np.concatenate([recorded.spread(each, condition=name) for name in recorded.about.conditions])
    subject = ask(view, recorded.steps(rows), target, key=key)
    found = Explanation(folder, recorded)
    progress = Progress({name: part.weight for name, part in chosen.items()}, notify, stop)
    simulator = {"changes": changes, "env": env, "env_options": env_options}
    how = Asked(methods, sanity_steps if sanity else 0, video, seed, simulator)
    bench = Bench(subject, found, how, _first_weights(found, initial), progress)
    require_known(bench)
    _clear(folder)
    for name, part in chosen.items():
        bench.begin(name)
        try:
            part.make(bench)
        except Stopped:
            found.complete = False
            break
        except ConfigError as error:  # nothing of the part can be made of this policy
            found.left_out[name] = str(error)
    found.seconds = time.perf_counter() - begun
    try:
        replace_file(folder / "summary.json", json.dumps(found.as_dict(), indent=1) + "\n")
        replace_file(folder / "summary.md", found.markdown())
    except OSError as error:
        raise ConfigError(f"cannot write to {folder} ({error.strerror}): choose another folder.") from error
    return found


def _first_weights(found: Explanation, initial: Any) -> dict[str, Tensor] | None:
    """Of the source; None where it has none, which is said."""
    if initial is None:
        return None
    try:
        return initial_weights(initial)
    except JostleError as error:
        found.left_out["first weights"] = str(error)
        return None


def _require_free(folder: Path, overwrite: bool) -> None:
    """Raises: ConfigError where the folder holds what may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another name for the folder.")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    other = names - {*FILES, *FOLDERS, TRACE}
    if other:
        raise ConfigError(
            f"{folder} holds other files, such as {min(other)}: give the explanation a folder of its own."
        )
    if names and not overwrite:
        raise ConfigError(f"{folder} holds an explanation already: choose another folder, or give overwrite=True.")


def _clear(folder: Path) -> None:
    """What an earlier explanation has left must not stand beside this one's."""
    try:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        for name in FOLDERS:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    except OSError as error:
        raise ConfigError(f"cannot clear {folder} ({error.strerror}): choose another folder.") from error
