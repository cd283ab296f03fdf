"""`make docs`: every document and notebook is a page, and no link between them is dead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_every_link_of_a_page_leads_somewhere(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pdoc is not installed (extra docs): no page was built")
    build_pages = pytest.importorskip("build_pages")
    build_pages.write_documents(tmp_path)
    pages = {path.name: path.read_text() for path in tmp_path.glob("*.html")}
    assert {"index.html", "documents.html", "notebooks-quickstart.html"} <= set(pages)
    dead = [
        (name, link)
        for name, page in pages.items()
        for link in re.findall(r'href="([^"#]+)', page)
        if "://" not in link
        and not link.startswith(("api/", "model-fit.html", "modules.html"))  # of other functions
        and not (tmp_path / link).is_file()
    ]
    assert dead == []
    quickstart = pages["notebooks-quickstart.html"]
    assert "<title>Quickstart" in quickstart
    assert "alignsvc" in quickstart and "simulate" in quickstart
    assert 'href="notebooks-your_own_data.html"' in quickstart
