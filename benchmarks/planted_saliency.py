"""How often techniques find a patch that a network was made to look at, and how often one that it ignores.

    python benchmarks/planted_saliency.py

Twenty networks, each a random convolution whose features are weighed within one patch of the picture and nowhere else,
and pictures of smooth noise with two bright squares: one in the patch that is looked at, one in a patch that is not. A
technique finds a patch where more than three times its share of the pixels of the absolute map's mass lies in it, in
the mean over four pictures. Beside the techniques stand the saliency of the picture alone and random numbers. Writes
benchmarks/results/planted_saliency.jsonl, a row a network and technique, and planted_saliency.md.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from jostle.explain import Maps, Subject, ask, distinctness
from jostle.explain.methods import map_methods
from jostle.scores import interval
from jostle.view import as_view

NETWORKS, PICTURES, SIDE, PATCH, FACTOR = 20, 4, 40, 8, 3.0
SPACE, ACTIONS = spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8), spaces.Discrete(3)
METHODS = ("gradient", "gradient-input", "smoothgrad", "guided", "integrated", "grad-cam", "occlusion", "blur", "sarfa")
Place = tuple[int, int]


class Looks(nn.Module):
    """Three logits from the features of one patch; nothing else of the picture has any weight."""

    def __init__(self, place: Place, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.relu, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Linear(8 * SIDE * SIDE, 3)
        inside = torch.zeros(8, SIDE, SIDE)
        inside[:, place[0] + 1 : place[0] + PATCH - 1, place[1] + 1 : place[1] + PATCH - 1] = 1
        with torch.no_grad():
            self.out.weight.copy_(torch.randn(3, 8 * SIDE * SIDE) * inside.flatten() * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.relu(self.conv(x.float() / 255)).flatten(1))
        return out


def scene(seed: int) -> tuple[np.ndarray[Any, Any], Place, Place]:
    """Pictures, the patch that is looked at, and the one that is not."""
    rng = np.random.default_rng(seed)
    edge = SIDE - PATCH
    here = (int(rng.integers(edge + 1)), int(rng.integers(edge + 1)))
    there = here
    while max(abs(here[0] - there[0]), abs(here[1] - there[1])) < 2 * PATCH:
        there = (int(rng.integers(edge + 1)), int(rng.integers(edge + 1)))
    smooth = gaussian_filter(rng.normal(size=(PICTURES, 3, SIDE, SIDE)), (0, 0, 3, 3))
    obs = (100 + 300 * smooth).clip(0, 255)
    for y, x in (here, there):
        obs[:, :, y + 2 : y + 6, x + 2 : x + 6] = rng.uniform(150, 255, (PICTURES, 3, 1, 1))
    return obs.astype(np.uint8), here, there


def mass(maps: Maps, place: Place) -> float:
    """The share of the absolute map's mass in a patch, in units of its share of the pixels."""
    sizes = np.abs(maps.values)
    inside = sizes[:, place[0] : place[0] + PATCH, place[1] : place[1] + PATCH].sum((1, 2))
    return float((inside / np.maximum(sizes.sum((1, 2)), 1e-30)).mean() * SIDE**2 / PATCH**2)


def nulls(seed: int) -> dict[str, Callable[[Subject], Maps]]:
    def made(subject: Subject, name: str, values: np.ndarray[Any, Any]) -> Maps:
        pictures = subject.layout().rgb(subject.x)
        return Maps(name, "nothing", "nobody", values, pictures, subject.steps.labels(), signed=False)

    rng = np.random.default_rng(seed)
    return {
        "picture alone": lambda s: made(s, "picture alone", distinctness(s.layout().rgb(s.x))),
        "random numbers": lambda s: made(s, "random numbers", rng.random((PICTURES, SIDE, SIDE), np.float32)),
    }


def measured() -> list[dict[str, Any]]:
    rows = []
    for seed in range(NETWORKS):
        obs, here, there = scene(seed)
        view = as_view(Looks(here, seed), kind="logits", observation_space=SPACE, action_space=ACTIONS)
        subject = ask(view, obs)
        for name, method in (map_methods(subject, None, METHODS) | nulls(seed)).items():
            maps = method(subject)
            looked, ignored = mass(maps, here), mass(maps, there)
            rows.append({"seed": seed, "technique": name, "looked at": looked, "ignored": ignored})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="the table of the rows that are there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(__file__).parent / "results"
    if not args.table:
        (folder / "planted_saliency.jsonl").write_text("".join(json.dumps(row) + "\n" for row in measured()))
    rows = [json.loads(line) for line in (folder / "planted_saliency.jsonl").read_text().splitlines()]
    lines = [
        "| technique | found | false alarms | mass in the patch looked at | in the one ignored |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["technique"] for row in rows):
        mine = [row for row in rows if row["technique"] == name]
        cells = [sum(float(row[what]) > FACTOR for row in mine) for what in ("looked at", "ignored")]
        masses = [interval([float(row[what]) for row in mine], "mean").text(1) for what in ("looked at", "ignored")]
        lines.append(f"| {name} | {cells[0]} of {len(mine)} | {cells[1]} of {len(mine)} | {masses[0]} | {masses[1]} |")
    lines += [
        "",
        "Mass: the patch's share of the map over its share of the pixels, mean over networks with its 95% interval.",
    ]
    (folder / "planted_saliency.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
