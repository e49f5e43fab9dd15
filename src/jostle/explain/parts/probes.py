"""Linear probes: what layers know of conditions and of the world's draws, in episodes that the probes have not seen."""

from jostle.explain.activations import Activations, Probe, Probes, probe
from jostle.explain.activations.gathering import SEEN
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

PERMUTATIONS = 99
WIDEST = 256
"""Numbers of an observation up to which it is probed as well."""


def probes(bench: Bench) -> None:
    """`probe` of every inner layer, and of vectors that are seen, for everything that tells episodes apart."""
    bench.require_network()
    of = bench.require_differences()
    layers: list[tuple[Activations, list[Activations]]] = []
    bench.progress.expect(len(of) + 1)
    with bench.attempt("activations for probes"):
        seen = bench.activations(SEEN)
        layers = [(seen, [])] if seen.values.shape[1] <= WIDEST else []
        layers += [(bench.activations(layer), bench.untrained(layer)) for layer in bench.layers]
    for what in of if layers else ():
        with bench.attempt(f"probes of {what}"):
            each = [
                probe(own, what, permutations=PERMUTATIONS, untrained=fresh, seed=bench.asked.seed)
                for own, fresh in layers
            ]
            names = ", ".join(one.layer for one in each)
            told = f"How well {what} is read from {names}, beside permuted labels and untrained networks."
            bench.keep(f"probes_{what}", Probes(each), told, *[n for one in each for n in _numbers(one)])


def _numbers(found: Probe) -> list[Number]:
    name = f"{found.kind} of {found.of} from {found.layer}"
    numbers = [Number.beside(name, found.score, found.null, "permuted labels", found.p)]
    if len(found.untrained):
        numbers.append(Number.beside(name, found.score, found.untrained, "untrained networks"))
    return numbers
