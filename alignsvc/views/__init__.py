"""What a run looks like in a browser: one script and one style, for pages and for widgets.

The parts are plain scripts that share one scope, joined in the order in which they need each other:
a widget is given one module, and nobody needs a tool to build it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

_PARTS = (
    "plot.js",
    "convergence.js",
    "sky.js",
    "timeline.js",
    "table.js",
    "pixels.js",
    "residuals.js",
    "cutouts.js",
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


def served_script(parts: Sequence[str]) -> str:
    """Return the module of a page that asks its server for what it shows (`page_html`).

    Parameters
    ----------
    parts : sequence of str
        Names of the parts of a picture.
    """
    named = f"const PARTS_SERVED = {json.dumps(list(parts))};"
    return f"{script()}\n{named}\n{_content('served.js')}"


def page_html(title: str, below: str) -> str:
    """Return a page that is nothing by itself: a server gives it script, style and runs.

    Parameters
    ----------
    title : str
    below : str
        Folder, relative to the page, of ``page.js`` and all that it asks for: no address is
        whole, so that any proxy may stand between.
    """
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,">'
        f'<div id="page"></div><script type="module" src="{escape(below)}/page.js"></script></html>'
    )


def style() -> str:
    """Return the style of what is drawn."""
    return _content("views.css")


def view_html(
    picture: Mapping[str, Any],
    element_id: str = "run",
    details: Mapping[str, Any] | None = None,
) -> str:
    """Return an element with a run in it, whole: data, script and style.

    Parameters
    ----------
    picture : mapping
        As `picture_json` gives it.
    element_id : str
        Of the element.
    details : mapping of exposure id to mapping, or None
        As `detail_json` gives them: of the exposures that can be looked at closely.
    """
    name = escape(element_id)
    return (
        f'<style>{style()}</style><div id="{name}"></div>'
        f'<script type="application/json" id="{name}-picture">{_data(picture)}</script>'
        f'<script type="application/json" id="{name}-details">{_data(details or {})}</script>'
        f'<script type="module">{script()}\n'
        f"const text = (part) => document.getElementById('{name}-' + part).textContent;\n"
        f"const data = (part) => JSON.parse(text(part));\n"
        f"let details = null;\n"
        f'const detail = async (id) => {{ details ??= data("details"); '
        f"return Object.hasOwn(details, id) ? details[id] : null; }};\n"
        f'new RunView(document.getElementById("{name}"), {{ detail }}).update(data("picture"));'
        f"</script>"
    )


def _data(value: Mapping[str, Any]) -> str:
    """Return JSON of which no text can end the element that it stands in, or begin another."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _content(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
