"""The memory of a recurrent policy taken away."""

from jostle.explain.ablate import memory_ablation
from jostle.explain.ablate.memory import RULES
from jostle.explain.parts.bench import Bench
from jostle.explain.results.numbers import Number

STEPS = 300
WHAT = {
    "zeroed": "memory zeroed", "held": "memory held at the first step's", "mean": "memory at its mean",
    "other": "another episode's memory",
}  # fmt: skip


def memory(bench: Bench) -> None:
    """`memory_ablation` by every rule."""
    bench.progress.expect(1)
    with bench.attempt("memory"):
        trace = bench.found.trace
        alone = [c for c in trace.about.conditions if sum(e.condition == c for e in trace.episodes) < 2]
        rules = [rule for rule in RULES if not (rule == "other" and alone)]
        found = memory_ablation(
            bench.view, trace, rules=rules, steps=STEPS, null=bench.nulls, seed=bench.asked.seed, key=bench.subject.key
        )
        if alone:
            bench.found.left_out["another episode's memory"] = f"there is one episode of '{alone[0]}': record more."
        numbers = [
            Number.beside(f"change of policy, {WHAT[rule]}", change, found.null[:, row], "untrained networks")
            for row, (rule, change) in enumerate(zip(found.rules, found.mean, strict=True))
        ]
        bench.keep("memory", found, "What changes when another state stands in for the memory, and when.", *numbers)
