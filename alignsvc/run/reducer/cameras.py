"""Exposures of several chips: which of them are of one camera, and what its chips' offsets do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.chip_offsets import ChipDesign
from alignsvc.run.planning.plan import PlannedExposure

#: Chips of two exposures are the same ones if their centres keep their distances to this, px:
#: more than headers err by, less than cameras of equal chips differ by.
_SAME_LAYOUT_PX = 16.0


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """Which exposures of a set have their chips in common.

    Parameters
    ----------
    members : tuple of PlannedExposure
    first_column : int64 array, shape (n,)
        Number of each exposure's first chip among the chips of all cameras; -1 for an exposure
        of one chip, which has no offset besides the exposure's correction.
    models : tuple of int
        Index in `members` of the exposure that stands for each camera.
    n_chips : int
    """

    members: tuple[PlannedExposure, ...]
    first_column: IntArray
    models: tuple[int, ...]
    n_chips: int

    @property
    def are_single(self) -> bool:
        """Whether no exposure has more than one chip."""
        return not self.models

    def design(self, factors: Sequence[Factors], totals: Sequence[Correction]) -> ChipDesign:
        """Return what offsets of the chips do to the measurements."""
        columns, designs = [], []
        for one, own, total, first in zip(
            self.members, factors, totals, self.first_column.tolist(), strict=True
        ):
            columns.append(own.chip + first if first >= 0 else np.full(len(own), -1))
            per_px = total.matrix @ chip_jacobians(one)
            designs.append(own.jacobian[:, :, :2] @ per_px[own.chip])
        return ChipDesign(tuple(columns), tuple(designs), self._common(), self.n_chips)

    def of_exposure(self, index: int) -> slice:
        """Return which of all chips are those of an exposure with several."""
        first = int(self.first_column[index])
        return slice(first, first + len(self.members[index].header.wcs))

    def name(self, column: int) -> str:
        """Return what a chip is called, by its number among all."""
        for model in self.models:
            chips = self.of_exposure(model)
            if chips.start <= column < chips.stop:
                return str(self.members[model].header.ref.chips[column - chips.start].name)
        raise IndexError(f"chip {column} of {self.n_chips}")

    def _common(self) -> FloatArray:
        """The mean over a camera's chips, weighted by area, in its plane: two rows a camera."""
        rows = np.zeros((2 * len(self.models), 2 * self.n_chips))
        for k, model in enumerate(self.models):
            one, chips = self.members[model], self.of_exposure(model)
            area = np.array([float(np.prod(wcs.shape)) for wcs in one.header.wcs])
            per_px = chip_jacobians(one) * (area / area.sum())[:, None, None]
            own = slice(2 * chips.start, 2 * chips.stop)
            rows[2 * k : 2 * k + 2, own] = np.concatenate(list(per_px), axis=1)
        return rows


def cameras_of(members: Sequence[PlannedExposure]) -> Cameras:
    """Return which exposures have their chips in common: by shapes, names and layout."""
    first_column = np.full(len(members), -1, np.int64)
    models: list[int] = []
    n_chips = 0
    for i, one in enumerate(members):
        if len(one.header.wcs) < 2:
            continue
        same = next((k for k in models if _is_same_camera(members[k], one)), None)
        if same is None:
            first_column[i] = n_chips
            n_chips += len(one.header.wcs)
            models.append(i)
        else:
            first_column[i] = first_column[same]
    return Cameras(tuple(members), first_column, tuple(models), n_chips)


def _is_same_camera(one: PlannedExposure, other: PlannedExposure) -> bool:
    chips = [[(chip.name, chip.shape) for chip in each.header.ref.chips] for each in (one, other)]
    if chips[0] != chips[1]:
        return False
    return bool(np.abs(_distances_px(one) - _distances_px(other)).max() < _SAME_LAYOUT_PX)


def _distances_px(one: PlannedExposure) -> FloatArray:
    centres = [one.plane.from_sky(wcs.centre()) for wcs in one.header.wcs]
    x, y = (np.array([float(getattr(c, axis)) for c in centres]) for axis in ("x", "y"))
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    return np.asarray(distance / one.header.wcs[0].pixel_scale_arcsec, float)


def chip_jacobians(exposure: PlannedExposure) -> FloatArray:
    """Return d(east, north) / d(x, y) at each chip's centre, shape (k, 2, 2).

    arcsec of the plane of the exposure's correction per pixel, by the input header.
    """
    return np.array([_jacobian(wcs, exposure.plane) for wcs in exposure.header.wcs])


def _jacobian(wcs: CelestialWcs, plane: TangentPlane) -> FloatArray:
    ny, nx = wcs.shape
    x, y = 0.5 * (nx - 1), 0.5 * (ny - 1)
    around = Points(np.array([x + 0.5, x - 0.5, x, x]), np.array([y, y, y + 0.5, y - 0.5]))
    found = plane.from_sky(wcs.sky_from_pixel(around))
    rows = [[axis[0] - axis[1], axis[2] - axis[3]] for axis in (found.x, found.y)]
    return np.array(rows, float)
