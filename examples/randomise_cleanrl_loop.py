"""PPO of one file in the manner of CleanRL, in CartPoles that differ: PyTorch, Gymnasium and `jostle.envs.Randomise`.

    python examples/randomise_cleanrl_loop.py

Gymnasium's vector environments reset in the step after an ending: that row is no transition, so the loss leaves it out.
``infos["domain"]`` tells each row's draw.
"""

import argparse
from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import Tensor, nn

from jostle.envs import Randomise

NUM_ENVS, NUM_STEPS, MINIBATCHES, EPOCHS = 8, 128, 4, 4
LEARNING_RATE, CLIP, ENTROPY, VALUE, GAMMA, LAMBDA = 1e-3, 0.2, 0.01, 0.5, 0.99, 0.95
SPACE = {"force_mag": [5.0, 15.0], "length": {"log_uniform": [0.25, 1.0]}, "masspole": {"log_uniform": [0.05, 0.5]}}


def make_env(space: dict[str, Any]) -> Callable[[], gym.Env[Any, Any]]:
    """As in CleanRL's ppo.py: a thunk for each row."""

    def thunk() -> gym.Env[Any, Any]:
        return gym.wrappers.RecordEpisodeStatistics(Randomise(gym.make("CartPole-v1"), space))

    return thunk


class Agent(nn.Module):
    def __init__(self, observation_size: int, num_actions: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, num_actions))
        self.critic = nn.Sequential(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, obs: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
        return torch.distributions.Categorical(logits=self.actor(obs)), self.critic(obs).squeeze(-1)


def train(steps: int, seed: int, space: dict[str, Any]) -> tuple[list[float], list[dict[str, float]]]:
    """The returns of the last 100 episodes, and the draws of all of them."""
    torch.manual_seed(seed)
    envs = SyncVectorEnv([make_env(space) for _ in range(NUM_ENVS)])
    agent = Agent(4, 2)
    optimiser = torch.optim.Adam(agent.parameters(), LEARNING_RATE)
    shape = (NUM_STEPS, NUM_ENVS)
    obs, values = torch.zeros(NUM_STEPS + 1, NUM_ENVS, 4), torch.zeros(NUM_STEPS + 1, NUM_ENVS)
    actions, log_probs, rewards = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape), torch.zeros(shape)
    terminated, ended, valid = (torch.zeros(shape, dtype=torch.bool) for _ in range(3))
    returns: deque[float] = deque(maxlen=100)
    draws: list[dict[str, float]] = []

    first, info = envs.reset(seed=seed)
    obs[NUM_STEPS], done = torch.as_tensor(first), np.zeros(NUM_ENVS, bool)
    note(draws, info, np.ones(NUM_ENVS, bool))
    for _ in range(steps // (NUM_STEPS * NUM_ENVS)):
        obs[0] = obs[NUM_STEPS]
        for t in range(NUM_STEPS):
            valid[t] = torch.as_tensor(~done)
            with torch.no_grad():
                policy, values[t] = agent(obs[t])
            actions[t] = policy.sample()
            log_probs[t] = policy.log_prob(actions[t])
            following, reward, term, trunc, info = envs.step(actions[t].numpy())
            note(draws, info, done)  # the rows that this step has begun anew
            obs[t + 1], rewards[t] = torch.as_tensor(following), torch.as_tensor(reward)
            done = term | trunc
            terminated[t], ended[t] = torch.as_tensor(term), torch.as_tensor(done)
            if "episode" in info:
                returns.extend(info["episode"]["r"][info["_episode"]])
        with torch.no_grad():
            values[NUM_STEPS] = agent(obs[NUM_STEPS])[1]
        advantages, last = torch.zeros(shape), torch.zeros(NUM_ENVS)
        for t in reversed(range(NUM_STEPS)):
            delta = rewards[t] + GAMMA * values[t + 1] * ~terminated[t] - values[t]
            last = (delta + GAMMA * LAMBDA * last * ~ended[t]) * valid[t]
            advantages[t] = last
        learn(agent, optimiser, obs[:-1], actions, log_probs, advantages, advantages + values[:-1], valid)
    envs.close()
    return list(returns), draws


def note(draws: list[dict[str, float]], info: dict[str, Any], began: np.ndarray) -> None:
    """Keep the draws of the rows in which an episode has begun."""
    told = {name: part for name, part in info["domain"].items() if not name.startswith("_")}
    draws.extend({name: float(part[i]) for name, part in told.items()} for i in np.flatnonzero(began))


def learn(agent: Agent, optimiser: torch.optim.Optimizer, *rollout: Tensor) -> None:
    """Epochs of minibatches of the valid transitions."""
    obs, actions, old, advantages, targets, valid = (x.flatten(0, 1) for x in rollout)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(actions)).chunk(MINIBATCHES):
            rows = chosen[valid[chosen]]
            policy, value = agent(obs[rows])
            ratio = (policy.log_prob(actions[rows]) - old[rows]).exp()
            a = (advantages[rows] - advantages[rows].mean()) / (advantages[rows].std() + 1e-8)
            policy_loss = -torch.minimum(a * ratio, a * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
            value_loss = 0.5 * (value - targets[rows]).square().mean()
            loss = policy_loss - ENTROPY * policy.entropy().mean() + VALUE * value_loss
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small networks are fastest on one
    returns, draws = train(args.steps, args.seed, SPACE)
    print(f"mean return of the last {len(returns)} episodes: {np.mean(returns):.0f} (500 is the most)")
    for name in SPACE:
        drawn = [draw[name] for draw in draws]
        print(f"{name}: {min(drawn):.3g} to {max(drawn):.3g} in {len(drawn)} episodes")


if __name__ == "__main__":
    main()
