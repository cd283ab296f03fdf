"""Exposures of a model fit from FITS files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.exposure import Chip, Exposure
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.numerics.models.modelling.scene_input import SceneExposure
from alignsvc.numerics.sources.meshes import clipped_statistics


def read_scene_exposures(
    path: Path | str, images: ImageSettings | None = None
) -> tuple[SceneExposure, ...]:
    """Return the chips of an exposure; those of one file share its correction and its filter.

    A variance or weight of the file gives the shape of the noise, whose size is measured.

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
    name = str(path)
    return tuple(_scene_exposure(exposure, chip, name) for chip in exposure.chips)


def _scene_exposure(exposure: Exposure, chip: Chip, file: str) -> SceneExposure:
    several = len(exposure.chips) > 1
    return SceneExposure(
        chip.pixels,
        chip.wcs,
        _absolute(chip),
        chip.mask,
        chip.gain,
        band=exposure.filter_name,
        name=f"{file} {chip.name}" if several else file,
        correction=file,
    )


def _absolute(chip: Chip) -> Float32Array | None:
    """Return a chip's variance on the scale of the sky's noise: users' maps are often relative."""
    good = ~chip.mask
    if chip.variance is None or not good.any():
        return chip.variance
    noise = clipped_statistics(chip.pixels[good]).rms
    if not noise > 0:
        return chip.variance
    return chip.variance * np.float32(noise**2 / np.median(chip.variance[good]))
