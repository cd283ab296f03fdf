"""Peaks of interlaced correlation maps: where they are, and when there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, contiguous, read_only
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.compiled import compiled

#: Samples of an interlaced map per pixel.
OVERSAMPLING = 2
#: Of Newton's method from the highest sample to a quartic's maximum.
_STEPS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Peaks of many maps.

    Parameters
    ----------
    dx, dy : float64 arrays, shape (n,)
        Lag of the peak, pixels; NaN where there is none.
    height : float64 array, shape (n,)
        Of the fitted surface at the peak; NaN where there is none.
    flags : int64 array, shape (n,)
        GOOD, PEAK_AT_EDGE or NO_PEAK.
    """

    dx: FloatArray
    dy: FloatArray
    height: FloatArray
    flags: IntArray


def interlaced(scores: Float32Array) -> Float32Array:
    """Return one map per source, twice supersampled, from the maps of four half-pixel blots.

    Parameters
    ----------
    scores : float32 array, shape (n, 4, m, m)
        Lags -R .. R of the blots with phases (x, y) = (0, 0), (1/2, 0), (0, 1/2), (1/2, 1/2).

    Returns
    -------
    float32 array, shape (n, 2 m - 1, 2 m - 1)
        Lags -R .. R in steps of half a pixel: a blot sampled at p + 1/2 scores at lag l what
        the template scores at l + 1/2. The row and column beyond R are dropped.
    """
    n, _, m, _ = scores.shape
    fine = np.empty((n, 2 * m - 1, 2 * m - 1), np.float32)
    for phase in range(4):
        y, x = divmod(phase, 2)
        fine[:, y::2, x::2] = scores[:, phase, : m - y, : m - x]
    return fine


@dataclass(frozen=True, slots=True)
class PolynomialPeak:
    """Peak of the polynomial that fits best about the highest sample.

    Parameters
    ----------
    fit_side : int
        Samples along a side of the box that is fitted; odd.
    degree : int
        Total degree: 2 is the ancestor's quadratic. 4 on 5 x 5 samples follows the flanks of a
        narrow peak, which a quadratic mistakes for a shift.
    """

    fit_side: int = 5
    degree: int = 4

    def __post_init__(self) -> None:
        if self.fit_side % 2 == 0 or self.degree not in (2, 4) or self.fit_side <= self.degree:
            raise ValueError(
                f"peak: degree {self.degree} on {self.fit_side} samples a side; wanted degree 2 "
                "on at least 3, or 4 on at least 5, an odd number"
            )

    def __call__(self, maps: Float32Array, spacing_px: float = 1 / OVERSAMPLING) -> Peaks:
        """Return the peaks of maps whose middle sample is lag 0.

        Parameters
        ----------
        maps : float32 array, shape (n, m, m), m odd
        spacing_px : float
            Pixels per sample.

        Returns
        -------
        Peaks
            PEAK_AT_EDGE where the highest sample has no full box about it; NO_PEAK where it is
            not positive, or the polynomial has no maximum within one sample of it. Never the
            highest sample itself.
        """
        found = np.empty((len(maps), 5))
        powers, fit = _least_squares(self.fit_side, self.degree)
        _fit_peaks(contiguous(maps), powers, fit, self.fit_side, found)
        column, row, x, y, height = found.T
        m, half = maps.shape[1], self.fit_side // 2
        at_edge = (np.minimum(row, column) < half) | (np.maximum(row, column) >= m - half)
        missing = ~at_edge & ~(np.isfinite(x) & (height > 0))
        sound = ~at_edge & ~missing
        return Peaks(
            dx=np.where(sound, (column - m // 2 + x) * spacing_px, np.nan),
            dy=np.where(sound, (row - m // 2 + y) * spacing_px, np.nan),
            height=np.where(sound, height, np.nan),
            flags=np.select(
                [at_edge, missing],
                [int(DisplacementFlag.PEAK_AT_EDGE), int(DisplacementFlag.NO_PEAK)],
                0,
            ).astype(np.int64),
        )


@cache
def _least_squares(side: int, degree: int) -> tuple[IntArray, FloatArray]:
    """Return the powers of x and y in a polynomial, and what gives their coefficients.

    Powers have shape (k, 2); the matrix has a row for each and a column for each of `side` x `side`
    samples.
    """
    powers = np.array([(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)])
    half = side // 2
    grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1).astype(float)
    design = np.stack([grid_x**i * grid_y**j for i, j in powers], axis=1)
    return read_only(powers), contiguous(np.linalg.pinv(design))


@compiled
def _fit_peaks(
    maps: Float32Array, powers: IntArray, fit: FloatArray, side: int, found: FloatArray
) -> None:
    """Fill the column and the row of the highest sample, x and y of the maximum from there, height.

    NaN where there is no maximum within one sample.
    """
    n, m, _ = maps.shape
    half, degree = side // 2, powers.max()
    surface = np.zeros((degree + 1, degree + 1))
    for k in range(n):
        best = _highest(maps[k])
        row, column = best // m, best % m
        top = min(max(row - half, 0), m - side)
        left = min(max(column - half, 0), m - side)
        for term in range(len(powers)):
            total = 0.0
            for i in range(side):
                for j in range(side):
                    total += fit[term, i * side + j] * np.float64(maps[k, top + i, left + j])
            surface[powers[term, 0], powers[term, 1]] = total
        x = y = 0.0
        # Newton's method from the highest sample; exact in one step for degree 2.
        for _ in range(1 if degree == 2 else _STEPS):
            _, slope_x, slope_y, xx, xy, yy = _derivatives(surface, x, y)
            determinant = xx * yy - xy**2
            scale = 1.0 / determinant if xx < 0 and determinant > 0 else np.nan
            x -= (yy * slope_x - xy * slope_y) * scale
            y -= (xx * slope_y - xy * slope_x) * scale
        if not (abs(x) <= 1 and abs(y) <= 1):
            x = y = np.nan
        found[k, 0], found[k, 1] = column, row
        found[k, 2], found[k, 3], found[k, 4] = x, y, _derivatives(surface, x, y)[0]


@compiled
def _highest(plane: Float32Array) -> int:
    """Return the index of the highest of the numbers, the first of equals."""
    flat = plane.reshape(-1)
    best, height = 0, flat[0]
    for i in range(len(flat)):
        if flat[i] > height:
            best, height = i, flat[i]
    return best


@compiled
def _derivatives(
    surface: FloatArray, x: float, y: float
) -> tuple[float, float, float, float, float, float]:
    """Return the value of a polynomial, its slopes along x and y, and its bends xx, xy, yy.

    Its coefficients have the power of x first. By Horner's scheme, which is its own derivative's
    too.
    """
    value = along_x = along_y = xx = xy = yy = 0.0
    for i in range(len(surface) - 1, -1, -1):
        one = by_y = by_yy = 0.0
        for j in range(len(surface) - 1, -1, -1):
            by_yy = by_yy * y + by_y
            by_y = by_y * y + one
            one = one * y + surface[i, j]
        xx = xx * x + along_x
        along_x = along_x * x + value
        value = value * x + one
        xy = xy * x + along_y
        along_y = along_y * x + by_y
        yy = yy * x + by_yy
    return value, along_x, along_y, 2 * xx, xy, 2 * yy
