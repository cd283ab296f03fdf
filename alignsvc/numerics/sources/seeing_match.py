"""A blot made to look as if it had been seen through an exposure's own seeing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Fewest pixels for each coefficient: with less, rays would be fitted.
_LEAST_PIXELS_EACH = 20
#: How far the derivatives look, pixels.
REACH = 3
#: The blot and its derivatives.
_N_TERMS = 8
#: The Laplacian of the Laplacian: weights of a pixel, of the four beside it and the four at its
#: corners; those two away weigh 1.
_TWICE = tuple(np.float32(weight) for weight in (20, -8, 2))
#: The Laplacian of that: also of those two away, and a knight's move away; those three away
#: weigh 1.
_THRICE = tuple(np.float32(weight) for weight in (-112, 57, -24, -12, 3))


class Matched(NamedTuple):
    """A blot as a chip would see it, at n pixels, and the error of that in units of the blot.

    Not fitted means: it is the blot as it was.
    """

    value: Float32Array
    error: float
    is_fitted: bool


class MatchPixels(NamedTuple):
    """Pixels of a chip where its blot is to be matched; arrays of shape (n,).

    Parameters
    ----------
    at : int64 array
        Indices of the chip's pixels, row after row.
    seen : float32 array
        The chip's pixels there.
    variance : float32 array
        Of their difference to the blot.
    tell : bool array
        Those on sources, their 24 neighbours known in the blot: they tell how it is to change.
    """

    at: IntArray
    seen: Float32Array
    variance: Float32Array
    tell: BoolArray


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

    def __call__(self, blot: Float32Array, pixels: MatchPixels) -> Matched:
        """Return `blot` as the chip would see it; unchanged if too few pixels tell.

        Parameters
        ----------
        blot : float32 array, shape (ny, nx)
        pixels : MatchPixels
        """
        terms = _derivatives(blot, pixels.at)
        before = terms[:, 0]
        design, seen, variance = (of[pixels.tell] for of in (terms, pixels.seen, pixels.variance))
        value = design[:, 0]
        excess = (seen - value).astype(np.float64)
        error = np.sqrt(variance + (self.fraction * value) ** 2).astype(np.float64)
        near = np.ones(len(excess), bool)
        coefficients = np.zeros(_N_TERMS)
        off = np.zeros(0)
        for _ in range(self.rounds):
            if near.sum() < _LEAST_PIXELS_EACH * _N_TERMS:
                return Matched(before, self.fraction, is_fitted=False)
            coefficients = _weighted_fit(design, excess, np.where(near, 1 / error, 0))
            off = (excess - _summed(design, coefficients)) / error
            # The first fit is bent by rays: the scale of what it leaves tells how much.
            scale = max(1.0, 1.4826 * float(np.median(np.abs(off[near]))))
            near = np.abs(off) < self.clip * scale
        matched = (before + _summed(terms, coefficients)).astype(np.float32)
        left = (off * error / value)[near]
        noise = (np.sqrt(variance) / value)[near]
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


def _weighted_fit(design: Float32Array, values: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the least-squares solution by its normal equations, columns brought to one length.

    So scaled, derivatives of stars have a condition of some hundred: its square leaves 11 digits.
    """
    product, right = _normal_sums(design, values, weight)
    scale = np.sqrt(np.diag(product))
    scale[scale == 0] = 1.0
    found = np.linalg.lstsq(product / np.outer(scale, scale), right / scale, rcond=1e-12)[0]
    return np.asarray(found / scale, float)


@compiled_sums
def _normal_sums(
    design: Float32Array, values: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the sums of products of weighted columns, among themselves and with the values."""
    n = design.shape[1]
    product, right = np.zeros((n, n)), np.zeros(n)
    row = np.empty(n)
    for k in range(design.shape[0]):
        if weight[k] == 0:
            continue
        value = values[k] * weight[k]
        for i in range(n):
            row[i] = np.float64(design[k, i]) * weight[k]
        for i in range(n):
            right[i] += row[i] * value
            for j in range(n):
                product[i, j] += row[i] * row[j]
    return product, right


@compiled
def _summed(design: Float32Array, coefficients: FloatArray) -> FloatArray:
    """Return each row's terms times their coefficients, added up."""
    totals = np.empty(design.shape[0])
    for k in range(design.shape[0]):
        total = 0.0
        for i in range(_N_TERMS):
            total += coefficients[i] * np.float64(design[k, i])
        totals[k] = total
    return totals


@compiled
def _derivatives(blot: Float32Array, at: IntArray) -> Float32Array:
    """Return the terms at some pixels, shape (n, 8).

    The blot, its gradient, its second derivatives (of x, of y, of both), and the Laplacian of
    its Laplacian once and twice. Beyond the edges the blot is mirrored, so that each derivative
    goes on as the edge has it.
    """
    ny, nx = blot.shape
    terms = np.empty((at.size, _N_TERMS), np.float32)
    here = np.empty((7, 7), np.float32)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        if 3 <= y < ny - 3 and 3 <= x < nx - 3:
            _write_terms(blot[y - 3 : y + 4, x - 3 : x + 4], terms[k])
        else:
            for j in range(7):
                for i in range(7):
                    here[j, i] = blot[_mirrored(y - 3 + j, ny), _mirrored(x - 3 + i, nx)]
            _write_terms(here[:, :], terms[k])
    return terms


@compiled
def _write_terms(here: Float32Array, terms: Float32Array) -> None:
    """Write the terms of the middle one of 7 x 7 pixels.

    A Laplacian is four neighbours less four times the pixel; taken twice and three times, it
    weighs pixels by how far they lie off along both axes.
    """
    half, quarter = np.float32(0.5), np.float32(0.25)
    centre, left, right = here[3, 3], here[3, 2], here[3, 4]
    below, above = here[2, 3], here[4, 3]
    corners = here[2, 2] + here[2, 4] + here[4, 2] + here[4, 4]
    beside = left + right + below + above
    second = here[3, 1] + here[3, 5] + here[1, 3] + here[5, 3]
    third = here[3, 0] + here[3, 6] + here[0, 3] + here[6, 3]
    knights = here[1, 2] + here[1, 4] + here[5, 2] + here[5, 4]
    knights += here[2, 1] + here[2, 5] + here[4, 1] + here[4, 5]
    terms[0] = centre
    terms[1] = half * (right - left)
    terms[2] = half * (above - below)
    terms[3] = right - centre - centre + left
    terms[4] = above - centre - centre + below
    terms[5] = quarter * (here[4, 4] - here[4, 2] - here[2, 4] + here[2, 2])
    terms[6] = _TWICE[0] * centre + _TWICE[1] * beside + _TWICE[2] * corners + second
    terms[7] = (
        _THRICE[0] * centre
        + _THRICE[1] * beside
        + _THRICE[2] * corners
        + _THRICE[3] * second
        + _THRICE[4] * knights
        + third
    )


@compiled
def _mirrored(index: int, n: int) -> int:
    """Return which of n pixels stands for one beyond them: the edge is a mirror."""
    while index < 0 or index >= n:
        index = -1 - index if index < 0 else 2 * n - 1 - index
    return index
