"""Whether anything that a run calls aligned is farther from the truth than its error says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import N_PARAMETERS, Correction
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane, middle_of
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.movement import chip_samples
from alignsvc.simulation.coverage import linear_design
from alignsvc.simulation.truth import ExposureTruth, Truth

#: Points per side of a chip: corners, edges and some between.
_SAMPLES_PER_SIDE = 5
#: Errors beyond this, and beyond so many stated ones, are a false success.
_FALSE_SIGMA, _FALSE_PX = 5.0, 0.02


@dataclass(frozen=True, slots=True)
class FootprintError:
    """The point of an exposure's footprint that is worst in units of its stated error.

    Parameters
    ----------
    exposure : str
    error_px : float
        Distance from the truth there, the gauge removed.
    stated_px : float
        Standard deviation per axis there, by the correction's covariance.
    """

    exposure: str
    error_px: float
    stated_px: float

    @property
    def sigmas(self) -> float:
        """Error over stated error; infinite for an error where none was stated."""
        return self.error_px / self.stated_px if self.stated_px > 0 else math.inf

    @property
    def is_false_success(self) -> bool:
        """Whether the exposure should not have been called aligned."""
        return self.error_px > _FALSE_PX and self.sigmas > _FALSE_SIGMA


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Samples of one exposure's footprint in a common plane, by the truth and as corrected."""

    place: Points
    offset: FloatArray
    scale_arcsec: float


def footprint_errors(
    truth: Truth,
    wcs: Mapping[str, Sequence[CelestialWcs]],
    corrections: Mapping[str, Correction],
    group: Sequence[str],
) -> tuple[FootprintError, ...]:
    """Return the worst point of each exposure of a group that was aligned together.

    Parameters
    ----------
    truth : Truth
    wcs : mapping of exposure id to the corrected CelestialWcs of each chip
    corrections : mapping of exposure id to Correction
        Totals, with covariances.
    group : sequence of str
        Exposure ids of one component: what all have in common is the gauge's.

    Notes
    -----
    The gauge is the common linear map that fits the offsets over all footprints best: no
    comparison of the exposures among themselves can tell it, whatever is free in each. An
    exposure counts by its stated error: one that says it is half a pixel off holds no frame.
    """
    exposures = [e for e in truth.exposures if e.id in set(group)]
    plane = _plane_of(exposures)
    placed = [_placed(exposure, wcs[exposure.id], plane) for exposure in exposures]
    own = [corrections[exposure.id] for exposure in exposures]
    stated = [
        _stated_variance(there, correction, plane)
        for there, correction in zip(placed, own, strict=True)
    ]
    left = _less_common_map(placed, stated)
    return tuple(
        _worst(exposure.id, there, rest, variance)
        for exposure, there, rest, variance in zip(exposures, placed, left, stated, strict=True)
    )


def _samples(exposure: ExposureTruth, wcs: Sequence[CelestialWcs]) -> SkyPoints:
    """Return where `wcs` puts the footprint's samples, chip after chip."""
    each = [
        one.sky_from_pixel(chip_samples(chip.true_wcs.shape, _SAMPLES_PER_SIDE))
        for one, chip in zip(wcs, exposure.chips, strict=True)
    ]
    return SkyPoints(
        np.concatenate([sky.ra for sky in each]), np.concatenate([sky.dec for sky in each])
    )


def _plane_of(exposures: Sequence[ExposureTruth]) -> TangentPlane:
    true = [_samples(e, [chip.true_wcs for chip in e.chips]) for e in exposures]
    middle = middle_of(
        SkyPoints(np.concatenate([s.ra for s in true]), np.concatenate([s.dec for s in true]))
    )
    return TangentPlane(float(middle.ra), float(middle.dec))


def _placed(exposure: ExposureTruth, wcs: Sequence[CelestialWcs], plane: TangentPlane) -> _Placed:
    true_wcs = [chip.true_wcs for chip in exposure.chips]
    true = plane.from_sky(_samples(exposure, true_wcs))
    found = plane.from_sky(_samples(exposure, wcs))
    offset = np.stack([found.x - true.x, found.y - true.y], axis=1)
    return _Placed(true, offset, true_wcs[0].pixel_scale_arcsec)


def _stated_variance(placed: _Placed, correction: Correction, plane: TangentPlane) -> FloatArray:
    """Return the variance per axis at each sample by a correction's covariance, arcsec^2."""
    jacobian = step_jacobian(placed.place, plane, correction.plane)
    variance = np.einsum("kia,ab,kib->k", jacobian, correction.covariance, jacobian) / 2.0
    stated: FloatArray = np.maximum(variance, 0.0)
    return stated


def _less_common_map(placed: Sequence[_Placed], stated: Sequence[FloatArray]) -> list[FloatArray]:
    reach = max(float(np.hypot(one.place.x, one.place.y).max()) for one in placed)
    designs = [linear_design(Points(one.place.x / reach, one.place.y / reach)) for one in placed]
    # Errors too small to matter are all alike, as a reference, which states none, is no exception.
    least = [(_FALSE_PX / _FALSE_SIGMA * one.scale_arcsec) ** 2 for one in placed]
    weight = [
        1.0 / np.sqrt(float(variance.mean()) + small)
        for variance, small in zip(stated, least, strict=True)
    ]
    rows = np.concatenate(
        [w * design.reshape(-1, N_PARAMETERS) for w, design in zip(weight, designs, strict=True)]
    )
    data = np.concatenate([w * one.offset.ravel() for w, one in zip(weight, placed, strict=True)])
    common = np.linalg.lstsq(rows, data)[0]
    return [one.offset - design @ common for one, design in zip(placed, designs, strict=True)]


def _worst(name: str, placed: _Placed, left: FloatArray, variance: FloatArray) -> FootprintError:
    error_px = np.hypot(left[:, 0], left[:, 1]) / placed.scale_arcsec
    stated_px = np.sqrt(variance) / placed.scale_arcsec
    with np.errstate(divide="ignore", invalid="ignore"):
        sigmas = np.where(error_px > _FALSE_PX, error_px / stated_px, 0.0)
    # Where no error is large enough to matter, the largest.
    k = int(sigmas.argmax() if sigmas.any() else error_px.argmax())
    return FootprintError(name, float(error_px[k]), float(stated_px[k]))
