"""What an explanation's folder says of itself, read back without its maps and arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError
from jostle.explain.explanation import VERSION
from jostle.explain.results.numbers import Number


@dataclass(frozen=True)
class Summary:
    """``summary.json`` of a folder.

    Attributes:
        folder: where it lies.
        policy, env: whose, where.
        conditions: that were played.
        noise: the mode.
        episodes, steps: how many there are.
        techniques: a row each, with its verdict.
        numbers: part -> numbers with their nulls.
        figures: file in the folder -> what is to be seen on it.
        left_out: what was not done, and why.
        complete: nobody stopped it.
    """

    folder: Path
    policy: str
    env: str
    conditions: list[str]
    noise: str
    episodes: int
    steps: int
    techniques: list[dict[str, str]]
    numbers: dict[str, list[Number]]
    figures: dict[str, str]
    left_out: dict[str, str]
    complete: bool


def read_summary(folder: str | Path) -> Summary:
    """The summary of an explanation's folder.

    Raises:
        CheckpointError: there is none, it is damaged, or of another version.
    """
    folder = Path(folder)
    path = folder / "summary.json"
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if data["explanation"] != VERSION:
            raise CheckpointError(
                f"{path} is of version {data['explanation']} and this one reads {VERSION}: explain the policy again."
            )
        inside = data["inside"]
        return Summary(
            folder, str(data["policy"]), str(data["env"]), [str(c) for c in data["conditions"]], str(data["noise"]),
            int(data["episodes"]), int(data["steps"]),
            [{str(k): str(v) for k, v in row.items()} for row in data["techniques"]],
            {str(part): [Number.of_dict(n) for n in each["numbers"]] for part, each in inside.items()},
            {str(file): str(seen) for each in inside.values() for file, seen in each["figures"].items()},
            {str(k): str(v) for k, v in data["left out"].items()}, bool(data["complete"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): explain the policy again.") from error
