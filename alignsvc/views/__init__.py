"""What a run looks like in a browser: one script and one style, for pages and for widgets.

The parts are plain scripts that share one scope, joined in the order in which they need each other:
a widget is given one module, and nobody needs a tool to build it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
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
    "tasks.js",
    "workers.js",
    "failures.js",
    "table.js",
    "pixels.js",
    "residuals.js",
    "cutouts.js",
    "chosen.js",
    "mosaic.js",
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
        f'<style>{style()}</style><div id="{name}"></div>{_data(name, picture, details)}'
        f'<script type="module">{script()}\n{_read(name)}'
        'new RunView(root, { detail }).update(data("picture"));</script>'
    )


def report_page(
    title: str,
    body: str,
    picture: Mapping[str, Any] | None,
    details: Mapping[str, Any] | None = None,
) -> str:
    """Return the page of a report: it asks no network, and runs no script but the views'.

    The browser is told so: it compares the script with its digest, and fetches nothing.

    Parameters
    ----------
    title : str
    body : str
        Markup, with an element `PAGE_VIEW` in it if there is a picture.
    picture : mapping or None
        As `picture_json` gives it; None: there is nothing to draw.
    details : mapping of exposure id to mapping, or None
        As of `view_html`; the first one is shown at once.
    """
    shown = (
        f"{script()}\n{_content('report.js')}{_read(PAGE_VIEW)}"
        'showReport(root, data("picture"), detail, Object.keys(data("details"))[0]);'
    )
    script_element = f'<script type="module">{shown}</script>'
    drawn = "" if picture is None else f"{_data(PAGE_VIEW, picture, details)}{script_element}"
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
        f"<body>{body}{drawn}</body></html>"
    )


def _read(name: str) -> str:
    """Return a script that defines ``root``, ``data(part)`` and ``detail(id)`` of an element."""
    return (
        f'const root = document.getElementById("{name}");\n'
        "const data = (part) => JSON.parse("
        f'document.getElementById("{name}-" + part).textContent);\n'
        "let details = null;\n"
        'const detail = async (id) => { details ??= data("details"); '
        "return Object.hasOwn(details, id) ? details[id] : null; };\n"
    )


def _data(name: str, picture: Mapping[str, Any], details: Mapping[str, Any] | None) -> str:
    """Return elements of JSON, of which no text can end the element or begin another."""
    return "".join(
        f'<script type="application/json" id="{name}-{part}">'
        + json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        + "</script>"
        for part, value in (("picture", picture), ("details", details or {}))
    )


def _content(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
