"""Figures in files as pictures within the page, as long as there is room."""

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from jostle.report.html import tag

_PNG = b"\x89PNG\r\n\x1a\n"
_SHARP = 0.64  # of a pixel at 150 to the inch, as screens count them
_WIDE = 620  # of a screen's pixels, from which a figure is scrolled on a phone, not shrunk


@dataclass
class Pictures:
    """What pictures may still take.

    Attributes:
        room: bytes that are left.
        dropped: figures that found none.
    """

    room: int
    dropped: int = 0

    def of(self, folder: Path, figures: Mapping[str, str]) -> list[Markup]:
        """The PNG files of a folder with the words for what is to be seen on each; what is none is passed over."""
        found = []
        for file, seen in figures.items():
            path = folder / file
            if not path.resolve().is_relative_to(folder.resolve()):
                continue
            try:
                data = path.read_bytes()
            except OSError:
                continue
            if not data.startswith(_PNG) or len(data) < 24:
                continue
            if len(data) > self.room:
                self.dropped += 1
                continue
            self.room -= len(data)
            found.append(_shown(data, seen))
        return found


def _shown(data: bytes, seen: str) -> Markup:
    width, height = (round(_SHARP * size) for size in struct.unpack(">II", data[16:24]))
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    picture = tag("img", src=source, alt=seen, width=width, height=height)
    wide = width > _WIDE
    frame = tag("div", picture, class_="shot wide" if wide else "shot", tabindex=0 if wide else None,
                role="region" if wide else None, aria_label=f"Figure: {seen}" if wide else None)  # fmt: skip
    return tag("figure", frame, tag("figcaption", seen), class_="whole" if wide else None)
