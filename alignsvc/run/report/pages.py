"""``report.json`` and ``report.html``: self-contained, everything from outside escaped."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.io.locations import REPORT_HTML, REPORT_JSON, RunLocations
from alignsvc.run.prediction import predicted
from alignsvc.run.report.agreement import AGREEMENT_HEAD, AGREEMENT_TITLE, agreement_cells
from alignsvc.run.report.needs import (
    NEEDS_HEAD,
    DiskNeeds,
    StageNeeds,
    needs_json,
    stage_needs,
)
from alignsvc.run.report.reasons import REASONS_HEAD, reason_rows
from alignsvc.run.report.summary import extends, result_json, result_lines
from alignsvc.run.result import RunResult, completion_of
from alignsvc.run.source_counts import COUNTS_HEAD, counts_cells
from alignsvc.run.stages import Tools
from alignsvc.version import VERSION

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.25em .6em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    ".failed{background:#fde0dc}.skipped,.apart,.differ{background:#fff3cd}"
)

_COLOUR_TERM = ("redder by a magnitude: shift east [mas]", "north", "its error")


def write_reports(tools: Tools, result: RunResult) -> None:
    """Write the reports that the configuration asks for."""
    objects = RunLocations(tools.run).objects
    about = {"version": VERSION, "identity": tools.plan.identity, "extends": extends(tools.plan)}
    wanted = predicted(tools.plan)
    needs = stage_needs(wanted, tools.journal.events())
    disk = DiskNeeds(wanted.end_bytes, sum(objects.sizes("").values()))
    record = {
        **about,
        **result_json(result),
        "needs": needs_json(needs),
        "disk": disk.as_json(),
    }
    objects.put(REPORT_JSON, json.dumps(record, indent=1, allow_nan=False).encode())
    if tools.plan.config.output.report == "html":
        objects.put(REPORT_HTML, report_html(result, needs, disk).encode())


def report_html(
    result: RunResult, needs: Sequence[StageNeeds] = (), disk: DiskNeeds | None = None
) -> str:
    """Return the page: the verdict first, then passes, then every exposure, trouble first."""
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in result_lines(result, most_notes=None))
    passes = _table(
        ("pass", "largest movement [px]", "exposures solved", "sources"),
        (
            ("", (f"{p.number}", f"{p.movement_px:.4f}", f"{p.n_solved}", f"{p.n_sources}"))
            for p in result.history
        ),
    )
    rows = sorted(result.corrections, key=lambda r: (_kind(r) == Status.ALIGNED.value, r.id))
    has_colours = any(row.colour_term is not None for row in rows)
    exposures = _table(
        (
            *("exposure", "status", "reason", "verdict", "shift east [arcsec]", "shift north"),
            *("rotation [deg]", *COUNTS_HEAD, "rmse [px]", "last movement [px]"),
            *("held-out sources off, before [px]", "after"),
            *(_COLOUR_TERM if has_colours else ()),
        ),
        (
            (_kind(row), (*_cells(row), *(_colour_cells(row) if has_colours else ())))
            for row in rows
        ),
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>alignsvc report</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(_title(result))}</h1>{lines}{_reasons(result)}"
        f"<h2>Passes</h2>{passes}<h2>Exposures</h2>{exposures}{_agreement(result)}"
        f"{_needs(needs)}{'' if disk is None else f'<p>{disk.line()}</p>'}"
        f"<p>alignsvc {VERSION}</p></html>"
    )


def _title(result: RunResult) -> str:
    return completion_of(result).value if result.ended_early else result.verdict.value


def _reasons(result: RunResult) -> str:
    """Return the table of reasons; nothing if all exposures are aligned."""
    found = reason_rows(result.corrections)
    if not found:
        return ""
    return f"<h2>Reasons</h2>{_table(REASONS_HEAD, ((r.status.value, r.cells) for r in found))}"


def _needs(needs: Sequence[StageNeeds]) -> str:
    """Return the table of what was predicted and found; nothing if nothing ran."""
    if not needs:
        return ""
    return f"<h2>Work and memory</h2>{_table(NEEDS_HEAD, (('', row.cells) for row in needs))}"


def _agreement(result: RunResult) -> str:
    if not result.agreement:
        return ""
    rows = ((row.verdict.value, agreement_cells(row)) for row in result.agreement)
    return f"<h2>{html.escape(AGREEMENT_TITLE)}</h2>{_table(AGREEMENT_HEAD, rows)}"


def _table(head: Iterable[str], rows: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        f'<tr class="{html.escape(kind)}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for kind, cells in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _cells(row: ExposureResult) -> tuple[str, ...]:
    head = (row.id, row.status.value, _remark(row), row.verdict.value)
    if row.correction is None:
        return (*head, *[""] * (7 + len(COUNTS_HEAD)))
    return (
        *head,
        f"{row.correction.shift[0]:+.5f}",
        f"{row.correction.shift[1]:+.5f}",
        f"{row.correction.rotation_deg:+.6f}",
        *counts_cells(row.quality),
        f"{row.quality.rmse_px:.4f}",
        f"{row.last_move_px:.4f}",
        *(_or_nothing(px) for px in (row.held_out.before_px, row.held_out.after_px)),
    )


def _kind(row: ExposureResult) -> str:
    return "apart" if row.chips_apart else row.status.value


def _remark(row: ExposureResult) -> str:
    """Return why an exposure is not aligned, or which of its chips are not."""
    apart = (f"{chip.name} by {chip.length_px:.3f} px" for chip in row.chips_apart)
    return row.message or row.reason or f"not its chips {', '.join(apart)}" * bool(row.chips_apart)


def _colour_cells(row: ExposureResult) -> tuple[str, ...]:
    if row.colour_term is None:
        return ("",) * len(_COLOUR_TERM)
    east, north = row.colour_term.shift_mas
    return (f"{east:+.2f}", f"{north:+.2f}", f"{max(row.colour_term.error_mas):.2f}")


def _or_nothing(value_px: float) -> str:
    return f"{value_px:.4f}" if math.isfinite(value_px) else ""
