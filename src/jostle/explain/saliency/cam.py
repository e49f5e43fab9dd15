"""Class activation maps: which places of the last feature maps speak for the explained number."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from jostle.errors import ConfigError
from jostle.explain.asking import Layout, Subject, Target, ask
from jostle.explain.results.maps import Maps, maps_of
from jostle.explain.saliency.shared import captum, places, quiet, require_gradients
from jostle.view import Probabilities


def grad_cam(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    layer: str | None = None,
    positive: bool = False,
    key: str | None = None,
) -> Maps:
    """Σ_k α_k A_k with α_k the mean of ∂y/∂A_k over places (Selvaraju et al. 2017), brought to the picture's size.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        layer: whose feature maps A; None: the last ones of a pass.
        positive: the ReLU of the paper, which leaves what speaks for it alone; else both signs.

    Raises:
        ConfigError: no pictures or gradients, or a layer without feature maps.
    """
    subject = ask(policy, steps, target, key=key)
    layout = subject.layout()
    require_gradients(subject)
    name = feature_layer(subject, layer)
    with quiet():
        found = captum().LayerGradCam(subject, subject.network.get_submodule(name)).attribute(
            subject.x.clone(), additional_forward_args=(places(subject),), relu_attributions=positive
        )  # fmt: skip
    how = {"layer": name, "positive": positive}
    return maps_of(subject, layout, "Grad-CAM", enlarged(found[:, 0], layout), signed=not positive, settings=how)


def cam(policy: Any, steps: Any, target: str | Target | None = None, *, key: str | None = None) -> Maps:
    """Σ_k w_k A_k (Zhou et al. 2016): A the maps before global average pooling, w the weights right behind it.

    Args:
        policy, steps, key: see `jostle.explain.ask`.
        target: a number that is linear in the pooled features: a logit, an action value, a state value, a mean. None:
            the action's logit, its value, or the first mean.

    Raises:
        ConfigError: there is no such pooling, or what follows it is not linear.
    """
    subject = ask(policy, steps, target, key=key)
    if target is None and isinstance(subject.reference.distribution, Probabilities):
        subject = subject.about("logit")
    layout = subject.layout()
    require_gradients(subject)
    pool = _pooling(subject)
    module = subject.network.get_submodule(pool)
    maps: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, args: maps.append(args[0]))
    try:
        weights = _weights(subject, pool, 1.0)
        elsewhere = [_weights(subject, pool, scale) for scale in (0.0, 100.0, -100.0)]
    finally:
        hook.remove()
    if not all(bool(torch.isfinite(each).all()) for each in (weights, maps[0])):
        raise ConfigError(
            f"the CAM maps of {subject.view.name} hold NaN or infinities: its weights do, or it overflows."
        )
    close = 1e-6 * float(weights.abs().max())
    if not all(torch.allclose(weights, other, rtol=1e-3, atol=close) for other in elsewhere):
        raise ConfigError(
            f"what follows the pooling '{pool}' of {subject.view.name} is not linear, as CAM needs it (layers in "
            "between, or a target such as log_prob): use grad_cam."
        )
    found = torch.einsum("bk,bkhw->bhw", weights, maps[0].detach())
    return maps_of(subject, layout, "CAM", enlarged(found, layout), signed=True, settings={"layer": pool})


def feature_layer(subject: Subject, layer: str | None = None) -> str:
    """The layer that is asked for, or the last one of a pass that puts out feature maps.

    Raises:
        ConfigError: there is none, or it puts out something else.
    """
    outputs: dict[str, tuple[int, ...]] = {}
    hooks = []
    for name, module in subject.network.named_modules():
        if name:

            def keep(_: nn.Module, __: Any, out: Any, name: str = name) -> None:
                if isinstance(out, Tensor):
                    outputs.pop(name, None)
                    outputs[name] = tuple(out.shape)

            hooks.append(module.register_forward_hook(keep))
    try:
        with torch.no_grad():
            subject(subject.x[:1].clone(), torch.zeros(1, dtype=torch.int64))
    finally:
        for hook in hooks:
            hook.remove()
    if layer is not None:
        kept = subject.view.look(subject.steps.obs, [layer])[1] if layer not in outputs else {}
        shape = outputs.get(layer, tuple(kept[layer].shape) if kept else ())
        if len(shape) != 4:
            raise ConfigError(
                f"the layer '{layer}' of {subject.view.name} puts out {list(shape)} and no feature maps: choose a "
                f"convolution, such as '{feature_layer(subject)}'."
            )
        return layer
    inputs = {"images", "input"}  # what brings pictures to one form has no features
    maps = [n for n, s in outputs.items() if len(s) == 4 and min(s[2:]) > 1 and n.split(".")[-1] not in inputs]
    if not maps:
        raise ConfigError(f"{subject.view.name} has no layer with feature maps: use gradient or occlusion.")
    return maps[-1]


def enlarged(maps: Float[Tensor, "B h w"], layout: Layout) -> Float[Tensor, "B H W"]:
    """Maps at the size of the pictures, bilinear."""
    return F.interpolate(maps[:, None], layout.size, mode="bilinear", align_corners=False)[:, 0]


def _pooling(subject: Subject) -> str:
    for name, module in subject.network.named_modules():
        if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            return str(name)
    raise ConfigError(
        f"{subject.view.name} has no global average pooling (nn.AdaptiveAvgPool2d(1)), as encoder='impala-gap' has it: "
        "use grad_cam."
    )


def _weights(subject: Subject, pool: str, scale: float) -> Float[Tensor, "B K"]:
    """∂y/∂(pooled features) [B, K], at these times a scale."""
    from jostle.view.inside import hooked

    pooled: list[Tensor] = []

    def cut(x: Tensor) -> Tensor:
        pooled.append((x.detach() * scale).requires_grad_())
        return pooled[-1]

    with hooked(subject.network, subject.view.name, patch={pool: cut}):
        y = subject(subject.x)
    return torch.autograd.grad(y.sum(), pooled[-1])[0].flatten(1)
