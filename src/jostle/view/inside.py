"""What goes on inside of a network during a pass: layers read, and layers given other outputs than their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn

from jostle.errors import ConfigError, closest

Patch: TypeAlias = Callable[[Tensor], Tensor]
"""Makes another output [B, …] of a layer's own."""


@contextmanager
def hooked(
    module: nn.Module, name: str, layers: Sequence[str] = (), patch: Mapping[str, Patch] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Within the block, passes keep what ``layers`` put out, and go on with what ``patch`` makes of others' outputs.

    Of a layer that gives a tuple, as recurrent ones do, the first part is meant. Of several calls in one pass the last
    one is kept; a patch is applied at each. A layer of both kinds is kept as patched.

    Args:
        module: the network.
        name: what it is called in messages.
        layers: names of modules in it.
        patch: module's name -> function.

    Raises:
        ConfigError: there is no such layer.
    """
    kept: dict[str, Tensor] = {}
    known = [each for each, _ in module.named_modules() if each]
    for layer in (*layers, *(patch or {})):
        if layer not in known:
            raise ConfigError(f"{name} has no layer '{layer}'; {closest(layer, known)}")

    def keep(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor):
                kept[layer] = first

        return hook

    def replace(make: Patch) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            return (make(output[0]), *output[1:]) if isinstance(output, tuple) else make(output)

        return hook

    with ExitStack() as stack:
        for layer, make in (patch or {}).items():
            stack.callback(module.get_submodule(layer).register_forward_hook(replace(make)).remove)
        for layer in layers:
            stack.callback(module.get_submodule(layer).register_forward_hook(keep(layer)).remove)
        yield kept


def require_kept(kept: Mapping[str, Tensor], layers: Sequence[str], name: str) -> None:
    """Raises: ConfigError where no tensor came out of a layer."""
    for layer in layers:
        if layer not in kept:
            raise ConfigError(f"no tensor comes out of '{layer}' in a forward pass of {name}: choose another layer.")
