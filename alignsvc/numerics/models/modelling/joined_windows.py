"""Windows about the sources of one exposure, joined where they would overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.models.scene.scene import Views
from alignsvc.numerics.models.scene.window import cut_windows


@dataclass(frozen=True, slots=True)
class JoinedWindow:
    """Pixels in which some sources are fitted together.

    Parameters
    ----------
    members : tuple of int
        Sources, rising.
    parts : tuple of PixelBox
        The square of each member, with an odd side; it may reach beyond the image. Together
        they are the window.
    """

    members: tuple[int, ...]
    parts: tuple[PixelBox, ...]

    @property
    def box(self) -> PixelBox:
        """The smallest square, of an odd side, that holds all parts."""
        x0, y0 = (min(getattr(part, name) for part in self.parts) for name in ("x0", "y0"))
        x1, y1 = (max(getattr(part, name) for part in self.parts) for name in ("x1", "y1"))
        side = max(x1 - x0, y1 - y0) | 1
        return PixelBox(x0, y0, x0 + side, y0 + side)

    @property
    def inside(self) -> BoolArray:
        """Which pixels of the box are the window's, shape (side, side)."""
        box = self.box
        inside = np.zeros(box.shape, bool)
        for part in self.parts:
            inside[part.slices_in(box)] = True
        return inside


def joined_windows(at: Points, side: IntArray, seen: IntArray) -> tuple[JoinedWindow, ...]:
    """Return windows about sources, no two of which share a pixel.

    Sources whose squares overlap are fitted together, in one window: what one sheds on the
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
    half = side[seen] // 2
    x, y = (np.rint(axis[seen]).astype(np.int64) for axis in at)
    reach = half[:, None] + half
    touch = (np.abs(x[:, None] - x) <= reach) & (np.abs(y[:, None] - y) <= reach)
    group = connected_components(touch, directed=False)[1]
    squares = [
        PixelBox(int(i - h), int(j - h), int(i + h + 1), int(j + h + 1))
        for i, j, h in zip(x, y, half, strict=True)
    ]
    windows = []
    for one in np.unique(group):
        mine = np.flatnonzero(group == one)
        members = tuple(int(k) for k in seen[mine])
        windows.append(JoinedWindow(members, tuple(squares[k] for k in mine)))
    return tuple(windows)


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
        stack = stack.with_weight(stack.weight * np.stack([w.inside for w in same]))
        source = np.array([w.members for w in same], np.int64)
        views.append(Views(stack, np.full(len(same), exposure, np.int64), source))
    return tuple(views)
