"""From displacements in pixels of a chip to factors in the plane of the component."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.correction import N_PARAMETERS
from alignsvc.domain.geometry import ARCSEC_PER_RADIAN, Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Displacements, Factors
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.solve.sums import apply_each, inverse_2x2

#: Error of a displacement per axis that goes with the phases of the pixels, chip pixels.
PHASE_ERROR_PX = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class GridPlaces:
    """Where one exposure's sources lie in the mosaic, and how its pixels map there.

    Parameters
    ----------
    position : Points, shape (n,)
        Grid pixels, by the exposure's present WCS.
    jacobian : array, shape (n, 2, 2)
        d(grid pixel) / d(chip pixel) there, from the chip's pixel map.
    """

    position: Points
    jacobian: FloatArray


@dataclass(frozen=True, slots=True)
class FactorBuilder:
    """Turn displacements of one exposure into factors of the solve.

    Parameters
    ----------
    grid : MosaicGrid
        The component's grid; residuals are in its plane.
    plane : TangentPlane
        Plane of the exposure's correction.
    floor_px : float
        Added in quadrature to each axis of a displacement's error, chip pixels: the bias with the
        phase of the pixel that is left in well sampled frames. With 0.003 px bright stars on
        simulated frames (FWHM 4 to 6 px, formal errors of 0.003-0.005 px) had pulls of 0.7, with
        0.001 px 1.0. What else they disagree by, the solve estimates (`ErrorFloor`).
    """

    grid: MosaicGrid
    plane: TangentPlane
    floor_px: float = PHASE_ERROR_PX

    def to_mosaic(self, exposure: int, measured: Displacements, places: GridPlaces) -> Factors:
        """Return factors for the joint solve: offsets from the mosaic of *all* exposures.

        The mosaic lies at ``M = w q + (1 - w) T`` between this exposure's position ``q`` and
        the others' ``T``, so ``M - q = (1 - w) (T - q) = (1 - w) d``. Its noise given the
        latent offset of the mosaic is the noise of ``q``: the exposure's own covariance.

        Parameters
        ----------
        exposure : int
            Index of the exposure in the solve.
        measured : Displacements
        places : GridPlaces
            Rows as in `measured`.
        """
        share = 1.0 - measured.weight_share
        residual_px = np.stack([measured.dx, measured.dy], axis=1) * share[:, None]
        return self._factors(exposure, measured, places, (residual_px, measured.own_covariance))

    def to_others(self, exposure: int, measured: Displacements, places: GridPlaces) -> Factors:
        """Return factors for the independent solve: offsets from the mosaic of the *others*.

        Here the template stands for the truth, so that its noise adds to the exposure's own.
        Arguments as of `to_mosaic`.
        """
        residual_px = np.stack([measured.dx, measured.dy], axis=1)
        covariance = measured.own_covariance + measured.template_covariance
        return self._factors(exposure, measured, places, (residual_px, covariance))

    def _factors(
        self,
        exposure: int,
        measured: Displacements,
        places: GridPlaces,
        values: tuple[FloatArray, FloatArray],
    ) -> Factors:
        residual_px, covariance = values
        known = np.isfinite(covariance).all(axis=1, keepdims=True)
        covariance = np.where(known, covariance, np.nan)  # infinite times zero would warn
        to_plane = self._plane_from_chip(places.jacobian)
        in_pixels = _matrices(covariance) + self.floor_px**2 * np.eye(2)
        in_plane = to_plane @ in_pixels @ np.swapaxes(to_plane, 1, 2)
        residual = apply_each(to_plane, residual_px)
        jacobian = step_jacobian(
            self.grid.plane_from_pixel(places.position), self.grid.plane, self.plane
        )
        sound = (measured.flags & ~int(DisplacementFlag.HELD_OUT)) == DisplacementFlag.GOOD
        sound &= np.isfinite(residual).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
        sound &= _positive_definite(in_plane)
        # Rows that mean nothing hold zeros, never NaN: 0 x NaN would poison every sum.
        # Rows held out keep their values: the verdict is read from them.
        information = np.zeros_like(in_plane)
        information[sound] = inverse_2x2(in_plane[sound])
        return Factors(
            exposure=exposure,
            source=measured.source,
            residual=_kept(residual, sound),
            jacobian=_kept(jacobian, sound),
            information=read_only(information),
            weight_share=measured.weight_share,
            use=read_only(sound & (measured.flags == DisplacementFlag.GOOD)),
            held_out=read_only(sound & (measured.flags == DisplacementFlag.HELD_OUT)),
            chip=measured.chip,
            profile_error=_kept(to_plane @ measured.profile_error, sound),
            convention_error=_kept(to_plane @ measured.convention_error, sound),
        )

    def _plane_from_chip(self, grid_from_chip: FloatArray) -> FloatArray:
        return np.asarray(self.grid.plane_jacobian @ grid_from_chip, float)


def weighted_by_source(factors: Factors, ids: IntArray, weight: FloatArray) -> Factors:
    """Return factors whose information is multiplied by a weight that each source was given.

    Parameters
    ----------
    factors : Factors
    ids : int64 array, shape (m,)
        Sorted; every source of `factors` is among them.
    weight : array, shape (m,)
        Not negative; a source of weight 0 is not used.
    """
    of_row = weight[np.searchsorted(ids, factors.source)]
    return replace(
        factors,
        information=read_only(factors.information * of_row[:, None, None]),
        use=read_only(factors.use & (of_row > 0)),
        held_out=read_only(factors.held_out & (of_row > 0)),
    )


def step_jacobian(position: Points, common: TangentPlane, own: TangentPlane) -> FloatArray:
    """Return how far positions move per unit of each of the six `PARAMETERS` of a step.

    Parameters
    ----------
    position : Points, shape (n,)
        arcsec in the plane `common`.
    common : TangentPlane
        Plane in which the movement is wanted.
    own : TangentPlane
        Plane in which the correction acts.

    Returns
    -------
    array, shape (n, 2, 6)
        arcsec per arcsec for the shifts, arcsec per 1 for the matrix.
    """
    in_own = own.from_sky(common.to_sky(position))
    x, y = np.atleast_1d(in_own.x), np.atleast_1d(in_own.y)
    # In its own plane a step adds (shift_x + m11 x + m12 y, shift_y + m21 x + m22 y).
    moves = np.zeros((len(x), 2, N_PARAMETERS))
    moves[:, 0, 0] = moves[:, 1, 1] = 1.0
    moves[:, 0, 2] = moves[:, 1, 4] = x
    moves[:, 0, 3] = moves[:, 1, 5] = y
    if own == common:
        return moves
    return np.asarray(plane_jacobian(Points(x, y), own, common) @ moves, float)


def plane_jacobian(position: Points, start: TangentPlane, end: TangentPlane) -> FloatArray:
    """Return d(coordinates in `end`) / d(coordinates in `start`), shape ``(n, 2, 2)``.

    Both are gnomonic, so the map between them is projective: with R the rotation between the
    two frames (east, north, toward) and ``v = R (x, y, 1)``, ``x' = v0 / v2``, and
    ``dx'/dx = (R00 - x' R20) / v2``. NaN where `position` is.

    Parameters
    ----------
    position : Points, shape (n,)
        arcsec in the plane `start`.
    start, end : TangentPlane
    """
    rotation = _frame(end) @ _frame(start).T
    one_radian = np.full(np.shape(position.x), ARCSEC_PER_RADIAN)
    vectors = np.stack([position.x, position.y, one_radian], axis=-1) @ rotation.T
    toward = vectors[:, 2]
    at_end = vectors[:, :2] / toward[:, None]
    change = rotation[:2, :2] - at_end[:, :, None] * rotation[2, :2]
    return np.asarray(change * ARCSEC_PER_RADIAN / toward[:, None, None], float)


def _frame(plane: TangentPlane) -> FloatArray:
    """Unit vectors east, north, toward the tangent point, as rows."""
    ra, dec = np.radians(plane.ra_deg), np.radians(plane.dec_deg)
    east = [-np.sin(ra), np.cos(ra), 0.0]
    north = [-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)]
    toward = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    return np.array([east, north, toward])


def _matrices(covariance: FloatArray) -> FloatArray:
    """From (xx, xy, yy) to 2x2 matrices."""
    return covariance[:, [0, 1, 1, 2]].reshape(-1, 2, 2)


def _positive_definite(matrices: FloatArray) -> BoolArray:
    finite = np.isfinite(matrices).all(axis=(1, 2))
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(finite & (a > 0) & (d > 0) & (a * d - b * b > 1e-12 * a * d))


def _kept(values: FloatArray, sound: BoolArray) -> FloatArray:
    kept = np.zeros_like(values)
    kept[sound] = values[sound]
    return read_only(kept)
