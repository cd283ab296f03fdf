"""Pixels of an exposure with their mask and variance, read into memory."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, read_only
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.exposure import Chip, ChipRef, Exposure, ExposureRef
from alignsvc.errors import DataError
from alignsvc.io.exposure_headers import ChipFacts, ExposureHeader, describe, fingerprint
from alignsvc.io.exposure_planes import OpenFiles, weight_type_of
from alignsvc.io.fits_files import read_flags, read_plane
from alignsvc.io.image_settings import ImageSettings, WeightType
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.reasons import FailureKind


def read_exposure(ref: ExposureRef, settings: ImageSettings) -> Exposure:
    """Read all chips of an exposure.

    Raises
    ------
    DataError
        CHANGED: a file is not the one that was inspected. ALL_MASKED: no chip has a usable
        pixel. MISSING, EMPTY, UNREADABLE, as in `open_fits`.
    """
    with ExitStack() as stack:
        files = OpenFiles(stack)
        if fingerprint(files, ref.chips) != ref.fingerprint:
            raise DataError(
                FailureKind.CHANGED,
                f"exposure {ref.id}: {_paths(ref)} changed after the run was planned; start a "
                "new run, or put the old file back",
            )
        header = _described(files, ref, settings)
        chips = tuple(
            _read_chip(files, chip, wcs, facts, settings)
            for chip, wcs, facts in zip(ref.chips, header.wcs, header.chips, strict=True)
        )
        if all(chip.mask.all() for chip in chips):
            raise DataError(
                FailureKind.ALL_MASKED,
                f"exposure {ref.id}: {_paths(ref)}: {_why_masked(files, ref)}",
            )
    return Exposure(
        ref,
        chips,
        header.exposure_time_s,
        header.flux_scale,
        header.filter_name,
        header.mid_time_mjd,
    )


#: Headers that a process has made sense of: each exposure is read several times in a pass, and to
#: understand its header takes as long as to read its pixels. By what all of it follows from.
_KNOWN: KeptInMemory[tuple[ExposureRef, ImageSettings], ExposureHeader] = KeptInMemory(lambda: 256)


def _described(files: OpenFiles, ref: ExposureRef, settings: ImageSettings) -> ExposureHeader:
    """Return what the headers say; `files` are those that the fingerprint of `ref` is of."""
    known = _KNOWN.find((ref, settings))
    if known is None:
        known = describe(files, ref, settings)
        _KNOWN.keep((ref, settings), known)
    return known


def _read_chip(
    files: OpenFiles, ref: ChipRef, wcs: CelestialWcs, facts: ChipFacts, settings: ImageSettings
) -> Chip:
    pixels = read_plane(files[ref.science.uri], ref.science.hdu)
    mask = ~np.isfinite(pixels)
    saturated = np.zeros(pixels.shape, bool)
    if facts.saturation is not None:
        # An infinite pixel overflowed float32: it is bad, and as bright as can be.
        np.greater_equal(pixels, np.float32(facts.saturation), out=saturated)
        mask |= saturated
    if ref.mask is not None:
        mask |= read_flags(files[ref.mask.uri], ref.mask.hdu, settings.bad_flags)
    variance: Float32Array | None = None
    if ref.weight is not None:
        weights = read_plane(files[ref.weight.uri], ref.weight.hdu)
        variance, no_weight = variance_from(weights, weight_type_of(files, ref.weight, settings))
        mask |= no_weight
    pixels[mask] = 0.0
    return Chip(
        ref.name,
        read_only(pixels),
        None if variance is None else read_only(variance),
        read_only(mask),
        read_only(saturated),
        wcs,
        facts.gain,
    )


def variance_from(weights: Float32Array, weight_type: WeightType) -> tuple[Float32Array, BoolArray]:
    """Return the variance that a weight plane stands for, and where it says a pixel is bad.

    Parameters
    ----------
    weights : float32 array, shape (ny, nx)
    weight_type : WeightType

    Returns
    -------
    variance : float32 array, shape (ny, nx)
        Positive and finite where good, 0 where bad.
    bad : bool array, shape (ny, nx)
        Not finite, not positive, or beyond float32 as a variance.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if weight_type is WeightType.WEIGHT:
            variance = np.float32(1.0) / weights
        elif weight_type is WeightType.RMS:
            variance = np.square(weights)
        else:
            variance = weights.copy()
        bad = ~(np.isfinite(weights) & (weights > 0.0) & np.isfinite(variance) & (variance > 0.0))
    variance[bad] = 0.0
    return variance, bad


def _paths(ref: ExposureRef) -> str:
    planes = [plane for chip in ref.chips for plane in (chip.science, chip.weight, chip.mask)]
    return ", ".join(dict.fromkeys(plane.uri for plane in planes if plane is not None))


def _why_masked(files: OpenFiles, ref: ExposureRef) -> str:
    science = [chip.science for chip in ref.chips]
    if not any(np.isfinite(read_plane(files[s.uri], s.hdu)).any() for s in science):
        return "all pixels are NaN, infinite or blank; leave it out"
    return (
        "all pixels are flagged bad, saturated or without weight; leave it out, or mend "
        "images.mask_bits, images.mask, images.weight or images.saturation"
    )
