"""The weights: first kernels on one scale, sizes and moments beside untrained networks', spectra beside fresh ones."""

from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number
from jostle.explain.weights import kernels, spectra, weight_statistics
from jostle.explain.weights.numbers import from_start, starts
from jostle.explain.weights.statistics import WeightStatistics
from jostle.explain.weights.tensors import WeightTensor, weight_tensors


def weights(bench: Bench) -> None:
    """`kernels`, `weight_statistics` and `spectra`."""
    bench.progress.expect(3)
    view, initial = bench.view, bench.initial
    with bench.attempt("kernels"):
        found = kernels(view, initial=initial)
        beside = "beside those that training began with" if found.initial is not None else "whose start is not known"
        bench.keep("kernels", found, f"The kernels of {found.layer} on one scale, {beside}.")
    with bench.attempt("sizes of weights"):
        sizes = weight_statistics(view, initial=initial, untrained=len(bench.nulls), seed=bench.asked.seed)
        seen = "The distribution of each layer's weights" + (", and that of the first ones." if sizes.start else ".")
        bench.keep("statistics", sizes, seen, *_sizes(sizes), *_gone(bench))
    with bench.attempt("spectra"):
        power = spectra(view, initial=initial, seed=bench.asked.seed)
        told = f"relative entropy of the spectrum of {power.layer}, nats"
        number = Number.beside(told, power.mean_divergence, power.null, "sets of fresh kernels", power.p)
        bench.keep("spectra", power, f"The mean spectrum of the kernels of {power.layer}, and of fresh ones.", number)


def _sizes(sizes: WeightStatistics) -> list[Number]:
    """Norms against untrained networks; where the start is not known, these have the trained weights' spread, and it is
    the form of the distribution that can be told. No p: norms of orthogonal draws do not vary."""
    name, of = ("L2", "untrained networks") if sizes.start else ("kurtosis", "normal draws of the same spread")
    return [
        Number.beside(f"{name} of {layer}", table[name], sizes.null[layer][name], of)
        for layer, table in sizes.layers.items()
    ]


def _gone(bench: Bench) -> list[Number]:
    """How far layers have gone from their start; another draw of it is the null."""
    start = starts(bench.view, bench.initial)
    fresh = [{t.name: t for t in weight_tensors(null.module)} for null in bench.nulls] if start else []
    return [
        Number.beside(
            f"distance of {t.name} from its start, in its size", _far(t, start[t.name]),
            [_far(null[t.name], start[t.name]) for null in fresh], "other draws of the start",
        )
        for t in weight_tensors(bench.view.module) if t.name in start
    ]  # fmt: skip


def _far(now: WeightTensor, first: WeightTensor) -> float:
    return float(from_start(now.flat.reshape(1, -1), first.flat.reshape(1, -1))["relative distance"][0])
