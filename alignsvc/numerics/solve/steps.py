"""Between a step of the solver (six small numbers) and a correction."""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction, Geometry, rotation_matrix
from alignsvc.domain.geometry import TangentPlane

_IDENTITY = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def departure(correction: Correction) -> FloatArray:
    """Return the six `PARAMETERS` minus those of the identity."""
    return np.asarray(correction.parameters - _IDENTITY, float)


def step_correction(
    plane: TangentPlane, step: FloatArray, covariance: FloatArray, geometry: Geometry
) -> Correction:
    """Return the correction that a step stands for; compose it as ``.after(total)``.

    Parameters
    ----------
    plane : TangentPlane
        The exposure's own, in which the step was solved.
    step : array, shape (6,)
        Change of the six `PARAMETERS`.
    covariance : array, shape (6, 6)
    geometry : Geometry
        That of the solve. A rotation is solved to first order, ``M = 1 + w (0 1; -1 0)``, which
        enlarges by w^2/2; for `rshift` the exact rotation by that angle is returned, so that
        any number of steps stays rigid.
    """
    parameters = _IDENTITY + step
    if geometry is Geometry.RSHIFT:
        angle = math.degrees(math.atan(0.5 * (step[3] - step[4])))
        parameters = np.concatenate([step[:2], rotation_matrix(angle).ravel()])
    return Correction.from_parameters(plane, parameters, geometry, covariance)
