"""DQN and its family: double, dueling, n-step, NoisyNet, reward streams, with any number of environments.

The loop is `DQN.advance`: act, step, store, learn. `jostle.algo.training` runs it, logs it and saves it.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jostle.algo.agent import Agent
from jostle.algo.dqn.bonuses import ReplayBonuses, storage
from jostle.algo.dqn.config import DQNConfig
from jostle.algo.dqn.learner import ACT, MEASURED, Learner
from jostle.algo.dqn.looks import ReplayLooks
from jostle.algo.dqn.metrics import inspect
from jostle.algo.dqn.noise import load_noise, warn_of_cost
from jostle.algo.dqn.replay import Batch, Replay
from jostle.algo.machine import load_optimizer, seeded, setup_device
from jostle.algo.parts.auxiliary import Auxiliary, load_modules, on_device
from jostle.algo.parts.bonus_settings import INTRINSIC
from jostle.algo.parts.bonuses import frozen_parameters, make_bonuses
from jostle.algo.parts.input.layers import randomise_input
from jostle.algo.parts.streams import Streams, make_streams
from jostle.algo.refit import fit_rows
from jostle.algo.settings import SAVED
from jostle.algo.start import starting
from jostle.algo.told import in_bytes, scalings
from jostle.bonus import Bonus
from jostle.envs.masks import legal_choices
from jostle.envs.sources import EnvSource
from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.inference import Inference, QActor, mask_tensor
from jostle.nn.noise import Noise, family
from jostle.nn.noisy import noisy_layers, to_noisy
from jostle.nn.own import behind_encoder
from jostle.nn.policy import QNetwork, greedy, map_observation


class DQN(Agent):
    """Deep Q-learning with every member of its family a switch.

    >>> import jostle
    >>> agent = jostle.DQN("jostle/DeepSea-v0", num_envs=4, noisy="factorised", warmup=100)
    >>> agent.learn(400).steps >= 400
    True

    Args:
        env: an environment id, a function that makes one, or the vector environment itself; None: the preset's.
        config: settings, or a mapping of some; keyword arguments override it one by one.
        preset: the name of a preset, which gives whatever is not given here, settings and environment alike.
        seed: seeds environments, weights, noise, exploration and replay.
        num_envs: environments stepped together; None: the preset's, as many as a ready environment has, or else 8.
        env_options: passed on to `make_env`, over those of the preset.
        domain, domain_schedule, domain_privileged, domain_history: what varies in the environments, how, and what is
            told of it; the same as in env_options (see `make_env`).
        bonuses: intrinsic rewards of your own, beside those of the settings; each makes a stream.
        aux: auxiliary losses of your own; their parameters are trained by the network's optimiser.

    Raises:
        ConfigError: a setting that cannot be used, or an action space that is not Discrete.
        EnvError: the environment cannot be made.
    """

    algorithm = "dqn"
    finite = ("model", "bonuses")
    settings = DQNConfig
    config: DQNConfig
    network: QNetwork

    def __init__(
        self,
        env: EnvSource | None = None,
        config: DQNConfig | Mapping[str, Any] | None = None,
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
            DQNConfig, env, config, settings | of_domain, algorithm=self.algorithm, preset=preset, num_envs=num_envs,
            env_options=env_options, own=INTRINSIC if bonuses else (),
        )  # fmt: skip
        self.config = start.config
        self.device = setup_device(self.config.device)
        super().__init__(start.env, seed=seed, num_envs=start.num_envs, env_options=start.env_options)
        try:
            self._build(bonuses, aux)
        except BaseException:
            if self._owns_env:
                self.env.close()
            raise

    def _build(self, bonuses: Sequence[Bonus], aux: Sequence[Auxiliary]) -> None:
        c, seed = self.config, self.seed
        space = self.env.single_action_space
        if not isinstance(space, gym.spaces.Discrete):
            raise ConfigError(f"DQN needs a Discrete action space, and {self.env.id} has {space}.")
        self.num_actions, self.first_action = int(space.n), int(space.start)
        with seeded(seed):
            network = QNetwork(
                self.env.single_observation_space,
                self.num_actions,
                num_streams=1 + len(c.bonus) + len(bonuses),
                encoder=c.encoder,
                hidden=c.hidden if c.hidden is not None else ((512,) if self.sees_pictures else (128, 128)),
                dueling=c.dueling,
                obs_scaling=c.obs_scaling,
                privileged=c.privileged,
            )
            if c.noisy != "none":
                to_noisy(network, behind_encoder, noise=c.noisy, sigma0=c.sigma0, bias_sigma=c.bias_sigma)
                for name, layer in noisy_layers(network).items():
                    if behind_encoder(name, layer):
                        layer.reset_parameters()
            randomise_input(network, c, self.env.frame_stack)
            bonuses = [b.to(self.device) for b in make_bonuses(c, self.env, bonuses)]
        self.network = network.to(self.device).eval()
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self._act_slots = list(range(ACT, ACT + (self.num_envs if c.noise_per_env else 1)))
        self._make_noise(seed)
        if c.noisy == "independent" and c.origin != SAVED:
            warn_of_cost(self.noise, len(self._act_slots), self.num_envs, c)
        self._act_draw: int | Tensor = ACT
        if len(self._act_slots) > 1:
            self._act_draw = torch.tensor(self._act_slots, device=self.device)
        # One held draw for all environments: fold it into the weights, and acting costs what a Linear costs.
        self._folds = c.noisy != "none" and c.noise_resample != "action" and len(self._act_slots) == 1
        if self._folds:
            self.noise.fold(ACT)

        self.streams = Streams(make_streams(c, [bonus.name for bonus in bonuses]), self.device)
        self.discount, self.coefficient = self.streams.discount, self.streams.coefficient
        self.learner = Learner(
            c, self.network, self.target, self.noise, self.target_noise, self.looks, self.streams,
            on_device(aux, self.device), self.device,
        )  # fmt: skip
        self.aux, self.optimizer = self.learner.aux, self.learner.optimizer
        self.replay = Replay(
            c.replay_size,
            self.num_envs,
            self.env.single_observation_space,
            n_step=c.n_step,
            frame_stack=self.env.frame_stack,
            stack_padding=self.env.stack_padding,
            **storage(c, bonuses, self.streams, self.num_envs),
        )
        self.intrinsic: ReplayBonuses | None = None
        if bonuses:
            self.intrinsic = ReplayBonuses(bonuses, self.replay, c, seed=seed, device=self.device)
        self._rng_act, self._rng_replay = (np.random.default_rng([seed, purpose]) for purpose in (1, 2))
        # Updates owed are counted from here, so that the replay ratio is constant and survives a resume.
        self._learning_since: tuple[int, int] | None = None
        self._warm_until = c.warmup
        self._acted_epsilon = self._epsilon

    def _make_noise(self, seed: int) -> None:
        weights, slots = family("weights"), ACT + len(self._act_slots)
        self.noise = Noise(self.network, seed=seed, role="online", slots=slots, layers=weights)
        self.target_noise = Noise(self.target, seed=seed, role="target", slots=1, layers=weights)
        self.looks = ReplayLooks(self.config, self.network, self.target, self.num_envs, seed)

    # ---- the loop ----

    def advance(self) -> None:
        """One step of every environment, and the updates that the replay ratio owes for it."""
        if self.intrinsic:
            self.intrinsic.warm_up(self.env)
        if self._was_moved:
            self._begin_anew()
        action, mask = self._act(), self._mask
        obs, reward, terminated, truncated, info = self._step(action + self.first_action)
        valid = info["valid"]
        self.replay.add(self._obs, action, reward, terminated, truncated, valid, self._start, mask)
        if self.intrinsic:
            self.intrinsic.collect()
        self._obs, self._start = obs, info["start"]
        self._record_episodes(info)
        before = self.steps
        self.steps += int(valid.sum())
        if self.config.noise_resample == "episode":
            self._redraw_where(self._start)
        if self._learning_since is None:
            if self.steps < self._warm_until or not self.replay.ready:
                self._redraw_before_learning(before)
                return
            self._learning_since = before, self.updates
        self._learn(before)

    def _begin_anew(self) -> None:
        """New episodes; the running ones end in the replay with the last observation that is theirs."""
        self.replay.cut(self._obs, self._mask)
        self._reset()
        if self.config.noise_resample == "episode":
            self._redraw_where(self._start)

    def _learn(self, before: int) -> None:
        """The updates owed, and what hangs on them: the hard copy of the target, the acting noise held until now."""
        c = self.config
        assert self._learning_since is not None
        step0, update0 = self._learning_since
        owed = update0 + int((self.steps - step0) * c.replay_ratio / c.batch_size)
        learned = self.updates < owed
        if learned:
            self._schedule(before)
        while self.updates < owed:
            self._update()
        if c.target_tau == 0 and before // c.target_interval != self.steps // c.target_interval:
            self.target.load_state_dict(self.network.state_dict())
        if learned:
            self.looks.after_learning()
        if learned and c.noise_resample == "update":
            self.noise.draw(self._act_slots)
        if learned and self._folds:
            self.noise.fold(ACT)

    @torch.no_grad()
    def _act(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """ε-greedy on the noisy values; no forward pass is spent on actions that are random anyway."""
        self.looks.before_acting(self._start)
        self._acted_epsilon = epsilon = self._epsilon
        random = self._rng_act.random(self.num_envs) < epsilon if epsilon > 0 else np.zeros(self.num_envs, np.bool_)
        action = self._random_actions() if random.any() else None
        if action is not None and random.all():
            return action
        if self.config.noise_resample == "action":
            self.noise.draw(self._act_slots)
        with self.noise.using(self._act_draw, mode="folded" if self._folds else "sampled"), self.looks.acting():
            q = self.learner.q(self.learner.forward, map_observation(self._obs, self.device))
        best = greedy(q, self.coefficient, mask_tensor(self._mask, self.device)).cpu().numpy()
        return best if action is None else np.where(random, action, best)

    @property
    def _epsilon(self) -> float:
        """Probability of a random action now."""
        return 1.0 if self._all_random else self.config.epsilon(self.steps)

    @property
    def _all_random(self) -> bool:
        """Nothing but random actions is taken for now."""
        return self.config.warmup_random and self.steps < self.config.warmup

    def _random_actions(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Legal actions, each as likely as the others."""
        if self._mask is None:
            return self._rng_act.integers(self.num_actions, size=self.num_envs)
        return legal_choices(self._mask, [self.num_actions], self._rng_act)[:, 0]

    def _redraw_before_learning(self, before: int) -> None:
        """New acting noise as often as updates will bring it; ``before`` are the steps before the last one."""
        c = self.config
        if c.noise_resample != "update" or self._all_random:
            return
        if int(before * c.replay_ratio / c.batch_size) != int(self.steps * c.replay_ratio / c.batch_size):
            self.noise.draw(self._act_slots)
            if self._folds:
                self.noise.fold(ACT)

    def _redraw_where(self, start: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """New noise for the environments whose episode has just begun."""
        if len(self._act_slots) > 1:
            slots = [ACT + int(n) for n in np.flatnonzero(start)]
        else:
            slots = [ACT] if start.any() else []
        if slots:
            self.noise.draw(slots)
            if self._folds:
                self.noise.fold(ACT)

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of one minibatch under the noise drawn last."""
        return self.learner.loss(batch)

    def td_target(self, batch: Batch) -> Float[Tensor, "B K"]:
        """Bootstrapped targets: the target network under ξ′, the selection of double Q-learning under ξ″."""
        return self.learner.td_target(batch)

    def _update(self) -> None:
        """One gradient step on one minibatch."""
        batch = self.replay.sample(self.config.batch_size, self._rng_replay, self.device)
        batch = self.intrinsic.rewarded(batch) if self.intrinsic else batch
        self.learner.update(batch, measure=self.updates % MEASURED == 0)
        self.updates += 1

    def _schedule(self, steps: int) -> None:
        """The learning rate that is due after ``steps``, for every optimiser without one of its own."""
        rate = self.config.rate(self.left_after(steps))
        self.learner.set_rate(rate)
        if self.intrinsic:
            self.intrinsic.schedule(rate)
        self._apply_rate()

    def _apply_rate(self) -> None:
        if self._rate is not None:
            self.learner.set_rate(self._rate)

    # ---- acting for others ----

    def actor(self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False) -> QActor:
        """A frozen greedy copy of the agent for evaluation, under its own draws of noise.

        Raises:
            ConfigError: ``sample``, for which there is no policy to sample from.
        """
        if sample:
            raise ConfigError("DQN has no policy to sample actions from: use actions='greedy', or epsilon.")
        inference = noise if isinstance(noise, Inference) else Inference.parse(noise)
        return QActor(self.network, self.coefficient, inference, rows=rows, seed=seed, first_action=self.first_action)

    # ---- what is logged ----

    def drain_metrics(self) -> dict[str, float]:
        """Metrics since the last call: means of what was learned and of the episodes that ended."""
        metrics = self._drain_episodes()
        metrics["charts/updates"] = self.updates
        if self._learning_since is not None:
            step0, update0 = self._learning_since
            learned = (self.updates - update0) * self.config.batch_size
            metrics["charts/replay_ratio"] = learned / max(1, self.steps - step0)
        metrics["charts/epsilon"] = self._acted_epsilon
        metrics["charts/learning_rate"] = self.optimizer.param_groups[0]["lr"]
        if self.learner.terms:
            metrics |= {name: torch.stack(values).mean().item() for name, values in self.learner.terms.items()}
            self.learner.terms.clear()
            # A generator of its own: looking must not change what is learned.
            rng = np.random.default_rng([self.seed, 3, self.updates])
            sample = self.replay.sample(self.config.batch_size, rng, self.device)
            metrics |= self._inspect(sample.obs, sample.mask)
        if self.intrinsic:
            metrics |= self.intrinsic.drain_metrics()
        return metrics

    def _inspect(self, obs: Observation, mask: Bool[Tensor, "B A"] | None = None) -> dict[str, float]:
        return inspect(
            lambda seen: self.learner.q(self.network, seen),
            obs,
            self.coefficient,
            self.streams.names if self.intrinsic else (),
            self.noise,
            self.looks,
            torch.tensor(self._act_slots, device=self.device),
            noisy_layers(self.network),
            mask,
        )

    def frozen(self) -> dict[str, Tensor]:
        """The random networks of the bonuses."""
        return frozen_parameters(self.intrinsic.bonuses) if self.intrinsic else {}

    def storage(self) -> dict[str, str]:
        """The replay, and the streams of rewards if there are several."""
        c, replay = self.config, self.replay
        rewards = {"rewards": self.streams.describe()} if self.intrinsic else {}
        size, per = in_bytes(replay.nbytes), c.batch_size / c.replay_ratio
        told = f"ratio {c.replay_ratio:g} (a batch of {c.batch_size} for every {per:g} steps)"
        line = f"{replay.rows * self.num_envs:,} transitions, {size} when full; {told}"
        return {**scalings(self.network), **self.looks.describe(), **rewards, "replay": line}

    # ---- saving ----

    def state_dict(self, *, replay: bool = True) -> dict[str, Any]:
        """Everything that the next step reads, as nested plain dicts. Array leaves may be views: save, don't keep."""
        return self._common_state() | {
            "model": self.network.state_dict(),
            "streams": self.streams.names,
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "value_scale": None if (scale := self.learner.value_scale) is None else scale.state_dict(),
            "noise": {"online": self.noise.state_dict(), "target": self.target_noise.state_dict()},
            "looks": self.looks.state_dict(),
            "aux": [aux.state_dict() for aux in self.aux if isinstance(aux, nn.Module)],
            "replay": self.replay.state_dict() if replay else None,
            "rows": self.replay.rows,
            "bonuses": self.intrinsic.state_dict() if self.intrinsic else None,
            "rng": {"act": self._rng_act.bit_generator.state, "replay": self._rng_replay.bit_generator.state},
            "learning": {
                "since": self._learning_since,
                "warm_until": self._warm_until,
                "terms": {name: torch.stack(values) for name, values in self.learner.terms.items()},
            },
        }

    def _other_replay(self, state: dict[str, Any]) -> tuple[bool, bool]:
        """Whether the saved replay is of other environments, and whether it is of another size."""
        if state["replay"] is None:
            return False, False
        rows = state.get("rows", self.replay.rows)  # older states have it not, nor could it be another then
        return len(state["carry"]["start"]) != self.num_envs, rows != self.replay.rows

    def rebase(self) -> None:
        """Updates owed are counted from here on: ratio or batch size are others now."""
        if self._learning_since is not None:
            self._learning_since = self.steps, self.updates

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore a state; returns why going on from it differs from never having stopped (empty: it does not).

        Raises:
            ConfigError: the state belongs to an agent of another shape.
        """
        self.streams.require(state["streams"])
        others, resized = self._other_replay(state)
        replay = None if others or resized else state["replay"]
        try:
            self.network.load_state_dict(state["model"])
            self.target.load_state_dict(state["target"])
            if self.intrinsic:
                own, before = self.intrinsic.state_dict(), len(state["carry"]["start"])
                bonuses = {**state["bonuses"]}
                bonuses["modules"] = fit_rows(own["modules"], bonuses["modules"], before, self.num_envs)
                self.intrinsic.load_state_dict(bonuses, replay=replay is not None)
        except RuntimeError as error:
            raise ConfigError(
                f"the saved weights do not fit this network; use the run's own settings ({error})."
            ) from error
        load_optimizer(self.optimizer, state["optimizer"])
        if self.learner.value_scale is not None and state.get("value_scale") is not None:
            self.learner.value_scale.load_state_dict(state["value_scale"])
        # Seeded anew, where that is needed, or the draws of the beginning would come again.
        anew = int(np.random.default_rng([self.seed, state["progress"]["steps"], 1]).integers(2**30))
        reasons = load_noise(self.noise, self.target_noise, self.looks, state, anew)
        if self._folds:
            self.noise.fold(ACT)
        load_modules(self.aux, state["aux"])
        self._rng_act.bit_generator.state = state["rng"]["act"]
        self._rng_replay.bit_generator.state = state["rng"]["replay"]
        new_episodes = self._load_common(state)
        reasons += new_episodes
        learning = state["learning"]
        self._learning_since, self._warm_until = learning["since"], learning["warm_until"]
        self._acted_epsilon = self._epsilon
        self.learner.terms.clear()
        for name, values in learning.get("terms", {}).items():  # older checkpoints have none
            self.learner.terms[name].extend(values.to(self.device))
        if new_episodes and self.config.noise_resample == "episode":
            self._redraw_where(self._start)
        if replay is None:
            self._learning_since, self._warm_until = None, self.steps + self.config.warmup
            why = (
                "has a column for each environment" if others else "is of another size" if resized else "was not saved"
            )
            return [*reasons, f"the replay {why}: it fills anew before learning goes on"]
        self.replay.load_state_dict(replay)
        if new_episodes:
            self.replay.cut(state["carry"]["obs"], state["carry"].get("mask"))
        return reasons
