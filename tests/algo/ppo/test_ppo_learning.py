"""PPO solves tasks of seconds under every setting; what it learns cannot be luck."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import jostle
from jostle.bonus import Bonus, Transitions

RECURRENT = {"minibatch_by": "envs", "recurrent_size": 16}
COVERING: dict[str, dict[str, Any]] = {
    "plain": {},
    "shared-slices": {"shared": True, "minibatch_by": "slices", "bonus": ("rnd",)},
    "residual": {"shared": True, "heads": "residual", "activation": "relu", "value_clip": 0.2},
    "gru": RECURRENT | {"recurrent": "gru", "bonus": ("rnd",), "value_heads": "single"},
    "lstm": RECURRENT | {"recurrent": "lstm", "kl_penalty": "adaptive", "sequence_length": 8},
    "noisy-gru": RECURRENT | {"recurrent": "gru", "noisy": "independent", "minibatch_by": "slices"},
    "factorised": {"noisy": "factorised", "kl_penalty": "adaptive", "clip": 0.0},
    "factorised-together": {"noisy": "factorised", "noise_per_env": False, "bonus": ("rnd",), "episodic_int": True},
    "independent-shared": {"noisy": "independent", "shared": True, "value_heads": "single", "bonus": ("icm",)},
    "envs-rnd": {"minibatch_by": "envs", "bonus": ("rnd", "e3b"), "bonus_learning_rate": 1e-3},
    "normalised": {"reward_norm": "return_std", "reward_clip": 5.0, "lr_schedule": "linear", "target_kl": 0.2},
    "returns": {"gae_lambda": 1.0, "normalise_advantage": False, "time_limit": "terminal"},
    "bfloat16": {"bfloat16": True, "recompute": True},
    "acting": {"recompute": False, "microbatch": 16, "entropy_schedule": "linear"},
}


def small(env: Any, **settings: Any) -> jostle.PPO:
    defaults: dict[str, Any] = {
        "hidden": (16,), "num_steps": 16, "minibatches": 2, "learning_rate": 2e-2, "gamma": 0.3, "bonus_warmup": 5,
        "bonus_features": 8,
    }  # fmt: skip
    if "bonus" in settings or "bonuses" in settings:
        defaults["coef_int"] = 0.02
    return jostle.PPO(env, num_envs=8, **(defaults | settings))


SLOW = {"gru", "envs-rnd", "factorised-together", "independent-shared", "residual"}
"""What the others nearly cover."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in COVERING]
)
def test_identity_is_learned(identity: Any, name: str) -> None:
    agent = small(identity, **COVERING[name]).learn(1_024)
    assert agent.predict(np.arange(3))[0].tolist() == [0, 1, 2]
    assert jostle.evaluate(agent, 8, actions="sampled").mean > 4.0, "of 5, where chance is 1.67"
    assert all(np.isfinite(value) for value in agent.metrics.values())


@pytest.mark.parametrize(
    ("actions", "settings"),
    [
        ("multi", {"bonus": ("rnd",)}),
        pytest.param("multi", RECURRENT | {"recurrent": "gru"}, marks=pytest.mark.slow),
        ("box", {"kl_penalty": "adaptive"}),
        pytest.param("box", RECURRENT | {"recurrent": "lstm"}, marks=pytest.mark.slow),
    ],
)
def test_other_actions_are_learned(match: Any, actions: str, settings: dict[str, Any]) -> None:
    agent = small(lambda: match(actions), learning_rate=1e-2, num_steps=32, epochs=6, **settings).learn(2_048)
    found, _ = agent.predict(np.arange(3))
    if actions == "multi":
        assert found.tolist() == [[0, 0], [1, 1], [2, 1]]
    else:
        np.testing.assert_allclose(found, np.repeat([[-0.5], [0.0], [0.5]], 2, 1), atol=0.2)


@pytest.mark.parametrize(
    "settings", [{}, {"bonus": ("rnd",)}, {"noisy": "factorised"}, RECURRENT | {"recurrent": "lstm", "bfloat16": True}]
)
def test_identity_is_learned_from_pictures(pixels: Any, settings: dict[str, Any]) -> None:
    agent = small(pixels, **{"hidden": (32,), "learning_rate": 3e-3} | settings).learn(640)
    obs, _ = agent.env.reset()
    right = (obs[:, 0, 30, 0] > 0).astype(int)
    assert len(set(right)) == 2
    assert agent.predict(obs)[0].tolist() == right.tolist()


@pytest.mark.parametrize("settings", [{"recurrent": "gru"}, {"recurrent": "lstm", "sequence_length": 16}, {}])
def test_only_memory_solves_a_task_of_memory(memory: Any, settings: dict[str, Any]) -> None:
    """The symbol is gone when it is asked for: without memory half of the answers are right, whatever is learned."""
    options = RECURRENT | settings if settings else {}
    agent = small(lambda: memory(delay=2), gamma=0.9, num_steps=32, learning_rate=1e-2, **options)
    agent.learn(4_000 if settings else 1_000)
    mean = jostle.evaluate(agent, 64, num_envs=16).mean
    assert mean == 1.0 if settings else mean < 0.8


# ---- what the values are ----

LEFT = float(np.mean([sum(0.8**i for i in range(n)) for n in range(1, 6)]))
"""What is left of five rewards of 1 at discount 0.8: the mean over the five steps, which look all the same."""


def value_of(agent: jostle.PPO, stream: int = 0) -> float:
    with torch.no_grad():
        return float(agent.network(torch.ones(1, 2))[1][0, stream])


@pytest.mark.parametrize(
    ("end", "settings", "expected"),
    [
        # Observations do not tell the time. Cut off at 5, time goes on: 1 / (1 − γ).
        ("truncated", {}, 1 / (1 - 0.8)),
        ("truncated", {"gae_lambda": 1.0}, 1 / (1 - 0.8)),
        ("truncated", {"time_limit": "terminal", "gae_lambda": 1.0}, LEFT),
        ("terminated", {"gae_lambda": 1.0}, LEFT),
    ],
)
def test_the_end_of_time_is_a_cut_or_an_end(constant: Any, end: str, settings: Any, expected: float) -> None:
    agent = small(lambda: constant(end=end), gamma=0.8, num_steps=12, epochs=8, minibatches=1, **settings).learn(2_500)
    assert value_of(agent) == pytest.approx(expected, rel=0.03)


class One(Bonus):
    """An intrinsic reward that is always 1."""

    name, last_frame = "one", True

    def __init__(self, space: Any, num_envs: int) -> None:
        options = {
            "frame_stack": 1,
            "discount": 0.9,
            "reward_norm": "none",
            "obs_norm": False,
            "clip": 5.0,
            "share": 1.0,
        }
        super().__init__(space, num_envs, **options)

    def raw(self, t: Transitions) -> torch.Tensor:
        return torch.ones(t.valid.shape)

    def loss_rows(self, t: Transitions, target: torch.Tensor | None) -> torch.Tensor:
        return torch.zeros((), requires_grad=True)


@pytest.mark.parametrize(("episodic", "expected"), [(False, 1 / (1 - 0.8)), (True, LEFT)])
def test_intrinsic_returns_go_on_behind_the_end_or_do_not(constant: Any, episodic: bool, expected: float) -> None:
    bonus = One(spaces.Box(0, 1, (2,), np.float32), 8)
    agent = small(
        lambda: constant(end="terminated"), bonuses=[bonus], gamma=0.5, gamma_int=0.8, episodic_int=episodic,
        num_steps=12, epochs=8, gae_lambda=1.0, coef_ext=1.0, minibatches=1,
    ).learn(2_500)  # fmt: skip
    assert value_of(agent, 1) == pytest.approx(expected, rel=0.03)
    assert value_of(agent, 0) == pytest.approx(np.mean([sum(0.5**i for i in range(n)) for n in range(1, 6)]), rel=0.03)


def test_without_an_extrinsic_weight_only_the_bonus_is_followed(identity: Any) -> None:
    """The same bonus for every action teaches nothing, and the extrinsic reward must not be seen."""
    with_, without = (
        small(identity, bonuses=[One(spaces.Discrete(3), 8)], coef_ext=weight, bonus=("rnd",), coef_int=1e-9).learn(
            1_280
        )
        for weight in (1.0, 0.0)
    )
    assert np.mean(with_.returns) > 3.5
    assert np.mean(without.returns) < 2.6
