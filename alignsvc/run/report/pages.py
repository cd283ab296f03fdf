"""``report.json`` and ``report.html``: self-contained, everything from outside stands as text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from alignsvc import views
from alignsvc.errors import AlignError
from alignsvc.io.journal_store import Entry
from alignsvc.io.locations import (
    CORRECTIONS,
    HISTORY,
    JOURNAL,
    LOGS,
    PREVIEWS,
    REPORT_HTML,
    REPORT_JSON,
    RunLocations,
)
from alignsvc.run.needs.prediction import predicted
from alignsvc.run.planning.outlines import OUTLINES
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.state import fold
from alignsvc.run.report import sections
from alignsvc.run.report.contents import ReportContents
from alignsvc.run.report.exposure_rows import worst_first
from alignsvc.run.report.markup import Markup, joined, paragraphs, section
from alignsvc.run.report.needs import DiskNeeds, stage_needs
from alignsvc.run.report.performance import performance_of
from alignsvc.run.report.provenance import provenance_of
from alignsvc.run.report.pulls import find_pulls
from alignsvc.run.report.reported_picture import reported_picture
from alignsvc.run.report.summary import extends
from alignsvc.run.report.trust import trust_of
from alignsvc.run.report.worst_details import worst_details
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.stages.running import Tools
from alignsvc.run.status.stage_times import stages_read_on

T = TypeVar("T")

_NO_SCRIPT = (
    "This browser runs no scripts: what follows is whole, but for the drawings of movement and sky "
    "and the table of all exposures, which corrections.ecsv and report.json hold."
)


def write_reports(tools: Tools, result: RunResult) -> None:
    """Write the reports that the configuration asks for."""
    objects = RunLocations(tools.run).objects
    contents = _contents(tools, result)
    record = {**contents.as_json(), "trust": trust_of(contents).as_json()}
    objects.put(REPORT_JSON, json.dumps(record, indent=1, allow_nan=False).encode())
    if tools.plan.config.output.report == "html":
        objects.put(REPORT_HTML, report_html(contents).encode())


def report_html(contents: ReportContents) -> str:
    """Return the page: the verdict first, then pictures, then tables, then details."""
    return views.report_page(
        f"{contents.result.directory}: {trust_of(contents).heading}",
        joined(
            [
                Markup('<main class="report">'),
                sections.verdict(contents),
                sections.residuals(contents),
                _view(contents),
                sections.worst(contents),
                sections.passes(contents),
                sections.agreement(contents),
                sections.work(contents),
                sections.provenance(contents),
                Markup("</main>"),
            ]
        ),
        contents.picture,
        contents.details,
    )


def _view(contents: ReportContents) -> Markup:
    """Return where the views draw, once scripts run."""
    if contents.picture is None:
        return Markup("")
    return section(
        "The run",
        Markup(f"<noscript>{paragraphs([_NO_SCRIPT])}</noscript>"),
        Markup(f'<div id="{views.PAGE_VIEW}"></div>'),
    )


def _contents(tools: Tools, result: RunResult) -> ReportContents:
    objects = RunLocations(tools.run).objects
    entries = tuple(tools.journal.entries())
    events = [entry.event for entry in entries]
    state = fold(events)
    wanted = predicted(tools.plan)
    missing: list[str] = []
    picture = _tried("drawings", missing, lambda: RunViewer(tools.run).look())
    worst = [row.id for row in worst_first(result.corrections) if row.correction is not None]
    solver = tools.plan.config.alignment.solver
    return ReportContents(
        result=result,
        extends=extends(tools.plan),
        needs=stage_needs(wanted, events),
        disk=DiskNeeds(wanted.end_bytes, sum(objects.sizes("").values())),
        performance=_performance(tools, entries),
        provenance=provenance_of(tools.run, tools.plan),
        pulls=_tried("pulls", missing, lambda: find_pulls(objects, state, solver)),
        picture=None if picture is None else reported_picture(picture, result),
        details=_tried("sources", missing, lambda: worst_details(objects, state, worst)) or {},
        tables=(*_tables(result, picture), *objects.list(PREVIEWS)),
        missing=tuple(missing),
    )


def _performance(tools: Tools, entries: Sequence[Entry]) -> Any:
    return performance_of(entries, stages_read_on((), entries), tools.plan.headers, time.time())


def _tables(result: RunResult, picture: RunPicture | None) -> tuple[str, ...]:
    """Return the names of the tables and folders that hold what is drawn."""
    passes = () if picture is None else picture.passes
    return (
        *(() if result.ended_early else (CORRECTIONS,)),
        *(f"{HISTORY}pass-{one.number:04d}/{CORRECTIONS}" for one in passes),
        *((OUTLINES,) if picture is not None and len(picture.outlines.id) else ()),
        *(JOURNAL, LOGS),
    )


def _tried(what: str, missing: list[str], find: Callable[[], T]) -> T | None:
    """Return what is merely to be shown; where it cannot be had, why is added to `missing`."""
    try:
        return find()
    except AlignError as error:
        missing.append(f"{what}: {error}")
        return None
