"""A plane of pixels read beside its pixels, for people to look at."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import Float32Array, FloatArray

#: Degree of the spline: that of the templates of a measurement.
_ORDER = 5


def shifted_plane(plane: Float32Array, shift: tuple[float, float]) -> Float32Array:
    """Return ``plane(pixel + shift)`` by a quintic B-spline through its pixels.

    Parameters
    ----------
    plane : float32 array, shape (ny, nx)
        NaN = not known. The spline takes the nearest known pixel there, and what it says of a
        pixel whose neighbours are not all known is NaN.
    shift : tuple of float
        (x, y), px.

    Returns
    -------
    float32 array, shape (ny, nx)
        All NaN where nothing is known, or the shift is not finite.
    """
    bad = ~np.isfinite(plane)
    if bad.all() or not np.isfinite(shift).all():
        return np.full(plane.shape, np.nan, np.float32)
    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    filled: FloatArray = plane[tuple(nearest)].astype(np.float64)
    back = (-shift[1], -shift[0])  # ndimage asks where each pixel goes, along y and x
    moved = ndimage.shift(filled, back, order=_ORDER, mode="nearest")
    unknown = ndimage.shift(bad.astype(np.float64), back, order=1, mode="constant", cval=1.0)
    return np.where(unknown > 1e-6, np.nan, moved).astype(np.float32)
