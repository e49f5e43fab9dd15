"""A training process for the tests to kill: starts the run, or goes on with it.

Usage: python trainer.py FOLDER ENV STEPS
"""

import shutil
import sys
from pathlib import Path

import torch

import jostle

SETTINGS = {
    "jostle/DeepSea-v0": {"hidden": (32,), "n_step": 3, "noise_resample": "episode", "replay_size": 3_000},
    "jostle/ThemedCatch-v0": {
        "hidden": (32,), "noise_resample": "action", "replay_size": 600, "target_tau": 0.05, "batch_size": 8,
        "replay_ratio": 1.0,
    },
}  # fmt: skip


def main(folder: Path, env: str, steps: int) -> None:
    torch.set_num_threads(1)
    if any((folder / "checkpoints").glob("step_*")):
        jostle.resume(folder)
        return
    # Killed in the moments before the checkpoint of step 0: nothing is lost by beginning again.
    shutil.rmtree(folder, ignore_errors=True)
    settings = {"noisy": "factorised", "dueling": True, "batch_size": 32, "replay_ratio": 4.0, "warmup": 100}
    agent = jostle.DQN(env, seed=7, num_envs=4, threads=1, **(settings | SETTINGS[env]))
    agent.learn(steps, run_dir=folder, log_every=150, checkpoint_every=200)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
