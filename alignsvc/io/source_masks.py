"""Masks of the sky, as FITS images."""

from __future__ import annotations

from alignsvc.errors import ConfigError, DataError
from alignsvc.io.fits_files import open_fits
from alignsvc.io.fits_planes import read_flags
from alignsvc.io.wcs_headers import celestial_from_header
from alignsvc.numerics.sources.source_mask import SourceMask


def read_source_mask(path: str) -> SourceMask:
    """Return the first plane with a celestial WCS of a FITS file, as a mask.

    Parameters
    ----------
    path : str
        Every value but 0 hides, blank and NaN too.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no plane with a celestial WCS.
    """
    try:
        with open_fits(path) as file:
            planes = [image for image in file.images if image.is_plane]
            if not planes:
                raise ConfigError(
                    f"{path}: no image of two axes; wanted a mask with a celestial WCS, not 0 "
                    "where sources are not to be used"
                )
            plane = planes[0]
            hidden = read_flags(file, plane.index, None)
            read = celestial_from_header(plane.header, file.hdus, hidden.shape)
    except DataError as error:
        where = "" if path in str(error) else f"{path}: "
        raise ConfigError(f"{where}{error}") from error
    return SourceMask(hidden, read.wcs)
