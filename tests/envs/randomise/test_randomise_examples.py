"""The examples of `Randomise` in other people's loops learn, and see the draws that they ask for."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loop_of_one_file_learns_in_physics_that_differ() -> None:
    module = example("randomise_cleanrl_loop")
    returns, draws = module.train(24_000, 1, module.SPACE)
    assert np.mean(returns) > 80  # random play: 20
    for name, drawn in ((name, np.array([draw[name] for draw in draws])) for name in module.SPACE):
        low, high = module.SPACE[name] if isinstance(module.SPACE[name], list) else module.SPACE[name]["log_uniform"]
        assert low <= drawn.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < drawn.max() <= high
    assert len({tuple(draw.values()) for draw in draws}) == len(draws), "each episode has a draw of its own"
    again = module.train(4096, 1, module.SPACE)[1]
    assert again == draws[: len(again)], "the same seed, the same draws"


def test_stable_baselines_learns_in_many_and_is_tested_in_one() -> None:
    pytest.importorskip("stable_baselines3")
    module = example("randomise_stable_baselines3")
    model = module.train(20_000, 0, randomised=True)
    assert np.mean(module.returns(model, "nominal", 5)) > 60
    one, two = module.returns(model, module.UNSEEN, 3), module.returns(model, module.UNSEEN, 3)
    assert one == two
    assert one != module.returns(model, "nominal", 3)
