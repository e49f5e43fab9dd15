"""A video of an agent at play, written through the ffmpeg that the package imageio-ffmpeg brings."""

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from jostle.envs import JostleEnv, make_env
from jostle.envs.domain import SpaceLike, asked
from jostle.envs.make import capped
from jostle.errors import ConfigError, EnvError
from jostle.nn.inference import Inference
from jostle.video import Frame, ffmpeg, write
from jostle.view import as_view, require_fit, source_of
from jostle.view.interface import Acts, EnvSource
from jostle.view.playing import Observe, at_least_one, require_seed

_ENDINGS = (".mp4", ".mkv", ".mov", ".avi", ".m4v")
MAX_FRAMES = 2_000  # of one episode: a minute of video
_FPS, _SLOWEST, _SECONDS = 30, 4, 3.0  # a video shorter than so many seconds is slowed down


@dataclass(frozen=True)
class Video:
    """What was recorded: the file, the environment, the noise mode, undiscounted returns, frames, width and height.

    ``cut``: the return so far of an episode that did not end within ``max_frames``, with which the video ends; it is
    none of the returns.
    """

    path: Path
    env: str
    noise: str
    returns: list[float]
    frames: int
    fps: int
    size: tuple[int, int]
    cut: float | None = None


def record(
    policy: Any,
    path: str | Path,
    *,
    episodes: int = 3,
    noise: str = "mean",
    actions: Literal["greedy", "sampled"] = "greedy",
    fps: int | None = None,
    seed: int = 10_000,
    env: EnvSource | None = None,
    env_options: dict[str, Any] | None = None,
    domain: SpaceLike | None = None,
    observe: Observe | None = None,
    overwrite: bool = False,
    max_frames: int = MAX_FRAMES,
) -> Video:
    """Play episodes in an environment of its own and record them. The policy is not changed.

    Small pictures are enlarged by whole factors, without blurring. The file appears when it is complete.

    Args:
        policy: an agent, or whatever else `jostle.as_view` takes.
        path: the file, such as ``game.mp4``; its ending says which container ffmpeg writes.
        episodes: how many to play.
        noise: ``mean``, ``sampled`` or ``mc:M``.
        actions: ``greedy``, the likeliest or best ones, or ``sampled`` from a policy.
        fps: frames per second; None: 30, or fewer where the whole would be over in three seconds.
        seed: seed of the environment and of the draws.
        env, env_options: the environment and its options; None: the policy's own.
        domain: what is randomised, as in `jostle.evaluate`; None: nothing.
        observe: what the policy sees of an observation, as in `jostle.view.play`; the pictures are the environment's.
        overwrite: replace an existing file.
        max_frames: of one episode; the video ends with one that has not ended by then, and a warning says so.

    Raises:
        ConfigError: imageio-ffmpeg is missing, the file exists, or an argument cannot be used.
        EnvError: the environment draws no pictures.
        JostleError: ffmpeg failed.
    """
    path = Path(path)
    episodes, max_frames = at_least_one("episodes", episodes), at_least_one("max_frames", max_frames)
    fps = None if fps is None else at_least_one("fps", fps)
    require_seed(seed)
    seed = int(seed)
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another name, or give --overwrite (overwrite=True).")
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"{path} cannot be a video: give it one of the endings {', '.join(_ENDINGS)}.")
    inference = Inference.parse(noise)
    program = ffmpeg()
    make_folder(path.parent)
    view = as_view(policy)
    options = dict(view.env_options if env_options is None else env_options)
    options = options if domain is None else asked(options, domain)
    made = make_env(source_of(view, env), 1, seed=seed, render_mode="rgb_array", **capped(options, 1))
    returns: list[float] = []
    try:
        require_fit(view, made)
        actor = view.actor(inference, rows=1, seed=seed, sample=actions == "sampled")
        frames = _play(actor, made, episodes, returns, max_frames, observe)
        head: list[Frame] = []  # held back until it is known whether the video is a short one
        for frame in frames:
            head.append(frame)
            if fps is not None or len(head) >= _FPS * _SECONDS:
                break
        rate = fps or min(_FPS, max(_SLOWEST, round(len(head) / _SECONDS)))
        count, size = write(program, path, rate, head, frames)
        cut = float(made.running()[0][0]) if len(returns) < episodes else None
    finally:
        made.close()
    if cut is not None:
        warnings.warn(
            f"{made.id}: episode {len(returns) + 1} did not end within {max_frames:,} frames, and the video ends "
            "there; give the environment a time limit (max_episode_steps), or allow more with --max-frames "
            "(max_frames).",
            stacklevel=2,
        )
    return Video(path, made.id, str(inference), returns, count, rate, size, cut)


def _play(
    actor: Acts, env: JostleEnv, episodes: int, returns: list[float], longest: int, observe: Observe | None
) -> Iterator[Frame]:
    """The picture of every state, the last one of each episode included, until an episode is longer than `longest`."""
    obs, info = env.reset()
    yield picture(env, obs)
    step = 0
    while True:
        step = 0 if info["start"][0] else step + 1
        seen = obs if observe is None else observe(obs, np.array([len(returns)]), np.array([step]))
        mask = info.get("action_mask")
        obs, _, _, _, info = env.step(actor.act(seen, info["start"], None, *(() if mask is None else (mask,))))
        yield picture(env, obs)
        if "_episode" in info:
            returns.append(float(info["episode"]["r"][0]))
            if len(returns) == episodes:
                return
        elif env.running()[1][0] >= longest - 1:
            return


def picture(env: JostleEnv, obs: Any) -> Frame:
    """What the only environment looks like [H, W, 3]: its own picture, or else a pixel observation's newest frame.

    Raises:
        EnvError: there is neither.
    """
    try:
        drawn: Frame = np.asarray(env.render())[0]
    except (EnvError, NotImplementedError) as error:
        seen = _pixels(obs)
        if seen is None and isinstance(error, EnvError) and not isinstance(error.__cause__, NotImplementedError):
            raise  # it would draw, and says what it lacks
        if seen is None:
            other = env.engine == "envpool" and env.id in gym.registry
            remedy = "try the option engine=gymnasium, which may draw it" if other else "evaluate it instead"
            raise EnvError(
                f"{env.id} on {env.engine} draws no pictures and its observations are none, so there is nothing to "
                f"watch: {remedy}."
            ) from error
        return seen
    if drawn.ndim != 3 or drawn.shape[2] != 3 or drawn.dtype != np.uint8:
        raise EnvError(f"{env.id} draws pictures of shape {drawn.shape} and type {drawn.dtype}, not uint8 [H, W, 3].")
    return drawn


def _pixels(obs: Any) -> Frame | None:
    """The newest frame of an image observation [1, …], in colour if it has any."""
    image = np.asarray(obs.get("image") if isinstance(obs, dict) else obs)[0]
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or max(image.shape) < 16:
        return None
    if image.ndim == 3 and image.shape[0] < min(image.shape[1:]):  # channels, or stacked frames, first
        image = np.moveaxis(image[-3:] if image.shape[0] % 3 == 0 else image[-1:], 0, -1)
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return image if image.shape[2] == 3 else None


def make_folder(folder: Path) -> None:
    """Make a folder, if need be, and make sure that files can be written there.

    Raises:
        ConfigError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to the folder {folder} ({error.strerror}): choose another file.") from error
