"""What a person is told of an agent before it trains."""

from torch import nn

from jostle.nn.encoders import Flat, Normaliser
from jostle.nn.scaling import Scale


def scalings(network: nn.Module) -> dict[str, str]:
    """How numbers are scaled between environment and network: a name and a line each."""
    unused = {m.scale for m in network.modules() if isinstance(m, Flat) and m.normaliser is not None}
    modules = [m for m in network.modules() if m not in unused]
    seen = []
    if any(isinstance(m, Scale) and m.unit is None for m in modules):
        seen.append("by the bounds of their space, to [0, 1]")
    if any(getattr(m, "unit", 1.0) == 1 / 255 for m in modules):
        seen.append("bytes divided by 255")
    flat = [m for m in modules if isinstance(m, Flat) and m.normaliser is None]
    if any(m.scale.undeclared for m in flat):
        seen.append("integers without bounds of their own as they are")
    if any(isinstance(m, Normaliser) for m in modules):
        seen.append("vectors by running statistics")
    told = {"observed": "; ".join(seen)} if seen else {}
    scaled = getattr(getattr(network, "head", None), "scaled", False)
    return told | ({"actions": "−1 to 1 fill the bounds of their space"} if scaled else {})


def in_bytes(count: float) -> str:
    """A number of bytes for people.

    >>> in_bytes(7_056_000_000)
    '7.06 GB'
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
