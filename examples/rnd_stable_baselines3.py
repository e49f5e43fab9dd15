"""Random Network Distillation in a Stable-Baselines3 PPO, as one callback.

    pip install stable-baselines3
    python examples/rnd_stable_baselines3.py            # finds DeepSea's treasure within a minute
    python examples/rnd_stable_baselines3.py --plain    # does not

Stable-Baselines3 has one value head, so the intrinsic reward is added to the extrinsic one and ends with the episode.
`jostle.PPO(…, bonus=("rnd",))` has a head for each, and an intrinsic return that goes on in the next episode.
"""

import argparse

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

import jostle.envs  # noqa: F401  # registers the diagnostics with Gymnasium
from jostle.bonus import RND, Bonus, Transitions


class BonusCallback(BaseCallback):
    """Adds a bonus to the rewards of each rollout before PPO learns from it, and trains the bonus's networks.

    Args:
        bonus: made for the model's observation space and number of environments.
        coefficient: weight of the bonus.
        learning_rate, epochs, batch_size: of the bonus's own networks.
    """

    def __init__(
        self,
        bonus: Bonus,
        coefficient: float = 1.0,
        learning_rate: float = 3e-4,
        epochs: int = 4,
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        self.bonus, self.coefficient, self.epochs, self.batch_size = bonus, coefficient, epochs, batch_size
        self.optimiser = torch.optim.Adam(list(bonus.trainable_parameters()), learning_rate)
        self.generator = torch.Generator().manual_seed(0)

    def _on_rollout_start(self) -> None:
        self.finals: list[tuple[int, int, np.ndarray]] = []
        self.dones: list[np.ndarray] = []

    def _on_step(self) -> bool:
        # After an ending the environment already shows the next episode; the final observation stands in the infos.
        for env, info in enumerate(self.locals["infos"]):
            if "terminal_observation" in info:
                self.finals.append((len(self.dones), env, info["terminal_observation"]))
        self.dones.append(self.locals["dones"])
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        following = np.concatenate([buffer.observations[1:], self.locals["new_obs"][None]])
        for step, env, final in self.finals:
            following[step, env] = final
        t = Transitions(
            obs=torch.as_tensor(buffer.observations),
            next_obs=torch.as_tensor(following),
            action=torch.as_tensor(buffer.actions),
            valid=torch.ones(buffer.rewards.shape, dtype=torch.bool),  # every row of this buffer is a transition
            start=torch.as_tensor(buffer.episode_starts).bool(),
            done=torch.as_tensor(np.stack(self.dones)),
        )
        buffer.rewards += self.coefficient * self.bonus.update(t).numpy()
        buffer.compute_returns_and_advantage(self.locals["values"], self.locals["dones"])
        self._train(t.flatten(), self.bonus.prepare(t))
        for name, value in self.bonus.drain_metrics().items():
            self.logger.record(name, value)

    def _train(self, t: Transitions, target: torch.Tensor | None) -> None:
        for _ in range(self.epochs):
            order = torch.randperm(len(t.valid), generator=self.generator)
            for rows in torch.split(order, self.batch_size):
                loss = self.bonus.loss(t.rows(rows), self.generator, None if target is None else target[rows])
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=12, help="rows of DeepSea; random play takes 2^size episodes")
    parser.add_argument("--steps", type=int, default=80_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without the bonus")
    args = parser.parse_args()
    torch.set_num_threads(1)  # such small networks are fastest on one
    env = make_vec_env("jostle/DeepSea-v0", n_envs=16, seed=args.seed, env_kwargs={"size": args.size})
    torch.manual_seed(args.seed)
    bonus = RND(env.observation_space, env.num_envs, features=64)
    settings = {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 1e-3, "ent_coef": 0.01}
    model = PPO("MlpPolicy", env, seed=args.seed, device="cpu", **settings)
    model.learn(args.steps, callback=None if args.plain else BonusCallback(bonus))
    returns = [episode["r"] for episode in model.ep_info_buffer]
    print(f"mean return of the last {len(returns)} episodes: {np.mean(returns):.2f} (0.99 is optimal)")


if __name__ == "__main__":
    main()
