"""Pixels of an exposure with their mask and variance, read into memory."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, read_only
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.exposure import Chip, ChipRows, Exposure, ExposureRef
from alignsvc.errors import DataError
from alignsvc.io.exposure_headers import ExposureHeader, describe, fingerprint
from alignsvc.io.exposure_planes import OpenFiles, weight_type_of
from alignsvc.io.fits_planes import Plane, read_flags, read_plane
from alignsvc.io.image_settings import ImageSettings, WeightType
from alignsvc.io.inputs_ahead import inputs_ahead
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.numerics.resampling.bad_pixels import mark_bad
from alignsvc.reasons import FailureKind

#: Rows worked on at once: they stay in the processor's cache.
_ROWS = 32


@dataclass(frozen=True, slots=True, eq=False)
class OpenChip:
    """A chip of an open exposure: a `ChipInRows`.

    Parameters
    ----------
    name, wcs, gain, variance
        As of a `Chip`.
    plane : Plane
        Of the science pixels.
    saturation : float or None
        Pixels as bright as that are saturated.
    also_bad : bool array or None
        What mask and weight planes say.
    """

    name: str
    wcs: CelestialWcs
    gain: float | None
    variance: Float32Array | None
    plane: Plane
    saturation: float | None
    also_bad: BoolArray | None

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = self.plane.raw.shape
        return ny, nx

    def rows_into(self, y0: int, out: ChipRows) -> None:
        """Fill `out` with as many rows from `y0` on as it has."""
        self.plane.rows_into(y0, out.pixels)
        bad = None if self.also_bad is None else self.also_bad[y0 : y0 + len(out.pixels)]
        mark_bad(out, self.saturation, bad)

    def read(self) -> Chip:
        """Return the chip in memory."""
        planes = ChipRows.empty(self.shape)
        for y0 in range(0, self.shape[0], _ROWS):
            self.rows_into(y0, planes.part(slice(y0, y0 + _ROWS)))
        pixels, mask, saturated = (read_only(plane) for plane in planes)
        variance = None if self.variance is None else read_only(self.variance)
        return Chip(self.name, pixels, variance, mask, saturated, self.wcs, self.gain)


@dataclass(frozen=True, slots=True, eq=False)
class OpenExposure:
    """An exposure whose files are open and are those that were inspected.

    Parameters
    ----------
    ref : ExposureRef
    files : OpenFiles
    header : ExposureHeader
    settings : ImageSettings
    """

    ref: ExposureRef
    files: OpenFiles
    header: ExposureHeader
    settings: ImageSettings

    def chip(self, index: int) -> OpenChip:
        """Return a chip, by its index; its weight and mask planes are read, its pixels are not."""
        ref, facts = self.ref.chips[index], self.header.chips[index]
        variance, bad = None, None
        if ref.mask is not None:
            bad = read_flags(self.files[ref.mask.uri], ref.mask.hdu, self.settings.bad_flags)
        if ref.weight is not None:
            weights = read_plane(self.files[ref.weight.uri], ref.weight.hdu)
            weight_type = weight_type_of(self.files, ref.weight, self.settings)
            variance, no_weight = variance_from(weights, weight_type)
            bad = no_weight if bad is None else bad | no_weight
        science = Plane.of(self.files[ref.science.uri], ref.science.hdu)
        wcs = self.header.wcs[index]
        return OpenChip(ref.name, wcs, facts.gain, variance, science, facts.saturation, bad)

    def chips(self, indices: Sequence[int]) -> Iterator[OpenChip]:
        """Yield chips by their indices; what lies far away is on its way while one is worked on.

        That is the next chip; when the last one is there, the exposure that comes next.
        """
        self._ask_for(indices[:1])
        for k, index in enumerate(indices):
            chip = self.chip(index)
            self._ask_for(indices[k + 1 : k + 2])
            if k + 1 == len(indices):
                inputs_ahead().go_on()
            yield chip

    def _ask_for(self, indices: Sequence[int]) -> None:
        """Begin to read all planes of chips that lie far away, in the order of `chip`."""
        for plane in [one for index in indices for one in reversed(self.ref.chips[index].planes)]:
            self.files[plane.uri].ask_for(plane.hdu)

    def read(self) -> Exposure:
        """Return the exposure with all of its chips in memory.

        Raises
        ------
        DataError
            ALL_MASKED: no chip has a usable pixel.
        """
        chips = tuple(chip.read() for chip in self.chips(range(len(self.ref.chips))))
        if all(chip.mask.all() for chip in chips):
            raise DataError(
                FailureKind.ALL_MASKED,
                f"exposure {self.ref.id}: {_paths(self.ref)}: {_why_masked(self.files, self.ref)}",
            )
        header = self.header
        return Exposure(
            self.ref,
            chips,
            header.exposure_time_s,
            header.flux_scale,
            header.filter_name,
            header.mid_time_mjd,
        )


@contextmanager
def opened_exposure(ref: ExposureRef, settings: ImageSettings) -> Iterator[OpenExposure]:
    """Open the files of an exposure.

    Raises
    ------
    DataError
        CHANGED: a file is not the one that was inspected. MISSING, EMPTY, UNREADABLE, as in
        `open_fits`.
    """
    with ExitStack() as stack:
        files = OpenFiles(stack)
        if fingerprint(files, ref.chips) != ref.fingerprint:
            raise DataError(
                FailureKind.CHANGED,
                f"exposure {ref.id}: {_paths(ref)} changed after the run was planned; start a "
                "new run, or put the old file back",
            )
        yield OpenExposure(ref, files, _described(files, ref, settings), settings)


def read_exposure(ref: ExposureRef, settings: ImageSettings) -> Exposure:
    """Read all chips of an exposure; errors as of `opened_exposure` and of `OpenExposure.read`."""
    with opened_exposure(ref, settings) as opened:
        return opened.read()


#: Bytes of the headers that a process keeps: of 8000 chips, if their distortions are polynomials.
_MOST_BYTES = 32e6
#: A header takes up to five times the bytes in memory that it has as a message, as its numbers are
#: objects; tables of distortions, which are most of those that have them, take as many.
_OBJECTS_PER_BYTE = 5.0
#: Headers that a process has made sense of: each exposure is read several times in a pass, and to
#: understand its header takes as long as to read its pixels. By what all of it follows from.
_KNOWN: KeptInMemory[tuple[ExposureRef, ImageSettings], ExposureHeader] = KeptInMemory(
    lambda: _MOST_BYTES
)


def _described(files: OpenFiles, ref: ExposureRef, settings: ImageSettings) -> ExposureHeader:
    """Return what the headers say; `files` are those that the fingerprint of `ref` is of."""
    known = _KNOWN.find((ref, settings))
    if known is None:
        known = describe(files, ref, settings)
        _KNOWN.keep((ref, settings), known, _OBJECTS_PER_BYTE * len(pickle.dumps(known)))
    return known


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
    return ", ".join(dict.fromkeys(plane.uri for chip in ref.chips for plane in chip.planes))


def _why_masked(files: OpenFiles, ref: ExposureRef) -> str:
    science = [chip.science for chip in ref.chips]
    if not any(np.isfinite(read_plane(files[s.uri], s.hdu)).any() for s in science):
        return "all pixels are NaN, infinite or blank; leave it out"
    return (
        "all pixels are flagged bad, saturated or without weight; leave it out, or mend "
        "images.mask_bits, images.mask, images.weight or images.saturation"
    )
