"""How much of a map lies on objects whose pixels are known: a count, where a picture can only be looked at."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from jostle.errors import ConfigError
from jostle.explain.results.maps import Maps


def object_mass(maps: Maps, objects: Mapping[str, Bool[np.ndarray, "B H W"]]) -> dict[str, Float[np.ndarray, "B"]]:
    """The share of each absolute map that lies on an object, over the object's share of the picture.

    1 is chance; NaN where the object is not to be seen, or the map is 0 everywhere. The same of `Maps.null` is what the
    picture alone would give.

    Args:
        maps: B of them.
        objects: name -> pixels, as ``trace.column("object.NAME", rows)`` gives them.

    Raises:
        ConfigError: pixels of other steps or of another size.
    """
    sizes = np.abs(maps.values.astype(np.float64))
    found = {}
    for name, pixels in objects.items():
        if pixels.shape != sizes.shape:
            raise ConfigError(
                f"the pixels of '{name}' are {list(pixels.shape)} and the maps {list(sizes.shape)}: give those of the "
                "same steps."
            )
        area, total = pixels.mean((1, 2)), sizes.sum((1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (sizes * pixels).sum((1, 2)) / total / area
        found[name] = np.where((area > 0) & (total > 0), share, np.nan)
    return found
