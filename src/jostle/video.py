"""Frames into a video file, through the ffmpeg that the package imageio-ffmpeg brings."""

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jostle.errors import ConfigError, EnvError, JostleError

Frame = np.ndarray[Any, np.dtype[np.uint8]]
SMALLEST = 256  # pixels of the shorter side, below which frames are enlarged


def enlarge(frame: Frame) -> Frame:
    """A picture enlarged by the least whole factor that makes its shorter side `SMALLEST`, and padded to even sides.

    Most players refuse odd sizes.
    """
    factor = max(1, -(-SMALLEST // min(frame.shape[:2])))
    large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = large.shape[:2]
    return np.pad(large, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def ffmpeg() -> str:
    """The program.

    Raises:
        ConfigError: imageio-ffmpeg is missing.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError as error:
        raise ConfigError('videos need imageio-ffmpeg: pip install "jostle[lab]".') from error
    return str(get_ffmpeg_exe())


def write(program: str, path: Path, fps: int, head: list[Frame], rest: Iterator[Frame]) -> tuple[int, tuple[int, int]]:
    """Pipe raw frames to ffmpeg; the number of frames, and their width and height.

    Args:
        program: `ffmpeg`.
        path: the file, which appears when it is complete.
        fps: frames per second.
        head, rest: the frames, at least one in ``head``; small ones are enlarged.

    Raises:
        JostleError: ffmpeg failed.
        EnvError: frames of unequal size.
    """
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
