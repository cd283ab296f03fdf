"""Windows of pixels about sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, read_only
from alignsvc.domain.geometry import Points


@dataclass(frozen=True, slots=True, eq=False)
class WindowStack:
    """Square windows of one size.

    Parameters
    ----------
    pixels : float array, shape (n, side, side)
        Sky at its own level or subtracted; what has no weight is stored as 0. In single
        precision sums are too, if the profile is: subtract the sky before.
    weight : float array, shape (n, side, side)
        Inverse variance; 0 = masked.
    corner : int64 array, shape (n, 2)
        ``x, y`` in the exposure of each window's first pixel.

    Raises
    ------
    ValueError
        Shapes that do not fit; weights that are negative or not finite.
    """

    pixels: FloatArray | Float32Array
    weight: FloatArray | Float32Array
    corner: IntArray

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[1] != shape[2] or self.weight.shape != shape:
            raise ValueError(
                f"windows: pixels and weight of one shape (n, side, side) wanted, "
                f"found {shape} and {self.weight.shape}"
            )
        if self.corner.shape != (shape[0], 2):
            raise ValueError(f"windows: corners ({shape[0]}, 2) wanted, found {self.corner.shape}")
        # There may be a gigabyte of pixels: nothing is copied unless something is masked.
        lowest, highest = self.weight.min(initial=np.inf), self.weight.max(initial=0)
        if not (lowest >= 0 and highest < np.inf):
            raise ValueError("windows: weights must be finite and not negative; 0 masks a pixel")
        used = self.weight > 0
        if not (np.isfinite(self.pixels) | ~used).all():
            raise ValueError("windows: a pixel that is not finite has a weight; 0 would mask it")
        dtype = np.float32 if self.pixels.dtype == np.float32 else np.float64
        clean = self.pixels if lowest > 0 else np.where(used, self.pixels, 0)
        clean = clean.astype(dtype, copy=False)
        object.__setattr__(self, "pixels", read_only(clean))
        object.__setattr__(self, "weight", read_only(self.weight.astype(dtype, copy=False)))
        object.__setattr__(self, "corner", read_only(self.corner.astype(np.int64, copy=False)))

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def side(self) -> int:
        """Pixels along a window's side."""
        return int(self.pixels.shape[-1])

    @property
    def n_pixels(self) -> IntArray:
        """Pixels with a weight in each window, shape (n,)."""
        return np.asarray(np.count_nonzero(self.weight, axis=(1, 2)), np.int64)

    def select(self, which: BoolArray | IntArray | slice) -> WindowStack:
        """Return the windows named by a mask, indices or a slice."""
        # What was valid stays so: checking all pixels again would cost as much as a model.
        chosen = object.__new__(WindowStack)
        for name in ("pixels", "weight", "corner"):
            object.__setattr__(chosen, name, read_only(getattr(self, name)[which]))
        return chosen

    def with_weight(self, weight: FloatArray | Float32Array) -> WindowStack:
        """Return the same pixels with other weights."""
        return WindowStack(self.pixels, weight, self.corner)


def inverse_variance(
    variance: FloatArray | Float32Array, mask: BoolArray | None = None
) -> FloatArray:
    """Return weights: 0 where masked, or where the variance is no positive finite number."""
    good = np.isfinite(variance) & (variance > 0)
    if mask is not None:
        good &= ~mask
    weight = np.zeros(variance.shape)
    weight[good] = 1.0 / variance[good]
    return weight


def cut_windows(
    image: FloatArray | Float32Array, weight: FloatArray | Float32Array, about: Points, side: int
) -> WindowStack:
    """Return windows about places in an image; outside the image the weight is 0.

    Parameters
    ----------
    image, weight : float arrays, shape (ny, nx)
        Not finite where the weight is 0, if need be.
    about : Points, shape (n,)
        Pixels of the image, finite; a window's middle is the pixel nearest to its place.
    side : int
        Odd, so that there is a middle.
    """
    if side < 1 or side % 2 == 0:
        raise ValueError(f"windows: an odd side wanted, found {side}")
    half = side // 2
    # Places far off the image give windows off the image: the number need not fit an integer.
    nx, ny = image.shape[1], image.shape[0]
    x0 = np.rint(np.clip(about.x, -2.0 * side, nx + 2.0 * side)).astype(np.int64) - half
    y0 = np.rint(np.clip(about.y, -2.0 * side, ny + 2.0 * side)).astype(np.int64) - half
    rows, columns = y0[:, None] + np.arange(side), x0[:, None] + np.arange(side)
    inside = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None]
    at = (np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :])
    weights = np.where(inside, weight[at], 0)
    return WindowStack(
        np.where(weights > 0, image[at], 0), weights, np.stack([x0, y0], axis=1).astype(np.int64)
    )
