"""Entanglement of conditions and of the world's draws in the inner layers."""

from jostle.explain.activations import Entanglement, entanglement
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

PERMUTATIONS = 99


def entangled(bench: Bench) -> None:
    """`entanglement` in every inner layer by everything that tells episodes apart."""
    layers, by, seed = bench.layers, bench.require_differences(), bench.asked.seed
    bench.progress.expect(len(layers) * len(by))
    for layer in layers:
        for what in by:
            with bench.attempt(f"entanglement of {what} in {layer}"):
                acts, fresh = bench.activations(layer), bench.untrained(layer)
                found = entanglement(acts, what, permutations=PERMUTATIONS, untrained=fresh, seed=seed)
                seen = f"The soft nearest-neighbour loss of {what} in {layer}, permuted labels and untrained networks."
                bench.keep(f"{what}_{layer}", found, seen, *_numbers(found))


def _numbers(found: Entanglement) -> list[Number]:
    name = f"entanglement of {found.by} in {found.layer}, nats"
    return [
        Number.beside(name, found.loss, found.null, "permuted labels", found.p),
        Number.beside(name, found.loss, found.untrained, "untrained networks"),
    ]
