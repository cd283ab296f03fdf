"""How free each exposure is to be: no more than its measurements ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Geometry, stiffest
from alignsvc.numerics.solve.priors import ShapePrior
from alignsvc.numerics.solve.shared_prior import Departures

#: What a correction does beyond a shift, as rows over `PARAMETERS`: what the geometry up to the
#: key adds to the stiffer ones before it.
_ADDS = {
    Geometry.RSHIFT: np.array([[0.0, 0.0, 0.0, 0.5, -0.5, 0.0]]),
    Geometry.RSCALE: np.array([[0.0, 0.0, 0.5, 0.0, 0.0, 0.5]]),
    Geometry.GENERAL: np.array([[0.0, 0, 1, 0, 0, -1], [0, 0, 0, 1, 1, 0]]),
}


@dataclass(frozen=True, slots=True)
class GeometryChoice:
    """Choose the set's geometry, and another for the exposures that speak strongly for one.

    The set gets the stiffest geometry that its measurements do not speak strongly against. An
    exposure departs from it only on strong evidence, either way: where all have small scales, to
    pin those whose own happens to be no larger than its error would cost more than it saves.

    Parameters
    ----------
    odds : float
        Evidence that counts: how much more likely the measurements are. 10 is called strong
        (Jeffreys 1961, Theory of Probability, appendix B).
    sources_per_parameter : float
        Fewer do not carry a geometry: with four stars for six parameters a fit leaves nothing
        from which to tell that a star moves, or is two.

    Notes
    -----
    A stiffer geometry is the freer one with some directions K held at zero. With the prior
    ``K t ~ N(0, S)`` and, in the solution with this prior, ``K t ~ N(m, C)``, the odds of the
    stiffer are the ratio of the two densities at zero (Dickey 1971, Ann. Math. Stat. 42, 204):
    ``2 ln odds = ln |S| - ln |C| - m^T C^-1 m``. The gain of chi2 is weighed against the freedom,
    ``|S| / |C|``: how many different corrections could have been told from each other. All
    other exposures stay as free as they are, with all that they say of this one in C. What a
    component does as a whole is nobody's departure: it is in neither S nor C.

    The evidence of the set is the sum over its exposures, n times the mean, as far as their errors
    are photon noise. What the error floor stands for (stars that move, colours, blends) is the
    same in all exposures of an epoch or a band: of that part they are one witness, not n.
    """

    odds: float = 10.0
    sources_per_parameter: float = 1.5

    def carried_by(self, n_sources: int) -> Geometry:
        """Return the freest geometry that so many sources carry; a shift at least."""
        return max(
            (one for one in Geometry if one is Geometry.SHIFT or n_sources >= self._needed(one)),
            key=lambda one: one.n_parameters,
        )

    def _needed(self, geometry: Geometry) -> float:
        return self.sources_per_parameter * geometry.n_parameters

    def __call__(self, found: Departures, prior: ShapePrior) -> tuple[Geometry, ...]:
        """Return the geometry of each exposure, never freer than that of its departure.

        Parameters
        ----------
        found : Departures
            In a solution with `prior`, each exposure as free as its sources carry.
        prior : ShapePrior
            It `holds` all of their geometries.
        """
        if not len(found.geometries):
            return ()
        spreads = [
            _spread(freest, prior) - common
            for freest, common in zip(found.geometries, found.common, strict=True)
        ]
        evidence, alone = (
            [
                _evidence(value, error, spread, freest)
                for value, error, spread, freest in zip(
                    found.value, covariance, spreads, found.geometries, strict=True
                )
            ]
            for covariance in (found.covariance, found.own_covariance)
        )
        strong, order = math.log(self.odds), list(Geometry)
        n_witnesses = 1.0 + (len(evidence) - 1.0) * (1.0 - found.floor_share)
        of_set = n_witnesses * np.mean(evidence, axis=0)
        usual = order[int(np.argmax(of_set >= of_set.max() - strong))]
        chosen = []
        for weight, by_itself, freest in zip(evidence, alone, found.geometries, strict=True):
            expected = order.index(stiffest((usual, freest)))
            # Two exposures that are each known badly may be known well against each other: only
            # one that stands where it is pinned already can be pinned without the others.
            weight[:expected] = np.minimum(weight, by_itself)[:expected]
            is_strong = weight.max() > weight[expected] + strong
            chosen.append(order[int(np.argmax(weight)) if is_strong else expected])
        return tuple(chosen)


def _evidence(
    value: FloatArray, covariance: FloatArray, spread: FloatArray, freest: Geometry
) -> FloatArray:
    """Return ln odds of each geometry, stiffest first, against `freest`; 0 from that on."""
    evidence = np.zeros(len(Geometry))
    held = np.zeros((0, len(value)))
    geometry = freest
    while geometry is not Geometry.SHIFT:
        held = np.concatenate([held, _ADDS[geometry]])
        geometry = geometry.stiffer
        off, error = held @ value, held @ covariance @ held.T
        freedom = np.linalg.slogdet(held @ spread @ held.T)[1] - np.linalg.slogdet(error)[1]
        odds = 0.5 * float(freedom - off @ np.linalg.solve(error, off))
        evidence[list(Geometry).index(geometry)] = odds
    return evidence


def _spread(geometry: Geometry, prior: ShapePrior) -> FloatArray:
    """Return the covariance that a prior gives the six parameters; 0 for the shifts."""
    free = geometry.basis[:, 2:]
    if not free.shape[1]:
        return np.zeros((6, 6))
    information = free.T @ prior.information(geometry) @ free
    return np.asarray(free @ np.linalg.inv(information) @ free.T, float)
