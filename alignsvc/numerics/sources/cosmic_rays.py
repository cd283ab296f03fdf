"""Cosmic rays: pixels of one exposure that the others do not see, or that no star can make.

The classical scheme (Fruchter & Hook 2002, PASP 114, 144, section 4; astrodrizzle's `driz_cr`,
Hack et al. 2012) compares an exposure with a blot of the *median* of all, and allows for what is
not perfectly aligned by the blot's derivative. Here the blot is of the *mean of all the others*,
which the run has for nothing (`leave_one_out`). A median is wanted because a mean holds the rays
of all exposures; but a mean of the others does not hold the exposure's own, theirs only ever
make it brighter, and only what is brighter than the blot is a ray: a ray in another exposure can
hide one here (where both hit one pixel, once in a hundred), never make one up. And with the masks
of the pass before it holds few. In return, two exposures need no rule of their own (the other one
is the minimum of `minmed`), and no pixel is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.chip_blots import ChipBlot, Others, brightest_nearby, interpolated
from alignsvc.numerics.sources.laplacian import LaplacianRejection
from alignsvc.numerics.sources.seeing_match import SeeingMatch
from alignsvc.numerics.sources.spread_masks import dilated, eroded

#: Position error of a blot that was not matched, pixels: 4.5 times it is astrodrizzle's 1.2 px.
_UNFITTED_PX = 0.27
#: What a pixel's neighbours have of its light, in all directions, if it is no ray.
_WIDE = 0.5
#: Significance of a pixel that the others must see too if it is a star's.
_CLEARLY = 20.0
#: Half of the eight neighbours, (row, column); the other half lies opposite.
_AXES = ((0, 1), (1, 0), (1, 1), (1, -1))


class RaysOnChip(NamedTuple):
    """Cosmic rays of a chip, two arrays of shape (ny, nx).

    `mask` is True where a ray is; never where the chip is masked already. `instead` holds, at
    rays on what the others see as a source, the pixel that they let expect; NaN elsewhere.
    """

    mask: BoolArray
    instead: Float32Array


@dataclass(frozen=True, slots=True)
class CosmicRayRejection:
    """Find cosmic rays on a chip.

    Parameters
    ----------
    sigma : (float, float)
        How far a pixel must exceed the blot, in units of the noise: alone, and beside one that
        does. The second is astrodrizzle's; the first is higher, as a pixel of noise in 4000 is
        worth keeping.
    slopes : (float, float)
        What is allowed on top, in units of the blot's slope per pixel: so far a star may lie off.
        A sixth of astrodrizzle's, as the blot is matched to the chip before; where too few
        pixels tell how, its own are allowed.
    doubt : float
        Error of the match, in units of how much it changed the blot.
    sharpness : float
        On a source, an excess that falls off like the source's own core raised to this power is
        better seeing, not a ray.
    stars_among_edges : float
        Before the first alignment, sharp edges mean rays if fewer of them than this are stars.
    match : SeeingMatch
        How the blot is made to look like the chip.
    alone : LaplacianRejection
        For what nobody else saw.
    """

    sigma: tuple[float, float] = (4.5, 3.0)
    slopes: tuple[float, float] = (0.2, 0.1)
    doubt: float = 0.1
    sharpness: float = 6.0
    stars_among_edges: float = 0.2
    match: SeeingMatch = field(default_factory=SeeingMatch)
    alone: LaplacianRejection = field(default_factory=LaplacianRejection)

    def __call__(self, chip: CalibratedChip, others: Others) -> RaysOnChip:
        """Return the rays of a chip."""
        if others.misalignment_px is not None:
            mask = self._unaligned(chip, others, others.misalignment_px)
            return RaysOnChip(mask, np.full(chip.shape, np.nan, np.float32))
        return self._aligned(chip, others)

    def _aligned(self, chip: CalibratedChip, others: Others) -> RaysOnChip:
        bright = _brighter_than_noise(chip, self.sigma[1])
        blot = interpolated(others, dilated(bright, 3))
        tried = bright & eroded(blot.is_known, 1)
        matched = self._matched(chip, blot, tried)
        noise, slope = np.sqrt(_variance(chip, matched)), _slope(matched.value)
        excess = np.where(blot.is_known, chip.pixels - matched.value, np.float32(0))
        seed = tried & (excess > self.sigma[0] * noise + self.slopes[0] * slope)
        seed[seed] = ~self._is_better_seeing(seed, excess, matched)
        near = dilated(seed, 1)
        grown = near & tried & (excess > self.sigma[1] * noise + self.slopes[1] * slope)
        mask = seed | grown | self.alone(chip, bright & ~tried)
        is_source = mask & tried & (matched.value > np.sqrt(_variance(chip, blot)))
        return RaysOnChip(mask, np.where(is_source, matched.value, np.float32(np.nan)))

    def _matched(self, chip: CalibratedChip, blot: ChipBlot, tried: BoolArray) -> ChipBlot:
        """Return the blot with the chip's own seeing; its variance holds what is still unlike."""
        variance = _variance(chip, blot)
        bled = dilated(chip.saturated, 4)
        use = tried & ~bled & (blot.value > 3.0 * np.sqrt(variance))
        found = self.match(chip.pixels, blot.value, variance, use)
        # Sources are not negative, only derivatives in a steep wing are.
        value = np.where(blot.value > 0, np.maximum(found.value, 0), found.value)
        unlike = (np.float32(found.error) * blot.value) ** 2
        unlike += (np.float32(self.doubt) * (value - blot.value)) ** 2
        if not found.is_fitted:
            unlike += (np.float32(_UNFITTED_PX) * _slope(blot.value)) ** 2
        return ChipBlot(value, blot.variance + unlike, blot.is_known)

    def _unaligned(self, chip: CalibratedChip, others: Others, reach: int) -> BoolArray:
        """Compare with the brightest pixel that the others have anywhere near.

        A source of this exposure is in each of the others, `reach` away at most, so that their
        mean of n has there an nth of its peak, however they lie. The ratio of the variances
        tells n. Where many rays hit, few places have none of another exposure near; then edges
        tell, unless stars have such edges too.
        """
        bright = _brighter_than_noise(chip, self.sigma[1])
        elsewhere = np.roll(bright, 2 * reach + 1, axis=0)
        nearby = brightest_nearby(others, bright | elsewhere, reach)
        noise = np.sqrt(_variance(chip, nearby))
        tried = bright & nearby.is_known
        allowed = np.maximum(_depth(chip, nearby), 2) * nearby.value
        seed = tried & (chip.pixels > self.sigma[0] * noise + allowed)
        near = dilated(seed, 1)
        grown = near & tried & (chip.pixels > self.sigma[1] * noise + nearby.value)
        edges = self.alone(chip, bright)
        if self._are_edges_of_stars(chip, nearby, edges, reach):
            edges &= ~nearby.is_known
        found: BoolArray = seed | grown | edges
        return found

    def _are_edges_of_stars(
        self, chip: CalibratedChip, nearby: ChipBlot, edges: BoolArray, reach: int
    ) -> bool:
        """Return whether what has sharp edges is seen by the others more often than by chance.

        Chance is what they have elsewhere. Of pixels with sharp edges let a part f be stars, and
        let a part p of all places have another's ray near: ``f + (1 - f) p`` are seen, p elsewhere.
        """
        there = np.maximum(_depth(chip, nearby), 2) * nearby.value
        elsewhere = np.roll(there, -(2 * reach + 1), axis=0)
        known = nearby.is_known & np.roll(nearby.is_known, -(2 * reach + 1), axis=0)
        tried = edges & known & (chip.pixels * np.sqrt(chip.weight) > _CLEARLY)
        if not tried.any():
            return True
        seen = float((chip.pixels[tried] < there[tried]).mean())
        chance = float((chip.pixels[tried] < elsewhere[tried]).mean())
        return seen - chance > self.stars_among_edges * (1.0 - chance)

    def _is_better_seeing(self, seed: BoolArray, excess: Float32Array, blot: ChipBlot) -> BoolArray:
        """Return which seeds are the core of a star that this exposure sees sharper.

        In some direction a ray's neighbours have none of its light. A star has, in all
        directions: the others' core says how much; where they have none, half is much. Gaussian
        cores of width s lose a factor ``exp(-1 / 2 s^2)`` from a pixel to the next; seeing better
        by f takes that to the power f^2, and the difference of the two falls off somewhat faster.
        """
        row, column = np.nonzero(seed)
        centre, source = excess[seed], blot.value[seed]
        least = np.full(centre.shape, np.inf)
        core = np.full(centre.shape, np.inf)
        for axis in _AXES:
            least = np.minimum(least, _opposite_mean(excess, row, column, axis))
            core = np.minimum(core, _opposite_mean(blot.value, row, column, axis))
        is_source = source > 3.0 * np.sqrt(blot.variance[seed])
        fall = np.clip(core / np.where(is_source, source, np.float32(1)), 0.0, 1.0)
        wanted = np.where(is_source, fall**self.sharpness, _WIDE)
        return np.asarray(least > wanted * centre, bool)


def _brighter_than_noise(chip: CalibratedChip, sigma: float) -> BoolArray:
    """Return good pixels that exceed the sky by `sigma` times its noise: no others can be rays."""
    return np.asarray(~chip.mask & (chip.pixels * np.sqrt(chip.weight) > sigma), bool)


def _variance(chip: CalibratedChip, blot: ChipBlot) -> Float32Array:
    """Return the variance of pixel minus blot: the chip's, the source's photons, the blot's."""
    variance = np.zeros(chip.shape, np.float32)
    np.divide(np.float32(1), chip.weight, out=variance, where=chip.weight > 0)
    variance += blot.variance
    if chip.gain is not None:
        variance += np.maximum(blot.value, 0) / np.float32(chip.gain)
    return variance


def _depth(chip: CalibratedChip, blot: ChipBlot) -> Float32Array:
    """Return how many exposures like this one the blot is made of; 0 where it is not known."""
    depth = np.zeros(chip.shape, np.float32)
    product = chip.weight * blot.variance
    np.divide(np.float32(1), product, out=depth, where=product > 0)
    return depth


def _slope(plane: Float32Array) -> Float32Array:
    """Return the largest difference of each pixel to the four beside it."""
    slope = np.zeros(plane.shape, np.float32)
    across, along = np.abs(np.diff(plane, axis=1)), np.abs(np.diff(plane, axis=0))
    for side, step in (
        (slope[:, 1:], across),
        (slope[:, :-1], across),
        (slope[1:], along),
        (slope[:-1], along),
    ):
        np.maximum(side, step, out=side)
    return slope


def _opposite_mean(
    plane: Float32Array, row: IntArray, column: IntArray, axis: tuple[int, int]
) -> FloatArray:
    """Return the mean of the two neighbours along an axis; beyond the chip's edge it is 0."""
    ny, nx = plane.shape
    total = np.zeros(len(row))
    for sign in (1, -1):
        y, x = row + sign * axis[0], column + sign * axis[1]
        inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
        total[inside] += 0.5 * plane[y[inside], x[inside]]
    return total
