"""The joint Cramér-Rao bound: how well the exposures could be aligned at best.

Every source position is unknown. The pixels of exposure i tell the position of source s with
information ``A_is`` (2 x 2, see `fisher`); the position is ``q_s + B_is theta_i``, where
``theta_i`` corrects the exposure. The information on all ``theta``, with the ``q_s``
eliminated (Schur complement), is

    N_ij = delta_ij sum_s B_i' A_i B_i  -  sum_s B_i' A_i (sum_k A_k)^-1 A_j B_j.

Its null space is the gauge: one common map. Its pseudo-inverse is the covariance of the best
unbiased estimator in the gauge that it implies, and the covariance of everything, such as
differences between exposures, on which the gauge has no influence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.simulation.coverage import CoveredPoints, linear_design
from alignsvc.simulation.fisher import PositionInformation, position_information
from alignsvc.simulation.truth import Truth

_GENERAL = Geometry.GENERAL.basis


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What one exposure knows of the places of sources in the common plane.

    Parameters
    ----------
    source : int64, shape (n,)
        Number of the source, shared between exposures; each at most once.
    place : Points
        arcsec in the common plane.
    information : float64, shape (n, 2, 2)
        arcsec^-2, of (east, north).
    """

    source: IntArray
    place: Points
    information: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class JointCovariance:
    """The covariance of all corrections that no unbiased estimator can beat.

    Parameters
    ----------
    geometry : Geometry
    centre : float64, shape (exposures, 2)
        Where the coordinates of each exposure's linear map begin, arcsec.
    reach_arcsec : float
        Unit of those coordinates.
    covariance : float64, shape (exposures * p, exposures * p)
        Of the p free parameters of each exposure; in the gauge of the pseudo-inverse.
    """

    geometry: Geometry
    centre: FloatArray
    reach_arcsec: float
    covariance: FloatArray

    def design(self, exposure: IntArray, place: Points) -> FloatArray:
        """Return d(offset)/d(parameters), shape (n, 2, exposures * p), arcsec."""
        own = self.own_design(exposure, place)
        n, p = len(exposure), self.geometry.n_parameters
        whole = np.zeros((n, 2, len(self.centre), p))
        whole[np.arange(n), :, exposure, :] = own
        return whole.reshape(n, 2, -1)

    def own_design(self, exposure: IntArray, place: Points) -> FloatArray:
        """Return d(offset)/d(parameters of the row's own exposure), shape (n, 2, p), arcsec."""
        x = (place.x - self.centre[exposure, 0]) / self.reach_arcsec
        y = (place.y - self.centre[exposure, 1]) / self.reach_arcsec
        design: FloatArray = linear_design(Points(x, y)) @ self.geometry.basis
        return design


@dataclass(frozen=True, slots=True)
class Bound:
    """Sums that make the bound on a root mean square: ``sqrt(sum / count)``, per axis, px.

    Parameters
    ----------
    local_px2, affine_px2 : float
        Expected sum of squares; NaN where the sources do not determine the geometry.
    count : int
        Numbers summed: two for each point and exposure.
    """

    local_px2: float
    affine_px2: float
    count: int


def bound(truth: Truth, covered: CoveredPoints, geometry: Geometry) -> Bound:
    """Return the least sum of squares of the residual field on `covered`."""
    sightings = [_sighting(truth, k, covered.plane) for k in covered.exposures]
    count = 2 * len(covered)
    joint = joint_covariance(sightings, geometry)
    if joint is None:
        return Bound(math.nan, math.nan, count)
    field = joint.design(covered.exposure, covered.place)
    scale = covered.scale_arcsec[:, None, None]
    local = covered.less_local_mean(field) / scale
    affine = covered.less_common_map(field, _GENERAL) / scale
    return Bound(_trace(local, joint.covariance), _trace(affine, joint.covariance), count)


def _trace(field: FloatArray, covariance: FloatArray) -> float:
    columns = field.reshape(-1, field.shape[-1])
    # trace(F C F') = sum of the elements of (F' F) * C.
    return float(((columns.T @ columns) * covariance).sum())


def joint_covariance(sightings: Sequence[Sighting], geometry: Geometry) -> JointCovariance | None:
    """Return the covariance of all corrections; None if the sources do not determine them."""
    if any(len(sighting.source) == 0 for sighting in sightings):
        return None
    centre = np.array([[s.place.x.mean(), s.place.y.mean()] for s in sightings])
    reach = max(
        float(np.hypot(s.place.x - c[0], s.place.y - c[1]).max(initial=1e-3))
        for s, c in zip(sightings, centre, strict=True)
    )
    p = geometry.n_parameters
    size = len(sightings) * p
    blank = JointCovariance(geometry, centre, reach, np.zeros((size, size)))
    normal, gauge = _normal_matrix(sightings, blank), _gauge(sightings, blank)
    unit = float(np.trace(normal)) / size
    values, vectors = np.linalg.eigh(normal / unit + gauge @ gauge.T)
    if values[0] < 1e-11:
        return None
    inverse = (vectors / values) @ vectors.T - gauge @ gauge.T
    return JointCovariance(geometry, centre, reach, inverse / unit)


def _normal_matrix(sightings: Sequence[Sighting], blank: JointCovariance) -> FloatArray:
    p = blank.geometry.n_parameters
    sources, slots = np.unique(np.concatenate([s.source for s in sightings]), return_inverse=True)
    ends = np.cumsum([len(s.source) for s in sightings])
    own = np.split(slots, ends[:-1])
    total = np.zeros((len(sources), 2, 2))
    for sighting, slot in zip(sightings, own, strict=True):
        total[slot] += sighting.information
    root = np.linalg.cholesky(np.linalg.inv(total))
    normal = np.zeros((len(sightings) * p,) * 2)
    coupled = np.zeros((len(sightings) * p, 2 * len(sources)))
    for i, (sighting, slot) in enumerate(zip(sightings, own, strict=True)):
        design = blank.own_design(np.full(len(slot), i), sighting.place)
        weighted = sighting.information @ design
        block = slice(i * p, (i + 1) * p)
        normal[block, block] = np.einsum("nap,naq->pq", design, weighted)
        # N = diag - G G', the rows of G being B' A R with R R' the inverse of sum A.
        part = np.swapaxes(weighted, 1, 2) @ root[slot]
        coupled[block].reshape(p, len(sources), 2)[:, slot, :] = np.swapaxes(part, 0, 1)
    rest: FloatArray = normal - coupled @ coupled.T
    return rest


def _gauge(sightings: Sequence[Sighting], blank: JointCovariance) -> FloatArray:
    """Return orthonormal columns: the corrections that are one common map.

    A map M about the common origin is the same M about an exposure's own centre c, and a
    shift by (M - 1) c.
    """
    n, p = len(sightings), blank.geometry.n_parameters
    basis = blank.geometry.basis
    columns = np.zeros((n, p, p))
    for i in range(n):
        about_centre = np.eye(6)
        about_centre[:2] = linear_design(Points(*(blank.centre[i : i + 1].T / blank.reach_arcsec)))[
            0
        ]
        # The change of basis stays within the geometry's own directions: exact.
        columns[i] = np.linalg.pinv(basis) @ about_centre @ basis
    orthonormal, _ = np.linalg.qr(columns.reshape(n * p, p))
    return orthonormal


def _sighting(truth: Truth, index: int, plane: TangentPlane) -> Sighting:
    """Return the information of all chips of an exposure, in the plane's arcsec."""
    exposure = truth.exposures[index]
    parts = []
    for chip in exposure.chips:
        found = position_information(truth.sources, exposure, chip)
        parts.append(_on_plane(found, chip.true_wcs, plane))
    source = np.concatenate([part.source for part in parts])
    # A source on two chips at once (chips do not overlap, but for rounding) counts on one.
    _, first = np.unique(source, return_index=True)
    x = np.concatenate([part.place.x for part in parts])[first]
    y = np.concatenate([part.place.y for part in parts])[first]
    information = np.concatenate([part.information for part in parts])[first]
    return Sighting(source[first], Points(x, y), information)


def _on_plane(found: PositionInformation, wcs: CelestialWcs, plane: TangentPlane) -> Sighting:
    pixel = found.pixel
    columns = []
    for dx, dy in ((0.5, 0.0), (0.0, 0.5)):
        ahead = plane.from_sky(wcs.sky_from_pixel(Points(pixel.x + dx, pixel.y + dy)))
        behind = plane.from_sky(wcs.sky_from_pixel(Points(pixel.x - dx, pixel.y - dy)))
        columns.append(np.stack([ahead.x - behind.x, ahead.y - behind.y], axis=-1))
    inverse = np.linalg.inv(np.stack(columns, axis=-1))
    information = np.swapaxes(inverse, 1, 2) @ found.information @ inverse
    place = plane.from_sky(wcs.sky_from_pixel(pixel))
    return Sighting(found.index, place, information)
