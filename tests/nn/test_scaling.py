"""What a network sees of numbers: golden values of the rule, and what stays bit for bit as it was."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from jostle.nn.encoders import make_encoder
from jostle.nn.pictures import Images
from jostle.nn.scaling import Scale

INT32 = np.iinfo(np.int32)


def box(low: Any, high: Any, shape: tuple[int, ...] = (3,), dtype: Any = np.uint8) -> spaces.Box:
    return spaces.Box(low, high, shape, dtype)


@pytest.mark.parametrize(
    ("space", "obs", "seen"),
    [
        (box(0, 1), [0, 1, 1], [0, 1, 1]),
        (box(0, 1, dtype=np.int8), [0, 1, 1], [0, 1, 1]),
        (box(0, 1, dtype=np.bool_), [0, 1, 1], [0, 1, 1]),
        (box(0, 10), [0, 5, 10], [0, 0.5, 1]),
        (box(-1, 1, dtype=np.int8), [-1, 0, 1], [0, 0.5, 1]),
        (box(-100, 300, dtype=np.int16), [-100, 0, 300], [0, 0.25, 1]),
        (box(0, 10_000, dtype=np.int32), [0, 2_500, 10_000], [0, 0.25, 1]),
        (box(10**12, 10**12 + 4, dtype=np.int64), [10**12, 10**12 + 1, 10**12 + 4], [0, 0.25, 1]),
        (box(0, 255), [0, 10, 255], [0, 10, 255]),  # nothing is declared of a vector by its type's range
        (box(-128, 127, dtype=np.int8), [-128, 0, 127], [-128, 0, 127]),
        (box(INT32.min, INT32.max, dtype=np.int32), [-7, 0, 7], [-7, 0, 7]),
        (box(0, INT32.max, dtype=np.int64), [0, 1, 7], [0, 1, 7]),
        (box(-5, 5, dtype=np.float32), [-5, 0, 5], [-5, 0, 5]),
        (spaces.MultiBinary(3), [0, 1, 1], [0, 1, 1]),
        (spaces.Box(np.int16([0, 4, -2]), np.int16([8, 4, 32_767]), dtype=np.int16), [2, 4, 9], [0.25, 0, 9]),
    ],
)
def test_vectors(space: spaces.Box, obs: list[int], seen: list[float]) -> None:
    """One number of a constant is 0, and one without a bound is left as it is beside others."""
    batch = torch.as_tensor(np.array([obs], space.dtype))
    out = make_encoder(space)(batch)
    assert out.dtype == torch.float32
    assert out.tolist() == [seen]


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 255, np.uint8), (0, 255, np.int16), (0, 255, np.int32), (0, 255, np.float32), (0, 1, np.uint8),
        (0, 1, np.bool_), (0, 1, np.float32), (0, 65_535, np.uint16), (-1, 1, np.float32), (-128, 127, np.int8),
        (0, 1000, np.int64),
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(3, 36, 40), (36, 40, 3), (2, 36, 40, 3)])
def test_pictures_of_every_type_are_seen_between_0_and_1(low: Any, high: Any, dtype: Any, shape: Any) -> None:
    space = box(low, high, shape, dtype)
    encoder = make_encoder(space)
    share = np.arange(np.prod(shape)).reshape(1, *shape) % 2
    batch = torch.as_tensor((low + share * (high - low)).astype(dtype))
    assert type(encoder).__name__ == "Nature"
    made, plain = encoder.images(batch), Images(box(0, 1, shape, np.float32))
    torch.testing.assert_close(made, plain(torch.as_tensor(share.astype(np.float32))), atol=1e-6, rtol=0)
    flat = make_encoder(space, "flat")(batch)
    torch.testing.assert_close(flat, torch.as_tensor(share.reshape(1, -1).astype(np.float32)), atol=1e-6, rtol=0)


def test_bounds_that_differ_from_pixel_to_pixel() -> None:
    low = np.zeros((20, 20, 3), np.float32)
    high = np.broadcast_to(np.float32([1, 10, 255]), low.shape)
    images = Images(spaces.Box(low, high))
    assert images(torch.as_tensor(high[None].copy())).eq(1).all()


def test_bytes_keep_their_bits() -> None:
    x = torch.arange(256, dtype=torch.uint8).repeat(12).view(1, 3, 32, 32)
    assert torch.equal(make_encoder(box(0, 255, (3, 32, 32))).images(x), x.float() * (1 / 255))
    assert torch.equal(make_encoder(box(0, 255, (3, 32, 32)), "flat")(x), x.float().view(1, -1) * (1 / 255))


@pytest.mark.parametrize("space", [box(0, 1), box(0, 255), box(0, 9, dtype=np.int32)])
def test_former_versions_divided_bytes_alone(space: spaces.Box) -> None:
    x = torch.tensor([[0, 1, 1]]).to(torch.uint8 if space.dtype == np.uint8 else torch.int32)
    expected = x.float() * (1 / 255) if space.dtype == np.uint8 else x.float()
    assert torch.equal(make_encoder(space, scaling="bytes")(x), expected)


def test_former_versions_chose_their_encoders() -> None:
    for space in (box(0, 255, (64, 64, 3), np.float32), box(0, 255, (64, 64), np.int32)):
        assert type(make_encoder(space, scaling="bytes")).__name__ == "Flat"
        assert type(make_encoder(space)).__name__ == "Nature"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (box(-np.inf, np.inf, (64, 64, 3), np.float32), "no bounds to be scaled by: declare these"),
        (box(0, 1, (10, 10, 4), np.bool_), "encoder='impala' takes them for pictures"),
        (box(0, 1, (84, 84)), "encoder='impala' takes them for pictures"),
    ],
)
def test_what_may_be_a_picture_is_flattened_with_a_warning(space: spaces.Box, said: str) -> None:
    with pytest.warns(UserWarning, match=said):
        assert type(make_encoder(space)).__name__ == "Flat"
    make_encoder(space, "flat")  # no warning
    if np.isfinite(space.high).all():
        make_encoder(space, "impala")


def test_nothing_of_a_scale_is_saved() -> None:
    assert not Scale(box(-3, 9, dtype=np.int16), picture=False).state_dict()
