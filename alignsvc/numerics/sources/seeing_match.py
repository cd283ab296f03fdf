"""A blot made to look as if it had been seen through an exposure's own seeing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray

#: Fewest pixels for each coefficient: with less, rays would be fitted.
_LEAST_PIXELS_EACH = 20


class Matched(NamedTuple):
    """A blot as a chip would see it, shape (ny, nx), and the error of that in units of the blot.

    Not fitted means: it is the blot as it was.
    """

    value: Float32Array
    error: float
    is_fitted: bool


@dataclass(frozen=True, slots=True)
class SeeingMatch:
    """Fit what a chip shows as a blot plus the blot's derivatives, by least squares.

    An image moved by ``t`` and blurred by a kernel of variance ``V`` is, to first order, the
    image plus ``t . gradient`` plus half of ``V : second derivatives``; a fourth derivative takes
    up most of what is left, and the blot itself a wrong flux scale. Seven numbers a chip, each of
    either sign: a kernel as in Alard & Lupton (1998, ApJ 503, 325) in the basis of derivatives.

    Parameters
    ----------
    fraction : float
        Error of the model, of the blot's value: bright stars are not to decide alone.
    clip : float
        Pixels farther out than this many errors are left out, then it is fitted again: rays.
    rounds : int
    """

    fraction: float = 0.05
    clip: float = 4.0
    rounds: int = 4

    def __call__(
        self, pixels: Float32Array, blot: Float32Array, variance: Float32Array, use: BoolArray
    ) -> Matched:
        """Return `blot` as the chip would see it; unchanged if too few pixels tell.

        Parameters
        ----------
        pixels, blot : float32 arrays, shape (ny, nx)
        variance : float32 array, shape (ny, nx)
            Of the difference of the two.
        use : bool array, shape (ny, nx)
            Pixels on sources, their 24 neighbours known in `blot`.
        """
        terms = _derivatives(blot)
        design = np.stack([term[use] for term in terms], axis=1).astype(float)
        excess = (pixels[use] - blot[use]).astype(float)
        error = np.sqrt(variance[use] + (self.fraction * blot[use]) ** 2)
        near = np.ones(len(excess), bool)
        coefficients = np.zeros(len(terms))
        for _ in range(self.rounds):
            if near.sum() < _LEAST_PIXELS_EACH * len(terms):
                return Matched(blot, self.fraction, is_fitted=False)
            coefficients = _weighted_fit(design[near], excess[near], error[near])
            off = (excess - design @ coefficients) / error
            # The first fit is bent by rays: the scale of what it leaves tells how much.
            scale = max(1.0, 1.4826 * float(np.median(np.abs(off[near]))))
            near = np.abs(off) < self.clip * scale
        matched = blot.copy()
        for coefficient, term in zip(coefficients, terms, strict=True):
            matched += np.float32(coefficient) * term
        left = (excess - design @ coefficients)[near] / blot[use][near]
        noise = np.sqrt(variance[use][near]) / blot[use][near]
        return Matched(matched, self._error(left, noise), is_fitted=True)

    def _error(self, left: FloatArray, noise: FloatArray) -> float:
        """Return what is left beyond the noise, both in units of the blot."""
        is_clear = noise < self.fraction
        if is_clear.sum() < _LEAST_PIXELS_EACH:
            return self.fraction
        # The ninth decile of a normal error's size lies 1.645 standard deviations out.
        seen = float(np.quantile(np.abs(left[is_clear]), 0.9)) / 1.645
        expected = float(np.mean(noise[is_clear] ** 2))
        return math.sqrt(max(seen**2 - expected, 0.0))


def _weighted_fit(design: FloatArray, values: FloatArray, error: FloatArray) -> FloatArray:
    weighted = design / error[:, None]
    scale = np.sqrt((weighted**2).sum(axis=0))
    scale[scale == 0] = 1.0
    found = np.linalg.lstsq(weighted / scale, values / error, rcond=1e-10)[0]
    return np.asarray(found / scale, float)


def _derivatives(blot: Float32Array) -> tuple[Float32Array, ...]:
    """Return the blot, its gradient, its second derivatives and the Laplacian's Laplacian."""
    around = _neighbours(blot)
    half, quarter = np.float32(0.5), np.float32(0.25)
    along_x = half * (around[1, 2] - around[1, 0])
    along_y = half * (around[2, 1] - around[0, 1])
    bend_x = around[1, 2] - 2 * blot + around[1, 0]
    bend_y = around[2, 1] - 2 * blot + around[0, 1]
    twist = quarter * (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0])
    fourth = _laplacian(bend_x + bend_y)
    return blot, along_x, along_y, bend_x, bend_y, twist, fourth, _laplacian(fourth)


def _laplacian(plane: Float32Array) -> Float32Array:
    around = _neighbours(plane)
    return around[1, 2] + around[1, 0] + around[2, 1] + around[0, 1] - 4 * plane


def _neighbours(plane: Float32Array) -> dict[tuple[int, int], Float32Array]:
    """Return the plane moved by -1, 0 or 1 pixel along each axis, by (row, column) + 1."""
    ny, nx = plane.shape
    padded = np.pad(plane, 1, mode="edge")
    return {(j, i): padded[j : j + ny, i : i + nx] for j in range(3) for i in range(3)}
