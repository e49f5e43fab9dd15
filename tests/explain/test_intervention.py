"""Objects changed in the simulator: maps that look where the policy looks agree with it, others are found wanting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.ablate import twin_worlds
from jostle.explain.asking import Subject
from jostle.explain.perturb import feature_ablation
from jostle.explain.results import Maps
from jostle.explain.results.distinctness import distinctness
from jostle.explain.results.maps import maps_of
from jostle.explain.results.similarity import spearman
from jostle.explain.saliency import gradient
from jostle.explain.sanity import change_objects, check, intervention
from jostle.explain.sanity.intervening import _rhos
from jostle.explain.tracing import fingerprint
from jostle.view import as_view
from jostle.view.interface import PolicyView

SIDE, BALLS, PADDLES = 32, slice(0, 23), slice(29, 32)
"""The rows that the ball alone reaches, and the paddle alone."""
HUES = {"ball": {"ball_hue": 0.5}, "paddle": {"paddle_hue": 0.5}}


class Weighs(nn.Module):
    """Three logits, sums of weighed pixels of the rows that one of them reaches, or of none."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)))
        rows = torch.zeros(SIDE, 1, 1)
        rows[{"paddle": PADDLES, "ball": BALLS, "nothing": slice(0)}[where]] = 1
        with torch.no_grad():
            self.w.mul_(rows)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bhwc,ahwc->ba", x.float() / 255, self.w)


def looking(where: str) -> PolicyView:
    home: dict[str, Any] = {"env": "jostle/ThemedCatch-v0", "env_options": {"themes": [0]}}
    return as_view(Weighs(where), kind="logits", **home)


def by_gradient(subject: Subject) -> Any:
    return gradient(subject, None)


def upside_down(subject: Subject) -> Maps:
    """The gradient's map, at the wrong place."""
    found = by_gradient(subject)
    values = torch.from_numpy(np.ascontiguousarray(found.values[:, ::-1]))
    return maps_of(subject, subject.layout(), "upside down", values, signed=False)


def picture_alone(subject: Subject) -> Maps:
    values = torch.from_numpy(distinctness(subject.layout().rgb(subject.x)))
    return maps_of(subject, subject.layout(), "picture", values, signed=False)


@pytest.mark.parametrize("where", ["ball", "paddle"])
def test_maps_are_held_against_what_changing_objects_does(where: str, tmp_path: Path) -> None:
    view = looking(where)
    before = fingerprint(view)
    changed = change_objects(view, HUES, target="logit:1", steps=40)
    assert changed.objects == ["ball", "paddle"]
    assert changed.told == ["ball_hue=0.5", "paddle_hue=0.5"]
    found = intervention(by_gradient, changed)
    assert found.effect.shape == found.claim.shape == (2, 40)
    own, other = (0, 1) if where == "ball" else (1, 0)
    assert found.effect[own].mean() > 10 * found.effect[other].mean()
    assert found.claim[own].mean() > 10 * found.claim[other].mean()
    assert found.agreement.low > 0.5
    assert found.p < 0.01
    assert found.failed is None
    if where == "paddle":  # the ball is larger, so that maps without a policy say it, too
        assert found.beyond.low > 0, "without the policy nobody knows where it looks"
    wrong = intervention(upside_down, changed)
    assert str(wrong.failed).startswith("changing objects ")
    if where == "ball":
        assert wrong.beyond.high < 0
    else:
        assert "does not do what it says (ρ = -" in str(wrong.failed)
    null = intervention(picture_alone, changed)
    np.testing.assert_array_equal(null.claim, null.alone)
    assert null.beyond.point <= 0
    assert found.elsewhere[other].mean() > 10 * found.effect[other].mean(), "as large a change where the policy looks"
    assert fingerprint(view) == before
    files = found.save(tmp_path)
    assert [f.name for f in files] == [f"intervention_gradient{end}" for end in (".json", ".png", ".npz")]
    assert all(f.stat().st_size for f in files)


def test_effects_and_claims_by_hand() -> None:
    view = looking("ball")
    changed = change_objects(view, {"ball": {"ball_hue": 0.5}}, target="logit:2", steps=1000, episodes=3)
    both = twin_worlds(view, {"ball_hue": 0.5}, episodes=3)
    order = np.lexsort((both.step, both.episode))
    weights = view.module.w.detach().numpy()[2]
    difference = (both.second.astype(float) - both.first)[order] / 255
    np.testing.assert_allclose(changed.effect("logit:2")[0], np.abs((difference * weights).sum((1, 2, 3))), atol=1e-4)
    found = intervention(by_gradient, changed)
    sizes = np.abs(weights).max(-1)
    pixels = both.objects["ball"][order]
    np.testing.assert_allclose(found.claim[0], (sizes * pixels).sum((1, 2)) / sizes.sum(), rtol=1e-4)
    assert (difference[~pixels] == 0).all(), "the change is of the ball's pixels alone"


def test_a_policy_that_minds_no_change_decides_nothing() -> None:
    changed = change_objects(looking("nothing"), HUES, target="logit:0")
    found = intervention(picture_alone, changed)
    assert not found.effect.any()
    assert np.isnan(found.agreement.point)
    assert found.p == 1
    assert found.failed is None
    assert found.as_dict()["agreement"]["low"] is None


def test_the_check_joins_the_others_and_marks_the_title(tmp_path: Path) -> None:
    view = looking("paddle")
    changed = change_objects(view, HUES, target="logit:1")
    maps, sanity = check(upside_down, changed.subject.only(np.arange(3)), changed=changed)
    assert sanity.intervention is not None
    assert "changing objects does not do what it says" in str(sanity.failed)
    assert "changing objects does not do what it says" in maps.title
    assert "intervention" in sanity.as_dict()
    assert "map_intervention.png" in [f.name for f in sanity.save(tmp_path, "map")]
    assert check(by_gradient, changed.subject.only(np.arange(3)))[1].intervention is None


def test_the_usual_changes_of_recurrent_agents() -> None:
    agent = jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        minibatch_by="envs", minibatches=1, seed=1, env_options={"themes": [0]},
    )  # fmt: skip
    changed = change_objects(agent, episodes=3)
    assert changed.objects == ["ball", "paddle"]
    first = changed.subject
    assert first._state is not None
    assert all(torch.equal(other._state, first._state) for other in changed.changed)  # type: ignore[arg-type]
    assert all(torch.equal(other.action, first.action) for other in changed.changed)
    later = first.steps.step > 0  # type: ignore[operator]
    assert first._state[:, torch.from_numpy(later)].abs().sum() > 0
    assert intervention(by_gradient, changed).effect.min(1).tolist() != [0, 0]


class Linear(nn.Module):
    """A logit of one number of the observation."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.one * x.float()[:, self.at]
        return torch.stack([y, 0 * y], 1)


def test_constants_of_classic_control() -> None:
    view = as_view(Linear(3), kind="logits", env="jostle/CartPole-v1")
    changed = change_objects(view, {"pole": {"domain": {"pole.half_length": 2.0}}}, target="logit:0", max_steps=8)
    assert changed.pixels is None
    slope = intervention(by_gradient, changed)
    moved = (changed.changed[0].x[:, 3] - changed.subject.x[:, 3]).abs().numpy()
    np.testing.assert_allclose(slope.effect[0], moved, rtol=1e-4)
    np.testing.assert_allclose(slope.claim[0], moved, rtol=1e-4)
    assert slope.agreement.point == pytest.approx(1)
    assert np.isnan(slope.elsewhere).all()
    assert slope.failed is None
    ablated = intervention(lambda s: feature_ablation(s, None), changed)  # type: ignore[arg-type, return-value]
    assert ablated.claim.shape == ablated.alone.shape == (1, len(changed.subject.steps))
    assert ablated.agreement.point > 0
    assert set(change_objects(as_view(Linear(1), kind="logits", env="jostle/CartPole-v1")).objects) == {"pole", "force"}


class Reddish(nn.Module):
    """Six means: sums of the picture's reds, weighed; the others are 0."""

    def forward(self, x: Tensor) -> Tensor:
        red = x[:, 0].float().mean((1, 2)) / 255
        return torch.stack([red, *[0 * red] * 5], 1)


def test_looks_and_masses_of_objects_in_mujoco() -> None:
    pytest.importorskip("mujoco")
    space = spaces.Box(-1.0, 1.0, (6,), np.float32)
    home: dict[str, Any] = {"env": "jostle/Reach-v0", "env_options": {"observation": "picture", "size": 32}}
    view = as_view(Reddish(), kind="mean", **home)
    assert view.action_space == space
    changes = {
        "target": {"domain": {"target.rgba.r": 0.0}},
        "table": {"domain": {"table.rgba.b": 1.0}},
    }
    changed = change_objects(view, changes, target="mean:0", episodes=2, max_steps=3)
    found = intervention(by_gradient, changed)
    assert changed.pixels is not None
    assert changed.pixels[0].any(), "the target is to be seen"
    assert found.effect[0].max() > 10 * found.effect[1].max(), "blue is ignored"
    heavy = as_view(Linear(7), kind="logits", env="jostle/Swimmer-v5", action_space=spaces.Discrete(2))
    with pytest.raises(ConfigError, match="has other spaces"):
        change_objects(heavy, {"body": {"domain": {"all.mass": 3.0}}})
    pole = as_view(nn.Linear(4, 1), kind="mean", env="jostle/InvertedPendulum-v5")
    masses = change_objects(pole, {"pole": {"domain": {"pole.mass": 20.0}}}, episodes=3, max_steps=6)
    assert masses.effect("mean:0").max() > 0
    assert masses.told == ["domain={'pole.mass': 20.0}"]


def test_bad_input() -> None:
    view = looking("ball")
    for arguments, said in [
        ({"changes": {}}, "there is no object to change"),
        ({"changes": {"bal": {"ball_hue": 0.5}}}, "no pixels of an object 'bal'; did you mean ball"),
        ({"changes": {"ball": {}}}, "differ in one thing"),
        ({"changes": {"ball": {"ball_hue": 0.0}}}, "nothing that Weighs sees or remembers differs"),
        ({"changes": HUES, "steps": 0}, "steps=0"),
        ({"changes": HUES, "target": "logits"}, "did you mean logit"),
        ({"changes": HUES, "episodes": 1}, "give two at least"),
    ]:
        with pytest.raises(ConfigError, match=said):
            change_objects(view, **arguments)  # type: ignore[arg-type]
    strange = as_view(nn.Linear(4, 2), kind="logits", env="CartPole-v1")
    with pytest.raises(ConfigError, match="which objects of CartPole-v1 to change"):
        change_objects(strange)


def test_correlations_of_many_choices_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    claim, effect = rng.random((2, 12)).round(1), rng.random((2, 12)).round(1)
    picked = [rng.integers(12, size=size) for size in (12, 9, 12, 5, 9)]
    together = _rhos(claim, effect, picked)
    assert together == pytest.approx([spearman(claim[:, at], effect[:, at]) for at in picked])
    assert np.isnan(_rhos(claim, 0 * effect, picked)).all()
