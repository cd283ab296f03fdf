"""The joint Cramér-Rao bound: how well the exposures could be aligned at best.

Every source position is unknown. The pixels of exposure i tell the position of source s with
information ``A_is`` (2 x 2, see `fisher`); the position is ``q_s + B_is theta_i``, where
``theta_i`` corrects the exposure. The information on all ``theta``, with the ``q_s``
eliminated (Schur complement), is

    N_ij = delta_ij sum_s B_i' A_i B_i  -  sum_s B_i' A_i (sum_k A_k)^-1 A_j B_j.

Its null space is the gauge: one common map. Its pseudo-inverse is the covariance of the best
unbiased estimator in the gauge that it implies, and the covariance of everything, such as
differences between exposures, on which the gauge has no influence.

Where chips have offsets of their own, common to all exposures, those are more columns of B. What
of them no source tells (see `numerics.solve.chip_offsets`) counts as known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.simulation.coverage import CoveredPoints, linear_design
from alignsvc.simulation.fisher import PositionInformation, position_information
from alignsvc.simulation.truth import ChipTruth, Truth

_GENERAL = Geometry.GENERAL.basis
#: Eigenvalues below this part of the largest are of directions that no source tells of.
_LEAST_TOLD = 1e-10


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
    chips : float64, shape (n, 2, 2 n_chips)
        d(place) / d(offsets of the chips, px); left out, chips have none, and no columns.
    """

    source: IntArray
    place: Points
    information: FloatArray
    chips: FloatArray = field(default_factory=lambda: np.zeros((0, 2, 0)))

    def __post_init__(self) -> None:
        if not len(self.chips):
            object.__setattr__(self, "chips", np.zeros((len(self.source), 2, 0)))


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
    covariance : float64, shape (exposures * p + 2 n_chips,) * 2
        Of the p free parameters of each exposure, and of the offsets of chips that have some;
        in the gauge of the pseudo-inverse.
    """

    geometry: Geometry
    centre: FloatArray
    reach_arcsec: float
    covariance: FloatArray

    def design(self, exposure: IntArray, place: Points) -> FloatArray:
        """Return d(offset)/d(parameters of exposures), shape (n, 2, exposures * p), arcsec."""
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
    local_px4 : float
        Half of the variance of the local sum of squares, if errors are normal.
    count : int
        Numbers summed: two for each point and exposure.
    """

    local_px2: float
    affine_px2: float
    local_px4: float
    count: int


def bound(
    truth: Truth, covered: CoveredPoints, geometry: Geometry, *, chip_offsets: bool = False
) -> Bound:
    """Return the least sum of squares of the residual field on `covered`.

    Parameters
    ----------
    truth : Truth
    covered : CoveredPoints
    geometry : Geometry
        What is free in each exposure.
    chip_offsets : bool
        Whether each chip has an offset besides, common to all exposures.
    """
    sightings = [
        _sighting(truth, k, covered.plane, chip_offsets=chip_offsets) for k in covered.exposures
    ]
    count = 2 * len(covered)
    joint = joint_covariance(sightings, geometry)
    if joint is None:
        return Bound(math.nan, math.nan, math.nan, count)
    design = joint.design(covered.exposure, covered.place)
    if chip_offsets:
        design = np.concatenate([design, _chips_of_points(truth, covered)], axis=2)
    scale = covered.scale_arcsec[:, None, None]
    local = covered.less_local_mean(design) / scale
    affine = covered.less_common_map(design, _GENERAL) / scale
    of_local, of_affine = _spread(local, joint.covariance), _spread(affine, joint.covariance)
    # A sum of squares of normal errors, e' F' F e, has the mean tr(S) and the variance 2 tr(S^2).
    local_px4 = float((of_local * of_local.T).sum())
    return Bound(float(np.trace(of_local)), float(np.trace(of_affine)), local_px4, count)


def _spread(field: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return S = F' F C of a field F e, where C is the covariance of e."""
    columns = field.reshape(-1, field.shape[-1])
    spread: FloatArray = (columns.T @ columns) @ covariance
    return spread


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
    n_chip_columns = sightings[0].chips.shape[2]
    size = len(sightings) * p + n_chip_columns
    blank = JointCovariance(geometry, centre, reach, np.zeros((size, size)))
    normal, gauge = _normal_matrix(sightings, blank), _gauge(sightings, blank)
    if n_chip_columns:
        covariance = _pseudo_inverse(normal)
        return JointCovariance(geometry, centre, reach, covariance)
    unit = float(np.trace(normal)) / size
    values, vectors = np.linalg.eigh(normal / unit + gauge @ gauge.T)
    if values[0] < 1e-11:
        return None
    inverse = (vectors / values) @ vectors.T - gauge @ gauge.T
    return JointCovariance(geometry, centre, reach, inverse / unit)


def _pseudo_inverse(normal: FloatArray) -> FloatArray:
    """Return the inverse of what is told."""
    values, vectors = np.linalg.eigh(normal)
    told = values > _LEAST_TOLD * values[-1]
    directions = vectors[:, told]
    inverse: FloatArray = (directions / values[told]) @ directions.T
    return inverse


def _normal_matrix(sightings: Sequence[Sighting], blank: JointCovariance) -> FloatArray:
    p = blank.geometry.n_parameters
    sources, slots = np.unique(np.concatenate([s.source for s in sightings]), return_inverse=True)
    ends = np.cumsum([len(s.source) for s in sightings])
    own = np.split(slots, ends[:-1])
    total = np.zeros((len(sources), 2, 2))
    for sighting, slot in zip(sightings, own, strict=True):
        total[slot] += sighting.information
    root = np.linalg.cholesky(np.linalg.inv(total))
    size = len(blank.covariance)
    normal, coupled = np.zeros((size, size)), np.zeros((size, 2 * len(sources)))
    of_chips = np.arange(len(sightings) * p, size)
    for i, (sighting, slot) in enumerate(zip(sightings, own, strict=True)):
        design = blank.own_design(np.full(len(slot), i), sighting.place)
        design = np.concatenate([design, sighting.chips], axis=2)
        weighted = sighting.information @ design
        columns = np.concatenate([np.arange(i * p, (i + 1) * p), of_chips])
        normal[np.ix_(columns, columns)] += np.einsum("nap,naq->pq", design, weighted)
        # N = diag - G G', the rows of G being B' A R with R R' the inverse of sum A.
        part = np.swapaxes(np.swapaxes(weighted, 1, 2) @ root[slot], 0, 1)
        by_source = coupled.reshape(size, len(sources), 2)
        by_source[columns[:, None], slot] += part
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


def _chips_of_points(truth: Truth, covered: CoveredPoints) -> FloatArray:
    """Return d(offset of each point)/d(offsets of chips), shape (n, 2, 2 n_chips), arcsec."""
    n_chips = len(truth.exposures[covered.exposures[0]].chips)
    per_px = np.array(
        [
            [_per_pixel(chip, covered.plane) for chip in truth.exposures[k].chips]
            for k in covered.exposures
        ]
    )
    return _chip_columns(per_px[covered.exposure, covered.chip], covered.chip, n_chips)


def _chip_columns(per_px: FloatArray, chip: IntArray, n_chips: int) -> FloatArray:
    columns = np.zeros((len(chip), 2, n_chips, 2))
    columns[np.arange(len(chip)), :, chip] = per_px
    return columns.reshape(len(chip), 2, -1)


def _per_pixel(chip: ChipTruth, plane: TangentPlane) -> FloatArray:
    """Return d(east, north)/d(x, y) at the middle of a chip, shape (2, 2), arcsec."""
    ny, nx = chip.shape
    x, y = 0.5 * (nx - 1), 0.5 * (ny - 1)
    around = Points(np.array([x + 0.5, x - 0.5, x, x]), np.array([y, y, y + 0.5, y - 0.5]))
    found = plane.from_sky(chip.true_wcs.sky_from_pixel(around))
    return np.array([[c[0] - c[1], c[2] - c[3]] for c in (found.x, found.y)], float)


def _sighting(truth: Truth, index: int, plane: TangentPlane, *, chip_offsets: bool) -> Sighting:
    """Return the information of all chips of an exposure, in the plane's arcsec."""
    exposure = truth.exposures[index]
    parts = []
    n_chips = len(exposure.chips) if chip_offsets else 0
    for number, chip in enumerate(exposure.chips):
        found = position_information(truth.sources, exposure, chip)
        part = _on_plane(found, chip.true_wcs, plane)
        if chip_offsets:
            n = len(part.source)
            per_px = np.broadcast_to(_per_pixel(chip, plane), (n, 2, 2))
            own = _chip_columns(per_px, np.full(n, number), n_chips)
            part = replace(part, chips=own)
        parts.append(part)
    source = np.concatenate([part.source for part in parts])
    # A source on two chips at once (chips do not overlap, but for rounding) counts on one.
    _, first = np.unique(source, return_index=True)
    x = np.concatenate([part.place.x for part in parts])[first]
    y = np.concatenate([part.place.y for part in parts])[first]
    information = np.concatenate([part.information for part in parts])[first]
    chips = np.concatenate([part.chips for part in parts])[first]
    return Sighting(source[first], Points(x, y), information, chips)


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
