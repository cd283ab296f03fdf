"""The noise of a mosaic, as it comes through a blot and its smoothing.

How much of it is in the slopes of a template depends on phases of the pixel. A drizzled pixel
shares its input pixels with its neighbours, and by how much is the phase of the exposure in the
grid; the blot's spline smooths as the phase of the chip in the grid has it. Of many exposures the
first is an average. Of two it is one number for all sources of a chip, and taken for the average
it made the slopes of faint stars seem half as noisy as they were: one pair in four had a chi2 of
more than 2 a degree of freedom. So the first is measured on the mosaic, the second known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, LabelArray, read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.splines.convolution import reach_of
from alignsvc.numerics.displacement.splines.spline import gaussian_kernel
from alignsvc.numerics.displacement.windows.local_map import LocalMap
from alignsvc.numerics.displacement.windows.neighbour_differences import NeighbourDifferences
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel

Plane = NDArray[np.floating[Any]]

#: Frequencies per period, and periods on each side of 0, that integrals are taken over.
_SAMPLES, _PERIODS = 64, 2
#: Ways in which neighbours, the chip's phase and the blot's shift act together: each does, or not.
_PHASES = 8
#: Covariance of neighbours along an axis, in units of the noise of a large area, for random
#: phases: 1/6, 2/3, 1/6 is the overlap of two unit boxes. At phase p of one exposure: p (1 - p).
_OF_RANDOM_PHASES = 1.0 / 6.0
#: The largest that neighbours alone can have.
_LARGEST = 0.25
#: Side of the cells over which noise is taken to be alike, grid pixels.
_CELL_PX = 128
#: Differences for which an average over random phases stands in.
_N_ASSUMED = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class NoiseFactors:
    """Mean products of two versions of a noisy template, per unit of its pixels' variance.

    Parameters
    ----------
    value : float64 array, shape (n,)
        Of the values.
    slope : float64 array, shape (n, 2)
        Of the slopes along x and along y, per px^2.
    """

    value: FloatArray
    slope: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class NoiseTexture:
    """How the noise of templates varies from pixel to pixel.

    Parameters
    ----------
    neighbours : float64 array, shape (n, 2)
        Covariance of two neighbours along the chip's x and along y, in units of the noise of a
        large area. 0: every pixel has noise of its own.
    wave : float64 array, shape (n, 2)
        ``cos 2 pi p`` with p the phase of the chip's pixels in the grid along x and along y; less
        where it changes within the template. 0: all phases.
    """

    neighbours: FloatArray
    wave: FloatArray

    def select(self, which: BoolArray | IntArray) -> NoiseTexture:
        """Return the textures named by a mask or by indices."""
        return NoiseTexture(self.neighbours[which], self.wave[which])

    def factors(self, sigma_px: FloatArray, kernel: MatchingKernel, shift: Points) -> NoiseFactors:
        """Return the mean products of templates and the same smoothed by `sigma_px`.

        The power of the noise, ``1 - 2 c + 2 c cos(2 pi f)``, passes the quintic spline through
        the mosaic, is sampled by the chip, and passes the quintic spline through the blot, once
        plain and once times the transform of the smoothing. A quintic through samples has the
        response ``q = sinc^6 / B_5`` (Unser 1999, doi 10.1109/79.799930). Sampling at phase p
        folds all periods onto one, ``|sum_k q(f + k) exp(2 pi i k p)|^2``: of its waves in p only
        the first counts. The shift of the blot is another phase.

        Parameters
        ----------
        sigma_px : float64 array, shape (n,)
        kernel : MatchingKernel
            With which the templates were convolved; of its terms the round ones are counted.
        shift : Points, shape (n,)
            Of the templates, pixels.
        """
        passed = _Passed.by(kernel)
        n_taps = reach_of(float(sigma_px.max(initial=0.0)), _SAMPLES) + 1
        value, slope = _factors(
            gaussian_kernel(sigma_px, n_taps),
            np.stack([shift.x, shift.y], axis=1),
            (self.neighbours, self.wave),
            (passed.table, passed.weight),
        )
        return NoiseFactors(value, slope)


@compiled
def _factors(
    taps: FloatArray,
    shift: FloatArray,
    texture: tuple[FloatArray, FloatArray],
    passed: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Return the fields of `NoiseFactors`: smoothing by taps at 0, 1, ... px, (n, distances)."""
    neighbours, wave = texture
    table, weight = passed
    n, n_pairs = len(taps), len(weight)
    value, slope = np.zeros(n), np.zeros((n, 2))
    parts, along = np.empty(table.shape[1]), np.empty((2, 2, n_pairs))
    for i in range(n):
        parts[:] = 0
        for t in range(taps.shape[1]):
            for k in range(len(parts)):
                parts[k] += taps[i, t] * table[t, k]
        along[:] = 0
        for axis in range(2):
            moved = np.cos(2 * np.pi * shift[i, axis])
            for phase in range(_PHASES):
                counts = neighbours[i, axis] if phase & 4 else 1.0
                counts *= wave[i, axis] if phase & 2 else 1.0
                counts *= moved if phase & 1 else 1.0
                for kind in range(2):
                    for pair in range(n_pairs):
                        part = parts[(phase * 2 + kind) * n_pairs + pair]
                        along[axis, kind, pair] += counts * part
        for pair in range(n_pairs):
            value[i] += weight[pair] * along[0, 0, pair] * along[1, 0, pair]
            slope[i, 0] += weight[pair] * along[0, 1, pair] * along[1, 0, pair]
            slope[i, 1] += weight[pair] * along[0, 0, pair] * along[1, 1, pair]
    return value, slope


@dataclass(frozen=True, slots=True, eq=False)
class _Passed:
    """What a kernel and the blot's spline pass along an axis of the noise.

    The kernel is a sum of separable terms, so its square is one of pairs of them. All of it is
    linear in the smoothing's values at 0, 1, 2, ... px: the integrals over frequencies are taken
    once, for each of these, and for whatever a texture and a shift of the blot weigh.

    Parameters
    ----------
    table : float64 array, shape (distances, 8 * 2 * pairs)
        The noise of pixels on their own, and what neighbours have in common; each over all phases
        of the chip, and its first wave; each over all shifts of the blot, and its first wave. Of
        each the values, then the slopes.
    weight : float64 array, shape (pairs,)
    """

    table: FloatArray
    weight: FloatArray

    @classmethod
    @lru_cache(maxsize=16)  # every chunk of a chip asks for the same
    def by(cls, kernel: MatchingKernel) -> _Passed:
        terms = gaussian_kernel(np.array([0.0, *kernel.sigma_px]), _SAMPLES) @ _cosines()
        parts = np.array([1 - sum(kernel.round), *kernel.round])
        one, other = np.triu_indices(len(parts))
        twice = np.where(one < other, 2.0, 1.0)
        passed = np.stack([_folded(_responses()), _folded(_slope_responses())], axis=1)
        by_frequency = np.einsum(
            "nf,wf,skf,pf->fnwskp",
            np.stack([np.ones(_SAMPLES), -2 * (1 - _cosine())]),
            _folded(_responses()),
            passed,
            terms[one] * terms[other],
        )
        table = _cosines() @ by_frequency.reshape(_SAMPLES, -1) / _SAMPLES
        return cls(read_only(table), read_only(twice * parts[one] * parts[other]))


@dataclass(frozen=True, slots=True, eq=False)
class MosaicNoise:
    """How noise varies from pixel to pixel over a box of a mosaic, cell by cell.

    Parameters
    ----------
    neighbours : float64 array, shape (rows of cells, columns of cells, 2)
        Covariance of two neighbours along x and along y, in units of the noise of a large area.
    """

    neighbours: FloatArray

    @classmethod
    def measured(cls, value: Plane, weight: Plane, label: LabelArray) -> MosaicNoise:
        """Return what the differences of neighbours say, where no source is.

        With the covariances c along x and k along y a difference along x has the variance
        ``2 (1 - 3 c) (1 - 2 k)``, and light that is smooth drops out of it.

        Parameters
        ----------
        value : array, shape of the box
        weight : array, same shape
            Inverse variance of an average over a pixel; 0 in holes.
        label : int32 or int64 array, same shape, or (0, 0)
            Not 0 = some source's; (0, 0) = nobody knows of any.
        """
        differences = NeighbourDifferences.of(
            value.astype(np.float32, copy=False),
            weight.astype(np.float32, copy=False),
            label,
            _CELL_PX,
        )
        return cls(read_only(_covariances(differences)))

    def texture(self, local_map: LocalMap) -> NoiseTexture:
        """Return the texture of templates blotted by maps to pixels of the box."""
        centre = local_map.terms[:, :, 0]
        last = np.array(self.neighbours.shape[1::-1]) - 1
        column, row = np.clip(centre // _CELL_PX, 0, last).astype(np.int64).T
        on_grid = self.neighbours[row, column]
        slope = local_map.terms[:, :, 1:3]  # grid x, y along chip x, y, per reach
        turned = slope**2 / (slope**2).sum(axis=1, keepdims=True)
        # Along chip x lies the grid's axis that changes most with it.
        along = np.abs(slope).argmax(axis=1)
        each = np.arange(len(centre))[:, None]
        return NoiseTexture(
            neighbours=np.einsum("nga,ng->na", turned, on_grid),
            wave=_waves(local_map, centre)[each, along],
        )


def _waves(local_map: LocalMap, centre: FloatArray) -> FloatArray:
    """Return ``cos 2 pi phase`` of the chip's pixels along the grid's axes, shape (n, 2).

    Averaged over the reach: where the phase goes round once within it, 0.
    """
    slope = local_map.terms[:, :, 1:3]
    per_px = slope / local_map.reach_px
    offset = np.stack([local_map.centre.x, local_map.centre.y], axis=1)
    phase = centre + np.einsum("nga,na->ng", per_px, np.rint(offset) - offset)
    # From one pixel to the next the phase changes by what a step differs from a whole one.
    change = np.abs(slope - local_map.reach_px * np.rint(per_px)).sum(axis=2)
    waves: FloatArray = np.cos(2 * np.pi * phase) * np.sinc(change)
    return waves


def _covariances(differences: NeighbourDifferences) -> FloatArray:
    """Return the covariances of neighbours along x and along y, shape (rows, columns, 2).

    Few differences count less than what is assumed.
    """
    variance, n = differences.variance, differences.number
    found = np.full(variance.shape, _OF_RANDOM_PHASES)
    for _ in range(_ROUNDS):
        of_other = found[..., ::-1]
        found = np.clip((1 - 0.5 * variance / (1 - 2 * of_other)) / 3, 0.0, _LARGEST)
    return np.asarray((n * found + _N_ASSUMED * _OF_RANDOM_PHASES) / (n + _N_ASSUMED))


#: Each axis' covariance follows from the other's; an error shrinks to a third in a round.
_ROUNDS = 6


def _frequencies() -> FloatArray:
    """Return the frequencies of one period, cycles per pixel."""
    return np.arange(_SAMPLES) / _SAMPLES


@cache
def _responses() -> FloatArray:
    """Return the quintic's responses in all periods, (periods, frequencies)."""
    f = _all_frequencies()
    phase = 2 * np.pi * f
    bspline = (66 + 52 * np.cos(phase) + 2 * np.cos(2 * phase)) / 120
    responses: FloatArray = np.sinc(f) ** 6 / bspline
    return read_only(responses)


def _all_frequencies() -> FloatArray:
    return _frequencies() + np.arange(-_PERIODS, _PERIODS)[:, None]


@cache
def _cosine() -> FloatArray:
    return read_only(np.cos(2 * np.pi * _frequencies()))


def _folded(q: FloatArray) -> FloatArray:
    """Return the power that sampling passes of a response: over all phases, and its first wave."""
    return np.stack([(q**2).sum(axis=0), 2 * (q[1:] * q[:-1]).sum(axis=0)])


def _slope_responses() -> FloatArray:
    """Return the responses of the quintic's slope, (periods, frequencies)."""
    slopes: FloatArray = 2 * np.pi * _all_frequencies() * _responses()
    return slopes


@cache
def _cosines() -> FloatArray:
    """Return what makes a transform of a symmetric kernel of its values at 0, 1, 2, ... px."""
    distance = np.arange(_SAMPLES)
    cosines = np.cos(2 * np.pi * np.outer(distance, _frequencies()))
    return read_only(cosines * np.where(distance > 0, 2, 1)[:, None])
