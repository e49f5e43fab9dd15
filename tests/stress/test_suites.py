"""The suites by name and from files, and that they refuse what does not fit them."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, TransformObservation
from scene import STEPS, Scene, Watchful, luck, watchful
from torch import nn

import jostle
from jostle.envs.diagnostics.themed.themes import SPLITS
from jostle.errors import ConfigError
from jostle.stress import Condition, Suite, report
from jostle.stress.perturbation import KINDS, Perturbation
from jostle.stress.suites import DESCRIPTIONS, SEARCHED, SUITES, make_suite
from jostle.stress.target import target_of
from jostle.view import PolicyView, as_view

stress_test = partial(jostle.stress_test, baseline=False)

CATCH = "jostle/ThemedCatch-v0"


class Still(nn.Module):
    """Stays where it is: action 1, whatever it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([0.0, 1.0, 0.0]).expand(len(x), 3)


def still(**options: Any) -> PolicyView:
    return as_view(Still(), kind="logits", env=CATCH, env_options=options)


def suite_of(view: PolicyView, name: str | Path) -> Suite:
    return make_suite(name, target_of(view))


def test_every_suite_is_described() -> None:
    assert list(DESCRIPTIONS) == [*SUITES, *SEARCHED]


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ({"num_themes": 4}, range(4)),
        ({"themes": [3, 130, 150]}, [3, 130, 150]),
        ({}, SPLITS["train"]),
        ({"split": "tune", "num_themes": 2}, [128, 129]),
    ],
)
def test_themes_seen_are_those_of_the_training(options: dict[str, Any], own: Any) -> None:
    suite = suite_of(still(**options), "themes")
    assert suite.reference == "seen"
    assert suite["seen"].options(options) == options, "the training's own options"
    themes = {c.name: c.options(options).get("themes") for c in suite.conditions if c.name != "seen"}
    everywhere = [index for found in themes.values() for index in found]
    assert sorted(everywhere) == sorted(set(range(208)) - set(own)), "every theme not seen is in one condition"
    assert ("unseen, same kind" in themes) == (set(own) != set(SPLITS["train"]))
    assert set(themes["test"]) <= set(SPLITS["test"])
    assert set(themes["tune"]) <= set(SPLITS["tune"])


def test_some_conditions_of_a_suite_keep_its_reference_and_their_order() -> None:
    whole = Suite("s", tuple(map(Condition, ("b", "seen", "a"))), "seen")
    assert whole.only(["a", "b"]).names == ["b", "seen", "a"]
    assert whole.only(["a"]).names == ["seen", "a"]
    with pytest.raises(ConfigError, match="no condition 'aa'; did you mean a"):
        whole.only(["aa"])
    with pytest.raises(ConfigError, match="are one name: give a list"):
        whole.only("a")


def test_themes_that_are_played_are_the_ones_named() -> None:
    result = stress_test(still(num_themes=2), "themes", episodes=24)
    played = {c.condition: {e.theme for e in c.episodes} for c in result.cells}
    assert played["seen"] == {0, 1}
    assert played["unseen, same kind"] <= set(range(2, 128))
    assert played["tune"] <= set(SPLITS["tune"])
    assert played["test"] <= set(SPLITS["test"])
    assert all(len(themes) > 4 for name, themes in played.items() if name != "seen")
    # Looks change nothing for who does not look: equal seeds play equal games, and nothing is lost.
    for line in report.lines(result):
        if line.condition != "seen":
            assert line.paired
            assert line.gap is not None
            assert line.gap.point == line.gap.low == line.gap.high == 0
        assert line.success is not None
        assert 0 < line.success.point < 0.5


def test_pictures_grade_every_kind() -> None:
    suite = suite_of(still(), "pictures")
    assert suite.names == ["clean", *(f"{kind} {strength}" for kind in KINDS for strength in range(1, 6))]
    assert suite["clean"].perturbation is None
    assert suite["blur 4"].perturbation == Perturbation("blur", 4)
    assert not any(c.env_options for c in suite.conditions), "the environment stays as it is"
    pytest.importorskip("envpool")
    grey = as_view(Still(), kind="logits", env="Pong-v5", observation_space=None)
    assert "hue 1" not in suite_of(grey, "pictures").names
    assert "noise 1" in suite_of(grey, "pictures").names


@pytest.mark.parametrize(
    ("env", "suite", "said"),
    [
        ("CartPole-v1", "pictures", r"pictures can be perturbed, and CartPole-v1 has observations Box\[4\]"),
        ("CartPole-v1", "themes", f"'themes' is for {CATCH}, not CartPole-v1: try pictures"),
        (CATCH, "procgen-looks", f"'procgen-looks' is for EnvPool's Procgen .*, not {CATCH}"),
        (CATCH, "procgen-levels", "'procgen-levels' is for EnvPool's Procgen"),
        (CATCH, "theme", "no suite 'theme'; did you mean themes"),
        (CATCH, "nothing.yaml", r"nothing.yaml cannot be read \(No such file or directory\)"),
    ],
)
def test_suites_that_do_not_fit(env: str, suite: str, said: str) -> None:
    view = as_view(nn.Identity(), kind="logits", env=env)
    with pytest.raises(ConfigError, match=said):
        stress_test(view, suite, episodes=2)


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        """
about: a scene that pays less
success: return > 1e-1
conditions:
  - name: home
  - {name: away, env_options: {loss: 2.0}, labels: {where: away}, seed_offset: 5}
  - name: noisy
    perturbation: {kind: noise, strength: 2}
"""
    )
    suite = suite_of(watchful(), file)
    assert (suite.name, suite.reference, str(suite.success)) == ("mine", "home", "return > 0.1")
    assert suite["away"].env_options == {"loss": 2.0}
    assert suite["away"].labels == {"where": "away"}
    assert suite["away"].seed_offset == 5
    assert suite["noisy"].perturbation == Perturbation("noise", 2)
    result = stress_test(watchful(), file, episodes=6)
    for cell in result.cells:
        assert all(e.success == (e.ret > 0.1) for e in cell.episodes)
    assert np.mean([e.ret for e in result.cells[2].episodes]) > np.mean([e.ret for e in result.cells[0].episodes])


def test_another_physics_is_an_option_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "gravity.yaml"
    file.write_text("conditions: [{name: earth}, {name: jupiter, env_options: {g: 24.8}}]\n")
    view = as_view(nn.Linear(3, 1), kind="mean", env="Pendulum-v1", env_options={"engine": "gymnasium"})
    torch.manual_seed(0)
    earth, jupiter = stress_test(view, file, episodes=2).cells
    assert [e.ret for e in earth.episodes] != [e.ret for e in jupiter.episodes]
    assert [e.ret for e in earth.episodes] == [e.ret for e in jostle.evaluate(view, 2).episodes]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a: [", "is no YAML"),
        ("[1]", "must be a mapping with the keys name, about"),
        ("conditions: []", "needs a list of conditions"),
        ("conditons: [{name: a}]", "no key 'conditons' in the suite .*; did you mean conditions"),
        ("conditions: [{nam: a}]", "no key 'nam' in condition 1 of .*; did you mean name"),
        ("conditions: [{env_options: {}}]", "condition 1 of .* needs a name"),
        ("conditions: [{name: a}, {name: b, env_options: 3}]", "env_options of condition 2 of .* must be a mapping"),
        ("conditions: [{name: a, env_options: {seed: 3}}]", "seed cannot stand in env_options"),
        ("conditions: [{name: a, seed_offset: -1}]", "seed_offset=-1 of the condition 'a'"),
        ("conditions: [{name: a, seed_offset: far}]", "seed_offset='far' of the condition 'a'"),
        ("conditions: [{name: a/b}]", "a condition cannot be called 'a/b'"),
        ('{name: "../../evil", conditions: [{name: a}]}', "a suite cannot be called '../../evil': give it"),
        ("conditions: [{name: a, env: 3}]", "env of condition 1 of .* must be the id"),
        ("conditions: [{name: a, perturbation: {kind: nose}}]", "no perturbation 'nose'; did you mean noise"),
        ("conditions: [{name: a, perturbation: {kind: blur, strength: a lot}}]", "strength=a lot of 'blur'"),
        ("{success: always, conditions: [{name: a}]}", "the success rule 'always' cannot be read: write 'return > 0'"),
        ("{reference: b, conditions: [{name: a}]}", "no condition 'b' to be its reference"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        suite_of(watchful(), file)


class Eye(nn.Module):
    """`Watchful` on the picture of a dictionary, while the clock beside it is left alone."""

    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        assert (x["clock"] == 0.5).all()
        return Watchful()(x["eye"])


def stacked() -> gym.Env[Any, Any]:
    return FrameStackObservation(gym.make("tests/Scene-v0"), 4)


def twelve() -> gym.Env[Any, Any]:
    env = stacked()
    space = spaces.Box(0, 255, (32, 32, 12), np.uint8)
    return TransformObservation(env, lambda x: np.concatenate(list(x), axis=-1), space)


def dictionary() -> gym.Env[Any, Any]:
    parts = {"eye": Scene.observation_space, "clock": spaces.Box(0, 1, (1,), np.float32)}
    clock = np.full(1, 0.5, np.float32)
    return TransformObservation(gym.make("tests/Scene-v0"), lambda x: {"eye": x, "clock": clock}, spaces.Dict(parts))


@pytest.mark.parametrize(("env", "module"), [(stacked, Watchful), (twelve, Watchful), (dictionary, Eye)])
def test_pictures_in_every_form_are_perturbed(env: Any, module: type[nn.Module]) -> None:
    result = stress_test(as_view(module(), kind="q", env=env), "pictures", episodes=1)
    taken = {c.condition: round(e.ret - luck(e.level_seed or 0)) for c in result.cells for e in c.episodes}
    assert len(taken) == 41
    dull = {"contrast", "hue", "blur", "translation"}  # an even grey picture has nothing to lose to them
    for name, steps in taken.items():
        assert steps == (0 if name == "clean" or name.split()[0] in dull else STEPS), name


def test_a_file_that_perturbs_what_is_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text("conditions: [{name: a, perturbation: {kind: blur}}]")
    with pytest.raises(ConfigError, match="pictures can be perturbed, and CartPole-v1"):
        suite_of(as_view(nn.Linear(4, 2), kind="q", env="CartPole-v1"), file)
