"""The sections of the page that need no script: verdict, numbers, tables, and how to repeat it."""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.outcome import Status
from alignsvc.run.report.agreement import AGREEMENT_HEAD, AGREEMENT_TITLE, agreement_cells
from alignsvc.run.report.contents import ReportContents
from alignsvc.run.report.exposure_rows import exposure_head, exposure_rows, shown_rows
from alignsvc.run.report.histogram import Bars, Histogram
from alignsvc.run.report.markup import (
    Markup,
    folded,
    joined,
    pairs,
    paragraphs,
    preformatted,
    section,
    table,
    text,
)
from alignsvc.run.report.needs import NEEDS_HEAD
from alignsvc.run.report.performance import RATE_HEAD
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.report.reasons import REASONS_HEAD, reason_rows
from alignsvc.run.report.residual_statistics import RESIDUALS_HEAD, ResidualHistogram
from alignsvc.run.report.summary import result_lines
from alignsvc.run.report.trust import Trust, trust_of
from alignsvc.wording import counted

#: Okabe and Ito's colours, as the views have them.
_BLUE, _VERMILION, _BLACK = "#0072b2", "#d55e00", "#000000"
_KIND = {
    Trust.USE: "good",
    Trust.USE_IN_PART: "some",
    Trust.LOOK: "some",
    Trust.NOTHING: "bad",
}


def verdict(contents: ReportContents) -> Markup:
    """Return what the page begins with: how the run ended, and whether to trust it."""
    found = trust_of(contents)
    first, *more = found.lines
    return joined(
        [
            Markup(f'<header class="verdict {_KIND[found.trust]}"><h1>{text(found.heading)}</h1>'),
            paragraphs([first], "answer"),
            paragraphs(more),
            paragraphs((f"warning: {one}" for one in contents.result.warnings), "warning"),
            Markup("</header>"),
            numbers(contents),
            section("In words", paragraphs(_said(contents))),
            reasons(contents),
        ]
    )


def _said(contents: ReportContents) -> list[str]:
    """Return the run's own sentences; warnings stand above, what is said of single ones below."""
    lines = result_lines(contents.result, most_notes=None)
    return [
        *(one for one in lines if not one.startswith(("warning: ", "  "))),
        *_extended(contents),
        *(f"not shown: {one}" for one in contents.missing),
    ]


def _extended(contents: ReportContents) -> list[str]:
    """Return which run this one extends, in a sentence; nothing if none."""
    known = contents.extends
    if known is None:
        return []
    frozen = " (frozen)" if known["frozen"] else ""
    return [f"extends {known['run']}: {known['old']} old{frozen}, {known['new']} new"]


def numbers(contents: ReportContents) -> Markup:
    """Return the main numbers."""
    result = contents.result
    given = [("exposures", str(len(result.corrections)))] if not result.ended_early else []
    rows = [
        ("run", str(result.directory)),
        *given,
        *((status.value, str(result.counts[status])) for status in Status),
    ]
    rows.append(("passes", str(len(result.history))))
    if result.history:
        limit = contents.eps_shift_px
        ends = "" if limit is None else f" (the loop ends below {limit:g} px)"
        rows.append(("last largest movement", f"{result.history[-1].movement_px:.4f} px{ends}"))
    rows.append(("corrected headers", counted(len(result.headers), "file")))
    return pairs(rows)


def reasons(contents: ReportContents) -> Markup:
    """Return the table of reasons; nothing if all exposures are aligned."""
    rows = ((row.status.value, row.cells) for row in reason_rows(contents.result.corrections))
    return section("Reasons", table(REASONS_HEAD, rows), anchor="reasons")


def residuals(contents: ReportContents) -> Markup:
    """Return how residuals and pulls are distributed, drawn and as numbers."""
    found = contents.residuals
    drawn = [
        *([_residual_histogram(found.histogram)] if found.histogram is not None else []),
        *([_pull_histogram(contents.pulls)] if contents.pulls is not None else []),
    ]
    figures = Markup(f'<div class="figures">{joined(drawn)}</div>' if drawn else "")
    rows = (("", cells) for cells in found.rows)
    title = "Per axis, over the aligned exposures, pixels of each"
    return section("Residuals", figures, table(RESIDUALS_HEAD, rows, title))


def _residual_histogram(found: ResidualHistogram) -> Markup:
    return Histogram(
        "Held-out sources: how far a typical one lies from the others",
        found.edges_px,
        (
            Bars("before", found.before.astype(float), _VERMILION, is_filled=False),
            Bars("after", found.after.astype(float), _BLUE, is_filled=True),
        ),
        "median residual per axis [px]",
        "exposures",
        is_log=True,
    ).drawn(
        f"{int(found.before.sum())} exposures whose held-out sources were judged, before and after."
    )


def _pull_histogram(found: Pulls) -> Markup:
    width = np.diff(found.edges)
    middles = (found.edges[1:] + found.edges[:-1]) / 2
    normal = found.n * width * np.exp(-(middles**2) / 2) / math.sqrt(2 * math.pi)
    return Histogram(
        "Pulls of held-out sources",
        found.edges,
        (Bars("sources", found.counts.astype(float), _BLUE, is_filled=True),),
        "residual / its error",
        f"in bins of {width[0]:g}",
        curve=Bars("unit normal", normal, _BLACK, is_filled=False),
    ).drawn(f"{found.line()}.", found.about)


def worst(contents: ReportContents) -> Markup:
    """Return the exposures that are to be looked at first."""
    rows = contents.result.corrections
    shown = shown_rows(rows)
    more = (
        [
            f"{len(shown)} of {len(rows)}: the first of those that are not aligned, and of those "
            "that are; corrections.ecsv and report.json have all."
        ]
        if len(rows) > len(shown)
        else []
    )
    return section(
        "Exposures, worst first",
        paragraphs(more),
        table(exposure_head(rows), exposure_rows(shown)),
        anchor="worst",
    )


def passes(contents: ReportContents) -> Markup:
    """Return the table of passes."""
    rows = (
        (
            "",
            (
                f"{one.number}{' (full)' if one.is_full else ''}",
                f"{one.movement_px:.4f}",
                f"{one.n_solved}",
                f"{one.n_sources}",
            ),
        )
        for one in contents.result.history
    )
    head = ("pass", "largest movement [px]", "exposures solved", "sources")
    return section("Passes", table(head, rows))


def agreement(contents: ReportContents) -> Markup:
    """Return how two methods differ; nothing where they were not compared."""
    rows = ((row.verdict.value, agreement_cells(row)) for row in contents.result.agreement)
    return section(AGREEMENT_TITLE, table(AGREEMENT_HEAD, rows))


def work(contents: ReportContents) -> Markup:
    """Return what the run needed: time, memory, disk; nothing if nothing ran."""
    took = contents.performance
    rates = {} if took is None else {one.stage: one.cells for one in took.stages}
    nothing = ("",) * len(RATE_HEAD)
    rows = (("", (*row.cells, *rates.get(row.stage, nothing))) for row in contents.needs)
    lines = [
        *([took.line()] if took is not None else []),
        *([contents.disk.line()] if contents.disk is not None else []),
    ]
    return section("Work and memory", table((*NEEDS_HEAD, *RATE_HEAD), rows), paragraphs(lines))


def provenance(contents: ReportContents) -> Markup:
    """Return what the run was made of, folded."""
    found = contents.provenance
    if found is None:
        return Markup("")
    about = [
        folded("Inputs, versions, and how to make it again", pairs(found.rows)),
        folded(
            "Configuration, with every default filled in", preformatted(found.configuration_text)
        ),
    ]
    if contents.tables:
        about.append(
            folded("Tables in the run's directory", preformatted("\n".join(contents.tables)))
        )
    return section("What it was made of", *about)
