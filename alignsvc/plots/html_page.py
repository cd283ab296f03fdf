"""Figures and texts as one HTML page that needs no net."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from itertools import groupby

from matplotlib.figure import Figure

from alignsvc.plots.figures import png_bytes

#: Sharp on screens of twice the usual density.
_DPI = 200
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1rem}"
    "img{max-width:100%;height:auto}pre{overflow-x:auto}"
)


def page(title: str, parts: Mapping[str, Figure | str]) -> str:
    """Return an HTML page of figures and texts under headings, whole in itself.

    Parameters
    ----------
    title : str
    parts : mapping of headings to what stands below each
        Each line of a str is a paragraph; those that begin with a blank are shown as they are.

    Examples
    --------
    >>> html = page("A fit", {"All of it": plot_scene(fitted)})  # doctest: +SKIP
    """
    body = "".join(
        f"<h2>{escape(heading)}</h2>"
        + (_paragraphs(part) if isinstance(part, str) else _image(heading, part))
        for heading, part in parts.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def _image(heading: str, figure: Figure) -> str:
    content = base64.b64encode(png_bytes(figure, _DPI)).decode()
    # 96 pixels of a page are an inch; papers are read from nearer than screens.
    width = round(96 * 1.4 * figure.get_figwidth())
    return f'<img width="{width}" alt="{escape(heading)}" src="data:image/png;base64,{content}">'


def _paragraphs(text: str) -> str:
    blocks = []
    for as_it_is, lines in groupby(text.splitlines(), lambda line: line.startswith(" ")):
        tag, between = ("pre", "\n") if as_it_is else ("p", "</p><p>")
        blocks.append(f"<{tag}>{between.join(map(escape, lines))}</{tag}>")
    return "".join(blocks)
