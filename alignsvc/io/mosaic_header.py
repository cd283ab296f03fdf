"""What the header of a mosaic says of the exposures in it, and the table that lists them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray
from alignsvc.io.fits_blocks import renewed_checksums, scan_hdus
from alignsvc.io.flux_units import COMMON_ZERO_POINT, PixelUnits, pixel_units
from alignsvc.io.header_cards import HeaderCards
from alignsvc.version import VERSION

_SECONDS_PER_DAY = 86400.0
#: Longest text that a card holds beside its keyword and quotes.
_TEXT = 68
#: A value per solid angle: a pixel of the mosaic has it times the ratio of the pixels' areas.
_PER_SOLID_ANGLE = ("sr", "arcsec", "deg")


@dataclass(frozen=True, slots=True, eq=False)
class MosaicInputs:
    """The exposures of a mosaic, in order of id; a struct of arrays of length n.

    Parameters
    ----------
    id, filter_name : array of str
        The filter is empty where it is not known.
    mid_time_mjd, exposure_time_s : float64
        UTC; NaN where not known.
    flux_scale : float64
        What its pixels were multiplied by.
    gain : float64
        Electrons per unit of the mosaic; NaN where not known.
    east_arcsec, north_arcsec, rotation_deg : float64
        What was added to its WCS, in the tangent plane about its middle.
    """

    id: NDArray[Any]
    filter_name: NDArray[Any]
    mid_time_mjd: FloatArray
    exposure_time_s: FloatArray
    flux_scale: FloatArray
    gain: FloatArray
    east_arcsec: FloatArray
    north_arcsec: FloatArray
    rotation_deg: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class MosaicFacts:
    """What is known of a mosaic beside its pixels and its grid.

    Parameters
    ----------
    run_id, verdict : str
        ALIGNRUN of the headers that the run corrected; how its loop ended.
    eps_shift_px : float
    n_passes : int
    resampler, sky : str
        Names of the methods.
    units : str
        Of the inputs' pixels, if all have the same; else empty.
    has_zero_points : bool
        Whether all inputs have one, so that the flux scale is that of `COMMON_ZERO_POINT`.
    telescope, instrument : str
        If all inputs have the same; else empty.
    inputs : MosaicInputs
    """

    run_id: str
    verdict: str
    eps_shift_px: float
    n_passes: int
    resampler: str
    sky: str
    units: str
    has_zero_points: bool
    telescope: str
    instrument: str
    inputs: MosaicInputs


def fact_cards(facts: MosaicFacts) -> Iterable[fits.Card]:
    """Yield the cards of the mosaic's own HDU.

    A keyword of which nothing is known is left out; so is DATE, as the same run makes the same
    bytes whenever it is made.
    """
    unit = _unit_of(facts)
    if unit:
        yield fits.Card("BUNIT", unit, "flux per pixel of the mosaic")
    if facts.has_zero_points:
        yield fits.Card("MAGZERO", COMMON_ZERO_POINT, "mag = MAGZERO - 2.5 log10(flux)")
    for keyword, text, comment in (
        ("TELESCOP", facts.telescope, "of all inputs"),
        ("INSTRUME", facts.instrument, "of all inputs"),
        ("FILTER", _only(facts.inputs.filter_name), "of all inputs"),
    ):
        if text:
            yield _text_card(keyword, text, comment)
    n = len(facts.inputs.id)
    yield fits.Card("NCOMBINE", n, "exposures in it: see the table INPUTS")
    yield from _exposure_cards(facts.inputs)
    yield from _time_cards(facts.inputs)
    yield fits.Card("CREATOR", f"alignsvc {VERSION}", "program")
    yield fits.Card("ALIGNRUN", facts.run_id, "run that made it")
    yield fits.Card("VERDICT", facts.verdict, "how its loop ended")
    yield fits.Card("NPASSES", facts.n_passes, "passes of the loop")
    yield fits.Card("EPSSHIFT", facts.eps_shift_px, "[pixel] movement at which it may end")
    yield _text_card("RESAMPLE", facts.resampler, "mean of exposures by inverse variance")
    yield _text_card("SKYMODEL", facts.sky, "sky that was taken off each exposure")


def weight_cards(facts: MosaicFacts) -> Iterable[fits.Card]:
    """Yield the cards of the HDU of weights."""
    base, per_second = _plain_unit(facts)
    if base:
        squared = f"s2/{base}2" if per_second else f"{base}-2"
        yield fits.Card("BUNIT", squared, "inverse variance of a pixel")
    yield fits.Card("WHTTYPE", "IVAR", "inverse variance; 0 = no exposure")


def inputs_hdu(inputs: MosaicInputs) -> bytes:
    """Return the binary table INPUTS as whole blocks, with its checksums."""
    columns = [
        _text_column("EXPOSURE", inputs.id),
        _text_column("FILTER", inputs.filter_name),
        fits.Column("MJD_MID", "D", unit="d", array=inputs.mid_time_mjd),
        fits.Column("EXPTIME", "D", unit="s", array=inputs.exposure_time_s),
        fits.Column("FLUXSCAL", "D", array=inputs.flux_scale),
        fits.Column("GAIN", "D", array=inputs.gain),
        fits.Column("DX_EAST", "D", unit="arcsec", array=inputs.east_arcsec),
        fits.Column("DY_NORTH", "D", unit="arcsec", array=inputs.north_arcsec),
        fits.Column("ROTATION", "D", unit="deg", array=inputs.rotation_deg),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="INPUTS")
    table.header["DATASUM"] = ("0", "data unit checksum")
    table.header["CHECKSUM"] = ("0" * 16, "HDU checksum")
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    _, hdu = scan_hdus(file)
    cards = renewed_checksums(HeaderCards.from_bytes(hdu.header), file, hdu)
    file.seek(hdu.data_offset)
    return cards.to_bytes() + file.read(hdu.data_size)


def _unit_of(facts: MosaicFacts) -> str:
    base, per_second = _plain_unit(facts)
    return f"{base}/s" if base and per_second else base


def _plain_unit(facts: MosaicFacts) -> tuple[str, bool]:
    """Return the unit of the mosaic without its time, and whether it is per second.

    Empty where it cannot be told: units that differ or are not known, exposure times that are not
    known, zero points (MAGZERO says it then), and values per solid angle.
    """
    units = pixel_units(facts.units)
    if facts.has_zero_points or not units.is_known:
        return "", False
    if units.is_calibrated:
        is_flux = not any(part in units.name.lower() for part in _PER_SOLID_ANGLE)
        return (units.name.strip(), False) if is_flux and _is_plain(units.name) else ("", False)
    if not units.is_rate and not np.isfinite(facts.inputs.exposure_time_s).all():
        return "", False
    return _count_name(units), True


def _count_name(units: PixelUnits) -> str:
    if units.is_electrons:
        return "electron"
    name = units.name.strip().lower()
    if name.startswith(("adu", "dn")):
        return "adu"
    return "photon" if name.startswith("ph") else "count"


def _is_plain(name: str) -> bool:
    """Whether a unit is one word, so that its square is written with a 2 behind it."""
    return name.strip().isalpha()


def _exposure_cards(inputs: MosaicInputs) -> Iterable[fits.Card]:
    if len(inputs.id) and np.isfinite(inputs.exposure_time_s).all():
        total = float(inputs.exposure_time_s.sum())
        yield fits.Card("EXPTIME", total, "[s] of all exposures together")
    if len(inputs.id) and np.isfinite(inputs.gain).all():
        gain = float(inputs.gain.sum())
        yield fits.Card("GAIN", gain, "electrons per unit where all exposures are")


def _time_cards(inputs: MosaicInputs) -> Iterable[fits.Card]:
    middle, length = inputs.mid_time_mjd, inputs.exposure_time_s
    if not len(middle) or not np.isfinite(middle).all():
        return
    half = np.where(np.isfinite(length), length, 0.0) / 2.0 / _SECONDS_PER_DAY
    begin, end = float((middle - half).min()), float((middle + half).max())
    even = not np.isfinite(length).all() or not length.sum() > 0
    average = float(np.average(middle, weights=None if even else length))
    yield fits.Card("TIMESYS", "UTC", "of all times")
    for name, mjd, comment in (
        ("OBS", begin, "begin of the first exposure"),
        ("BEG", begin, "begin of the first exposure"),
        ("AVG", average, "mean, by exposure time"),
        ("END", end, "end of the last exposure"),
    ):
        time = Time(mjd, format="mjd", scale="utc", precision=3)
        yield fits.Card(f"DATE-{name}", time.isot, comment)
        # Of the date as it is written, to the millisecond: the two shall agree.
        yield fits.Card(f"MJD-{name}", float(Time(time.isot, scale="utc").mjd), f"[d] {comment}")


def _only(names: NDArray[Any]) -> str:
    """Return the one name that all have; empty if they differ."""
    found = set(names.tolist())
    return found.pop() if len(found) == 1 else ""


def _text_card(keyword: str, text: str, comment: str) -> fits.Card:
    """Return a card of text from outside, cut so that its comment has room beside it."""
    room = _TEXT - len(" / ") - len(comment)
    plain = text.encode("ascii", "backslashreplace").decode("ascii")
    plain = "".join(letter if letter.isprintable() else "?" for letter in plain)[:room]
    while len(plain) + plain.count("'") > room:  # a quote is written twice
        plain = plain[:-1]
    return fits.Card(keyword, plain, comment)


def _text_column(name: str, texts: NDArray[Any]) -> fits.Column:
    plain = [text.encode("ascii", "backslashreplace") for text in texts.tolist()]
    width = max((len(text) for text in plain), default=1) or 1
    return fits.Column(name, f"{width}A", array=np.array(plain, f"S{width}"))
