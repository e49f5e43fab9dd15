"""Fully connected layers by the quicker of two libraries, and a sequence of them as one step of autograd.

PyTorch multiplies float32 matrices on a CPU by Intel's MKL, which on AMD processors with AVX-512 runs at half the
speed of oneDNN, the library that already computes its convolutions (`benchmarks/linear.py`). There, large products go
to oneDNN here; everywhere else they are PyTorch's own.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from jostle.nn.processor import AMD
from jostle.nn.tanh import Tanh, tanh

_LARGE = 1_500_000  # multiplications from which oneDNN's dearer call pays

# An activation is oneDNN's name for it and its numbers.
Activation = tuple[str, tuple[float, ...]]
_NONE: Activation = ("none", ())


def _has_onednn() -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


_ONEDNN = AMD and _has_onednn()


def linear(
    x: Float[Tensor, "*B p"], weight: Float[Tensor, "q p"], bias: Float[Tensor, "q"] | None = None
) -> Float[Tensor, "*B q"]:
    """``x Wᵀ + b``, as `torch.nn.functional.linear`."""
    if not _takes(x, weight):
        return F.linear(x, weight, bias)
    out: Tensor = _Dense.apply(x.reshape(-1, x.shape[-1]), (_NONE,), weight, bias)  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], -1)


def in_full(last: nn.Module, x: Tensor) -> Tensor:
    """The last layers of a network, in float32 under autocast too: in bfloat16 values beyond 64 would go by halves."""
    if not torch.is_autocast_enabled(x.device.type):
        y: Tensor = last(x)
        return y
    with torch.autocast(x.device.type, enabled=False):
        return last(x.float())  # type: ignore[no-any-return]


class Chain(nn.Sequential):
    """`torch.nn.Sequential` whose neighbouring `nn.Linear`, ReLUs, leaky ones and `Tanh` run as one step of autograd.

    Results differ from those of the layers one by one by rounding alone. Layers of other kinds, layers that somebody
    has hooked, and everything that is not a float32 batch [B, p] on a CPU run one by one.
    """

    def forward(self, x: Tensor) -> Tensor:
        return run(list(self), x)


def run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Layers one after the other, as in a `Chain`."""
    at = 0
    while at < len(layers):
        end = _end_of_run(layers, at) if _plain(x) else at
        if end == at:
            x = layers[at](x)
            at += 1
        else:
            x = _run(layers[at:end], x)
            at = end
    return x


def _plain(x: object) -> bool:
    return (
        isinstance(x, Tensor)  # a network's first layer may take something else
        and x.ndim == 2
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def _takes(x: Tensor, weight: Tensor) -> bool:
    work = x.numel() * weight.shape[0]
    return (
        _ONEDNN and work >= _LARGE and weight.dtype == torch.float32 and _plain(x if x.ndim == 2 else x.flatten(0, -2))
    )


def _end_of_run(layers: Sequence[nn.Module], first: int) -> int:
    """The index behind the last of the layers from ``first`` on that run together."""
    at = first
    while at < len(layers) and type(layers[at]) is nn.Linear and not hooked(layers[at]):
        at += 1
        if at < len(layers) and _activation(layers[at]) is not None and not hooked(layers[at]):
            at += 1
    return at


def _activation(layer: nn.Module) -> Activation | None:
    if type(layer) is nn.ReLU:
        return "relu", ()
    if type(layer) is nn.LeakyReLU:
        return "leaky_relu", (layer.negative_slope,)
    return ("tanh", ()) if type(layer) is Tanh else None


def hooked(layer: nn.Module) -> bool:
    """Whether somebody waits for a layer's input, output or gradients."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks)


def _run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    parameters, activations = _split(layers)
    if torch.is_grad_enabled():
        out: Tensor = _Dense.apply(x, activations, *parameters)  # type: ignore[no-untyped-call]
        return out
    return _forward(x, activations, parameters)[-1]


def _split(layers: Sequence[nn.Module]) -> tuple[list[Tensor | None], tuple[Activation, ...]]:
    """Weight and bias of every fully connected layer, and what follows each."""
    parameters: list[Tensor | None] = []
    activations: list[Activation] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            parameters += [layer.weight, layer.bias]
            activations.append(_NONE)
        else:
            activations[-1] = _activation(layer) or _NONE
    return parameters, tuple(activations)


def _forward(x: Tensor, activations: tuple[Activation, ...], parameters: "list[Tensor | None]") -> list[Tensor]:
    """The input and the output of every layer."""
    outputs = [x]
    for activation, weight, bias in zip(activations, parameters[::2], parameters[1::2], strict=True):
        assert weight is not None
        outputs.append(_layer(outputs[-1], weight, bias, activation))
    return outputs


def _layer(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation) -> Tensor:
    if _ONEDNN and x.numel() * len(weight) >= _LARGE:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation[0], activation[1], "")
        return out
    out = F.linear(x, weight, bias)
    match activation:
        case "relu", _:
            return out.relu_()
        case "leaky_relu", (slope,):
            return F.leaky_relu_(out, slope)
        case "tanh", _:
            return tanh(out)
    return out


def _product(a: Float[Tensor, "m k"], b: Float[Tensor, "k n"]) -> Float[Tensor, "m n"]:
    if _ONEDNN and a.numel() * b.shape[1] >= _LARGE:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), None, *_NONE, "")
        return out
    return a.mm(b)


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, activations: tuple[Activation, ...], *parameters: Tensor | None) -> Tensor:
        outputs = _forward(x, activations, list(parameters))
        ctx.activations, ctx.has_bias = activations, [b is not None for b in parameters[1::2]]
        ctx.save_for_backward(*outputs, *parameters[::2])
        return outputs[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.activations)
        outputs, weights = ctx.saved_tensors[: count + 1], ctx.saved_tensors[count + 1 :]
        needs_x, _, *needs = ctx.needs_input_grad
        wanted = [need and (i % 2 == 0 or ctx.has_bias[i // 2]) for i, need in enumerate(needs)]
        grad, found = _backward(grads[0], ctx.activations, outputs, weights, wanted, needs_x)
        return grad, None, *found


def _backward(
    grad: Tensor,
    activations: tuple[Activation, ...],
    outputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    wanted: Sequence[bool],
    needs_x: bool,
) -> tuple[Tensor | None, list[Tensor | None]]:
    """The gradients for the input and, where they are wanted, for weight and bias of every layer."""
    found: list[Tensor | None] = [None] * len(wanted)
    for i in reversed(range(len(weights))):
        grad = _through(activations[i], grad, outputs[i + 1])
        if wanted[2 * i]:
            found[2 * i] = _weight_gradient(grad, outputs[i])
        if wanted[2 * i + 1]:
            found[2 * i + 1] = grad.sum(0)
        if not (i or needs_x):
            return None, found
        grad = _product(grad, weights[i])
    return grad, found


class Tape:
    """Layers that run together, and what their gradients need: a pass forwards and backwards without autograd.

    Args:
        layers: `nn.Linear`, and activations that a `Chain` takes, none of them hooked (`runs`).
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._parameters, self._activations = _split(layers)
        self._weights = [weight for weight in self._parameters[::2] if weight is not None]

    @staticmethod
    def runs(layers: Sequence[nn.Module]) -> bool:
        """Whether these layers run together."""
        return bool(layers) and _end_of_run(layers, 0) == len(layers)

    def forward(self, x: Float[Tensor, "B p"]) -> Float[Tensor, "B q"]:
        """As the layers one by one."""
        self._outputs = _forward(x, self._activations, self._parameters)
        return self._outputs[-1]

    def backward(self, grad: Float[Tensor, "B q"]) -> None:
        """Give every parameter its gradient, in the place of what it has.

        In the parameter's memory layout: fused optimisers would silently pair the wrong elements otherwise.
        """
        wanted = [parameter is not None for parameter in self._parameters]
        _, found = _backward(grad, self._activations, self._outputs, self._weights, wanted, needs_x=False)
        for parameter, gradient in zip(self._parameters, found, strict=True):
            if parameter is not None:
                parameter.grad = None if gradient is None else gradient.contiguous()


def _through(activation: Activation, grad: Tensor, out: Tensor) -> Tensor:
    """The gradient before an activation, from that behind it and the activation's output."""
    found: Tensor = grad
    match activation:
        case "relu", _:
            found = torch.ops.aten.threshold_backward(grad, out, 0)
        case "leaky_relu", (slope,):
            found = torch.ops.aten.leaky_relu_backward(grad, out, slope, True)
        case "tanh", _:
            found = torch.ops.aten.tanh_backward(grad, out)
    return found


def _weight_gradient(grad: Float[Tensor, "B q"], x: Float[Tensor, "B p"]) -> Float[Tensor, "q p"]:
    """gᵀx. Libraries multiply quicker with the smaller matrix in front."""
    if x.shape[1] < grad.shape[1]:
        return _product(x.t(), grad).t()
    return _product(grad.t(), x)
