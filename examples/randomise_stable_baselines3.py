"""A Stable-Baselines3 PPO on one CartPole and on many, in physics that neither has seen.

    pip install stable-baselines3
    python examples/randomise_stable_baselines3.py

`jostle.envs.Randomise` draws force, pole and cart anew in each episode. Testing replays chosen values by
``reset(options={"domain": …})``; Stable-Baselines3 hands options on by `set_options`.
"""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from jostle.envs import Randomise

SPACE = {"force_mag": [5.0, 15.0], "length": {"log_uniform": [0.25, 1.0]}, "masspole": {"log_uniform": [0.05, 0.5]}}
UNSEEN = {"force_mag": 3.0, "length": 1.5, "masspole": 0.8}


def make(randomised: bool = True) -> gym.Env[Any, Any]:
    """One CartPole; without randomisation the nominal one, by the same wrapper."""
    nominal = {"force_mag": 10.0, "length": 0.5, "masspole": 0.1}
    return Randomise(gym.make("CartPole-v1"), SPACE if randomised else nominal)


def train(steps: int, seed: int, randomised: bool) -> PPO:
    """A policy trained in eight of them."""
    env = make_vec_env(lambda: make(randomised), n_envs=8, seed=seed)
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=256, seed=seed, device="cpu")
    return model.learn(steps)


def returns(model: PPO, values: dict[str, float] | str, episodes: int) -> list[float]:
    """Undiscounted returns of deterministic episodes under the given values, or the "nominal" ones."""
    env, found = make(), []
    for episode in range(episodes):
        obs, info = env.reset(seed=10_000 + episode, options={"domain": values})
        total, ended = 0.0, False
        while not ended:
            obs, reward, terminated, truncated, info = env.step(int(model.predict(obs, deterministic=True)[0]))
            total, ended = total + float(reward), terminated or truncated
        assert values == "nominal" or info["domain"] == values
        found.append(total)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small networks are fastest on one
    for name, randomised in (("one CartPole", False), ("many", True)):
        model = train(args.steps, args.seed, randomised)
        seen, unseen = (np.mean(returns(model, v, args.episodes)) for v in ("nominal", UNSEEN))
        print(f"trained on {name}: {seen:.0f} in the nominal world, {unseen:.0f} in one never seen")


if __name__ == "__main__":
    main()
