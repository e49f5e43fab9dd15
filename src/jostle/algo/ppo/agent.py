"""PPO with reward streams: clipped or with a penalty, feedforward or recurrent, with noise in the weights and bonuses.

The loop is `PPO.advance`: collect, score, learn. `jostle.algo.training` runs it, logs it and saves it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from jostle.algo.agent import Agent
from jostle.algo.machine import seeded, setup_device
from jostle.algo.parts.auxiliary import INPUT, WEIGHTS, Auxiliary, on_device
from jostle.algo.parts.bonus_settings import INTRINSIC
from jostle.algo.parts.bonuses import frozen_parameters, make_bonuses, warm_up_all
from jostle.algo.parts.input.draws import RolloutDraws
from jostle.algo.parts.input.layers import make_draws, make_terms
from jostle.algo.parts.stream_settings import SUM
from jostle.algo.parts.streams import Stream, Streams, make_streams
from jostle.algo.parts.value_scale import make_value_scale
from jostle.algo.ppo.bonuses import successors, transitions
from jostle.algo.ppo.config import PPOConfig
from jostle.algo.ppo.forward import Forward
from jostle.algo.ppo.learner import Learner, Scored
from jostle.algo.ppo.network import make_network
from jostle.algo.ppo.recovery import make_recovery
from jostle.algo.ppo.rollout import Rollout
from jostle.algo.refit import fit_noise, fit_rows
from jostle.algo.settings import merged
from jostle.algo.start import starting
from jostle.algo.told import in_bytes, scalings
from jostle.bonus import Bonus
from jostle.bonus.part import holds_numbers
from jostle.envs.sources import EnvSource
from jostle.errors import ConfigError, JostleError
from jostle.functional import ReturnFilter, explained_variance, gae, masked_mean
from jostle.nn.actor_critic import ActorCritic
from jostle.nn.inference import Inference, PolicyActor
from jostle.nn.noise import CLEAN, Noise, family
from jostle.nn.noisy import noisy_layers
from jostle.nn.own import is_own
from jostle.nn.policy import map_observation

_PIECE = 4096  # rows that values are computed of at once


class PPO(Agent):
    """Proximal policy optimisation (Schulman et al. 2017) with any number of reward streams.

    >>> import jostle
    >>> agent = jostle.PPO("jostle/DeepSea-v0", num_envs=4, num_steps=16, bonus=("rnd",))
    >>> agent.learn(200).steps >= 200
    True

    Args:
        env: an environment id, a function that makes one, or the vector environment itself; None: the preset's.
        config: settings, or a mapping of some; keyword arguments override it one by one.
        preset: the name of a preset, which gives whatever is not given here, settings and environment alike.
        seed: seeds environments, weights, noise, actions and minibatches.
        num_envs: environments stepped together; None: the preset's, as many as a ready environment has, or else 8.
        env_options: passed on to `make_env`, over those of the preset.
        domain, domain_schedule, domain_privileged, domain_history: what varies in the environments, how, and what is
            told of it; the same as in env_options (see `make_env`).
        bonuses: intrinsic rewards of your own, beside those of the settings; each makes a stream.
        aux: auxiliary losses of your own.

    Raises:
        ConfigError: a setting that cannot be used, or spaces that no policy is made for.
        EnvError: the environment cannot be made.
    """

    algorithm = "ppo"
    settings = PPOConfig
    gives_feedback = True
    config: PPOConfig
    network: ActorCritic

    def __init__(
        self,
        env: EnvSource | None = None,
        config: PPOConfig | Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        seed: int = 0,
        num_envs: int | None = None,
        env_options: dict[str, Any] | None = None,
        bonuses: Sequence[Bonus] = (),
        aux: Sequence[Auxiliary] = (),
        domain: Any = None,
        domain_schedule: Any = None,
        domain_privileged: bool | None = None,
        domain_history: int | None = None,
        **settings: Any,
    ) -> None:
        of_domain = {
            "domain": domain, "domain_schedule": domain_schedule, "domain_privileged": domain_privileged,
            "domain_history": domain_history,
        }  # fmt: skip
        start = starting(
            PPOConfig, env, config, settings | of_domain, algorithm=self.algorithm, preset=preset, num_envs=num_envs,
            env_options=env_options, own=INTRINSIC if bonuses else (),
        )  # fmt: skip
        self.config = merged(start.config, {"minibatch_by": start.config.batched_by})
        self.device = setup_device(self.config.device)
        self.aux = on_device(aux, self.device)
        super().__init__(start.env, seed=seed, num_envs=start.num_envs, env_options=start.env_options)
        try:
            self._build(bonuses)
        except BaseException:
            if self._owns_env:
                self.env.close()
            raise

    def _build(self, bonuses: Sequence[Bonus]) -> None:
        normalises = self.config.normalise_obs
        if normalises is None:
            explores = bool(self.config.bonus or bonuses) and not is_own(self.config.encoder)
            normalises = explores and holds_numbers(self.env.single_observation_space)
        self.config = merged(self.config, {"normalise_obs": normalises})
        c, seed = self.config, self.seed
        length = 1 if c.batched_by == "rows" else c.sequence_length or c.num_steps
        sequences = self.num_envs * c.num_steps // length
        if c.batched_by != "rows" and sequences < c.minibatches:
            raise ConfigError(
                f"minibatch_by='{c.batched_by}' makes {c.minibatches} minibatches of whole sequences, and there are "
                f"{sequences}; lower minibatches or sequence_length, or raise num_envs."
            )
        if c.normalise_advantage and sequences // c.minibatches * length < 2:
            raise ConfigError(
                f"{self.num_envs * c.num_steps} transitions in {c.minibatches} minibatches leave single ones, whose "
                "advantage has nothing to be compared with; lower minibatches, raise num_steps or num_envs, or set "
                "normalise_advantage=False."
            )
        with seeded(seed):
            made = make_bonuses(c, self.env, bonuses, bfloat16=c.bfloat16)
            self.bonuses = [bonus.to(self.device) for bonus in made]
            self.streams = self._make_streams()
            self.network = make_network(c, self.env, len(self.streams), pictures=self.sees_pictures).to(self.device)
        self.head = self.network.head
        generators = np.random.default_rng([seed, 1]).integers(2**62, size=2)
        self._generator = torch.Generator(self.device).manual_seed(int(generators[0]))
        self._shuffler = torch.Generator().manual_seed(int(generators[1]))
        self._make_noise(seed)
        self.rollout = self._make_rollout()
        self._set_draws()
        self.value_scale = make_value_scale(c.value_norm, self.streams.names)
        if self.value_scale is not None:
            self.value_scale.to(self.device)
        terms = make_terms(c, self.network, self.forward.features, self.looks, self.head)
        observed = self.env.single_observation_space
        self.recovery = make_recovery(c.draw_recovery, self.network.encoder, observed, self.env.id)
        if self.recovery is not None:
            terms.append(self.recovery.to(self.device))
        self.learner = Learner(
            c, self.forward, self.rollout, self.streams, self.value_scale, self.bonuses, [*terms, *self.aux],
            pictures=self.sees_large_pictures, shuffler=self._shuffler, generator=self._generator,
        )  # fmt: skip
        self._state = self._zero_state()
        self._reward_filter = ReturnFilter(self.num_envs, self._rewards[0].discount).to(self.device)
        self._recompute = c.recompute
        if self._recompute is None:
            self._recompute = c.recurrent == "none" and (c.bfloat16 or not self.sees_pictures)
        self._warm = False

    def _make_streams(self) -> Streams:
        c = self.config
        self._rewards = make_streams(c, [bonus.name for bonus in self.bonuses])
        if c.value_heads == "single":
            self._weights = torch.tensor([s.coefficient for s in self._rewards], device=self.device)
            episodic = not self.bonuses or c.episodic_int
            return Streams([Stream(SUM, c.gamma, c.gae_lambda, episodic, value_coef=c.value_coef)], self.device)
        return Streams(self._rewards, self.device)

    def _make_noise(self, seed: int) -> None:
        c, slots = self.config, self.num_envs if self.config.noise_per_env else 1
        self.noise = Noise(self.network, seed=seed, role="online", slots=slots, layers=family("weights"))
        rows = -(-c.num_steps * self.num_envs // c.minibatches) + c.num_steps  # of a minibatch, at most
        self.looks = make_draws(c, self.network, c.num_steps, self.num_envs, rows, seed)
        looks = None if self.looks is None else self.looks.noise
        self.forward = Forward(self.network, self.noise, looks, c, self.device)

    def _set_draws(self) -> None:
        """What stays the same in every rollout: the weights' draws, and clean input."""
        weights = torch.arange(self.num_envs) if self.config.noise_per_env else torch.zeros(self.num_envs)
        self.rollout.draw[..., WEIGHTS] = weights.int().to(self.device)
        self.rollout.draw[..., INPUT] = CLEAN

    def _zero_state(self) -> Tensor | None:
        state = self.network.initial_state(self.num_envs)
        return None if state is None else state.to(self.device)

    def _make_rollout(self) -> Rollout:
        c, env = self.config, self.env
        return Rollout(
            c.num_steps,
            self.num_envs,
            env.single_observation_space,
            action_shape=self.head.action_shape,
            action_dtype=self.head.dtype,
            num_params=self.head.num_params,
            num_streams=len(self.streams),
            state_shape=self.network.state_shape,
            sequence_length=c.sequence_length,
            frame_stack=env.frame_stack,
            stack_padding=env.stack_padding,
            device=self.device,
        )

    def _warm_up(self) -> None:
        """Once, before the first rollout."""
        if self.bonuses and self.config.bonus_warmup:
            seed = int(np.random.default_rng([self.seed, 4]).integers(2**20))
            warm_up_all(self.bonuses, self.env, self.config.bonus_warmup, seed)
        self._warm = True

    # ---- the loop ----

    def advance(self) -> None:
        """One rollout, its rewards and advantages, and what is learned from them."""
        if not self._warm:
            self._warm_up()
        if self._was_moved:
            self._reset()
        self.learner.schedule(self.left)
        self._apply_rate()
        self._collect()
        self.updates += self.learner.learn(self._score())
        if not torch.stack([p.detach().sum() for p in self.learner.parameters]).isfinite().all():
            raise JostleError(
                f"training diverged: the weights of policy or bonuses are not finite at step {self.steps}; lower "
                "learning_rate, bonus_learning_rate or max_grad_norm. Checkpoints saved before are untouched."
            )
        for bonus in self.bonuses:  # they do not save what they have noted; the learner does
            for name, value in bonus.drain_metrics().items():
                self.learner.sums[f"bonus/{name}"].append(torch.tensor(value, device=self.device))
        if self.config.normalise_obs:
            valid = self.rollout.valid.flatten()
            for rows in torch.split(torch.arange(len(valid), device=self.device), _PIECE):
                self.network.update_normaliser(self.rollout.observations(rows), valid[rows])

    @torch.no_grad()
    def _collect(self) -> None:
        """T steps of every environment, under noise that is held for the whole rollout."""
        c, r = self.config, self.rollout
        acting = self.looks if isinstance(self.looks, RolloutDraws) else None
        self.noise.draw()
        r.begin(self._obs, self._start, self._mask)
        if acting:
            acting.begin()
            r.draw[0, :, INPUT] = torch.from_numpy(acting.slots())
        for t in range(c.num_steps):
            start = None
            if r.state is not None:
                start = torch.tensor(self._start, device=self.device)[None]
                if t % r.sequence_length == 0:
                    assert self._state is not None
                    r.state[t // r.sequence_length] = self._state
            obs = map_observation(self._obs, self.device)
            mask = None if r.mask is None else r.mask[t]
            if self._recompute:
                pi, self._state = self.forward.policy(obs, self._state, start, r.draw[t], mask)
            else:
                pi, r.value[t], self._state, *_ = self.forward.values(obs, self._state, start, r.draw[t], mask)
            distribution = self.head.distribution(pi)
            r.action[t] = action = distribution.sample(self._generator)
            if not self._recompute:
                r.pi[t], r.log_prob[t] = pi, distribution.log_prob(action)
            self._obs, reward, terminated, truncated, info = self._step(self.head.to_env(action.cpu().numpy()))
            self._start = info["start"]
            r.add(t, reward, terminated, truncated, info["valid"])
            r.put(t + 1, self._obs, self._start, self._mask)
            if acting:
                r.draw[t + 1, :, INPUT] = torch.from_numpy(acting.step(self._start))
            self._record_episodes(info)
        r.finish()
        if self._recompute:
            self._evaluate_rollout()
        else:
            start = None if r.state is None else r.start[-1:]
            obs = map_observation(self._obs, self.device)
            r.value[-1] = self.forward.values(obs, self._state, start, r.draw[-1]).value
        self.steps += int(r.valid.sum())

    def _evaluate_rollout(self) -> None:
        """Values and probabilities of the whole rollout by the learner's kernels, a piece at a time."""
        r, total = self.rollout, self.config.num_steps * self.num_envs
        draws = r.draw.flatten(0, 1)
        pi, value, piece = [], [], self.learner.pictures or _PIECE
        (order,) = self.learner.by_draw(torch.arange(total + self.num_envs, device=self.device)[None])
        for rows in torch.split(order, piece):
            out = self.forward.values(r.observations(rows), None, None, draws[rows], r.masks(rows))
            pi.append(out.pi)
            value.append(out.value)
        back = order.argsort()
        r.pi.copy_(torch.cat(pi)[back[:total]].view_as(r.pi))
        r.value.copy_(torch.cat(value)[back].view_as(r.value))
        log_prob = self.head.distribution(r.pi.flatten(0, 1)).log_prob(r.action.flatten(0, 1))
        r.log_prob.copy_(log_prob.view_as(r.log_prob))

    @torch.no_grad()
    def _score(self) -> Scored:
        """Rewards of all streams, their advantages combined by the coefficients, and the values' targets."""
        c, r, s = self.config, self.rollout, self.streams
        rewards, prepared = [self._extrinsic()], []
        following = successors(r, c.bonus_ending)
        for bonus in self.bonuses:
            seen = transitions(r, bonus, following)
            rewards.append(bonus.update(seen).float())
            prepared.append(bonus.prepare(seen))
        reward = torch.stack(rewards, -1)  # [T, N, streams]
        if c.value_heads == "single":
            reward = (reward * self._weights).sum(-1, keepdim=True)
        terminated = r.terminated | r.truncated if c.time_limit == "terminal" else r.terminated
        advantages = gae(reward, r.value, terminated, r.truncated, r.valid, s.discount, s.gae_lambda, s.episodic)
        if self._domain is not None:
            self._domain.feedback(advantages[..., 0].abs().cpu().numpy(), r.valid.cpu().numpy())
        if self.recovery is not None:
            names = [] if self._domain is None else self._domain.told
            for i, found in enumerate(self.recovery.r2(self.network.encoder, r)):
                self.learner.sums[f"domain/{names[i] if names else i}/r2"].append(found)
        target = advantages + r.value[:-1]
        if self.value_scale is not None:
            self.value_scale.update(target, r.valid)
        for k, name in enumerate(s.names):
            value, goal, valid = (x.flatten() for x in (r.value[:-1, :, k], target[..., k], r.valid))
            self.learner.sums[f"values/explained_variance_{name}"].append(explained_variance(value, goal, valid))
            self.learner.sums[f"values/mean_{name}"].append(masked_mean(value, valid))
            self.learner.sums[f"values/return_{name}"].append(masked_mean(goal, valid))
        return Scored((advantages * s.coefficient).sum(-1), target, following, prepared, reward)

    def _extrinsic(self) -> Float[Tensor, "T N"]:
        """The environment's reward, normalised and clipped."""
        c, r = self.config, self.rollout
        reward = r.reward
        if self._rewards[0].reward_norm == "return_std":
            self._reward_filter.update(reward, r.valid, r.start[:-1])
            reward = (reward / self._reward_filter.scale.clamp(min=1e-8)).float()
        return reward.clamp(-c.reward_clip, c.reward_clip) if c.reward_clip > 0 else reward

    def _apply_rate(self) -> None:
        if self._rate is not None:
            for group in self.learner.optimizers[0].param_groups:
                group["lr"] = self._rate

    # ---- acting for others ----

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> PolicyActor:
        """A frozen copy of the agent for evaluation, under its own draws of noise.

        Args:
            noise: ``mean``, ``sampled`` or ``mc:M``.
            rows: environments that it will act in together.
            seed: seed of its draws and actions.
            sample: sample actions from the policy; otherwise the likeliest is taken.
        """
        inference = noise if isinstance(noise, Inference) else Inference.parse(noise)
        return PolicyActor(self.network, inference, rows=rows, seed=seed, sample=sample)

    # ---- what is logged ----

    def drain_metrics(self) -> dict[str, float]:
        """Metrics since the last call: means of what was learned and of the episodes that ended."""
        metrics, learner = self._drain_episodes(), self.learner
        metrics["charts/updates"] = self.updates
        metrics["charts/learning_rate"] = learner.optimizers[0].param_groups[0]["lr"]
        metrics["charts/entropy_coef"] = learner.entropy_coef
        if self.config.kl_penalty == "adaptive":
            metrics["charts/kl_beta"] = learner.beta
        for name, values in learner.sums.items():
            stacked = torch.stack(values).double()
            if name.startswith("values/explained_variance") or name.endswith("/r2"):  # undefined of what does not vary
                stacked = stacked[~stacked.isnan()]
            if len(stacked):
                metrics[name] = stacked.mean().item()
        learner.sums.clear()
        for name, layer in noisy_layers(self.network).items():
            metrics[f"noise/sigma/{name}"] = layer.weight_sigma.detach().abs().mean().item()
        return metrics

    def frozen(self) -> dict[str, Tensor]:
        """The random networks of the bonuses."""
        return frozen_parameters(self.bonuses)

    def storage(self) -> dict[str, str]:
        """The draws of noise, the rollout, and the streams of rewards."""
        c = self.config
        draws = {}
        if self.looks is not None:
            size = in_bytes(self.looks.noise.nbytes)
            draws["input"] = f"{self.looks.noise.total:,} draws (one per {c.input_per}), {size}"
        if self.noise.layers:
            each = "env" if c.noise_per_env else "rollout"
            draws["noise"] = f"{self.noise.total:,} draws (one per {each}), {in_bytes(self.noise.nbytes)}"
        return (
            scalings(self.network)
            | draws
            | {
                "rollout": f"{c.num_steps} steps of {self.num_envs} environments, {in_bytes(self.rollout.nbytes)}; "
                f"{c.epochs} epochs of {c.minibatches} minibatches",
                "rewards": self.streams.describe(),
            }
        )

    # ---- saving ----

    def state_dict(self, *, replay: bool = True) -> dict[str, Any]:
        """Everything that the next rollout and update read, as nested plain dicts. There is no replay to leave out."""
        return self._common_state() | {
            "model": self.network.state_dict(),
            "streams": self.streams.names,
            "learner": self.learner.state_dict(),
            "noise": self.noise.state_dict(),
            "looks": None if self.looks is None else self.looks.state_dict(),
            "recurrent": self._state,
            "reward_filter": self._reward_filter.state_dict(),
            "value_scale": None if self.value_scale is None else self.value_scale.state_dict(),
            "rng": {"act": self._generator.get_state(), "shuffle": self._shuffler.get_state()},
            "warm": self._warm,
        }

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore a state; returns why going on from it differs from never having stopped (empty: it does not).

        Raises:
            ConfigError: the state belongs to an agent of another shape.
        """
        self.streams.require(state["streams"])
        before, now = len(state["carry"]["start"]), self.num_envs
        try:
            self.network.load_state_dict(state["model"])
            self.learner.load_state_dict(self._fitted(state["learner"], before))
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"the saved weights do not fit this agent; use the run's own settings ({error})."
            ) from error
        self._reward_filter.load_state_dict(
            fit_rows(self._reward_filter.state_dict(), state["reward_filter"], before, now)
        )
        if self.value_scale is not None and state.get("value_scale") is not None:
            self.value_scale.load_state_dict(state["value_scale"])
        reasons = self._load_generators(state)
        recurrent = self._zero_state() if before != now else state["recurrent"]
        self._state = None if recurrent is None else recurrent.to(self.device)
        self._warm = state["warm"]
        return reasons + self._load_common(state)

    def _fitted(self, learner: dict[str, Any], before: int) -> dict[str, Any]:
        """The learner's state with the bonuses' parts for each environment made anew where their number is another."""
        own = [module.state_dict() for module in self.learner.modules]
        return {**learner, "modules": fit_rows(own, learner["modules"], before, self.num_envs)}

    def _load_generators(self, state: dict[str, Any]) -> list[str]:
        """Restore noise and generators. Those of a CPU and of a GPU cannot go on with each other's state."""
        self._shuffler.set_state(state["rng"]["shuffle"])
        mine, saved = self._generator.get_state(), state["rng"]["act"]
        if mine.numel() == saved.numel():
            self._generator.set_state(saved)
            self.noise.load_state_dict(fit_noise(self.noise.state_dict(), state["noise"]))
            if self.looks is not None:
                own, looks = self.looks.state_dict(), state["looks"]
                fits = all(own["noise"]["noise"][k].shape == v.shape for k, v in looks["noise"]["noise"].items())
                # With another number of draws it is another one's turn: those of the beginning, under going generators.
                here = {} if fits and len(own.get("current", ())) == len(looks.get("current", ())) else own
                self.looks.load_state_dict({**looks, **here, "noise": fit_noise(own["noise"], looks["noise"])})
            return []
        # Seeded anew, or the draws of the beginning would come again.
        seed = int(np.random.default_rng([self.seed, state["progress"]["steps"], 1]).integers(2**30))
        self._generator.manual_seed(seed)
        self.noise.reseed(seed)
        if self.looks is not None:
            self.looks.noise.reseed(seed)
        return ["its random generators were saved on another kind of device: new ones begin"]
