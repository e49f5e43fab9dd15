"""A checkpoint: what comes back, who else can read it, and what is refused."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file, save

from jostle.errors import CheckpointError
from jostle.store import load_checkpoint, save_checkpoint
from jostle.store.files import write_file
from jostle.store.sums import sums_text, verify
from jostle.store.tensorfile import tensor_chunks

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8"]
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
TENSORS = ARRAYS.map(torch.from_numpy) | ARRAYS.filter(lambda a: a.dtype == np.uint16).map(
    lambda a: torch.from_numpy(a).view(torch.bfloat16)
)
KEYS = st.text(st.characters(), max_size=4) | st.sampled_from(
    ["a.b", "a", "$tensor", "__metadata__", "..", "", "\ud800"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**80), 2**80) | st.floats() | KEYS | ARRAYS | TENSORS
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=st.dictionaries(KEYS, TREES, max_size=3))
def test_any_tree_comes_back_bit_for_bit(memory_path: Path, same: Any, state: dict[str, Any]) -> None:
    folder = memory_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    save_checkpoint(folder, state, {})
    assert same(state, load_checkpoint(folder)[0])


def test_what_hypothesis_may_not_draw(tmp_path: Path, same: Any) -> None:
    state = {
        "odd": {
            "transposed": torch.arange(6.0).reshape(2, 3).T,
            "sliced": [np.arange(10)[::3], torch.arange(10)[::3]],
            "\ud800": torch.ones(4),
            "bfloat16": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
            "float8": torch.tensor([1.5]).to(torch.float8_e4m3fn),
            "conjugate": torch.tensor([1 + 2j]).conj(),
            "zero": torch.tensor(-0.0),
            "minus zero": -0.0,
            "huge": 10**5000,
            "rng": np.random.default_rng(3).bit_generator.state,
            1: "the key is a number",
            "1": "the key is a string",
            "a.b": torch.zeros(1),
            "a": {"b": torch.ones(1)},
            "__metadata__": torch.ones(2),
        },
        "Odd": torch.ones(3),
        "../odd": np.zeros(0, np.float16),
        "CON/\x00": [torch.tensor(True)],
    }
    meta = {"step": 12, "note": float("inf"), "tuple": (1,)}
    folder = save_checkpoint(tmp_path / "new" / "c", state, meta)
    assert len({p.name.lower() for p in folder.iterdir()}) == 3 + 4  # no two names differ in case alone
    loaded, loaded_meta = load_checkpoint(folder)
    # The conjugate bit and strides are not part of a tensor's value.
    state["odd"]["conjugate"] = state["odd"]["conjugate"].resolve_conj()
    assert same(state, loaded)
    assert same(meta, loaded_meta)
    assert (loaded["odd"]["transposed"].numpy() == state["odd"]["transposed"].numpy()).all()


def test_values_that_come_back_as_their_plain_kin(tmp_path: Path, same: Any) -> None:
    state = {
        "x": {"big endian": np.arange(3, dtype=">i4"), "f": np.float32(0.1), "i": np.int64(7), "b": np.bool_(True)}
    }
    plain = {"x": {"big endian": np.arange(3, dtype="<i4"), "f": float(np.float32(0.1)), "i": 7, "b": True}}
    assert same(plain, load_checkpoint(save_checkpoint(tmp_path / "c", state, {}))[0])


def test_optimiser_and_model_go_on_alike(tmp_path: Path, same: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.ones(2, 3)).sum().backward()
    adam.step()
    folder = save_checkpoint(tmp_path / "c", {"model": model.state_dict(), "optimizer": adam.state_dict()}, {})
    state, _ = load_checkpoint(folder)
    assert same(adam.state_dict(), state["optimizer"])
    # Anything that reads safetensors finds the state dict under its own names.
    alone = load_file(folder / "model.safetensors")
    assert set(alone) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    model.load_state_dict(alone)


def test_the_tensor_file_is_the_librarys_own(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2), "s": torch.tensor(4.0), "e": torch.zeros(0, 3)}
    write_file(tmp_path / "ours", tensor_chunks(tensors))
    assert (tmp_path / "ours").read_bytes() == save(tensors)


def test_sha256sum_agrees(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"model": {"w": torch.ones(2)}, "n": 1}, {})
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "meta.json", "model.safetensors", "state.json"]
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["meta.json: OK", "model.safetensors: OK", "state.json: OK"]


def test_json_holds_no_nan(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"x": [float("nan"), 2**60]}, {"y": float("-inf")})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    for file in folder.glob("*.json"):
        json.loads(file.read_text(), parse_constant=refuse)
    assert str(2**60) not in (folder / "state.json").read_text()  # readers with doubles would round it


def test_later_changes_reach_neither_file_nor_loaded_state(tmp_path: Path) -> None:
    live = {"x": {"array": np.zeros(4), "tensor": torch.zeros(4)}}
    folder = save_checkpoint(tmp_path / "c", live, {})
    live["x"]["array"] += 1
    live["x"]["tensor"] += 1
    first, _ = load_checkpoint(folder)
    first["x"]["array"] += 2
    first["x"]["tensor"] += 2
    second, _ = load_checkpoint(folder)
    assert not second["x"]["array"].any()
    assert not second["x"]["tensor"].any()


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"a": {"b": [0, {1, 2}]}}, "'a.b.1'"),
        ({"a": np.array(["text"])}, "'a'"),
        ({"a": {"x": np.zeros(2, np.complex128)}}, "'a.x'"),
        ({"a": {"x": np.zeros(2, np.longdouble)}}, "'a.x'"),
        ({"a": {"x": np.longdouble(1)}}, "'a.x'"),
        ({"a": {"x": np.ma.masked_array([1], [True])}}, "'a.x'"),
        ({"a": {"x": torch.eye(2).to_sparse()}}, "'a.x'"),
        ({"a": {"x": torch.zeros(2, device="meta")}}, "'a.x'"),
        ({"a": {(1, 2): 3}}, "(1, 2)"),
        ({"a": {True: 3}}, "True"),
    ],
)
def test_what_cannot_be_stored_is_named(tmp_path: Path, state: dict[Any, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(tmp_path / "c", state, {})
    assert named in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_meta_holds_no_tensors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="put them into the state"):
        save_checkpoint(tmp_path / "c", {}, {"x": [torch.ones(1)]})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.float8_e5m2])
def test_weights_that_are_not_finite_are_refused_on_both_ways(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    state = {"model": {"good": torch.ones(3), "head.bias": torch.tensor([0.0, bad]).to(dtype)}, "other": {"x": bad}}
    with pytest.raises(CheckpointError, match=r"'head\.bias' of 'model'"):
        save_checkpoint(tmp_path / "c", state, {}, finite=("model",))
    assert list(tmp_path.iterdir()) == []
    folder = save_checkpoint(tmp_path / "c", state, {}, finite=("other",))
    with pytest.raises(CheckpointError, match=r"'head\.bias' of 'model'"):
        load_checkpoint(folder, finite=("model",))
    load_checkpoint(folder)


def test_arrays_are_checked_for_finiteness_too(tmp_path: Path) -> None:
    state = {"x": {"ints": np.arange(3), "floats": np.array([1, np.nan], np.float16)}}
    with pytest.raises(CheckpointError, match="'floats' of 'x'"):
        save_checkpoint(tmp_path / "c", state, {}, finite=("x",))


def test_an_unknown_part_is_offered_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="did you mean model"):
        save_checkpoint(tmp_path / "c", {"model": {}}, {}, finite=("modell",))


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"n": 1}, {})
    with pytest.raises(CheckpointError, match="exists already"):
        save_checkpoint(tmp_path / "c", {"n": 2}, {})
    assert load_checkpoint(tmp_path / "c")[0] == {"n": 1}


def _rewrite(folder: Path, name: str, data: Any) -> None:
    """Change a file and make the checksums right again, as a forger would."""
    (folder / name).write_text(json.dumps(data))
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    sums[name] = write_file(folder / "again", [(folder / name).read_bytes()])
    (folder / "again").unlink()
    (folder / "SHA256SUMS").write_bytes(sums_text(sums))
    verify(folder)


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"n": 1}, {})
    _rewrite(folder, "meta.json", {"format": 2, "new": "things"})
    with pytest.raises(CheckpointError, match=r"format 2.* up to 1: upgrade jostle"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "tree",
    [
        {"$tensor": "x", "file": "../outside.safetensors"},
        {"$tensor": "no such tensor"},
        {"$unknown": 1},
        {"$int": "12z"},
        {"$int": 12},
        {"$dict": [[1]]},
        {"$dict": [[[], 1]]},
        {"$tuple": 3},
        {"$segments": 3},
        {"$float": None},
    ],
)
def test_forged_trees_are_refused(tmp_path: Path, tree: Any) -> None:
    write_file(tmp_path / "outside.safetensors", tensor_chunks({"x": torch.ones(1)}))
    folder = save_checkpoint(tmp_path / "c", {"x": {"x": torch.ones(1)}}, {})
    _rewrite(folder, "state.json", {"x": {"file": "x.safetensors", "tree": tree}})
    with pytest.raises(CheckpointError, match="no contents that jostle wrote"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["state.json", "meta.json"])
@pytest.mark.parametrize("data", [None, [], {}, {"x": 1}, {"format": "1"}, 0])
def test_forged_files_are_refused(tmp_path: Path, name: str, data: Any) -> None:
    folder = save_checkpoint(tmp_path / "c", {"x": {"x": torch.ones(1)}}, {})
    _rewrite(folder, name, data)
    if (name, data) == ("state.json", {}):  # an empty state is a state
        assert load_checkpoint(folder)[0] == {}
        return
    with pytest.raises(CheckpointError, match="no contents that jostle wrote"):
        load_checkpoint(folder)
