"""What the commands play: the agent of a run's folder, or the model in a zip of Stable-Baselines3."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jostle.errors import ConfigError

if TYPE_CHECKING:
    from jostle.view import PolicyView
    from jostle.view.sb3_zip import Zipped


def is_zip(path: Path) -> bool:
    """Whether this is a zip rather than a run's folder."""
    return path.suffix == ".zip" and not path.is_dir()


def require_home(paths: Sequence[Path], env: str | None, algo: Sequence[str]) -> dict[Path, str]:
    """The algorithm of each zip; nothing where there is none.

    Args:
        paths: runs and zips.
        env: where the zips were trained.
        algo: one algorithm for all zips, or one for each.

    Raises:
        ConfigError: a zip without environment and algorithm, or an algorithm and no zip.
    """
    zips = [path for path in paths if is_zip(path)]
    if not zips:
        if algo:
            raise ConfigError("--algo is for zips of Stable-Baselines3: a run's folder knows its algorithm.")
        return {}
    missing = " and ".join(flag for flag, given in (("--env ID", env), ("--algo ppo", algo)) if not given)
    if missing:
        raise ConfigError(f"{zips[0]} does not say where it was trained, nor by which algorithm: give {missing}.")
    if len(algo) not in (1, len(zips)):
        raise ConfigError(f"--algo names {len(algo)} algorithms for {len(zips)} zips: give one, or one for each zip.")
    return dict(zip(zips, algo if len(algo) > 1 else [*algo] * len(zips), strict=True))


def read_zip(
    path: Path,
    algo: str,
    *,
    env: str | None,
    env_options: dict[str, Any],
    device: str | None,
    which: Literal["newest", "best"],
    trust: bool,
) -> "Zipped":
    """The model of a zip, named by its file; ``env`` and ``env_options`` say where it was trained.

    Raises:
        ConfigError: it cannot be read without running what is in it, or does not fit; or ``which`` is not the newest.
        CheckpointError: it is damaged.
    """
    from jostle.view.sb3_zip import read_zip as read  # late, so that help is quick

    if which != "newest":
        raise ConfigError(f"--which {which} is for runs: a zip of Stable-Baselines3 holds one model.")
    assert env is not None
    found = read(path, algo, env=env, env_options=env_options, device=device, trust=trust)
    found.view.name = path.stem
    return found


def read_policy(
    path: Path,
    *,
    algo: str | None,
    env: str | None,
    env_options: dict[str, Any],
    device: str | None,
    which: Literal["newest", "best"],
    trust: bool,
) -> "tuple[PolicyView, int]":
    """The agent of a run's folder, which knows its environment, or the model of a zip, which is told it; and its steps.

    Raises:
        ConfigError, CheckpointError: as `read_zip` and `jostle.load`.
    """
    algorithm = require_home([path], env, [algo] if algo else []).get(path)
    if algorithm is not None:
        found = read_zip(path, algorithm, env=env, env_options=env_options, device=device, which=which, trust=trust)
        return found.view, found.steps
    import jostle
    from jostle.view import as_view

    agent = jostle.load(path, which=which, device=device, replay=False, trust=trust)
    agent.env.close()
    return as_view(agent), agent.steps
