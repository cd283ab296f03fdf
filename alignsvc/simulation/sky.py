"""The simulated sky: which sources lie where, the same for every layout."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, read_only
from alignsvc.domain.geometry import SkyPoints
from alignsvc.simulation.cells import Cap, SkyCell, cells_touching
from alignsvc.simulation.settings import GalaxySettings, Range, StarSettings

#: Side of the cells of sky that are drawn one by one, degrees.
CELL_DEG = 0.05
#: First words of the seeds of the streams of random numbers; never used for two things.
SKY_STREAM, EXPOSURE_STREAM, CAMERA_STREAM, AIR_STREAM, OPTICS_STREAM = 1, 2, 3, 4, 5

REFERENCE_MJD = 57388.5  #: J2016.0, the epoch of the positions
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """True sources, a struct of arrays of one length.

    Parameters
    ----------
    ra, dec : float64
        ICRS degrees at J2016.
    flux : float64
        Electrons per second.
    is_galaxy : bool
    half_light_arcsec : float64
        Half-light radius along the major axis; 0 for stars.
    axis_ratio : float64
    position_angle_deg : float64
        Of the major axis, from north through east.
    sersic : float64
        Sersic index; 0 for stars.
    pm_ra, pm_dec : float64
        Proper motion, mas per year; `pm_ra` on the sky (times cos dec).
    colour : float64
        Magnitudes; larger = redder.
    """

    ra: FloatArray
    dec: FloatArray
    flux: FloatArray
    is_galaxy: BoolArray
    half_light_arcsec: FloatArray
    axis_ratio: FloatArray
    position_angle_deg: FloatArray
    sersic: FloatArray
    pm_ra: FloatArray
    pm_dec: FloatArray
    colour: FloatArray

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, read_only(np.asarray(getattr(self, item.name))))

    def __len__(self) -> int:
        return len(self.ra)

    def select(self, which: NDArray[Any]) -> Sources:
        """Return the sources named by a mask or by indices."""
        return Sources(*(getattr(self, item.name)[which] for item in fields(self)))

    def at(self, mjd: float, refraction: tuple[float, float] = (0.0, 0.0)) -> SkyPoints:
        """Return positions at a time: proper motion along a straight line, no parallax.

        `refraction` is how far (east, north) a source of colour 1 appears off, mas.
        """
        years = (mjd - REFERENCE_MJD) / DAYS_PER_YEAR
        east = (self.pm_ra * years + self.colour * refraction[0]) / 3.6e6
        north = (self.pm_dec * years + self.colour * refraction[1]) / 3.6e6
        cos_dec = np.maximum(np.cos(np.radians(self.dec)), 1e-9)
        return SkyPoints(np.mod(self.ra + east / cos_dec, 360.0), self.dec + north)


def draw_sources(
    seed: int, stars: StarSettings, galaxies: GalaxySettings, caps: tuple[Cap, ...]
) -> Sources:
    """Return all sources within any of `caps`.

    The sky is cut into cells, each with random numbers of its own, so that a source depends
    on the seed and on its place only, never on which exposures there are.
    """
    drawn = [_in_cell(seed, stars, galaxies, cell) for cell in cells_touching(caps, CELL_DEG)]
    columns = [[getattr(part, item.name) for part in drawn] for item in fields(Sources)]
    everything = Sources(*(np.concatenate(column) for column in columns))
    inside = np.zeros(len(everything), bool)
    for cap in caps:
        inside |= cap.holds(SkyPoints(everything.ra, everything.dec))
    return everything.select(inside)


def _in_cell(seed: int, stars: StarSettings, galaxies: GalaxySettings, cell: SkyCell) -> Sources:
    generator = np.random.default_rng((SKY_STREAM, seed, cell.band, cell.number))
    n_stars = int(generator.poisson(stars.density * cell.area_arcmin2))
    n_galaxies = int(generator.poisson(galaxies.density * cell.area_arcmin2))
    n = n_stars + n_galaxies
    low, high = (math.sin(math.radians(limit)) for limit in cell.dec_limits)
    is_galaxy = np.arange(n) >= n_stars
    flux = np.concatenate(
        [
            _power_law(generator, stars.flux, stars.slope, n_stars),
            _power_law(generator, galaxies.flux, galaxies.slope, n_galaxies),
        ]
    )
    smallest, largest = (math.log(size) for size in galaxies.half_light_arcsec)
    log_size = generator.uniform(smallest, largest, n)
    return Sources(
        ra=(cell.number + generator.random(n)) * 360.0 / cell.of,
        dec=np.degrees(np.arcsin(generator.uniform(low, high, n))),
        flux=flux,
        is_galaxy=is_galaxy,
        half_light_arcsec=np.where(is_galaxy, np.exp(log_size), 0.0),
        axis_ratio=np.where(is_galaxy, generator.uniform(*galaxies.axis_ratio, n), 1.0),
        position_angle_deg=np.where(is_galaxy, generator.uniform(0.0, 180.0, n), 0.0),
        sersic=np.where(is_galaxy, generator.choice(np.array(galaxies.sersic), n), 0.0),
        pm_ra=np.where(is_galaxy, 0.0, generator.normal(0.0, 1.0, n) * stars.proper_motion_mas),
        pm_dec=np.where(is_galaxy, 0.0, generator.normal(0.0, 1.0, n) * stars.proper_motion_mas),
        colour=generator.normal(0.0, 1.0, n) * stars.colour,
    )


def _power_law(
    generator: np.random.Generator, limits: Range, slope: float, count: int
) -> FloatArray:
    # N(>F) ~ F^-slope between the limits, by inversion: F^-slope is uniform.
    low, high = (limit**-slope for limit in limits)
    drawn: FloatArray = generator.uniform(high, low, count) ** (-1.0 / slope)
    return drawn
