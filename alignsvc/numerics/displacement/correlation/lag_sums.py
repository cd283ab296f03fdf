"""Sums over the overlap of two frames at each of a few lags, pixel by pixel.

A few pixels of the image, or columns of its mask, are taken at once, and all lags along x side by
side: what is moved from and to memory is then mostly what is summed.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.half_pixels import sample_side_by_side

#: Lags that a processor adds up in one go: loops over as many have no rest.
_LANES = 8
#: Pixels of the image that are multiplied at once, and columns of its mask that are added.
_PIXELS, _CHORDS = 8, 4


@compiled
def products_at_lags(
    image: Float32Array, template: Float32Array, first: int, n_lags: int
) -> Float32Array:
    """Return ``sum_p image(p) template(p + first + l)`` for the lags l below `n_lags`.

    Of each row of the image only the part that is not 0 is looked at.

    Parameters
    ----------
    image : float32 array, shape (n, side, side)
    template : float32 array, shape (n, versions, template side, template side)
        Taken as 0 outside.
    first : int
        Of a pixel at lag 0; may be negative.
    n_lags : int

    Returns
    -------
    float32 array, shape (n, versions, n_lags, n_lags)
    """
    n, versions = template.shape[:2]
    side, across = image.shape[1], image.shape[1] + n_lags - 1
    lanes = -(-n_lags // _LANES) * _LANES
    row = across + lanes + _PIXELS
    found = np.empty((n, versions, n_lags, n_lags), np.float32)
    sums, seen = np.empty(n_lags * lanes, np.float32), np.zeros(across * row, np.float32)
    pixels = np.zeros(side + _PIXELS, np.float32)
    for i in range(n):
        for v in range(versions):
            _lay_out(template[i, v], first, (across, row), seen)
            sums[:] = 0
            for y in range(side):
                begin, end = _copied(image[i, y], pixels)
                for x in range(begin, end, _PIXELS):
                    _add_products(pixels[x:], seen[y * row + x :], (row, lanes, n_lags), sums)
            for y in range(n_lags):
                found[i, v, y] = sums[y * lanes : y * lanes + n_lags]
    return found


@compiled
def _lay_out(plane: Float32Array, first: int, shape: tuple[int, int], found: Float32Array) -> None:
    """Write a square of a plane that begins at a place, row after row; 0 outside of the plane."""
    side, (across, row) = plane.shape[0], shape
    begin, end = min(max(-first, 0), across), max(min(across, side - first), 0)
    if begin > 0 or end < across:
        found[:] = 0
    for y in range(begin, end):
        # Unsigned, or each index might count from the end: then nothing would be done together.
        start, of, x = np.uint64(y * row + begin), np.uint64(first + y), np.uint64(first + begin)
        for j in range(np.uint64(max(end - begin, 0))):
            found[start + j] = plane[of, x + j]


@compiled
def _copied(values: Float32Array, found: Float32Array) -> tuple[int, int]:
    """Write a row of pixels; return which is the first that is not 0, and the end of them."""
    begin, end = 0, len(values)
    while begin < end and values[begin] == 0:
        begin += 1
    while end > begin and values[end - 1] == 0:
        end -= 1
    for x in range(np.uint64(len(values))):
        found[x] = values[x]
    return begin, end


@compiled_sums
def _add_products(
    pixels: Float32Array, seen: Float32Array, lags: tuple[int, int, int], sums: Float32Array
) -> None:
    """Add the products of some neighbours in a row with what they see at each lag."""
    row, lanes, n_lags = lags
    p0, p1, p2, p3 = pixels[0], pixels[1], pixels[2], pixels[3]
    p4, p5, p6, p7 = pixels[4], pixels[5], pixels[6], pixels[7]
    one, four = np.uint64(1), np.uint64(4)
    for lag in range(n_lags):
        start, to = np.uint64(lag * row), np.uint64(lag * lanes)
        for j in range(np.uint64(lanes)):
            k = start + j
            near = (p0 * seen[k] + p1 * seen[k + one]) + (
                p2 * seen[k + one + one] + p3 * seen[k + one + one + one]
            )
            k += four
            far = (p4 * seen[k] + p5 * seen[k + one]) + (
                p6 * seen[k + one + one] + p7 * seen[k + one + one + one]
            )
            sums[to + j] += near + far


@compiled
def masked_sums_at_lags(
    good: BoolArray, template: Float32Array, first: int, n_lags: int
) -> Float32Array:
    """Return ``sum template(p + first + l)`` over the pixels p that are good; else as above."""
    n, versions, wide = template.shape[0], template.shape[1], template.shape[2]
    found = np.empty((n, versions, n_lags, n_lags), np.float32)
    chords, room = _no_chords(good.shape[1]), _running_room(good.shape[1], n_lags, versions)
    seen = np.empty((wide, wide * versions), np.float32)
    for i in range(n):
        for v in range(versions):
            for y in range(wide):
                for x in range(wide):
                    seen[y, x * versions + v] = template[i, v, y, x]
        _run(seen, (first, versions), good.shape[1] + n_lags - 1, room[0])
        _sum_chords(
            (chords, _find_chords(good[i], (room[0].shape[1], versions), chords)), room, found[i]
        )
    return found


@compiled
def energies_at_lags(
    good: BoolArray,
    template_good: BoolArray,
    coefficients: Float32Array,
    first: int,
    n_lags: int,
) -> Float32Array:
    """Return the same sums over squares of half-pixel blots, 0 where they are not good.

    Parameters
    ----------
    good : bool array, shape (n, side, side)
    template_good : bool array, shape (n, template side, template side)
    coefficients : float32 array, shape (n, wider side, wider side)
        Of splines, centre on centre with their masks.
    first, n_lags : int
        As above.

    Returns
    -------
    float32 array, shape (n, 4, n_lags, n_lags)
        In order of the phases of `half_pixels`.
    """
    n, wider, wide = len(good), coefficients.shape[1], template_good.shape[1]
    frame, lines = (wider, (wider - wide) // 2), np.empty(2 * wide * wider, np.float32)
    chords, room = _no_chords(good.shape[1]), _running_room(good.shape[1], n_lags, 4)
    seen = np.empty((wide, 4 * wide), np.float32)
    found = np.empty((n, 4, n_lags, n_lags), np.float32)
    for i in range(n):
        sample_side_by_side(coefficients[i].reshape(-1), frame, lines, seen)
        _square(seen.reshape(-1), template_good[i].reshape(-1))
        _run(seen, (first, 4), good.shape[1] + n_lags - 1, room[0])
        _sum_chords((chords, _find_chords(good[i], (room[0].shape[1], 4), chords)), room, found[i])
    return found


@compiled
def _square(values: Float32Array, good: BoolArray) -> None:
    """Square the four values of each pixel; 0 where it is not good."""
    for j in range(len(values)):
        values[j] *= values[j]
    if not good.all():
        for j in range(len(good)):
            if not good[j]:
                values[4 * j : 4 * j + 4] = 0


@compiled
def _no_chords(side: int) -> IntArray:
    """Return room for all chords that a mask may have, in whole groups."""
    return np.zeros((side * (side // 2 + 1) + _CHORDS, 2), np.int64)


@compiled
def _find_chords(good: BoolArray, shape: tuple[int, int], chords: IntArray) -> int:
    """Write where the columns of a mask without gaps begin and end; return how many there are.

    As indices of running sums whose rows have some length, with some versions of each pixel. The
    columns come in whole groups; the last ones may be empty.
    """
    side, n, (row, versions) = good.shape[0], 0, shape
    for x in range(side):
        y = 0
        while y < side:
            if not good[y, x]:
                y += 1
                continue
            chords[n, 0] = y * row + x * versions
            while y < side and good[y, x]:
                y += 1
            chords[n, 1] = y * row + x * versions
            n += 1
    whole = -(-n // _CHORDS) * _CHORDS
    chords[n:whole] = 0
    return whole


_Room: TypeAlias = tuple[Float32Array, Float32Array]


@compiled
def _running_room(side: int, n_lags: int, versions: int) -> _Room:
    """Return room for running sums along y, the first of which stays 0, and for sums at lags.

    All versions of a pixel lie side by side.
    """
    lanes = -(-n_lags * versions // _LANES) * _LANES
    return (
        np.zeros((side + n_lags, side * versions + lanes), np.float32),
        np.empty((n_lags, lanes), np.float32),
    )


@compiled
def _run(seen: Float32Array, frame: tuple[int, int], across: int, running: Float32Array) -> None:
    """Write the sums of all rows above each row of a square, which may lie beyond the plane.

    The frame is the square's first pixel, and the versions of each.
    """
    side, (first, versions) = seen.shape[0], frame
    begin, end = min(max(-first, 0), across), max(min(across, side - first), 0)
    n = np.uint64(max(end - begin, 0) * versions)
    for row in range(across):
        # Unsigned, or each index might count from the end: then nothing would be done together.
        y, x = np.uint64(row), np.uint64(begin * versions)
        if begin <= row < end:
            of, left = np.uint64(first + row), np.uint64((first + begin) * versions)
            for j in range(n):
                running[y + np.uint64(1), x + j] = running[y, x + j] + seen[of, left + j]
        else:
            for j in range(n):
                running[y + np.uint64(1), x + j] = running[y, x + j]


@compiled
def _sum_chords(of: tuple[IntArray, int], room: _Room, found: Float32Array) -> None:
    """Write the sums over a mask's columns at all lags: differences of two running sums each."""
    chords, n_chords = of
    running, sums = room
    versions, n_lags = found.shape[:2]
    shape = running.shape[1], sums.shape[1]
    sums[:] = 0
    for n in range(0, n_chords, _CHORDS):
        _add_chords(running.reshape(-1), chords[n : n + _CHORDS], shape, sums)
    for y in range(n_lags):
        for x in range(n_lags):
            for v in range(versions):
                found[v, y, x] = sums[y, x * versions + v]


@compiled_sums
def _add_chords(
    running: Float32Array, chords: IntArray, shape: tuple[int, int], sums: Float32Array
) -> None:
    """Add the sums over some columns at each lag."""
    row, lanes = shape
    into = sums.reshape(-1)
    for lag in range(sums.shape[0]):
        at, to = lag * row, np.uint64(lag * lanes)
        top0, end0 = np.uint64(at + chords[0, 0]), np.uint64(at + chords[0, 1])
        top1, end1 = np.uint64(at + chords[1, 0]), np.uint64(at + chords[1, 1])
        top2, end2 = np.uint64(at + chords[2, 0]), np.uint64(at + chords[2, 1])
        top3, end3 = np.uint64(at + chords[3, 0]), np.uint64(at + chords[3, 1])
        for j in range(np.uint64(lanes)):
            two = (running[end0 + j] - running[top0 + j]) + (running[end1 + j] - running[top1 + j])
            more = (running[end2 + j] - running[top2 + j]) + (running[end3 + j] - running[top3 + j])
            into[to + j] += two + more
