"""A view of anybody's network."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jostle.errors import ConfigError, closest
from jostle.nn.disagreement import action_variance, mutual_information, value_variance
from jostle.nn.finite import require_finite
from jostle.nn.inference import Inference, Mask, Starts, mask_tensor
from jostle.nn.policy import map_observation
from jostle.nn.rows import Rows, put_back, take, which
from jostle.view.choosing import chosen
from jostle.view.interface import EnvSource, MeanStd, Output, PolicyView, Probabilities, own_noise

Kind = Literal["logits", "q", "mean"]
KINDS = ("logits", "q", "mean")


class ModuleView(PolicyView):
    """Any `torch.nn.Module` that turns a batch of observations into logits, action values or mean actions.

    The module may return a tuple, whose second part is then taken for state values [B] or [B, K]. Observations reach it
    as the environment gives them (uint8 pictures as uint8). jostle's stochastic layers inside it work in every mode.

    Args:
        module: it is copied, and put into evaluation mode.
        observation_space, action_space: of one environment.
        kind: what it returns: ``logits`` or ``q`` [B, A] (Discrete actions), ``mean`` [B, D] (a Box).

    Raises:
        ConfigError: an unknown kind, or one that the action space does not take.
    """

    def __init__(
        self,
        module: nn.Module,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        kind: Kind,
        *,
        name: str = "",
        env_source: EnvSource | None = None,
        env_options: Mapping[str, Any] | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"kind='{kind}' of a module is unknown; {closest(str(kind), KINDS)}")
        wanted = spaces.Box if kind == "mean" else spaces.Discrete
        if not isinstance(action_space, wanted):
            raise ConfigError(f"a module of the kind '{kind}' needs {wanted.__name__} actions, not {action_space}.")
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.observation_space, self.action_space, self.kind = observation_space, action_space, kind
        self.name = name or type(module).__name__
        self.env_source, self.env_options = env_source, dict(env_options or {})
        self.noise = own_noise(self.module)

    def forward(
        self,
        obs: Any,
        *,
        state: Tensor | None = None,
        start: Bool[Tensor, "B"] | None = None,
        draw: int | Int[Tensor, "B"] | None = None,
    ) -> Output:
        """See `PolicyView.forward`; such a view has no recurrent state."""
        seen = self._seen(obs)
        try:
            with self._under(draw):
                out = self.module(seen)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(
                f"{self.name} cannot take the observations {_described(seen)} ({' '.join(str(error).split())}): put "
                "what turns or converts them in front of it, in a torch.nn.Sequential."
            ) from error
        out, value = out if isinstance(out, tuple) else (out, None)
        self._check(out)
        if value is not None and value.ndim == 1:
            value = value[:, None]
        if self.kind == "logits":
            return Output(Probabilities(out.softmax(-1)), value=value, logits=out)
        if self.kind == "q":
            return Output(q=out[:, None], value=out.max(-1, keepdim=True).values if value is None else value)
        return Output(MeanStd(out, torch.zeros_like(out)), value=value)

    def actions(
        self, out: Output, *, mask: Mask | None = None, generator: torch.Generator | None = None
    ) -> np.ndarray[Any, Any]:
        """See `PolicyView.actions`."""
        if generator is not None and self.kind != "logits":
            raise ConfigError(f"{self.name} gives no probabilities to sample from: use actions='greedy'.")
        legal, space = mask_tensor(mask, self.device), self.action_space
        if isinstance(space, spaces.Box):
            shaped = chosen(out).detach().cpu().numpy().reshape(-1, *space.shape).astype(space.dtype)
            clipped: np.ndarray = np.minimum(np.maximum(shaped, space.low), space.high)
            return clipped
        assert isinstance(space, spaces.Discrete)
        if out.q is not None:
            q = out.q[:, 0]
            action = (q if legal is None else q.masked_fill(~legal, -torch.inf)).argmax(-1)
        else:
            action = chosen(out, legal, generator)
        return action.cpu().numpy() + int(space.start)

    def actor(
        self, noise: str | Inference = "mean", *, rows: int = 1, seed: int = 0, sample: bool = False
    ) -> "ModuleActor":
        """See `PolicyView.actor`."""
        inference = noise if isinstance(noise, Inference) else Inference.parse(noise)
        if sample and self.kind != "logits":
            raise ConfigError(f"{self.name} gives no probabilities to sample from: use actions='greedy'.")
        return ModuleActor(self, inference, rows=rows, seed=seed, sample=sample)

    def _check(self, out: Any) -> None:
        size = int(self.action_space.n) if isinstance(self.action_space, spaces.Discrete) else None
        size = int(np.prod(self.action_space.shape or ())) if size is None else size
        if not isinstance(out, Tensor) or out.ndim != 2 or out.shape[1] != size:
            shape = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ConfigError(f"{self.name} must return [B, {size}] for {self.action_space}, not {shape}.")


class Called(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, obs: Any) -> Any:
        """What the function returns."""
        return self.call(obs)

    def __deepcopy__(self, memo: Any) -> "Called":
        return Called(self.call)  # used as it is: what it hangs on may not be copied


class ModuleActor:
    """Acts by a `ModuleView`; under ``mc`` probabilities, action values or means are averaged over the draws.

    Attributes:
        disagreement: [B] after an `act` under ``mc``: mutual information of action and draw in nats (logits), variance
            of the taken action's value (q), or of the means, averaged over the action's numbers. None in other modes.
    """

    def __init__(self, view: ModuleView, inference: Inference, *, rows: int, seed: int, sample: bool) -> None:
        self.view, self.name, self.calls = copy.copy(view), view.name, 0
        self.view.module = copy.deepcopy(view.module)
        self.inference, self.rows, self.sample = inference, rows, sample
        slots = {"sampled": rows, "mc": inference.draws}.get(inference.kind, 1)
        self.view.noise = own_noise(self.view.module, seed=seed, role="evaluation", slots=slots)
        self.generator = torch.Generator(self.view.device).manual_seed(seed)
        self.disagreement: np.ndarray[Any, np.dtype[np.float32]] | None = None

    @torch.no_grad()
    def act(
        self, obs: Any, start: Starts | None = None, among: Rows | None = None, mask: Mask | None = None
    ) -> np.ndarray[Any, Any]:
        """Actions that the environment takes; noise is redrawn at every call."""
        out = self._outputs(map_observation(obs, self.view.device), which(among, self.rows, self.view.device))
        kind, space, legal = self.view.kind, self.view.action_space, mask_tensor(mask, self.view.device)
        self.calls += 1
        what = {"logits": "probabilities", "q": "action values", "mean": "mean actions"}[kind]
        require_finite(out, self.name, what, self.calls, impossible=kind == "q")
        if kind == "logits" and legal is not None:
            out = _of_legal(out, legal)
        mean = out.mean(0)
        best = (mean if legal is None else mean.masked_fill(~legal, -torch.inf)).argmax(-1)
        if self.inference.kind == "mc":
            spread = (
                mutual_information(out.log())
                if kind == "logits"
                else value_variance(out, best)
                if kind == "q"
                else action_variance(out)
            )
            self.disagreement = spread.cpu().numpy()
        if isinstance(space, spaces.Box):
            shaped = mean.cpu().numpy().reshape(-1, *space.shape).astype(space.dtype)
            clipped: np.ndarray = np.minimum(np.maximum(shaped, space.low), space.high)
            return clipped
        assert isinstance(space, spaces.Discrete)
        action = torch.multinomial(mean, 1, generator=self.generator).squeeze(1) if self.sample else best
        return action.cpu().numpy() + int(space.start)

    def _outputs(self, obs: Any, who: Int[Tensor, "W"]) -> Float[Tensor, "M B A"]:
        """Probabilities, action values or means of each draw, computed for the rows that act."""
        noise, kind = self.view.noise, self.inference.kind
        draws = self.inference.draws if noise is not None and kind == "mc" else 1
        draw: Tensor | None = None
        if noise is not None and kind != "mean":
            if kind in ("sampled", "mc"):
                noise.draw()
            draw = torch.arange(draws, device=who.device).repeat_interleave(len(who)) if kind != "sampled" else who
        obs = take(obs, who)
        if draws > 1:
            obs = {k: _repeat(v, draws) for k, v in obs.items()} if isinstance(obs, dict) else _repeat(obs, draws)
        out = self.view.forward(obs, draw=draw)
        if out.q is not None:
            flat: Tensor = out.q[:, 0]
        elif isinstance(out.distribution, Probabilities):
            flat = out.distribution.p
        else:
            assert out.distribution is not None
            flat = out.distribution.mean
        return put_back(flat.reshape(draws, len(who), -1), who, self.rows)


def _of_legal(p: Float[Tensor, "M B A"], legal: Bool[Tensor, "B A"]) -> Float[Tensor, "M B A"]:
    """Probabilities of the legal actions alone; those that are 0 by rounding share what is left."""
    kept = p.clamp_min(torch.finfo(p.dtype).tiny) * legal
    return kept / kept.sum(-1, keepdim=True)


def _described(seen: Any) -> str:
    parts = seen.items() if isinstance(seen, dict) else [("", seen)]
    return ", ".join(f"{key} {list(x.shape)} of {str(x.dtype).removeprefix('torch.')}".strip() for key, x in parts)


def _repeat(x: Tensor, times: int) -> Tensor:
    return x.repeat(times, *[1] * (x.ndim - 1))
