"""All parts of an explanation on agents of every kind: what is written, beside what numbers stand, what is left out."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_agents import Blob, Functional, SmallConv

import jostle
from jostle.cli import main
from jostle.errors import CheckpointError, ConfigError
from jostle.explain import explain_policy, gather, read_trace, trajectories
from jostle.explain.activations.pca import fit_pca
from jostle.explain.explanation import Explanation
from jostle.explain.parts import PARTS
from jostle.explain.parts import bench as bench_module
from jostle.explain.summary import read_summary
from jostle.explain.tracing import fingerprint
from jostle.explain.weights import initial_weights
from jostle.explain.weights.start import nulls_of

INSIDE = [name for name in PARTS if name != "saliency"]
CONDITIONS = {"seen": {"split": "train"}, "unseen": {"split": "test"}}


@pytest.fixture(autouse=True)
def _few_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "MANY", 3)
    monkeypatch.setattr(bench_module, "FEW", 2)


CATCH: dict[str, Any] = {
    "env": "jostle/ThemedCatch-v0", "num_envs": 2, "num_steps": 16, "shared": True, "recurrent": "gru",
    "recurrent_size": 12, "minibatch_by": "envs", "minibatches": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    """All parts but saliency, which has tests of its own, of a recurrent agent that looks at pictures, under two
    conditions."""
    place = tmp_path_factory.mktemp("whole")
    agent = jostle.PPO(**CATCH, encoder=SmallConv, hidden=(16,))
    agent.learn(64, run_dir=place / "run")
    with torch.no_grad():  # a policy that is of an opinion after so few steps
        agent.network.policy.weight.mul_(100)  # type: ignore[union-attr]
    before = fingerprint(jostle.as_view(agent))
    few: dict[str, Any] = {"episodes": 4, "steps": 2, "conditions": CONDITIONS}
    with pytest.MonkeyPatch.context() as patch:  # a fixture of a module begins before those of a test
        patch.setattr(bench_module, "MANY", 3)
        found = explain_policy(agent, place / "explain", parts=INSIDE, initial=place / "run", **few)
    assert fingerprint(jostle.as_view(agent)) == before
    agent.env.close()
    return found


def test_every_part_is_made_and_nothing_is_left_out(whole: Explanation) -> None:
    assert whole.complete
    assert whole.left_out == {}
    assert list(whole.inside) == INSIDE
    assert {path.name for path in whole.folder.iterdir()} == {"trace", "summary.json", "summary.md", *INSIDE}
    for part, inside in whole.inside.items():
        assert inside.results
        assert inside.numbers, part
        for name in inside.results:
            assert (whole.folder / part / f"{name}.json").exists()
            assert f"{part}/{name}.png" in inside.figures
        for file, seen in inside.figures.items():
            assert (whole.folder / file).read_bytes().startswith(b"\x89PNG")
            assert len(seen) > 30


def test_every_number_stands_beside_its_null(whole: Explanation) -> None:
    told = 0
    for part, inside in whole.inside.items():
        for number in inside.numbers:
            assert number.null is not None, (part, number.name)
            assert number.null[0] <= number.null[1]
            assert len(number.of) > 3
            assert np.isfinite(number.value), (part, number.name)
            told += 1
    summary = json.loads((whole.folder / "summary.json").read_text())
    assert sum(len(each["numbers"]) for each in summary["inside"].values()) == told > 30
    page = (whole.folder / "summary.md").read_text()
    assert "| part | number | value | null | null is | p |" in page
    for row in whole.numbers():
        assert f"| {row['number']} | {row['value']} | {row['null']} |" in page
    again = read_summary(whole.folder)
    assert {part: [n.as_dict() for n in numbers] for part, numbers in again.numbers.items()} == {
        part: [n.as_dict() for n in inside.numbers] for part, inside in whole.inside.items()
    }
    assert again.conditions == ["seen", "unseen"]


def test_numbers_are_those_of_the_results(whole: Explanation) -> None:
    units = whole.inside["units"].results["units_core"]
    assert units.values.shape[0] == 12
    shares = {n.name: n for n in whole.inside["units"].numbers}
    number = shares["greatest share of a unit of core"]
    assert number.value == pytest.approx(units.share.max())
    assert number.null == pytest.approx((units.null.min(), units.null.max()))
    order = whole.inside["units"].results["cumulative_core"]
    gain = shares["gain of the order of the units of core"]
    assert gain.value == pytest.approx(order.gain)
    assert gain.count == 2 * len(order.random)
    assert gain.null is not None
    assert gain.null[0] == pytest.approx(-gain.null[1]), "either way"
    layers = whole.inside["layers"].results["layers"]
    assert any(n.name == "policy set back, share of all layers" for n in whole.inside["layers"].numbers), (
        "without what was found, so that seeds can be put together"
    )
    by_name = {n.name.split(" set back")[0]: n for n in whole.inside["layers"].numbers}
    assert by_name["policy"].value == pytest.approx(layers.reinitialised[-2].mean() / layers.everything.mean())
    memory = whole.inside["memory"].results["memory"]
    assert [n.value for n in whole.inside["memory"].numbers] == pytest.approx(memory.mean.tolist())
    assert memory.null.shape == (3, 4)
    sizes = whole.inside["weights"].results["statistics"]
    gone = next(
        n for n in whole.inside["weights"].numbers if n.name == "distance of policy.weight from its start, in its size"
    )
    assert gone.value == pytest.approx(sizes.layers["policy.weight"]["relative distance"])
    assert gone.null is not None
    assert gone.null[0] > 1, "other draws are as far as the start is large, times √2"


def test_nulls_are_those_of_the_results(whole: Explanation) -> None:
    memory = whole.inside["memory"].results["memory"]
    for number, each in zip(whole.inside["memory"].numbers, memory.null.T, strict=True):
        assert number.null == pytest.approx((each.min(), each.max())), number.name
    pruned = whole.inside["pruning"].results["connections"]
    gains = 1 - (pruned.random / np.maximum(pruned.random.mean(0), 1e-9)).mean(1)
    (gain,) = whole.inside["pruning"].numbers
    assert gain.value == pytest.approx(pruned.gain)
    assert gain.null == pytest.approx((gains.min(), gains.max()))
    shares = [fit_pca(gather(whole.trace, "core", null).values, 2).share.sum() for null in nulls(whole)]
    plane = next(n for n in whole.inside["planes"].numbers if n.name == "share of the variance of core in its plane")
    assert plane.null == pytest.approx((min(shares), max(shares)), rel=1e-5)
    best = whole.inside["maximised"].results["units_core"]
    view = jostle.as_view(jostle.load(whole.folder.parent / "run", encoder=SmallConv))
    spread = gather(whole.trace, "core", view).values.std(0)
    assert best.names == [f"core {unit}" for unit in spread.argsort()[::-1][:6]], "those that vary most, of all steps"


def nulls(whole: Explanation) -> Any:
    """The untrained networks that stood beside it."""
    view = jostle.as_view(jostle.load(whole.folder.parent / "run", encoder=SmallConv))
    return nulls_of(view, 3, seed=10_000, source=initial_weights(whole.folder.parent / "run"))


def test_conditions_and_worlds_are_what_is_entangled_and_probed(whole: Explanation) -> None:
    entangled = whole.inside["entanglement"].results
    assert len(entangled) == 2
    assert "condition_core" in entangled
    probe = whole.inside["probes"].results["probes_condition"]
    assert probe.each[0].layer == "core"
    assert whole.inside["planes"].results["pca_core"].fit_on == "seen"
    assert any("how far unseen lies beyond seen" in n.name for n in whole.inside["planes"].numbers)
    paths = whole.inside["paths"].results["core_unseen"]
    assert paths.pairs.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]], "the same games"
    told = {n.of: n for n in whole.inside["paths"].numbers if n.name == "cycle-consistency of seen and unseen in core"}
    assert set(told) == {f"{what}, in the mean" for what in (
        "other games", "the observations themselves", "untrained networks")}  # fmt: skip
    assert [n.value for n in told.values()] == pytest.approx([paths.consistency.mean()] * 3)
    assert told["other games, in the mean"].null == pytest.approx((paths.mismatched.mean(),) * 2)
    fresh = np.mean([
        trajectories(gather(whole.trace, "core", null), "seen", "unseen").consistency.mean() for null in nulls(whole)
    ])  # fmt: skip
    assert told["untrained networks, in the mean"].null == pytest.approx((fresh, fresh))
    assert told["other games, in the mean"].p == paths.beyond["mismatched"].p


def test_paths_are_of_the_first_steps_of_few_episodes_where_these_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("jostle.explain.parts.paths")  # whose name the function has, too
    monkeypatch.setattr(module, "STEPS", 3)
    monkeypatch.setattr(module, "ROWS", 12)
    agent = jostle.PPO(**CATCH, encoder=SmallConv, hidden=(16,))
    found = explain_policy(agent, tmp_path / "a", parts=["paths"], episodes=4, conditions=CONDITIONS)
    agent.env.close()
    paths = found.inside["paths"].results["core_unseen"]
    assert set(paths.activations.step.tolist()) == {0, 1, 2}
    assert paths.pairs.tolist() == [[0, 4], [1, 5]]
    assert paths.names == ("seen", "unseen")


def test_a_world_that_differs_between_episodes_is_probed(tmp_path: Path) -> None:
    domain = {"parameters": {"pole.half_length": [0.3, 1.5]}}
    agent = jostle.PPO("jostle/CartPole-v1", num_envs=4, num_steps=8, hidden=(8,), seed=1)
    found = explain_policy(
        agent,
        tmp_path / "a",
        parts=["entanglement", "probes"],
        episodes=8,
        max_steps=20,
        env_options={"domain": domain},
    )
    assert found.left_out == {}
    assert set(found.inside["probes"].results) == {"probes_pole.half_length"}
    names = {n.name for n in found.inside["probes"].numbers}
    assert names == {"R² of pole.half_length from observation", "R² of pole.half_length from actor"}
    found = explain_policy(agent, tmp_path / "b", parts=["entanglement", "probes"], episodes=4, max_steps=20)
    assert "all episodes are of one condition" in found.left_out["probes"]
    assert "give conditions" in found.left_out["entanglement"]
    assert found.inside == {}


def test_without_memory_start_or_pictures_parts_say_why(tmp_path: Path) -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=2, hidden=(12, 8), dueling=True, noisy="factorised", seed=1)
    found = explain_policy(agent, tmp_path / "a", episodes=3, max_steps=20, noise="sampled")
    assert set(found.inside) == set(PARTS) - {"memory", "paths", "entanglement", "probes"}
    assert "no recurrent state" in found.left_out["memory"]
    assert "keeps them in its folder" in found.left_out["layers set back to their own start"]
    assert "no kernels in the plane" in found.left_out["spectra"]
    assert "no pictures" in found.left_out["maps of pictures"]
    assert found.inside["layers"].results["layers"].reinitialised is None
    assert all("afresh" in n.name and n.null is not None for n in found.inside["layers"].numbers)
    assert any(n.name.startswith("kurtosis of ") for n in found.inside["weights"].numbers)
    assert {row["technique"] for row in found.rows()} >= {"gradient", "feature ablation"}


def test_stable_baselines_on_vectors_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from stable_baselines3 import PPO

    small: dict[str, Any] = {"device": "cpu", "n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0}
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8]}, **small).learn(16).save(tmp_path / "pole.zip")
    given = ["explain", str(tmp_path / "pole.zip"), "--algo", "ppo", "--env", "CartPole-v1", "--episodes", "2"]
    assert main([*given, "--max-steps", "20"]) == 0
    said = capsys.readouterr().out
    assert "gain of pruning by size" in said
    assert "note: no memory: " in said
    told = read_summary(tmp_path / "pole-explain")
    assert set(told.numbers) == set(PARTS) - {"memory", "paths", "entanglement", "probes"}
    model = PPO("CnnPolicy", Blob(), **small).learn(16)
    view = jostle.as_view(model, env=Blob)
    few: dict[str, Any] = {"steps": 1, "sanity": False, "video": False, "methods": ["blur"], "episodes": 2}
    found = explain_policy(view, tmp_path / "blob", parts=["saliency", "weights", "units", "maximised"], **few)
    assert set(found.inside) == {"saliency", "weights", "units", "maximised"}
    assert set(found.found) == {"blur"}
    assert found.inside["maximised"].results["units_mlp_extractor.policy_net"].pictures.shape[1:] == (40, 40, 3)
    assert found.inside["weights"].results["spectra"].spectrum.shape == (16, 16)


def test_modules_and_functions(tmp_path: Path) -> None:
    view = jostle.as_view(Functional(), env="CartPole-v1", kind="logits")
    found = explain_policy(view, tmp_path / "a", initial=Functional(), episodes=2, max_steps=20)
    assert set(found.inside) == set(PARTS) - {"memory", "paths", "entanglement", "probes"}
    assert not found.inside["layers"].results["layers"].everything.any(), "it is its own start"
    acting = jostle.as_view(lambda obs: (obs[:, 2] > 0).astype(int), env="CartPole-v1")
    found = explain_policy(acting, tmp_path / "b", episodes=2, max_steps=20)
    assert list(found.inside) == ["saliency"]
    for part in ("units", "layers", "pruning", "planes", "maximised"):
        assert "gives actions and shows nothing else" in found.left_out[part], part
    assert "no recurrent state" in found.left_out["memory"]
    assert "no weights" in found.left_out["kernels"]


def test_first_weights_that_are_none_or_another_networks_are_said(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    few: dict[str, Any] = {"parts": ["layers"], "episodes": 2, "max_steps": 20}
    found = explain_policy(agent, tmp_path / "a", initial=tmp_path / "nothing", **few)
    assert "nothing" in found.left_out["first weights"]
    assert "layers" in found.inside
    other = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(9,), seed=1)
    found = explain_policy(agent, tmp_path / "b", initial=other.network, **few)
    assert "of the same shape" in found.left_out["layers"]
    assert found.inside == {}


def test_a_stop_keeps_the_parts_that_are_whole(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    said = ""

    def notify(_done: int, _total: int, what: str) -> None:
        nonlocal said
        said = what

    stopped = explain_policy(
        agent, tmp_path / "a", parts=["weights", "units", "planes"], episodes=2, max_steps=20, notify=notify,
        stop=lambda: said.startswith("units: units of"),
    )  # fmt: skip
    assert not stopped.complete
    assert list(stopped.inside) == ["weights"]
    assert {path.name for path in stopped.folder.iterdir()} == {"trace", "weights", "summary.json", "summary.md"}
    assert read_summary(stopped.folder).complete is False
    assert "It was stopped" in (stopped.folder / "summary.md").read_text()


def test_an_earlier_explanation_leaves_nothing_behind(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    few: dict[str, Any] = {"episodes": 2, "max_steps": 20}
    explain_policy(agent, tmp_path / "a", parts=["weights", "saliency"], **few)
    assert (tmp_path / "a" / "features").exists()
    with pytest.raises(ConfigError, match="more than max_size"):
        explain_policy(agent, tmp_path / "a", parts=["pruning"], overwrite=True, max_size="1kB", **few)
    assert (tmp_path / "a" / "features").exists(), "nothing is cleared for what cannot be made"
    explain_policy(agent, tmp_path / "a", parts=["pruning"], overwrite=True, **few)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"trace", "pruning", "summary.json", "summary.md"}
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds other files, such as notes\.txt"):
        explain_policy(agent, tmp_path / "a", parts=["pruning"], overwrite=True, **few)


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=1)
    few: dict[str, Any] = {"parts": ["units", "layers"], "episodes": 2, "max_steps": 20}
    one, two = (explain_policy(agent, tmp_path / name, **few) for name in "ab")
    assert one.numbers() == two.numbers()
    other = explain_policy(agent, tmp_path / "c", seed=3, **few)
    assert one.numbers() != other.numbers()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = jostle.PPO(**CATCH, encoder="flat", hidden=(8,))
    agent.learn(32, run_dir=tmp_path / "run")
    agent.env.close()
    given = ["explain", str(tmp_path / "run"), "--episodes", "2", "--max-steps", "7", "--out"]
    parts = ["--parts", "layers", "memory"]
    conditions = ["--conditions", "seen:split=train", "unseen:split=test,themes=[150]"]
    assert main([*given, str(tmp_path / "a"), *parts, *conditions]) == 0
    said = capsys.readouterr().out
    assert "policy set back" in said
    assert "memory zeroed" in said
    told = read_summary(tmp_path / "a")
    assert told.conditions == ["seen", "unseen"]
    assert "layers set back to their own start" not in told.left_out, "a run keeps them"
    assert read_trace(tmp_path / "a" / "trace").about.conditions["unseen"] == {"split": "test", "themes": [150]}
    assert main([*given, str(tmp_path / "b"), "--parts", "memry"]) == 2
    assert "did you mean memory" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "b"), "--conditions", "a:x", *parts]) == 2
    assert "write key=value" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "b"), "--conditions", "a", "a", *parts]) == 2
    assert "a name of its own" in capsys.readouterr().err
    assert main([*given, str(tmp_path / "b"), "--domain", "train", *parts]) == 2
    assert "it had none" in capsys.readouterr().err


def test_summaries_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="explain the policy again"):
        read_summary(tmp_path)
    for text in ("[]", '{"explanation": 2}', '{"explanation": 1}', "{"):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(CheckpointError, match="explain the policy again"):
            read_summary(tmp_path)
