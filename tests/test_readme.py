"""The README as a reader follows it: from top to bottom, and then once more over what the first time left behind.

Trainings are cut down to a few steps, and what is played to a few episodes; nothing else is changed.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from jostle.cli import main

README = Path(__file__).resolve().parents[1] / "README.md"
SMALL = {
    "train": ["--steps", "150", "--num-envs", "2"],
    "stress": ["--episodes", "2", "--noise", "mean", "--overwrite"],
    "watch": ["--max-frames", "10", "--episodes", "1"],
}
CUT = {"2e4": "75", "100": "2", "mc:16": "mc:2"}


def blocks() -> list[tuple[str, str]]:
    """Language and text of every code block, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def follow(known: dict[str, Any]) -> int:
    """Run everything but make; the number of commands and blocks of Python."""
    done = 0
    for language, text in blocks():
        if language == "yaml":
            continue
        if language == "python":
            text = re.sub(r"\bsteps=[\d_]+", "steps=150, num_envs=2", text).replace("episodes=100", "episodes=2")
            exec(text.replace('"themes", noise=["mean", "mc:10"]', '"themes", noise="mean", episodes=2'), known)
            done += 1
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["jostle"]:
                assert words[:1] == ["make"], line
                continue
            assert main([*(CUT.get(word, word) for word in words[1:]), *SMALL.get(words[1], [])]) == 0, line
            done += 1
    return done


@pytest.mark.slow  # half a minute
def test_the_readme_can_be_followed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    known: dict[str, Any] = {"__name__": "readme"}
    sb3 = pytest.importorskip("stable_baselines3")  # what such a reader has already
    sb3.PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu").learn(64).save("ppo.zip")
    assert follow(known) >= 14
    assert follow(known) >= 14
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"cartpole", "deepsea", "themed"}


def test_the_first_snippet_says_how_long_it_takes() -> None:
    text = README.read_text(encoding="utf-8")
    before = text.split("```python", 1)[0].rstrip().splitlines()[-1]
    assert re.search(r"(second|minute)s? on one core", before)
