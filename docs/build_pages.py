"""Build the pages of `make docs`: the package's docstrings, its Markdown files and notebooks.

Run as ``python docs/build_pages.py GOAL``. Nothing is fetched, and the pages work without a net.
"""

from __future__ import annotations

import html
import importlib
import pkgutil
import posixpath
import re
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import notebook_files
import pdoc
import pdoc.render
from pdoc.render_helpers import to_html

import alignsvc

ROOT = Path(__file__).resolve().parents[1]

#: Title and file of each page that all pages link to, in the order of reading.
PAGES = {
    "README": "README.md",
    "Documents": "docs/index.md",
    "Design": "alignsvc/DESIGN.md",
    "Running it": "deploy/README.md",
    "What the tests show": "tests/README.md",
    "Benchmarks": "tests/benchmarks/RESULTS.md",
    "Figures": "docs/plots.md",
    "Changes": "CHANGELOG.md",
}

#: More pages, which those link to.
MORE = ("docs/*.md", "docs/notebooks/*.ipynb", "deploy/*/README.md")

#: Where a link in a text points.
_LINK = re.compile(r"(?<=\]\()[^)\s#]+(?=[)#])")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}: alignsvc {version}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
nav a {{ margin-right: 1.2rem; }} nav {{ border-bottom: 1px solid #ccc; padding-bottom: .6rem; }}
pre {{ background: #f4f4f4; padding: .8rem; overflow-x: auto; }} code {{ font-size: 90%; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
td, th {{ border: 1px solid #ccc; padding: .2rem .6rem; text-align: left; }}
</style></head><body><nav>{links}</nav>
{content}
</body></html>
"""


def modules() -> list[str]:
    """Return the package and its parts, each of which stands for all that is in it.

    The package's own ``__all__`` names functions only, so pdoc would not look further.
    """
    parts = pkgutil.iter_modules(alignsvc.__path__, "alignsvc.")
    return ["alignsvc", *(part.name for part in parts)]


def write_api(goal: Path) -> None:
    """Write a page for each module, and their common index of words to search."""
    for name in alignsvc.__all__:
        # The package imports its names on first use; pdoc sees those that have been used.
        setattr(alignsvc, name, getattr(alignsvc, name))
    pdoc.render.configure(
        docformat="numpy",
        footer_text=f"alignsvc {alignsvc.__version__}",
        show_source=False,
        template_directory=Path(__file__).with_name("template"),
    )
    with warnings.catch_warnings():
        # Names that a module imports for its type checker only are shown as they are written.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        pdoc.pdoc(*modules(), output_directory=goal)


def table_of_modules() -> str:
    """Return a Markdown table of all modules, each with its first line."""
    rows = ["# All modules", "", "| module | what it is |", "|---|---|"]
    names = ["alignsvc", *(m.name for m in pkgutil.walk_packages(alignsvc.__path__, "alignsvc."))]
    for name in names:
        said = (importlib.import_module(name).__doc__ or "").partition("\n")[0]
        rows.append(f"| [{name}](api/{name.replace('.', '/')}.html) | {said} |")
    return "\n".join(rows)


def page_names() -> dict[str, str]:
    """Return the name of each page, by its file below the sources; in the order of reading."""
    names = {file: f"{title.lower().replace(' ', '-')}.html" for title, file in PAGES.items()}
    names["README.md"] = "index.html"
    for found in sorted(path for pattern in MORE for path in ROOT.glob(pattern)):
        file = found.relative_to(ROOT)
        parts = [part for part in file.with_suffix("").parts if part not in ("docs", "README")]
        names.setdefault(file.as_posix(), f"{'-'.join(parts)}.html")
    return names


def text_of(file: str) -> str:
    """Return what a page says, as Markdown."""
    if file.endswith(".ipynb"):
        return notebook_files.markdown_of(ROOT / file)
    return (ROOT / file).read_text()


def linked(text: str, file: str, names: Mapping[str, str], goal: Path) -> str:
    """Return a text with links to pages; what it links to and has no page is copied to `goal`."""

    def page_of(match: re.Match[str]) -> str:
        if "://" in match[0]:
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(file), match[0]))
        if target in names:
            return names[target]
        copy = goal / "files" / target
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / target, copy)
        return f"files/{target}"

    parts = text.split("```")  # every other one is code
    parts[::2] = [_LINK.sub(page_of, part) for part in parts[::2]]
    return "```".join(parts)


def write_page(goal: Path, name: str, text: str) -> None:
    """Write a Markdown text as a page; its first line is the title."""
    names = page_names()
    links = " ".join(f'<a href="{names[file]}">{title}</a>' for title, file in PAGES.items())
    links += ' <a href="model-fit.html">Model fit</a>'
    links += ' <a href="modules.html">Modules</a> <a href="api/alignsvc.html">In Python</a>'
    title = html.escape(text.partition("\n")[0].lstrip("# "))
    page = PAGE.format(
        title=title, version=alignsvc.__version__, links=links, content=to_html(text)
    )
    (goal / name).write_text(page)


def write_documents(goal: Path) -> None:
    """Write Markdown files and notebooks as pages; the first is the index."""
    names = page_names()
    known = {**names, "docs/model_fit.py": "model-fit.html"}
    for file, name in names.items():
        write_page(goal, name, linked(text_of(file), file, known, goal))


def main(goal: Path) -> None:
    """Build everything below `goal`."""
    goal.mkdir(parents=True, exist_ok=True)
    write_api(goal / "api")
    write_documents(goal)
    write_page(goal, "modules.html", table_of_modules())
    tutorial = importlib.import_module("model_fit")  # which fits when it is imported
    (goal / "model-fit.html").write_text(tutorial.html())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
