"""YAML as people write it, and as nobody may mean it.

A key given twice is an error, not a choice of the last one; no tag makes anything but plain data; and a short text
cannot unfold into a long one.
"""

import re
from typing import Any

import numpy as np
import yaml

_MOST = 100_000
"""Parts of a document, those behind each mention of an anchor included."""
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_STARTS = list("-+.0123456789")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 5e-4 for a text, and 2024-05-01 for something else than a text; people don't."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = key.tag, key.value
                if name in first:
                    raise _problem(f"the key {key.value!r} is given twice, first in line {first[name]}", key)
                first[name] = key.start_mark.line + 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would take for a number."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _STARTS)
_Loader.yaml_implicit_resolvers = {
    start: [(tag, pattern) for tag, pattern in known if tag != _TIMESTAMP]
    for start, known in _Loader.yaml_implicit_resolvers.items()
}


def _refuse(_: Any, node: yaml.Node) -> Any:
    raise _problem(f"{node.tag} is no plain data", node)


for _name in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _refuse)


def parse_yaml(text: str | bytes) -> Any:
    """YAML into plain data, by the safe loader: nothing in the text is run.

    Raises:
        yaml.YAMLError: the text is no YAML, gives a key twice, or unfolds into more than anybody writes.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (ValueError, OverflowError, TypeError) as error:  # a number that Python cannot read
        raise yaml.YAMLError(" ".join(str(error).split())) from error


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `parse_yaml` reads back; NumPy's scalars become Python's.

    Raises:
        yaml.YAMLError: something in it is no plain data.
    """
    return yaml.dump(plain(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def plain(data: Any) -> Any:
    """The same data with Python's own numbers and texts in place of NumPy's scalars and kinds of texts."""
    if isinstance(data, np.generic):
        return data.item()
    if isinstance(data, str):
        return str(data)
    if isinstance(data, dict):
        return {plain(key): plain(value) for key, value in data.items()}
    return [plain(value) for value in data] if isinstance(data, list | tuple) else data


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Parts of a node, each as often as it is mentioned."""
    if id(node) in known:
        if not known[id(node)]:
            raise _problem("an anchor holds itself", node)
        return known[id(node)]
    known[id(node)] = 0
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    inner = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
    total = 1 + sum(_size(part, known) for part in inner)
    if total > _MOST:
        raise _problem(f"it unfolds into more than {_MOST:,} parts", node)
    known[id(node)] = total
    return total


def _problem(what: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)
