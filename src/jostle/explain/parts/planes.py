"""Activations in the plane: principal components fitted on the first condition, and t-SNE."""

import numpy as np
from jaxtyping import Float

from jostle.explain.activations import Activations, Embedding, embed
from jostle.explain.activations.pca import fit_pca
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number


def planes(bench: Bench) -> None:
    """`embed` of every inner layer by components, and of the last hidden one by t-SNE."""
    layers = bench.layers
    conditions = list(dict.fromkeys(e.condition for e in bench.found.trace.episodes))
    fit_on = conditions[0] if len(conditions) > 1 else None
    bench.progress.expect(len(layers) + 1)
    for layer in layers:
        with bench.attempt(f"components of {layer}"):
            acts = bench.activations(layer)
            found = embed(acts, fit_on=fit_on, seed=bench.asked.seed)
            fitted = "" if fit_on is None else f", fitted on {fit_on}"
            bench.keep(
                f"pca_{layer}", found, f"Steps in the plane of the first two components of {layer}{fitted}.",
                _share(bench, layer, found.numbers["share"]),
                *[_outside(found, name) for name in conditions[1:] if name in found.distances],
                colour=_colour(acts, fit_on),
            )  # fmt: skip
    with bench.attempt(f"t-SNE of {layers[0]}"):
        acts = bench.activations(layers[0])
        near = embed(acts, "tsne", fit_on=fit_on, seed=bench.asked.seed)
        kept, chance = near.numbers["neighbours kept"], near.numbers["neighbours kept (chance)"]
        number = Number(f"neighbours in {layers[0]} that t-SNE keeps, share", kept, "chance", (chance, chance))
        bench.keep(f"tsne_{layers[0]}", near, f"Steps as t-SNE places them by {layers[0]}.", number,
                   colour=_colour(acts, fit_on))  # fmt: skip


def _colour(acts: Activations, fit_on: str | None) -> str:
    return "condition" if fit_on is not None else "step" if acts.value is None else "value"


def _share(bench: Bench, layer: str, share: Float[np.ndarray, "2"]) -> Number:
    """Of the variance; untrained networks' own planes are the null."""
    of_nulls = [float(fit_pca(acts.values, 2).share.sum()) for acts in bench.untrained(layer)]
    name = f"share of the variance of {layer} in its plane"
    return Number.beside(name, float(share.sum()), of_nulls, "untrained networks")


def _outside(found: Embedding, condition: str) -> Number:
    assert found.fit_on is not None
    apart = found.outside(condition)
    name = f"how far {condition} lies beyond {found.fit_on} in {found.activations.layer}"
    return Number.beside(name, apart.y, found.distances[found.fit_on], f"episodes of {found.fit_on} held out", apart.p)
