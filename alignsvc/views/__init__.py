"""What a run looks like in a browser: one script and one style, for pages and for widgets.

The parts are plain scripts that share one scope, joined in the order in which they need each other:
a widget is given one module, and nobody needs a tool to build it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

#: Id of the element of a report's page in which the views draw.
PAGE_VIEW = "run"

_PARTS = (
    "plot.js",
    "convergence.js",
    "sky.js",
    "timeline.js",
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
    shown = f"new RunView({_found(name)}).update({_read(name)});"
    return (
        f'<style>{style()}</style><div id="{name}"></div>{_data(name, picture)}'
        f'<script type="module">{script()}\n{shown}</script>'
    )


def page_html(title: str, body: str, picture: Mapping[str, Any] | None) -> str:
    """Return the page of a report: it asks no network, and runs no script but the views'.

    The browser is told so: it compares the script with its digest, and fetches nothing.

    Parameters
    ----------
    title : str
    body : str
        Markup, with an element `PAGE_VIEW` in it if there is a picture.
    picture : mapping or None
        As `picture_json` gives it; None: there is nothing to draw.
    """
    shown = (
        f"{script()}\n{_content('report.js')}showReport({_found(PAGE_VIEW)}, {_read(PAGE_VIEW)});"
    )
    scripts = "" if picture is None else f'<script type="module">{shown}</script>'
    digest = base64.b64encode(hashlib.sha256(shown.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style()}{_content('report.css')}</style></head>"
        f"<body>{body}{'' if picture is None else _data(PAGE_VIEW, picture)}{scripts}</body></html>"
    )


def _found(name: str) -> str:
    return f'document.getElementById("{name}")'


def _read(name: str) -> str:
    return f'JSON.parse(document.getElementById("{name}-picture").textContent)'


def _data(name: str, picture: Mapping[str, Any]) -> str:
    # No text within can end the element that it stands in, or begin another.
    data = json.dumps(picture, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}-picture">{data}</script>'


def _content(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
