"""Random Network Distillation in a PPO of one file, in the manner of CleanRL: PyTorch, Gymnasium and `jostle.bonus`.

    python examples/rnd_cleanrl_loop.py            # finds DeepSea's treasure within a minute
    python examples/rnd_cleanrl_loop.py --plain    # does not

Two value heads, one for the extrinsic and one for the intrinsic return; the latter goes on in the next episode
(Burda et al. 2018). Gymnasium's vector environments reset in the step after an ending: that row is no transition, so
the losses, the statistics and the bonus skip it.
"""

import argparse
from collections import deque

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

import jostle.envs  # noqa: F401  # registers the diagnostics with Gymnasium
from jostle.bonus import RND, Transitions
from jostle.functional import gae, normalise_advantage

NUM_ENVS, NUM_STEPS, MINIBATCHES, EPOCHS = 16, 128, 8, 4
LEARNING_RATE, CLIP, ENTROPY, VALUE = 1e-3, 0.2, 0.01, 0.5
DISCOUNT, LAMBDA = torch.tensor([0.99, 0.99]), torch.tensor([0.95, 0.95])
EPISODIC = torch.tensor([True, False])  # streams: extrinsic, intrinsic


class Agent(nn.Module):
    def __init__(self, observation_size: int, num_actions: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, num_actions))
        self.critic = nn.Sequential(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 2))

    def forward(self, obs: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
        flat = obs.flatten(-2)
        return torch.distributions.Categorical(logits=self.actor(flat)), self.critic(flat)


def train(size: int, steps: int, seed: int, coefficients: tuple[float, float]) -> list[float]:
    """The returns of the last 100 episodes. ``coefficients`` weigh the extrinsic and the intrinsic advantage."""
    torch.manual_seed(seed)
    env = gym.make_vec("jostle/DeepSea-v0", NUM_ENVS, vectorization_mode="vector_entry_point", size=size)
    agent = Agent(size * size, 2)
    bonus = RND(env.single_observation_space, NUM_ENVS, features=64)
    optimiser = torch.optim.Adam([*agent.parameters(), *bonus.trainable_parameters()], LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)

    shape = (NUM_STEPS, NUM_ENVS)
    obs = torch.zeros(NUM_STEPS + 1, NUM_ENVS, size, size)
    actions, log_probs = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape)
    rewards, values = torch.zeros(*shape, 2), torch.zeros(NUM_STEPS + 1, NUM_ENVS, 2)
    terminated, truncated, valid, start = (torch.zeros(shape, dtype=torch.bool) for _ in range(4))
    returns: deque[float] = deque(maxlen=100)
    running = np.zeros(NUM_ENVS)

    first, _ = env.reset(seed=seed)
    obs[NUM_STEPS] = torch.as_tensor(first)
    done, begins = torch.zeros(NUM_ENVS, dtype=torch.bool), torch.ones(NUM_ENVS, dtype=torch.bool)
    for _ in range(steps // (NUM_STEPS * NUM_ENVS)):
        obs[0] = obs[NUM_STEPS]
        for step in range(NUM_STEPS):
            valid[step], start[step] = ~done, begins & ~done
            with torch.no_grad():
                policy, values[step] = agent(obs[step])
            actions[step] = policy.sample()
            log_probs[step] = policy.log_prob(actions[step])
            following, reward, term, trunc, _ = env.step(actions[step].numpy())
            obs[step + 1], rewards[step, :, 0] = torch.as_tensor(following), torch.as_tensor(reward)
            terminated[step], truncated[step] = torch.as_tensor(term), torch.as_tensor(trunc)
            done, begins = terminated[step] | truncated[step], done
            running += reward
            returns.extend(running[term | trunc])
            running[term | trunc] = 0
        with torch.no_grad():
            values[NUM_STEPS] = agent(obs[NUM_STEPS])[1]

        transitions = Transitions(obs[:-1], obs[1:], actions, valid, start, terminated | truncated)
        rewards[..., 1] = bonus.update(transitions)
        target = bonus.prepare(transitions)
        advantages = gae(rewards, values, terminated, truncated, valid, DISCOUNT, LAMBDA, EPISODIC)
        value_targets = (advantages + values[:-1]).flatten(0, 1)
        advantage = (advantages * torch.tensor(coefficients)).sum(-1).flatten()

        flat, old = transitions.flatten(), log_probs.flatten()
        for _ in range(EPOCHS):
            for chosen in torch.randperm(NUM_STEPS * NUM_ENVS).chunk(MINIBATCHES):
                rows = chosen[flat.valid[chosen]]
                policy, value = agent(flat.obs[rows])
                ratio = (policy.log_prob(flat.action[rows]) - old[rows]).exp()
                a = normalise_advantage(advantage[rows], flat.valid[rows])
                policy_loss = -torch.minimum(a * ratio, a * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                value_loss = 0.5 * (value - value_targets[rows]).square().sum(-1).mean()
                loss = policy_loss - ENTROPY * policy.entropy().mean() + VALUE * value_loss
                loss = loss + bonus.loss(flat.rows(rows), generator, target[rows])
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimiser.step()
    env.close()
    return list(returns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=12, help="rows of DeepSea; random play takes 2^size episodes")
    parser.add_argument("--steps", type=int, default=80_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without the bonus")
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small networks are fastest on one
    returns = train(args.size, args.steps, args.seed, (1.0, 0.0 if args.plain else 1.0))
    print(f"mean return of the last {len(returns)} episodes: {np.mean(returns):.2f} (0.99 is optimal)")


if __name__ == "__main__":
    main()
