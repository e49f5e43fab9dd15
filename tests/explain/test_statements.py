"""Statements about the inside: what a layer knows and what a map lies on, with intervals and nulls, pass and fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import jostle
from jostle.cli import main
from jostle.cli.explain import parse_conditions
from jostle.cli.explain_check import judge, read_first
from jostle.errors import ConfigError
from jostle.explain import gather, read_statements, run_statements, statements
from jostle.explain.activations import probe
from jostle.explain.sanity.permuted import Students
from jostle.explain.statements import Statement, measure
from jostle.explain.tracing import Trace, trace
from jostle.view import as_view
from jostle.view.interface import PolicyView

SIDE = 24


class Marked(gym.Env[Any, Any]):
    """A picture with a bright square at a place of the episode's own, and another one that stays.

    The shade of the whole picture is the domain's draw, which it tells.
    """

    def __init__(self, noise: float = 8) -> None:
        self.noise = noise
        self.observation_space = spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8)
        self.action_space = spaces.Discrete(2)

    def _obs(self) -> Any:
        obs = np.full((3, SIDE, SIDE), 30 + 60 * self.shade)
        obs += self.np_random.normal(size=obs.shape) * self.noise
        obs[:, self.y : self.y + 5, self.x : self.x + 5] += 120
        obs[:, 18:22, 18:22] += 120
        return obs.clip(0, 255).astype(np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.shade = 0, float(self.np_random.uniform())
        self.y, self.x = (int(n) for n in self.np_random.integers(0, 12, 2))
        return self._obs(), {"domain": {"shade": self.shade}}

    def step(self, action: Any) -> Any:
        self.at += 1
        return self._obs(), 0.0, False, self.at == 4, {"domain": {"shade": self.shade}}


gym.register("Marked-v0", Marked, max_episode_steps=50)


class Looks(nn.Module):
    """Two layers: one knows the shade, the other noise alone; the logits are of the upper left part."""

    def __init__(self) -> None:
        super().__init__()
        self.knows, self.blind = nn.Linear(3, 4), nn.Linear(3, 4)
        self.conv, self.relu, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4 * 17 * 17, 2)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
            self.conv.weight.abs_()

    def forward(self, x: Tensor) -> Tensor:
        unit = x.float() / 255
        self.knows(unit[:, :, 23, :].mean(2))
        self.blind(10 * (unit[:, :, 23, 0] - unit[:, :, 23, 1]))  # noise of two pixels
        return self.out(self.relu(self.conv(unit))[:, :, :17, :17].flatten(1))


@pytest.fixture(scope="module")
def view() -> PolicyView:
    return as_view(Looks(), kind="logits", env="Marked-v0")


@pytest.fixture(scope="module")
def recorded(view: PolicyView, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    found = trace(view, tmp_path_factory.mktemp("statements") / "t", episodes=24, layers=["knows", "blind"])
    # The pixels of the squares, as environments with objects tell them.
    return _with_objects(found)


def _with_objects(found: Trace) -> Trace:
    obs = found.obs().astype(int).mean(1)
    bright = obs > np.median(obs, (1, 2), keepdims=True) + 60
    fixed = np.zeros_like(bright)
    fixed[:, 18:22, 18:22] = True
    masks = {"object.square": bright & ~fixed, "object.post": fixed}

    class Told(Trace):
        @property
        def columns(self) -> list[str]:
            return [*super().columns, *masks]

        def column(self, name: str, rows: Any = None) -> Any:
            if name in masks:
                return masks[name] if rows is None else masks[name][rows]
            return super().column(name, rows)

    return Told(found.folder, found.about)


def test_probes_beyond_their_nulls(view: PolicyView, recorded: Trace) -> None:
    knows, blind = (Statement("probe", layer, of="shade") for layer in ("knows", "blind"))
    found = measure(knows, view, recorded)
    assert found.low > 0.3
    assert found.low < found.point < found.high
    assert measure(blind, view, recorded).high < 0.3
    nulls = measure(Statement("probe", "knows", of="shade", untrained=3), view, recorded)
    assert nulls.high - nulls.low == pytest.approx(found.high - found.low)
    assert nulls.point < found.point - 0.3, "an untrained layer shows the shade as well"


def test_masses_beyond_the_picture_alone(view: PolicyView, recorded: Trace) -> None:
    square = measure(Statement("mass", technique="blur", of="square", steps=48), view, recorded, target="policy")
    post = measure(Statement("mass", technique="blur", of="post", steps=48), view, recorded, target="policy")
    assert post.high < 0, "nobody looks there, though it is to be seen"
    assert square.low > post.high


def test_a_probe_must_beat_the_95th_percentile_of_permuted_labels(view: PolicyView, recorded: Trace) -> None:
    found = measure(Statement("probe", "knows", of="shade"), view, recorded, seed=3)
    whole = probe(gather(recorded, "knows", view, pool="mean"), "shade", permutations=200, seed=3)
    assert found.point == pytest.approx(whole.score.point - np.quantile(whole.null, 0.95))
    assert found.low == pytest.approx(whole.score.low - np.quantile(whole.null, 0.95))


def test_sanity_is_checked_by_permuted_actions_too(
    view: PolicyView, recorded: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def check(method: Any, subject: Any, **how: Any) -> Any:
        heard.append(how["taught"])
        return real(method, subject, **how)

    real = statements.check
    monkeypatch.setattr(statements, "check", check)
    run_statements(view, recorded, [Statement("sanity", technique="gradient")], target="logit:0")
    assert len(heard) == 1
    assert isinstance(heard[0], Students)


def test_a_condition_is_measured_by_its_own_steps(view: PolicyView, tmp_path: Path) -> None:
    conditions = {"quiet": {}, "loud": {"noise": 40.0}}
    both = _with_objects(
        trace(view, tmp_path / "t", episodes=6, layers=["knows"], conditions=conditions)  # the same games, noise apart
    )
    alone = _with_objects(trace(view, tmp_path / "a", episodes=6, layers=["knows"]))
    for statement in (
        Statement("probe", "knows", of="shade"),
        Statement("mass", technique="gradient", of="post", steps=8),
    ):
        of = {name: measure(replace(statement, condition=name), view, both, target="logit:0") for name in conditions}
        assert of["quiet"].point == pytest.approx(measure(statement, view, alone, target="logit:0").point)
        assert of["loud"].point != pytest.approx(of["quiet"].point)


def test_a_file_passes_and_fails_as_it_should(view: PolicyView, recorded: Trace, tmp_path: Path, capsys: Any) -> None:
    file, junit = tmp_path / "inside.yaml", tmp_path / "new" / "junit.xml"
    file.write_text(
        "- {metric: probe, layer: knows, of: shade, min: 0.2}\n"
        "- {metric: probe, layer: blind, of: shade, max: 0.3}\n"
        "- {metric: probe, layer: blind, of: shade, min: 0.2}\n"
        "- {metric: mass, technique: gradient, of: post, max: 0}\n"
        "- {metric: mass, technique: gradient, of: lamp, min: 0}\n"
        "- {metric: sanity, technique: gradient}\n"
    )
    statements = read_first(file, None, view)
    verdicts = run_statements(view, recorded, statements, target="logit:0")
    assert [v.failure is None for v in verdicts] == [True, True, False, True, False, verdicts[5].failure is None]
    assert "begins below 0.2" in str(verdicts[2].failure)
    assert "no pixels of an object 'lamp'; known: post, square" in str(verdicts[4].failure)
    assert str(verdicts[0]) == "passed: what knows knows of shade, beyond permuted labels >= 0.2, noise mean"
    assert judge(statements[:2], view, recorded, junit) == 0
    assert judge(statements[:3], view, recorded, junit) == 1
    said = capsys.readouterr().out
    assert "2 of 2 statements hold" in said
    assert "FAILED: what blind knows of shade" in said
    root = ElementTree.parse(junit).getroot()
    assert root.attrib == {"name": "jostle explain Marked-v0", "tests": "3", "failures": "1", "errors": "0"}
    assert judge([], view, recorded, tmp_path / "none.xml") == 0
    assert not (tmp_path / "none.xml").exists()


def test_few_episodes_prove_nothing(view: PolicyView, tmp_path: Path) -> None:
    few = _with_objects(trace(view, tmp_path / "t", episodes=1))
    probe, mass = Statement("probe", "knows", of="shade", low=0.1), Statement("mass", "", "gradient", "post", low=0.1)
    failures = [str(v.failure) for v in run_statements(view, few, [probe, mass])]
    assert "proves nothing" in failures[0]
    assert "there is no interval" in failures[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "needs a list of statements"),
        ("- 3", "must be a mapping"),
        ("- {layer: knows}", "names no metric; known: mass, probe, sanity"),
        ("- {metric: prob, layer: knows, of: shade, min: 0}", "did you mean probe"),
        (
            "- {metric: probe, layer: know, of: shade, min: 0}",
            "the layer 'know', which there is not; did you mean knows",
        ),
        ("- {metric: probe, layer: knows, min: 0}", "has no of: write {metric: probe"),
        ("- {metric: probe, layer: knows, of: shade}", "needs either min or max"),
        ("- {metric: probe, layer: knows, of: shade, min: 0, max: 1}", "needs either min or max"),
        ("- {metric: probe, layer: knows, of: shade, min: high}", "must be a number"),
        ("- {metric: probe, layer: knows, of: shade, min: 0, technique: blur}", "no key 'technique'"),
        ("- {metric: probe, layer: knows, of: shade, min: 0, untrained: -1}", "untrained=-1"),
        ("- {metric: mass, technique: blurr, of: ball, min: 0}", "did you mean blur"),
        ("- {metric: mass, technique: blur, of: ball, min: 0, steps: 0}", "steps=0"),
        ("- {metric: mass, technique: blur, of: ball, min: 0, condition: test}", "the condition 'test'"),
        ("- {metric: sanity, technique: blur, min: 0}", "no key 'min'"),
    ],
)
def test_files_that_cannot_be_used(text: str, said: str, view: PolicyView, tmp_path: Path) -> None:
    file = tmp_path / "inside.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_statements(file, view, ["seen"])


def test_what_cannot_be_read(view: PolicyView, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_first(tmp_path / "none.yaml", None, view)
    with pytest.raises(ConfigError, match=r"give --assert FILE\.yaml"):
        read_first(None, tmp_path / "junit.xml", view)
    assert read_first(None, None, view) == []


def test_the_command_tests_statements_and_its_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jostle.PPO("CartPole-v1", num_envs=2, num_steps=16, hidden=(8,), seed=0).save(tmp_path / "pole")
    asked, out = tmp_path / "inside.yaml", tmp_path / "out"
    command = ["explain", str(tmp_path / "pole"), "--parts", "planes", "--out", str(out), "--overwrite", "--quiet"]
    probe = "- {{metric: probe, layer: {layer}, of: action, {bound}}}"
    asked.write_text(probe.format(layer="aktor", bound="min: 0"))
    assert main([*command, "--assert", str(asked)]) == 2
    assert "actor" in capsys.readouterr().err
    assert not out.exists()
    for bound, code in (("max: 5", 0), ("min: 5", 1)):
        asked.write_text(probe.format(layer="actor", bound=bound))
        assert main([*command, "--assert", str(asked)]) == code
        cases = ElementTree.parse(out / "junit.xml").getroot().iter("testcase")
        assert [len(case) for case in cases] == [code]
    assert main([*command, "--junit", str(tmp_path / "j.xml")]) == 2


def test_options_without_a_name_are_no_condition() -> None:
    with pytest.raises(ConfigError, match="NAME:KEY=VALUE"):
        parse_conditions(("split=test",))
