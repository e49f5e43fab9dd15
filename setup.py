"""The long description of the wheel: README.md, whose links lead somewhere on a page outside of the repository too."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HOME = Path(__file__).resolve().parent
RELATIVE = r"(?!https?://|mailto:|#)([^)\s]+)"


def page(text: str, source: str | None, version: str) -> str:
    """A Markdown text with its relative links and images below ``source``, the address of the repository.

    Where there is none, links become their text and images are left out: nothing on the page leads nowhere.
    """
    if source is None:
        text = re.sub(rf"!\[[^\]]*\]\({RELATIVE}\)\n*", "", text)
        return re.sub(rf"\[([^\]]+)\]\({RELATIVE}\)", r"\1", text)
    source = source.rstrip("/")
    text = re.sub(rf"!\[([^\]]*)\]\({RELATIVE}\)", rf"![\1]({source}/raw/v{version}/\2)", text)
    return re.sub(rf"(?<!!)\[([^\]]+)\]\({RELATIVE}\)", rf"[\1]({source}/blob/v{version}/\2)", text)


if __name__ == "__main__":
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=page(
            (HOME / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Source"), project["version"]
        ),
        long_description_content_type="text/markdown",
    )
