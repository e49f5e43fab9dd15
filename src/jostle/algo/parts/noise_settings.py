"""Which settings of noise in the weights do nothing, the same for every algorithm."""

from collections.abc import Iterator
from typing import Any

from jostle.nn.own import is_own


def noise_idle(config: Any, *drawing: str) -> Iterator[tuple[str, str]]:
    """Settings without effect where no layer is noisy; ``drawing`` say how noise is drawn.

    An encoder of one's own may have noisy layers that no setting knows: they are drawn likewise.
    """
    if config.noisy == "none":
        for name in ("sigma0", "bias_sigma", *(() if is_own(config.encoder) else drawing)):
            yield name, "without noisy"
