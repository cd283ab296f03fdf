"""Pieces of a page. Whatever text they are given stands there as text, never as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

#: What a browser takes as markup: made here, and of numbers that this program has formatted.
Markup = NewType("Markup", str)


def text(words: str) -> Markup:
    """Return words as they are to be read."""
    return Markup(html.escape(words))


def joined(parts: Iterable[Markup]) -> Markup:
    """Return pieces one after the other."""
    return Markup("".join(parts))


def paragraphs(lines: Iterable[str], kind: str = "") -> Markup:
    """Return a paragraph of each line."""
    return Markup("".join(f"<p{_class(kind)}>{html.escape(line)}</p>" for line in lines))


def section(title: str, *content: Markup, anchor: str = "") -> Markup:
    """Return a section below a heading; nothing if there is nothing in it."""
    body = "".join(content)
    if not body:
        return Markup("")
    name = f' id="{html.escape(anchor)}"' if anchor else ""
    return Markup(f"<section{name}><h2>{html.escape(title)}</h2>{body}</section>")


def folded(title: str, *content: Markup) -> Markup:
    """Return what is shown when its title is pressed; nothing if there is nothing in it."""
    body = "".join(content)
    return Markup(f"<details><summary>{html.escape(title)}</summary>{body}</details>" * bool(body))


def preformatted(lines: str) -> Markup:
    """Return lines that keep their spaces."""
    return Markup(f"<pre>{html.escape(lines)}</pre>")


def table(
    head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], title: str = ""
) -> Markup:
    """Return a table: of each row its kind, for the eye, and its cells; nothing without rows."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = "".join(
        f"<tr{_class(kind)}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        for kind, cells in rows
    )
    if not body:
        return Markup("")
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    return Markup(
        f'<div class="wide"><table>{caption}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(rows: Iterable[tuple[str, str]]) -> Markup:
    """Return names with what they stand for; nothing without any."""
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return Markup(f'<table class="pairs"><tbody>{body}</tbody></table>' * bool(body))


def _class(kind: str) -> str:
    return f' class="{html.escape(kind)}"' if kind else ""
