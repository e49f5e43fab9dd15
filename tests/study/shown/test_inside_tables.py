"""Tables of what agents hold, against numbers worked out by hand and against `jostle.explain`'s effects."""

import subprocess
import sys
from typing import Any

import pytest

from jostle.errors import ConfigError
from jostle.explain.results.effects import effects
from jostle.study.results import Results
from jostle.study.shown.inside import claims_table, inside_table
from jostle.study.shown.show import Claim, Part, read_show

PLAIN = [1.0, 1.2, 1.1, 0.9, 1.3]
WIDE = [2.0, 2.2, 2.4, 2.1, 2.6]
NAME = "L2 of actor.0.weight"


def number(value: float | None, null: list[float] | None, name: str = NAME, of: str = "untrained networks") -> Any:
    return {"part": "weights", "number": name, "value": value, "null": null, "null is": of, "values of the null": 5,
            "interval": None, "p": None}  # fmt: skip


def row(method: str, seed: int, *numbers: Any) -> dict[str, Any]:
    return {"task": "game", "method": method, "seed": seed, "scores": {}, "curve": {"steps": [], "return": []},
            "explained": {"numbers": list(numbers)}}  # fmt: skip


@pytest.fixture
def found() -> Results:
    rows = [row("plain", seed, number(x, [0.95, 1.15])) for seed, x in enumerate(PLAIN)]
    return Results(rows + [row("wide", seed, number(x, [0.95, 1.15])) for seed, x in enumerate(WIDE)])


def cells(text: list[str], start: str) -> list[str]:
    (line,) = (one for one in text if one.startswith(start))
    return [each.strip() for each in line.strip().strip("|").split("|")]


def test_a_number_stands_beside_its_null_and_the_other_method(found: Results) -> None:
    told = cells(inside_table(found, Part("game", "game")), "| weights |")
    assert told[:3] == ["weights", NAME, "untrained networks: 0.950 to 1.15"]
    assert told[3].startswith("1.10 [")
    assert told[3].endswith("(3 of 5)"), "0.9, 1.2 and 1.3 lie outside"
    assert told[4].startswith("2.26 [")
    assert told[4].endswith("(5 of 5)")
    (one,) = effects({NAME: PLAIN}, {NAME: WIDE})
    assert told[5].startswith(f"{one.g.point:.2f} [")
    assert told[5].endswith(f"p {2 / 252:.2g}"), "of 252 ways to deal ten numbers the two that are furthest apart"
    turned = cells(inside_table(found, Part("game", "game", baseline="wide")), "| weights |")
    assert turned[5].startswith("−"), "the effect is the other method's less the baseline's"
    text = inside_table(found, Part("game", "game"))
    assert "of 1 numbers, 0 have p below 0.05 by chance" in text[2]


def test_what_is_missing_is_no_number() -> None:
    rows = [row("plain", 0, number(None, None)), row("plain", 1, number(2.0, None)), row("wide", 0, number(1.0, None))]
    text = inside_table(Results(rows), Part("game", "game"))
    assert cells(text, "| weights |")[2:] == ["untrained networks", "2.00", "1.00", "–"]
    same = [row(m, s, number(1.0, [0.0, 2.0])) for m in ("a", "b") for s in range(2)]
    assert cells(inside_table(Results(same), Part("game", "game")), "| weights |")[-1] == "nothing varies, p 1"
    two = [row("a", 0, number(1.0, [0, 2]), number(1.0, [3, 4], of="permuted labels"))]
    text = inside_table(Results(two), Part("game", "game"))
    assert sum(one.startswith("| weights |") for one in text) == 2, "a line for each null"
    assert inside_table(Results([{**row("a", 0), "explained": {}}]), Part("game", "game")) == []
    assert inside_table(Results([{"task": "game", "method": "a", "seed": 0}]), Part("game", "game")) == []


def test_numbers_of_methods_that_are_not_shown_have_no_line(found: Results) -> None:
    other = Results([*found.rows, row("narrow", 0, number(1.0, None, name="L2 of another layer"))])
    text = inside_table(other, Part("game", "game", methods=["plain", "wide"]))
    assert sum(one.startswith("| weights |") for one in text) == 1
    assert "narrow" not in "".join(text)
    assert "of 1 numbers" in text[2]
    assert sum(one.startswith("| weights |") for one in inside_table(other, Part("game", "game"))) == 2


def test_claims_are_one_family(found: Results) -> None:
    more = Claim("larger weights", f"inside/weights/{NAME}", ("wide", "plain"))
    less = Claim("smaller weights", f"inside/weights/{NAME}", ("plain", "wide"))
    told = claims_table(found, Part("game", "game", claims=[more]))
    assert cells(told, "| larger")[:4] == ["larger weights", NAME, "wide 2.26", "plain 1.10"]
    assert cells(told, "| larger")[-2:] == [f"{2 / 252:.2g}", "holds"]
    both = claims_table(found, Part("game", "game", claims=[more, less]))
    assert cells(both, "| larger")[-2:] == [f"{4 / 252:.2g}", "holds"], "Holm of two"
    assert cells(both, "| smaller")[-1] == "the opposite"
    seven = claims_table(found, Part("game", "game", claims=[more] * 7))
    assert {one.strip("| ").split(" | ")[-1] for one in seven if one.startswith("| larger")} == {"not seen"}
    assert claims_table(found, Part("game", "game")) == []
    wrong = Claim("misspelt", "inside/weights/L3", ("wide", "plain"))
    told = claims_table(found, Part("game", "game", claims=[more, wrong]))
    assert cells(told, "| misspelt")[2:] == ["wide", "plain", "–", "–", "not measured"]
    assert cells(told, "| larger")[-2:] == [f"{2 / 252:.2g}", "holds"], "what is not measured is no part of the family"
    few = Results([each for each in found.rows if each["seed"] == 0])
    assert claims_table(few, Part("game", "game", claims=[more])) == [], "one seed a side says nothing"


@pytest.mark.parametrize(("claim", "match"), [
    ({"says": "x", "measure": "evaluate", "more": "wide"}, "a claim needs than, a text, not None"),
    ({"says": "x", "measure": "evaluate", "more": "wide", "than": "plane"}, "did you mean plain"),
    ({"says": "x", "measure": "evaluate", "more": "wide", "then": "plain"}, "a claim has no 'then'"),
    ("x", "claim"),
])  # fmt: skip
def test_claims_that_are_none(claim: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_show({"parts": [{"task": "game", "claims": [claim]}]}, ["game"], ["plain", "wide"])


def test_claims_are_read() -> None:
    claim = {"says": "x", "measure": "inside/weights/a/b", "more": "wide", "than": "plain"}
    show = read_show({"parts": [{"task": "game", "claims": [claim]}]}, ["game"], ["plain", "wide"])
    assert show.parts[0].claims == [Claim("x", "inside/weights/a/b", ("wide", "plain"))]


def test_tables_of_scores_alone_need_no_torch() -> None:
    code = (
        "import sys; from jostle.study.results import Results; from jostle.study.shown.tables import report; "
        "row = {'task': 'a', 'method': 'b', 'seed': 0, 'scores': {'evaluate': {'return': 1.0}}, "
        "'curve': {'steps': [], 'return': []}}; "
        "assert '| b | 1 |' in report('x', Results([row])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
