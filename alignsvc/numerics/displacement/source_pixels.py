"""What a measurement saw of a few sources, kept for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray
from alignsvc.numerics.displacement.windows.cutouts import middles


@dataclass(frozen=True, slots=True, eq=False)
class SourcePixels:
    """Cutouts, blots and correlation maps of sources, centre on centre.

    Sources of different size are measured in cutouts of different size: the small ones have a
    frame of NaN here.

    Parameters
    ----------
    source, chip : int64, shape (n,)
        Source ids, and the index of the chip in the exposure.
    corner_x, corner_y : int64, shape (n,)
        Of the cutout's first pixel in the chip, its frame included.
    cutout : float32, shape (n, side, side)
        The exposure without its sky; NaN where a pixel is bad, off the chip or another source's.
    blot : float32, shape (n, side, side)
        The mosaic of all the others on the cutout's pixels, by the present WCS, not shifted; NaN
        where it has holes.
    correlation : float32, shape (n, map side, map side)
        The interlaced map: the middle is no shift, a sample is half a pixel.
    model : float32, shape (n, side, side) or (n, 0, 0)
        What a profile, where sources are placed by one, says of the cutout: the source where it was
        found, its neighbours, the sky; NaN where a source was placed in another way, and no pixels
        at all where none was placed so.
    """

    source: IntArray
    chip: IntArray
    corner_x: IntArray
    corner_y: IntArray
    cutout: Float32Array
    blot: Float32Array
    correlation: Float32Array
    model: Float32Array

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def concatenate(cls, parts: Sequence[SourcePixels]) -> SourcePixels:
        """Return all sources of `parts`, in that order; none if there are no parts."""
        if not parts:
            whole, none = np.zeros(0, np.int64), np.zeros((0, 0, 0), np.float32)
            return cls(whole, whole, whole, whole, none, none, none, none)
        side = max(part.cutout.shape[-1] for part in parts)
        lags = max(part.correlation.shape[-1] for part in parts)
        # As large as the cutouts, also where the largest of these has no model.
        models = side if any(part.model.shape[-1] for part in parts) else 0
        frame = [(side - part.cutout.shape[-1]) // 2 for part in parts]
        pairs = list(zip(parts, frame, strict=True))
        return cls(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.chip for part in parts]),
            np.concatenate([part.corner_x - width for part, width in pairs]),
            np.concatenate([part.corner_y - width for part, width in pairs]),
            np.concatenate([_framed(part.cutout, side) for part in parts]),
            np.concatenate([_framed(part.blot, side) for part in parts]),
            np.concatenate([_framed(part.correlation, lags) for part in parts]),
            np.concatenate([_framed(part.model, models) for part in parts]),
        )

    def select(self, rows: IntArray) -> SourcePixels:
        """Return the sources at rows, in that order."""
        return SourcePixels(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def widths(self) -> IntArray:
        """Sides of cutout, map and model of each source without their frames, shape (n, 3)."""
        cutout = _bare_sides((self.cutout, self.blot))
        has_model = np.isfinite(self.model).any(axis=(1, 2))
        lags = _bare_sides((self.correlation,))
        return np.stack([cutout, lags, np.where(has_model, cutout, 0)], axis=1)

    def without_frames(self, sides: IntArray) -> SourcePixels:
        """Return the sources in smaller frames: sides of cutout, map and model."""
        cut = (self.cutout.shape[-1] - int(sides[0])) // 2
        return SourcePixels(
            self.source,
            self.chip,
            self.corner_x + cut,
            self.corner_y + cut,
            middles(self.cutout, int(sides[0])),
            middles(self.blot, int(sides[0])),
            middles(self.correlation, int(sides[1])),
            middles(self.model, int(sides[2])),
        )


def within_room(pixels: SourcePixels, order: IntArray, room_bytes: int) -> SourcePixels:
    """Return as many sources, in an order, as there is room for; those too large are left out.

    All frames of a table are as large as its largest, so that one wide source takes the room of
    many: it is taken only if the table with it still has room.

    Parameters
    ----------
    pixels : SourcePixels
    order : int64 array
        Rows, the most wanted first.
    room_bytes : int
        Of the arrays, `n_bytes`.
    """
    chosen: list[int] = []
    sides = np.zeros(0, np.int64)
    widths = pixels.widths
    for row in order.tolist():
        trial = np.maximum(sides, widths[row]) if chosen else widths[row].copy()
        trial[2] = trial[0] if trial[2] else 0  # a model is as large as its cutout
        if (len(chosen) + 1) * _bytes_of(trial) <= room_bytes:
            chosen.append(row)
            sides = trial
    if not chosen:
        return SourcePixels.concatenate([])
    return pixels.select(np.array(chosen, np.int64)).without_frames(sides)


def _bytes_of(sides: IntArray) -> int:
    """Return what a row takes whose cutout, map and model have these sides."""
    cutout, lags, model = (int(side) for side in sides)
    return 4 * 8 + 4 * (2 * cutout**2 + lags**2 + model**2)


def _bare_sides(planes: tuple[Float32Array, ...]) -> IntArray:
    """Return the side of the middle of each source's planes that holds all that is known."""
    side = planes[0].shape[-1]
    if not side:
        return np.zeros(len(planes[0]), np.int64)
    known = np.zeros((len(planes[0]), side), bool)
    for plane in planes:
        seen = np.isfinite(plane)
        known |= seen.any(axis=1) | seen.any(axis=2)
    # Frames are as wide on both sides, and even or odd as the whole.
    ring = known | known[:, ::-1]
    first = np.where(ring.any(axis=1), ring.argmax(axis=1), side // 2)
    bare: IntArray = side - 2 * first
    return bare


def _framed(stack: Float32Array, side: int) -> Float32Array:
    """Return a stack of frames with NaN around each, all sides even or all odd."""
    width = (side - stack.shape[-1]) // 2
    edges = ((0, 0), (width, width), (width, width))
    return np.pad(stack, edges, constant_values=np.float32(np.nan))
