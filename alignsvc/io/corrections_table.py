"""The table of corrections, ``corrections.ecsv``: written whole, with all digits."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy import units
from astropy.table import Column, Table

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import N_PARAMETERS, Correction, Geometry
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ChipApart, ChipResult, ExposureResult, FitQuality
from alignsvc.errors import RunStoreError
from alignsvc.io.places import Place
from alignsvc.io.stores import content_of

_UPPER = np.triu_indices(N_PARAMETERS)
_UNITS = {
    "tangent_ra": units.deg,
    "tangent_dec": units.deg,
    "shift_x": units.arcsec,
    "shift_y": units.arcsec,
    "rotation": units.deg,
    "skew": units.deg,
    "rmse": units.pix,
    "mae": units.pix,
    "last_move": units.pix,
}
_CHIP_SHIFT = ("chip_shift_x", "chip_shift_y")
_ABOUT_CHIPS = (
    "One row a chip: its total correction, and in chip_shift_x, chip_shift_y what of it is the "
    "chip's alone, before the exposure's correction: shift = M chip_shift + the exposure's shift."
)
_ABOUT_APART = (
    "chips_apart: chips for which the correction does not hold, as a JSON list of [name, x, y, "
    "error]: where they stand besides, pixels of the chip, and the error of each axis."
)
_COLOUR_TERM = ("colour_shift_x", "colour_shift_y", "colour_error_x", "colour_error_y")
_ABOUT_COLOURS = (
    "colour_shift_x, colour_shift_y: where a source appears that is redder by a magnitude than the "
    "median of the catalogue, for which the correction holds, against the median exposure; "
    "colour_error_x, colour_error_y: standard deviations. mas a magnitude, east and north."
)
_ABOUT = (
    "In the gnomonic plane about (tangent_ra, tangent_dec), x = east, y = north, arcsec: "
    "new = M old + shift. The total correction since the input header. covariance: upper "
    "triangle, row by row, of (shift_x, shift_y, m11, m12, m21, m22). flux_scale: what pixels were "
    "multiplied by, besides exposure time and zero point, to agree with the other exposures; "
    "sky_offset: what was left of the sky, in the units of the pixels."
)


def corrections_to_ecsv(results: tuple[ExposureResult, ...]) -> bytes:
    """Return the table of `results` as ECSV text: one row each, or one for each of its chips."""
    rows = [row for result in results for row in _rows_of(result)]
    # By columns: astropy makes a table anew for each row that is added.
    table = Table(
        rows=[_values(row.result) for row in rows] or None,
        names=[name for name, _ in _COLUMNS],
        dtype=[kind for _, kind in _COLUMNS],
        meta={"about": _ABOUT},
    )
    covariance = np.zeros((len(rows), len(_UPPER[0])))
    for at, row in enumerate(rows):
        if row.result.correction is not None:
            covariance[at] = row.result.correction.covariance[_UPPER]
    table.add_column(Column(covariance, name="covariance"), index=table.colnames.index("n_sources"))
    if any(row.chip for row in rows):
        _add_chips(table, rows)
    if any(row.result.chips_apart for row in rows):
        table["chips_apart"] = [_text_of_apart(row.result.chips_apart) for row in rows]
        table.meta["chips_apart"] = _ABOUT_APART
    if any(row.result.colour_term is not None for row in rows):
        _add_colour_terms(table, rows)
    for name, unit in _UNITS.items():
        table[name].unit = unit
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """An exposure, or one of its chips with that chip's total correction."""

    result: ExposureResult
    chip: str = ""
    shift: tuple[float, float] = (0.0, 0.0)


def _rows_of(result: ExposureResult) -> list[_Row]:
    return [
        _Row(replace(result, correction=chip.correction), chip.name, chip.shift)
        for chip in result.chips
    ] or [_Row(result)]


def _add_chips(table: Table, rows: Sequence[_Row]) -> None:
    """Name each row's chip, and tell what of its correction is the chip's alone."""
    table.add_column(Column([row.chip for row in rows], name="chip"), index=1)
    for axis, name in enumerate(_CHIP_SHIFT):
        table[name] = Column([row.shift[axis] for row in rows], unit=units.arcsec)
    table.meta["chips"] = _ABOUT_CHIPS


def _text_of_apart(chips: Sequence[ChipApart]) -> str:
    return json.dumps([(chip.name, *chip.offset_px, chip.error_px) for chip in chips])


def _apart(row: Table.Row) -> tuple[ChipApart, ...]:
    if "chips_apart" not in row.colnames:
        return ()
    return tuple(
        ChipApart(name, (x, y), error) for name, x, y, error in json.loads(row["chips_apart"])
    )


def _add_colour_terms(table: Table, rows: Sequence[_Row]) -> None:
    none = ColourTerm((np.nan, np.nan), (np.nan, np.nan))
    terms = [row.result.colour_term or none for row in rows]
    numbers = np.array([(*term.shift_mas, *term.error_mas) for term in terms])
    for axis, name in enumerate(_COLOUR_TERM):
        table[name] = Column(numbers[:, axis], unit=units.mas)
    table.meta["colours"] = _ABOUT_COLOURS


_COLUMNS: tuple[tuple[str, type], ...] = (
    ("id", str),
    ("status", str),
    ("reason", str),
    ("verdict", str),
    ("geometry", str),
    ("component", int),
    ("reference", bool),
    ("tangent_ra", float),
    ("tangent_dec", float),
    ("m11", float),
    ("m12", float),
    ("m21", float),
    ("m22", float),
    ("shift_x", float),
    ("shift_y", float),
    ("rotation", float),
    ("scale_x", float),
    ("scale_y", float),
    ("skew", float),
    ("n_sources", int),
    ("n_used", int),
    ("n_held_out", int),
    ("rmse", float),
    ("mae", float),
    ("last_move", float),
    ("passes", int),
    ("flux_scale", float),
    ("sky_offset", float),
)


def _values(result: ExposureResult) -> list[str | float]:
    quality = result.quality
    return [
        result.id,
        result.status.value,
        result.reason,
        result.verdict.value,
        result.geometry.value,
        result.component,
        result.is_reference,
        *_numbers(result.correction),
        quality.n_sources,
        quality.n_used,
        quality.n_held_out,
        quality.rmse_px,
        quality.mae_px,
        result.last_move_px,
        result.passes,
        result.level.flux_scale,
        result.level.sky_offset,
    ]


def _numbers(correction: Correction | None) -> list[float]:
    if correction is None:
        return [float("nan")] * 12
    return [
        correction.plane.ra_deg,
        correction.plane.dec_deg,
        *correction.matrix.ravel().tolist(),
        *correction.shift.tolist(),
        correction.rotation_deg,
        correction.scale_x,
        correction.scale_y,
        correction.skew_deg,
    ]


def read_corrections(path: Place) -> tuple[ExposureResult, ...]:
    """Return the rows of a table that `corrections_to_ecsv` wrote; messages are not kept.

    Raises
    ------
    RunStoreError
        The file is missing or is not such a table.
    """
    text = content_of(path).decode(errors="replace")
    try:
        table = Table.read(text, format="ascii.ecsv")
        results = [_result(row) for row in table]
        if "chip" not in table.colnames:
            return tuple(results)
        return _with_chips(table, results)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunStoreError(
            f"{path}: not a table of corrections ({error}); give the corrections.ecsv of a run"
        ) from error


def _with_chips(table: Table, rows: Sequence[ExposureResult]) -> tuple[ExposureResult, ...]:
    """Return one result for each exposure, of rows for each of its chips."""
    of_exposure: dict[str, list[ExposureResult]] = {}
    chips: dict[str, list[ChipResult]] = {}
    for row, result in zip(table, rows, strict=True):
        of_exposure.setdefault(result.id, []).append(result)
        if result.correction is not None and row["chip"] is not np.ma.masked and row["chip"]:
            shift = (float(row[_CHIP_SHIFT[0]]), float(row[_CHIP_SHIFT[1]]))
            chip = ChipResult(str(row["chip"]), shift, result.correction)
            chips.setdefault(result.id, []).append(chip)
    return tuple(_joined(same[0], tuple(chips.get(name, ()))) for name, same in of_exposure.items())


def _joined(first: ExposureResult, chips: tuple[ChipResult, ...]) -> ExposureResult:
    if not chips:
        return first
    total = chips[0].correction
    own = replace(
        total,
        shift=total.shift - total.matrix @ np.array(chips[0].shift),
        covariance=np.mean([chip.correction.covariance for chip in chips], axis=0),
    )
    return replace(first, correction=own, chips=chips)


def _result(row: Table.Row) -> ExposureResult:
    def text(name: str) -> str:
        value = row[name]
        return "" if value is np.ma.masked else str(value)

    geometry = Geometry(text("geometry"))
    return ExposureResult(
        id=text("id"),
        status=Status(text("status")),
        reason=text("reason"),
        message="",
        verdict=Verdict(text("verdict")),
        geometry=geometry,
        component=int(row["component"]),
        is_reference=bool(row["reference"]),
        correction=_correction(row, geometry),
        quality=_quality(row),
        last_move_px=float(row["last_move"]),
        passes=int(row["passes"]),
        level=_level(row),
        colour_term=_colour_term(row),
        chips_apart=_apart(row),
    )


def _quality(row: Table.Row) -> FitQuality:
    # A table of a version that did not tell them counts them as rejected.
    n_held_out = int(row["n_held_out"]) if "n_held_out" in row.colnames else 0
    n_sources, n_used = int(row["n_sources"]), int(row["n_used"])
    return FitQuality(n_sources, n_used, float(row["rmse"]), float(row["mae"]), n_held_out)


def _level(row: Table.Row) -> ExposureLevel:
    if "flux_scale" not in row.colnames:  # a table of a version that had none
        return AS_RECORDED
    return ExposureLevel(float(row["flux_scale"]), float(row["sky_offset"]))


def _colour_term(row: Table.Row) -> ColourTerm | None:
    if _COLOUR_TERM[0] not in row.colnames or not np.isfinite(row[_COLOUR_TERM[0]]):
        return None
    east, north, error_east, error_north = (float(row[name]) for name in _COLOUR_TERM)
    return ColourTerm((east, north), (error_east, error_north))


def _correction(row: Table.Row, geometry: Geometry) -> Correction | None:
    if not np.isfinite(row["tangent_ra"]):
        return None
    covariance: FloatArray = np.zeros((N_PARAMETERS, N_PARAMETERS))
    covariance[_UPPER] = row["covariance"]
    covariance = covariance + np.triu(covariance, 1).T
    return Correction.from_parameters(
        TangentPlane(float(row["tangent_ra"]), float(row["tangent_dec"])),
        np.array([row[n] for n in ("shift_x", "shift_y", "m11", "m12", "m21", "m22")], float),
        geometry,
        covariance,
    )
