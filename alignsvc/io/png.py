"""Pictures of one plane as PNG: shades of grey or of viridis, and one colour for no data."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from alignsvc.domain.arrays import FloatArray

Colour = tuple[int, int, int]

#: Shades of a picture; one more colour stands for what has no value.
_SHADES = 255
#: viridis at equal steps (Smith and van der Walt 2015), between which it is linear to one level.
_VIRIDIS: tuple[Colour, ...] = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)
#: Colours of no data: neither a grey, nor one of viridis.
NO_DATA_AMONG_GREYS: Colour = (44, 62, 102)
NO_DATA_AMONG_VIRIDIS: Colour = (200, 200, 200)


def greys() -> list[Colour]:
    """Return shades from black to white, then the colour of no data."""
    levels = np.linspace(0, 255, _SHADES).round().astype(int).tolist()
    return [*((level, level, level) for level in levels), NO_DATA_AMONG_GREYS]


def viridis() -> list[Colour]:
    """Return shades of viridis, dark to bright, then the colour of no data."""
    at = np.linspace(0, len(_VIRIDIS) - 1, _SHADES)
    steps = np.array(_VIRIDIS, float)
    red, green, blue = (
        np.interp(at, np.arange(len(_VIRIDIS)), steps[:, k]).round().astype(int).tolist()
        for k in range(3)
    )
    return [*zip(red, green, blue, strict=True), NO_DATA_AMONG_VIRIDIS]


def png_bytes(shades: FloatArray, colours: Sequence[Colour]) -> bytes:
    """Return a picture as a PNG with a palette.

    Parameters
    ----------
    shades : float array, shape (ny, nx)
        0 ... 1, NaN = no data. Row 0 is at the bottom, as pixels of FITS are counted.
    colours : sequence of colour
        As of `greys` or `viridis`: the last is that of no data.
    """
    last = len(colours) - 1
    level = np.round(np.clip(np.nan_to_num(shades), 0.0, 1.0) * (last - 1))
    index = np.where(np.isfinite(shades), level, last).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(index[::-1]))
    picture.putpalette([part for colour in colours for part in colour])
    content = io.BytesIO()
    picture.save(content, "png", optimize=True)
    return content.getvalue()
