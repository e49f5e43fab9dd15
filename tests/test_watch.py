"""Videos: every state is in them, small pictures are enlarged without blur, and nothing is overwritten unasked."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest

import jostle
from jostle.cli import main
from jostle.errors import ConfigError, EnvError, JostleError
from jostle.video import enlarge
from jostle.watch import Video, picture, record

SMALL = {"hidden": (8,), "warmup": 40, "batch_size": 8, "replay_size": 500}


@pytest.fixture(scope="module")
def agent() -> Any:
    agent = jostle.DQN("jostle/DeepSea-v0", num_envs=2, env_options={"size": 4}, noisy="factorised", **SMALL)
    yield agent
    agent.env.close()


def frames_of(video: Video) -> np.ndarray[Any, Any]:
    """The frames of a video [T, H, W, 3], as ffmpeg reads them back."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    done = subprocess.run([program, "-loglevel", "error", "-i", video.path, *raw], capture_output=True, check=True)
    width, height = video.size
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def test_every_state_of_every_episode_is_recorded(agent: jostle.DQN, tmp_path: Path) -> None:
    video = record(agent, tmp_path / "new" / "sea.mp4", episodes=2, noise="sampled", fps=10)
    assert (video.env, video.noise, video.fps) == ("jostle/DeepSea-v0", "sampled", 10)
    assert len(video.returns) == 2
    assert video.frames == 2 * 5  # size 4: four steps, and the state before the first one
    frames = frames_of(video)
    assert len(frames) == video.frames
    assert np.abs(frames[0].astype(int) - frames[5]).mean() < 2  # both episodes begin in the same corner
    assert np.abs(frames[0].astype(int) - frames[4]).mean() > 2  # and end elsewhere
    assert [p.name for p in video.path.parent.iterdir()] == ["sea.mp4"]  # no staged file stays behind


def test_the_agent_is_not_changed(agent: jostle.DQN, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in agent.network.state_dict().items()}
    noise = agent.noise.state_dict()
    first = record(agent, tmp_path / "one.mp4", noise="sampled")
    assert record(agent, tmp_path / "two.mp4", noise="sampled").returns == first.returns
    assert first.path.read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert all((agent.network.state_dict()[name] == tensor).all() for name, tensor in before.items())
    for layer, drawn in noise["noise"].items():
        assert (agent.noise.state_dict()["noise"][layer] == drawn).all()


def test_returns_are_those_of_the_evaluation(agent: jostle.DQN, tmp_path: Path) -> None:
    found = jostle.evaluate(agent, 2, num_envs=1, seed=5)
    assert record(agent, tmp_path / "sea.mp4", episodes=2, seed=5).returns == found.returns.tolist()


def test_short_videos_are_slowed_down(agent: jostle.DQN, tmp_path: Path) -> None:
    assert record(agent, tmp_path / "one.mp4", episodes=1).fps == 4
    assert record(agent, tmp_path / "many.mp4", episodes=12).fps == 20  # 60 frames in three seconds


def test_small_pictures_are_enlarged_without_blur() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    large = enlarge(frame)
    assert large.shape == (5 * 52, 7 * 52, 3)  # 52 is the least factor that makes 5 at least 256
    assert (large[::52, ::52] == frame).all()
    assert (large[51::52, 51::52] == frame).all()


def test_large_pictures_stay_but_for_odd_sides() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (257, 401, 3)).astype(np.uint8)
    large = enlarge(frame)
    assert large.shape == (258, 402, 3)
    assert (large[:257, :401] == frame).all()
    assert (large[257, :401] == frame[256]).all()  # the border is repeated, not black


def test_nothing_is_overwritten_unasked(agent: jostle.DQN, tmp_path: Path) -> None:
    path = tmp_path / "sea.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="exists already"):
        record(agent, path)
    assert path.read_bytes() == b"precious"
    assert len(frames_of(record(agent, path, episodes=1, overwrite=True))) == 5


@pytest.mark.parametrize(("settings", "says"), [({"episodes": 0}, "episodes=0"), ({"fps": 0}, "fps=0")])
def test_bad_values(settings: dict[str, int], says: str, agent: jostle.DQN, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        record(agent, tmp_path / "sea.mp4", **settings)  # type: ignore[arg-type]


def test_what_ffmpeg_cannot_write_leaves_nothing(agent: jostle.DQN, tmp_path: Path) -> None:
    with pytest.raises(JostleError, match=r"sea\.xyz cannot be a video: give it one of the endings \.mp4"):
        record(agent, tmp_path / "sea.xyz")
    assert not list(tmp_path.iterdir())


class Blind(gym.Env[Any, Any]):
    """Two steps an episode; draws no pictures. Its observations are pictures if it is told so."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, pixels: bool) -> None:
        shape = (20, 30, 3) if pixels else (3,)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.steps = 0

    def _see(self) -> Any:
        return np.full(self.observation_space.shape, 60 * self.steps, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self._see(), 1.0, self.steps == 2, False, {}


class Growing(Blind):
    """Draws a larger picture at every step."""

    def render(self) -> Any:
        return np.zeros((300 + self.steps, 300, 3), np.uint8)


def growing() -> gym.Env[Any, Any]:
    return Growing(pixels=False)


def blind() -> gym.Env[Any, Any]:
    return Blind(pixels=False)


def seeing() -> gym.Env[Any, Any]:
    return Blind(pixels=True)


def test_an_environment_without_pictures_is_named(tmp_path: Path) -> None:
    agent = jostle.DQN(blind, num_envs=1, **SMALL)
    with pytest.raises(EnvError, match="blind on gymnasium draws no pictures"):
        record(agent, tmp_path / "blind.mp4")
    agent.env.close()
    assert not list(tmp_path.iterdir())


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    agent = jostle.DQN(growing, num_envs=1, **SMALL)
    (tmp_path / ".staging-growing.mp4").write_bytes(b"half a video")  # ffmpeg may or may not have begun its own
    with pytest.raises(EnvError, match="change their size"):
        record(agent, tmp_path / "growing.mp4", fps=1)
    agent.env.close()
    assert not list(tmp_path.iterdir())


def test_pixel_observations_are_shown_instead(tmp_path: Path) -> None:
    agent = jostle.DQN(seeing, num_envs=1, encoder="flat", **SMALL)
    video = record(agent, tmp_path / "seen.mp4", episodes=1)
    agent.env.close()
    assert video.size == (30 * 13, 20 * 13)
    assert [round(float(frame.mean()) / 60) for frame in frames_of(video)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((20, 30), (20, 30, 3)),
        ((20, 30, 1), (20, 30, 3)),
        ((20, 30, 3), (20, 30, 3)),
        ((3, 20, 30), (20, 30, 3)),
        ((4, 20, 30), (20, 30, 3)),  # four stacked grey frames: the newest
        ((12, 20, 30), (20, 30, 3)),  # four stacked frames in colour: the newest
    ],
)
def test_the_newest_frame_of_an_observation(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    class NoPicture:
        id = "none"

        def render(self) -> None:
            raise NotImplementedError

    obs = np.random.default_rng(0).integers(0, 256, (1, *shape)).astype(np.uint8)
    seen = picture(NoPicture(), obs)  # type: ignore[arg-type]
    assert seen.shape == expected
    newest = obs[0].reshape(20, 30, -1) if shape[-1] != 30 or len(shape) == 2 else np.moveaxis(obs[0], 0, -1)
    channels = 3 if newest.shape[2] % 3 == 0 else 1
    assert (seen == newest[..., -channels:]).all()


def test_the_command(agent: jostle.DQN, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent.save(tmp_path / "sea")
    assert main(["watch", str(tmp_path / "sea"), "--episodes", "1", "--noise", "mc:2"]) == 0
    said = capsys.readouterr().out
    path = tmp_path / "sea-mc2.mp4"  # beside the saved agent: one file more would damage it
    assert "noise mc:2" in said
    assert f"{path}: 5 frames" in said
    assert path.stat().st_size > 1000
    assert main(["watch", str(tmp_path / "sea"), "--episodes", "1", "--noise", "mc:2"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    file = tmp_path / "mine.mp4"
    assert main(["watch", str(tmp_path / "sea"), "--video", str(file), "--episodes", "1", "--quiet"]) == 0
    assert file.exists()
    assert capsys.readouterr().out == ""


class Endless(gym.Env[Any, int]):
    """Never ends, pays 1 a step, draws what it is told to."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"
    while_drawing: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        if Endless.while_drawing is not None and self.t == 95:
            Endless.while_drawing()
        return np.zeros(2, np.float32), 1.0, False, False, {}

    def render(self) -> Any:
        return np.full((64, 64, 3), self.t % 255, np.uint8)


def test_an_episode_that_never_ends_is_cut_and_its_video_kept(tmp_path: Path) -> None:
    agent = jostle.DQN(Endless, num_envs=1, **SMALL)
    with pytest.warns(UserWarning, match="episode 1 did not end within 40 frames, and the video ends there"):
        video = record(agent, tmp_path / "e.mp4", episodes=np.int64(2), seed=np.int32(1), max_frames=np.int16(40))  # type: ignore[arg-type]
    assert (video.frames, video.returns, video.cut) == (40, [], 39.0)
    assert len(frames_of(video)) == 40
    assert [p.name for p in tmp_path.iterdir()] == ["e.mp4"]
    with pytest.raises(ConfigError, match="max_frames=0 cannot be used"):
        record(agent, tmp_path / "f.mp4", max_frames=0)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "error"])
def test_no_half_made_video_stays(how: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = jostle.DQN(Endless, num_envs=1, **SMALL)
    folder = tmp_path / "run"
    agent.save(folder)
    staged = []

    def interrupt() -> None:
        staged.extend(p.name for p in tmp_path.glob(".staging-*"))
        if how == "error":
            raise OSError("no more")
        signal.raise_signal(how)

    monkeypatch.setattr(Endless, "while_drawing", staticmethod(interrupt))
    monkeypatch.setattr(jostle, "load", lambda *_, **__: agent)
    before = signal.getsignal(signal.SIGTERM)
    code = main(["watch", str(folder), "--video", str(tmp_path / "v.mp4"), "--quiet"])
    assert code == {signal.SIGTERM: 143, signal.SIGINT: 130}.get(how, 2)
    assert staged == [".staging-v.mp4"], "it was half made"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_folder_is_tried_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "videos").write_text("a file where the folder would be")
    monkeypatch.setattr(jostle, "load", lambda *_, **__: pytest.fail("loaded"))
    assert main(["watch", str(tmp_path / "run")]) == 2
    assert "cannot write to the folder" in capsys.readouterr().err
    (tmp_path / "f").write_text("")
    assert main(["watch", str(tmp_path / "run"), "--video", str(tmp_path / "f" / "v.mp4")]) == 2
    assert "cannot write to the folder" in capsys.readouterr().err
