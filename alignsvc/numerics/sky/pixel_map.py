"""From the pixels of a chip to the pixels of the mosaic's grid, by way of a coarse lattice.

The exact way (chip's distortion and projection, then the grid's projection) costs 0.1-0.6 CPU s
per Mpix and is smooth. So it is followed at the nodes of a lattice only, a few thousand points,
and a bicubic spline does the rest. Its error is tested against the exact way, at the points of
every cell that are farthest from nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from scipy.interpolate import CubicSpline

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import DataError
from alignsvc.numerics.sky.lattice import Bicubics, Bilinear, Lattice, bicubics
from alignsvc.reasons import FailureKind

#: Sides of cells tried first, chip pixels, where distortions are analytic: their cubics nearly
#: always do. (A table may bend between two points where the error is looked at.)
_SMOOTH_STEPS = (256, 128)
#: Side of the coarsest cell that may be wrong by as much as is tolerated, chip pixels.
COARSEST_STEP = 64
#: What a map on coarser cells may be wrong by, grid pixels: less than can be measured.
_NO_ERROR_PX = 1e-7
#: Side of the largest cell in which areas are linear, chip pixels.
_AREA_STEP = 64
#: Side of a cell tried last: below it the exact way costs no more.
FINEST_STEP = 4
#: The map reaches this far beyond the chip, in pixels, where the WCS lets it; else the next.
MARGINS = (64.0, 16.0, 4.0, 1.0, 0.0)
#: A map whose error exceeds this, in grid pixels, is not used.
WORST_ERROR_PX = 1e-3
#: Newton's iteration ends when its step is below this, chip pixels.
_NEWTON_TOLERANCE_PX = 1e-9
_NEWTON_LIMIT = 30
#: Points worked on at once: their arrays stay in the processor's cache.
_POINTS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class PixelMap:
    """The map from a chip's pixels to a grid's, good to `error_px`; see `build_pixel_map`.

    Parameters
    ----------
    wcs : CelestialWcs
        The chip's, corrections included.
    grid : MosaicGrid
    bicubics : Bicubics
        Grid x and y. The nodes belong to the chip, so the map does not depend on tiles.
    node_areas : Bilinear
        Grid pixels per chip pixel, at nodes of its own: the determinant of the Jacobian, unsigned.
    error_px : float
        Largest error found, grid pixels.
    """

    wcs: CelestialWcs
    grid: MosaicGrid
    bicubics: Bicubics
    node_areas: Bilinear
    error_px: float

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the chip."""
        return self.wcs.shape

    @property
    def size_bytes(self) -> int:
        """What it occupies, but for the WCS."""
        return self.bicubics.cells.nbytes + self.node_areas.nodes.nbytes

    @property
    def box(self) -> PixelBox:
        """All pixels of the chip."""
        ny, nx = self.shape
        return PixelBox(0, 0, nx, ny)

    @property
    def lattice_x(self) -> Lattice:
        """Nodes in x, chip pixels."""
        return self.bicubics.lattice_x

    @property
    def lattice_y(self) -> Lattice:
        """Nodes in y, chip pixels."""
        return self.bicubics.lattice_y

    def to_grid(self, chip: Points) -> Points:
        """Return grid pixel coordinates of chip pixel coordinates, 0-based, any shape.

        Beyond the lattice the outermost cubics continue, ever less true. NaN gives NaN.
        """
        x, y = np.broadcast_arrays(np.asarray(chip.x, float), np.asarray(chip.y, float))
        out = np.empty((2, x.size))
        for part in _portions(x.size):
            out[:, part] = self.bicubics.values(x.reshape(-1)[part], y.reshape(-1)[part])
        return Points(out[0].reshape(x.shape), out[1].reshape(x.shape))

    def jacobian(self, chip: Points) -> FloatArray:
        """Return d(grid)/d(chip), shape ``(..., 2, 2)``: rows grid x, y; columns chip x, y."""
        x, y = np.broadcast_arrays(np.asarray(chip.x, float), np.asarray(chip.y, float))
        out = np.empty((x.size, 2, 2))
        for part in _portions(x.size):
            out[part] = self.bicubics.derivatives(x.reshape(-1)[part], y.reshape(-1)[part])
        return out.reshape(*x.shape, 2, 2)

    def to_chip(self, grid: Points, beyond: float = 0.0) -> Points:
        """Return chip pixel coordinates of grid pixel coordinates, 0-based, any shape.

        The inverse of this map (not of the exact one) to 1e-9 px, by Newton's method; NaN for
        points beyond the lattice, which ends 64 px outside the chip or where the WCS ends. Up to
        `beyond` pixels farther its outermost cubics are continued: smooth, not true.
        """
        x, y = np.broadcast_arrays(np.asarray(grid.x, float), np.asarray(grid.y, float))
        out = np.empty((2, x.size))
        for part in _portions(x.size):
            out[:, part] = self._newton(x.reshape(-1)[part], y.reshape(-1)[part], beyond)
        return Points(out[0].reshape(x.shape), out[1].reshape(x.shape))

    def positions(self, box: PixelBox, out: FloatArray | None = None) -> FloatArray:
        """Return grid (x, y) of all chip pixels of a box: ``(2, ny, nx)``, in `out` if given.

        A pixel has the same bits in whatever box, and whatever the number of threads.
        """
        return self.bicubics.at_pixels(box, out)

    def positions_at(self, row: IntArray, column: IntArray) -> FloatArray:
        """Return the same of chosen pixels, bit for bit, by their rows and columns: ``(2, n)``."""
        return self.bicubics.at_some_pixels(column, row)

    def areas(self, box: PixelBox, out: Float32Array | None = None) -> Float32Array:
        """Return grid pixels per chip pixel in a box of the chip: ``(ny, nx)``.

        Linear between the nodes: with a distortion that changes areas by 5 % over 4000 px the
        error is below 2e-5 of the area, ``f'' step^2 / 8``.
        """
        if out is None:
            out = np.empty(box.shape, np.float32)
        self.node_areas.at_pixels(box, out)
        return out

    def areas_at(self, row: IntArray, column: IntArray) -> Float32Array:
        """Return the same of chosen pixels, bit for bit, by their rows and columns."""
        return self.node_areas.at(column, row)

    def _newton(self, grid_x: FloatArray, grid_y: FloatArray, beyond: float) -> FloatArray:
        """Solve ``to_grid(x, y) = grid``, starting with the linear map about the chip's centre."""
        ny, nx = self.shape
        chip = np.full((2, grid_x.size), np.nan)
        todo = np.flatnonzero(np.isfinite(grid_x) & np.isfinite(grid_y))
        x, y = np.full(todo.size, (nx - 1) / 2), np.full(todo.size, (ny - 1) / 2)
        for _ in range(_NEWTON_LIMIT):
            if not todo.size:
                break
            here = self.bicubics.values(x, y)
            dx, dy = _solve_2x2(
                self.bicubics.derivatives(x, y), grid_x[todo] - here[0], grid_y[todo] - here[1]
            )
            done = np.maximum(np.abs(dx), np.abs(dy)) < _NEWTON_TOLERANCE_PX
            chip[0, todo[done]], chip[1, todo[done]] = (x + dx)[done], (y + dy)[done]
            # A step that leaves the lattice ends on its edge; who stays there is lost.
            new_x = np.clip(x + dx, self.lattice_x.start - beyond, self.lattice_x.end + beyond)
            new_y = np.clip(y + dy, self.lattice_y.start - beyond, self.lattice_y.end + beyond)
            moved = np.maximum(np.abs(new_x - x), np.abs(new_y - y))
            was_cut = (new_x != x + dx) | (new_y != y + dy)
            going = ~done & ~(was_cut & (moved < _NEWTON_TOLERANCE_PX))
            todo, x, y = todo[going], new_x[going], new_y[going]
        return chip


def build_pixel_map(wcs: CelestialWcs, grid: MosaicGrid, tolerance_px: float = 1e-4) -> PixelMap:
    """Return the map from the chip's pixels to the grid's, on the coarsest lattice that will do.

    The step starts at 256 chip pixels (64 with tables of distortions) and is halved until the
    error, found half way between nodes within the chip, is below `tolerance_px` (grid pixels), or
    1e-7 at steps above 64. A WCS with kinks may still be above it at a step of 4; up to 1e-3 px
    that is accepted, and stands in `error_px`.

    Raises
    ------
    DataError
        BAD_WCS: the WCS gives no position somewhere on the chip, or no lattice reaches 1e-3 px.
    """
    margins = _finite_margins(wcs, grid)
    for step in () if wcs.has_tables else _SMOOTH_STEPS:
        found = _fitted(wcs, grid, margins, step)
        if found.error_px <= min(tolerance_px, _NO_ERROR_PX):
            return found
    return coarsest_that_will_do(
        "the WCS is not smooth: a spline",
        COARSEST_STEP,
        tolerance_px,
        lambda step: _fitted(wcs, grid, margins, step),
    )


class _WithError(Protocol):
    @property
    def error_px(self) -> float: ...


_Map = TypeVar("_Map", bound=_WithError)


def coarsest_that_will_do(
    what: str, coarsest_step: int, tolerance_px: float, fitted: Callable[[int], _Map]
) -> _Map:
    """Return the first map whose error is tolerated, the step halved from one to the next.

    At the finest step up to `WORST_ERROR_PX` is.

    Parameters
    ----------
    what : str
        The map in words, for the message.
    coarsest_step : int
        Side of a cell tried first, chip pixels.
    tolerance_px : float
    fitted : callable
        Returns the map with a step, its error measured; NaN is no error that is tolerated.

    Raises
    ------
    DataError
        BAD_WCS: the error of the finest is larger.
    """
    step = coarsest_step
    found = fitted(step)
    while not found.error_px <= tolerance_px and step > FINEST_STEP:
        step //= 2
        found = fitted(step)
    if not found.error_px <= max(tolerance_px, WORST_ERROR_PX):
        raise DataError(
            FailureKind.BAD_WCS,
            f"pixel map: {what} with nodes every {step} px is wrong by {found.error_px:.2g} px "
            f"and {WORST_ERROR_PX} px is wanted; remove the exposure or mend its distortion",
        )
    return found


def _portions(n: int) -> list[slice]:
    return [slice(start, start + _POINTS_AT_ONCE) for start in range(0, n, _POINTS_AT_ONCE)]


def _solve_2x2(matrix: FloatArray, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    m11, m12, m21, m22 = (matrix[:, i, j] for i in (0, 1) for j in (0, 1))
    determinant = m11 * m22 - m12 * m21
    with np.errstate(divide="ignore", invalid="ignore"):
        return (m22 * a - m12 * b) / determinant, (m11 * b - m21 * a) / determinant


def _exact(wcs: CelestialWcs, grid: MosaicGrid, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return grid coordinates, shape ``(len(y), len(x), 2)``, the slow way; NaN where none."""
    points = Points(*np.meshgrid(x, y))
    return np.stack(grid.pixel_from_sky(wcs.sky_from_pixel(points)), axis=-1)


def _finite_margins(wcs: CelestialWcs, grid: MosaicGrid) -> tuple[float, float, float, float]:
    """Return how far the map can reach beyond the chip: left, right, below, above."""
    widest = (MARGINS[0], MARGINS[0], MARGINS[0], MARGINS[0])
    if _holes(wcs, grid, widest) == 0:
        return widest
    margins = [_finite_margin(wcs, grid, side) for side in range(4)]
    for reach in MARGINS:  # a corner may have no position although both its sides have
        left, right, below, above = (min(margin, reach) for margin in margins)
        holes = _holes(wcs, grid, (left, right, below, above))
        if holes == 0:
            return left, right, below, above
    raise DataError(
        FailureKind.BAD_WCS,
        f"pixel map: the WCS gives no position on the mosaic for {holes} points of a lattice over "
        "the chip; every pixel needs one: mend the header's WCS",
    )


def _holes(wcs: CelestialWcs, grid: MosaicGrid, margins: tuple[float, float, float, float]) -> int:
    """Return the number of points of the coarsest lattice that have no position."""
    ny, nx = wcs.shape
    left, right, below, above = margins
    x = Lattice.over(-left, nx - 1 + right, COARSEST_STEP).nodes
    y = Lattice.over(-below, ny - 1 + above, COARSEST_STEP).nodes
    return int(np.count_nonzero(~np.isfinite(_exact(wcs, grid, x, y)).all(axis=-1)))


def _finite_margin(wcs: CelestialWcs, grid: MosaicGrid, side: int) -> float:
    """Return the widest margin at a side (left, right, below, above) with positions all over."""
    ny, nx = wcs.shape
    along_x, along_y = np.linspace(0, nx - 1, 17), np.linspace(0, ny - 1, 17)
    for margin in MARGINS:
        outward = np.linspace(0, margin, 5)
        x = (-outward, nx - 1 + outward, along_x, along_x)[side]
        y = (along_y, along_y, -outward, ny - 1 + outward)[side]
        if np.isfinite(_exact(wcs, grid, x, y)).all():
            return margin
    return 0.0


def _fitted(
    wcs: CelestialWcs, grid: MosaicGrid, margins: tuple[float, float, float, float], step: float
) -> PixelMap:
    """Return the map with this step, its error measured."""
    ny, nx = wcs.shape
    left, right, below, above = margins
    columns = Lattice.over(-left, nx - 1 + right, step)
    rows = Lattice.over(-below, ny - 1 + above, step)
    exact = _exact(wcs, grid, columns.nodes, rows.nodes)
    if not np.isfinite(exact).all():
        raise DataError(
            FailureKind.BAD_WCS,
            "pixel map: the WCS gives no position on the mosaic for part of the chip; "
            "every pixel needs one: mend the header's WCS",
        )
    along_y = CubicSpline(np.arange(rows.n_cells + 1), exact, axis=0).c  # (4, rows, nodes, 2)
    both = CubicSpline(np.arange(columns.n_cells + 1), along_y, axis=2).c
    # (power of x, column, power of y, row, axis) -> (row, column, axis, power of y, power of x)
    cubics = bicubics(columns, rows, both.transpose(3, 1, 4, 2, 0))
    unmeasured = PixelMap(wcs, grid, cubics, _areas(cubics), np.inf)
    return replace(unmeasured, error_px=_largest_error(unmeasured))


def _areas(cubics: Bicubics) -> Bilinear:
    """Return the area that a map makes of a pixel, unsigned."""
    columns, rows = (
        Lattice.over(one.start, one.end, min(_AREA_STEP, one.spacing))
        for one in (cubics.lattice_x, cubics.lattice_y)
    )
    x, y = np.meshgrid(columns.nodes, rows.nodes)
    slopes = cubics.derivatives(x.ravel(), y.ravel())
    areas = np.abs(slopes[:, 0, 0] * slopes[:, 1, 1] - slopes[:, 0, 1] * slopes[:, 1, 0])
    return Bilinear(columns, rows, contiguous(areas.reshape(x.shape)))


def _largest_error(pixel_map: PixelMap) -> float:
    """Return the largest error on the chip half way between nodes, in x, in y and in both."""
    ny, nx = pixel_map.shape
    columns, rows = pixel_map.lattice_x, pixel_map.lattice_y
    half_x = np.clip(columns.nodes + 0.5 * columns.spacing, 0, nx - 1)
    half_y = np.clip(rows.nodes + 0.5 * rows.spacing, 0, ny - 1)
    node_x, node_y = np.clip(columns.nodes, 0, nx - 1), np.clip(rows.nodes, 0, ny - 1)
    worst = 0.0
    for x, y in ((half_x, half_y), (half_x, node_y), (node_x, half_y)):
        found = pixel_map.to_grid(Points(*np.meshgrid(x, y)))
        exact = _exact(pixel_map.wcs, pixel_map.grid, x, y)
        off = np.hypot(found.x - exact[..., 0], found.y - exact[..., 1])
        worst = max(worst, float(off.max()) if np.isfinite(off).all() else np.inf)
    return worst
