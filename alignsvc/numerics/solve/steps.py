"""Between a step of the solver (six small numbers) and a correction."""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane

_IDENTITY = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])


def departure(correction: Correction) -> FloatArray:
    """Return how far a correction is from the identity, in the directions of the six `PARAMETERS`.

    The shift; then ``w (0 1; -1 0)`` for M's rotation w, plus ``R(w)^T M - 1`` for what is not
    rotation. For small departures the parameters minus the identity's; but a rotation, however
    large, departs in rotation alone (its ``cos w`` is no scale).
    """
    return _departed(correction.parameters)


def departure_after(before: FloatArray, step: FloatArray) -> FloatArray:
    """Return the `departure` of a total after a step, to first order in what was before.

    Parameters
    ----------
    before : array, shape (6,)
    step : array, shape (6,)
        Change of the six `PARAMETERS`.
    """
    return np.asarray(before + _departed(_IDENTITY + step), float)


def _departed(parameters: FloatArray) -> FloatArray:
    matrix = parameters[2:].reshape(2, 2)
    angle = math.atan2(matrix[0, 1] - matrix[1, 0], matrix[0, 0] + matrix[1, 1])
    cosine, sine = math.cos(angle), math.sin(angle)
    rest = np.array([[cosine, -sine], [sine, cosine]]) @ matrix - np.eye(2)
    turned = np.array([[0.0, angle], [-angle, 0.0]])
    return np.concatenate([parameters[:2], (rest + turned).ravel()])


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
    whole = Correction.from_parameters(plane, _IDENTITY + step, geometry, covariance)
    return whole.restricted(geometry)


def stepped(
    total: Correction, step: FloatArray, covariance: FloatArray, geometry: Geometry
) -> Correction:
    """Return the total correction after one more step, exactly within `geometry`.

    Parameters
    ----------
    total : Correction
        Of this or another geometry. What a stiffer one cannot express must be undone by the
        step to first order; the rest of it is rounded off here.
    step, covariance, geometry
        As of `step_correction`.
    """
    if geometry is total.geometry:
        return step_correction(total.plane, step, covariance, geometry).after(total)
    whole = Correction.from_parameters(total.plane, _IDENTITY + step, geometry, covariance)
    return whole.after(total).restricted(geometry)
