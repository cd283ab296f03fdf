"""What a run looks like in a browser: one script and one style, for pages and for widgets.

The parts are plain scripts that share one scope, joined in the order in which they need each other:
a widget is given one module, and nobody needs a tool to build it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

_PARTS = (
    "plot.js",
    "convergence.js",
    "sky.js",
    "timeline.js",
    "tasks.js",
    "workers.js",
    "failures.js",
    "table.js",
    "chosen.js",
    "log.js",
    "views.js",
)


def script() -> str:
    """Return what draws a run: it defines ``RunView``."""
    return "\n".join(_content(part) for part in _PARTS)


def widget_script() -> str:
    """Return the module of a notebook's widget, as anywidget has it."""
    return f"{script()}\n{_content('widget.js')}"


def style() -> str:
    """Return the style of what is drawn."""
    return _content("views.css")


def view_html(picture: Mapping[str, Any], element_id: str = "run") -> str:
    """Return an element with a run in it, whole: data, script and style.

    Parameters
    ----------
    picture : mapping
        As `picture_json` gives it.
    element_id : str
        Of the element.
    """
    name = escape(element_id)
    # No text within can end the element that it stands in, or begin another.
    data = json.dumps(picture, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<style>{style()}</style><div id="{name}"></div>'
        f'<script type="application/json" id="{name}-picture">{data}</script>'
        f'<script type="module">{script()}\n'
        f'const picture = JSON.parse(document.getElementById("{name}-picture").textContent);\n'
        f'new RunView(document.getElementById("{name}")).update(picture);</script>'
    )


def _content(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
