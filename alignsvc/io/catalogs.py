"""Catalogues of sources as files: those of a run, written and read; a user's, read."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.table import Column, Table
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.geometry import SkyPoints
from alignsvc.domain.quality import FLAG_TEXT, SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.file_bytes import opened_input
from alignsvc.io.places import Place
from alignsvc.io.stores import objects_at
from alignsvc.wording import counted

_UNITS = {
    "x": units.pix,
    "y": units.pix,
    "ra": units.deg,
    "dec": units.deg,
    "fwhm": units.pix,
    "a": units.pix,
    "b": units.pix,
    "theta": units.rad,
    "radius": units.pix,
}
_ABOUT = (
    "Positions ICRS; x, y are 0-based pixels of the component's grid. Bits of flags: "
    + ", ".join(f"{int(flag)} = {FLAG_TEXT[flag]}" for flag in SourceFlag if flag)
)

#: What astropy reads Parquet with.
_PARQUET_NEEDS = ("pyarrow", "pandas")
#: Names of right ascension and declination, in the order in which they are looked for.
POSITION_COLUMNS = (
    ("ra", "dec"),
    ("RA", "DEC"),
    ("ALPHA_J2000", "DELTA_J2000"),
    ("RA_ICRS", "DE_ICRS"),
    ("RAJ2000", "DEJ2000"),
)


def catalog_to_ecsv(catalog: SourceCatalog) -> bytes:
    """Return `catalog` as ECSV text, with all digits."""
    table = Table(dict(catalog.columns()), meta={"about": _ABOUT})
    for name, unit in _UNITS.items():
        table[name].unit = unit
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def write_catalog(catalog: SourceCatalog, path: Place) -> None:
    """Write `catalog` to `path` as ECSV, whole or not at all, in place of what was there."""
    objects_at(path.parent).put(path.name, catalog_to_ecsv(catalog))


@dataclass(frozen=True, slots=True, eq=False)
class UserCatalog:
    """Sources that the user names, a struct of arrays of one length.

    Parameters
    ----------
    sky : SkyPoints
        ICRS degrees, RA in [0, 360).
    weight : float64 array
        Not negative; 1 where the catalogue gives none.
    names : tuple of str
        Names of all columns of numbers in the file, positions and weight included.
    values : tuple of float64 arrays
        Those columns, NaN where a value is missing.
    """

    sky: SkyPoints
    weight: FloatArray
    names: tuple[str, ...]
    values: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sky", SkyPoints(*(read_only(c) for c in self.sky)))
        object.__setattr__(self, "weight", read_only(self.weight))
        object.__setattr__(self, "values", tuple(read_only(c) for c in self.values))

    def __len__(self) -> int:
        return len(self.weight)

    def columns(self) -> Iterator[tuple[str, FloatArray]]:
        """Yield each column's name and values, in the order of the file."""
        yield from zip(self.names, self.values, strict=True)

    def select(self, rows: NDArray[Any]) -> UserCatalog:
        """Return the sources named by a mask or by indices, in that order."""
        sky = SkyPoints(self.sky.ra[rows], self.sky.dec[rows])
        values = tuple(column[rows] for column in self.values)
        return UserCatalog(sky, self.weight[rows], self.names, values)


def read_user_catalog(path: Place, weight_column: str | None = None) -> UserCatalog:
    """Return a user's catalogue: ECSV, CSV, FITS (its first table) or Parquet, by its suffix.

    Parameters
    ----------
    path : Place
    weight_column : str or None
        Column of weights; None gives each source the weight 1.

    Raises
    ------
    ConfigError
        No such file, no table, no positions under one of the names of `POSITION_COLUMNS`, or
        positions or weights that are none; Parquet, where its libraries are not installed.
    """
    table = table_of(path)
    sky = positions_of(path, table)
    names = tuple(name for name in table.colnames if _is_numeric(table[name]))
    weight = np.ones(len(table))
    if weight_column is not None:
        if weight_column not in names:
            raise ConfigError(
                f"catalogue {path}: no column of numbers is named {weight_column!r}, it has "
                f"{', '.join(names)}; set detection.weight_column"
            )
        weight = numbers_of(table[weight_column])
        _require(path, np.isfinite(weight) & (weight >= 0.0), f"{weight_column} of 0 or more")
    values = tuple(numbers_of(table[name]) for name in names)
    return UserCatalog(sky, weight, names, values)


def positions_of(path: Place, table: Table) -> SkyPoints:
    """Return the positions in a user's table, ICRS degrees, RA in [0, 360).

    Raises
    ------
    ConfigError
        No such columns under one of the names of `POSITION_COLUMNS`, or values that are none.
    """
    ra_name, dec_name = _position_names(path, table.colnames)
    ra, dec = _degrees(path, table, ra_name), _degrees(path, table, dec_name)
    _require(path, np.isfinite(ra) & (np.abs(ra) <= 360.0), f"{ra_name} from 0 to 360 degrees")
    _require(path, np.abs(dec) <= 90.0, f"{dec_name} from -90 to 90 degrees")
    return SkyPoints(np.mod(ra, 360.0), dec)


def table_of(path: Place) -> Table:
    """Return a user's table as it is, read by its suffix; errors as of `read_user_catalog`."""
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in _READERS:
        raise ConfigError(
            f"catalogue {path}: its suffix tells no format; wanted one of "
            f"{', '.join(sorted(_READERS))}"
        )
    try:
        with opened_input(str(path)) as file, file.stream() as stream:
            content = stream.read()
    except DataError as error:
        raise ConfigError(f"catalogue {error}") from error
    try:
        return _READERS[suffix](path, content)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise ConfigError(
            f"catalogue {path}: not readable as {suffix} ({error}); mend or convert the file"
        ) from error


def _lines(content: bytes) -> list[str]:
    return list(io.TextIOWrapper(io.BytesIO(content), "utf-8"))


def _read_ecsv(path: Place, content: bytes) -> Table:
    del path
    return Table.read(_lines(content), format="ascii.ecsv")


def _read_csv(path: Place, content: bytes) -> Table:
    del path
    return Table.read(_lines(content), format="ascii.csv")


def _read_fits(path: Place, content: bytes) -> Table:
    with fits.open(io.BytesIO(content), memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            raise ConfigError(f"catalogue {path}: it holds no table; wanted a table extension")
        hdu = tables[0]
        columns = [Column(hdu.data[c.name], name=c.name) for c in hdu.columns]
        result = Table(columns)
        for column in hdu.columns:
            result[column.name].unit = units.Unit(column.unit or "", parse_strict="silent")
        return result


def _read_parquet(path: Place, content: bytes) -> Table:
    missing = [name for name in _PARQUET_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"catalogue {path}: Parquet needs {' and '.join(missing)}, which is not installed; "
            "pip install 'alignsvc[parquet]', or convert the catalogue to FITS or ECSV"
        )
    return Table.read(io.BytesIO(content), format="parquet")


_READERS: dict[str, Callable[[Place, bytes], Table]] = {
    "ecsv": _read_ecsv,
    "csv": _read_csv,
    "fits": _read_fits,
    "fit": _read_fits,
    "parquet": _read_parquet,
}


def _position_names(path: Place, names: list[str]) -> tuple[str, str]:
    for pair in POSITION_COLUMNS:
        if pair[0] in names and pair[1] in names:
            return pair
    wanted = " or ".join(", ".join(pair) for pair in POSITION_COLUMNS)
    pixels = {"x", "y"} <= {name.lower() for name in names}
    why = "positions in pixels say nothing about the sky; " if pixels else ""
    raise ConfigError(
        f"catalogue {path}: it has columns {', '.join(names)}; {why}wanted {wanted} in degrees "
        "(ICRS)"
    )


def _degrees(path: Place, table: Table, name: str) -> FloatArray:
    column = table[name]
    if not _is_numeric(column):
        raise ConfigError(f"catalogue {path}: column {name} holds no numbers; wanted degrees")
    unit = column.unit or units.dimensionless_unscaled
    if unit in (units.dimensionless_unscaled, units.deg):
        return numbers_of(column)
    if not unit.is_equivalent(units.deg):
        raise ConfigError(f"catalogue {path}: column {name} is in {unit}; wanted degrees")
    return numbers_of(column) * float(unit.to(units.deg))


def _is_numeric(column: Column) -> bool:
    return bool(column.dtype.kind in "iufb" and column.ndim == 1)


def numbers_of(column: Column) -> FloatArray:
    """Return a column's values, NaN where one is missing."""
    values = np.ma.MaskedArray(column, dtype=np.float64)
    return np.asarray(values.filled(np.nan), np.float64)


def _require(path: Place, fulfilled: NDArray[np.bool_], wanted: str) -> None:
    if not fulfilled.all():
        row = int(np.flatnonzero(~fulfilled)[0])
        raise ConfigError(
            f"catalogue {path}: {counted(int((~fulfilled).sum()), 'row')}, the first of them row "
            f"{row + 1}, do not have {wanted}; mend or remove them"
        )
