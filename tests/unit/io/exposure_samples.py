"""Small FITS files with a WCS, and short ways to read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

from alignsvc.domain.exposure import Exposure
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings, Sidecar, WeightType

SHAPE = (12, 16)
WCS_CARDS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
    "CRPIX1": 8.0, "CRPIX2": 6.0, "CD1_1": -1e-4, "CD2_2": 1e-4,
}  # fmt: skip
PLAIN = ImageSettings()


def pixels_of(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100.0, 5.0, SHAPE).astype(np.float32)


def image(values: np.ndarray, name: str = "", version: int = 1, **cards: object) -> fits.ImageHDU:
    hdu = fits.ImageHDU(values)
    if name:
        hdu.header["EXTNAME"], hdu.header["EXTVER"] = name, version
    hdu.header.update(WCS_CARDS | cards)
    return hdu


def write(path: Path, *hdus: fits.ImageHDU, **primary: object) -> Path:
    first = fits.PrimaryHDU()
    first.header.update(primary)
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([first, *hdus]).writeto(path)
    return path


def candidate(*paths: Path) -> ExposureCandidate:
    return ExposureCandidate("x", tuple(map(str, paths)))


def inspected(path: Path, settings: ImageSettings = PLAIN) -> ExposureHeader:
    return inspect_exposure(candidate(path), settings)


def loaded(path: Path, settings: ImageSettings = PLAIN) -> Exposure:
    return read_exposure(inspected(path, settings).ref, settings)


def sidecar_settings() -> ImageSettings:
    """Weights of ``a_i.fits`` in ``a_w.fits``."""
    return ImageSettings(weight=Sidecar("_i", "_w"), weight_type=WeightType.WEIGHT)
