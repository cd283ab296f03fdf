"""What a part of a scene hands to the reducer: sums over its sources, reduced to what is shared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.numerics.models.blocks import QuadraticForm, ReducedBlocks
from alignsvc.numerics.models.scene.scene_problem import SceneEquations


@dataclass(frozen=True, slots=True, eq=False)
class PartSums:
    """A part's equations without its sources. Those of all parts add up to those of the scene.

    Symmetric matrices are kept as their upper triangles. What is held because it is at a bound is
    known when all parts are added up, so it is not in here: see `held`.

    Parameters
    ----------
    is_sound : bool
        Whether every source has a place and a shape; if not, the rest means nothing.
    chi2, rounding : float
    n_pixels : int
    n_determined : int
        Unknowns that were eliminated.
    push : float64 array, shape (r,)
        Gradient of all reduced unknowns, before sources are eliminated.
    damping : float
    triangle, gradient, diagonal : float64 arrays
        The `ReducedBlocks`.
    explained : float
    damped_triangle, damped_vector, damped_constant : float64 arrays and float
        `Elimination.damped_square`; no elements without damping.
    """

    is_sound: bool
    chi2: float
    rounding: float
    n_pixels: int
    n_determined: int
    push: FloatArray
    damping: float
    triangle: FloatArray
    gradient: FloatArray
    diagonal: FloatArray
    explained: float
    damped_triangle: FloatArray
    damped_vector: FloatArray
    damped_constant: float

    @classmethod
    def unsound(cls) -> PartSums:
        """Return what says that the model is not defined there."""
        none = np.zeros(0)
        return cls(
            False, np.inf, 0.0, 0, 0, none, 0.0, none, none, none, 0.0, none, none, 0.0
        )  # fmt: skip

    @classmethod
    def of(cls, here: SceneEquations, damping: float, linear: BoolArray | None = None) -> PartSums:
        """Return a part's sums at a state.

        Parameters
        ----------
        here : SceneEquations
        damping : float
        linear : bool array, shape (r,), or None
            Only these reduced unknowns and the sources' linear ones are free: the rest is left
            out. None: all are.
        """
        blocks = here.blocks
        found = here.eliminated_linear() if linear is not None else here.eliminated(damping)
        at = np.arange(len(blocks.gradient)) if linear is None else np.flatnonzero(linear)
        upper = _upper(len(at))
        none = np.zeros(0)
        damped = QuadraticForm(none, none, 0.0)
        if damping > 0:
            whole = found.damped_square()
            damped = QuadraticForm(whole.matrix[upper], whole.vector, whole.constant)
        own = int(np.count_nonzero(blocks.layout.diagonal(blocks.group_matrix)))
        return cls(
            True,
            here.chi2,
            here.rounding,
            here.n_pixels,
            here.n_own + own,
            blocks.gradient,
            damping,
            _part(found.reduced.matrix, at)[upper],
            found.reduced.gradient[at],
            found.reduced.diagonal[at],
            found.explained,
            damped.matrix,
            damped.vector,
            damped.constant,
        )

    def __add__(self, other: PartSums) -> PartSums:
        if self.damping != other.damping:
            raise ValueError(
                f"sums of parts with the same damping wanted, found {self.damping} and "
                f"{other.damping}"
            )
        return PartSums(
            self.is_sound and other.is_sound,
            self.chi2 + other.chi2,
            self.rounding + other.rounding,
            self.n_pixels + other.n_pixels,
            self.n_determined + other.n_determined,
            self.push + other.push,
            self.damping,
            self.triangle + other.triangle,
            self.gradient + other.gradient,
            self.diagonal + other.diagonal,
            self.explained + other.explained,
            self.damped_triangle + other.damped_triangle,
            self.damped_vector + other.damped_vector,
            self.damped_constant + other.damped_constant,
        )

    @classmethod
    def total(cls, parts: Iterable[PartSums]) -> PartSums:
        """Return the sum of parts, in the order given: the same order gives the same bits.

        Unsound if one of them is.
        """
        first, *others = parts
        if not all(part.is_sound for part in (first, *others)):
            return cls.unsound()
        for part in others:
            first = first + part
        return first

    def reduced(self, held: BoolArray) -> ReducedBlocks:
        """Return the reduced system with some of its unknowns held: they get no step.

        Elimination of the sources and holding change places: both only leave out rows.
        """
        matrix = np.where(held[:, None] | held, 0.0, _symmetric(self.triangle, len(held)))
        np.fill_diagonal(matrix, np.where(held, 1.0, np.diagonal(matrix)))
        return ReducedBlocks(
            matrix, np.where(held, 0.0, self.gradient), np.where(held, 1.0, self.diagonal)
        )

    def decrease(self, solution: FloatArray, held: BoolArray, linear: BoolArray) -> float:
        """Return what chi2 falls by in the linearised problem with a solution of `reduced`.

        Parameters
        ----------
        solution : float64 array, shape (r,)
        held, linear : bool arrays, shape (r,)
            Reduced unknowns that stay; those that are not damped.
        """
        slope = self.explained + float(np.where(held, 0.0, self.gradient) @ solution)
        if not self.damping:
            return slope
        own = np.where(linear, 0.0, self.damping * self.diagonal)
        matrix = _symmetric(self.damped_triangle, len(solution))
        groups = QuadraticForm(matrix, self.damped_vector, self.damped_constant)
        return slope + groups(solution) + float(own @ solution**2)


def _symmetric(triangle: FloatArray, size: int) -> FloatArray:
    matrix = np.empty((size, size))
    upper = _upper(size)
    matrix[upper] = triangle
    matrix.T[upper] = triangle
    return matrix


def _upper(size: int) -> BoolArray:
    return ~np.tri(size, k=-1, dtype=bool)


def _part(matrix: FloatArray, at: IntArray) -> FloatArray:
    return matrix if len(at) == len(matrix) else matrix[np.ix_(at, at)]
