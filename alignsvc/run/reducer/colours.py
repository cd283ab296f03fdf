"""Colours of sources, where a catalogue gives them, and what refraction does where none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignsvc.config.build import margin_px
from alignsvc.config.schema import Config
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.catalogs import read_user_catalog
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.numerics.sky.refraction import band_um, chromatic_shift_mas
from alignsvc.numerics.solve.colour_terms import SourceColours
from alignsvc.numerics.sources.matching import nearest_but_for_a_shift

#: Refraction that shifts stars a magnitude apart in colour by less than this is not worth a word.
_LEAST_PX = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class StarColours:
    """Colours on the sky: positions, shape (n,), and magnitudes."""

    sky: SkyPoints
    colour: FloatArray


def star_colours(config: Config) -> StarColours | None:
    """Return the column that `alignment.colour_term` names, of the catalogue that has it.

    Raises
    ------
    ConfigError
        None has it.
    """
    column = config.alignment.colour_term
    if column is None:
        return None
    files = [name for name in (config.reference.catalog, config.detection.catalog) if name]
    for name in files:
        catalog = read_user_catalog(Path(name))
        for found, values in catalog.columns():
            if found == column:
                return StarColours(catalog.sky, values)
    raise ConfigError(
        f"alignment.colour_term: no column of numbers is named {column!r} in "
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


def refraction_notes(config: Config, headers: Sequence[ExposureHeader]) -> tuple[str, ...]:
    """Return a warning if sources of different colours are refracted unequally, and how much.

    By the airmasses and the filters of the headers: shifts of exposures differ at least by the
    difference of their lengths, and by more where the zenith lies in other directions.
    """
    if config.alignment.colour_term is not None:
        return ()
    known = [
        (chromatic_shift_mas(wavelength, one.airmass), one)
        for one in headers
        if one.airmass is not None
        for wavelength in (band_um(one.filter_name),)
        if wavelength is not None
    ]
    if len(known) < 2:
        return ()
    shifts = [shift for shift, _ in known]
    most_mas, scale = max(shifts) - min(shifts), known[0][1].wcs[0].pixel_scale_arcsec
    if most_mas < 1e3 * _LEAST_PX * scale:
        return ()
    airmass = [one.airmass for _, one in known if one.airmass is not None]
    bands = sorted({one.filter_name for _, one in known})
    return (
        f"differential chromatic refraction: at airmasses {min(airmass):.2f} to {max(airmass):.2f} "
        f"in {', '.join(bands[:5])}, stars that are redder by a magnitude are shifted by some "
        f"{most_mas:.0f} mas ({1e-3 * most_mas / scale:.3f} px) or more between exposures; "
        "alignment.colour_term takes that off, given a catalogue with colours",
    )
