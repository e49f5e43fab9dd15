"""What documentation has told people to import goes on to be there, wherever it lives now."""

import importlib
import subprocess
import sys

import pytest

import jostle

STRESS = [
    "Cell",
    "Condition",
    "Curve",
    "FeatureDistance",
    "Interval",
    "Perturbation",
    "StressResult",
    "Suite",
    "Summary",
    "aggregate",
    "average_of_draws",
    "compare",
    "curve",
    "cvar",
    "cycle_consistency",
    "cycle_consistency_3way",
    "feature_distance",
    "improvement_interval",
    "interval",
    "iqm",
    "markdown",
    "mean",
    "median",
    "optimality_gap",
    "paired_interval",
    "performance_profile",
    "plot_curves",
    "plot_intervals",
    "plot_profiles",
    "probability_of_improvement",
    "profile_band",
    "read_result",
    "std",
    "stress_test",
]
NAMES = {
    "jostle": jostle.__all__,
    "jostle.stress": STRESS,
    "jostle.algo": ["DQN", "PPO", "DQNConfig", "PPOConfig"],
    "jostle.algo.dqn": ["DQN", "DQNConfig"],
    "jostle.algo.ppo": ["PPO", "PPOConfig"],
    "jostle.envs": ["EnvInfo", "JostleEnv", "list_envs", "make_env", "random_actions"],
    "jostle.envs.diagnostics": ["DEEP_SEA", "THEMED_CATCH"],
    "jostle.loading": ["load", "resume"],
    "jostle.presets": ["describe", "load", "names", "resolved", "settings", "text"],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_where_they_were(module: str) -> None:
    found = importlib.import_module(module)
    assert all(hasattr(found, name) for name in NAMES[module])


def test_scores_are_handed_on() -> None:
    assert jostle.stress.interval is jostle.scores.interval
    assert set(jostle.scores.__all__) <= set(jostle.stress.__all__)


@pytest.mark.parametrize("command", ["--help", "envs"])
def test_quick_commands_load_no_torch(command: str) -> None:
    code = f"import sys; from jostle.cli import main; main([{command!r}]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


HEAVY = ("torch._dynamo", "torch._inductor", "sympy", "scipy", "tensorboard", "matplotlib", "envpool", "rich")
"""What takes long to import and is not needed to make an agent: the compiler alone takes as long as torch."""


def test_what_an_agent_does_not_need_is_not_imported_for_it() -> None:
    code = f"import sys, jostle; jostle.DQN, jostle.PPO, jostle.to_noisy; print(*set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "import gymnasium as gym, jostle; gym.make('jostle/DeepSea-v0', size=3).reset(seed=0)",
            "imported beside Gymnasium, the environments are known",
        ),
        (
            "import gymnasium as gym; gym.make('jostle:jostle/ThemedCatch-v0').reset(seed=0)",
            "Gymnasium imports the module that an id names",
        ),
        (
            "import jostle, sys; assert not {'gymnasium', 'numpy', 'torch'} & set(sys.modules)",
            "without Gymnasium nothing is imported",
        ),
        (
            "import gymnasium, jostle, sys; assert not {'torch', 'jostle.envs'} & set(sys.modules)",
            "beside Gymnasium the names alone are registered",
        ),
    ],
)
def test_environments_are_known_where_gymnasium_is(code: str, why: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, f"{why}: {done.stderr}"
