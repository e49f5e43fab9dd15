"""What a policy's output hangs on, by its gradients."""

from jostle.explain.saliency.cam import cam, grad_cam
from jostle.explain.saliency.gradients import gradient, gradient_times_input, smooth_grad
from jostle.explain.saliency.guided import guided_backprop
from jostle.explain.saliency.integrated import integrated_gradients

__all__ = [
    "cam",
    "grad_cam",
    "gradient",
    "gradient_times_input",
    "guided_backprop",
    "integrated_gradients",
    "smooth_grad",
]
