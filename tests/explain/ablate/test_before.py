"""What stands before an ablated layer is computed once: numbers are those of whole passes, and work is done once."""

from typing import Any

import numpy as np
import pytest
import torch
from planted_nets import recall_view, rows, view_of
from torch import Tensor, nn

import jostle
from jostle.explain import ask, trace
from jostle.explain.ablate.before import before
from jostle.explain.ablate.cutting import cut_changes, filling, one_by_one, outputs_of
from jostle.view.inside import hooked


class Counted(nn.Linear):
    """Counts the rows that it has passed."""

    passed = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passed += len(x)
        return super().forward(x)


def deep() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        front = nn.Sequential(Counted(4, 16), nn.Tanh())
        return nn.Sequential(front, nn.Linear(16, 12), nn.ReLU(inplace=True), nn.Linear(12, 2))


def by_whole_passes(subject: Any, layer: str) -> np.ndarray[Any, Any]:
    """KL of each unit's ablation by its mean, a pass for each."""
    outputs = outputs_of(subject, layer)
    everything = torch.arange(len(subject.steps))
    p = subject.reference.logits.log_softmax(-1)
    found = []
    for unit in range(outputs.shape[1]):

        def patch(out: Tensor, unit: int = unit) -> Tensor:
            out = out.clone()
            out[:, unit] = outputs.mean(0)[unit]
            return out

        with hooked(subject.view.module, "x", patch={layer: patch}), torch.no_grad():
            q = subject.outputs(subject.x, everything).logits.log_softmax(-1)
        found.append((p.exp() * (p - q)).sum(-1).double().numpy())
    return np.stack(found)


@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_numbers_are_those_of_whole_passes(layer: str) -> None:
    subject = ask(view_of(deep()), rows(20))
    outputs = outputs_of(subject, layer)
    count = outputs.shape[1]
    changes = cut_changes(subject, layer, one_by_one(range(count), count), filling(outputs, "mean"), batch=50)
    np.testing.assert_allclose(changes.policy, by_whole_passes(subject, layer), atol=1e-6)
    assert changes.policy.max() > 1e-4


def test_the_front_is_passed_once() -> None:
    subject = ask(view_of(deep()), rows(20))
    front: Any = subject.view.module.get_submodule("0.0")
    outputs = outputs_of(subject, "2")
    front.passed = 0
    cut_changes(subject, "2", one_by_one(range(12), 12), filling(outputs, "mean"))
    assert front.passed < 3 * 20, "not 12 times"
    assert "forward" not in front.__dict__
    assert "forward" not in subject.view.module.get_submodule("0").__dict__
    assert set(before(subject, "2").outputs) == {"0", "1"}
    assert set(before(subject, "0").outputs) == set()


class Twice(nn.Module):
    """Calls its first layer again behind the layer that is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.front, self.middle, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.front(self.middle(self.front(x.float()).tanh()).tanh()))


class Stash(nn.Module):
    """Hands something on past its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.middle, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.front = self.Front(self)

    class Front(nn.Module):
        def __init__(self, owner: nn.Module) -> None:
            super().__init__()
            self.owner = [owner]  # no submodule

        def forward(self, x: Tensor) -> Tensor:
            owner: Any = self.owner[0]
            owner.kept = owner.inner(x)
            return x.tanh()

    def forward(self, x: Tensor) -> Tensor:
        self.front.owner[0] = self  # a copy's own
        y = self.middle(self.front(x.float()))
        kept: Tensor = self.kept  # type: ignore[assignment]
        return self.out(y + kept)


@pytest.mark.parametrize("made", [Twice, Stash])
def test_networks_in_which_it_would_be_wrong_pass_wholly(made: type[nn.Module]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        subject = ask(view_of(made()), rows(16))
    outputs = outputs_of(subject, "middle")
    changes = cut_changes(subject, "middle", one_by_one(range(4), 4), filling(outputs, "mean"))
    np.testing.assert_allclose(changes.policy, by_whole_passes(subject, "middle"), atol=1e-6)


def test_memories_and_draws_are_those_of_the_steps(tmp_path: Any) -> None:
    view = recall_view()
    recorded = trace(view, tmp_path / "a", episodes=4)
    subject = ask(view, recorded)
    assert subject.view.recurrent
    outputs = outputs_of(subject, "core")
    changes = cut_changes(subject, "core", one_by_one(range(4), 4), filling(outputs, "mean"))
    np.testing.assert_allclose(changes.policy, by_whole_passes(subject, "core"), atol=1e-6)
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(16, 8), noisy="factorised", seed=1)
    noisy = trace(agent, tmp_path / "b", episodes=3, noise="sampled", max_steps=10)
    subject = ask(agent, noisy)
    assert len(set(subject.steps.draw.tolist())) > 1  # type: ignore[union-attr]
    layer = "actor.2"
    outputs = outputs_of(subject, layer)
    assert before(subject, layer).outputs
    changes = cut_changes(subject, layer, one_by_one(range(8), 8), filling(outputs, "mean"))
    np.testing.assert_allclose(changes.policy, by_whole_passes(subject, layer), atol=1e-6)
