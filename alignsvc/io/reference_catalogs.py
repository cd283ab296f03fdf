"""A reference catalogue as a file: a table with Gaia's columns, in any of the formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.table import Table

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.catalogs import numbers_of, positions_of, table_of
from alignsvc.io.places import Place
from alignsvc.wording import counted

_MAS = units.mas
_MAS_PER_YEAR = units.mas / units.yr
#: Error per axis where the table gives none: that of ground-based catalogues before Gaia.
DEFAULT_ERROR_MAS = 20.0
_JULIAN_YEARS = (1800.0, 2200.0)


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A column: its names (Gaia's archive, VizieR), and the unit that numbers without one have."""

    names: tuple[str, ...]
    unit: units.UnitBase


_ERRORS = (
    _Quantity(("ra_error", "e_RA_ICRS"), _MAS),
    _Quantity(("dec_error", "e_DE_ICRS"), _MAS),
)
_MOTIONS = (
    _Quantity(("pmra", "pmRA"), _MAS_PER_YEAR),
    _Quantity(("pmdec", "pmDE"), _MAS_PER_YEAR),
)
_MOTION_ERRORS = (
    _Quantity(("pmra_error", "e_pmRA"), _MAS_PER_YEAR),
    _Quantity(("pmdec_error", "e_pmDE"), _MAS_PER_YEAR),
)
#: Of Gaia's, and of anybody else's: they only tell which stars are bright.
_MAGNITUDE = _Quantity(("phot_g_mean_mag", "Gmag", "phot_rp_mean_mag", "RPmag", "mag"), units.mag)
_EPOCH = "ref_epoch"
#: Which two of (ra, dec, pmra, pmdec) a column of correlations is about.
_CORRELATIONS = {
    "ra_dec_corr": (0, 1),
    "ra_pmra_corr": (0, 2),
    "ra_pmdec_corr": (0, 3),
    "dec_pmra_corr": (1, 2),
    "dec_pmdec_corr": (1, 3),
    "pmra_pmdec_corr": (2, 3),
}


def read_reference_catalog(path: Place) -> ReferenceCatalog:
    """Return a reference catalogue: ECSV, CSV, FITS (its first table) or Parquet, by its suffix.

    Parameters
    ----------
    path : Place

    Raises
    ------
    ConfigError
        No such file, no positions, a column in a unit that does not fit, motions for one axis
        only or without an epoch, errors that are not positive; Parquet, where its libraries are
        not installed.
    """
    table = table_of(path)
    sky = positions_of(path, table)
    errors, motions = _pair(path, table, _ERRORS), _pair(path, table, _MOTIONS)
    motion_errors = _pair(path, table, _MOTION_ERRORS)
    epoch = numbers_of(table[_EPOCH]) if _EPOCH in table.colnames else None
    notes = []
    if errors is None:
        notes.append(f"it gives no position errors; {DEFAULT_ERROR_MAS:g} mas per axis are taken")
    if motions is None:
        notes.append("it gives no proper motions; its stars are taken to stand still")
    elif motion_errors is None:
        notes.append("it gives no errors of its proper motions; they are taken to be exact")
    if motions is not None and "parallax" in table.colnames:
        notes.append("its parallaxes are not used")
    if motions is not None:
        _require_epochs(path, epoch)
    n = len(table)
    deviations = np.zeros((n, 4))
    deviations[:, :2] = DEFAULT_ERROR_MAS if errors is None else errors
    if motion_errors is not None:
        deviations[:, 2:] = motion_errors
    _require_errors(path, deviations[:, :2])
    return ReferenceCatalog(
        sky,
        np.zeros((n, 2)) if motions is None else motions,
        np.zeros(n) if epoch is None else epoch,
        _covariance(path, table, np.nan_to_num(deviations)),
        motions is not None,
        tuple(f"reference.catalog: {path.name}: {note}" for note in notes),
        _column(path, table, _MAGNITUDE),
    )


def _pair(path: Place, table: Table, pair: tuple[_Quantity, _Quantity]) -> FloatArray | None:
    """Return two columns side by side, None if the table has neither."""
    columns = [_column(path, table, one) for one in pair]
    found = [column for column in columns if column is not None]
    if not found:
        return None
    if len(found) == 1:
        have, lack = (pair[0], pair[1]) if columns[1] is None else (pair[1], pair[0])
        raise ConfigError(
            f"catalogue {path}: it has {have.names[0]} but no {lack.names[0]}; wanted both, or none"
        )
    return np.stack(found, axis=1)


def _column(path: Place, table: Table, wanted: _Quantity) -> FloatArray | None:
    """Return a column in its unit, None if there is none; NaN where a value is missing."""
    name = next((name for name in wanted.names if name in table.colnames), None)
    if name is None:
        return None
    column = table[name]
    if column.dtype.kind not in "iuf" or column.ndim != 1:
        raise ConfigError(f"catalogue {path}: column {name} holds no numbers; wanted {wanted.unit}")
    unit = column.unit or units.dimensionless_unscaled
    if unit == units.dimensionless_unscaled:
        return numbers_of(column)
    if not unit.is_equivalent(wanted.unit):
        raise ConfigError(
            f"catalogue {path}: column {name} is in {unit}; wanted {wanted.unit} or a unit "
            "that converts to it"
        )
    return numbers_of(column) * float(unit.to(wanted.unit))


def _require_epochs(path: Place, epoch: FloatArray | None) -> None:
    low, high = _JULIAN_YEARS
    if epoch is None:
        raise ConfigError(
            f"catalogue {path}: it has proper motions but no {_EPOCH}; wanted that "
            "column, the epoch of its positions in Julian years (2016.0 for Gaia DR3)"
        )
    if not ((epoch >= low) & (epoch <= high)).all():
        raise ConfigError(
            f"catalogue {path}: {_EPOCH} from {epoch.min():g} to {epoch.max():g}; "
            f"wanted Julian years from {low:g} to {high:g} in every row"
        )


def _require_errors(path: Place, errors: FloatArray) -> None:
    bad = ~(np.isfinite(errors) & (errors > 0.0)).all(axis=1)
    if bad.any():
        raise ConfigError(
            f"catalogue {path}: {counted(int(bad.sum()), 'row')}, the first of them row "
            f"{int(np.flatnonzero(bad)[0]) + 1}, have no position error above 0; mend or remove "
            "them, or remove both columns of errors"
        )


def _covariance(path: Place, table: Table, deviations: FloatArray) -> FloatArray:
    correlation = np.tile(np.eye(4), (len(table), 1, 1))
    for name, (i, j) in _CORRELATIONS.items():
        if name in table.colnames:
            value = np.nan_to_num(numbers_of(table[name]))
            if not (np.abs(value) <= 1.0).all():
                raise ConfigError(f"catalogue {path}: {name} has values beyond -1 to 1")
            correlation[:, i, j] = correlation[:, j, i] = value
    scaled: FloatArray = deviations[:, :, None] * correlation * deviations[:, None, :]
    return scaled
