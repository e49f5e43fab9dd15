"""A view of a Stable-Baselines3 model. Nothing here imports that package before a model of it is given."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Int
from torch import Tensor

from jostle.errors import ConfigError
from jostle.nn.encoders import Observation
from jostle.nn.finite import require_finite
from jostle.nn.inference import Inference, Mask, Starts, mask_tensor
from jostle.nn.rows import Rows, length, put_back, take, which
from jostle.view.choosing import chosen, padded
from jostle.view.globals import OwnGlobals
from jostle.view.inside import hooked
from jostle.view.interface import EnvSource, MeanStd, Output, PolicyView, Probabilities

KNOWN = ("PPO", "A2C", "DQN", "SAC", "TD3", "DDPG", "MaskablePPO")


def is_sb3(policy: object) -> bool:
    """Whether this is a model of Stable-Baselines3 or of a package built on it."""
    return any(kind.__module__.startswith("stable_baselines3.common.base_class") for kind in type(policy).__mro__)


class SB3View(PolicyView):
    """A model of Stable-Baselines3 or of a package built on it.

    PPO, A2C, DQN, SAC, TD3, DDPG and sb3-contrib's MaskablePPO show distributions or action values; models of other
    algorithms act by their policy's ``predict``, and show nothing else. MaskablePPO takes legal actions only, where the
    environment tells them. The others know no masks: they act as they do anywhere else, and an illegal action of theirs
    is a finding about them.

    SAC's distribution is the normal one before the hyperbolic tangent; the other continuous ones are in the units of
    the model's actions.

    Pictures may come channels last, as the environment gives them: the model's own policy turns them round and scales
    them, also those in dictionaries. A `VecNormalize` around the model's environment normalises with its present
    statistics.

    Args:
        model: the model; its policy is copied.
        algorithm: its name, if the model's class does not tell it.
        env_source, env_options: where it was trained, as `make_env` takes it.
    """

    def __init__(
        self,
        model: Any,
        *,
        algorithm: str | None = None,
        env_source: EnvSource | None = None,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        known = next((k.__name__ for k in type(model).__mro__ if k.__name__ in KNOWN), type(model).__name__)
        self.algorithm = algorithm or known
        self.module = _frozen_copy(model.policy)
        self.module.set_training_mode(False)  # type: ignore[operator]  # dropout and batch norm off
        self.name = self.algorithm
        self.observation_space, self.action_space = model.observation_space, model.action_space
        self.env_source, self.env_options = env_source, dict(env_options or {})
        normaliser = model.get_vec_normalize_env()
        self._normalise: Callable[[Any], Any] | None = None
        if normaliser is not None:
            frozen = copy.copy(normaliser)  # without its environments, as when it is saved
            frozen.obs_rms = copy.deepcopy(normaliser.obs_rms)
            self._normalise = frozen.normalize_obs

    def fits(self, space: gym.Space[Any]) -> bool:
        """The model's space, or pictures with their channels last where the model has them first."""
        ours = self.observation_space
        if isinstance(space, spaces.Dict) and isinstance(ours, spaces.Dict):
            return space.keys() == ours.keys() and all(_alike(space[key], ours[key]) for key in ours)
        return _alike(space, ours)

    def forward(
        self,
        obs: Any,
        *,
        state: Tensor | None = None,
        start: Bool[Tensor, "B"] | None = None,
        draw: int | Int[Tensor, "B"] | None = None,
    ) -> Output:
        """See `PolicyView.forward`. A tensor is taken to be as `jostle.view.sb3.SB3View.tensor` makes it."""
        ready = isinstance(obs, Tensor) or (isinstance(obs, dict) and all(isinstance(x, Tensor) for x in obs.values()))
        with self._under(draw):
            return self._forward(obs if ready else self.tensor(obs))

    def inputs(self, obs: Any) -> Observation:
        """See `PolicyView.inputs`; as `tensor` makes them, in floats."""
        seen = self.tensor(obs)
        return {key: x.float() for key, x in seen.items()} if isinstance(seen, dict) else seen.float()

    def _copied(self) -> Any:
        return _frozen_copy(self.module)

    def actions(
        self, out: Output, *, mask: Mask | None = None, generator: torch.Generator | None = None
    ) -> np.ndarray[Any, Any]:
        """See `PolicyView.actions`; ``mask`` is for a MaskablePPO alone."""
        policy, space = self.module, self.action_space
        legal = mask_tensor(mask, self.device) if self.algorithm == "MaskablePPO" else None
        if generator is not None and self.algorithm in ("DQN", "TD3", "DDPG"):
            raise ConfigError(f"{self.name} has no policy to sample actions from: use actions='greedy'.")
        if out.q is not None:
            return out.q[:, 0].argmax(-1).cpu().numpy()
        own = chosen(out, None if legal is None else padded(legal, space), generator).detach()
        squashes = bool(getattr(policy, "squash_output", False))
        if squashes and self.algorithm not in ("TD3", "DDPG"):
            own = own.tanh()  # the distribution is the one before it
        action: np.ndarray[Any, Any] = own.cpu().numpy().reshape(-1, *(space.shape or ()))
        if not isinstance(space, spaces.Box):
            return action.astype(space.dtype)
        if squashes:
            unscaled: np.ndarray[Any, Any] = policy.unscale_action(action)  # type: ignore[operator]
            return unscaled
        clipped: np.ndarray[Any, Any] = np.clip(action, space.low, space.high)
        return clipped

    def tensor(self, obs: Any) -> Any:
        """Observations as the model's networks take them: normalised if the model's environment was, channels first."""
        seen = obs if self._normalise is None else self._normalise(obs)
        policy: Any = self.module
        return policy.obs_to_tensor(seen)[0]

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> "SB3Actor":
        """See `PolicyView.actor`; without noise in the weights all modes are the same."""
        if sample and self.algorithm in ("DQN", "TD3", "DDPG"):
            raise ConfigError(f"{self.name} has no policy to sample actions from: use actions='greedy'.")
        if not isinstance(noise, Inference):
            Inference.parse(noise)
        return SB3Actor(self, seed=seed, sample=sample)

    def _forward(self, obs: Any) -> Output:
        policy: Any = self.module
        if self.algorithm == "DQN":
            q = policy.q_net(obs)
            return Output(q=q[:, None], value=q.max(-1, keepdim=True).values)
        if self.algorithm == "SAC":
            mean, log_std, _ = policy.actor.get_action_dist_params(obs)
            return Output(MeanStd(mean, log_std.exp()))
        if self.algorithm in ("TD3", "DDPG"):
            mean = policy.actor(obs)
            return Output(MeanStd(mean, torch.zeros_like(mean)))
        if self.algorithm not in KNOWN:
            raise ConfigError(
                f"a Stable-Baselines3 model of the kind {self.algorithm} acts and shows nothing else; those that do: "
                f"{', '.join(KNOWN)}. Give its network as a torch.nn.Module instead."
            )
        with hooked(policy, self.name, ["action_net"]) as kept:
            told = policy.get_distribution(obs)
        inner = told.distributions if hasattr(told, "distributions") else told.distribution  # sb3-contrib's has several
        logits = kept.get("action_net") if isinstance(inner, torch.distributions.Categorical) else None
        return Output(_shown(inner), value=policy.predict_values(obs), logits=logits)


class SB3Actor:
    """Acts by the model's own policy, which clips and rescales actions. Hidden states are handed on."""

    def __init__(self, view: SB3View, *, seed: int, sample: bool) -> None:
        self.view, self.sample, self.name, self.calls = view, sample, view.name, 0
        self.disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None  # there are no draws
        self._globals, self._state = OwnGlobals(seed), None  # predict samples from torch's global generator

    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """Actions that the environment takes; ``mask`` is for a MaskablePPO alone."""
        seen = obs if self.view._normalise is None else self.view._normalise(obs)
        policy: Any = self.view.module
        rows = length(seen)
        among = among if self.view.algorithm in KNOWN else None  # a state is the whole batch's
        self.calls += 1
        how: dict[str, Any] = {"deterministic": not self.sample}
        if self.view.algorithm not in KNOWN:
            how |= {"state": self._state, "episode_start": start}
        elif mask is not None and self.view.algorithm == "MaskablePPO":
            how["action_masks"] = mask if among is None else mask[among]
        with self._told(), self._globals.in_place():
            action, self._state = policy.predict(seen if among is None else take(seen, among), **how)
        who = which(among, rows, torch.device("cpu"))
        taken = put_back(torch.as_tensor(action)[None], who, rows)
        require_finite(taken, self.name, "actions", self.calls)
        return taken[0].numpy()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Outputs that are not finite end in our sentence. A distribution refuses them only if nothing was compiled in
        this process before, which stops its checks; of action values nothing would be seen."""
        policy: Any = self.view.module
        what, head = ("action values", "q_net") if self.view.algorithm == "DQN" else ("outputs", "action_net")

        def look(_: Any, __: Any, out: Tensor) -> None:
            require_finite(out[None], self.name, what, self.calls, impossible=what == "action values")

        last = getattr(policy, head, None)
        handle = None if last is None else last.register_forward_hook(look)
        try:
            yield
        except ValueError as error:
            if "nan" not in str(error).lower() and "constraint" not in str(error):
                raise
            raise ConfigError(
                f"the outputs of {self.name} are not finite (at its action {self.calls}): its weights hold NaN, or its "
                "network overflows. Take an earlier model."
            ) from error
        finally:
            if handle is not None:
                handle.remove()


def _alike(space: gym.Space[Any], ours: gym.Space[Any]) -> bool:
    """Equal, or floats of another precision, or the same pictures with their channels last."""
    if space == ours:
        return True
    if not (isinstance(space, spaces.Box) and isinstance(ours, spaces.Box)):
        return False
    if space.shape == ours.shape and space.dtype.kind == ours.dtype.kind == "f":  # the policy casts them anyway
        return np.allclose(space.low, ours.low) and np.allclose(space.high, ours.high)
    if len(space.shape) != 3:
        return False
    return space.dtype == ours.dtype == np.uint8 and (space.shape[2], *space.shape[:2]) == ours.shape


def _frozen_copy(policy: Any) -> Any:
    """A deep copy, but for the action distributions: they keep tensors of the last pass, which cannot be copied."""
    kept = [m.action_dist for m in policy.modules() if hasattr(m, "action_dist")]
    return copy.deepcopy(policy, {id(each): copy.copy(each) for each in kept}).requires_grad_(False)


def _shown(distribution: Any) -> Probabilities | MeanStd:
    """SB3's inner distribution: a Categorical, a list of them, a Normal, or a Bernoulli."""
    if isinstance(distribution, list):
        most = max(d.probs.shape[-1] for d in distribution)
        padded = [torch.nn.functional.pad(d.probs, (0, most - d.probs.shape[-1])) for d in distribution]
        return Probabilities(torch.stack(padded, 1))
    if isinstance(distribution, torch.distributions.Categorical):
        return Probabilities(distribution.probs)
    if isinstance(distribution, torch.distributions.Normal):
        return MeanStd(distribution.mean, distribution.stddev)
    if isinstance(distribution, torch.distributions.Bernoulli):
        return Probabilities(torch.stack([1 - distribution.probs, distribution.probs], -1))
    raise ConfigError(f"a policy with a {type(distribution).__name__} distribution has no view.")
