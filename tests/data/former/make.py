"""Made the runs beside it with the version of jostle that divided every byte by 255 and clipped continuous actions.

They are what a run of that version looks like, so this is not to be run again with a later one.
"""

import json
import pathlib
import shutil

import gymnasium as gym
import numpy as np

import jostle

HOME = pathlib.Path(__file__).parent


class Bytes(gym.Env):
    """Name the symbol that is shown, one-hot in bytes."""

    observation_space, action_space = gym.spaces.Box(0, 1, (3,), np.uint8), gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.show(), {}

    def show(self):
        self.symbol = int(self.np_random.integers(3))
        return (np.arange(3) == self.symbol).astype(np.uint8)

    def step(self, action):
        paid, self.t = float(action == self.symbol), self.t + 1
        return self.show(), paid, False, self.t >= 5, {}


def deepsea() -> jostle.DQN:
    return jostle.DQN(
        "jostle/DeepSea-v0", num_envs=2, noisy="factorised", hidden=(8,), warmup=32, replay_size=128, bonus=("rnd",),
        bonus_features=8, env_options={"size": 4}, seed=1,
    )  # fmt: skip


def keep(name, agent, obs, **env):
    for part in ("tensorboard", "checkpoints/step_000000000000"):
        shutil.rmtree(HOME / name / part)
    found = jostle.evaluate(jostle.load(HOME / name, **env), episodes=4, seed=7)
    action = np.asarray(agent.predict(obs)[0]).tolist()
    return {"steps": agent.steps, "returns": found.returns.tolist(), "action": action}


if __name__ == "__main__":
    told = {}
    agent = deepsea().learn(200, run_dir=HOME / "deepsea")
    told["deepsea"] = keep("deepsea", agent, agent.env.reset(seed=3)[0])
    unbroken = deepsea().learn(400).network.state_dict()
    told["deepsea"]["resumed"] = {name: float(value.double().sum()) for name, value in unbroken.items()}
    agent = jostle.PPO(
        "Pendulum-v1", num_envs=2, num_steps=16, minibatches=2, hidden=(8,), recurrent="gru", recurrent_size=4,
        minibatch_by="envs", seed=2, env_options={"engine": "gymnasium"},
    ).learn(64, run_dir=HOME / "pendulum")  # fmt: skip
    told["pendulum"] = keep("pendulum", agent, np.stack([np.linspace(-1, 1, 3)] * 2).astype(np.float32))
    agent = jostle.PPO(Bytes, num_envs=2, num_steps=16, hidden=(8,), seed=3).learn(64, run_dir=HOME / "bytes")
    told["bytes"] = keep("bytes", agent, np.eye(3, dtype=np.uint8), env=Bytes)
    (HOME / "told.json").write_text(json.dumps(told, indent=1) + "\n")
