"""The equations that stars of a chip give for the coefficients of their common PSF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.effective_psf import KNOTS, EffectivePsf, knot_weights
from alignsvc.numerics.displacement.stars.star_fit import StarStack

#: Unknown coefficients of the correction: one of each pair of opposite knots, and the middle.
FREE_KNOTS = (KNOTS**2 + 1) // 2
#: Unknowns of a star that are eliminated: its place and its background.
_OWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """Normal equations of coefficients that all stars have in common."""

    matrix: FloatArray
    data: FloatArray

    @classmethod
    def none(cls, n: int) -> NormalEquations:
        """Return the equations of n coefficients of which nothing is known."""
        return cls(np.zeros((n, n)), np.zeros(n))

    def plus(self, other: NormalEquations) -> NormalEquations:
        """Return what both tell together."""
        return NormalEquations(self.matrix + other.matrix, self.data + other.data)


@dataclass(frozen=True, slots=True, eq=False)
class StarsInWindows:
    """Stars with windows of one size, fitted with a PSF.

    Parameters
    ----------
    stack : StarStack
    place, expected : Points, shape (n,)
        In the windows: where the fit ended, and where they are expected beforehand.
    flux, background : float64 array, shape (n,)
    weight : float64 array, shape (n, side, side)
    """

    stack: StarStack
    place: Points
    expected: Points
    flux: FloatArray
    background: FloatArray
    weight: FloatArray

    @property
    def side(self) -> int:
        """Pixels along a window's side."""
        return self.stack.side

    def equations(
        self, psf: EffectivePsf, columns: sparse.csr_matrix, scatter_px: float
    ) -> NormalEquations:
        """Return the equations for the change of coefficients, all of a star's own eliminated.

        Parameters
        ----------
        psf : EffectivePsf
        columns : sparse matrix, shape (n side^2, m)
            What each coefficient gives to each pixel.
        scatter_px : float
            How far a star may be from where it is expected.
        """
        n = len(self.flux)
        surface = psf.at(self.place, self.side)
        flux = self.flux[:, None, None]
        # The flux is held: a PSF far from the truth and a flux far from it, both free, run away.
        planes = (-flux * surface.along_x, -flux * surface.along_y, np.ones_like(surface.value))
        own = np.stack(np.broadcast_arrays(*planes), axis=1).reshape(n, _OWN, -1)
        left = self.stack.pixels - flux * surface.value - self.background[:, None, None]
        weight = self.weight.reshape(n, 1, -1)
        inner = (own * weight) @ np.swapaxes(own, 1, 2)
        inner[:, 0, 0] += scatter_px**-2
        inner[:, 1, 1] += scatter_px**-2
        right = ((own * weight) @ left.reshape(n, -1, 1))[:, :, 0]
        right[:, 0] += (self.expected.x - self.place.x) * scatter_px**-2
        right[:, 1] += (self.expected.y - self.place.y) * scatter_px**-2
        weighted = columns.multiply(self.weight.reshape(-1, 1)).tocsr()
        across = (weighted.T @ _block_columns(own)).toarray()
        solved = np.linalg.solve(
            inner, np.concatenate([np.tile(np.eye(_OWN), (n, 1, 1)), right[:, :, None]], axis=2)
        )
        across = across.reshape(-1, n, _OWN)
        reduced = np.einsum("mni,nij->mnj", across, solved[:, :, :_OWN]).reshape(len(across), -1)
        matrix = (weighted.T @ columns).toarray() - reduced @ across.reshape(len(across), -1).T
        data = weighted.T @ left.ravel() - np.einsum("mni,ni->m", across, solved[:, :, _OWN])
        return NormalEquations(matrix, data)


def _block_columns(own: FloatArray) -> sparse.csr_matrix:
    """Return stars' own columns (n, 3, pixels) one below the other: (n pixels, 3 n)."""
    n, each, size = own.shape
    row = np.broadcast_to(np.arange(n * size).reshape(n, 1, size), own.shape)
    column = np.broadcast_to(np.arange(n * each).reshape(n, each, 1), own.shape)
    return sparse.csr_matrix((own.ravel(), (row.ravel(), column.ravel())), (n * size, n * each))


def correction_columns(part: StarsInWindows) -> sparse.csr_matrix:
    """Return what each free coefficient of the correction gives to each pixel."""
    step = np.arange(part.side)
    x = knot_weights(step - part.place.x[:, None])
    y = knot_weights(step - part.place.y[:, None])
    four = np.arange(4)
    knot_x = (x.first[..., None] + four)[:, None, :, None, :]
    knot_y = (y.first[..., None] + four)[:, :, None, :, None]
    value = x.weight[:, None, :, None, :] * y.weight[:, :, None, :, None]
    value = value * part.flux[:, None, None, None, None]
    inside = (knot_x >= 0) & (knot_x < KNOTS) & (knot_y >= 0) & (knot_y < KNOTS)
    inside &= (part.weight > 0)[:, :, :, None, None]
    knot = knot_y * KNOTS + knot_x
    free = np.minimum(knot, KNOTS**2 - 1 - knot)
    n_pixels = len(part.flux) * part.side**2
    pixel = np.broadcast_to(
        np.arange(n_pixels).reshape(len(part.flux), part.side, part.side, 1, 1), value.shape
    )
    rows = (value[inside], (pixel[inside], free[inside]))
    return sparse.csr_matrix(rows, (n_pixels, FREE_KNOTS))
