"""Whether a trace is of this policy."""

import hashlib

import torch
from torch import nn

from jostle.view import PolicyView


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a module's parameters and buffers, in their order."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            continue
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().data if plain.numel() else b"")
    return digest.hexdigest()


def fingerprint(view: PolicyView) -> str:
    """The same for equal weights; of a policy without any, such as a function, its name."""
    return weights_digest(view.module) if len(view.module.state_dict()) else f"name {view.name}"
