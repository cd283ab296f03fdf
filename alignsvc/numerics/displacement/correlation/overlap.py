"""Sums over the overlap of two masked frames, for every whole-pixel lag.

Padfield (2012), doi 10.1109/TIP.2011.2181402: with masks m of 0 and 1, every ingredient of a
correlation normalised over the overlap of good pixels is itself a correlation, such as
``sum m_E(p) m_T(p + l) T(p + l)^2``. Lags are the position in the template minus that in the
image, both frames laid centre on centre. A few lags are summed pixel by pixel, which no transform
of a small frame can match (`lag_sums.py`); many, by FFT.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from alignsvc.domain.arrays import BoolArray, Float32Array, contiguous, read_only
from alignsvc.numerics.displacement.correlation.lag_sums import (
    energies_at_lags,
    masked_sums_at_lags,
    products_at_lags,
)
from alignsvc.numerics.displacement.splines.half_pixels import ABOVE, BELOW, half_pixels
from alignsvc.numerics.displacement.windows.templates import SplineStack, Template

_Number = TypeVar("_Number", np.float32, np.bool_)

#: Lags along an axis up to which products are summed pixel by pixel: with more, transforms of
#: frames of 30 to 50 px take less time.
_MOST_SUMMED = 36


@dataclass(frozen=True, slots=True)
class LagWindow:
    """Lags up to `max_lag`, and some beyond, between frames of two sizes.

    Parameters
    ----------
    image_side, template_side : int
        Of equal parity, so that centre on centre is whole pixel on whole pixel.
    max_lag : int
        Pixels.
    beyond : tuple of int
        How many lags more before the first and after the last.
    """

    image_side: int
    template_side: int
    max_lag: int
    beyond: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if (self.template_side - self.image_side) % 2 or self.template_side < self.image_side:
            raise ValueError(
                f"lags: a template of side {self.template_side} does not surround an image of "
                f"side {self.image_side}; wanted the same parity and at least the same size"
            )

    @property
    def margin(self) -> int:
        """Template pixels beyond the image on each side."""
        return (self.template_side - self.image_side) // 2

    @property
    def n_lags(self) -> int:
        """Lags along an axis."""
        return 2 * self.max_lag + 1 + sum(self.beyond)

    @property
    def first(self) -> int:
        """Place in the template of the image's first pixel at the first lag; may be negative."""
        return self.margin - self.max_lag - self.beyond[0]

    @property
    def overlap_is_whole(self) -> bool:
        """Whether the template covers the whole image at every lag."""
        return self.margin >= self.max_lag + max(self.beyond)

    @property
    def length(self) -> int:
        """Period of the transforms: no lag in the window wraps around onto data."""
        over = self.max_lag + max(self.beyond) - self.margin
        return int(fft.next_fast_len(self.template_side + max(over, 0)))

    def spectrum(self, values: Float32Array) -> NDArray[np.complex64]:
        """Return the real-input transforms of frames, shape (..., length, length // 2 + 1)."""
        side = values.shape[-1]
        # Along x one product for all rows, a quarter faster than as many short transforms.
        along_x = (values.reshape(-1, side) @ _transform(self.length, side)).view(np.complex64)
        transformed: NDArray[np.complex64] = fft.fft(
            along_x.reshape(*values.shape[:-1], -1), self.length, axis=-2, overwrite_x=True
        )
        return transformed

    def sums(self, image: NDArray[np.complex64], template: NDArray[np.complex64]) -> Float32Array:
        """Return ``sum_p image(p) template(p + l)``, shape (..., 2 max_lag + 1, 2 max_lag + 1)."""
        rows, columns = _inverse_transforms(self.length, self.first, self.n_lags)
        # Of the inverse transform only the lags: two products, half the cost of the whole. The
        # second is one for all frames.
        half = rows @ (np.conj(image) * template)
        lags: Float32Array = half.view(np.float32).reshape(-1, len(columns)) @ columns
        return lags.reshape(*half.shape[:-1], columns.shape[-1])


@cache
def _transform(length: int, side: int) -> Float32Array:
    """Return the matrix that turns real rows, zero beyond `side`, into their half spectra.

    Real and imaginary parts in turn, shape (side, 2 (length // 2 + 1)).
    """
    frequency = np.arange(length // 2 + 1)
    waves = np.exp(-2j * np.pi / length * np.outer(np.arange(side), frequency))
    return read_only(waves.view(np.float64).astype(np.float32))


@cache
def _inverse_transforms(
    length: int, first: int, n_lags: int
) -> tuple[NDArray[np.complex64], Float32Array]:
    """Return the matrices that turn spectra of real frames into `n_lags` lags from `first`.

    The first, complex, is for the y axis, shape (n_lags, length); the second for real and
    imaginary parts in turn of the half spectrum along x, shape (2 (length // 2 + 1), n_lags).
    """
    lag = np.arange(first, first + n_lags)
    wave = np.exp(2j * np.pi / length * np.outer(np.arange(length), lag)) / length
    half = wave[: length // 2 + 1].copy()
    half[1 : (length + 1) // 2] *= 2  # for the conjugates, which are not there
    both = np.stack([half.real, -half.imag], axis=1).reshape(-1, n_lags)
    return wave.T.astype(np.complex64), both.astype(np.float32)


def overlap_products(
    window: LagWindow, image: Float32Array, template: Float32Array
) -> Float32Array:
    """Return ``sum image(p) template(p + l)`` of frames that are 0 where bad.

    Parameters
    ----------
    window : LagWindow
    image : float32 array, shape (n, side, side)
    template : float32 array, shape (n, versions, template side, template side)

    Returns
    -------
    float32 array, shape (n, versions, n_lags, n_lags)
    """
    if window.n_lags <= _MOST_SUMMED:
        frames = contiguous(image), contiguous(template)
        return products_at_lags(*frames, window.first, window.n_lags)
    return window.sums(window.spectrum(image)[:, None], window.spectrum(template))


def frame_products(window: LagWindow, pixels: Float32Array, template: Template) -> Float32Array:
    """Return ``sum pixels(p) template(p + l)`` over good pixels, (n, versions, n_lags, n_lags).

    Pixels are 0 where not good. The products with blots of a spline are the same spline through
    the products with its coefficients: one frame does for four, wherever all of a template is good.
    """
    if not isinstance(template, SplineStack):
        return overlap_products(window, pixels, template.counted)
    coefficients = template.spline.rows
    wider = replace(window, template_side=coefficients.shape[-1], beyond=(BELOW, ABOVE))
    through = overlap_products(wider, pixels, coefficients[:, None])[:, 0]
    products = half_pixels(contiguous(through), BELOW, window.n_lags)
    part = np.asarray(~template.good.all(axis=(1, 2)))
    if part.any():
        counted = template.select(part).counted
        products[part] = overlap_products(window, pixels[part], counted)
    return products


def template_sums(window: LagWindow, image_good: BoolArray, template: Float32Array) -> Float32Array:
    """Return ``sum m_E(p) template(p + l)``: a template's sum over the image's good pixels.

    Shapes as in `overlap_products`.
    """
    frames = contiguous(image_good), contiguous(template)
    return masked_sums_at_lags(*frames, window.first, window.n_lags)


def template_energies(window: LagWindow, image_good: BoolArray, template: Template) -> Float32Array:
    """Return ``sum m_E(p) m_T(p + l) template(p + l)^2``; shapes as above."""
    if not isinstance(template, SplineStack):
        return template_sums(window, image_good, template.counted**2)
    masks = contiguous(image_good), contiguous(template.good)
    return energies_at_lags(*masks, template.spline.rows, window.first, window.n_lags)


def image_sums(window: LagWindow, image: Float32Array, template_good: BoolArray) -> Float32Array:
    """Return ``sum image(p) m_T(p + l)``: an image's sum over the template's good pixels.

    Returns
    -------
    float32 array, shape (n, 1, n_lags, n_lags)
        The mask of a template is common to its versions.
    """
    sums = np.empty((len(image), 1, window.n_lags, window.n_lags), np.float32)
    whole = template_good.all(axis=(1, 2)) & window.overlap_is_whole
    sums[:] = image.sum(axis=(1, 2))[:, None, None, None]
    part = ~whole
    if part.any():
        mask = template_good[part, None].astype(np.float32)
        sums[part] = overlap_products(window, image[part], mask)
    return sums
