"""Targets by name, against what the outputs are by hand; the policy's memory, noise and masks are held."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from planted import PICTURES, patch_view, pictures
from torch import nn

import jostle
from jostle.errors import ConfigError
from jostle.explain.asking import Subject, Target, ask
from jostle.explain.tracing import Steps, trace
from jostle.view import as_view

OBS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
VECTORS = spaces.Box(-1, 1, (4,), np.float32)


def value(policy: Any, target: str, steps: Any = OBS, **more: Any) -> torch.Tensor:
    subject = ask(policy, steps, target, **more)
    with torch.no_grad():
        return subject(subject.x)


def module(kind: str, actions: spaces.Space[Any], outputs: int) -> Any:
    torch.manual_seed(2)
    return as_view(nn.Linear(4, outputs), kind=kind, observation_space=VECTORS, action_space=actions)  # type: ignore[arg-type]


def test_discrete_policies() -> None:
    view = module("logits", spaces.Discrete(3, start=5), 3)
    logits = view.module(torch.tensor(OBS))
    log_p, taken = logits.log_softmax(1), np.array([5, 7, 7])
    steps = Steps(OBS, action=taken)
    rows = torch.arange(3), torch.tensor([0, 2, 2])
    torch.testing.assert_close(value(view, "log_prob", steps), log_p[rows])
    torch.testing.assert_close(value(view, "log_prob"), log_p.max(1).values, msg="without actions the likeliest")
    torch.testing.assert_close(value(view, "prob:1"), log_p[:, 1].exp())
    torch.testing.assert_close(value(view, "logit", steps), logits[rows])
    torch.testing.assert_close(value(view, "entropy"), -(log_p.exp() * log_p).sum(1))
    torch.testing.assert_close(value(view, "policy"), logits)
    torch.testing.assert_close(value(view, "kl"), torch.zeros(3))
    subject = ask(view, OBS, "kl")
    other = view.module(torch.tensor(OBS) * 0.5).log_softmax(1)
    torch.testing.assert_close(subject(subject.x * 0.5), (log_p.exp() * (log_p - other)).sum(1))


def test_illegal_actions_count_as_impossible() -> None:
    view = module("logits", spaces.Discrete(3), 3)
    mask = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]], np.bool_)
    logits = view.module(torch.tensor(OBS))
    found = value(view, "log_prob:1", Steps(OBS, mask=mask))
    wanted = logits[:, 1] - logits.masked_fill(~torch.tensor(mask), -torch.inf).logsumexp(1)
    torch.testing.assert_close(found, wanted)
    assert value(view, "prob:2", Steps(OBS, mask=mask))[0] == 0


def test_action_values_and_streams() -> None:
    agent = jostle.DQN("CartPole-v1", num_envs=2, hidden=(8,), bonus=("rnd",), seed=1, coef_int=0.5)
    view = as_view(agent)
    q = view.q(OBS)
    assert q is not None
    both = (q * agent.coefficient[:, None]).sum(1)
    torch.testing.assert_close(value(agent, "q"), both.max(1).values)
    torch.testing.assert_close(value(agent, "q:1:rnd"), q[:, 1, 1])
    torch.testing.assert_close(value(agent, "value:rnd"), view.value(OBS)[:, 1])  # type: ignore[index]
    torch.testing.assert_close(value(agent, "value"), view.value(OBS)[:, 0])  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"names no reward stream of dqn; did you mean rnd"):
        value(agent, "value:rmd")
    with pytest.raises(ConfigError, match="is all action values: use q"):
        value(agent, "log_prob")


def test_continuous_policies() -> None:
    agent = jostle.PPO("Pendulum-v1", num_envs=2, num_steps=4, hidden=(8,), env_options={"engine": "gymnasium"})
    obs = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -8.0]], np.float32)
    shown = as_view(agent).distribution(obs)
    torch.testing.assert_close(value(agent, "mean:0", obs), shown.mean[:, 0])  # type: ignore[union-attr]
    torch.testing.assert_close(value(agent, "std:0", obs), shown.std[:, 0])  # type: ignore[union-attr]
    entropy = torch.distributions.Normal(shown.mean, shown.std).entropy().sum(1)  # type: ignore[union-attr]
    torch.testing.assert_close(value(agent, "entropy", obs), entropy)
    subject = ask(agent, obs, "kl")
    other = as_view(agent).distribution(obs + 1)
    normal = [torch.distributions.Normal(d.mean, d.std) for d in (shown, other)]  # type: ignore[union-attr]
    torch.testing.assert_close(subject(subject.x + 1), torch.distributions.kl_divergence(*normal).sum(1))
    with pytest.raises(ConfigError, match="write mean:0 for the first number"):
        value(agent, "mean", obs)
    with pytest.raises(ConfigError, match="has no number '1': there are 0 to 0"):
        value(agent, "mean:1", obs)


def test_what_acts_alone_is_explained_by_its_action() -> None:
    view = as_view(lambda obs: (obs[:, 2] > 0).astype(int), env="CartPole-v1")
    subject = ask(view, OBS)
    assert subject.target.name == "prob"
    assert subject(subject.x).tolist() == [1, 1, 1]
    assert subject(-subject.x).tolist() == pytest.approx([0, 0, 0])


def test_targets_of_ones_own_and_wrong_names() -> None:
    view = patch_view()
    double = Target("twice the logit", lambda one: 2 * one.out.logits[:, 0])  # type: ignore[index]
    obs = pictures(2)
    subject = ask(view, obs, double)
    torch.testing.assert_close(subject(subject.x), 2 * value(view, "logit:0", obs))
    with pytest.raises(ConfigError, match="did you mean log_prob"):
        ask(view, obs, "logprob")
    with pytest.raises(ConfigError, match="has no action '2': there are 0 to 1"):
        ask(view, obs, "logit:2")
    with pytest.raises(ConfigError, match="has no values"):
        ask(view, obs, "value")
    with pytest.raises(ConfigError, match="no step to explain"):
        ask(view, obs[:0])
    with pytest.raises(ConfigError, match=r"are no numbers"):
        ask(view, obs, "mean:0")


def test_state_and_draw_are_those_of_the_step(tmp_path: Any) -> None:
    agent = jostle.PPO(
        "CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), shared=True, recurrent="gru", recurrent_size=4,
        noisy="factorised", minibatch_by="envs", minibatches=1, seed=3,
    )  # fmt: skip
    recorded = trace(agent, tmp_path / "t", episodes=3, noise="sampled", max_steps=9)
    subject = ask(agent, recorded.steps([4, 17, 20]), "value")
    torch.testing.assert_close(subject(subject.x), torch.tensor(recorded.column("out.value", [4, 17, 20])[:, 0]))
    at = torch.tensor([2, 2, 0])
    torch.testing.assert_close(subject(subject.x[at], at), subject(subject.x)[at])
    one = subject.only(np.array([1]))
    torch.testing.assert_close(one(one.x), subject(subject.x)[1:2])


def test_one_part_of_a_dictionary_is_explained() -> None:
    class Two(nn.Module):
        def forward(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
            picture = obs["picture"].float().flatten(1).mean(1)
            return torch.stack([picture, obs["speed"][:, 0]], 1)

    space = spaces.Dict({"picture": PICTURES, "speed": spaces.Box(-1, 1, (2,), np.float32)})
    view = as_view(Two(), kind="logits", observation_space=space, action_space=spaces.Discrete(2))
    obs = {"picture": pictures(3), "speed": np.ones((3, 2), np.float32)}
    subject = ask(view, obs, "logit:0")
    assert subject.key == "picture"
    assert subject.layout().size == (24, 24)
    assert subject(subject.x * 0).tolist() == [0, 0, 0]
    other = Subject(view, Steps(obs), "logit:1", key="speed")
    assert other(other.x * 3).tolist() == [3, 3, 3]
    with pytest.raises(ConfigError, match="did you mean speed"):
        ask(view, obs, key="sped")
