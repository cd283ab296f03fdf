"""What a family of profiles offers to a fit: values on pixels and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignsvc.domain.arrays import Float32Array, FloatArray


@dataclass(frozen=True, slots=True)
class ShapeParameter:
    """One number that the shape of a profile depends on.

    Parameters
    ----------
    name : str
        ``log_fwhm``, ``inverse_index``, ``e1``, ``e2``, ``log_radius``, ``index``, ...
    lowest, highest : float
        Bounds within which the profile is defined and tested.
    step : float
        A natural unit: what a fit may step at most.
    """

    name: str
    lowest: float
    highest: float
    step: float


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Centres of sources in square windows.

    Parameters
    ----------
    x, y : float64 arrays, shape (n,)
        0-based pixels of the window.
    side : int
        Pixels along a window's side.
    """

    x: FloatArray
    y: FloatArray
    side: int


@dataclass(frozen=True, slots=True, eq=False)
class ProfileColumns:
    """A profile of unit flux on the pixels of windows, and how it changes.

    The flux is that in the whole plane; values are integrated over the pixel.

    Parameters
    ----------
    value : float array, shape (n, side, side)
    d_x, d_y : float arrays, shape (n, side, side)
        Change of the value per pixel that the *centre* moves.
    d_shape : float array, shape (n, k, side, side)
        Change of the value per unit of each shape parameter.
    """

    value: FloatArray | Float32Array
    d_x: FloatArray | Float32Array
    d_y: FloatArray | Float32Array
    d_shape: FloatArray | Float32Array


class Profile(Protocol):
    """A family of profiles of unit flux: a frozen dataclass whose fields are its settings."""

    @property
    def parameters(self) -> tuple[ShapeParameter, ...]:
        """The shape's parameters, in the order of the columns of `shape`."""
        ...

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        """Return the profile about each place; `shape` is (n, k)."""
        ...
