"""What a source model shows in a window of pixels, with how it changes with each parameter.

A profile has unit flux in the whole plane and is integrated over the pixel. Flux and sky are not
its business: they are linear, and eliminated by whoever fits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, hold_float64
from alignsvc.errors import ConfigError

#: What columns are computed in. ``single`` takes little more than half of the time; values err by
#: 1e-6 of the peak and derivatives by 1e-5 of the largest (by a Moffat index above 10, 1e-4).
Precision: TypeAlias = Literal["double", "single"]


@dataclass(frozen=True, slots=True)
class ShapeParameter:
    """One number of a profile's shape.

    Parameters
    ----------
    name : str
        ``log_fwhm``, ``e1``, ``inverse_index``: what it is; lengths are pixels before their
        natural logarithm is taken.
    lowest, highest : float
        Bounds within which the profile is defined and tested.
    step : float
        What a fit may change at once, at most.
    """

    name: str
    lowest: float
    highest: float
    step: float


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where sources are in square windows of one size.

    Parameters
    ----------
    x, y : float64 array, shape (n,)
        Centres, 0-based pixels of the window; they may lie outside it.
    side : int
        Pixels along a side of the windows.
    """

    x: FloatArray
    y: FloatArray
    side: int

    def __post_init__(self) -> None:
        hold_float64(self, "x", "y")
        if self.x.ndim != 1 or self.x.shape != self.y.shape:
            raise ValueError(f"places: wanted x, y (n,), found {self.x.shape}, {self.y.shape}")
        if self.side < 1:
            raise ValueError(f"places: wanted a side of 1 px or more, found {self.side}")

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True, eq=False)
class ProfileColumns:
    """Sources of unit flux and how each pixel changes with the parameters.

    Parameters
    ----------
    value : float array, shape (n, side, side)
        Part of the flux that falls on each pixel.
    d_x, d_y : float array, shape (n, side, side)
        Change of `value` per px that the *centre* moves.
    d_shape : float array, shape (n, k, side, side)
        Change of `value` per unit of each of the k shape parameters.

    Notes
    -----
    float64, but float32 in single precision, and where the profile itself is known no better
    (``empirical``).
    """

    value: FloatArray | Float32Array
    d_x: FloatArray | Float32Array
    d_y: FloatArray | Float32Array
    d_shape: FloatArray | Float32Array


class Profile(Protocol):
    """A family of profiles; a frozen dataclass whose fields are its settings.

    The laws (tests run them on every plug-in): unit flux; derivatives are those of the value;
    symmetric about the centre; pixel values are integrals over the pixel, to 1e-4 of the peak;
    inputs are left as they were; a window's columns do not depend on the other windows.
    """

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """The k shape parameters, in the order of `ProfileColumns.d_shape`."""
        ...

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the sources' columns.

        Parameters
        ----------
        windows : Places
            n centres.
        shape : float64 array, shape (k,) or (n, k)
            The shape of all sources, or of each. Beyond the bounds of the parameters nothing is
            promised.
        """
        ...


def shape_rows(windows: Places, shape: FloatArray, count: int) -> FloatArray:
    """Return `shape` as (n, count), or (1, count) if all windows have the same.

    Raises
    ------
    ValueError
        It is neither (count,) nor (n, count).
    """
    shape = np.asarray(shape, np.float64)
    if shape.shape not in ((count,), (len(windows), count)):
        raise ValueError(
            f"shape of {len(windows)} sources: wanted ({count},) or ({len(windows)}, {count}), "
            f"found {shape.shape}"
        )
    rows = np.atleast_2d(shape)
    return rows[:1] if len(rows) and (rows == rows[0]).all() else rows


def number_type(precision: Precision) -> np.dtype[Any]:
    """Return the type of the numbers.

    Raises
    ------
    ConfigError
        No such precision.
    """
    if precision not in ("double", "single"):
        raise ConfigError(f"profile: precision {precision!r}, wanted 'double' or 'single'")
    return np.dtype(np.float64 if precision == "double" else np.float32)
