"""A mosaic's grid as somebody's header describes it."""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import GridAxes, MosaicGrid
from alignsvc.domain.sky_frame import IcrsFrame
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.wcs_headers import image_wcs_from_file

#: Sides of a pixel may differ, and its angle from 90 degrees, by this part: cutouts and shapes
#: are measured as if pixels were square. Resampling programs write square ones to rounding.
_SQUARE = 0.01


def read_grid(path: str, tile_shape: tuple[int, int]) -> MosaicGrid:
    """Return the grid of a FITS image, or of a header kept as text (one card a line).

    Parameters
    ----------
    path : str
    tile_shape : tuple of int
        ``(ny, nx)``; tiles are never larger than the grid.

    Raises
    ------
    ConfigError
        The file cannot be read, has no WCS or no size, or its WCS is not a plain tangent plane
        of square pixels in ICRS.
    """
    try:
        wcs = image_wcs_from_file(path)
    except DataError as error:
        raise ConfigError(str(error)) from error
    if (found := _what_is_not_plain(wcs)) is not None:
        raise ConfigError(
            f"{path}: found {found}; wanted RA---TAN, DEC--TAN in ICRS with square pixels, "
            "LONPOLE 180 and no distortion: give a header like that"
        )
    cd = wcs.terms.cd
    scale_deg = math.sqrt(abs(float(cd[0, 0] * cd[1, 1] - cd[0, 1] * cd[1, 0])))
    (x_east, y_east), (x_north, y_north) = (cd / scale_deg).tolist()
    ny, nx = wcs.shape
    return MosaicGrid(
        0,
        TangentPlane(*wcs.terms.crval),
        scale_deg * 3600.0,
        *wcs.crpix,
        shape=(ny, nx),
        tile_shape=(min(tile_shape[0], ny), min(tile_shape[1], nx)),
        axes=GridAxes(x_east, x_north, y_east, y_north),
    )


def _what_is_not_plain(wcs: CelestialWcs) -> str | None:
    """Return what of a WCS a grid cannot have, None if nothing."""
    terms = wcs.terms
    if wcs.projection != "TAN":
        return f"projection {wcs.projection}"
    if wcs.has_distortion:
        return "a distortion (SIP or look-up tables)"
    if not isinstance(wcs.frame, IcrsFrame):
        return "a frame that is not ICRS"
    if wcs.longitude_axis != 0:
        return "declination as the first axis"
    if terms.lonpole != 180.0 or any(value for _, _, value in terms.pv):
        return f"LONPOLE = {terms.lonpole}, PV = {terms.pv}"
    if not _is_square(terms.cd):
        return f"pixels that are not square (CD = {terms.cd.tolist()})"
    return None


def _is_square(cd: FloatArray) -> bool:
    """Return whether the steps along x and y are as long as each other, and at right angles."""
    across = cd.T @ cd
    area = abs(float(np.linalg.det(cd)))
    return bool(np.abs(across / area - np.eye(2)).max() <= _SQUARE)
