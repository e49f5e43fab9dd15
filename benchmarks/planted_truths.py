"""Does each technique find what was planted, and find nothing where there is nothing?

    python benchmarks/planted_truths.py [--networks 20] [--only unit]

Every technique sees so many networks with a planted truth, and as many without: the first should be found, the second
should raise no alarm (by rules at 5% where there is a p-value). Writes benchmarks/results/planted_truths.jsonl, a row
for each network, and planted_truths.md, the rates with Clopper and Pearson's intervals.
"""

import argparse
import copy
import json
import re
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted_networks import (
    BODY,
    PICTURE,
    Deep,
    Hidden,
    Seeing,
    Template,
    Weighs,
    episodes_of,
    pictures_of,
    recalling,
    steps_of,
    untaught,
    view_of,
)

from jostle.explain.ablate import (
    Ablation,
    ablation_returns,
    cumulative_ablation,
    layer_ablation,
    magnitude_importance,
    memory_ablation,
    patch_units,
    pruning,
    twin_worlds,
    unit_ablation,
)
from jostle.explain.activations import embed, entanglement, probe, trajectories
from jostle.explain.asking import Subject
from jostle.explain.maximise import maximise_activation
from jostle.explain.results import Maps
from jostle.explain.results.maps import maps_of
from jostle.explain.results.similarity import spearman
from jostle.explain.saliency import gradient
from jostle.explain.sanity import change_objects, intervention
from jostle.explain.tracing import trace
from jostle.explain.weights import spectra, untrained, weight_statistics
from jostle.scores import rate_interval
from jostle.view import as_view

RESULTS = Path(__file__).parent / "results"
UNIT = 5
Finding = tuple[bool, float]
"""Whether it was found, and the number that decided."""


def unit(seed: int, planted: bool) -> Finding:
    """One unit of 16 has outgoing weights six times as large; without it all are alike. Found: that unit first."""
    net = Hidden(seed)
    if planted:
        with torch.no_grad():
            net.out.weight[:, UNIT] = torch.tensor([1.5, -1.5])
    null = [view_of(Hidden(10_000 + 50 * seed + k)) for k in range(20)]
    found = unit_ablation(view_of(net), steps_of(seed), "tanh", null=null)
    return (found.found[:1] == [UNIT] if planted else bool(found.found)), float(found.share.max())


def unit_ignored(seed: int, planted: bool) -> Finding:
    """The same; without it the policy goes past the whole layer."""
    if planted:
        return unit(seed, planted=True)
    null = [view_of(Hidden(10_000 + 50 * seed + k)) for k in range(20)]
    found = unit_ablation(view_of(Hidden(seed, inner=0.0, past=1.0)), steps_of(seed), "tanh", null=null)
    return bool(found.found), float(found.share.max())


def order(seed: int, planted: bool) -> Finding:
    """Three units carry the policy; without them it goes past the layer. Found: the order's p ≤ 0.05."""
    net = Hidden(seed, inner=0.0, past=0.0 if planted else 1.0)
    if planted:
        with torch.no_grad():
            net.out.weight[:, [1, 7, 12]] = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed))
    found = cumulative_ablation(view_of(net), steps_of(seed), "tanh", orders=39, seed=seed)
    return found.p <= 0.05, found.p


def connections(seed: int, planted: bool) -> Finding:
    """A fifth of the connections is large; without it all are of one size. Found: the sizes' p ≤ 0.05."""
    net = Deep(seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in net.layers[:-1]:
            if planted:
                large = torch.rand(layer.weight.shape, generator=rng) < 0.2
                layer.weight.copy_(torch.where(large, 2 * layer.weight, 0.02 * layer.weight))
            else:
                size = 1 + 1e-4 * torch.rand(layer.weight.shape, generator=rng)
                layer.weight.copy_(layer.weight.sign() * size * layer.weight.std())
    names = [f"layers.{i}" for i in range(3)]
    found = pruning(view_of(net), steps_of(seed, 60), layers=names, sparsity=[0.3, 0.5, 0.7], draws=20, seed=seed)
    return found.p <= 0.05, found.p


def magnitude(seed: int, planted: bool) -> Finding:
    """Units' sizes say what they are worth; without it what goes out makes up for what comes in. Found: p ≤ 0.05."""
    net = Hidden(seed)
    size = torch.linspace(0.05, 0.6, 16)[torch.randperm(16, generator=torch.Generator().manual_seed(seed))]
    with torch.no_grad():
        rows = net.hidden.weight / net.hidden.weight.norm(dim=1, keepdim=True)
        net.hidden.weight.copy_(rows * size[:, None])
        sign = net.out.weight[:1].sign() * torch.tensor([[0.5], [-0.5]])
        net.out.weight.copy_(sign if planted else 0.2 * sign / size)
    view = view_of(net)
    found = magnitude_importance(view, unit_ablation(view, steps_of(seed), "tanh"), seed=seed)
    return found.p <= 0.05 and found.correlation.point > 0, found.correlation.point


def layer(seed: int, planted: bool) -> Finding:
    """One layer of four was trained; without it one that nothing is made of. Found: critical, and the others not."""
    start = Deep(seed)
    net = copy.deepcopy(start)
    which = seed % 3
    changed = net.layers[which] if planted else net.unused
    with torch.no_grad():
        changed.weight.copy_(torch.randn(changed.weight.shape, generator=torch.Generator().manual_seed(seed + 1)))
    found = layer_ablation(view_of(net), steps_of(seed, 60), start, draws=1)
    critical = [name for name, verdict in zip(found.layers, found.verdicts, strict=True) if verdict == "critical"]
    return (critical == [f"layers.{which}"] if planted else bool(critical)), float(found.relative.max())


def memory(seed: int, planted: bool) -> Finding:
    """The policy acts by what it remembers, or by what it sees. Found: more than in five untrained networks, which have
    first weights of their own."""
    view = recalling(seed, reads=planted)
    with tempfile.TemporaryDirectory() as folder:
        recorded = trace(view, Path(folder) / "trace", episodes=8, seed=seed)
        null = [untrained(view, 0, make=lambda _, k=k: untaught(seed * 100 + k)) for k in range(5)]  # type: ignore[misc]
        found = memory_ablation(view, recorded, rules=["zeroed"], null=null)
    return bool(found.mean[0] > max(1e-6, found.null.max())), float(found.mean[0])


def memory_return(seed: int, planted: bool) -> Finding:
    """The same, in return on the same episodes. Found: the interval of the cost lies below 0."""
    view = recalling(seed, reads=planted)
    found = ablation_returns(view, {"zeroed": Ablation(memory="zeroed")}, episodes=16, seed=seed)
    cost = found.cost[0].interval
    return cost.high < 0, cost.point


def heavier(seed: int, planted: bool) -> Finding:
    """The convolution's weights are a fifth larger. Found: p ≤ 0.05 among ten fresh networks."""
    net = Seeing(seed)
    with torch.no_grad():
        net.conv.weight.mul_(1.2 if planted else 1.0)
    found = weight_statistics(view_of(net, PICTURE), untrained=10, make=lambda s: Seeing(s % 2**31))
    p = found.p("conv.weight", "L2")
    return p <= 0.05, p


def spectrum(seed: int, planted: bool) -> Finding:
    """Half of each kernel is smooth. Found: p ≤ 0.05 among held-out fresh kernels."""
    found = spectra(view_of(Seeing(seed, smooth=0.5 if planted else 0.0), PICTURE), "conv", seed=seed)
    return found.p <= 0.05, found.mean_divergence


def plane(seed: int, planted: bool) -> Finding:
    """The layer sees the colour, whose range is another in the second condition, or not. Found: further from the plane,
    p ≤ 0.05."""
    acts = episodes_of(Hidden(seed), seed, looks=planted)
    found = embed(acts, fit_on="seen", seed=seed)
    outside = found.outside("unseen")
    return outside.p <= 0.05 and outside.interval.point > 0, outside.p


def entangled(seed: int, planted: bool) -> Finding:
    """The same, by the soft nearest-neighbour loss. Found: p ≤ 0.05 under permuted conditions."""
    found = entanglement(episodes_of(Hidden(seed), seed, looks=planted), permutations=100, seed=seed)
    return found.p <= 0.05, found.ratio


def factor(seed: int, planted: bool) -> Finding:
    """The same, by a probe for the episode's colour. Found: p ≤ 0.05 under permuted colours."""
    found = probe(episodes_of(Hidden(seed), seed, looks=planted), "mass", permutations=100, seed=seed)
    return found.p <= 0.05, found.score.point


def aligned(seed: int, planted: bool) -> Finding:
    """The layer ignores looks, so that games lead through the same states, or sees noise alone. Found: the interval of
    same minus other games lies above 0."""
    acts = episodes_of(Hidden(seed), seed, looks=False)
    if not planted:
        rng = np.random.default_rng(seed)
        acts = type(acts)(**{**vars(acts), "values": rng.normal(size=acts.values.shape)})
    found = trajectories(acts, "seen", "unseen").beyond["mismatched"].interval
    return found.low > 0, found.point


def template(seed: int, planted: bool) -> Finding:
    """A unit has a template, or looks at nothing. Found: it gains, and its starts agree (planted: on the template)."""
    net = Template(seed, blind=not planted)
    found = maximise_activation(
        view_of(net, PICTURE), pictures_of(seed), "hidden", units=[0], starts=3, iterations=40, seed=seed
    )
    if not planted:
        return bool(np.isfinite(found.gain[0]) and found.agreement[0] > 0.5), float(found.agreement[0])
    weights = net.hidden.weight[0].detach().numpy().reshape(3, 16, 16)
    alike = spearman(found.best[0], weights)
    return bool(found.gain[0] > 0 and found.agreement[0] > 0.5 and alike > 0.5), alike


def twins(seed: int, planted: bool) -> Finding:
    """One unit of 16 sees the colour, or none does. Found: that unit and no other."""
    net = Hidden(seed)
    with torch.no_grad():
        net.hidden.weight[:, BODY:] = 0
        if planted:
            net.hidden.weight[UNIT] = torch.tensor([0.0] * BODY + [0.7, 0.7])
            net.out.weight[:, UNIT] = torch.tensor([0.5, -0.5])
    view = view_of(net, env="PlantedTinted-v0")
    both = twin_worlds(view, {"colour": 1.5}, episodes=8, seed=seed)
    found = patch_units(both, "tanh", seed=seed)
    return (found.found == [UNIT] if planted else bool(found.found)), float(np.abs(found.share).max())


def objects(seed: int, planted: bool) -> Finding:
    """The policy looks at the ball, or at the paddle, whose hues are turned; without it the map is of random numbers.
    Found: the map agrees with what that does, more than one without a policy: the interval lies above 0."""
    home: dict[str, Any] = {"env": "jostle/ThemedCatch-v0", "env_options": {"themes": [seed]}}
    view = as_view(Weighs(seed, paddle=seed % 2 == 0), kind="logits", **home)
    hues = {"ball": {"ball_hue": 0.5}, "paddle": {"paddle_hue": 0.5}}
    changed = change_objects(view, hues, target="logit:1", episodes=6, steps=36, seed=seed)

    def random(subject: Subject) -> Maps:
        values = torch.rand(len(subject.steps), 32, 32, generator=torch.Generator().manual_seed(seed))
        return maps_of(subject, subject.layout(), "random", values, signed=False)

    def slope(subject: Subject) -> Any:
        return gradient(subject, None)

    found = intervention(slope if planted else random, changed, seed=seed)
    return min(found.agreement.low, found.beyond.low) > 0, found.agreement.point


TECHNIQUES: dict[str, Callable[[int, bool], Finding]] = {
    "unit ablation": unit,
    "unit ablation, layer ignored": unit_ignored,
    "cumulative ablation": order,
    "pruning of connections": connections,
    "magnitude as importance": magnitude,
    "layer ablation": layer,
    "memory ablation": memory,
    "memory ablation in return": memory_return,
    "weights against fresh ones": heavier,
    "spectra": spectrum,
    "PCA of another condition": plane,
    "entanglement": entangled,
    "linear probe": factor,
    "cycle-consistency": aligned,
    "activation maximisation": template,
    "twin worlds": twins,
    "objects changed": objects,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20, help="of each kind")
    parser.add_argument(
        "--only", default="", help="techniques whose name this expression matches; rows of the others stay"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)
    rows: list[dict[str, Any]] = []
    for name, technique in TECHNIQUES.items():
        if not re.search(args.only, name):
            continue
        for planted in (True, False):
            for seed in range(args.networks):
                begun = time.process_time()
                found, number = technique(seed, planted)
                seconds = round(time.process_time() - begun, 3)
                shown = float(f"{number:.5g}") if np.isfinite(number) else None
                row = {"technique": name, "planted": planted, "seed": seed, "found": bool(found)}
                rows.append(row | {"number": shown, "seconds": seconds})
        own = [row for row in rows if row["technique"] == name]
        hits, alarms = (sum(r["found"] for r in own if r["planted"] is p) for p in (True, False))
        print(f"{name}: {hits} found, {alarms} alarms, {sum(r['seconds'] for r in own):.1f} s", flush=True)
    raw = RESULTS / "planted_truths.jsonl"
    if args.only:  # the others stay as they were measured
        fresh = {row["technique"] for row in rows}
        kept = [row for row in map(json.loads, raw.read_text().splitlines()) if row["technique"] not in fresh]
        rows = sorted(kept + rows, key=lambda row: list(TECHNIQUES).index(row["technique"]))
    raw.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (RESULTS / "planted_truths.md").write_text(table(rows, args.networks))


def table(rows: list[dict[str, Any]], networks: int) -> str:
    """The rates, technique by technique."""
    total = sum(row["seconds"] for row in rows)
    versions = ", ".join(f"{name} {version(name)}" for name in ("jostle", "torch", "numpy"))
    about = (
        f"`python benchmarks/planted_truths.py`: {networks} networks with a planted truth and as many without, "
        f"{total:.0f} s of processor time in all; {versions}. Rates with 95% Clopper-Pearson intervals."
    )
    head = "| technique | found | false alarms | what is planted, and when it counts as found |"
    lines = ["# Planted truths", "", about, "", head, "|---|---|---|---|"]
    for name, technique in TECHNIQUES.items():
        rates = []
        for planted in (True, False):
            own = [float(r["found"]) for r in rows if r["technique"] == name and r["planted"] is planted]
            rates.append(rate_interval([np.array(own)]).text(2))
        told = " ".join((technique.__doc__ or "").split())
        lines.append(f"| {name} | {rates[0]} | {rates[1]} | {told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
