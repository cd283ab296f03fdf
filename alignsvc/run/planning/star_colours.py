"""Colours of sources, where a catalogue gives them, and what refraction does where none does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.config.build import margin_px
from alignsvc.config.schema import AUTO, Config
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.catalogs import read_user_catalog
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.places import place_of
from alignsvc.numerics.sky.refraction import band_um, chromatic_shift_mas
from alignsvc.numerics.solve.colour_terms import SourceColours
from alignsvc.numerics.sources.matching import nearest_but_for_a_shift
from alignsvc.wording import counted

#: Refraction that shifts stars a magnitude apart in colour by less than this is not worth a word.
_LEAST_PX = 0.01
#: What `colour_term: auto` looks for: Gaia's colours, as its archive and VizieR name them.
_GAIA_COLOURS = ("bp_rp", "BP-RP", "bp_g", "BP-G", "g_rp", "G-RP")
#: Airmass at 45 degrees from the zenith, for a size where no header has one.
_TYPICAL_AIRMASS = math.sqrt(2.0)


@dataclass(frozen=True, slots=True, eq=False)
class StarColours:
    """Colours on the sky: positions, shape (n,), magnitudes, and the column that they are of."""

    sky: SkyPoints
    colour: FloatArray
    column: str


@dataclass(frozen=True, slots=True)
class ExpectedRefraction:
    """By how much exposures refract stars of other colours otherwise than each other does.

    Parameters
    ----------
    most_mas, most_px : float
        Between two of the exposures, for stars a magnitude apart: the difference of the lengths,
        and more where the zenith lies in other directions.
    where : str
        At which airmasses, in which bands.
    """

    most_mas: float
    most_px: float
    where: str


def expected_refraction(headers: Sequence[ExposureHeader]) -> ExpectedRefraction | None:
    """Return what airmasses and filters of headers lead to; None if it is not worth a word.

    Where no header has an airmass all are taken to be at 45 degrees from the zenith, so that bands
    still count; a filter that is not named is taken for V. What has another filter than the usual
    bands, or alone no airmass, says nothing.
    """
    named = [one.airmass for one in headers if one.airmass is not None]
    airmasses = [one.airmass if named else _TYPICAL_AIRMASS for one in headers]
    known = [
        (chromatic_shift_mas(wavelength, airmass), airmass, one)
        for airmass, one in zip(airmasses, headers, strict=True)
        if airmass is not None
        for wavelength in (band_um(one.filter_name or "V"),)
        if wavelength is not None
    ]
    if len(known) < 2:
        return None
    shifts = [shift for shift, _, _ in known]
    most_mas, scale = max(shifts) - min(shifts), known[0][2].wcs[0].pixel_scale_arcsec
    most_px = 1e-3 * most_mas / scale
    if most_px < _LEAST_PX:
        return None
    bands = sorted({one.filter_name or "V (no FILTER)" for _, _, one in known})
    at = [airmass for _, airmass, _ in known]
    seen = (
        f"at airmasses {min(at):.2f} to {max(at):.2f}"
        if named
        else "at 45 degrees from the zenith (no header has an AIRMASS)"
    )
    return ExpectedRefraction(most_mas, most_px, f"{seen} in {', '.join(bands[:5])}")


def star_colours(config: Config, headers: Sequence[ExposureHeader]) -> StarColours | None:
    """Return the column that `alignment.colour_term` names, of the catalogue that has it.

    `auto` takes Gaia's colours of a catalogue that the user gives, where refraction is worth it.

    Raises
    ------
    ConfigError
        No catalogue has the column that is named.
    """
    wanted, is_auto = config.alignment.colour_term, config.alignment.colour_term == AUTO
    if wanted is None:
        return None
    if is_auto and (config.alignment.solver != "global" or expected_refraction(headers) is None):
        return None
    columns = _GAIA_COLOURS if is_auto else (wanted,)
    files = [name for name in (config.reference.catalog, config.detection.catalog) if name]
    for name in files:
        catalog = read_user_catalog(place_of(name))
        values = dict(catalog.columns())
        for column in columns:
            if column in values:
                return StarColours(catalog.sky, values[column], column)
    if is_auto:
        return None
    raise ConfigError(
        f"alignment.colour_term: no column of numbers is named {wanted!r} in "
        f"{' or '.join(files) or 'any catalogue'}; name a column of colours that "
        "reference.catalog or detection.catalog has"
    )


def colours_on_grid(
    config: Config, stars: StarColours, grid: MosaicGrid, sources: SourceCatalog
) -> SourceColours:
    """Return the colours of the sources of a grid that are found among the stars."""
    theirs = grid.plane.from_sky(stars.sky)
    near = np.flatnonzero(np.isfinite(theirs.x) & np.isfinite(stars.colour))
    pairs = nearest_but_for_a_shift(
        grid.plane_from_pixel(Points(sources.x, sources.y)),
        Points(theirs.x[near], theirs.y[near]),
        margin_px(config) * grid.scale_arcsec,
    )
    return SourceColours.of(sources.id[pairs.first], stars.colour[near[pairs.second]])


def refraction_notes(
    headers: Sequence[ExposureHeader], colours: StarColours | None
) -> tuple[str, ...]:
    """Return a warning if sources of other colours are refracted unequally, and how much.

    Parameters
    ----------
    headers : sequence of ExposureHeader
    colours : StarColours or None
        With which it is taken off; None = it stays.
    """
    expected = expected_refraction(headers)
    if expected is None:
        return ()
    what_of_it = (
        f"taken off by the column {colours.column!r} (alignment.colour_term)"
        if colours is not None
        else "it is not taken off: that takes colours of stars (alignment.colour_term, or a "
        "reference.catalog with bp_rp) and alignment.solver: global"
    )
    return (
        f"differential chromatic refraction: {expected.where}, stars that are redder by a "
        f"magnitude are shifted by some {expected.most_mas:.0f} mas ({expected.most_px:.3f} px) "
        f"or more between exposures; {what_of_it}",
    )


def colour_term_notes(
    component: int, colours: SourceColours, terms: Sequence[ColourTerm]
) -> tuple[str, ...]:
    """Return what the user should know of the colour terms of a component.

    Parameters
    ----------
    component : int
    colours : SourceColours
    terms : sequence of ColourTerm
        Of its exposures; empty if none was solved.
    """
    if not len(colours.source):
        return (
            f"alignment.colour_term: no source of component {component} has a colour: nothing is "
            "taken off there; give a catalogue of colours of this field",
        )
    longest = max(terms, key=lambda term: math.hypot(*term.shift_mas), default=None)
    size = (
        ""
        if longest is None
        else f"; the longest of its shifts is {math.hypot(*longest.shift_mas):.1f} +- "
        f"{max(longest.error_mas):.1f} mas a magnitude (colour_shift_x and on in corrections.ecsv)"
    )
    return (
        f"alignment.colour_term: {counted(len(colours.source), 'source')} of component "
        f"{component} with a colour; its corrections hold for their median, {colours.median:+.3f} "
        "mag: a source of another colour is off by its exposure's shift times the difference, "
        f"and one without a colour counts as of the median{size}",
    )
