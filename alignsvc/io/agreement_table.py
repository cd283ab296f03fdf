"""The table of what two methods differ by, ``method_agreement.ecsv``."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from astropy import units
from astropy.table import Table

from alignsvc.domain.agreement import Agreement, MethodAgreement, NotCompared
from alignsvc.errors import RunStoreError
from alignsvc.io.places import Place
from alignsvc.io.stores import content_of

_COLUMNS: tuple[tuple[str, type], ...] = (
    ("exposure", str),
    ("verdict", str),
    ("reason", str),
    ("dx", float),
    ("dy", float),
    ("largest", float),
    ("error", float),
    ("stated", float),
    ("alone", float),
    ("sigma", float),
    ("n_sources", int),
    ("n_apart", int),
    ("scatter", float),
    ("message", str),
)
_IN_PIXELS = ("dx", "dy", "largest", "error", "stated", "alone", "scatter")
_ABOUT = (
    "The correction by the model minus the one by correlation, which is the one applied. dx (east) "
    "and dy (north) at the middle of the footprint, largest anywhere in it, with its error, pixels "
    "of the exposure; the error is that of the difference, as both methods read the same noise; "
    "stated: the error that the applied correction states there. differ: sigma beyond chance, and "
    "largest beyond eps_shift and twice what is stated. All with the same sources and weights in "
    "both; alone: farthest anywhere if each method weighs and clips its sources by itself. "
    "sigma: how unlikely the difference is by chance, in standard deviations of a normal variable. "
    "n_sources were measured by both methods; n_apart of them are placed farther apart than five "
    "standard deviations of such differences; scatter: of the others' differences, per axis; "
    "message: what failed, if its measurement did."
)


def agreement_to_ecsv(rows: Sequence[MethodAgreement]) -> bytes:
    """Return the table of `rows` as ECSV text."""
    table = Table(
        names=[name for name, _ in _COLUMNS],
        dtype=[kind for _, kind in _COLUMNS],
        rows=[_values(row) for row in rows] or None,
        meta={"about": _ABOUT},
    )
    for name in _IN_PIXELS:
        table[name].unit = units.pix
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _values(row: MethodAgreement) -> tuple[str | float, ...]:
    return (
        row.id,
        row.verdict.value,
        "" if row.reason is None else row.reason.value,
        row.dx_px,
        row.dy_px,
        row.largest_px,
        row.error_px,
        row.stated_px,
        row.alone_px,
        row.sigma,
        row.n_sources,
        row.n_apart,
        row.scatter_px,
        row.message,
    )


def read_agreement(path: Place) -> tuple[MethodAgreement, ...]:
    """Return the rows of a table that `agreement_to_ecsv` wrote.

    Raises
    ------
    RunStoreError
        The file is missing or is not such a table.
    """
    text = content_of(path).decode(errors="replace")
    try:
        return tuple(_row(row) for row in Table.read(text, format="ascii.ecsv"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunStoreError(
            f"{path}: not a table of what two methods differ by ({error}); give the "
            "method_agreement.ecsv of a run with alignment.method: both"
        ) from error


def _row(row: Table.Row) -> MethodAgreement:
    # An empty text comes back masked.
    reason, message = (
        "" if row[name] is np.ma.masked else str(row[name]) for name in ("reason", "message")
    )
    return MethodAgreement(
        str(row["exposure"]),
        Agreement(row["verdict"]),
        NotCompared(reason) if reason else None,
        dx_px=float(row["dx"]),
        dy_px=float(row["dy"]),
        largest_px=float(row["largest"]),
        error_px=float(row["error"]),
        stated_px=float(row["stated"]),
        alone_px=float(row["alone"]),
        sigma=float(row["sigma"]),
        n_sources=int(row["n_sources"]),
        n_apart=int(row["n_apart"]),
        scatter_px=float(row["scatter"]),
        message=message,
    )
