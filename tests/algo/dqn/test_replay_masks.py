"""Masks in the replay and in the targets, against everything that happened."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.algo.dqn.replay import Batch, Replay
from jostle.errors import ConfigError
from jostle.store.tree import Segmented

ENVS, ACTIONS = 3, 5
SPACE = spaces.Box(0, 1e6, (1,), np.float32)


def play(replay: Replay, steps: int, seed: int = 0, told_from: int = 0) -> dict[int, np.ndarray[Any, Any]]:
    """Random episodes whose observations are numbers of their own; returns the mask of each number."""
    rng = np.random.default_rng(seed)
    masks: dict[int, np.ndarray[Any, Any]] = {}
    done, start = np.zeros(ENVS, np.bool_), np.ones(ENVS, np.bool_)
    for t in range(steps):
        number = (seed + 1) * 10_000 + t * ENVS + np.arange(ENVS)
        mask = rng.random((ENVS, ACTIONS)) < 0.5 if t >= told_from else None
        for i in range(ENVS):
            masks[int(number[i])] = np.ones(ACTIONS, np.bool_) if mask is None else mask[i]
        valid, kind = ~done, rng.random(ENVS)
        ends, cut = valid & (kind < 0.15), valid & (kind > 0.85)
        action = rng.integers(ACTIONS, size=ENVS)
        obs = number[:, None].astype(np.float32)
        replay.add(obs, action, np.zeros(ENVS), ends, cut, valid, start, mask)
        done, start = ends | cut, ~valid
    return masks


def agrees(obs: Any, mask: torch.Tensor | None, masks: dict[int, np.ndarray[Any, Any]]) -> bool:
    assert mask is not None
    return mask.tolist() == [masks[int(number)].tolist() for number in obs[:, 0]]


@pytest.mark.parametrize("told_from", [0, 7])
@pytest.mark.parametrize(("n_step", "linked"), [(1, False), (3, False), (3, True)])
def test_each_observation_of_a_batch_comes_with_its_own_mask(n_step: int, linked: bool, told_from: int) -> None:
    for steps in (20, 90):  # within the ring, and after it has turned
        replay = Replay(40 * ENVS, ENVS, SPACE, n_step=n_step, linked=linked)
        masks = play(replay, steps, told_from=told_from)
        batch = replay.sample(300, np.random.default_rng(1))
        assert agrees(batch.obs, batch.mask, masks)
        assert agrees(batch.next_obs, batch.next_mask, masks)
        if linked:
            assert batch.linked is not None
            assert len(batch.linked) > 20
            assert agrees(batch.linked_obs, batch.linked_mask, masks)


def test_stacks_that_begin_within_an_episode() -> None:
    pictures = spaces.Box(0, 255, (3, 2, 2), np.uint8)
    replay = Replay(60, ENVS, pictures, frame_stack=3)
    mask = np.zeros((ENVS, ACTIONS), np.bool_)
    nothing, obs = np.zeros(ENVS, np.bool_), np.zeros((ENVS, 3, 2, 2), np.uint8)
    replay.add(obs, np.zeros(ENVS), np.zeros(ENVS), nothing, nothing, ~nothing, nothing, mask)
    assert replay.mask is not None
    assert replay.mask[:2].all()  # rows of older frames alone
    assert not replay.mask[2].any()


def test_the_seam_has_the_mask_of_its_observation() -> None:
    replay = Replay(40 * ENVS, ENVS, SPACE)
    play(replay, 10)
    last = (replay.added - 1) % replay.rows
    replay.valid[last] = True
    replay.cut(np.full((ENVS, 1), 7.0), np.eye(ENVS, ACTIONS) > 0)
    assert replay.mask is not None
    assert np.array_equal(replay.mask[last + 1], np.eye(ENVS, ACTIONS) > 0)


def test_masks_are_saved_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for bytes_ in (2**24, 64):
        monkeypatch.setattr("jostle.algo.dqn.replay._SEGMENT_BYTES", bytes_)
        replay = Replay(40 * ENVS, ENVS, SPACE)
        masks = play(replay, 55)
        state = replay.state_dict()
        assert isinstance(state["arrays"]["mask"], Segmented) == (bytes_ == 64)
        other = Replay(40 * ENVS, ENVS, SPACE)
        other.load_state_dict(state)
        batch = other.sample(200, np.random.default_rng(1))
        assert agrees(batch.next_obs, batch.next_mask, masks)
        plain = Replay(40 * ENVS, ENVS, SPACE)
        play(plain, 55, told_from=99)
        assert plain.mask is None
        other.load_state_dict(plain.state_dict())
        assert other.mask is None
        for bad in (np.zeros((40, ENVS, 5)), np.zeros((39, ENVS, 5), np.bool_), np.zeros((40, ENVS), np.bool_)):
            wrong = {"added": 55, "arrays": state["arrays"] | {"mask": bad}}
            with pytest.raises(ConfigError, match="does not fit this one at 'mask'"):
                other.load_state_dict(wrong)


def test_masks_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Replay(4_000 * ENVS, ENVS, SPACE)
    before = replay.nbytes
    monkeypatch.setattr("os.sysconf", lambda name: 1 if name == "SC_PAGE_SIZE" else 250_000)
    with pytest.raises(ConfigError, match="lower replay_size"):
        play(replay, 1)
    monkeypatch.undo()
    play(replay, 1)
    assert replay.nbytes == before + replay.size * ACTIONS


# ---- targets ----


@pytest.mark.parametrize("double", [False, True])
def test_targets_are_the_best_of_the_legal_actions(identity: Any, double: bool) -> None:
    agent = jostle.DQN(identity, num_envs=2, hidden=(8,), double=double, gamma=0.9, n_step=1)
    with torch.no_grad():
        for p in agent.target.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    rows = 60
    obs = torch.arange(rows) % 3
    mask = torch.rand(rows, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[torch.arange(rows), torch.arange(rows) % 2] = True
    ends = torch.arange(rows) % 7 == 0
    mask[ends] = False
    batch = Batch(
        torch.arange(rows), obs, obs, torch.ones(rows, 1, 1), ends[:, None], torch.zeros_like(ends)[:, None], obs,
        next_mask=mask,
    )  # fmt: skip
    with torch.no_grad():
        values, chooses = agent.target(obs)[:, 0], (agent.network if double else agent.target)(obs)[:, 0]
    found, differs = agent.td_target(batch)[:, 0], 0
    for row in range(rows):
        legal = mask[row].nonzero()[:, 0].tolist()
        best = max(legal, key=lambda a, row=row: float(chooses[row, a])) if legal else 0
        assert float(found[row]) == pytest.approx(1 + 0.9 * float(values[row, best]) * (not ends[row]), rel=1e-5)
        differs += best != int(chooses[row].argmax())
    assert differs > 10
    assert found.isfinite().all()


def test_targets_behind_an_end_take_the_mask_of_the_next_episode(lively: Any) -> None:
    agent = jostle.DQN(lively, num_envs=2, hidden=(8,), bonus=("rnd",), bonus_warmup=4, n_step=2, warmup=20)
    agent.learn(60)
    batch = agent.replay.sample(64, np.random.default_rng(0))
    assert agent.intrinsic is not None
    batch = agent.intrinsic.rewarded(batch)
    assert batch.linked is not None
    links = len(batch.linked)
    assert links > 3
    only = torch.nn.functional.one_hot(torch.arange(64) % 3, 3).bool()
    onward = torch.nn.functional.one_hot(torch.arange(links) % 2, 3).bool()
    masked = Batch(**{**vars(batch), "next_mask": only, "linked_mask": onward})
    q = agent.target(batch.next_obs).detach()
    following = q[torch.arange(64), :, torch.arange(64) % 3]  # the only legal action's values
    q = agent.target(batch.linked_obs).detach()
    following[batch.linked, 1] = q[torch.arange(links), 1, torch.arange(links) % 2]  # the bonus goes on behind the end
    n_return, factor = batch.n_step_return(agent.discount, agent.streams.episodic)
    torch.testing.assert_close(agent.td_target(masked), n_return + factor * following)


def test_metrics_speak_of_legal_actions(identity: Any) -> None:
    from jostle.algo.dqn.metrics import inspect

    agent = jostle.DQN(identity, num_envs=2, hidden=(8,), noisy="factorised")
    q = torch.tensor([[[5.0, 1.0, 2.0]]]).expand(4, 1, 3)
    mask = torch.tensor([[False, True, True]]).expand(4, 3)
    one, slots = torch.ones(1), torch.tensor([2])
    given = (lambda _: q, torch.zeros(4, 1), one, ["ext"], agent.noise, agent.looks, slots, {})
    assert inspect(*given) == {"losses/q_value": 5.0, "values/mean_ext": 5.0}
    assert inspect(*given, mask=mask) == {"losses/q_value": 2.0, "values/mean_ext": 2.0}
    calls = iter([q, q + torch.tensor([-9.0, 0.0, 0.0])])  # the noise changes an illegal action's value alone
    layers = jostle.noisy_layers(agent.network)
    found = inspect(lambda _: next(calls), *given[1:-1], layers, mask)
    assert found["noise/flip_rate"] == 0
