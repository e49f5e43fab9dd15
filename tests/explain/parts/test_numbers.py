"""A number beside its null, the progress over parts, and names of parts."""

import json
import math

import numpy as np
import pytest

from jostle.errors import ConfigError
from jostle.explain.parts import PARTS, Progress, Stopped, chosen_parts
from jostle.explain.results.numbers import Number
from jostle.scores.intervals import Interval


def test_few_values_of_a_null_are_told_whole_and_of_many_95_percent() -> None:
    few = Number.beside("share", 0.5, [0.1, 0.3, math.nan], "untrained networks", 0.25)
    assert (few.null, few.count) == ((0.1, 0.3), 2)
    assert (few.shown, few.null_shown, few.null_is, few.p_shown) == (
        "0.500",
        "0.100 to 0.300",
        "2 untrained networks",
        "0.25",
    )
    many = Number.beside("loss", Interval(1.0, 0.5, 1.5, 0.95), np.arange(101), "permuted labels")
    assert many.null == (2.5, 97.5)
    assert (many.shown, many.null_is, many.p_shown) == ("1.00 [0.500, 1.50]", "95% of 101 permuted labels", "")
    none = Number.beside("x", math.nan, [], "nobody")
    assert (none.shown, none.null_shown, none.null_is) == ("–", "–", "nobody")
    for number in (few, many, none, Number("y", -2.0, "chance", (0.1, 0.1))):
        again = Number.of_dict(json.loads(json.dumps(number.as_dict(), allow_nan=False)))
        assert again.as_dict() == number.as_dict()
    with pytest.raises(ValueError, match="two ends"):
        Number.of_dict({**few.as_dict(), "null": [1]})


def test_progress_goes_up_to_its_end_by_the_weights_of_the_parts() -> None:
    told: list[tuple[int, int, str]] = []
    progress = Progress({"a": 1, "b": 3}, lambda *each: told.append(each), lambda: False)
    progress.begin("a")
    progress.expect(2)
    progress.step("one")
    progress.within(1, 2)
    progress.step("two")
    progress.begin("b")
    progress.step("three")
    progress.within(1, 1)
    assert [done for done, _, _ in told] == [0, 25, 50, 100, 400]
    assert {total for _, total, _ in told} == {400}
    assert [what for _, _, what in told] == ["one", "one", "two", "three", "three"]


def test_a_stop_is_heard_within_a_unit() -> None:
    asked = iter([False, True])
    progress = Progress({"a": 1}, lambda *_: None, lambda: next(asked))
    progress.begin("a")
    progress.step("one")
    with pytest.raises(Stopped):
        progress.within(1, 10)


def test_parts_are_chosen_by_name_in_their_order() -> None:
    assert list(chosen_parts(None)) == list(PARTS)
    assert list(chosen_parts(["units", "saliency"])) == ["saliency", "units"]
    with pytest.raises(ConfigError, match="did you mean weights"):
        chosen_parts(["wieghts"])
    with pytest.raises(ConfigError, match="no part"):
        chosen_parts([])
