"""What one chip sees of the sky: sources at their true pixels, with shapes as the chip has them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, SkyPoints, unit_vectors
from alignsvc.simulation.cells import Cap
from alignsvc.simulation.profiles import GaussianMixture, sersic_mixture
from alignsvc.simulation.render import GalaxyShape, galaxies_image, stars_image
from alignsvc.simulation.sky import Sources
from alignsvc.simulation.truth import ChipTruth, ExposureTruth

#: Part of a pixel's noise that the edge of a stamp may cut off.
_EDGE_OF_NOISE = 0.05
#: Hardly any star farther beside a chip than this throws light on it.
_MARGIN_FWHM = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Sources on and around one chip.

    Parameters
    ----------
    index : int64, shape (n,)
        Where each source stands in the simulation's `Sources`.
    pixel : Points
        True positions, 0-based pixels, shape (n,).
    jacobian : float64, shape (n, 2, 2)
        d(east, north in arcsec) / d(x, y in pixels) at each source.
    electrons : float64, shape (n,)
    shapes : tuple of (GalaxyShape or None), length n
        None for stars.
    chip_shape : tuple of int
        ``(ny, nx)``.
    """

    index: IntArray
    pixel: Points
    jacobian: FloatArray
    electrons: FloatArray
    shapes: tuple[GalaxyShape | None, ...]
    chip_shape: tuple[int, int]

    @property
    def is_galaxy(self) -> BoolArray:
        """Whether each source is a galaxy, bool of shape (n,)."""
        return np.array([shape is not None for shape in self.shapes], bool)


def field_of(wcs: CelestialWcs) -> Cap:
    """Return the smallest cap about the chip's centre that holds its corners."""
    centre, corners = wcs.centre(), wcs.sky_from_pixel(wcs.corners())
    chord = unit_vectors(corners) - unit_vectors(centre)
    radius = 2.0 * math.asin(0.5 * float(np.linalg.norm(chord, axis=-1).max()))
    return Cap(float(centre.ra), float(centre.dec), math.degrees(radius))


def seen_by(exposure: ExposureTruth, wcs: CelestialWcs) -> Cap:
    """Return the cap that holds all sources whose light falls on a chip."""
    return _with_margin(wcs, _MARGIN_FWHM * exposure.fwhm_px)


def _with_margin(wcs: CelestialWcs, margin_px: float) -> Cap:
    cap = field_of(wcs)
    # Half as much again: a corner lies farther out, and distortion stretches.
    reach_deg = cap.radius_deg + margin_px * 1.5 * wcs.pixel_scale_arcsec / 3600.0
    return Cap(cap.ra_deg, cap.dec_deg, reach_deg)


def scene_of(
    sources: Sources, exposure: ExposureTruth, wcs: CelestialWcs, margin_px: float
) -> Scene:
    """Return the sources within `margin_px` of a chip's pixels.

    Parameters
    ----------
    sources : Sources
    exposure : ExposureTruth
    wcs : CelestialWcs
        The true one of the chip.
    margin_px : float
        Negative: only the sources that far inside.
    """
    positions = sources.at(exposure.mid_time_mjd, exposure.refraction_mas)
    near = np.flatnonzero(_with_margin(wcs, max(margin_px, 0.0)).holds(positions))
    pixel = wcs.pixel_from_sky(SkyPoints(positions.ra[near], positions.dec[near]))
    ny, nx = wcs.shape
    edge = 0.5 + margin_px
    with np.errstate(invalid="ignore"):
        inside = (pixel.x >= -edge) & (pixel.x <= nx - 1 + edge)
        inside &= (pixel.y >= -edge) & (pixel.y <= ny - 1 + edge)
    index = near[inside]
    pixel = Points(pixel.x[inside], pixel.y[inside])
    jacobian = sky_jacobian(wcs, pixel)
    return Scene(
        index=index.astype(np.int64),
        pixel=pixel,
        jacobian=jacobian,
        electrons=sources.flux[index] * exposure.electrons_per_flux,
        shapes=_shapes(sources.select(index), jacobian),
        chip_shape=wcs.shape,
    )


def sky_jacobian(wcs: CelestialWcs, pixel: Points) -> FloatArray:
    """Return d(east, north; arcsec)/d(x, y; px), shape (n, 2, 2), by central differences."""
    centre = wcs.sky_from_pixel(pixel)
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ahead = wcs.sky_from_pixel(Points(pixel.x + dx, pixel.y + dy))
        behind = wcs.sky_from_pixel(Points(pixel.x - dx, pixel.y - dy))
        columns.append(_between(centre, behind, ahead))
    jacobian: FloatArray = np.stack(columns, axis=-1)
    return jacobian


def _between(centre: SkyPoints, behind: SkyPoints, ahead: SkyPoints) -> FloatArray:
    # The chord along the local east and north: exact to the square of a pixel's angle, and
    # unlike differences of RA it holds at the pole.
    chord = (unit_vectors(ahead) - unit_vectors(behind)) * math.degrees(3600.0)
    ra, dec = np.radians(centre.ra), np.radians(centre.dec)
    zero = np.zeros_like(ra)
    east = np.stack([-np.sin(ra), np.cos(ra), zero], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    return np.stack([(chord * east).sum(-1), (chord * north).sum(-1)], axis=-1)


def _shapes(sources: Sources, jacobian: FloatArray) -> tuple[GalaxyShape | None, ...]:
    profiles: dict[float, GaussianMixture] = {
        float(n): sersic_mixture(float(n)) for n in np.unique(sources.sersic[sources.is_galaxy])
    }
    shapes: list[GalaxyShape | None] = []
    for number in range(len(sources)):
        if not sources.is_galaxy[number]:
            shapes.append(None)
            continue
        angle = math.radians(sources.position_angle_deg[number])
        major = np.array([math.sin(angle), math.cos(angle)])
        minor = np.array([math.cos(angle), -math.sin(angle)]) * sources.axis_ratio[number]
        on_sky = np.stack([major, minor], axis=1) * sources.half_light_arcsec[number]
        to_pixels = np.linalg.solve(jacobian[number], on_sky)
        shapes.append(GalaxyShape(profiles[float(sources.sersic[number])], to_pixels))
    return tuple(shapes)


def expected_electrons(sources: Sources, exposure: ExposureTruth, chip: ChipTruth) -> FloatArray:
    """Return the mean number of electrons per pixel, sky included, shape (ny, nx)."""
    faintest = _EDGE_OF_NOISE * math.sqrt(exposure.background_variance + 1.0)
    scene = scene_of(sources, exposure, chip.true_wcs, margin_px=_MARGIN_FWHM * exposure.fwhm_px)
    galaxy = scene.is_galaxy
    width = _width(scene.pixel, exposure, chip)
    image = np.zeros(chip.shape)
    for factor in np.unique(width).tolist():
        psf, here = exposure.psf_as_wide(factor), width == factor
        stars, galaxies = here & ~galaxy, here & galaxy
        image += stars_image(
            chip.shape, psf, _some(scene.pixel, stars), scene.electrons[stars], faintest
        )
        if galaxies.any():
            shapes = [scene.shapes[k] for k in np.flatnonzero(galaxies).tolist()]
            light = (scene.electrons[galaxies], faintest)
            image += galaxies_image(
                chip.shape,
                psf,
                [shape for shape in shapes if shape is not None],
                _some(scene.pixel, galaxies),
                light,
            )
    expected: FloatArray = image + sky_level(exposure, chip) * exposure.gain
    return expected


def _width(pixel: Points, exposure: ExposureTruth, chip: ChipTruth) -> FloatArray:
    """Return how much wider stars are than in the middle of the camera, in steps of a per cent."""
    slope_x, slope_y = exposure.aberrations.fwhm_slope
    header = dict(chip.header_true)
    x = pixel.x + 1.0 - float(header["CRPIX1"])
    y = pixel.y + 1.0 - float(header["CRPIX2"])
    factor: FloatArray = 1.0 + np.round(slope_x * x + slope_y * y, 2)
    return factor


def sky_level(exposure: ExposureTruth, chip: ChipTruth) -> FloatArray:
    """Return the sky of a chip, adu per pixel, shape (ny, nx): a plane over the camera."""
    header, (ny, nx) = dict(chip.header_true), chip.shape
    slope_x, slope_y = exposure.sky_slope
    # FITS counts pixels from 1; CRPIX is the middle of the camera in the pixels of the chip.
    x = np.arange(nx) + 1.0 - float(header["CRPIX1"])
    y = np.arange(ny) + 1.0 - float(header["CRPIX2"])
    level: FloatArray = exposure.sky + slope_x * x + slope_y * y[:, None]
    return level


def _some(pixel: Points, which: BoolArray) -> Points:
    return Points(pixel.x[which], pixel.y[which])
