"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import jostle

MODULES = [module.name for module in pkgutil.walk_packages(jostle.__path__, "jostle.")]


def has_examples(name: str) -> bool:
    return any(case.examples for case in doctest.DocTestFinder().find(importlib.import_module(name)))


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__") and has_examples(name)])
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_public_name_is_found() -> None:
    for name in jostle.__all__:
        assert getattr(jostle, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'presetz'"):
        _ = jostle.presetz
