"""Windows about the sources of one exposure, joined where they would overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.models.scene import Views
from alignsvc.numerics.models.window import cut_windows


@dataclass(frozen=True, slots=True)
class JoinedWindow:
    """A square of pixels and the sources in it.

    Parameters
    ----------
    box : PixelBox
        With an odd side; it may reach beyond the image.
    members : tuple of int
        Sources, rising.
    """

    box: PixelBox
    members: tuple[int, ...]

    def overlaps(self, other: JoinedWindow) -> bool:
        """Whether a pixel stands in both."""
        return not self.box.intersect(other.box).is_empty

    def joined(self, other: JoinedWindow) -> JoinedWindow:
        """Return the square that holds both."""
        mine, theirs = self.box, other.box
        x0, y0 = min(mine.x0, theirs.x0), min(mine.y0, theirs.y0)
        x1, y1 = max(mine.x1, theirs.x1), max(mine.y1, theirs.y1)
        side = max(x1 - x0, y1 - y0) | 1
        x0 -= (side - (x1 - x0)) // 2
        y0 -= (side - (y1 - y0)) // 2
        box = PixelBox(x0, y0, x0 + side, y0 + side)
        return JoinedWindow(box, tuple(sorted(self.members + other.members)))


def joined_windows(at: Points, side: IntArray, seen: IntArray) -> tuple[JoinedWindow, ...]:
    """Return windows about sources, no two of which share a pixel.

    Sources whose windows overlap are fitted together, in one window: what one sheds on the
    pixels of another is in the model then.

    Parameters
    ----------
    at : Points, shape (n,)
        Pixels.
    side : int64 array, shape (n,)
        Odd.
    seen : int64 array
        The sources that get a window.
    """
    done: list[JoinedWindow] = []
    for k in seen:
        half = int(side[k]) // 2
        x, y = round(float(at.x[k])), round(float(at.y[k]))
        box = PixelBox(x - half, y - half, x + half + 1, y + half + 1)
        window = JoinedWindow(box, (int(k),))
        # A larger square may touch what neither part of it touched.
        while touching := [one for one in done if one.overlaps(window)]:
            done = [one for one in done if one not in touching]
            for one in touching:
                window = window.joined(one)
        done.append(window)
    return tuple(done)


def cut_views(
    image: FloatArray, weight: FloatArray, windows: tuple[JoinedWindow, ...], exposure: int
) -> tuple[Views, ...]:
    """Return windows of an image as views: those of one size and number of members together."""
    kinds = sorted({(w.box.shape[0], len(w.members)) for w in windows})
    views = []
    for side, count in kinds:
        same = [w for w in windows if (w.box.shape[0], len(w.members)) == (side, count)]
        half = side // 2
        middle = Points(
            np.array([w.box.x0 + half for w in same], float),
            np.array([w.box.y0 + half for w in same], float),
        )
        stack = cut_windows(image, weight, middle, side)
        source = np.array([w.members for w in same], np.int64)
        views.append(Views(stack, np.full(len(same), exposure, np.int64), source))
    return tuple(views)
