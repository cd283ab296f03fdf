"""Thumbnails of a mosaic as PNGs: one stretch for before and after, and so many bytes at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.objects import ObjectStore
from alignsvc.io.png import greys, png_bytes, viridis
from alignsvc.numerics.showing.binning import binned, factor_for, shown
from alignsvc.numerics.showing.stretch import AsinhStretch
from alignsvc.run.pictures.mosaic_pictures import (
    CropPictures,
    GridPictures,
    PictureFile,
    Thumbnail,
    directions,
    put_picture,
)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Pixels along the longer side, and bytes of a picture, at the most.

    Of a weight map half as many pixels, so that its bytes are few whatever it holds.
    """

    longest: int
    picture_bytes: int


# Together, with two crops, below 3 MB in base64 (tests/unit/run/test_picture_drawing.py).
_LARGEST = _Limits(1000, 550_000)
_OTHERS = _Limits(420, 80_000)
#: Sigma that a pixel counts for at most where before and after are compared.
_MOST_SIGMA = 10.0
#: Part of the squares whose weight is beyond the brightest colour.
_BEYOND = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Thumbnails before and after, by component."""

    before: Mapping[int, Thumbnail]
    after: Mapping[int, Thumbnail]

    def has(self, component: int) -> bool:
        """Whether there is any of a component."""
        return component in self.before or component in self.after


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    """Pictures of one size; None where there is no mosaic."""

    factor: int
    stretch: AsinhStretch
    shape: tuple[int, int]
    before: bytes | None
    after: bytes | None


def drawn(
    objects: ObjectStore, grid: MosaicGrid, drawing: Drawing, *, is_largest: bool
) -> GridPictures:
    """Write the pictures of one grid; return what they are.

    Before and after have the stretch of after, of before where that is all there is.
    """
    limits = _LARGEST if is_largest else _OTHERS
    before, after = (one.get(grid.component) for one in (drawing.before, drawing.after))
    last = after or before
    assert last is not None
    pair = _encoded((before, after), limits)
    east, north = directions(grid)
    weights = _mean_weight(last, limits)
    covered = weights[weights > 0]
    largest = float(np.quantile(covered, 1.0 - _BEYOND)) if len(covered) else 1.0
    shades = np.where(weights > 0, weights / largest, np.nan)
    return GridPictures(
        grid.component,
        grid.shape,
        grid.scale_arcsec,
        last.factor * pair.factor,
        east,
        north,
        pair.stretch,
        _put(objects, pair.before, pair.shape),
        _put(objects, pair.after, pair.shape),
        put_picture(objects, png_bytes(shades, viridis()), (shades.shape[0], shades.shape[1])),
        largest,
        _crop(objects, before, after) if is_largest else None,
    )


def preview_png(after: Thumbnail) -> bytes:
    """Return the picture for people who look into the folder: as large as it was kept."""
    value = shown(after.sums)
    return png_bytes(AsinhStretch.of(value)(value), greys())


def _encoded(pair: Sequence[Thumbnail | None], limits: _Limits) -> _Encoded:
    """Return both pictures, binned until neither is too large."""
    some = next(one for one in reversed(pair) if one is not None)
    ny, nx = some.numerator.shape
    factor = factor_for((ny, nx), limits.longest)
    while True:
        values = [None if one is None else shown(binned(one.sums, factor)) for one in pair]
        last = next(value for value in reversed(values) if value is not None)
        stretch = AsinhStretch.of(last)
        contents = [None if one is None else png_bytes(stretch(one), greys()) for one in values]
        if factor >= max(ny, nx) or all(
            len(one) <= limits.picture_bytes for one in contents if one is not None
        ):
            shape = (last.shape[0], last.shape[1])
            return _Encoded(factor, stretch, shape, *contents)
        factor += 1


def _mean_weight(one: Thumbnail, limits: _Limits) -> FloatArray:
    """Return the mean weight of the pixels of each square, those without any counted as 0."""
    longest = limits.longest // 2
    factor = factor_for((one.numerator.shape[0], one.numerator.shape[1]), longest)
    squares = binned(one.sums, factor).weight
    return np.asarray(squares, np.float64) / (factor * one.factor) ** 2


def _crop(
    objects: ObjectStore, before: Thumbnail | None, after: Thumbnail | None
) -> CropPictures | None:
    """Return the place where before and after differ most, or the best star field."""
    last = after or before
    assert last is not None
    if not len(last.field):
        return None
    at = 0
    if before is not None and after is not None:
        differences = [_difference(*two) for two in zip(before.crop, after.crop, strict=True)]
        at = int(np.argmax(differences))
    stretch = AsinhStretch.of(last.crop[at])
    shape = last.crop.shape[1:]
    files = (
        None if one is None else _put(objects, png_bytes(stretch(one.crop[at]), greys()), shape)
        for one in (before, after)
    )
    x0, y0 = last.field[at].tolist()
    return CropPictures(x0, y0, stretch, *files)


def _difference(before: FloatArray, after: FloatArray) -> float:
    """Return the mean difference of two crops in units of the scatter of the second.

    A pixel counts for so much at most: one bright star is not all that there is to see.
    """
    both = np.isfinite(before) & np.isfinite(after)
    if not both.any():
        return 0.0
    differences = np.abs(after[both] - before[both]) / AsinhStretch.of(after).sigma
    return float(np.mean(np.minimum(differences, _MOST_SIGMA)))


def _put(objects: ObjectStore, content: bytes | None, shape: tuple[int, ...]) -> PictureFile | None:
    return None if content is None else put_picture(objects, content, (shape[0], shape[1]))
