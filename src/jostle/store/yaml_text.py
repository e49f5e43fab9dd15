"""YAML as people write it."""

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 5e-4 for a text; people don't."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str) -> Any:
    """YAML into plain data, by the safe loader: nothing in the text is run.

    Raises:
        yaml.YAMLError: the text is no YAML.
    """
    return yaml.load(text, _Loader)
