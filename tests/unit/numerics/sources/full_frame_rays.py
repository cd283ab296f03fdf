"""Cosmic rays by planes of the whole chip: the rules as they are written, no pixel left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from others_by_subtraction import leave_one_out
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.chip_blots import OthersUnderChip
from alignsvc.numerics.sources.cosmic_rays import CosmicRayRejection, RaysOnChip
from alignsvc.numerics.sources.seeing_match import SeeingMatch

SQUARE = np.ones((3, 3), bool)
Planes = tuple[FloatArray, FloatArray, FloatArray]


class RayPlanes(NamedTuple):
    """Where rays are, and at those on sources what the others let expect; NaN elsewhere."""

    mask: BoolArray
    instead: Float32Array

    @classmethod
    def of(cls, rays: RaysOnChip, shape: tuple[int, int]) -> RayPlanes:
        mask, instead = np.zeros(shape, bool), np.full(shape, np.nan, np.float32)
        mask.reshape(-1)[rays.pixel] = True
        instead.reshape(-1)[rays.pixel] = rays.instead
        return cls(mask, instead)


def rays_of_all_pixels(
    rejection: CosmicRayRejection, chip: CalibratedChip, others: OthersUnderChip
) -> RayPlanes:
    """Return where rays are on a chip that is compared with the others all over."""
    significance = chip.pixels * np.sqrt(chip.weight)
    alone, beside = (~chip.mask & (significance > least) for least in rejection.sigma)
    bright = beside & ndimage.binary_dilation(alone, SQUARE)
    if others.misalignment_px is not None:
        mask = _unaligned(rejection, chip, others, bright)
        return RayPlanes(mask, np.full(chip.shape, np.nan, np.float32))
    value, variance, is_known, jump = cubics(others, chip.shape)
    jump = ndimage.maximum_filter(jump, 7, mode="constant")
    jump = np.where(jump > 0.1, jump, 0)
    tried = bright & ndimage.binary_erosion(is_known, SQUARE, border_value=1)
    noise = np.sqrt(_variance(chip, value, variance))
    bled = ndimage.binary_dilation(chip.saturated, np.ones((9, 9)))
    tell = tried & ~bled & (value > 3 * noise)
    matched, unlike = _matched(rejection, chip, (value, noise, jump), tell)
    excess, slope = chip.pixels - matched, _slope(matched)
    now = np.sqrt(_variance(chip, matched, variance + unlike))
    seed = tried & (excess > rejection.sigma[0] * now + rejection.slopes[0] * slope)
    is_star = matched > 3 * np.sqrt(variance + unlike)
    fall = np.clip(_least_opposite(matched) / np.where(is_star, matched, 1), 0, 1)
    core = np.where(is_star, np.minimum(fall**rejection.sharpness, 0.5), 0.5)
    seed &= ~(_least_opposite(excess) > core * excess - np.where(is_star, now, 0))
    near = tried & ndimage.binary_dilation(seed, SQUARE)
    is_ray = seed | (near & (excess > rejection.sigma[1] * now + rejection.slopes[1] * slope))
    is_source = is_ray & (matched > np.sqrt(_variance(chip, value, variance)))
    instead = np.where(is_source, matched, np.nan).astype(np.float32)
    beside_star = ndimage.binary_dilation(value * np.sqrt(chip.weight) > 20, np.ones((9, 9)))
    return RayPlanes(is_ray | edges_at(rejection, chip, bright & ~tried & ~beside_star), instead)


def left_of(others: OthersUnderChip) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Return mean, where it is not known, and weight of the mosaic without the exposure."""
    (total,) = others.total
    left = leave_one_out(total, others.own)
    return *left.mean(), left.weight


def edges_at(rejection: CosmicRayRejection, chip: CalibratedChip, where: BoolArray) -> BoolArray:
    """Return where pixels have sharp edges."""
    edges = where.copy()
    edges[where] = rejection.alone(chip, np.flatnonzero(where))
    return edges


def cubics(
    others: OthersUnderChip, shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray, BoolArray, FloatArray]:
    """Return value, variance, whether known and jump of the others at all pixels of a chip."""
    row, column = (index.ravel() for index in np.indices(shape))
    at = others.pixel_map.to_grid(Points(column.astype(float), row.astype(float)))
    x, y = at.x - others.own.box.x0, at.y - others.own.box.y0
    mean, hole, weight = left_of(others)
    value, good = np.zeros(x.size), np.ones(x.size, bool)
    least, most = np.full(x.size, np.inf), np.zeros(x.size)
    for j in range(-1, 3):
        for i in range(-1, 3):
            iy, ix = np.floor(y).astype(int) + j, np.floor(x).astype(int) + i
            inside = (iy >= 0) & (ix >= 0) & (iy < mean.shape[0]) & (ix < mean.shape[1])
            iy, ix = np.where(inside, iy, 0), np.where(inside, ix, 0)
            good &= inside & ~hole[iy, ix]
            least, most = np.minimum(least, weight[iy, ix]), np.maximum(most, weight[iy, ix])
            value += _keys(x - np.floor(x) - i) * _keys(y - np.floor(y) - j) * mean[iy, ix]
    nearest = [np.where(good, np.rint(axis), 0).astype(int) for axis in (y, x)]
    area = others.pixel_map.areas_at(row, column)
    variance = area[good] ** 2 / weight[tuple(nearest)][good]
    planes = np.zeros((2, x.size))
    planes[0, good], planes[1, good] = (value * area)[good], variance
    jump = np.where(good, 1 - np.divide(least, most, out=np.zeros(x.size), where=most > 0), 1)
    value, variance = planes.reshape(2, *shape)
    return value, variance, good.reshape(shape), jump.reshape(shape)


def _keys(distance: FloatArray) -> FloatArray:
    """Cubic convolution with a = -1/2, by the distance in pixels (Keys 1981, eq. 15)."""
    s = np.abs(distance)
    inner, outer = 1.5 * s**3 - 2.5 * s**2 + 1, -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return np.where(s < 1, inner, np.where(s < 2, outer, 0))


def _matched(
    rejection: CosmicRayRejection,
    chip: CalibratedChip,
    blot: Planes,
    tell: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the blot with the chip's seeing, and the variance of what is still unlike."""
    value, noise, jump = blot
    terms = _terms(value)
    found = _coefficients(rejection.match, terms, chip.pixels[tell], (value, noise, tell))
    if found is None:
        matched, error = value, rejection.match.fraction
    else:
        matched = value + np.tensordot(found[0], terms, 1)
        matched, error = np.where(value > 0, np.maximum(matched, 0), matched), found[1]
    matched = np.where(jump > 0, np.maximum(matched, value), matched)
    unlike = (error * value) ** 2 + (rejection.doubt * (matched - value)) ** 2
    unlike += (rejection.members * jump * value) ** 2
    return matched, unlike + (0 if found else (0.27 * _slope(value)) ** 2)


def _coefficients(
    match: SeeingMatch,
    terms: FloatArray,
    seen: FloatArray,
    blot: tuple[FloatArray, FloatArray, BoolArray],
) -> tuple[FloatArray, float] | None:
    """Return the coefficients of the derivatives and the error of the match; None if not fitted."""
    value, noise, tell = blot
    design, value, noise = terms[:, tell].T, value[tell], noise[tell]
    error, near = np.hypot(noise, match.fraction * value), np.ones(len(value), bool)
    for _ in range(match.rounds):
        if near.sum() < 20 * len(terms):
            return None
        weighted = design[near] / error[near, None]
        found = np.linalg.lstsq(weighted, ((seen - value) / error)[near], rcond=1e-12)[0]
        off = (seen - value - design @ found) / error
        near = np.abs(off) < match.clip * max(1, 1.4826 * np.median(np.abs(off[near])))
    left, noise = (off * error / value)[near], (noise / value)[near]
    clear = noise < match.fraction
    if clear.sum() < 20:
        return found, match.fraction
    spread = np.quantile(np.abs(left[clear]), 0.9) / 1.645
    return found, float(np.sqrt(max(spread**2 - np.mean(noise[clear] ** 2), 0)))


def _terms(blot: FloatArray) -> FloatArray:
    def along(weights: tuple[float, ...], axis: int, plane: FloatArray = blot) -> FloatArray:
        return ndimage.correlate1d(plane, weights, axis, mode="nearest")

    slope, bend = (-0.5, 0.0, 0.5), (1.0, -2.0, 1.0)
    first = [blot, along(slope, 1), along(slope, 0), along(bend, 1), along(bend, 0)]
    fourth = ndimage.laplace(ndimage.laplace(blot, mode="nearest"), mode="nearest")
    sixth = ndimage.laplace(fourth, mode="nearest")
    return np.stack([*first, along(slope, 0, along(slope, 1)), fourth, sixth])


def _unaligned(
    rejection: CosmicRayRejection, chip: CalibratedChip, others: OthersUnderChip, bright: BoolArray
) -> BoolArray:
    """Compare with the brightest pixel near; the grid's pixels must be the chip's."""
    reach = others.misalignment_px
    assert reach is not None
    mean, _, weight = left_of(others)
    highest = np.maximum(ndimage.maximum_filter(mean, 2 * reach + 1, mode="constant"), 0)
    is_known = weight > 0
    highest, variance = np.where(is_known, highest, 0), _inverse(weight)
    allowed = np.maximum(_inverse(chip.weight * variance), 2) * highest
    noise = np.sqrt(_variance(chip, highest, variance))
    tried = bright & is_known
    seed = tried & (chip.pixels > rejection.sigma[0] * noise + allowed)
    near = tried & ndimage.binary_dilation(seed, SQUARE)
    grown = near & (chip.pixels > rejection.sigma[1] * noise + highest)
    edges = edges_at(rejection, chip, bright)
    step = -(2 * reach + 1)
    depth = np.maximum(_inverse(np.roll(chip.weight, step, 0) * np.roll(variance, step, 0)), 2)
    elsewhere = depth * np.roll(highest, step, 0)
    clear = edges & is_known & np.roll(is_known, step, 0)
    clear &= chip.pixels * np.sqrt(chip.weight) > 20.0
    if clear.any():
        seen = (chip.pixels < allowed)[clear].mean()
        chance = (chip.pixels < elsewhere)[clear].mean()
        if seen - chance <= rejection.stars_among_edges * (1 - chance):
            return seed | grown | edges
    return seed | grown | (edges & ~is_known)


def _variance(chip: CalibratedChip, value: FloatArray, variance: FloatArray) -> FloatArray:
    photons = 0 if chip.gain is None else np.maximum(value, 0) / chip.gain
    return _inverse(chip.weight) + variance + photons


def _inverse(of: FloatArray) -> FloatArray:
    return np.divide(1, of, out=np.zeros(of.shape), where=of > 0)


def _slope(plane: FloatArray) -> FloatArray:
    padded = np.pad(plane, 1, mode="edge")
    beside = (padded[1:-1, 2:], padded[1:-1, :-2], padded[2:, 1:-1], padded[:-2, 1:-1])
    return np.max([np.abs(one - plane) for one in beside], axis=0)


def _least_opposite(plane: FloatArray) -> FloatArray:
    """The least mean of two opposite neighbours; beyond the edge there is no light."""
    padded, (ny, nx) = np.pad(plane, 1), plane.shape
    means = [
        (
            padded[1 + j : 1 + j + ny, 1 + i : 1 + i + nx]
            + padded[1 - j : 1 - j + ny, 1 - i : 1 - i + nx]
        )
        / 2
        for j, i in ((0, 1), (1, 0), (1, 1), (1, -1))
    ]
    return np.min(means, axis=0)
