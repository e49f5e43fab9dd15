"""Fresh weights: what a tensor, a layer or a network could have begun with.

A tensor is drawn like a given one, by `drawn_like`: what the first weights of a run were a draw of, or, where nobody
knows these, the present ones. A layer by itself is drawn by its own ``reset_parameters`` where it has one, as Adebayo
et al. (2018) and Quantus do, for maps must change whatever the fresh weights' size.
"""

import torch
from torch import Tensor, nn

ORTHOGONAL = 1e-3
"""How far a matrix' Gram matrix may lie from a multiple of the identity, relative to it, and be called orthogonal."""


def drawn_like(reference: Tensor, generator: torch.Generator) -> Tensor:
    """A fresh draw, on the CPU, of what these first weights are a draw of.

    Constants (such as biases of 0) stay what they are. Matrices and kernels that are orthogonal up to a gain become
    others that are. Of all else the entries are drawn from a normal distribution of the same mean and deviation: what
    has been trained has no other start to be told by.
    """
    x = reference.detach().float().cpu()
    if x.numel() == 0 or bool((x == x.flatten()[0]).all()):
        return x.clone()
    if x.ndim >= 2:
        flat = x.flatten(1)
        wide = flat if len(flat) <= flat.shape[1] else flat.T
        gram = wide @ wide.T
        gain = gram.diagonal().mean()
        if gain > 0 and float((gram / gain - torch.eye(len(gram))).abs().max()) < ORTHOGONAL:
            normal = torch.randn(wide.shape[1], wide.shape[0], generator=generator)
            q, r = torch.linalg.qr(normal)
            q = (q * r.diagonal().sign()).T * gain.sqrt()
            found: Tensor = q if len(flat) <= flat.shape[1] else q.T
            return found.reshape(x.shape).contiguous()
    return x.mean() + x.std(correction=0) * torch.randn(x.shape, generator=generator)


@torch.no_grad()
def refresh(module: nn.Module, layer: str, seed: int) -> None:
    """Draw a layer's own parameters afresh, in place: by its ``reset_parameters``, else each like itself.

    PyTorch's global generator is left as it was.
    """
    target = module.get_submodule(layer)
    where = next(target.parameters(recurse=False)).device
    reset = getattr(target, "reset_parameters", None)
    if callable(reset):
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
            torch.manual_seed(seed)
            reset()
        return
    generator = torch.Generator().manual_seed(seed)
    for parameter in target.parameters(recurse=False):
        parameter.copy_(drawn_like(parameter, generator))
