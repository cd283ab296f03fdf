"""Peaks of interlaced correlation maps: where they are, and when there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, read_only
from alignsvc.domain.quality import DisplacementFlag

#: Samples of an interlaced map per pixel.
OVERSAMPLING = 2


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
    fine = scores.reshape(n, 2, 2, m, m).transpose(0, 3, 1, 4, 2).reshape(n, 2 * m, 2 * m)
    return fine[:, :-1, :-1]


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
        n, m, _ = maps.shape
        half = self.fit_side // 2
        best = maps.reshape(n, -1).argmax(axis=1)
        row, column = best // m, best % m
        at_edge = (np.minimum(row, column) < half) | (np.maximum(row, column) >= m - half)
        safe_row, safe_column = (np.clip(i, half, m - 1 - half) for i in (row, column))
        near = np.arange(-half, half + 1)
        each = np.arange(n)[:, None, None]
        box = maps[each, safe_row[:, None, None] + near[:, None], safe_column[:, None, None] + near]
        x, y, height = self._maximum(box.astype(np.float64))
        missing = ~at_edge & ~(np.isfinite(x) & (height > 0))
        found = ~at_edge & ~missing
        middle = m // 2
        return Peaks(
            dx=np.where(found, (safe_column - middle + x) * spacing_px, np.nan),
            dy=np.where(found, (safe_row - middle + y) * spacing_px, np.nan),
            height=np.where(found, height, np.nan),
            flags=np.select(
                [at_edge, missing],
                [int(DisplacementFlag.PEAK_AT_EDGE), int(DisplacementFlag.NO_PEAK)],
                0,
            ).astype(np.int64),
        )

    def _maximum(self, box: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return position (samples from the middle; NaN if none) and height of the maximum."""
        powers, fit = _least_squares(self.fit_side, self.degree)
        surface = dict(zip(powers, fit @ box.reshape(len(box), -1).T, strict=True))
        by_x, by_y = _slope(surface, 0), _slope(surface, 1)
        by_xx, by_xy, by_yy = _slope(by_x, 0), _slope(by_x, 1), _slope(by_y, 1)
        x, y = np.zeros(len(box)), np.zeros(len(box))
        # Newton's method from the highest sample; exact in one step for degree 2.
        for _ in range(1 if self.degree == 2 else 6):
            slope_x, slope_y, xx, xy, yy = _values((by_x, by_y, by_xx, by_xy, by_yy), x, y)
            determinant = xx * yy - xy**2
            concave = (xx < 0) & (determinant > 0)
            scale = np.where(concave, 1 / np.where(concave, determinant, 1), np.nan)
            x = x - (yy * slope_x - xy * slope_y) * scale
            y = y - (xx * slope_y - xy * slope_x) * scale
        inside = (np.abs(x) <= 1) & (np.abs(y) <= 1)
        x, y = np.where(inside, x, np.nan), np.where(inside, y, np.nan)
        return x, y, _values((surface,), x, y)[0]


#: Coefficients of ``x^i y^j``, one of each for every map: {(i, j): shape (n,)}.
_Polynomials = dict[tuple[int, int], FloatArray]


@cache
def _least_squares(side: int, degree: int) -> tuple[tuple[tuple[int, int], ...], FloatArray]:
    """Return the powers of x and y in a polynomial, and what gives their coefficients.

    The matrix has a row for each power and a column for each of `side` x `side` samples.
    """
    powers = tuple((i, j) for i in range(degree + 1) for j in range(degree + 1 - i))
    half = side // 2
    grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1).astype(float)
    design = np.stack([grid_x**i * grid_y**j for i, j in powers], axis=1)
    return powers, read_only(np.linalg.pinv(design))


def _values(
    polynomials: tuple[_Polynomials, ...], x: FloatArray, y: FloatArray
) -> list[FloatArray]:
    """Return the value of each polynomial, each map at its own point."""
    monomials: _Polynomials = {(0, 0): np.ones_like(x)}
    for i, j in polynomials[0]:
        if (i, j) != (0, 0):
            monomials[i, j] = monomials[i, j - 1] * y if j else monomials[i - 1, j] * x
    return [
        np.add.reduce([c * monomials[power] for power, c in one.items()]) for one in polynomials
    ]


def _slope(surface: _Polynomials, axis: int) -> _Polynomials:
    """Return the derivative along x (axis 0) or y."""
    if axis == 0:
        return {(i - 1, j): i * c for (i, j), c in surface.items() if i}
    return {(i, j - 1): j * c for (i, j), c in surface.items() if j}
