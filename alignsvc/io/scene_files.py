"""Exposures of a model fit from FITS files."""

from __future__ import annotations

from pathlib import Path

from alignsvc.domain.exposure import Chip, Exposure
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.numerics.models.scene_input import SceneExposure


def read_scene_exposures(
    path: Path | str, images: ImageSettings | None = None
) -> tuple[SceneExposure, ...]:
    """Return the chips of an exposure; those of one file share its correction and its filter.

    Parameters
    ----------
    path : Path or str
        A FITS file.
    images : ImageSettings or None
        Which HDU is what; None: what headers say by themselves.

    Raises
    ------
    ConfigError
        The path names no file, or several exposures.
    DataError
        The file cannot be used.
    """
    images = images or ImageSettings()
    found = find_exposures((str(path),), images)
    if found.failed:
        raise DataError(found.failed[0].kind, found.failed[0].message)
    if len(found.candidates) != 1:
        raise ConfigError(f"scene: {path} names {len(found.candidates)} exposures, wanted one file")
    header = inspect_exposure(found.candidates[0], images)
    exposure = read_exposure(header.ref, images)
    name = Path(path).name
    return tuple(_scene_exposure(exposure, chip, name) for chip in exposure.chips)


def _scene_exposure(exposure: Exposure, chip: Chip, file: str) -> SceneExposure:
    several = len(exposure.chips) > 1
    return SceneExposure(
        chip.pixels,
        chip.wcs,
        chip.variance,
        chip.mask,
        chip.gain,
        band=exposure.filter_name,
        name=f"{file} {chip.name}" if several else file,
        correction=file,
    )
