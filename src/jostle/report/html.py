"""Elements of HTML and SVG from plain values: text is escaped wherever it comes from, in contents and attributes."""

import json
from typing import Any

from markupsafe import Markup, escape

_EMPTY = {"br", "col", "hr", "img", "input", "meta", "source"}


def tag(name: str, *inside: Any, **attributes: Any) -> Markup:
    """One element. A `Markup` inside is kept, all else is escaped.

    Attributes: ``_`` at an end is dropped and inner ones become ``-``, so ``class_`` and ``aria_label`` can be given;
    True is an attribute without a value, None and False none at all.

    >>> str(tag("td", "<b>", class_="n", data_v=1.5))
    '<td class="n" data-v="1.5">&lt;b&gt;</td>'
    """
    told = Markup("")
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.strip("_").replace("_", "-")
        told += Markup(" {}").format(shown) if value is True else Markup(' {}="{}"').format(shown, value)
    begin = Markup("<{}{}>").format(name, told)
    return begin if name in _EMPTY else begin + join(*inside) + Markup("</{}>").format(name)


def join(*parts: Any) -> Markup:
    """Parts one behind the other; None is nothing, lists are their parts."""
    found = Markup("")
    for part in parts:
        if isinstance(part, list | tuple):
            found += join(*part)
        elif part is not None:
            found += escape(part)
    return found


def data(value: Any) -> Markup:
    """Plain data in a block that no browser runs and no text in it can end."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup('<script type="application/json">{}</script>').format(Markup(text))
