"""Encoders and Q-networks: shapes, scaling, layouts, and what they refuse."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import nn

from jostle.errors import ConfigError
from jostle.nn.encoders import EncoderKind, Grid, Impala, Nature, Normaliser, make_encoder
from jostle.nn.policy import QNetwork, greedy, map_observation


def box(*shape: int, dtype: type = np.uint8, low: float = 0, high: float = 255) -> spaces.Box:
    return spaces.Box(low, high, shape, dtype)


@pytest.mark.parametrize(("space", "kind", "features"), [
    (box(4, dtype=np.float32, low=-np.inf, high=np.inf), "Flat", 4),
    (box(3, 5, dtype=np.float32), "Flat", 15),
    (box(4, 84, 84), "Nature", 3136),
    (box(84, 84, 3), "Nature", 3136),
    (box(2, 84, 84, 3), "Nature", 3136),
    (box(64, 64, 3), "Nature", 64 * 4 * 4),
    (box(32, 32, 3), "Impala", 32 * 4 * 4),
    (box(7, 7, 3), "Grid", 64 * 4 * 4),
    (spaces.Discrete(6), "OneHot", 6),
    (spaces.MultiDiscrete([2, 3]), "OneHot", 5),
    (spaces.MultiBinary(4), "Flat", 4),
    (spaces.Dict({"image": box(7, 7, 3), "direction": spaces.Discrete(4)}), "Join", 64 * 4 * 4 + 4),
])  # fmt: skip
def test_encoders_take_samples_of_their_space(space: gym.Space, kind: str, features: int) -> None:
    encoder = make_encoder(space)
    assert type(encoder).__name__ == kind
    space.seed(0)
    samples = [space.sample() for _ in range(5)]
    if isinstance(space, spaces.Dict):
        samples = [{**s, "image": s["image"] % 4} for s in samples]
        batch = {key: np.stack([s[key] for s in samples]) for key in space.spaces}
    else:
        batch = np.stack(samples) % 4 if kind == "Grid" else np.stack(samples)
    out = encoder(map_observation(batch, torch.device("cpu")))
    assert out.shape == (5, features) == (5, encoder.out_features)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Box(0, 1, (64, 64, 3), np.float32), "Nature"),
        (spaces.Box(0, 1, (3, 20, 20), np.float32), "Impala"),
        (spaces.Box(0, 255, (84, 84), np.uint8), "Nature"),
        (spaces.Box(0, 2, (19, 19), np.uint8), "Flat"),  # a board
        (spaces.Box(0, 1, (20, 20), np.float32), "Flat"),  # a matrix, DeepSea's for one
        (spaces.Box(-1, 1, (64, 64, 3), np.float32), "Nature"),
        (spaces.Box(0, 255, (64, 64, 3), np.float32), "Nature"),
        (spaces.Box(0, 255, (64, 64), np.float32), "Nature"),
        (spaces.Box(0, 1, (64, 64, 3), np.uint8), "Nature"),
        (spaces.Box(0, 1, (20, 20, 3), np.bool_), "Impala"),
        (spaces.Box(0, 255, (3, 64, 64), np.int32), "Nature"),
        (spaces.Box(0, 65_535, (1, 64, 64), np.uint16), "Nature"),
        (spaces.Box(0, 1, (7, 7, 3), np.bool_), "Flat"),
        (spaces.Box(0, 1, (2, 64, 64, 3), np.float32), "Nature"),
    ],
)
def test_what_auto_takes_for_a_picture(space: spaces.Box, kind: str) -> None:
    assert type(make_encoder(space)).__name__ == kind


def test_nature_has_the_papers_size() -> None:
    """Mnih et al. (2015) at four frames: three convolutions, 512 hidden units."""
    convolutions = (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64)
    assert sum(p.numel() for p in Nature(box(4, 84, 84)).parameters()) == convolutions == 77_984
    network = QNetwork(box(4, 84, 84), 6, hidden=(512,))
    assert sum(p.numel() for p in network.parameters()) == 77_984 + 3136 * 512 + 512 + 512 * 6 + 6


def test_pixels_are_scaled_once_and_layouts_agree() -> None:
    first, last = make_encoder(box(3, 40, 40)), make_encoder(box(40, 40, 3))
    last.load_state_dict(first.state_dict())
    x = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    torch.testing.assert_close(first(x), last(x.permute(0, 2, 3, 1).contiguous()))
    unit = make_encoder(box(3, 40, 40, dtype=np.float32, high=1.0), "nature")
    unit.load_state_dict(first.state_dict())
    torch.testing.assert_close(first(x), unit(x.float() / 255))


@pytest.mark.parametrize("channels", [1, 3, 4, 12])
def test_bytes_become_floats_channels_last(channels: int) -> None:
    x = torch.randint(0, 256, (2, channels, 40, 41), dtype=torch.uint8)
    images, before = make_encoder(box(channels, 40, 41)).images, x.clone()
    made = images(x)
    assert made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made, x.float() * (1 / 255), rtol=0, atol=0)
    floats = x.float()
    torch.testing.assert_close(images(floats), made, rtol=0, atol=0)
    assert torch.equal(x, before)
    assert torch.equal(floats, before.float()), "the caller's pictures stay as they are"


def test_a_stack_of_colour_frames_becomes_channels_in_order() -> None:
    space = box(2, 40, 40, 3)
    encoder = make_encoder(space)
    x = torch.randint(0, 256, (1, 2, 40, 40, 3), dtype=torch.uint8)
    images = encoder.images(x) * 255
    torch.testing.assert_close(images[0, :3], x[0, 0].permute(2, 0, 1).float())
    torch.testing.assert_close(images[0, 3:], x[0, 1].permute(2, 0, 1).float())


@pytest.mark.parametrize(
    ("space", "good", "expected", "outside"),
    [
        (spaces.Discrete(3), 2, [0, 0, 1], [-1, 3]),
        (spaces.Discrete(3, start=-5), -5, [1, 0, 0], [-6, -2, 0]),
        (spaces.MultiDiscrete([2, 3]), [1, 2], [0, 1, 0, 0, 1], [[2, 0], [0, 3], [0, -1], [-1, 0]]),
        (spaces.MultiDiscrete([2, 2], start=[4, 7]), [4, 8], [1, 0, 0, 1], [[6, 7], [4, 6], [0, 0], [4, 9]]),
    ],
)
def test_categories_outside_of_their_space_are_nobody_elses(
    space: gym.Space, good: object, expected: list[int], outside: list
) -> None:
    encoder = make_encoder(space)
    assert encoder(torch.tensor([good])).tolist() == [expected]
    compiled = torch.compile(encoder, backend="eager")  # there nobody waits to look, as on a GPU
    for bad in outside:
        with pytest.raises(ConfigError, match="outside of its space, which has"):
            encoder(torch.tensor([good, bad]))
        codes = torch.tensor(bad).reshape(-1)
        known = (codes >= encoder.lowest) & (codes <= encoder.highest)
        found = compiled(torch.tensor([bad])).split(encoder.counts, 1)
        assert [float(part.sum()) for part in found] == known.float().tolist(), "no indicator, and no neighbour's"


def test_grid_codes_below_zero_are_no_neighbours() -> None:
    grid = Grid(spaces.Box(-128, 127, (7, 7, 3), np.int8))
    obs = torch.zeros(1, 7, 7, 3, dtype=torch.int8)
    for channel in range(3):
        for code in (-1, (11, 6, 4)[channel]):
            bad = obs.clone()
            bad[0, 2, 3, channel] = code
            with pytest.raises(ConfigError, match="holds others"):
                grid(bad)


def test_grid_codes_are_categories() -> None:
    """Each cell has exactly one indicator per channel; no order is assumed among the codes."""
    grid = Grid(box(7, 7, 3))
    seen: list[torch.Tensor] = []
    grid.convolutions.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    obs = torch.zeros(1, 7, 7, 3, dtype=torch.uint8)
    obs[0, 2, 3] = torch.tensor([5, 2, 1])
    grid(obs)
    planes = seen[0]
    assert planes.shape == (1, 21, 7, 7)
    assert planes.sum(1).eq(3).all()
    assert planes[0, :, 2, 3].nonzero().flatten().tolist() == [5, 11 + 2, 17 + 1]


def test_one_hot_respects_the_first_value() -> None:
    encoder = make_encoder(spaces.Discrete(3, start=5))
    assert encoder(torch.tensor([5, 7])).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_impala_has_the_papers_size() -> None:
    """Espeholt et al. (2018): 15 convolutions of 3×3 at depths 16, 32, 32."""
    convolutions = [m for m in Impala(box(64, 64, 3)).modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 15
    assert sum(p.numel() for m in convolutions for p in m.parameters()) == sum(
        9 * before * depth + depth + 4 * (9 * depth * depth + depth) for before, depth in ((3, 16), (16, 32), (32, 32))
    )


def test_nature_with_the_third_kernel_of_the_rnd_code() -> None:
    """openai/random-network-distillation: 4×4 instead of 3×3 leaves a map of 6×6."""
    encoder = make_encoder(box(4, 84, 84), "nature-k4")
    assert encoder.out_features == 6 * 6 * 64 == 2304
    assert sum(p.numel() for p in encoder.parameters()) == 77_984 + (16 - 9) * 64 * 64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(64, 64), (5, 7), (6, 9), (1, 1), (2, 1)])
def test_impalas_pool_gives_the_same_maxima_with_and_without_gradients(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    (pool,) = [m for m in Impala(box(3, 16, 16), depths=(16,)).modules() if isinstance(m, nn.MaxPool2d)]
    x = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, 0, 0, 0], x[1] = torch.nan, -5.0
    for picture in (x, x.contiguous(memory_format=torch.channels_last)):
        with torch.no_grad():
            quick = pool(picture)
        slow = F.max_pool2d(picture, 3, 2, 1)
        assert quick.dtype == dtype
        assert quick.is_contiguous(memory_format=torch.channels_last) or picture is x
        assert torch.equal(quick.nan_to_num(9.0), slow.nan_to_num(9.0))


def test_impala_gap_averages_the_last_map() -> None:
    """Its features are means over space of the map that the flattened encoder has, one per channel."""
    gap, flat = make_encoder(box(20, 28, 3), "impala-gap"), make_encoder(box(20, 28, 3), "impala")
    gap.load_state_dict(flat.state_dict())
    x = torch.randint(0, 256, (2, 20, 28, 3), dtype=torch.uint8)
    assert gap.out_features == 32
    assert flat.out_features == 32 * 3 * 4
    torch.testing.assert_close(gap(x), flat(x).view(2, 32, 3, 4).mean((2, 3)))


@pytest.mark.parametrize("kind", ["nature", "nature-k4", "impala", "impala-gap"])
def test_convolutions_work_channels_last(kind: EncoderKind) -> None:
    """The weights lie so from the start, and stay so through a state dict."""
    encoder, copy = make_encoder(box(44, 44, 3), kind), make_encoder(box(44, 44, 3), kind)
    copy.load_state_dict(encoder.state_dict())
    weights = [m.weight for e in (encoder, copy) for m in e.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_normalisers_are_for_vectors_of_numbers() -> None:
    parts = {"a": box(4, dtype=np.float32), "b": box(7, 7, 3), "c": box(5), "d": spaces.Discrete(3)}
    more = {"e": spaces.MultiBinary(3), "f": spaces.Box(0, 1, (3,), np.bool_), "g": box(2, dtype=np.int64)}

    def normalised(**how: Any) -> list[str]:
        modules = make_encoder(spaces.Dict(parts | more), normalise=True, **how).named_modules()
        return [name for name, m in modules if isinstance(m, Normaliser)]

    assert normalised() == [f"encoders.{key}.normaliser" for key in "acg"]
    assert normalised(scaling="bytes") == ["encoders.a.normaliser"], "as former versions did"


def test_a_normaliser_whitens_what_it_has_counted() -> None:
    """Two batches, the second half masked, equal one pass over the counted rows; a constant feature becomes 0."""
    torch.manual_seed(0)
    x = torch.randn(60, 3) * torch.tensor([1.0, 50.0, 0.0]) + torch.tensor([5.0, -1e3, 2.0])
    normaliser = Normaliser(3)
    assert torch.equal(normaliser(x), x.clamp(-10, 10))
    normaliser.update(x[:20], torch.ones(20, dtype=torch.bool))
    mask = torch.arange(40) % 2 == 0
    normaliser.update(x[20:].masked_fill(~mask[:, None], torch.nan), mask)
    out = normaliser(torch.cat([x[:20], x[20:][mask]]))
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    assert normaliser(torch.full((1, 3), 1e6)).tolist() == [[10.0, 10.0, 10.0]]


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("dueling", [False, True])
def test_q_values_are_batch_streams_actions(streams: int, dueling: bool) -> None:
    network = QNetwork(box(4, dtype=np.float32), 5, num_streams=streams, hidden=(8, 8), dueling=dueling)
    q = network(torch.rand(7, 4))
    assert q.shape == (7, streams, 5)
    if dueling:
        features = network.trunk(network.encoder(torch.rand(7, 4)))
        q = network.q(network.encoder(torch.rand(7, 4)))
        value = network.value(features)
        assert value.shape == (7, streams)


def test_dueling_is_identified_by_the_mean_advantage() -> None:
    """Q's mean over actions is V: shifting all advantages changes nothing."""
    network = QNetwork(box(4, dtype=np.float32), 3, hidden=(8,), dueling=True)
    x = torch.rand(6, 4)
    q = network(x)
    torch.testing.assert_close(q.mean(2), network.value(network.trunk(network.encoder(x))))
    with torch.no_grad():
        network.advantage[-1].bias += 5.0
    torch.testing.assert_close(network(x), q)


def test_greedy_weighs_the_streams() -> None:
    q = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert greedy(q, torch.tensor([1.0, 1.0])).tolist() == [1]
    assert greedy(q, torch.tensor([1.0, 0.1])).tolist() == [0]


def test_what_cannot_be_encoded_is_refused() -> None:
    cases = [
        (spaces.Text(5), "auto", "Text"),
        (box(10, 10, 3), "nature", "too small"),
        (box(40, 40, 3, dtype=np.float32, high=np.inf), "nature", "rescale"),
        (box(7, 7, 2), "grid", "grid encoder"),
        (box(3, 3, 3), "grid", "too small"),
        (box(40, 40, 3), "natur", "did you mean nature"),
        (box(5), "nature", "2 to 4 dimensions"),
        (box(0), "auto", "hold nothing"),
    ]
    for space, kind, message in cases:
        with pytest.raises(ConfigError, match=message):
            make_encoder(space, kind)  # type: ignore[arg-type]


def test_scalars_and_keys_with_dots_are_encoded() -> None:
    """Gymnasium flattens nested dictionaries to keys with dots, which no module may be called."""
    scalar = spaces.Box(-1.0, 1.0, (), np.float32)
    assert make_encoder(scalar)(torch.tensor([0.5, -1.0])).tolist() == [[0.5], [-1.0]]
    joined = make_encoder(spaces.Dict({"arm.joints": box(2, dtype=np.float32), "arm.on": spaces.Discrete(2)}))
    out = joined({"arm.joints": torch.tensor([[3.0, 4.0]]), "arm.on": torch.tensor([1])})
    assert out.tolist() == [[3.0, 4.0, 0.0, 1.0]]


@pytest.mark.parametrize("wrong", [[11, 0, 0], [0, 6, 0], [0, 0, 4]])
def test_codes_that_a_grid_does_not_know_are_refused(wrong: list[int]) -> None:
    """They would be taken for codes of the next channel, or lie outside."""
    grid = Grid(box(5, 5, 3))
    obs = torch.zeros(2, 5, 5, 3, dtype=torch.uint8)
    obs[1, 2, 3] = torch.tensor(wrong)
    with pytest.raises(ConfigError, match="encoder='flat'"):
        grid(obs)
