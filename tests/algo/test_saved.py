"""Right checksums around nonsense: every part that is missing or wrong ends in a sentence, before anything is made."""

import contextlib
import copy
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import jostle
from jostle.algo.saved import check_saved
from jostle.doctor import diagnose
from jostle.errors import CheckpointError, JostleError
from jostle.loading import rebuild
from jostle.store import Run
from jostle.store.checkpoint import load_checkpoint, save_checkpoint
from jostle.store.sums import sums_text

MADE = {
    "dqn": lambda: jostle.DQN("jostle/DeepSea-v0", num_envs=2, warmup=8, batch_size=4, replay_size=100, hidden=(4,)),
    "ppo": lambda: jostle.PPO("jostle/DeepSea-v0", num_envs=2, num_steps=4, hidden=(4,)),
}
WRONG = [None, "text", -1, 10**12, 10**30, 1.5, float("nan"), True, [], {}, [10**9], [[]], {"x": {}}]


@pytest.fixture(scope="module", params=list(MADE))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    agent = MADE[request.param]()
    return agent.learn(16).save(tmp_path_factory.mktemp("saved") / "agent", replay=True)


def _places(tree: Any, depth: int) -> Iterator[tuple[Any, ...]]:
    if isinstance(tree, dict) and depth:
        for key, value in tree.items():
            yield (key,)
            for rest in _places(value, depth - 1):
                yield (key, *rest)


def _changed(tree: Any, place: tuple[Any, ...], value: Any, *, remove: bool = False) -> Any:
    tree = copy.deepcopy(tree)
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return tree


def _ends_well(call: Callable[[], Any], what: Any) -> None:
    """It succeeds or raises a JostleError."""
    with warnings.catch_warnings(), contextlib.suppress(JostleError):
        warnings.simplefilter("ignore")
        try:
            call()
        except JostleError:
            raise
        except Exception as error:
            pytest.fail(f"{what}: {type(error).__name__}: {error}")


def test_each_part_of_the_meta_data(saved: Path) -> None:
    state, meta = load_checkpoint(saved)
    for turn, place in enumerate(_places(meta, 3)):
        _ends_well(lambda place=place: rebuild(state, _changed(meta, place, None, remove=True), later=True), place)
        for wrong in [WRONG[(3 * turn + i) % len(WRONG)] for i in range(3)]:
            changed = _changed(meta, place, wrong)
            _ends_well(lambda changed=changed: rebuild(state, changed, later=True), (place, wrong))


def test_each_part_of_the_state(saved: Path) -> None:
    state, meta = load_checkpoint(saved)
    for turn, place in enumerate(_places(state, 2)):
        _ends_well(lambda place=place: rebuild(_changed(state, place, None, remove=True), meta, later=True), place)
        for wrong in [WRONG[(2 * turn + i) % len(WRONG)] for i in range(2)]:
            changed = _changed(state, place, wrong)
            _ends_well(lambda changed=changed: rebuild(changed, meta, later=True), (place, wrong))


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        (("num_envs",), 10**12, "carry.start"),
        (("num_envs",), 0, "says num_envs="),
        (("num_envs",), True, "says num_envs="),
        (("steps",), -5, "steps"),
        (("step",), "7", "step"),
        (("metrics_offset",), -1, "metrics_offset"),
        (("seed",), -1, "seed"),
        (("algorithm",), None, "algorithm"),
        (("algorithm",), "sac", "unknown to this version"),
        (("env",), 3, "env"),
        (("env_options",), [], "env_options"),
        (("config",), "x", "config"),
        (("config", "hidden"), [10**9], "as wide as the saved weights"),
        (("config", "hidden"), [4097], "at most 4,096, as wide as the saved weights"),
        (("config", "hidden"), [4] * 1000, "as many as the network has layers"),
        (("config", "bonus_features"), 10**9, "as wide as the saved weights"),
        (("config", "threads"), 10**6, "says config.threads='1000000', which must be of a usable size"),
        (("made_by_function",), "yes", "made_by_function"),
        (("env_facts",), [], "env_facts"),
        (("env_facts", "frame_skip"), 0, "a stack below 1"),
        (("env_facts", "stack_padding"), 1, "in a way that jostle does not .stack_padding"),
        (("env_facts", "can_snapshot"), 1, "in a way that jostle does not .can_snapshot"),
        (("env_facts", "frame_stack"), True, "in a way that jostle does not .frame_stack"),
        (("env_facts",), {}, "describes jostle/DeepSea-v0 in a way"),
        (("env_facts", "frame_stack"), 0, "a stack below 1"),
        (("env_facts", "observation_space"), {"kind": "box"}, "none that jostle wrote"),
    ],
)
def test_what_is_said(saved: Path, tmp_path: Path, place: tuple[str, ...], wrong: Any, said: str) -> None:
    state, meta = load_checkpoint(saved)
    folder = save_checkpoint(tmp_path / "agent", state, _changed(meta, place, wrong))
    for opened in [jostle.load] if place[0] == "env_facts" else [jostle.load, diagnose]:
        with pytest.raises(CheckpointError, match=said):
            opened(folder)


def _least(num_envs: int = 2, **changed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and meta data in which nothing is wrong but what is changed."""
    state = {"progress": {"steps": 4, "updates": 1, "episodes": 0}, "carry": {"start": torch.ones(num_envs)}}
    meta = {"algorithm": "ppo", "env": "Game", "config": {}, "env_options": {}, "num_envs": num_envs, "seed": 0}
    return state | {"model": {"weight": torch.zeros(9, 4)}}, meta | changed


def test_what_may_stand_in_a_checkpoint() -> None:
    """Wide and deep networks of somebody's, whose weights say so, and what older versions did not save."""
    for config in ({"hidden": [4096]}, {"threads": 4096, "n_step": 1}, {"hidden": None, "bonus": ["rnd"] * 3}):
        check_saved(*_least(config=config))
    state, meta = _least(config={"hidden": [9000, 4] * 70}, steps=0, step=3, metrics_offset=0, made_by_function=True)
    check_saved(state | {"model": {str(i): torch.zeros(9000 if i else 1, 4) for i in range(140)}}, meta)


def test_parts_that_no_version_wrote() -> None:
    room = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 64)
    for changed, said in (
        ({"config": {3: 4}}, "a mapping from names"),
        ({"env_options": {3: 4}}, "a mapping from names"),
        ({"seed": 2**63}, "seed"),
        ({"metrics_offset": True}, "metrics_offset"),
        ({"config": {"recurrent_size": 5000}}, "config.recurrent_size"),
        ({"config": {"num_steps": room // 2 + 1}}, "fits into this machine's memory"),
    ):
        with pytest.raises(CheckpointError, match=said):
            check_saved(*_least(**changed))
    state, meta = _least()
    for part, wrong in (("model", {"weight": [1.0]}), ("carry", {"start": torch.ones(3)}), ("carry", {"start": 1})):
        with pytest.raises(CheckpointError, match=f"says {part}"):
            check_saved(state | {part: wrong}, meta)


def test_a_rollout_that_no_machine_holds(tmp_path: Path) -> None:
    state, meta = load_checkpoint(MADE["ppo"]().save(tmp_path / "agent"))
    folder = save_checkpoint(tmp_path / "giant", state, _changed(meta, ("config", "num_steps"), 10**12))
    with pytest.raises(CheckpointError, match="fits into this machine's memory"):
        jostle.load(folder)


@pytest.mark.parametrize("progress", [{"steps": -1}, {"updates": "many"}, {"episodes": 1.5}])
def test_progress_that_cannot_be(saved: Path, progress: dict[str, Any]) -> None:
    state, meta = load_checkpoint(saved)
    with pytest.raises(CheckpointError, match=f"progress.{next(iter(progress))}"):
        rebuild(state | {"progress": state["progress"] | progress}, meta)


def _rewrite(folder: Path, name: str, text: str) -> None:
    """A file with other contents, and the checksum that it then has."""
    (folder / name).write_text(text)
    whole = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "SHA256SUMS"}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in whole.items()}
    (folder / "SHA256SUMS").write_bytes(sums_text(files))


TEXTS = ["", "null", "[]", "{}", "3", '"x"', "[" * 20_000, '{"format": 1}', '{"format": "1"}', '{"format": Infinity}',
         '{"format": 1, "meta": []}', '{"format": 1, "meta": {"$int": "z"}}', '{"format": 0, "meta": {}}',
         '{"a": {}}', '{"a": {"file": "x", "tree": {"$tensor": "y"}}}', '{"a": {"file": 3, "tree": {"$dict": 3}}}',
         '{"model": {"file": "../x", "tree": {"$tensor": "y", "file": "../../x"}}}', '{"format": 1, "meta": {"$": 1}}',
         '{"model": {"file": "m", "tree": {"$segments": [[1, {"$tensor": "y"}]]}}}',
     '{"a": {"tree": {"$float": []}}}']  # fmt: skip


@pytest.mark.parametrize("name", ["meta.json", "state.json"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_files_of_a_checkpoint(saved: Path, tmp_path: Path, name: str, text: str) -> None:
    state, meta = load_checkpoint(saved)
    folder = save_checkpoint(tmp_path / "agent", state, meta)
    _rewrite(folder, name, text)
    for opened in (jostle.load, diagnose):
        with pytest.raises(CheckpointError):
            opened(folder)


def test_a_newer_format_asks_for_an_upgrade(saved: Path, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "agent", *load_checkpoint(saved))
    text = json.loads((folder / "meta.json").read_text()) | {"format": 99}
    _rewrite(folder, "meta.json", json.dumps(text))
    with pytest.raises(CheckpointError, match=r"^the checkpoint .* has format 99, .*: upgrade jostle$"):
        jostle.load(folder)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    MADE["ppo"]().learn(8, run_dir=folder)
    return folder


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{", "[" * 20_000, '{"format": null}', '{"format": true}', '{"format": 1e999}',
     '{"format": 1, "versions": []}', '{"format": 1, "created": 3}', '{"format": -1}', '{"a": 1, "a": 2}',
     '{"training": []}', '{"training": {"total": -1}}', '{"training": 3}'],
)  # fmt: skip
def test_files_of_a_run(whole_run: Path, tmp_path: Path, name: str, text: str) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run" / name).write_text(text)
    for opened in (jostle.load, diagnose, jostle.resume):
        _ends_well(lambda opened=opened: opened(tmp_path / "run"), text)
    if name == "run.json":
        with pytest.raises(CheckpointError, match="it is not what jostle wrote"):
            Run.open(tmp_path / "run")
