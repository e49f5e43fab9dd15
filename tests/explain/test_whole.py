"""`explain_policy` and `jostle explain`: what is written, what is left out and said, and what stops it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jostle
from jostle.cli import main
from jostle.errors import ConfigError
from jostle.explain import explain_policy, object_mass, overlays, plot_gallery, read_trace, record_maps
from jostle.explain.results import Maps


class Small(nn.Module):
    """Few weights for pictures [B, 32, 32, 3]."""

    def __init__(self, _: Any = None) -> None:
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.relu(self.conv(x.permute(0, 3, 1, 2).float() / 255))).flatten(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "catch"
    agent = jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=8, encoder="impala-gap", hidden=(), shared=True)
    agent.learn(16, run_dir=folder)
    return folder


@pytest.fixture(scope="module")
def agent() -> jostle.PPO:
    return jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=8, encoder=Small, hidden=(), shared=True, seed=1)


ALL = {
    "gradient", "gradient-input", "smoothgrad", "guided", "integrated", "cam", "grad-cam", "occlusion", "blur",
    "blur-value", "baseline", "sarfa",
}  # fmt: skip


LOOKS = ["saliency"]


@pytest.mark.slow  # fifty figures
def test_everything_that_fits_is_made(agent: jostle.PPO, tmp_path: Path) -> None:
    found = explain_policy(agent, tmp_path / "out", parts=LOOKS, steps=2, sanity_steps=1, episodes=2)
    assert set(found.found) == set(found.sanity) == ALL
    assert found.left_out == {}


def test_what_is_made_is_checked_and_written(agent: jostle.PPO, tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    before = [p.clone() for p in agent.network.parameters()]
    found = explain_policy(
        agent, tmp_path / "out", parts=LOOKS, steps=2, sanity_steps=1, episodes=1,
        notify=lambda *told: heard.append(told),
        methods=["gradient", "blur"], conditions={"seen": {"split": "train"}, "unseen": {"split": "test"}},
    )  # fmt: skip
    assert set(found.found) == set(found.sanity) == {"gradient", "blur"}
    assert found.left_out == {}
    assert found.complete
    assert all(isinstance(maps, Maps) and maps.values.shape == (2, 32, 32) for maps in found.found.values())
    labels = found.found["blur"].labels  # type: ignore[union-attr]
    assert [label.split(",")[0] for label in labels] == ["seen", "unseen"]
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {
        "trace", "maps", "sanity", "gallery.png", "saliency.mp4", "summary.json", "summary.md"
    }  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert [row["technique"] for row in summary["techniques"]] == ["gradient", "blur"]
    for name, maps in found.found.items():
        assert maps.failed == found.sanity[name].failed
        verdict = next(row["verdict"] for row in found.rows() if (row["technique"], row["explains"]) == _who(maps))
        assert verdict == (maps.failed or "passed")
        with np.load(out / "maps" / f"{name}.npz") as file:
            assert np.array_equal(file["values"], maps.values)  # type: ignore[union-attr]
    assert "| blur | policy |" in (out / "summary.md").read_text()
    assert len(read_trace(out / "trace")) == 14
    assert set(found.masses["blur"]) == {"ball", "paddle"}
    assert found.masses["blur"]["ball"][1] > 1.5, "the ball is distinct"
    assert found.rows()[0]["on ball"] == "{:.1f} ({:.1f})".format(*found.masses["gradient"]["ball"])
    ball = {n.name.split(", ")[1]: n for n in found.inside["saliency"].numbers if n.name.startswith("blur on ball, ")}
    assert list(ball) == ["seen", "unseen"], "one step of each"
    assert np.mean([n.value for n in ball.values()]) == pytest.approx(found.masses["blur"]["ball"][0])
    assert np.mean([n.null[0] for n in ball.values() if n.null]) == pytest.approx(found.masses["blur"]["ball"][1])
    rows = np.concatenate([found.trace.spread(1, condition=name) for name in ("seen", "unseen")])
    masses = object_mass(found.found["blur"], {"ball": found.trace.column("object.ball", rows)})["ball"]  # type: ignore[arg-type]
    assert [n.value for n in ball.values()] == pytest.approx(masses.tolist()), "each of its own condition"
    assert masses[0] != pytest.approx(masses[1])
    tested = found.sanity["blur"].intervention
    assert tested is not None
    assert tested.objects == ["ball", "paddle"]
    assert found.rows()[1]["objects changed"] == f"{tested.agreement.point:.2f}"
    assert (out / "sanity" / "blur_intervention.png").exists()
    done = [told for told in heard if told[1] > 1]
    assert [told[0] for told in done] == sorted(told[0] for told in done)
    assert len({told[2] for told in done}) == len(done) == 7, "two techniques, students, changes, two checks, a video"
    assert done[-1][0] == done[-1][1] * 6 // 7
    assert all(torch.equal(a, b) for a, b in zip(before, agent.network.parameters(), strict=True))
    with pytest.raises(ConfigError, match="holds an explanation already"):
        explain_policy(agent, out)


def _who(maps: Any) -> tuple[str, str]:
    return maps.method, maps.target


def test_vectors_get_features(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    found = explain_policy(agent, tmp_path / "out", parts=LOOKS, episodes=2)
    assert set(found.found) == {"gradient", "gradient-input", "smoothgrad", "integrated", "ablation", "permutation"}
    assert found.found["ablation"].names[2] == "angle"  # type: ignore[union-attr]
    assert "no pictures: use feature_ablation" in found.left_out["maps of pictures"]
    assert (tmp_path / "out" / "features" / "permutation.png").exists()
    assert {row["most important"] for row in found.rows()} <= set(found.found["ablation"].names)  # type: ignore[union-attr]
    assert "nobody knows which objects of CartPole-v1 to change" in found.left_out["objects changed in the simulator"]


def test_what_is_changed_in_the_simulator_checks_vectors_too(tmp_path: Path) -> None:
    agent = jostle.PPO("jostle/CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    few: dict[str, Any] = {"parts": LOOKS, "episodes": 2, "methods": ["gradient", "ablation"]}
    found = explain_policy(agent, tmp_path / "a", **few)
    assert set(found.interventions) == {"gradient", "ablation"}
    tested = found.interventions["ablation"]
    assert tested.objects == ["pole", "force"]
    row = found.rows()[1]
    assert row["objects changed"] == f"{tested.agreement.point:.2f}"
    assert row["verdict"] == (tested.failed or "passed")
    turned = replace(tested, claim=-tested.claim)
    failed = turned if turned.failed else tested
    found.interventions["ablation"] = failed
    assert found.rows()[1]["verdict"] == failed.failed
    assert "changing objects does not do what it says" in str(failed.failed)
    assert (tmp_path / "a" / "sanity" / "ablation_intervention.png").exists()
    assert "| objects changed | verdict |" in (tmp_path / "a" / "summary.md").read_text()
    own = {"mass": {"domain": {"pole.mass": 1.0}}}
    assert explain_policy(agent, tmp_path / "b", changes=own, **few).interventions["gradient"].objects == ["mass"]
    assert explain_policy(agent, tmp_path / "c", sanity=False, **few).interventions == {}
    wrong = explain_policy(agent, tmp_path / "d", changes={"mass": {"domain": {"pole.mas": 1.0}}}, **few)
    assert "did you mean pole.mass" in wrong.left_out["objects changed in the simulator"]


def test_what_cannot_be_done_is_left_out_and_said(tmp_path: Path) -> None:
    impala = jostle.PPO("jostle/ThemedCatch-v0", num_envs=2, num_steps=8, encoder="impala", hidden=(8,), shared=True)
    found = explain_policy(
        impala,
        tmp_path / "a",
        parts=LOOKS,
        steps=1,
        episodes=1,
        methods=["guided", "cam", "gradient"],
        sanity=False,
        video=False,
    )
    assert list(found.found) == ["gradient"]
    assert "make each a torch.nn.ReLU module" in found.left_out["guided"]
    assert "no global average pooling" in found.left_out["cam"]
    assert found.rows()[0]["verdict"] == "not checked"
    acting = jostle.as_view(lambda obs: obs[:, 3, 5, 0] % 3, env="jostle/ThemedCatch-v0")
    few: dict[str, Any] = {"parts": LOOKS, "steps": 1, "episodes": 1, "sanity_steps": 1}
    found = explain_policy(acting, tmp_path / "b", methods=["occlusion", "gradient"], **few)
    assert "no gradient" in found.left_out["gradient"]
    assert "no weights" in found.left_out["permuted actions"]
    assert found.sanity["occlusion"].cascade is None
    with pytest.raises(ConfigError, match="did you mean blur"):
        explain_policy(impala, tmp_path / "c", methods=["blurr"], episodes=1)


def test_a_stop_keeps_what_is_whole(agent: jostle.PPO, tmp_path: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    found = explain_policy(agent, tmp_path / "out", episodes=1, steps=1, stop=stop)
    assert not found.complete
    assert next(iter(found.found)) == "gradient"
    assert len(found.found) < 12
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["complete"] is False


def test_the_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [
        "explain",
        str(run),
        "--episodes",
        "1",
        "--steps",
        "1",
        "--methods",
        "cam",
        "--no-video",
        "--parts",
        *LOOKS,
    ]
    assert main([*common, "--no-sanity", "--target", "value"]) == 0
    said = capsys.readouterr()
    assert "at most 200 steps of" in said.err
    assert "not checked" in said.out
    assert f"figures and numbers in {run / 'explain'}" in said.out
    assert (run / "explain" / "gallery.png").exists()
    assert main([*common, "--no-sanity"]) == 2
    assert "holds an explanation already" in capsys.readouterr().err
    assert main(["explain", str(run), "--target", "valu", "--overwrite"]) == 2
    assert "did you mean value" in capsys.readouterr().err
    assert main(["explain", str(run), "--env", "CartPole-v1"]) == 2
    assert "a run knows where it was trained" in capsys.readouterr().err
    assert main(["explain", str(run), "--max-size", "1kB", "--overwrite"]) == 2
    assert "more than max_size" in capsys.readouterr().err


def maps(signed: bool = True) -> Maps:
    values = np.zeros((3, 20, 20), np.float32)
    values[:, 4, 5], values[1, 10, 10] = 2.0, -1.0
    pictures = np.full((3, 20, 20, 3), 100, np.uint8)
    return Maps("occlusion", "value", "ppo", values, pictures, ["a", "b", "c"], signed)


def test_overlays_show_what_is_strong_and_leave_the_rest() -> None:
    over = overlays(maps())
    assert (over[0, 0, 0] == 100).all()
    assert not (over[0, 4, 5] == 100).all()
    assert over[1, 10, 10].astype(int).sum() != over[1, 4, 5].astype(int).sum(), "signs have colours of their own"
    half = overlays(maps(), bound=4.0)
    assert np.abs(half[0, 4, 5].astype(int) - 100).max() < np.abs(over[0, 4, 5].astype(int) - 100).max() + 60


def test_mass_on_objects_by_hand() -> None:
    pixels = np.zeros((3, 20, 20), np.bool_)
    pixels[:2, 4:6, 5:7] = True  # 4 of 400 pixels; the third step shows none
    found = object_mass(maps(), {"ball": pixels})["ball"]
    np.testing.assert_allclose(found, [100, 100 * 2 / 3, np.nan])
    with pytest.raises(ConfigError, match="give those of the same steps"):
        object_mass(maps(), {"ball": pixels[:2]})


def test_the_command_explains_a_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stable_baselines3 import A2C

    A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8]}, device="cpu", seed=0).save(tmp_path / "a2c.zip")
    given = ["explain", str(tmp_path / "a2c.zip"), "--algo", "a2c", "--env", "CartPole-v1"]
    assert main([*given, "--episodes", "1", "--methods", "ablation", "--parts", *LOOKS]) == 0
    assert "most important" in capsys.readouterr().out
    assert (tmp_path / "a2c-explain" / "features" / "ablation.json").exists()


def test_videos_and_galleries(tmp_path: Path) -> None:
    path = record_maps(maps(), tmp_path / "v.mp4")
    import imageio_ffmpeg

    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == 3
    with pytest.raises(ConfigError, match="exists already"):
        record_maps(maps(), path)
    with pytest.raises(ConfigError, match="cannot be a video"):
        record_maps(maps(), tmp_path / "v.txt")
    figure = plot_gallery([maps(), maps(False).marked("a reason")])
    assert "FAILED" in str([axis.get_ylabel() for axis in figure.axes])
    with pytest.raises(ConfigError, match="at least one technique"):
        plot_gallery([])
    marked = maps().marked("a reason").plot()
    assert "FAILED: a reason" in str(marked._suptitle.get_text())  # type: ignore[attr-defined]


def test_changes_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = jostle.PPO("jostle/CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    agent.learn(16, run_dir=tmp_path / "run")
    agent.env.close()
    given = [
        "explain",
        str(tmp_path / "run"),
        *(["--parts", "saliency", "--methods", "ablation", "--episodes", "2", "--max-steps", "20"]),
    ]
    assert main([*given, "--out", str(tmp_path / "a"), "--changes", "mass:domain={pole.mass: 1.0}"]) == 0
    assert "objects changed" in " ".join(capsys.readouterr().out.split())
    told = json.loads((tmp_path / "a" / "sanity" / "ablation_intervention.json").read_text())
    assert set(told["objects"]) == {"mass"}
    assert main([*given, "--out", str(tmp_path / "b"), "--changes", "a:x=1", "a:x=2"]) == 2
    assert "--changes a:x=2 cannot be used: NAME:KEY=VALUE" in capsys.readouterr().err
