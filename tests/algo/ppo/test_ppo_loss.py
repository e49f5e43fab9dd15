"""What PPO learns where actions are several choices or continuous: every gradient against torch's own distributions.

The transcription of whole updates (`ppo_oracle`) knows Discrete actions alone, whose loss has a code of its own.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal

import jostle

STEPS, ENVS = 7, 5
SETTINGS: dict[str, Any] = {
    "hidden": (6, 5), "num_steps": STEPS, "epochs": 4, "minibatches": 1, "learning_rate": 0.05, "max_grad_norm": 0.0,
    "clip": 0.1, "value_clip": 0.05, "value_coef": 0.7, "entropy_coef": 0.3, "normalise_advantage": False,
    "bonus": ("rnd",), "bonus_features": 6, "bonus_warmup": 4, "bonus_learning_rate": 1e-3,
    "normalise_obs": False, "value_weights": "equal", "value_norm": "none",
}  # fmt: skip
Parameters = dict[str, Tensor]


def policy_and_values(p: Parameters, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log π(a) [B], the entropy [B] and the values [B, K], by two networks of tanh layers."""
    out = []
    for trunk, head in (("actor", "policy"), ("critic", "value")):
        x = obs
        for i in (0, 2):
            x = torch.tanh(x @ p[f"{trunk}.{i}.weight"].T + p[f"{trunk}.{i}.bias"])
        out.append(x @ p[f"{head}.weight"].T + p[f"{head}.bias"])
    pi, value = out
    if "log_std" in p:
        gaussian = Independent(Normal(pi, p["log_std"].exp()), 1)
        return gaussian.log_prob(action), gaussian.entropy(), value
    choices = [Categorical(logits=part) for part in pi.split([3, 2], 1)]
    log_prob = sum((choice.log_prob(action[:, i]) for i, choice in enumerate(choices)), torch.zeros(()))
    return log_prob, sum((choice.entropy() for choice in choices), torch.zeros(())), value


@pytest.mark.parametrize("microbatch", [0, 4])
@pytest.mark.parametrize("actions", ["multi", "box"])
def test_every_gradient_and_term_is_that_of_the_formula(lively: Any, actions: str, microbatch: int) -> None:
    agent = jostle.PPO(
        lambda: lively(actions, end=0.35), num_envs=ENVS, seed=5, microbatch=microbatch, **SETTINGS
    )  # fmt: skip
    learn, (optimizer, _) = agent.learner.learn, agent.learner.optimizers
    scored: list[Any] = []
    steps: list[tuple[Parameters, Parameters]] = []
    agent.learner.learn = lambda given: (scored.append(given), learn(given))[1]  # type: ignore[method-assign]

    def keep(*_: Any) -> None:
        named = dict(agent.network.named_parameters())
        steps.append(
            ({k: p.detach().double() for k, p in named.items()}, {k: p.grad.clone() for k, p in named.items()})
        )

    agent.advance()
    agent.learner.sums.clear()
    optimizer.register_step_pre_hook(keep)
    agent.advance()
    r, c = agent.rollout, agent.config
    valid = r.valid.flatten()
    assert not valid.all()
    obs = r.observations(torch.arange(STEPS * ENVS)).double()[valid]
    action = r.action.flatten(0, 1)[valid]
    action = action.double() if actions == "box" else action
    advantage, target = scored[-1].advantage.flatten()[valid].double(), scored[-1].target.flatten(0, 1)[valid].double()
    old_log_prob, _, old_value = policy_and_values(steps[0][0], obs, action)
    happened = torch.zeros(2)
    for step, (weights, gradients) in enumerate(steps):
        p = {name: w.clone().requires_grad_() for name, w in weights.items()}
        log_prob, entropy, value = policy_and_values(p, obs, action)
        ratio = (log_prob - old_log_prob).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clip(1 - c.clip, 1 + c.clip) * advantage)
        near = old_value + (value - old_value).clip(-c.value_clip, c.value_clip)
        squared = torch.maximum((value - target) ** 2, (near - target) ** 2)
        terms = {
            "policy": -surrogate.mean(),
            "value": 0.5 * squared.sum(1).mean(),
            "entropy": entropy.mean(),
            "approx_kl": (ratio - 1 - ratio.log()).mean(),
            "clip_fraction": ((ratio - 1).abs() > c.clip).double().mean(),
        }
        loss = terms["policy"] + c.value_coef * terms["value"] - c.entropy_coef * terms["entropy"]
        loss.backward()  # type: ignore[no-untyped-call]
        for name, gradient in gradients.items():
            torch.testing.assert_close(
                gradient.double(), p[name].grad, rtol=1e-4, atol=1e-5, msg=f"{name}, step {step}"
            )
        for name, term in terms.items():
            logged = float(agent.learner.sums[f"losses/{name}"][step])
            assert logged == pytest.approx(float(term.detach()), rel=1e-4, abs=1e-5), f"{name}, step {step}"
        clipped = (near - target).abs() > (value - target).abs() + 1e-3
        happened += torch.stack([terms["clip_fraction"].detach() > 0, clipped.any(0).all()])
    assert len(steps) == c.epochs
    assert (happened > 0).all(), "ratios and the values of both streams must have been clipped"
