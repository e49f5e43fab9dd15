"""A video of an agent at play, written through the ffmpeg that the package imageio-ffmpeg brings."""

import itertools
import os
import re
import subprocess
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
from jostle.errors import ConfigError, EnvError, JostleError
from jostle.nn.inference import Inference
from jostle.view import as_view, require_fit, source_of
from jostle.view.interface import Acts, EnvSource
from jostle.view.playing import Observe, at_least_one, require_seed

Frame = np.ndarray[Any, np.dtype[np.uint8]]
_ENDINGS = (".mp4", ".mkv", ".mov", ".avi", ".m4v")
MAX_FRAMES = 2_000  # of one episode: a minute of video
SMALLEST = 256  # pixels of the shorter side, below which frames are enlarged
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
    program = _ffmpeg()
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
        count, size = _write(program, path, rate, head, frames)
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


def enlarge(frame: Frame) -> Frame:
    """A picture enlarged by the least whole factor that makes its shorter side `SMALLEST`, and padded to even sides.

    Most players refuse odd sizes.
    """
    factor = max(1, -(-SMALLEST // min(frame.shape[:2])))
    large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = large.shape[:2]
    return np.pad(large, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _ffmpeg() -> str:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise ConfigError('videos need imageio-ffmpeg: pip install "jostle[lab]".') from error
    return str(get_ffmpeg_exe())


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


def _write(program: str, path: Path, fps: int, head: list[Frame], rest: Iterator[Frame]) -> tuple[int, tuple[int, int]]:
    """Pipe raw frames to ffmpeg; the number of frames, and their width and height."""
    height, width = enlarge(head[0]).shape[:2]
    staged = path.with_name(f".staging-{path.name}")
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p"]
    wanted = ["-an", *coded, "-movflags", "+faststart"]
    command = [program, "-y", "-loglevel", "error", *given, *wanted, str(staged)]
    count = 0
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    try:
        for frame in itertools.chain(head, rest):
            process.stdin.write(_same(frame, height, width))
            count += 1
        _, said = process.communicate()
        if process.returncode != 0:
            raise BrokenPipeError
        os.replace(staged, path)
    except (BrokenPipeError, ConnectionError) as error:
        said = process.communicate()[1] if process.stderr and not process.stderr.closed else b""
        said = re.sub(rb"\[[^\]]* @ 0x[0-9a-f]+\] ", b"", said)
        why = " ".join(said.decode(errors="replace").split())[-300:] or f"exit code {process.returncode}"
        raise JostleError(f"ffmpeg could not write {path} ({why}): try another name, such as video.mp4.") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        staged.unlink(missing_ok=True)
    return count, (width, height)


def _same(frame: Frame, height: int, width: int) -> bytes:
    large = enlarge(frame)
    if large.shape[:2] != (height, width):
        raise EnvError(f"the pictures change their size from {height}×{width} to {large.shape[:2]} within the video.")
    return large.tobytes()
