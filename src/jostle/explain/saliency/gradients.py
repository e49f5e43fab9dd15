"""Gradients at the observation itself, and averaged over noisy copies of it."""

from typing import Any

import torch

from jostle.errors import ConfigError
from jostle.explain.asking import Target, ask
from jostle.explain.results import Importance, Maps
from jostle.explain.saliency.shared import (
    captum,
    picture_layout,
    places,
    quiet,
    require_gradients,
    result_of,
    seeded,
)


def gradient(
    policy: Any, steps: Any, target: str | Target | None = None, *, key: str | None = None
) -> Maps | Importance:
    """|∂y/∂x|, the greatest over a pixel's channels (Simonyan et al. 2014); of vectors ∂y/∂x with its sign.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.

    Raises:
        ConfigError: the policy has no gradients, or the target none at this point.
    """
    subject = ask(policy, steps, target, key=key)
    require_gradients(subject)
    with quiet():
        found = captum().Saliency(subject).attribute(
            subject.x.clone(), abs=False, additional_forward_args=(places(subject),)
        )  # fmt: skip
    return result_of(subject, "gradient", found, "max", {})


def gradient_times_input(
    policy: Any, steps: Any, target: str | Target | None = None, *, key: str | None = None
) -> Maps | Importance:
    """x ∂y/∂x with its sign, summed over a pixel's channels.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.

    Raises:
        ConfigError: the policy has no gradients, or the target none at this point.
    """
    subject = ask(policy, steps, target, key=key)
    require_gradients(subject)
    with quiet():
        found = captum().InputXGradient(subject).attribute(
            subject.x.clone(), additional_forward_args=(places(subject),)
        )  # fmt: skip
    return result_of(subject, "gradient × input", found, "sum", {})


def smooth_grad(
    policy: Any,
    steps: Any,
    target: str | Target | None = None,
    *,
    samples: int = 50,
    sigma: float = 0.15,
    seed: int = 0,
    batch: int = 50,
    key: str | None = None,
) -> Maps | Importance:
    """The mean gradient over noisy copies of the observation (Smilkov et al. 2017), then as of `gradient`.

    Every step has the same noise, so that its map does not depend on the others.

    Args:
        policy, steps, target, key: see `jostle.explain.ask`.
        samples: n.
        sigma: of the noise, as a share of the range of the observation: of pictures its bounds, else what the step has.
        seed: of the noise; torch's global generator is left as it was.
        batch: copies that go through the network at a time.

    Raises:
        ConfigError: the policy has no gradients, or an argument cannot be used.
    """
    if samples < 1 or batch < 1 or not sigma > 0:
        raise ConfigError(f"samples={samples}, batch={batch} and sigma={sigma} of SmoothGrad must be greater than 0.")
    subject = ask(policy, steps, target, key=key)
    require_gradients(subject, at_the_point=False)
    layout = picture_layout(subject)
    tunnel = captum().NoiseTunnel(captum().Saliency(subject))
    parts = []
    for row, x in enumerate(torch.split(subject.x, 1)):
        if layout is not None and layout.low is not None and layout.high is not None:
            width = layout.high - layout.low
        else:
            width = float(x.max() - x.min()) or 1.0
        with quiet(), seeded(seed, x.device):
            parts.append(
                tunnel.attribute(
                    x.clone(), nt_type="smoothgrad", nt_samples=samples, nt_samples_batch_size=min(batch, samples),
                    stdevs=sigma * width, abs=False, additional_forward_args=(torch.tensor([row]),),
                )
            )  # fmt: skip
    return result_of(subject, "SmoothGrad", torch.cat(parts), "max", {"samples": samples, "σ": sigma, "seed": seed})
