"""What headers say of an exposure: inspected before a run, without reading pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from astropy.io import fits
from astropy.time import Time

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ChipRef, ExposureRef
from alignsvc.errors import DataError
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_planes import OpenFiles, find_chips
from alignsvc.io.fits_files import HeaderBlocks, heard_warnings
from alignsvc.io.flux_units import electrons_per_unit, flux_scale, pixel_units
from alignsvc.io.image_settings import AUTO, ImageSettings, ValueSource
from alignsvc.io.wcs_headers import ReadWcs, celestial_from_header
from alignsvc.numerics.sky.footprints import WIDEST_DEG
from alignsvc.reasons import FailureKind

_SECONDS_PER_DAY = 86400.0
#: Chips of one exposure may differ this much in flux scale before it is worth a warning.
_SCALE_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class ChipFacts:
    """What the headers say of one chip's pixels.

    Parameters
    ----------
    saturation : float or None
        Level in the pixels' units at and above which a pixel is saturated.
    gain : float or None
        Electrons per unit of the pixels.
    exposure_time_s : float
        1 where the header does not say.
    flux_scale : float
        What pixels are multiplied by to be on the run's common flux scale.
    zero_point : float or None
        mag, as the settings give it.
    units : str
        BUNIT, or the configured name; may be empty.
    warnings : tuple of str
    has_exposure_time : bool
        Whether the header says how long it was.
    """

    saturation: float | None
    gain: float | None
    exposure_time_s: float
    flux_scale: float
    zero_point: float | None
    units: str
    warnings: tuple[str, ...] = ()
    has_exposure_time: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class ExposureHeader:
    """An exposure as its headers describe it.

    Parameters
    ----------
    ref : ExposureRef
    wcs : tuple of CelestialWcs
        One per chip.
    chips : tuple of ChipFacts
        One per chip.
    filter_name : str
        Empty if not known.
    mid_time_mjd : float or None
        UTC.
    warnings : tuple of str
        What was mended or guessed, each with the place it concerns.
    corrected_by : str
        The run whose correction the WCS already holds (ALIGNRUN); empty if none.
    airmass : float or None
        None if not known.
    telescope, instrument : str
        TELESCOP, INSTRUME; empty if not known.
    blocks : tuple of HeaderBlocks
        Of all files, sidecars included, that were opened to read it; of what describes pixels
        that are being read, none.
    """

    ref: ExposureRef
    wcs: tuple[CelestialWcs, ...]
    chips: tuple[ChipFacts, ...]
    filter_name: str = ""
    mid_time_mjd: float | None = None
    warnings: tuple[str, ...] = ()
    corrected_by: str = ""
    airmass: float | None = None
    telescope: str = ""
    instrument: str = ""
    blocks: tuple[HeaderBlocks, ...] = ()

    @property
    def exposure_time_s(self) -> float:
        """Seconds; 1 where the header does not say."""
        return self.chips[0].exposure_time_s

    @property
    def flux_scale(self) -> float:
        """What pixels are multiplied by to be on the run's common flux scale."""
        return self.chips[0].flux_scale

    @property
    def zero_point(self) -> float | None:
        """The zero point in mag, None if not given."""
        return self.chips[0].zero_point

    @property
    def units(self) -> str:
        """Units of the pixels, empty if not known."""
        return self.chips[0].units


def inspect_exposure(candidate: ExposureCandidate, settings: ImageSettings) -> ExposureHeader:
    """Read the headers of an exposure's files, sidecars included; no pixels.

    Raises
    ------
    DataError
        The exposure cannot be used; the message says which file, what and what to do.
    """
    with ExitStack() as stack:
        files = OpenFiles(stack)
        chips = find_chips(files, candidate.files, settings)
        ref = ExposureRef(candidate.id, chips, fingerprint(files, chips))
        return replace(describe(files, ref, settings), blocks=files.blocks)


def describe(files: OpenFiles, ref: ExposureRef, settings: ImageSettings) -> ExposureHeader:
    """Return what the headers of an exposure's open files say."""
    with heard_warnings():
        read = [read_chip_wcs(files, chip) for chip in ref.chips]
        facts = [_chip_facts(_headers(files, chip), settings) for chip in ref.chips]
        headers = _headers(files, ref.chips[0])
        heard: list[str] = []
        time = _mid_time(headers, settings.mid_time, facts[0].exposure_time_s, heard)
        name = _filter_name(headers)
        runs = [_text(_headers(files, chip), "ALIGNRUN") for chip in ref.chips]
    said = [
        f"{chip.science.uri} {chip.name}: {text}"
        for chip, wcs, fact in zip(ref.chips, read, facts, strict=True)
        for text in (*wcs.warnings, *fact.warnings)
    ]
    said += [f"{ref.id}: {text}" for text in heard]
    scales = [fact.flux_scale for fact in facts]
    if max(scales) > min(scales) * (1.0 + _SCALE_TOLERANCE):
        said.append(
            f"{ref.id}: its chips give flux scales from {min(scales):.6g} to {max(scales):.6g}; "
            "that of the first is used for all"
        )
    return ExposureHeader(
        ref,
        tuple(wcs.wcs for wcs in read),
        tuple(facts),
        name,
        time,
        tuple(said),
        next(filter(None, runs), ""),
        _airmass(headers),
        _text(headers, "TELESCOP"),
        _text(headers, "INSTRUME"),
    )


def fingerprint(files: OpenFiles, chips: tuple[ChipRef, ...]) -> str:
    """Return a digest of the sizes and header blocks of all files that hold `chips`."""
    paths = dict.fromkeys(plane.uri for chip in chips for plane in chip.planes)
    return digest_of(*((files[path].size, files[path].blocks.digest) for path in paths))


def read_chip_wcs(files: OpenFiles, chip: ChipRef) -> ReadWcs:
    """Return the WCS of a chip.

    Raises
    ------
    DataError
        NO_WCS or BAD_WCS, with the file and HDU named.
    """
    file = files[chip.science.uri]
    try:
        read = celestial_from_header(file.image(chip.science.hdu).header, file.hdus, chip.shape)
        _require_narrow(read.wcs)
        return read
    except DataError as error:
        raise DataError(error.kind, f"{file.path} {chip.name}: {error}") from error


def _require_narrow(wcs: CelestialWcs) -> None:
    """Refuse a chip that no plane serves, as of a scale in arcsec where degrees are wanted.

    It would stand for all exposures that it seems to overlap: their run would have no plane.
    """
    scale_arcsec = wcs.pixel_scale_arcsec
    wide_deg = scale_arcsec * math.hypot(*wcs.shape) / 3600.0
    if wide_deg > WIDEST_DEG:
        raise DataError(
            FailureKind.BAD_WCS,
            f"the header's WCS cannot be used: pixels of {scale_arcsec:.6g} arcsec make the chip "
            f"{wide_deg:.3g} degrees wide, {WIDEST_DEG:.0f} at the most are wanted; mend its scale",
        )


def _headers(files: OpenFiles, chip: ChipRef) -> tuple[fits.Header, fits.Header]:
    """Return the headers to look a keyword up in: the chip's own, then the file's first."""
    file = files[chip.science.uri]
    return (file.image(chip.science.hdu).header, file.primary)


def _chip_facts(headers: tuple[fits.Header, ...], settings: ImageSettings) -> ChipFacts:
    said: list[str] = []
    units = pixel_units(_text(headers, "BUNIT") if settings.units == AUTO else settings.units)
    time = _positive(headers, settings.exposure_time, "exposure time", said)
    zero_point = _value(headers, settings.zero_point, said)
    if settings.zero_point is not None and zero_point is None:
        said.append(f"no zero point {settings.zero_point}; its flux scale is as without one")
    if units.name and not units.is_known:
        said.append(f"units {units.name!r} are not known; taken as counts")
    if time is None and not (units.is_rate or units.is_calibrated):
        said.append("no exposure time; 1 s is taken, so its fluxes may not compare with others'")
    said += _named_in_vain(headers, settings)
    if isinstance(settings.gain, str):
        gain = electrons_per_unit(units, _positive(headers, settings.gain, "gain", said), time)
    else:
        gain = settings.gain
    return ChipFacts(
        _value(headers, settings.saturation, said),
        gain,
        1.0 if time is None else time,
        flux_scale(units, time, zero_point),
        zero_point,
        units.name,
        tuple(said),
        time is not None,
    )


def _named_in_vain(headers: tuple[fits.Header, ...], settings: ImageSettings) -> Iterator[str]:
    """Yield a sentence for each keyword that was asked for, and that no header has.

    The usual ones are nobody's wish: they are taken where they are.
    """
    usual = ImageSettings()
    for what, asked, default in (
        ("gain", settings.gain, usual.gain),
        ("saturation", settings.saturation, usual.saturation),
    ):
        if isinstance(asked, str) and asked != default and _card(headers, asked) is None:
            yield f"no {what} {asked} in its header; it counts as not known"


def _positive(
    headers: tuple[fits.Header, ...], source: ValueSource, what: str, said: list[str]
) -> float | None:
    value = _value(headers, source, said)
    if value is not None and value <= 0.0:
        said.append(f"{source} = {value}: the {what} is not positive; ignored")
        return None
    return value


def _value(headers: tuple[fits.Header, ...], source: ValueSource, said: list[str]) -> float | None:
    """Return a number, given or looked up; None where the header has none that is usable."""
    if source is None or isinstance(source, int | float):
        return None if source is None else float(source)
    found = _card(headers, source)
    if found is None:
        return None
    try:
        number = float(found)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(found, bool) or not math.isfinite(number):
        said.append(f"{source} = {found!r} is not a number; ignored")
        return None
    return number


def _text(headers: tuple[fits.Header, ...], keyword: str) -> str:
    found = _card(headers, keyword)
    return found.strip() if isinstance(found, str) else ""


def _card(headers: tuple[fits.Header, ...], keyword: str) -> Any:
    for header in headers:
        try:
            value = header.get(keyword)
        except fits.VerifyError:
            continue  # a card that is not FITS says nothing
        if value is not None and not isinstance(value, fits.card.Undefined):
            return value
    return None


def _airmass(headers: tuple[fits.Header, ...]) -> float | None:
    airmass = _value(headers, "AIRMASS", [])
    return airmass if airmass is not None and airmass >= 1.0 else None


def _filter_name(headers: tuple[fits.Header, ...]) -> str:
    for keyword in ("FILTER", "FILTNAM", "FILTNAME", "FILTERS"):
        if name := _text(headers, keyword):
            return name
    # Wheels of two: the one that is not clear.
    pair = [_text(headers, keyword) for keyword in ("FILTER1", "FILTER2")]
    return "+".join(name for name in pair if name and not name.upper().startswith("CLEAR"))


def _mid_time(
    headers: tuple[fits.Header, ...],
    source: ValueSource,
    exposure_time_s: float,
    said: list[str],
) -> float | None:
    if source != AUTO:
        time = _time(headers, str(source)) if isinstance(source, str) else source
        if time is None and source is not None:
            said.append(f"no mid time {source} (MJD, or a date with a time of day); none is taken")
        return time
    for keyword in ("MJD-AVG", "DATE-AVG"):
        if (average := _time(headers, keyword)) is not None:
            return average
    starts = (_time(headers, keyword) for keyword in ("MJD-OBS", "DATE-OBS"))
    start = next((time for time in starts if time is not None), None)
    return None if start is None else start + exposure_time_s / 2.0 / _SECONDS_PER_DAY


def _time(headers: tuple[fits.Header, ...], keyword: str) -> float | None:
    """Return a keyword's time as MJD: a number, or a date; None where it has neither."""
    number = _value(headers, keyword, [])
    return number if number is not None else _date(_text(headers, keyword))


def _date(text: str) -> float | None:
    """Return the MJD of a FITS date with a time of day; None for anything else."""
    if "T" not in text:
        return None
    try:
        return float(Time(text, format="isot", scale="utc").mjd)
    except ValueError:
        return None
