"""Traces: what is recorded is what acted, whoever acts; what cannot be recorded is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from planted import Rows
from safetensors import safe_open
from torch import nn

import jostle
from jostle.envs import make_env
from jostle.errors import CheckpointError, ConfigError
from jostle.explain.tracing import Trace, fingerprint, read_trace, trace
from jostle.explain.tracing.format import shown_size, size_of
from jostle.view import as_view


def catch(**more: Any) -> jostle.PPO:
    return jostle.PPO(
        "jostle/ThemedCatch-v0", num_envs=2, num_steps=4, encoder="impala", hidden=(8,), shared=True, recurrent="lstm",
        recurrent_size=4, noisy="factorised", minibatch_by="envs", minibatches=1, seed=3, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def agent() -> jostle.PPO:
    return catch()


@pytest.fixture(scope="module")
def recorded(agent: jostle.PPO, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    conditions = {"seen": {"split": "train"}, "unseen": {"split": "test"}}
    folder = tmp_path_factory.mktemp("trace") / "trace"
    return trace(agent, folder, episodes=3, noise="sampled", conditions=conditions, layers=["encoder", "core"])


def test_every_step_is_there_in_order(recorded: Trace) -> None:
    assert len(recorded) == 2 * 3 * 7
    assert recorded.column("step").tolist() == [*range(7)] * 6
    assert recorded.episode.tolist() == np.repeat(np.arange(6), 7).tolist()
    assert [e.condition for e in recorded.episodes] == ["seen"] * 3 + ["unseen"] * 3
    assert [e.draw for e in recorded.episodes] == [*range(6)]
    assert all(e.theme is not None and e.length == 7 and not e.cut for e in recorded.episodes)
    rewards = recorded.column("reward").reshape(6, 7)
    assert np.allclose(rewards.sum(1), [e.ret for e in recorded.episodes])
    assert recorded.column("terminated").reshape(6, 7).sum(0).tolist() == [0] * 6 + [6]
    assert recorded.rows(condition="unseen").tolist() == [*range(21, 42)]
    assert recorded.objects == ["ball", "paddle"]
    ball = recorded.column("object.ball", recorded.rows(episode=2))
    heights = [np.argwhere(mask).mean(0)[0] for mask in ball]
    assert np.all(np.diff(heights) > 2), "the ball falls"


def test_a_step_explained_is_the_step_that_acted(agent: jostle.PPO, recorded: Trace) -> None:
    view = recorded.prepared(as_view(agent))
    rows = np.array([3, 40, 7, 24, 24])
    steps = recorded.steps(rows)
    out, kept = view.look(steps.obs, ["encoder", "core"], state=steps.state, draw=steps.draw)
    np.testing.assert_allclose(out.logits, recorded.column("out.logits", rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(out.value, recorded.column("out.value", rows), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kept["core"], recorded.activations("core", rows), rtol=1e-4, atol=1e-6)
    assert np.array_equal(view.actions(out), steps.action)
    other = view.look(steps.obs, state=steps.state, draw=torch.zeros_like(steps.draw))[0]
    assert not np.allclose(other.logits, recorded.column("out.logits", rows), rtol=1e-3)


def test_states_are_handed_on_and_begin_at_zero(agent: jostle.PPO, recorded: Trace) -> None:
    view = recorded.prepared(as_view(agent))
    rows = recorded.rows(episode=4)
    obs, draw = recorded.obs(rows), recorded.episodes[4].draw
    state = None
    for t, row in enumerate(rows):
        kept = recorded.column("state", [int(row)])[0]
        if state is None:
            assert not kept.any()
        else:
            np.testing.assert_allclose(kept, state[:, 0], rtol=1e-4, atol=1e-6)
        state = view.forward(obs[t : t + 1], state=state, draw=draw).state


def test_without_noise_it_does_what_the_agent_does(agent: jostle.PPO, tmp_path: Path) -> None:
    found = trace(agent, tmp_path / "t", episodes=2, seed=5)
    env = make_env("jostle/ThemedCatch-v0", 2, seed=5)
    actor = agent.actor("mean", rows=2)
    obs, info = env.reset(seed=5)
    for t in range(7):
        action = actor.act(obs, info["start"])
        assert np.array_equal(found.obs([t, 7 + t]), obs)
        assert found.column("action", [t, 7 + t]).tolist() == action.tolist()
        obs, *_, info = env.step(action)
    env.close()
    assert found.steps().draw is None


def test_the_policy_is_as_it_was(agent: jostle.PPO, tmp_path: Path) -> None:
    view = as_view(agent)
    view.redraw(2, seed=9)

    def state() -> list[Any]:
        noise = [layer.noise.clone() for layer in agent.noise.layers.values()]
        assert view.noise is not None
        return [
            fingerprint(view), fingerprint(as_view(agent)), noise, agent.noise.state_dict()["generators"],
            view.noise.state_dict()["noise"], [m.training for m in agent.network.modules()],
        ]  # fmt: skip

    before = state()
    trace(view, tmp_path / "t", episodes=1, noise="sampled", actions="sampled", layers=["core"])
    assert str(before) == str(state())


def test_episodes_are_cut_and_short_ones_not_favoured(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    long = trace(net_view(net), tmp_path / "a", episodes=5, max_steps=3, env=lambda: Rows(100), num_envs=2)
    assert [(e.length, e.cut) for e in long.episodes] == [(3, True)] * 5
    assert long.column("obs")[:, 0].reshape(5, 3).round(4).tolist() == [pytest.approx([0.0, 0.1, 0.2])] * 5
    whole = trace(net_view(net), tmp_path / "b", episodes=3, env=lambda: Rows(4), num_envs=2)
    assert [(e.env, e.length, e.cut) for e in whole.episodes] == [(0, 4, False), (0, 4, False), (1, 4, False)]


def net_view(net: nn.Module) -> Any:
    space = Rows().observation_space
    return as_view(net, kind="q", observation_space=space, action_space=spaces.Discrete(2))


def test_functions_and_strangers_models_are_recorded(tmp_path: Path) -> None:
    found = trace(as_view(lambda obs: (obs[:, 2] > 0).astype(int), env="CartPole-v1"), tmp_path / "a", episodes=2)
    assert np.array_equal(found.column("action"), found.obs()[:, 2] > 0)
    assert not [c for c in found.columns if c.startswith("out.")]
    from stable_baselines3 import A2C

    model = A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [8]}, device="cpu", seed=0)
    found = trace(as_view(model, env="CartPole-v1"), tmp_path / "b", episodes=2, layers=["mlp_extractor.policy_net"])
    assert np.array_equal(found.column("action"), model.predict(found.obs(), deterministic=True)[0])
    np.testing.assert_allclose(
        found.column("out.value"), model.policy.predict_values(torch.as_tensor(found.obs())).detach(), rtol=1e-5
    )


def test_pieces_bound_the_memory_and_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jostle.explain.tracing.writing.PIECE_BYTES", 300)
    found = trace(net_view(nn.Linear(3, 2)), tmp_path / "t", episodes=4, env=Rows)
    assert len(found.about.pieces) == 4
    assert sum(found.about.pieces) == len(found) == 20
    again = read_trace(tmp_path / "t")
    every = again.obs()
    assert np.array_equal(every[:, 0].round(4), np.tile(np.arange(5, dtype=np.float32) / 10, 4))
    assert np.array_equal(again.obs([13, 2, 2]), every[[13, 2, 2]])
    with safe_open(tmp_path / "t" / "steps-000000.safetensors", "numpy") as piece:
        assert set(piece.keys()) == set(again.columns)


def test_the_size_is_said_first_and_refused(tmp_path: Path) -> None:
    said: list[str] = []
    trace(net_view(nn.Linear(3, 2)), tmp_path / "a", episodes=2, max_steps=10, env=Rows, announce=said.append)
    row = 3 * 4 + 2 * 4 + 4 + 8 + 4 + 1 + 1 + 3 * 8  # obs, q, value, action, reward, ends, episode, step, draw
    assert said == [f"trace in {tmp_path / 'a'}: at most 20 steps of {row} B, {20 * row / 1000:.1f} kB in all"]
    with pytest.raises(ConfigError, match=r"at most 5,000 steps of 62 B, 310 kB in all, more than max_size=100 kB"):
        trace(net_view(nn.Linear(3, 2)), tmp_path / "b", episodes=50, max_steps=100, env=Rows, max_size="100kB")
    assert not (tmp_path / "b").exists()


def test_sizes() -> None:
    assert size_of("2 GB") == 2 * 10**9
    assert size_of(17) == 17
    assert shown_size(999) == "999 B"
    with pytest.raises(ConfigError, match="write it as 500MB"):
        size_of("large")


def test_a_trace_of_another_policy_is_refused(recorded: Trace) -> None:
    with pytest.raises(ConfigError, match="is the trace of another policy"):
        recorded.prepared(as_view(catch().learn(8)))


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no trace, or one that was not finished"):
        read_trace(tmp_path)
    view = net_view(nn.Linear(3, 2))
    trace(view, tmp_path / "t", episodes=1, env=Rows)
    with pytest.raises(ConfigError, match="holds a trace already"):
        trace(view, tmp_path / "t", episodes=1, env=Rows)
    trace(view, tmp_path / "t", episodes=2, env=Rows, overwrite=True)
    assert len(read_trace(tmp_path / "t")) == 10
    (tmp_path / "t" / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"holds other files, such as mine\.txt"):
        trace(view, tmp_path / "t", episodes=1, env=Rows, overwrite=True)
    about = json.loads((tmp_path / "t" / "trace.json").read_text())
    (tmp_path / "t" / "trace.json").write_text(json.dumps(about | {"version": 99}))
    with pytest.raises(CheckpointError, match="of version 99"):
        read_trace(tmp_path / "t")


def test_bad_input(recorded: Trace, agent: jostle.PPO, tmp_path: Path) -> None:
    for bad, said in [
        ({"noise": "mc:4"}, "no single draw acts"),
        ({"layers": ["cor"]}, "did you mean core"),
        ({"episodes": 0}, "episodes=0 cannot be used"),
        ({"conditions": {}}, "no condition to play under"),
        ({"actions": "best"}, "are unknown"),
    ]:
        with pytest.raises(ConfigError, match=said):
            trace(agent, tmp_path / "t", **bad)
    with pytest.raises(ConfigError, match="shows nothing else: leave layers out"):
        trace(as_view(lambda obs: obs, env="CartPole-v1"), tmp_path / "t", layers=["x"])
    broken = nn.Linear(3, 2)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(ConfigError, match="holds NaN"):
        trace(net_view(broken), tmp_path / "t", env=Rows)
    with pytest.raises(ConfigError, match="no condition 'unsen'; did you mean unseen"):
        recorded.rows(condition="unsen")
    with pytest.raises(ConfigError, match="the rows 0 to 41, not 42 to 42"):
        recorded.obs([42])
    with pytest.raises(ConfigError, match="did you mean core"):
        recorded.activations("corr")
    assert not (tmp_path / "t").exists()


def test_draws_of_a_domain_are_written_by_name(tmp_path: Path) -> None:
    domain = {"parameters": {"rod.mass": [0.5, 2.0], "rod.length": [0.7, 1.5]}}
    agent = jostle.PPO("jostle/Pendulum-v1", num_envs=2, num_steps=16, hidden=(8,), domain=domain)
    env = jostle.make_env("jostle/Pendulum-v1", 2, seed=10_000, domain=domain)
    _, info = env.reset(seed=10_000)
    traced = trace(agent, tmp_path / "trace", episodes=2, max_steps=3, num_envs=2, env_options=agent.env_options)
    assert [list(e.domain) for e in traced.episodes] == [["rod.mass", "rod.length"]] * 2
    np.testing.assert_allclose([list(e.domain.values()) for e in traced.episodes], info["domain"])
    assert len({e.domain["rod.mass"] for e in traced.episodes}) == 2
    agent.env.close()
    env.close()
