"""Whether the errors that a run states are right: true error over stated error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points
from alignsvc.simulation.coverage import CoveredPoints, linear_design


@dataclass(frozen=True, slots=True)
class Pulls:
    """Errors of corrections in units of their stated standard deviations: 1 if honest.

    Parameters
    ----------
    rms : float
        Of all parameters that were fitted, one by one.
    shift_rms : float
        Of the two shifts only.
    chi2_per_parameter : float
        With the full covariance of each exposure (but none between exposures).
    largest : float
        The largest single one.
    n : int
        Parameters that take part.
    """

    rms: float
    shift_rms: float
    chi2_per_parameter: float
    largest: float
    n: int


def pulls_of(
    fields: Sequence[tuple[CoveredPoints, FloatArray]],
    ids: Sequence[str],
    corrections: Mapping[str, Correction],
) -> Pulls:
    """Return the pulls of corrections.

    Parameters
    ----------
    fields : sequence of (CoveredPoints, float64 of shape (n, 2))
        Offsets from the truth that the corrected WCS leave, arcsec, by component.
    ids : sequence of str
        Of the simulation's exposures, in order.
    corrections : mapping of exposure id to Correction

    Notes
    -----
    The gauge is not known to the data: the common map of the geometry that fits the field
    best is removed first. The run's own gauge is the mean of its corrections, which is the
    same to within the error of that mean, a part 1/N of the variance.
    """
    single: list[float] = []
    shift: list[float] = []
    chi2, rank = 0.0, 0
    for covered, field in fields:
        for place, k in enumerate(covered.exposures):
            correction = corrections.get(ids[k])
            if correction is None:
                continue
            rest = covered.less_common_map(field, correction.geometry.basis)
            rows = np.flatnonzero(covered.exposure == place)
            error = _parameter_error(covered, rows, rest[rows], correction)
            sigma = np.sqrt(np.diag(correction.covariance))
            fitted = sigma > 0.0
            pull = error[fitted] / sigma[fitted]
            single += pull.tolist()
            shift += (error[:2] / sigma[:2]).tolist() if fitted[:2].all() else []
            free = correction.geometry.n_parameters
            chi2 += _chi2(error, correction)
            rank += free
    pull_all = np.array(single)
    return Pulls(
        rms=_rms(pull_all),
        shift_rms=_rms(np.array(shift)),
        chi2_per_parameter=chi2 / rank if rank else math.nan,
        largest=float(np.abs(pull_all).max()) if len(single) else math.nan,
        n=len(single),
    )


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else math.nan


def _chi2(error: FloatArray, correction: Correction) -> float:
    # In the geometry's own directions, where the covariance has an inverse.
    inward = np.linalg.pinv(correction.geometry.basis)
    own = inward @ error
    covariance = inward @ correction.covariance @ inward.T
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    scaled = covariance / np.outer(scale, scale)
    return float((own / scale) @ np.linalg.pinv(scaled, hermitian=True) @ (own / scale))


def _parameter_error(
    covered: CoveredPoints, rows: IntArray, rest: FloatArray, correction: Correction
) -> FloatArray:
    """Return the six parameters, about the correction's tangent point, of what is left."""
    place = Points(covered.place.x[rows], covered.place.y[rows])
    moved = Points(place.x + rest[:, 0], place.y + rest[:, 1])
    # From the common plane to the exposure's own: at a pole their axes differ by any angle.
    true = correction.plane.from_sky(covered.plane.to_sky(place))
    found = correction.plane.from_sky(covered.plane.to_sky(moved))
    reach = float(np.hypot(true.x, true.y).max()) or 1.0
    unit = np.array([1.0, 1.0, reach, reach, reach, reach])
    basis = correction.geometry.basis
    design = linear_design(true) / unit @ basis
    target = np.stack([found.x - true.x, found.y - true.y], axis=-1)
    own, *_ = np.linalg.lstsq(design.reshape(-1, basis.shape[1]), target.ravel(), rcond=1e-12)
    error: FloatArray = (basis @ own) / unit
    return error
