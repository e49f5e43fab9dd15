"""What cannot be explained: one sentence with the remedy from every function, and no traceback of NumPy or torch.

Layer names that do not exist, observations that are no pictures, units out of range, empty rollouts, NaN, policies
without gradients, and traces of other policies.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import jostle
from jostle import explain
from jostle.errors import ConfigError
from jostle.explain.activations import Activations
from jostle.explain.asking import Subject
from jostle.explain.tracing import Steps, Trace
from jostle.explain.weights import untrained
from jostle.view import as_view
from jostle.view.interface import PolicyView

SIDE = 24
PICTURE, VECTOR = spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8), spaces.Box(-9, 9, (4,), np.float32)


class Seeing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.pool, self.out = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.out(self.pool(self.relu(self.conv(x.float() / 255))).flatten(1))
        return found


class Feeling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.relu, self.out = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.out(self.relu(self.hidden(x.float())))
        return found


def seeing(module: nn.Module | None = None) -> PolicyView:
    net = Seeing() if module is None else module
    return as_view(net, kind="logits", observation_space=PICTURE, action_space=spaces.Discrete(2))


def feeling(module: nn.Module | None = None) -> PolicyView:
    return as_view(Feeling() if module is None else module, kind="logits", env="CartPole-v1")


def pictures(count: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)


def vectors(count: int = 6) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def by_gradient(subject: Subject) -> Any:
    return explain.gradient(subject, None)


OF_PICTURES: dict[str, Callable[..., Any]] = {
    "occlusion": explain.occlusion, "greydanus": explain.greydanus, "sarfa": explain.sarfa,
    "baseline_mask": lambda p, s: explain.baseline_mask(p, s, fill=np.zeros((3, SIDE, SIDE))), "cam": explain.cam,
    "grad_cam": explain.grad_cam,
}  # fmt: skip
BY_GRADIENTS: dict[str, Callable[..., Any]] = {
    "gradient": explain.gradient, "gradient_times_input": explain.gradient_times_input,
    "smooth_grad": lambda p, s: explain.smooth_grad(p, s, samples=2), "guided_backprop": explain.guided_backprop,
    "integrated_gradients": lambda p, s: explain.integrated_gradients(p, s, points=3),
    "maximise_activation": lambda p, s: explain.maximise_activation(p, s, iterations=2, starts=1),
}  # fmt: skip
OF_VECTORS: dict[str, Callable[..., Any]] = {
    "feature_ablation": explain.feature_ablation, "permutation": explain.permutation,
}  # fmt: skip
OF_LAYERS: dict[str, Callable[..., Any]] = {
    "unit_ablation": explain.unit_ablation, "cumulative_ablation": explain.cumulative_ablation,
    "unit_ablations": explain.unit_ablations,
    "maximise_activation (layer)": lambda p, s, layer: explain.maximise_activation(p, s, layer, iterations=2, starts=1),
}  # fmt: skip
OF_ALL: dict[str, Callable[..., Any]] = {
    "layer_ablation": lambda p, s: explain.layer_ablation(p, s, Feeling(), draws=1),
    "pruning": lambda p, s: explain.pruning(p, s, sparsity=[0.5], draws=1),
}  # fmt: skip


def refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---- layers that do not exist ----


@pytest.mark.parametrize("name", OF_LAYERS)
def test_layers_that_do_not_exist(name: str) -> None:
    refused(lambda: OF_LAYERS[name](feeling(), vectors(), "hiden"), "no layer 'hiden'.*did you mean hidden")


@pytest.mark.parametrize(
    "call",
    [
        lambda: explain.grad_cam(seeing(), pictures(), layer="cnv"),
        lambda: explain.kernels(seeing(), "cnv"),
        lambda: explain.spectra(seeing(), "cnv"),
        lambda: explain.pruning(seeing(), pictures(), layers=["cnv"]),
        lambda: explain.randomisation(by_gradient, explain.ask(seeing(), pictures()), layers=["cnv"]),
    ],
    ids=["grad_cam", "kernels", "spectra", "pruning", "randomisation"],
)
def test_layers_that_do_not_exist_elsewhere(call: Callable[[], Any]) -> None:
    refused(call, "no layer 'cnv'.*did you mean.* conv")


def test_layers_of_traces(tmp_path: Path) -> None:
    refused(lambda: explain.trace(feeling(), tmp_path / "t", layers=["hiden"]), "did you mean hidden")
    recorded = explain.trace(feeling(), tmp_path / "u", episodes=2, max_steps=4, layers=["hidden"])
    refused(lambda: explain.gather(recorded, "hiden", feeling()), "did you mean hidden|is the trace of another policy")
    refused(lambda: explain.gather(recorded, "hiden"), "did you mean hidden")
    refused(lambda: recorded.activations("out"), "record it with layers=")
    refused(lambda: explain.patch_layers(explain.twin_worlds(_moved(), _CHANGE, episodes=2), ["hiden"]), "mean hidden")
    refused(lambda: explain.patch_units(explain.twin_worlds(_moved(), _CHANGE, episodes=2), "hiden"), "mean hidden")


_CHANGE: dict[str, Any] = {"domain": {"pole.mass": 1.0}}


def _moved() -> PolicyView:
    return as_view(Feeling(), kind="logits", env="jostle/CartPole-v1")


# ---- observations that are no pictures, or no vectors ----


@pytest.mark.parametrize("name", OF_PICTURES)
def test_observations_that_are_no_pictures(name: str) -> None:
    refused(
        lambda: OF_PICTURES[name](feeling(), vectors()), r"sees Box\[4\] of float32 and no pictures: use feature_abl"
    )


@pytest.mark.parametrize("check", ["fidelity", "randomisation", "check", "permuted_actions"])
def test_checks_of_maps_where_there_are_none(check: str) -> None:
    subject = explain.ask(feeling(), vectors(), "logit:0")
    calls: dict[str, Callable[[], Any]] = {
        "fidelity": lambda: explain.fidelity(by_gradient(subject), subject),
        "randomisation": lambda: explain.randomisation(by_gradient, subject),
        "check": lambda: explain.check(by_gradient, subject),
        "permuted_actions": lambda: explain.permuted_actions(
            by_gradient, subject, explain.sanity.permuted.Students(feeling(), feeling(), (1.0, 1.0))
        ),
    }
    refused(calls[check], "pictures|maps")


# ---- units that do not exist ----


@pytest.mark.parametrize("units", [[8], [-1], [0, 99], []])
@pytest.mark.parametrize("name", ["unit_ablation", "unit_ablations", "maximise_activation", "patch_units"])
def test_units_that_do_not_exist(name: str, units: list[int]) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "unit_ablation": lambda: explain.unit_ablation(feeling(), vectors(), "hidden", units=units),
        "unit_ablations": lambda: explain.unit_ablations(feeling(), vectors(), "hidden", units=units),
        "maximise_activation": lambda: explain.maximise_activation(feeling(), vectors(), "hidden", units=units),
        "patch_units": lambda: explain.patch_units(
            explain.twin_worlds(_moved(), _CHANGE, episodes=2, max_steps=4), "hidden", units=units
        ),
    }
    refused(calls[name], "units 0 to 7")


# ---- nothing to explain ----


@pytest.mark.parametrize("name", [*OF_PICTURES, *BY_GRADIENTS])
def test_no_steps_of_pictures(name: str) -> None:
    refused(lambda: (OF_PICTURES | BY_GRADIENTS)[name](seeing(), pictures(0)), "there is no step to explain")


@pytest.mark.parametrize("name", [*BY_GRADIENTS, *OF_VECTORS, *OF_ALL])
def test_no_steps_of_vectors(name: str) -> None:
    refused(lambda: (BY_GRADIENTS | OF_VECTORS | OF_ALL)[name](feeling(), vectors(0)), "there is no step to explain")


@pytest.mark.parametrize("name", OF_LAYERS)
def test_no_steps_of_layers(name: str) -> None:
    refused(lambda: OF_LAYERS[name](feeling(), Steps(vectors(0)), "hidden"), "there is no step to explain")


def empty(count: int = 0) -> Activations:
    return Activations(
        "policy", "layer", np.zeros((count, 3)), np.arange(count), np.zeros(count, np.int64), ("all",) * count,
        {"mass": np.zeros(count)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: explain.embed(empty()), "components need two steps"),
        (lambda: explain.embed(empty(), "tsne"), "t-SNE of 0 steps"),
        (lambda: explain.embed(empty(), fit_on="seen"), "no condition 'seen'"),
        (lambda: explain.entanglement(empty(), "mass"), "step|class"),
        (lambda: explain.probe(empty(), "mass"), "0 episodes proves nothing"),
        (lambda: explain.trajectories(empty(), "seen", "unseen"), "no condition 'seen'"),
        (lambda: explain.twin_worlds(feeling(), {"x": 1}, episodes=0), "episodes"),
        (lambda: explain.ablation_returns(feeling(), {"x": explain.Ablation()}, episodes=0), "episodes"),
        (lambda: explain.ablation_returns(feeling(), {}), "there is no ablation"),
    ],
    ids=["pca", "tsne", "fit_on", "entanglement", "probe", "trajectories", "twins", "returns", "ablations"],
)
def test_nothing_recorded(call: Callable[[], Any], said: str) -> None:
    refused(call, said)


def test_empty_rollouts(tmp_path: Path) -> None:
    refused(lambda: explain.trace(feeling(), tmp_path / "a", episodes=0), "episodes")
    refused(lambda: explain.trace(feeling(), tmp_path / "b", max_steps=0), "max_steps")
    refused(lambda: explain.trace(feeling(), tmp_path / "c", stop=lambda: True), "holds no step")
    view = feeling()
    recorded = explain.trace(view, tmp_path / "d", episodes=2, max_steps=4)
    refused(lambda: explain.unit_ablation(view, recorded.steps([]), "hidden"), "there is no step to explain")
    refused(lambda: explain.gather(recorded, "hidden", view, rows=[]), "no step")


# ---- NaN ----


def broken(net: nn.Module, layer: str) -> nn.Module:
    nn.init.constant_(net.get_submodule(layer).weight, float("nan"))  # type: ignore[arg-type]
    return net


@pytest.mark.parametrize("layer", ["conv", "out"])
@pytest.mark.parametrize("name", [*OF_PICTURES, *BY_GRADIENTS])
def test_weights_that_are_nan_in_pictures(name: str, layer: str) -> None:
    refused(lambda: (OF_PICTURES | BY_GRADIENTS)[name](seeing(broken(Seeing(), layer)), pictures()), "NaN")


@pytest.mark.parametrize("layer", ["hidden", "out"])
@pytest.mark.parametrize("name", [*BY_GRADIENTS, *OF_VECTORS, *OF_ALL])
def test_weights_that_are_nan_in_vectors(name: str, layer: str) -> None:
    known = BY_GRADIENTS | OF_VECTORS | OF_ALL
    refused(lambda: known[name](feeling(broken(Feeling(), layer)), vectors()), "NaN")


@pytest.mark.parametrize("name", OF_LAYERS)
def test_activations_that_are_nan(name: str) -> None:
    refused(lambda: OF_LAYERS[name](feeling(broken(Feeling(), "hidden")), vectors(), "relu"), "NaN")


@pytest.mark.parametrize(
    "call",
    [
        lambda view: explain.kernels(view),
        lambda view: explain.weight_statistics(view, untrained=2),
        lambda view: explain.spectra(view),
    ],
    ids=["kernels", "weight_statistics", "spectra"],
)
def test_weights_that_are_nan_by_themselves(call: Callable[..., Any]) -> None:
    refused(lambda: call(seeing(broken(Seeing(), "conv"))), "NaN")


def test_worlds_in_which_nan_comes_out() -> None:
    view = as_view(broken(Feeling(), "out"), kind="logits", env="jostle/CartPole-v1")
    refused(lambda: explain.patch_layers(explain.twin_worlds(view, _CHANGE, episodes=2, max_steps=4)), "NaN")
    refused(lambda: explain.change_objects(view, {"pole": _CHANGE}).effect("logit:0"), "NaN")


# ---- no gradients, no outputs ----


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_policies_without_gradients(name: str) -> None:
    def called(x: Tensor) -> Tensor:
        return torch.stack([x.detach()[:, 0], x.detach()[:, 1]], 1)

    view = as_view(called, kind="logits", observation_space=VECTOR, action_space=spaces.Discrete(2))
    refused(lambda: BY_GRADIENTS[name](view, vectors()), "no gradient of")
    acts = as_view(lambda obs: (obs[:, 0] > 0).astype(np.int64), env="CartPole-v1")
    refused(lambda: BY_GRADIENTS[name](acts, vectors()), "no gradient of")


@pytest.mark.parametrize("name", [*OF_LAYERS, *OF_ALL])
def test_policies_that_show_no_outputs(name: str) -> None:
    acts = as_view(lambda obs: (obs[:, 0] > 0).astype(np.int64), env="CartPole-v1")
    call = (OF_LAYERS | OF_ALL)[name]
    refused(lambda: call(acts, vectors(), *(["hidden"] if name in OF_LAYERS else [])), "policy|layer")


# ---- another policy's trace ----


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    agent = jostle.PPO("CartPole-v1", num_envs=2, num_steps=8, hidden=(8,), seed=5)
    return explain.trace(agent, tmp_path_factory.mktemp("foreign") / "t", episodes=4, max_steps=6)


@pytest.mark.parametrize("name", [*BY_GRADIENTS, *OF_VECTORS, *OF_ALL])
def test_traces_of_another_policy(name: str, foreign: Trace) -> None:
    call = (BY_GRADIENTS | OF_VECTORS | OF_ALL)[name]
    refused(lambda: call(feeling(), foreign), "is the trace of another policy")
    refused(lambda: call(feeling(), foreign.steps([0, 1])), "is the trace of another policy")


@pytest.mark.parametrize(
    "call",
    [
        lambda view, trace: explain.unit_ablation(view, trace, "hidden"),
        lambda view, trace: explain.memory_ablation(view, trace),
        lambda view, trace: explain.students(view, trace),
        lambda view, trace: explain.run_statements(view, trace, []),
    ],
    ids=["unit_ablation", "memory_ablation", "students", "run_statements"],
)
def test_traces_of_another_policy_elsewhere(call: Callable[..., Any], foreign: Trace) -> None:
    refused(lambda: call(feeling(), foreign), "is the trace of another policy|has no recurrent state")


def test_nulls_of_another_shape() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.relu, self.out = nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.out(self.relu(self.hidden(x.float())))
            return found

    refused(lambda: untrained(feeling(), 0, source=Wide()), "of the same shape|of another")
    refused(lambda: explain.layer_ablation(feeling(), vectors(), Wide(), draws=1), "of the same shape|were given")
    refused(lambda: explain.at_start(feeling(), nn.Linear(4, 2)), "there are no weights")
