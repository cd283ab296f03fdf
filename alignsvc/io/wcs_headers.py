"""From a FITS header to a `CelestialWcs`, with the quirks of headers mended and named."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, WCSSUB_CELESTIAL, FITSFixedWarning

from alignsvc.domain.celestial import CelestialWcs, PlaneSurface, TpvSurface
from alignsvc.domain.geometry import Points
from alignsvc.errors import DataError
from alignsvc.io.file_bytes import stored_bytes
from alignsvc.io.fits_files import FitsHeaders, OpenFits, heard_warnings, open_fits, open_headers
from alignsvc.io.wat_surfaces import wat_projection
from alignsvc.reasons import FailureKind

_LONGITUDE = re.compile(r"^(RA--|.LON|..LN)")
_LATITUDE = re.compile(r"^(DEC-|.LAT|..LT)")
#: Cards of the WCS that must hold numbers.
_NUMERIC = re.compile(
    r"^(CRVAL|CRPIX|CDELT|CROTA)\d$|^(CD|PC|PV)\d_\d+$|^(LONPOLE|LATPOLE)$|^[AB]P?_(\d_\d|ORDER)$"
)
_SIP = re.compile(r"^[AB]P?_(ORDER|\d_\d|DMAX)$")
#: Spellings of frames found in headers, and what they stand for.
_FRAME_ALIASES = {"J2000": "FK5", "J2000.0": "FK5", "B1950": "FK4", "B1950.0": "FK4"}
#: Highest PVi_m that the native system of a projection may use (LATPOLE, PVi_4).
_LAST_NATIVE_PV = 4
#: Pixels this much longer than wide: rounding of a CD matrix whose rows are parallel.
_MAX_CONDITION = 1e6

_Mend: TypeAlias = Callable[[fits.Header], tuple[str, ...]]
_Surface: TypeAlias = PlaneSurface | TpvSurface | None


@dataclass(frozen=True, slots=True, eq=False)
class ReadWcs:
    """A WCS, and what had to be mended or guessed to read it.

    Parameters
    ----------
    wcs : CelestialWcs
    warnings : tuple of str
        One sentence each, without the file's name.
    """

    wcs: CelestialWcs
    warnings: tuple[str, ...] = ()


def names_celestial(header: fits.Header) -> bool:
    """Whether the header names a longitude and a latitude axis."""
    types = [axis_type.strip().upper() for axis_type in _axis_types(header).values()]
    return any(map(_LONGITUDE.match, types)) and any(map(_LATITUDE.match, types))


def celestial_from_header(
    header: fits.Header, files: fits.HDUList | None, shape: tuple[int, int]
) -> ReadWcs:
    """Return the map between the pixels of an image and the sky.

    Parameters
    ----------
    header : fits.Header
        Of the image; not changed.
    files : fits.HDUList or None
        The open file, where look-up tables may stand in other HDUs.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Raises
    ------
    DataError
        NO_WCS: the header names no celestial axes. BAD_WCS: it does, but what it says is
        incomplete or maps the image's centre to no place on the sky.
    """
    if not names_celestial(header):
        raise DataError(
            FailureKind.NO_WCS,
            "the header has no celestial WCS (CTYPE1, CTYPE2 name no longitude and latitude); "
            "solve the field with an astrometry program first",
        )
    header = header.copy()
    heard: tuple[str, ...] = ()
    try:
        for mend in _MENDS:
            heard += mend(header)
        surface, said = _take_surface(header)
        wcs, fixed = _parsed(header, files)
        read = CelestialWcs(wcs, shape, surface)
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, MemoryError, RuntimeError) as error:
        # wcslib's own errors derive from all of these; the first line says what is wrong.
        raise _bad_wcs(_first_line(error)) from error
    _require_sky(read)
    return ReadWcs(read, heard + said + fixed)


def celestial_from_file(path: str) -> CelestialWcs:
    """Return the WCS of a FITS file's first image that has one, or of a header kept as text.

    A text header (one card a line, as SCAMP writes them) without NAXISi is taken to describe an
    image with CRPIX at its centre.

    Raises
    ------
    DataError
        The file is not there or not readable, or no header in it has a WCS that can be used.
    """
    with heard_warnings(), _wcs_header(path, open_fits) as (header, files):
        lengths = [
            header.get(f"NAXIS{i}", 2.0 * float(header.get(f"CRPIX{i}", 1.0))) for i in (2, 1)
        ]
        ny, nx = (max(1, round(length)) for length in lengths)
        return _in_place(path, header, files, (ny, nx))


def image_wcs_from_file(path: str) -> CelestialWcs:
    """Return the WCS of an image as `celestial_from_file` does, its size by the header.

    The header is enough: pixels need not be there, as in what SWarp writes with HEADER_ONLY.

    Raises
    ------
    DataError
        As there; WRONG_DIMENSION: the header gives no NAXIS1, NAXIS2 of 1 or more.
    """
    with heard_warnings(), _wcs_header(path, open_headers) as (header, files):
        sizes = [header.get(f"NAXIS{i}") for i in (2, 1)]
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise DataError(
                FailureKind.WRONG_DIMENSION,
                f"{path}: NAXIS1, NAXIS2 = {sizes[1]}, {sizes[0]}; wanted the image's size in "
                "pixels: add both keywords",
            )
        return _in_place(path, header, files, (sizes[0], sizes[1]))


@contextmanager
def _wcs_header(
    path: str, opened: Callable[[str], AbstractContextManager[OpenFits | FitsHeaders]]
) -> Iterator[tuple[fits.Header, fits.HDUList | None]]:
    """Open a file of FITS or of text; give the first header with a WCS (or the first of all)."""
    with stored_bytes(path) as stream:
        start = stream.read(81)
        # Programs write names of people and places there: not ASCII, and not of the WCS.
        text = (start + stream.read()).decode("ascii", "replace") if b"\n" in start else ""
    if text:
        yield _text_header(text.replace("\ufffd", "?")), None
        return
    with opened(path) as file:
        header = next(
            (image.header for image in file.images if names_celestial(image.header)), file.primary
        )
        yield header, file.hdus


def _text_header(text: str) -> fits.Header:
    cards = [line.rstrip() for line in re.split(r"^END\s*$", text, flags=re.M)[0].splitlines()]
    return fits.Header([fits.Card.fromstring(card) for card in cards if card])


def _in_place(
    path: str, header: fits.Header, files: fits.HDUList | None, shape: tuple[int, int]
) -> CelestialWcs:
    try:
        return celestial_from_header(header, files, shape).wcs
    except DataError as error:
        raise DataError(error.kind, f"{path}: {error}") from error


def _parsed(header: fits.Header, files: fits.HDUList | None) -> tuple[WCS, tuple[str, ...]]:
    named = (int(header.get(key, 2)) for key in ("WCSAXES", "NAXIS"))
    axes = max(*named, *_axis_types(header))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        wcs = WCS(header, files, naxis=[WCSSUB_CELESTIAL] if axes > 2 else None)
    said: list[str] = []
    for warning in heard:
        text = " ".join(str(warning.message).split())
        if "'cdfix'" in text:
            # wcslib puts 1 degree per pixel where a whole row and column are 0: of an axis that is
            # not of the sky, as a plane of a cube has one, that is nothing to us.
            if _lacks_a_row(header):
                raise _bad_wcs("a row of its CD matrix is zero")
            continue
        if issubclass(warning.category, FITSFixedWarning) and _concerns_the_sky(text):
            said.append(f"the WCS was mended while reading: {text}")
    return wcs, tuple(said)


def _lacks_a_row(header: fits.Header) -> bool:
    """Whether the CD matrix has nothing but zeros for the longitude or the latitude."""
    types = {axis: name.strip().upper() for axis, name in _axis_types(header).items()}
    sky = [axis for axis, name in types.items() if _LONGITUDE.match(name) or _LATITUDE.match(name)]
    return not all(any(header.get(f"CD{i}_{j}", 0.0) for j in range(1, 10)) for i in sky)


def _concerns_the_sky(text: str) -> bool:
    # Times, the observer's place, RADECSYS and the number of axes do not move a pixel.
    idle = ("datfix", "obsfix", "deprecated", "more axes", "MJD", "DATE", "OBSGEO")
    return not any(word in text for word in idle)


def _require_sky(wcs: CelestialWcs) -> None:
    ny, nx = wcs.shape
    middle = Points(np.array([(nx - 1) / 2.0]), np.array([(ny - 1) / 2.0]))
    sky = wcs.sky_from_pixel(middle)
    if not (np.isfinite(sky.ra).all() and np.isfinite(sky.dec).all()):
        raise _bad_wcs("it maps the image's centre to no place on the sky")
    scale = wcs.pixel_scale_arcsec
    flat = np.linalg.cond(wcs.terms.cd) > _MAX_CONDITION
    if flat or not (math.isfinite(scale) and scale > 0.0):
        raise _bad_wcs("it maps the image's central pixel to no area on the sky")


def _bad_wcs(what: str) -> DataError:
    return DataError(
        FailureKind.BAD_WCS, f"the header's WCS cannot be used: {what}; mend or renew it"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # wcslib traces back through its sources; the last line without a place is the reason.
    reasons = [line for line in lines if not line.startswith("ERROR ")]
    return (reasons or lines or [type(error).__name__])[0].rstrip(".")


# Mends: each changes the copied header in place and says what it did.


def _mend_cards(header: fits.Header) -> tuple[str, ...]:
    """Rewrite cards that are not quite FITS (a lower-case exponent) without changing values."""
    for card in header.cards:
        try:
            card.verify("silentfix")
        except fits.VerifyError:
            del header[card.keyword]
    return ()


def _mend_spelling(header: fits.Header) -> tuple[str, ...]:
    for axis, axis_type in _axis_types(header).items():
        header[f"CTYPE{axis}"] = axis_type.strip().upper()
    said: list[str] = []
    for key in [key for key in header if _NUMERIC.match(key)]:
        value = header[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            try:
                header[key] = float(str(value).upper().replace("D", "E"))
            except ValueError:
                raise _bad_wcs(f"{key} = {value!r} where a number is wanted") from None
            said.append(f"{key} = {value!r} is text; read as the number {header[key]}")
    return tuple(said)


def _require_essentials(header: fits.Header) -> tuple[str, ...]:
    for axis, axis_type in _axis_types(header).items():
        if not (_LONGITUDE.match(axis_type) or _LATITUDE.match(axis_type)):
            continue
        if axis > 2:
            raise _bad_wcs(f"its celestial axis {axis_type!r} is axis {axis}, not 1 or 2")
        if f"CRVAL{axis}" not in header:
            raise _bad_wcs(f"CRVAL{axis} is absent")
    if not any(re.match(r"^(CD\d_\d|PC\d_\d|CDELT\d)$", key) for key in header):
        raise _bad_wcs("it gives no scale (neither CDi_j, PCi_j nor CDELTi)")
    return ()


def _mend_frame(header: fits.Header) -> tuple[str, ...]:
    said: list[str] = []
    for key in ("EQUINOX", "EPOCH"):
        value = header.get(key)
        if isinstance(value, str):
            number = re.fullmatch(r"\s*([JB]?)\s*(\d{4}(?:\.\d*)?)\s*", value.upper())
            if number is None:
                raise _bad_wcs(f"{key} = {value!r} where a year is wanted")
            header[key] = float(number.group(2))
            said.append(f"{key} = {value!r} is text; read as {header[key]}")
    for key in ("RADESYS", "RADECSYS"):
        if key in header:
            value = str(header[key]).strip().upper()
            header[key] = _FRAME_ALIASES.get(value, value)
            if value in _FRAME_ALIASES:
                said.append(f"{key} = {value!r} is not a FITS name; read as {header[key]}")
    return tuple(said)


def _mend_linear(header: fits.Header) -> tuple[str, ...]:
    # The standard allows only one of them; readers prefer CD, and so do those who write both.
    doubled = [key for key in header if re.match(r"^PC\d_\d$", key)]
    if not doubled or not any(re.match(r"^CD\d_\d$", key) for key in header):
        return ()
    for key in doubled:
        del header[key]
    return ("the header has both CD and PC matrices; CD was used",)


def _mend_sip(header: fits.Header) -> tuple[str, ...]:
    has_sip = "A_ORDER" in header or "B_ORDER" in header
    is_sip = all(_axis_type(header, axis).endswith("-SIP") for axis in (1, 2))
    if is_sip:
        said: tuple[str, ...] = ()
        if not has_sip:
            said = ("CTYPE says SIP but there are no SIP coefficients; read without distortion",)
        if any(m > _LAST_NATIVE_PV for _, m, _ in _pv(header)):
            _drop(header, r"^PV\d_\d+$")
            said += ("the header has both SIP and PV polynomials; SIP was used",)
        return said
    if has_sip:
        _drop(header, _SIP.pattern)
        return ("there are SIP coefficients but CTYPE does not say SIP; they were not used",)
    return ()


_MENDS: tuple[_Mend, ...] = (
    _mend_cards,
    _mend_spelling,
    _require_essentials,
    _mend_frame,
    _mend_linear,
    _mend_sip,
)


def _take_surface(header: fits.Header) -> tuple[_Surface, tuple[str, ...]]:
    """Move the distortion of the projection plane out of the header, into a value of ours.

    wcslib would read it too, but takes an absent PVi_1 for 0 where the convention says 1, maps
    every pixel to CRVAL where there are no PV at all, and does not give back TNX or ZPX.
    """
    code = _axis_type(header, 1)[5:8]
    if code in ("TNX", "ZPX"):
        return _take_wat(header), ()
    pv = _pv(header)
    if code == "TPV":
        _set_projection(header, "TAN")
        _drop(header, r"^PV\d_\d+$")
        if not pv:
            return None, ("CTYPE says TPV but there are no PV coefficients; read as TAN",)
        return TpvSurface.from_pv(pv), ()
    if code == "TAN" and any(m > _LAST_NATIVE_PV for _, m, _ in pv):
        _drop(header, r"^PV\d_\d+$")
        return TpvSurface.from_pv(pv), ("CTYPE says TAN but there are PV terms; read as TPV",)
    return None, ()


def _take_wat(header: fits.Header) -> PlaneSurface:
    code = _axis_type(header, 1)[5:8]
    wat = wat_projection(header)
    _set_projection(header, {"TNX": "TAN", "ZPX": "ZPN"}[code])
    _drop(header, r"^WAT\d_\d+$")
    latitude = 1 if _LATITUDE.match(_axis_type(header, 1)) else 2
    if code == "ZPX":
        # Without a polynomial ZPX is ARC: the radius is the angle itself.
        for power, value in wat.radial or ((1, 1.0),):
            header[f"PV{latitude}_{power}"] = value
    if wat.lonpole_deg is not None and "LONPOLE" not in header:
        header["LONPOLE"] = wat.lonpole_deg
    return wat.surface


def _axis_types(header: fits.Header) -> dict[int, str]:
    """Return CTYPEi by i; alternate descriptions (CTYPEia) are not ours."""
    keys = [key for key in header if re.match(r"^CTYPE\d$", key)]
    return {int(key[-1]): str(header[key]) for key in keys}


def _axis_type(header: fits.Header, axis: int) -> str:
    return str(header.get(f"CTYPE{axis}", ""))


def _set_projection(header: fits.Header, code: str) -> None:
    for axis in (1, 2):
        header[f"CTYPE{axis}"] = _axis_type(header, axis)[:5] + code


def _pv(header: fits.Header) -> tuple[tuple[int, int, float], ...]:
    found: list[tuple[int, int, float]] = []
    for key in header:
        match = re.match(r"^PV(\d)_(\d+)$", key)
        if match:
            value: Any = header[key]
            found.append((int(match.group(1)), int(match.group(2)), float(value)))
    return tuple(found)


def _drop(header: fits.Header, pattern: str) -> None:
    for key in [key for key in header if re.match(pattern, key)]:
        del header[key]
