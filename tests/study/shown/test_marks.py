"""Conditions in a figure can be told apart, however many there are."""

from jostle.study.shown.figures import MARKS, marks


def test_every_condition_has_a_mark_of_its_own_and_the_hardest_the_black_one() -> None:
    assert marks(1) == [MARKS[-1]]
    assert marks(7) == list(MARKS)
    for count in (2, 9, 20, 36):
        found = marks(count)
        assert len(found) == len(set(found)) == count
        assert found[-1] == MARKS[-1]
