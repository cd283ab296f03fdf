"""Which exposures cover which points of the sky, and what is left of a field of offsets there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane, middle_of
from alignsvc.simulation.cells import cell_centres
from alignsvc.simulation.scene import field_of
from alignsvc.simulation.truth import ExposureTruth

#: Points of the sky across the shorter side of a chip.
POINTS_ACROSS = 12


@dataclass(frozen=True, slots=True, eq=False)
class CoveredPoints:
    """Points of the sky covered by at least two exposures: a row for each point and exposure.

    Parameters
    ----------
    plane : TangentPlane
        About the middle of the points; offsets and places are (east, north) in it, arcsec.
    exposures : tuple of int
        Which of the simulation's exposures take part: one connected component.
    point : int64, shape (n,)
        Number of the point, from 0 without gaps.
    exposure : int64, shape (n,)
        Place in `exposures`.
    chip : int64, shape (n,)
    pixel : Points
        Of the point, by the true WCS, 0-based.
    place : Points
        Of the point in `plane`.
    scale_arcsec : float64, shape (n,)
        Side of the exposure's pixels.
    """

    plane: TangentPlane
    exposures: tuple[int, ...]
    point: IntArray
    exposure: IntArray
    chip: IntArray
    pixel: Points
    place: Points
    scale_arcsec: FloatArray

    def __len__(self) -> int:
        return len(self.point)

    def less_local_mean(self, field: FloatArray) -> FloatArray:
        """Return a field less its mean over the exposures that cover each point.

        Parameters
        ----------
        field : float64, shape (n, 2, ...)
            arcsec; trailing axes are fields of their own.
        """
        count = np.bincount(self.point)
        total = np.zeros((len(count), *field.shape[1:]))
        np.add.at(total, self.point, field)
        mean = total / count.reshape(-1, *([1] * (field.ndim - 1)))
        rest: FloatArray = field - mean[self.point]
        return rest

    def less_common_map(self, field: FloatArray, directions: FloatArray) -> FloatArray:
        """Return a field less the common linear map that fits it best (least squares).

        Parameters
        ----------
        field : float64, shape (n, 2, ...)
            arcsec.
        directions : float64, shape (6, k)
            What the map may be, as `Geometry.basis`.
        """
        reach = float(np.hypot(self.place.x, self.place.y).max()) or 1.0
        design = linear_design(Points(self.place.x / reach, self.place.y / reach)) @ directions
        flat = design.reshape(-1, design.shape[-1])
        orthonormal, singular, _ = np.linalg.svd(flat, full_matrices=False)
        orthonormal = orthonormal[:, singular > 1e-10 * singular[0]]
        columns = field.reshape(len(flat), -1)
        rest: FloatArray = columns - orthonormal @ (orthonormal.T @ columns)
        return rest.reshape(field.shape)


def linear_design(place: Points) -> FloatArray:
    """Return d(x, y)/d(shift_x, shift_y, m11, m12, m21, m22), shape (n, 2, 6)."""
    x, y = np.asarray(place.x, float), np.asarray(place.y, float)
    one, zero = np.ones_like(x), np.zeros_like(x)
    return np.stack(
        [
            np.stack([one, zero, x, y, zero, zero], axis=-1),
            np.stack([zero, one, zero, zero, x, y], axis=-1),
        ],
        axis=-2,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    point: IntArray
    exposure: IntArray
    chip: IntArray
    pixel: Points
    scale_arcsec: FloatArray

    def select(self, which: IntArray) -> _Rows:
        pixel = Points(self.pixel.x[which], self.pixel.y[which])
        return _Rows(
            self.point[which],
            self.exposure[which],
            self.chip[which],
            pixel,
            self.scale_arcsec[which],
        )


def covered_points(
    exposures: Sequence[ExposureTruth], use: Sequence[int]
) -> tuple[CoveredPoints, ...]:
    """Return the points that two or more of the exposures `use` cover, by component."""
    caps = tuple(field_of(chip.true_wcs) for k in use for chip in exposures[k].chips)
    if not caps:
        return ()
    side_deg = math.sqrt(2.0) * min(cap.radius_deg for cap in caps)
    sky = cell_centres(caps, side_deg / POINTS_ACROSS)
    rows = _all_rows(exposures, use, sky)
    count = np.bincount(rows.point, minlength=len(sky.ra))
    rows = rows.select(np.flatnonzero(count[rows.point] >= 2))
    pairs = coo_array(
        (np.ones(len(rows.point)), (rows.exposure, len(exposures) + rows.point)),
        shape=(len(exposures) + len(sky.ra),) * 2,
    )
    _, label = connected_components(pairs, directed=False)
    of_row = label[rows.exposure]
    return tuple(
        _component(rows.select(np.flatnonzero(of_row == one)), sky) for one in np.unique(of_row)
    )


def _all_rows(exposures: Sequence[ExposureTruth], use: Sequence[int], sky: SkyPoints) -> _Rows:
    parts: list[_Rows] = []
    for k in use:
        for number, chip in enumerate(exposures[k].chips):
            wcs = chip.true_wcs
            near = np.flatnonzero(field_of(wcs).holds(sky))
            pixel = wcs.pixel_from_sky(SkyPoints(sky.ra[near], sky.dec[near]))
            ny, nx = chip.shape
            with np.errstate(invalid="ignore"):
                on_chip = (np.abs(pixel.x - 0.5 * (nx - 1)) <= 0.5 * nx) & (
                    np.abs(pixel.y - 0.5 * (ny - 1)) <= 0.5 * ny
                )
            n = int(on_chip.sum())
            parts.append(
                _Rows(
                    near[on_chip],
                    np.full(n, k),
                    np.full(n, number),
                    Points(pixel.x[on_chip], pixel.y[on_chip]),
                    np.full(n, wcs.pixel_scale_arcsec),
                )
            )
    return _Rows(
        np.concatenate([part.point for part in parts]),
        np.concatenate([part.exposure for part in parts]),
        np.concatenate([part.chip for part in parts]),
        Points(
            np.concatenate([part.pixel.x for part in parts]),
            np.concatenate([part.pixel.y for part in parts]),
        ),
        np.concatenate([part.scale_arcsec for part in parts]),
    )


def _component(rows: _Rows, sky: SkyPoints) -> CoveredPoints:
    points, point = np.unique(rows.point, return_inverse=True)
    taking_part, exposure = np.unique(rows.exposure, return_inverse=True)
    own_sky = SkyPoints(sky.ra[points], sky.dec[points])
    middle = middle_of(own_sky)
    plane = TangentPlane(float(middle.ra), float(middle.dec))
    place = plane.from_sky(own_sky)
    return CoveredPoints(
        plane=plane,
        exposures=tuple(int(k) for k in taking_part),
        point=point,
        exposure=exposure,
        chip=rows.chip,
        pixel=rows.pixel,
        place=Points(place.x[point], place.y[point]),
        scale_arcsec=rows.scale_arcsec,
    )
