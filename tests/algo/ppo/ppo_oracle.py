"""One update of PPO, with or without RND, written out a second time: NumPy and float64, loops instead of scans.

It follows the official code (openai/random-network-distillation, `ppo_agent.py`) step by step and shares no line with
jostle. Discrete actions, vector observations and separate networks of tanh layers are all it knows. Gradients are those
of a forward pass of its own in float64.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Array = np.ndarray[Any, Any]


class RunningMeanStd:
    """The moments of OpenAI's `RunningMeanStd`."""

    def __init__(self, mean: Array | float = 0.0, var: Array | float = 1.0, count: float = 1e-4) -> None:
        self.mean, self.var, self.count = np.asarray(mean, float), np.asarray(var, float), count

    def update(self, x: Array) -> None:
        count, delta = len(x), x.mean(0) - self.mean
        total = self.count + count
        m2 = self.var * self.count + x.var(0) * count + delta**2 * self.count * count / total
        self.mean, self.var, self.count = self.mean + delta * count / total, m2 / total, total


@dataclass
class Record:
    """What happened in one rollout, as the environment told it, and the random choices of learning."""

    obs: list[Array]
    ended_before: Array
    """[N]: the last row of the rollout before ended its episode."""
    action: list[Array] = field(default_factory=list)
    reward: list[Array] = field(default_factory=list)
    terminated: list[Array] = field(default_factory=list)
    truncated: list[Array] = field(default_factory=list)
    minibatches: list[Array] = field(default_factory=list)
    """Flat rows of each gradient step."""
    chosen: list[Array] = field(default_factory=list)
    """Of these, the positions that the predictor learns from."""

    @property
    def valid(self) -> Array:
        """[T, N]: False for the row after an ending one."""
        before = self.ended_before
        rows = []
        for terminated, truncated in zip(self.terminated, self.truncated, strict=True):
            rows.append(~before)
            before = (terminated | truncated) & ~before
        return np.stack(rows)


def advantages(
    reward: Array, value: Array, record: Record, gamma: float, lam: float, episodic: bool, terminal_limit: bool
) -> Array:
    """GAE of one stream [T, N] by the recursion of the textbook over each environment's own list of transitions."""
    steps, n = reward.shape
    out, valid = np.zeros((steps, n)), record.valid
    for env in range(n):
        following, later = 0.0, value[steps, env]
        for t in reversed(range(steps)):
            if not valid[t, env]:
                if episodic:
                    following = 0.0
                continue
            terminated, truncated = bool(record.terminated[t][env]), bool(record.truncated[t][env])
            if episodic:
                dead = terminated or (truncated and terminal_limit)
                bootstrap = 0.0 if dead else value[t + 1, env]
                trace = 0.0 if terminated or truncated else following
            else:
                bootstrap, trace = later, following
            following = reward[t, env] + gamma * bootstrap - value[t, env] + gamma * lam * trace
            out[t, env] = following
            later = value[t, env]
    return out


class Filter:
    """Discounted sums of rewards, forward in time, for each environment, and their running moments."""

    def __init__(self, n: int, gamma: float, forgets: bool) -> None:
        self.sums, self.gamma, self.forgets, self.rms = np.zeros(n), gamma, forgets, RunningMeanStd()

    def update(self, reward: Array, record: Record) -> float:
        seen, valid = [], record.valid
        for t in range(len(reward)):
            for env in range(len(self.sums)):
                if valid[t, env]:
                    self.sums[env] = self.gamma * self.sums[env] + reward[t, env]
                    seen.append(self.sums[env])
                elif self.forgets:
                    self.sums[env] = 0.0
        self.rms.update(np.array(seen))
        return float(np.sqrt(self.rms.var))


class Oracle:
    """Goes through the same updates as an agent, from a copy of its weights and statistics.

    Args:
        agent: before its first rollout, warmed up.
    """

    def __init__(self, agent: Any) -> None:
        self.c = agent.config
        self.params = {
            name: p.detach().double().clone().requires_grad_() for name, p in agent.network.named_parameters()
        }
        self.n, self.beta, self.step = agent.num_envs, self.c.kl_beta, 0
        self.rnd = bool(self.c.bonus)
        if self.rnd:
            (bonus,) = agent.bonuses
            moments = bonus.preprocess.parts[0].moments
            self.obs_rms = RunningMeanStd(moments.mean.numpy().copy(), moments.var.numpy().copy(), float(moments.count))
            self.filter = Filter(self.n, self.c.gamma_int, forgets=False)
            self.target = [p.detach().double() for p in bonus.target.parameters()]
            for i, p in enumerate(bonus.predictor.parameters()):
                self.params[f"predictor.{i}"] = p.detach().double().clone().requires_grad_()
        self.targets: list[Array] = []
        self.ext_filter = Filter(self.n, self.c.gamma, forgets=True)
        self.moment1 = {name: torch.zeros_like(p) for name, p in self.params.items()}
        self.moment2 = {name: torch.zeros_like(p) for name, p in self.params.items()}

    # ---- networks ----

    def policy_and_value(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """log π [B, A] and values [B, K]."""
        out = []
        for trunk, head in (("actor", "policy"), ("critic", "value")):
            x = obs
            for i in (0, 2):
                x = torch.tanh(x @ self.params[f"{trunk}.{i}.weight"].T + self.params[f"{trunk}.{i}.bias"])
            out.append(x @ self.params[f"{head}.weight"].T + self.params[f"{head}.bias"])
        return torch.log_softmax(out[0], 1), out[1]

    def prediction_error(self, obs: Array) -> Tensor:
        """mean_j (f̂ − f)² of raw observations [B, D]."""
        x = np.clip((obs - self.obs_rms.mean) / np.sqrt(self.obs_rms.var), -5, 5)
        count = sum(name.startswith("predictor") for name in self.params)
        predictor = [self.params[f"predictor.{i}"] for i in range(count)]
        features = []
        for weights in (self.target, predictor):
            y = torch.from_numpy(x)
            layers = list(zip(weights[::2], weights[1::2], strict=True))
            for i, (weight, bias) in enumerate(layers):
                y = y @ weight.T + bias
                if i < len(layers) - 1:
                    y = torch.where(y > 0, y, 0.2 * y) if i < 2 else y.clamp(min=0)
            features.append(y)
        return (features[1] - features[0]).square().mean(1)

    # ---- one update ----

    def update(self, record: Record) -> dict[str, Any]:
        """All intermediate results by name, gradient steps as lists."""
        c, out = self.c, {}
        obs = np.stack(record.obs).astype(float)  # [T + 1, N, D]
        steps, n = len(record.action), self.n
        valid = record.valid
        with torch.no_grad():
            log_p, value = self.policy_and_value(torch.from_numpy(obs.reshape((steps + 1) * n, -1)))
        value = value.numpy().reshape(steps + 1, n, -1)
        reward = np.stack(record.reward).astype(float)
        if c.reward_norm == "return_std":
            reward = reward / self.ext_filter.update(reward, record)
        if c.reward_clip:
            reward = np.clip(reward, -c.reward_clip, c.reward_clip)
        following = obs[1:].copy()
        streams = [(reward, c.gamma, True, c.coef_ext)]
        if self.rnd:
            if c.bonus_ending == "reset":
                for t, env in np.argwhere(~valid[1:]):  # row t ended: what the reset returned stands in row t + 2
                    following[t, env] = obs[t + 2, env]
            with torch.no_grad():
                raw = self.prediction_error(following.reshape(steps * n, -1)).numpy().reshape(steps, n)
            raw = np.where(valid, raw, 0.0)
            self.obs_rms.update(obs[:-1][valid])
            scale = self.filter.update(raw, record)
            intrinsic = raw / scale
            out |= {"raw": raw, "scale": scale, "intrinsic": intrinsic}
            out |= {"obs_mean": self.obs_rms.mean, "obs_var": self.obs_rms.var, "filtered": self.filter.sums.copy()}
            streams.append((intrinsic, c.gamma_int, c.episodic_int, c.coef_int))
        if c.value_heads == "single":
            total = sum(r * weight for r, _, _, weight in streams)
            streams = [(total, c.gamma, not self.rnd or c.episodic_int, 1.0)]
        each = [
            advantages(r, value[..., k], record, gamma, c.gae_lambda, episodic, c.time_limit == "terminal")
            for k, (r, gamma, episodic, _) in enumerate(streams)
        ]
        combined = sum(a * weight for a, (*_, weight) in zip(each, streams, strict=True))
        target = np.stack(each, -1) + value[:-1]
        out |= {"value": value, "advantage": combined, "target": target}
        coefficients = np.array([weight for *_, weight in streams])
        self.weights, self.units = np.full(len(streams), c.value_coef), np.ones(len(streams))
        if c.value_weights == "coefficient":
            self.weights = c.value_coef * coefficients / coefficients.max()
        self.targets.append(target[valid])
        if c.value_norm == "all":
            self.units = np.maximum(np.concatenate(self.targets).std(0), 1)
        elif c.value_norm == "intrinsic":
            self.units[1:] = np.maximum(np.concatenate(self.targets).std(0), 1)[1:]
        out["units"] = self.units
        flat = {
            "obs": torch.from_numpy(obs[:-1].reshape(steps * n, -1)),
            "following": following.reshape(steps * n, -1),
            "action": torch.from_numpy(np.stack(record.action).reshape(-1)),
            "valid": torch.from_numpy(valid.reshape(-1)),
            "old": log_p[: steps * n],
            "old_value": torch.from_numpy(value[:-1].reshape(steps * n, -1)),
            "advantage": torch.from_numpy(combined.reshape(-1)),
            "target": torch.from_numpy(target.reshape(steps * n, -1)),
        }
        losses: dict[str, list[float]] = {}
        gradients = []
        for i, rows in enumerate(record.minibatches):
            terms, loss = self.loss(flat, rows)
            if self.rnd:
                chosen = rows[record.chosen[i]]
                assert flat["valid"][chosen].all(), "invalid rows are not learned"
                error = self.prediction_error(flat["following"][chosen])
                terms["predictor"] = error.sum() / max(len(error), 1)
                loss = loss + terms["predictor"]
            for name, term in terms.items():
                losses.setdefault(name, []).append(float(term.detach()))
            gradients.append(self.descend(loss))
        if c.kl_penalty == "adaptive":
            with torch.no_grad():
                new, _ = self.policy_and_value(flat["obs"])
            kl = float((flat["old"].exp() * (flat["old"] - new)).sum(1)[flat["valid"]].mean())
            if kl > 1.3 * c.kl_target:
                self.beta *= 1.5
            elif kl < 0.7 * c.kl_target:
                self.beta /= 1.5
            out |= {"beta": self.beta, "kl": kl}
        return out | {"losses": losses, "gradients": gradients}

    def loss(self, flat: dict[str, Any], rows: Array) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of a minibatch's loss, from its valid rows alone."""
        c = self.c
        rows = rows[flat["valid"][rows].numpy()]
        pick = {key: x[rows] for key, x in flat.items()}
        log_p, value = self.policy_and_value(pick["obs"])
        at = pick["action"][:, None]
        ratio = (log_p.gather(1, at) - pick["old"].gather(1, at)).squeeze(1).exp()
        advantage = pick["advantage"]
        if c.normalise_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        surrogate = ratio * advantage
        if c.clip:
            surrogate = torch.minimum(surrogate, torch.clip(ratio, 1 - c.clip, 1 + c.clip) * advantage)
        units = torch.from_numpy(self.units)
        squared = ((value - pick["target"]) / units) ** 2
        if c.value_clip:
            moved = torch.clip((value - pick["old_value"]) / units, -c.value_clip, c.value_clip)
            squared = torch.maximum(squared, ((pick["old_value"] - pick["target"]) / units + moved) ** 2)
        terms = {
            "policy": -surrogate.mean(),
            "value": 0.5 * squared.sum(1).mean(),
            "entropy": -(log_p.exp() * log_p).sum(1).mean(),
            "approx_kl": (ratio - 1 - ratio.log()).mean(),
        }
        entropy_coef = 0.01 if c.entropy_coef is None else c.entropy_coef
        valued = 0.5 * (squared.mean(0) * torch.from_numpy(self.weights)).sum()
        loss = terms["policy"] + valued - entropy_coef * terms["entropy"]
        if c.kl_penalty == "adaptive":
            kl = F.kl_div(log_p, pick["old"], reduction="batchmean", log_target=True)
            excess = torch.relu(kl - 2 * c.kl_target)
            terms["kl_penalty"] = self.beta * kl + 1000 * excess**2
            loss = loss + terms["kl_penalty"]
        return terms, loss

    def descend(self, loss: Tensor) -> dict[str, Array]:
        """One step of Adam (Kingma & Ba 2015, algorithm 1) on the clipped gradient, which is returned."""
        c, names = self.c, list(self.params)
        gradients = torch.autograd.grad(loss, [self.params[name] for name in names], materialize_grads=True)
        mine = [name.startswith("predictor") and c.bonus_grad_norm == "own" for name in names]
        shrink = []
        for bonus in mine:
            together = [g for g, theirs in zip(gradients, mine, strict=True) if theirs == bonus]
            norm = sum(float((g**2).sum()) for g in together) ** 0.5
            shrink.append(min(1.0, c.max_grad_norm / (norm + 1e-6)) if c.max_grad_norm else 1.0)
        gradients = [g * factor for g, factor in zip(gradients, shrink, strict=True)]
        self.step += 1
        for name, g in zip(names, gradients, strict=True):
            self.moment1[name] = 0.9 * self.moment1[name] + 0.1 * g
            self.moment2[name] = 0.999 * self.moment2[name] + 0.001 * g**2
            m = self.moment1[name] / (1 - 0.9**self.step)
            v = self.moment2[name] / (1 - 0.999**self.step)
            new = self.params[name].detach() - c.learning_rate * m / (v.sqrt() + c.optimizer_eps)
            self.params[name] = new.requires_grad_()
        return {name: g.numpy() for name, g in zip(names, gradients, strict=True)}
