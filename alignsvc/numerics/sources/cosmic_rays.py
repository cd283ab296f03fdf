"""Cosmic rays: pixels of one exposure that the others do not see, or that no star can make.

The classical scheme (Fruchter & Hook 2002, PASP 114, 144, section 4; astrodrizzle's `driz_cr`,
Hack et al. 2012) compares an exposure with a blot of the *median* of all, and allows for what is
not perfectly aligned by the blot's derivative. Here the blot is of the *mean of all the others*,
which the run has for nothing (`chip_blots`). A median is wanted because a mean holds the rays
of all exposures; but a mean of the others does not hold the exposure's own, theirs only ever
make it brighter, and only what is brighter than the blot is a ray: a ray in another exposure can
hide one here (where both hit one pixel, once in a hundred), never make one up. And with the masks
of the pass before it holds few. In return, two exposures need no rule of their own (the other one
is the minimum of `minmed`), and no pixel is sorted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.chip_blots import (
    OthersUnderChip,
    PixelBlots,
    brightest_nearby,
    interpolated,
)
from alignsvc.numerics.sources.laplacian import LaplacianRejection
from alignsvc.numerics.sources.seeing_match import REACH, MatchPixels, SeeingMatch
from alignsvc.numerics.sources.spread_masks import any_about, dilated, squares_about

_NO_SOURCES = np.zeros(0, np.int64), np.zeros(0, np.float32)

T = TypeVar("T", bound=np.generic)

#: Position error of a blot that was not matched, pixels: 4.5 times it is astrodrizzle's 1.2 px.
_UNFITTED_PX = 0.27
#: What a pixel's neighbours have of its light, in all directions, if it is no ray.
_WIDE = 0.5
#: Significance of a pixel that the others must see too if it is a star's.
_CLEARLY = 20.0
#: A pixel is judged with the eight about it, each matched by derivatives that reach 3 pixels.
_NEAR = 1 + REACH
#: A mean that changes less of its members than this from pixel to pixel is one mean.
_FEW_MEMBERS = 0.1
#: Half of the eight neighbours, (row, column); the other half lies opposite.
_AXES = ((0, 1), (1, 0), (1, 1), (1, -1))


class RaysOnChip(NamedTuple):
    """Cosmic rays of a chip, two arrays of shape (n,).

    Parameters
    ----------
    pixel : int64 array
        Indices of the chip's pixels that rays hit, row after row, rising; never of masked ones.
    instead : float32 array
        What the others let expect there, where they see a source; NaN elsewhere.
    """

    pixel: IntArray
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
    members : float
        How unlike others are, in units of a core's light: where the mean changes its members by a
        part f, it may be off by f times this. It is the standard deviation of the squares of their
        widths (0.23 for FWHM of 4 to 6 px, all alike likely), by which the peak of a star goes.
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
    members: float = 0.2
    sharpness: float = 6.0
    stars_among_edges: float = 0.2
    match: SeeingMatch = field(default_factory=SeeingMatch)
    alone: LaplacianRejection = field(default_factory=LaplacianRejection)

    def __call__(self, chip: CalibratedChip, others: OthersUnderChip) -> RaysOnChip:
        """Return the rays of a chip."""
        if others.misalignment_px is not None:
            return self._unaligned(chip, others, others.misalignment_px)
        return self._aligned(chip, others)

    def _aligned(self, chip: CalibratedChip, others: OthersUnderChip) -> RaysOnChip:
        """Judge the pixels that exceed the sky; nothing is done for all the others."""
        bright = _brighter_than_noise(chip, self.sigma)
        asked = interpolated(others, np.flatnonzero(squares_about(bright, _NEAR, chip.shape)))
        plane = _spread(asked.at, asked.value, chip.shape)
        unknown = _spread(asked.at[~asked.is_known], np.True_, chip.shape)
        is_untold = any_about(unknown, bright)
        at, untold = bright[~is_untold], _no_cores(chip, asked, bright[is_untold])
        blot = asked.select(squares_about(at, 1, chip.shape).take(asked.at))
        blot = blot._replace(jump=_largest_jump(asked, blot.at, chip.shape))
        is_tried = _spread(at, np.True_, chip.shape).take(blot.at)
        matched = self._matched(chip, plane, blot, is_tried)
        plane.reshape(-1)[blot.at] = matched.value
        blot, matched = blot.select(is_tried), matched.select(is_tried)
        is_ray = self._stand_out(chip, plane, matched)
        is_source = matched.value > np.sqrt(_variance(chip, blot))
        instead = np.where(is_source, matched.value, np.float32(np.nan))[is_ray]
        return _rays((at[is_ray], instead), untold[self.alone(chip, untold)])

    def _matched(
        self, chip: CalibratedChip, plane: Float32Array, blot: PixelBlots, is_tried: BoolArray
    ) -> PixelBlots:
        """Return the blot with the chip's own seeing; its variance holds what is still unlike.

        `plane` is the blot in its places: 0 where it is not known. Where some of the others are
        saturated and some are not, or all are, it has steps, whose derivatives are none of an
        image. There the match may only add to the blot.
        """
        variance = _variance(chip, blot)
        bled = dilated(chip.saturated, 4).take(blot.at)
        tell = is_tried & ~bled & (blot.value > 3.0 * np.sqrt(variance))
        pixels = MatchPixels(blot.at, chip.pixels.take(blot.at), variance, tell)
        found = self.match(plane, pixels)
        # Sources are not negative, only derivatives in a steep wing are.
        value = np.where(blot.value > 0, np.maximum(found.value, 0), found.value)
        value = np.where(blot.jump > _FEW_MEMBERS, np.maximum(value, blot.value), value)
        unlike = (np.float32(found.error) * blot.value) ** 2
        unlike += (np.float32(self.doubt) * (value - blot.value)) ** 2
        unlike += (np.float32(self.members) * blot.jump * blot.value) ** 2
        if not found.is_fitted:
            unlike += (np.float32(_UNFITTED_PX) * _slope(plane, blot.at)) ** 2
        return blot._replace(value=value, variance=blot.variance + unlike)

    def _stand_out(self, chip: CalibratedChip, plane: Float32Array, blot: PixelBlots) -> BoolArray:
        """Return which pixels exceed the blot, shape (n,); `plane` is the blot in its places."""
        excess = chip.pixels.take(blot.at) - blot.value
        noise, slope = np.sqrt(_variance(chip, blot)), _slope(plane, blot.at)
        seed = excess > self.sigma[0] * noise + self.slopes[0] * slope
        seed[seed] = ~self._is_better_seeing(chip, plane, blot.select(seed))
        near = any_about(_spread(blot.at[seed], np.True_, chip.shape), blot.at)
        return seed | (near & (excess > self.sigma[1] * noise + self.slopes[1] * slope))

    def _is_better_seeing(
        self, chip: CalibratedChip, plane: Float32Array, seed: PixelBlots
    ) -> BoolArray:
        """Return which seeds are of a star that this exposure sees sharper, or with wider wings.

        In some direction a ray's neighbours have none of its light. A star has, in all
        directions: the others' core says how much, at most half, which is much where they have
        no core; on a source less by the noise. Gaussian cores of width s lose a factor
        ``exp(-1 / 2 s^2)`` from a pixel to the next; seeing better by f takes that to the power
        f^2, and the difference of the two falls off somewhat faster.
        """
        row, column = np.divmod(seed.at, chip.shape[1])
        least = np.full(len(row), np.inf)
        core = np.full(len(row), np.inf)
        for axis in _AXES:
            expected = _opposite_mean(plane, row, column, axis)
            core = np.minimum(core, expected)
            least = np.minimum(least, _opposite_mean(chip.pixels, row, column, axis) - expected)
        is_source = seed.value > 3.0 * np.sqrt(seed.variance)
        fall = np.clip(core / np.where(is_source, seed.value, np.float32(1)), 0.0, 1.0)
        wanted = np.where(is_source, np.minimum(fall**self.sharpness, _WIDE), _WIDE)
        noise = np.where(is_source, np.sqrt(_variance(chip, seed)), np.float32(0))
        centre = chip.pixels.take(seed.at) - seed.value
        return np.asarray(least > wanted * centre - noise, bool)

    def _unaligned(self, chip: CalibratedChip, others: OthersUnderChip, reach: int) -> RaysOnChip:
        """Compare with the brightest pixel that the others have anywhere near.

        A source of this exposure is in each of the others, `reach` away at most, so that their
        mean of n has there an nth of its peak, however they lie. The ratio of the variances
        tells n. Where many rays hit, few places have none of another exposure near; then edges
        tell, unless stars have such edges too.
        """
        at = _brighter_than_noise(chip, self.sigma)
        pixels = chip.pixels.take(at)
        # What has a brighter one near is no ray, however bright that is.
        nearby = brightest_nearby(others, reach, at, pixels)
        noise = np.sqrt(_variance(chip, nearby))
        seed = nearby.is_known & (pixels > self.sigma[0] * noise + _allowed(chip, nearby))
        near = any_about(_spread(at[seed], np.True_, chip.shape), at)
        grown = near & nearby.is_known & (pixels > self.sigma[1] * noise + nearby.value)
        is_edge = self.alone(chip, at)
        if self._are_edges_of_stars(chip, others, nearby.select(is_edge)):
            is_edge &= ~nearby.is_known
        return _rays(_NO_SOURCES, at[seed | grown | is_edge])

    def _are_edges_of_stars(
        self, chip: CalibratedChip, others: OthersUnderChip, edges: PixelBlots
    ) -> bool:
        """Return whether what has sharp edges is seen by the others more often than by chance.

        Chance is what they have elsewhere. Of pixels with sharp edges let a part f be stars, and
        let a part p of all places have another's ray near: ``f + (1 - f) p`` are seen, p elsewhere.
        """
        significance = chip.pixels.take(edges.at) * np.sqrt(chip.weight.take(edges.at))
        there = edges.select(edges.is_known & (significance > _CLEARLY))
        # Farther away than they look, in the same columns; beyond the last row is the first.
        reach = others.misalignment_px or 0
        at = (there.at + (2 * reach + 1) * chip.shape[1]) % chip.pixels.size
        elsewhere = brightest_nearby(others, reach, at, chip.pixels.take(there.at))
        there, elsewhere = there.select(elsewhere.is_known), elsewhere.select(elsewhere.is_known)
        if not len(there.at):
            return True
        pixels = chip.pixels.take(there.at)
        seen = float((pixels < _allowed(chip, there)).mean())
        chance = float((pixels < _allowed(chip, elsewhere)).mean())
        return seen - chance > self.stars_among_edges * (1.0 - chance)


def _rays(on_sources: tuple[IntArray, Float32Array], on_sky: IntArray) -> RaysOnChip:
    """Return rays in their order; of those on sources it is known what others expect."""
    pixel = np.concatenate([on_sources[0], on_sky])
    instead = np.concatenate([on_sources[1], np.full(on_sky.size, np.nan, np.float32)])
    order = np.argsort(pixel)
    return RaysOnChip(pixel[order], instead[order])


def _brighter_than_noise(chip: CalibratedChip, sigma: tuple[float, float]) -> IntArray:
    """Return good pixels that exceed the sky, indices that rise: no others can be rays.

    As pixels exceed a blot, by `sigma` times the noise: alone, and beside one that does.
    """
    alone, beside = sigma
    at = np.flatnonzero(_exceeding(chip.pixels, chip.weight, chip.mask, beside))
    is_alone = chip.pixels.take(at) * np.sqrt(chip.weight.take(at)) > np.float32(alone)
    return at[squares_about(at[is_alone], 1, chip.shape).take(at)]


def _largest_jump(asked: PixelBlots, at: IntArray, shape: tuple[int, int]) -> Float32Array:
    """Return the largest jump of the blots in reach of derivatives at some pixels; 0 if small.

    Of blots within `REACH` of these none may be lacking in `asked`, but beyond the chip's edge.
    """
    uneven = asked.jump > _FEW_MEMBERS
    places, jumps = asked.at[uneven], np.zeros(at.size, np.float32)
    beside = squares_about(places, REACH, shape).take(at)
    jumps[beside] = _largest_about(_spread(places, asked.jump[uneven], shape), at[beside], REACH)
    return jumps


def _no_cores(chip: CalibratedChip, asked: PixelBlots, untold: IntArray) -> IntArray:
    """Return those of the pixels that nobody else tells of which lie beside no bright source.

    The others do: all of them saturate its core, and a core has edges as a ray has.
    """
    is_bright = asked.value * np.sqrt(chip.weight.take(asked.at)) > _CLEARLY
    beside = squares_about(asked.at[is_bright], _NEAR, chip.shape)
    return untold[~beside.take(untold)]


def _variance(chip: CalibratedChip, blot: PixelBlots) -> Float32Array:
    """Return the variance of pixel minus blot: the chip's, the source's photons, the blot's."""
    variance = _inverse(chip.weight.take(blot.at))
    variance += blot.variance
    if chip.gain is not None:
        variance += np.maximum(blot.value, 0) / np.float32(chip.gain)
    return variance


def _allowed(chip: CalibratedChip, brightest: PixelBlots) -> Float32Array:
    """Return what a star may have of which the others have this somewhere near.

    The depth of their mean, in exposures like this one, two at least, times their value.
    """
    depth = _inverse(chip.weight.take(brightest.at) * brightest.variance)
    return np.maximum(depth, 2) * brightest.value


def _inverse(of: Float32Array) -> Float32Array:
    """Return 1 / x, 0 where x is not positive."""
    inverse = np.zeros(of.shape, np.float32)
    np.divide(np.float32(1), of, out=inverse, where=of > 0)
    return inverse


def _spread(at: IntArray, values: NDArray[T] | T, shape: tuple[int, int]) -> NDArray[T]:
    """Return a plane with values at some pixels, 0 or False at all others."""
    plane = np.zeros(shape, values.dtype)
    plane.reshape(-1)[at] = values
    return plane


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


@compiled
def _exceeding(
    pixels: Float32Array, weight: Float32Array, mask: BoolArray, sigma: float
) -> BoolArray:
    """Return where pixels that are not masked exceed `sigma` times their noise."""
    ny, nx = pixels.shape
    least = np.float32(sigma)
    found = np.empty((ny, nx), np.bool_)
    for y in range(ny):
        for x in range(nx):
            found[y, x] = (pixels[y, x] * np.sqrt(weight[y, x]) > least) & ~mask[y, x]
    return found


@compiled
def _largest_about(plane: Float32Array, at: IntArray, reach: int) -> Float32Array:
    """Return the largest value within `reach` pixels of some along both axes; 0 at least."""
    ny, nx = plane.shape
    largest = np.zeros(at.size, np.float32)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        for row in range(max(y - reach, 0), min(y + reach + 1, ny)):
            for column in range(max(x - reach, 0), min(x + reach + 1, nx)):
                largest[k] = max(largest[k], plane[row, column])
    return largest


@compiled
def _slope(plane: Float32Array, at: IntArray) -> Float32Array:
    """Return the largest difference of some pixels to the four beside them."""
    ny, nx = plane.shape
    slopes = np.zeros(at.size, np.float32)
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        centre, largest = plane[y, x], np.float32(0)
        if x > 0:
            largest = max(largest, abs(plane[y, x - 1] - centre))
        if x < nx - 1:
            largest = max(largest, abs(plane[y, x + 1] - centre))
        if y > 0:
            largest = max(largest, abs(plane[y - 1, x] - centre))
        if y < ny - 1:
            largest = max(largest, abs(plane[y + 1, x] - centre))
        slopes[k] = largest
    return slopes
