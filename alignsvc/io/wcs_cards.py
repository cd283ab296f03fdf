"""What a `CelestialWcs` says in the cards of a header, in the form that the header uses."""

from __future__ import annotations

import math
import re

import numpy as np
from astropy import units
from astropy.io import fits

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs, TpvSurface
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.errors import DataError, HeaderError
from alignsvc.io.header_cards import HeaderCards, keyword_of
from alignsvc.io.wcs_headers import celestial_from_header

#: Keywords of a WCS that have an alternate form, with one letter more.
ARCHIVED = re.compile(
    r"^(WCSAXES|WCSNAME|(CTYPE|CRPIX|CRVAL|CUNIT|CDELT|CRDER|CSYER)\d|(CD|PC)\d_\d|P[VS]\d_\d+"
    r"|LONPOLE|LATPOLE|RADESYS|EQUINOX)$"
)
_TABLE_CARDS = re.compile(r"^(CPDIS|CQDIS|CPERR|D2IM|DP\d|DQ\d|AXISCORR)")
#: Native latitude of the reference point is 90 degrees for these: LONPOLE is 180 by default.
_ZENITHAL = {"TAN", "TPV", "TNX", "SIN", "STG", "ARC", "ZPN", "ZPX", "ZEA", "AIR", "AZP", "SZP"}
_SAME_PX = 1e-6


def wcs_of_cards(cards: HeaderCards, shape: tuple[int, int]) -> CelestialWcs:
    """Return the WCS of a header without its look-up tables (they live in other HDUs).

    Raises
    ------
    HeaderError
        The header has no WCS that can be read.
    """
    kept = [image for image in cards.images if not _TABLE_CARDS.match(keyword_of(image))]
    text = HeaderCards(tuple(kept)).to_bytes().decode("latin-1")
    try:
        return celestial_from_header(fits.Header.fromstring(text), None, shape).wcs
    except DataError as error:
        raise HeaderError(str(error)) from error


def wcs_values(cards: HeaderCards, wcs: CelestialWcs) -> list[tuple[str, float]]:
    """Return the keywords and numbers that put `wcs` into a header, those that differ only.

    The header's own form is kept: CD, or PC with CDELT, and its units.
    """
    wanted = _reference_values(cards, wcs) + _linear_values(cards, wcs)
    wanted += _pole_values(cards, wcs) + _tpv_values(cards, wcs)
    return [(keyword, value) for keyword, value in wanted if cards.number(keyword) != value]


def superseded(cards: HeaderCards) -> list[str]:
    """Return the cards that may not stand beside what `wcs_values` writes: CROTAi with PC."""
    if _has(cards, "CD"):
        return []
    keywords = [f"CROTA{i}" for i in (1, 2)]
    return [k for k in keywords if cards.number(k) not in (None, 0.0)]


def redundant_values(
    cards: HeaderCards, old: CelestialWcs, new: CelestialWcs
) -> list[tuple[str, float]]:
    """Return what says the orientation and scale once more, turned along with the WCS."""
    turn_deg = _position_angle_deg(new) - _position_angle_deg(old)
    turn_deg = math.remainder(turn_deg, 360.0)
    values: list[tuple[str, float]] = []
    for keyword in ("ORIENTAT", "PA_APER"):
        angle = cards.number(keyword)
        if angle is not None and turn_deg != 0.0:
            values.append((keyword, angle + turn_deg))
    if not _has(cards, "CD"):
        return values
    # CDELT and CROTA have no force beside CD; 1 is a stop-gap, not a scale.
    before, after = old.terms.cd, new.terms.cd
    for axis in (1, 2):
        step = cards.number(f"CDELT{axis}")
        if step is not None and abs(step) != 1.0:
            ratio = float(np.linalg.norm(after[:, axis - 1]) / np.linalg.norm(before[:, axis - 1]))
            values.append((f"CDELT{axis}", step * ratio))
        angle = cards.number(f"CROTA{axis}")
        if angle is not None and turn_deg != 0.0:
            # CROTA turns the axes against the position angle: xi of the y axis is -sin(CROTA).
            values.append((f"CROTA{axis}", angle - turn_deg))
    return [(keyword, value) for keyword, value in values if cards.number(keyword) != value]


def left_behind(cards: HeaderCards) -> tuple[str, ...]:
    """Return a warning for each card that still tells of the old WCS."""
    told = []
    if cards.find("S_REGION") is not None:
        told.append("S_REGION keeps the footprint of the WCS before the correction")
    return tuple(told)


def require_same(cards: HeaderCards, wcs: CelestialWcs) -> None:
    """Check that a header, read again, is `wcs`.

    Raises
    ------
    HeaderError
        It is not, by more than 1e-6 px somewhere on the chip.
    """
    again = wcs_of_cards(cards, wcs.shape)
    grid = wcs.grid(4)
    if wcs.has_tables:
        # The tables are not among the cards: what comes after them is compared.
        sky = wcs.sky_from_pixel(grid)
        first, second = wcs.virtual_from_sky(sky), again.virtual_from_sky(sky)
    else:
        first, second = grid, again.pixel_from_sky(wcs.sky_from_pixel(grid))
    error_px = float(np.hypot(first.x - second.x, first.y - second.y).max())
    if not error_px < _SAME_PX:
        raise HeaderError(
            f"header: with the new WCS written it would read {error_px:.2g} px off; its cards are "
            "not those that the WCS was read from, or break the standard; mend the header first"
        )


def _reference_values(cards: HeaderCards, wcs: CelestialWcs) -> list[tuple[str, float]]:
    scale = _degrees_per_unit(cards)
    return [(f"CRVAL{i + 1}", _in_units(wcs.terms.crval[i], scale[i])) for i in (0, 1)]


def _linear_values(cards: HeaderCards, wcs: CelestialWcs) -> list[tuple[str, float]]:
    scale = _degrees_per_unit(cards)
    matrix: FloatArray = wcs.terms.cd / np.array(scale)[:, None]
    if np.array_equal(matrix, _matrix_of(cards)):
        return []
    name = "CD"
    if not _has(cards, "CD"):
        name = "PC"
        matrix = matrix / _steps(cards)[:, None]
    return [
        (f"{name}{i}_{j}", float(matrix[i - 1, j - 1]))
        for i in (1, 2)
        for j in (1, 2)
        if cards.find(f"{name}{i}_{j}") is not None
        or float(matrix[i - 1, j - 1]) != float(name == "PC" and i == j)
    ]


def _matrix_of(cards: HeaderCards) -> FloatArray:
    """Return the header's matrix, as it stands; NaN where CROTA makes it."""
    if superseded(cards):
        return np.full((2, 2), np.nan)
    name = "CD" if _has(cards, "CD") else "PC"
    values = np.zeros((2, 2)) if name == "CD" else np.eye(2)
    for i in (1, 2):
        for j in (1, 2):
            value = cards.number(f"{name}{i}_{j}")
            if value is not None:
                values[i - 1, j - 1] = value
    return values if name == "CD" else _steps(cards)[:, None] * values


def _steps(cards: HeaderCards) -> FloatArray:
    found = [cards.number(f"CDELT{i}") for i in (1, 2)]
    return np.array([1.0 if step is None else step for step in found])


def _has(cards: HeaderCards, name: str) -> bool:
    return any(cards.find(f"{name}{i}_{j}") is not None for i in (1, 2) for j in (1, 2))


def _degrees_per_unit(cards: HeaderCards) -> tuple[float, float]:
    found = []
    for axis in (1, 2):
        unit = str(cards.value(f"CUNIT{axis}") or "deg").strip().lower()
        try:
            found.append(float(units.Unit(unit).to(units.deg)))
        except (ValueError, units.UnitConversionError):
            found.append(1.0)  # readers take an unknown unit for degrees; `require_same` checks
    return (found[0], found[1])


def _in_units(degrees: float, scale: float) -> float:
    return degrees if scale == 1.0 else degrees / scale


def _pole_values(cards: HeaderCards, wcs: CelestialWcs) -> list[tuple[str, float]]:
    terms = wcs.terms
    axis = wcs.longitude_axis + 1
    values: list[tuple[str, float]] = []
    for keyword, m, value in (("LONPOLE", 3, terms.lonpole), ("LATPOLE", 4, terms.latpole)):
        parameter = f"PV{axis}_{m}"
        if wcs.projection != "TPV" and cards.find(parameter) is not None:
            values.append((parameter, value))
        elif cards.find(keyword) is not None or not _is_default(wcs, keyword):
            values.append((keyword, value))
    return values


def _is_default(wcs: CelestialWcs, keyword: str) -> bool:
    if wcs.projection not in _ZENITHAL:
        return False
    if keyword == "LATPOLE":
        return True  # it has no say when the reference point is the native pole
    latitude = wcs.terms.crval[1 - wcs.longitude_axis]
    return wcs.terms.lonpole == (180.0 if latitude < 90.0 else 0.0)


def _tpv_values(cards: HeaderCards, wcs: CelestialWcs) -> list[tuple[str, float]]:
    if not str(cards.value("CTYPE1") or "").strip().upper().endswith("-TPV"):
        return []
    surface = wcs.surface if isinstance(wcs.surface, TpvSurface) else TpvSurface.from_pv(())
    terms = {(axis, m): value for axis, m, value in surface.pv}
    for axis in (1, 2):
        for m in range(40):
            if cards.find(f"PV{axis}_{m}") is not None:
                terms.setdefault((axis, m), 0.0)
    return [(f"PV{axis}_{m}", terms[axis, m]) for axis, m in sorted(terms)]


def _position_angle_deg(wcs: CelestialWcs) -> float:
    """Return the angle of the y axis at CRPIX, from north through east."""
    x, y = wcs.crpix
    sky = wcs.sky_from_pixel(Points(np.array([x, x]), np.array([y, y + 1.0])))
    plane = TangentPlane(float(sky.ra[0]), float(sky.dec[0])).from_sky(sky)
    return math.degrees(math.atan2(float(plane.x[1]), float(plane.y[1])))
