"""How far the set's own corrections stray from the identity: a prior that nobody must know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Geometry
from alignsvc.numerics.solve.priors import Shape, ShapePrior

#: Where the estimate begins: wider than any header is wrong, so that the data speak alone.
_WIDE_DEG, _WIDE_SCALE = 5.0, 0.1
#: Least deviation, in units of the median error that an exposure's own sources would leave
#: against a perfect mosaic: a prior as narrow as that pins, and a narrower one changes nothing.
_LEAST = 0.1
#: Part by which two deviations may differ and still be the same.
_SAME = 0.02
#: Steps of the search for one deviation: each at least halves what is wrong.
_N_HALVINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Departures:
    """Totals of the exposures that move, as a solution with a prior has them.

    What all exposures of a component do together is known by the prior alone: it is told apart.

    Parameters
    ----------
    value : array, shape (n, 6)
        From the identity.
    covariance, common, own_covariance : array, shape (n, 6, 6)
        Of departures from the component's common motion; of that motion; and what the
        exposure's own sources would leave against a perfect mosaic.
    geometries : sequence of Geometry, length n
    floor_share : float
        Part of the errors' variance that is the floor's, 0 to 1.
    """

    value: FloatArray
    covariance: FloatArray
    common: FloatArray
    own_covariance: FloatArray
    geometries: Sequence[Geometry]
    floor_share: float


@dataclass(frozen=True, slots=True)
class SharedPrior:
    """Estimate the deviations of a `ShapePrior` from the scatter of the exposures' totals.

    Parameters
    ----------
    shapes : frozenset of Shape
        Which deviations are shared by the set; the others stay as they are.

    Notes
    -----
    Empirical Bayes. The deviation s that makes the measurements most likely solves
    ``s^2 = sum m^2 / sum (1 - C / s^2)``, with m and C the totals and their variances in the
    solution that has this very prior; the denominator counts the numbers that the data, not
    the prior, determine (MacKay 1992, Neural Computation 4, 415, eq. 4.10), so that what the
    gauge takes away is not counted. Plain iteration creeps where s is small. So a total is
    taken apart into what the data alone say, ``x = m (s^2 + V) / s^2`` with
    ``V = 1 / (1 / C - 1 / s^2)``, and s is found for ``x ~ N(0, s^2 + V)``: the fixed point is
    the same, and a few solutions reach it.
    """

    shapes: frozenset[Shape] = frozenset()

    def start(self, given: ShapePrior) -> ShapePrior:
        """Return the prior to begin with: `given`, and hardly any where it is to be found."""
        for shape in sorted(self.shapes):
            wide = _WIDE_SCALE if shape is Shape.SCALE else math.radians(_WIDE_DEG)
            given = given.having(shape, wide)
        return given

    def refined(self, prior: ShapePrior, found: Departures) -> ShapePrior:
        """Return the prior that a solution with `prior` suggests."""
        for shape in sorted(self.shapes):
            now = prior.deviation(shape)
            numbers = _numbers(shape, found)
            if now is None or not len(numbers.total):
                continue
            least = _LEAST * math.sqrt(float(np.median(numbers.own)))
            prior = prior.having(shape, max(least, _deviation(numbers, now)))
        return prior

    def agrees(self, one: ShapePrior, other: ShapePrior) -> bool:
        """Return whether two priors are the same as far as it matters, to 2 %."""
        pairs = [(one.deviation(shape), other.deviation(shape)) for shape in sorted(self.shapes)]
        return all(a == b or (a and b and abs(a / b - 1.0) < _SAME) for a, b in pairs)

    def widened(self, prior: ShapePrior, found: Departures) -> ShapePrior:
        """Return the prior to use, from one that was found.

        The rms of n numbers scatters by ``1 / sqrt(2 n)`` of itself. Few exposures that happen
        to agree must not be held together by it: the variance is taken two of its errors and
        more too large, by ``1 + 4 / n``.
        """
        for shape in sorted(self.shapes):
            now = prior.deviation(shape)
            n = len(_numbers(shape, found).total)
            if now is not None and n:
                prior = prior.having(shape, now * math.sqrt(1.0 + 4.0 / n))
        return prior


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """All totals in the directions of a shape, and their variances as in `Departures`."""

    total: FloatArray
    variance: FloatArray
    common: FloatArray
    own: FloatArray


def _numbers(shape: Shape, found: Departures) -> _Numbers:
    rows = [shape.directions(geometry) for geometry in found.geometries]

    def along(covariances: FloatArray) -> FloatArray:
        each = [np.diagonal(k @ c @ k.T) for k, c in zip(rows, covariances, strict=True)]
        return np.concatenate([np.zeros(0), *each])

    total = [k @ value for k, value in zip(rows, found.value, strict=True)]
    return _Numbers(
        np.concatenate([np.zeros(0), *total]),
        along(found.covariance),
        along(found.common),
        along(found.own_covariance),
    )


def _deviation(numbers: _Numbers, now: float) -> float:
    """Return the most likely deviation for what the data alone say; 0 if noise explains it.

    Of each number the part `share` of the prior's variance is its own, the rest the mean's.
    """
    share = 1.0 - numbers.common / now**2
    prior = share * now**2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = 1.0 / numbers.variance - 1.0 / prior  # information of the data
    told = (share > 1e-9) & (left > 1e-9 / now**2)
    if not told.any():
        return now
    noise, share = 1.0 / left[told], share[told]
    value = numbers.total[told] * (1.0 + noise / prior[told])
    low, high = 0.0, float((np.abs(value) / np.sqrt(share)).max())
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (low + high)
        spread = share * middle**2 + noise
        # The derivative of the likelihood: positive where a wider prior is more likely.
        wider = float((share * (value**2 / spread**2 - 1.0 / spread)).sum()) > 0
        low, high = (middle, high) if wider else (low, middle)
    return high
