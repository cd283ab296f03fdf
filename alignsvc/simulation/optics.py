"""Headers of the simulated chips: the true one, and its WCS."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from astropy.wcs import WCS

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import rotation_matrix
from alignsvc.simulation.distortions import Card
from alignsvc.simulation.layouts import Extent, Pointing
from alignsvc.simulation.settings import CameraSettings

#: WCS keywords of one chip, in the order in which they are written.
Header: TypeAlias = tuple[Card, ...]


def extent_of(camera: CameraSettings) -> Extent:
    """Return the size of the whole camera on the sky."""
    width, height = camera.extent_px
    return Extent(width * camera.scale_arcsec, height * camera.scale_arcsec)


def true_headers(
    camera: CameraSettings, pointing: Pointing, chip_rotations_deg: FloatArray
) -> tuple[Header, ...]:
    """Return the WCS of each chip, row by row of the camera.

    All chips share CRVAL and the distortion; CRPIX is the optical axis in the pixels of the
    chip, which is turned about that axis by its own angle.
    """
    (ny, nx), (rows, columns) = camera.shape, camera.chips
    width, height = camera.extent_px
    headers = []
    for row in range(rows):
        for column in range(columns):
            # 0-based pixel coordinates of the optical axis, then FITS (first pixel is 1).
            axis_x = 0.5 * (width - 1) - column * (nx + camera.gap_px)
            axis_y = 0.5 * (height - 1) - row * (ny + camera.gap_px)
            turn_deg = float(chip_rotations_deg[row * columns + column])
            headers.append(_header(camera, pointing, (axis_x + 1, axis_y + 1), turn_deg))
    return tuple(headers)


def _header(
    camera: CameraSettings, pointing: Pointing, crpix: tuple[float, float], turn_deg: float
) -> Header:
    projection = camera.distortion.projection
    scale_deg = camera.scale_arcsec / 3600.0
    cd = _cd(camera, pointing.position_angle_deg + turn_deg)
    radius_px = 0.5 * math.hypot(*camera.extent_px)
    return (
        ("WCSAXES", 2),
        ("CTYPE1", "RA---" + projection),
        ("CTYPE2", "DEC--" + projection),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CRVAL1", pointing.ra_deg),
        ("CRVAL2", pointing.dec_deg),
        ("CRPIX1", crpix[0]),
        ("CRPIX2", crpix[1]),
        ("CD1_1", float(cd[0, 0])),
        ("CD1_2", float(cd[0, 1])),
        ("CD2_1", float(cd[1, 0])),
        ("CD2_2", float(cd[1, 1])),
        ("RADESYS", "ICRS"),
        *camera.distortion.cards(radius_px, scale_deg),
    )


def _cd(camera: CameraSettings, position_angle_deg: float) -> FloatArray:
    # At position angle 0, y is north and x is west (east when mirrored).
    upright = np.diag([-1.0 if camera.east_left else 1.0, 1.0]) * camera.scale_arcsec / 3600.0
    cd: FloatArray = rotation_matrix(position_angle_deg) @ upright
    return cd


def celestial_wcs(header: Header, shape: tuple[int, int]) -> CelestialWcs:
    """Return the WCS that a header says, of a chip of ``(ny, nx)`` pixels."""
    return CelestialWcs(WCS(dict(header)), shape)
