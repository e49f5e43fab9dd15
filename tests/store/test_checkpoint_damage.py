"""Ten thousand ways to damage a checkpoint: each is refused before anything is parsed."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from jostle.errors import CheckpointError
from jostle.store import Segmented, load_checkpoint, save_checkpoint


def _flip(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice(files)
    whole = path.read_bytes()
    at = rng.randrange(len(whole))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
    return lambda: path.write_bytes(whole)


def _cut(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice(files)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))])
    return lambda: path.write_bytes(whole)


def _append(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice(files)
    whole = path.read_bytes()
    path.write_bytes(whole + rng.choice([b"\n", b" ", b"\0", rng.randbytes(rng.randint(1, 9))]))
    return lambda: path.write_bytes(whole)


def _swap(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice([f for f in files if len(set(f.read_bytes())) > 1])
    whole = path.read_bytes()
    a, b = rng.choice([(a, b) for a, b in [(rng.randrange(len(whole)), rng.randrange(len(whole))) for _ in range(99)]
                       if whole[a] != whole[b]])  # fmt: skip
    swapped = bytearray(whole)
    swapped[a], swapped[b] = whole[b], whole[a]
    path.write_bytes(swapped)
    return lambda: path.write_bytes(whole)


def _remove(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice(files)
    whole = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(whole)


def _rename(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = rng.choice(files)
    other = path.rename(path.with_name(path.name + rng.choice("abc~")))
    return lambda: other.rename(path)


def _add(rng: random.Random, files: list[Path]) -> Callable[[], object]:
    path = files[0].with_name(rng.choice(["new", ".hidden", "SHA256SUMS~", "a\nb", "\udcff", "zz.safetensors"]))
    kind = rng.randrange(3)
    if kind == 0:
        path.write_bytes(rng.randbytes(rng.randrange(3)))
    elif kind == 1:
        path.mkdir()
    else:
        path.symlink_to(files[0].name)
    return path.rmdir if kind == 1 else path.unlink


DAMAGES = {_flip: 6, _cut: 2, _append: 1, _swap: 1, _remove: 0.3, _rename: 0.3, _add: 0.3}


def test_ten_thousand_damages_are_refused(memory_path: Path) -> None:
    state = {"model": {"w": torch.arange(3.0)}, "replay": Segmented([np.arange(2)], [5]), "n": 3}
    folder = save_checkpoint(memory_path / "c", state, {"step": 1})
    files = sorted(folder.iterdir())
    assert len(files) == 5
    rng = random.Random(1)
    done: Counter[str] = Counter()
    for damage in rng.choices(list(DAMAGES), list(DAMAGES.values()), k=10_000):
        restore = damage(rng, files)
        try:
            load_checkpoint(folder)
        except CheckpointError as error:
            # These words come before any parsing; what parses wrongly says something else.
            assert "is damaged" in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
        else:
            pytest.fail(f"{damage.__name__} went unnoticed")
        restore()
        done[damage.__name__] += 1
    assert min(done.values()) > 100
    assert load_checkpoint(folder)[0]["n"] == 3  # the damages, not the test, were to blame


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: (c / "model.safetensors").write_bytes(b""), r"'model\.safetensors' does not match its checksum"),
        (lambda c: (c / "model.safetensors").unlink(), r"'model\.safetensors' is missing"),
        (lambda c: (c / "x").touch(), "'x' is not in SHA256SUMS"),
        (lambda c: (c / "x").mkdir(), "'x' is no file"),
        (lambda c: (c / "SHA256SUMS").unlink(), "there is no SHA256SUMS"),
        (lambda c: c.rename(c.with_name("d")), "there is no SHA256SUMS"),
        (lambda c: (c / "SHA256SUMS").write_bytes(b"\xff"), "is not in SHA256SUMS"),
        (lambda c: (c / "SHA256SUMS").write_bytes((c / "SHA256SUMS").read_bytes() + b"\n"), "SUMS itself was changed"),
    ],
)  # fmt: skip
def test_the_message_names_the_file_and_a_remedy(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    folder = save_checkpoint(tmp_path / "c", {"model": {"w": torch.arange(3.0)}}, {})
    damage(folder)
    with pytest.raises(CheckpointError, match=rf"{said}.*: use another checkpoint"):
        load_checkpoint(folder)
