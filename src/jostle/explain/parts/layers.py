"""Layers set back to where they began, or drawn afresh: critical and robust ones."""

from jostle.explain.ablate import LayerAblation, layer_ablation
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

STEPS, DRAWS = 32, 2
UNTRAINED = 2
"""Untrained networks beside a policy whose start is not known."""
UNKNOWN = "nobody knows the first weights: a run keeps them in its folder; else give initial=…, a module or weights."


def layers(bench: Bench) -> None:
    """`layer_ablation`: with the layers' own first weights where they are known, else afresh alone."""
    bench.require_network()
    subject, seed = bench.at(STEPS), bench.asked.seed
    bench.progress.expect(1)
    if bench.initial is not None:
        with bench.attempt("layers"):
            found = layer_ablation(subject, None, bench.initial, draws=DRAWS, seed=seed, notify=bench.progress.within)
            seen = "What changes when a layer has its own first weights, fresh ones, or has moved as far at random."
            bench.keep("layers", found, seen, *_own(found))
        return
    bench.found.left_out["layers set back to their own start"] = UNKNOWN
    bench.progress.expect(1 + UNTRAINED)
    with bench.attempt("layers"):
        found = layer_ablation(subject, None, draws=DRAWS, seed=seed, notify=bench.progress.within)
        others = []
        for number, null in enumerate(bench.nulls[:UNTRAINED]):
            bench.progress.step("layers: those of untrained networks")
            others.append(layer_ablation(subject.of(null), None, draws=1, seed=seed + number))
        bench.keep("layers", found, "What changes when a layer has fresh weights.", *_afresh(found, others))


def _own(found: LayerAblation) -> list[Number]:
    assert found.moved is not None
    moved = found.share(found.moved.mean(2))
    return [
        Number.beside(f"{layer} set back, share of all layers", share, null, "moves as far at random")
        for layer, share, null in zip(found.layers, found.relative, moved, strict=True)
    ]


def _afresh(found: LayerAblation, others: list[LayerAblation]) -> list[Number]:
    return [
        Number.beside(
            f"{layer} afresh, share of all layers", found.relative[row],
            [other.relative[row] for other in others], "untrained networks",
        )
        for row, layer in enumerate(found.layers)
    ]  # fmt: skip
