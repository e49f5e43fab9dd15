"""DQN's losses and NoisyNet's layer against Stable-Baselines3 and TorchRL: same weights, same batch, same noise.

    pip install stable-baselines3 torchrl
    python benchmarks/peer_losses.py

Prints a table and writes benchmarks/results/peer_losses.json. A difference above 1e-5 (relative) is an error.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3 import DQN as PeerDQN
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from tensordict import TensorDict
from torch import Tensor, nn
from torchrl.data import OneHot
from torchrl.modules import NoisyLinear as PeerNoisyLinear
from torchrl.modules import QValueActor
from torchrl.objectives import DQNLoss

import jostle
from jostle.algo.dqn.replay import Batch

B, GAMMA, WIDTH = 64, 0.97, 32


def a_batch(generator: torch.Generator) -> Batch:
    """One-step transitions of CartPole's shape, a third of them terminal."""
    ended = torch.rand(B, 1, generator=generator) < 1 / 3
    return Batch(
        row=torch.arange(B),
        obs=torch.randn(B, 4, generator=generator),
        action=torch.randint(2, (B,), generator=generator),
        reward=torch.randn(B, 1, 1, generator=generator) * 2,
        terminated=ended,
        truncated=torch.zeros(B, 1, dtype=torch.bool),
        next_obs=torch.randn(B, 4, generator=generator),
    )


def ours(**settings: Any) -> jostle.DQN:
    """An agent whose target network differs from its online network."""
    agent = jostle.DQN("CartPole-v1", num_envs=1, hidden=(WIDTH, WIDTH), gamma=GAMMA, replay_size=1_000, **settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in agent.target.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.5)
    return agent


def copy_linears(source: nn.Module, target: nn.Module) -> None:
    """Weights and biases of the fully connected layers, in order."""
    kinds = (nn.Linear, jostle.NoisyLinear, PeerNoisyLinear)
    pairs = zip(*([m for m in net.modules() if isinstance(m, kinds)] for net in (source, target)), strict=True)
    with torch.no_grad():
        for a, b in pairs:
            (b.weight_mu if isinstance(b, PeerNoisyLinear) else b.weight).copy_(a.weight)
            (b.bias_mu if isinstance(b, PeerNoisyLinear) else b.bias).copy_(a.bias)
            if isinstance(b, PeerNoisyLinear):
                b.weight_sigma.copy_(a.weight_sigma)
                b.bias_sigma.copy_(a.bias_sigma)


def stable_baselines3(batch: Batch) -> tuple[float, float]:
    """SB3's own `train` on the same batch: Huber loss, maximum over the target's values."""
    agent = ours(double=False, loss="huber")
    peer = PeerDQN(
        "MlpPolicy", gym.make("CartPole-v1"), gamma=GAMMA, policy_kwargs={"net_arch": [WIDTH, WIDTH]}, device="cpu"
    )
    copy_linears(agent.network, peer.q_net)
    copy_linears(agent.target, peer.q_net_target)
    data = ReplayBufferSamples(
        batch.obs, batch.action[:, None], batch.next_obs, batch.terminated.float(), batch.reward[:, 0]
    )
    peer.replay_buffer.sample = lambda *_, **__: data
    peer._setup_learn(1)
    peer.train(1, B)
    return agent.loss(batch).item(), float(peer.logger.name_to_value["train/loss"])


def torchrl(batch: Batch, *, double: bool, loss: str) -> tuple[float, float]:
    """TorchRL's DQNLoss; its "smooth_l1" is the Huber loss and "l2" the squared error."""
    agent = ours(double=double, loss=loss)

    def network(source: nn.Module) -> nn.Sequential:
        net = nn.Sequential(nn.Linear(4, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
        copy_linears(source, net)
        return net

    actor = QValueActor(network(agent.network), spec=OneHot(2), action_space="one-hot")
    objective = DQNLoss(
        actor, loss_function={"huber": "smooth_l1", "squared": "l2"}[loss], delay_value=True, double_dqn=double
    )
    objective.make_value_estimator(gamma=GAMMA)
    target = network(agent.target)
    objective.target_value_network_params.update_(
        TensorDict.from_module(QValueActor(target, spec=OneHot(2), action_space="one-hot"))
    )
    data = TensorDict(
        {
            "observation": batch.obs,
            "action": F.one_hot(batch.action, 2),
            "next": {
                "observation": batch.next_obs,
                "reward": batch.reward[:, 0],
                "done": batch.terminated,
                "terminated": batch.terminated,
            },
        },
        [B],
    )
    return agent.loss(batch).item(), objective(data)["loss"].item()


def noisy_layer(generator: torch.Generator) -> dict[str, tuple[float, float]]:
    """Output and gradients of one factorised NoisyLinear, TorchRL's under jostle's draw."""
    layer = jostle.NoisyLinear(20, 30)
    noise = jostle.Noise(layer, seed=3, role="online")
    peer = PeerNoisyLinear(20, 30, std_init=0.5)
    copy_linears(layer, peer)
    eps_in, eps_out = layer.noise[0].split((20, 30))
    peer.weight_epsilon.copy_(torch.outer(eps_out, eps_in))
    peer.bias_epsilon.copy_(eps_out)
    x, weigh = torch.randn(B, 20, generator=generator), torch.randn(B, 30, generator=generator)
    with noise.using(0):
        mine = layer(x)
    peer.train()
    from torchrl.envs.utils import ExplorationType, set_exploration_type

    with set_exploration_type(ExplorationType.RANDOM):
        theirs = peer(x)
    (mine * weigh).sum().backward()
    (theirs * weigh).sum().backward()

    def norm(a: Tensor, b: Tensor) -> tuple[float, float]:
        """Where the two agree elementwise their norms and the norm of the difference say so."""
        assert (a - b).norm() <= 1e-5 * b.norm(), "the layers differ elementwise"
        return a.norm().item(), b.norm().item()

    return {
        "output": norm(mine, theirs),
        "∇μʷ": norm(layer.weight.grad, peer.weight_mu.grad),
        "∇σʷ": norm(layer.weight_sigma.grad, peer.weight_sigma.grad),
        "∇μᵇ": norm(layer.bias.grad, peer.bias_mu.grad),
        "∇σᵇ": norm(layer.bias_sigma.grad, peer.bias_sigma.grad),
    }


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = a_batch(generator)
    rows = {"SB3 DQN.train, huber, max": stable_baselines3(batch)}
    for double in (False, True):
        for loss in ("huber", "squared"):
            name = f"TorchRL DQNLoss, {loss}, {'double' if double else 'max'}"
            rows[name] = torchrl(batch, double=double, loss=loss)
    rows |= {f"TorchRL NoisyLinear, ‖{name}‖": pair for name, pair in noisy_layer(generator).items()}
    print(f"| quantity | jostle | peer | relative difference |\n|{'---|' * 4}")
    table = []
    for name, (mine, theirs) in rows.items():
        difference = abs(mine - theirs) / abs(theirs)
        table.append({"quantity": name, "jostle": mine, "peer": theirs, "relative_difference": difference})
        print(f"| {name} | {mine:.7f} | {theirs:.7f} | {difference:.1e} |")
    packages = ("jostle", "torch", "stable-baselines3", "torchrl", "tensordict", "numpy")
    result = {
        "command": "python benchmarks/peer_losses.py",
        "versions": {name: version(name) for name in packages} | {"python": platform.python_version()},
        "rows": table,
    }
    out = Path(__file__).parent / "results" / "peer_losses.json"
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if max(row["relative_difference"] for row in table) > 1e-5:
        sys.exit("a peer differs by more than 1e-5")


if __name__ == "__main__":
    np.random.seed(0)  # noqa: NPY002  (SB3's)
    main()
