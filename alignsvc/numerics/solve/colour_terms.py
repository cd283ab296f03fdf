"""Differential chromatic refraction: how far each exposure shifts sources by their colours.

The atmosphere refracts blue light more than red. What all sources of an exposure have in common
is in its shift; what is left is proportional to the colour, toward the zenith, and differs between
exposures of other airmass, hour angle or filter. Exposure i sees source s of colour c_s off by
``k_i (c_s - c)``, c the typical colour. The k_i are found from what the joint fit of the
corrections leaves, by the same algebra as flux scales (`relative_levels`), axis by axis: what all
exposures have in common is in the sources' own places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.motions import less_steps
from alignsvc.numerics.solve.relative_levels import LevelRows, LevelSolver
from alignsvc.numerics.solve.seen_as import SeenAs


@dataclass(frozen=True, slots=True, eq=False)
class SourceColours:
    """Colours of sources.

    Parameters
    ----------
    source : int64, shape (n,)
        Ids, rising.
    colour : float64, shape (n,)
        Magnitudes, less that of the median source.
    median : float
        Colour of the median source, for which corrections hold; 0 without sources.
    """

    source: IntArray
    colour: FloatArray
    median: float = 0.0

    @classmethod
    def of(cls, source: IntArray, colour: FloatArray) -> SourceColours:
        """Return the colours of sources, those left out that are not finite."""
        known = np.flatnonzero(np.isfinite(colour))
        known = known[np.argsort(source[known], kind="stable")]
        middle = float(np.median(colour[known])) if len(known) else 0.0
        return cls(source[known], colour[known] - middle, middle)

    def of_rows(self, factors: Factors) -> tuple[FloatArray, BoolArray]:
        """Return the colour of each row's source, 0 where it is not known, and where it is."""
        if not len(self.source):
            return np.zeros(len(factors)), np.zeros(len(factors), bool)
        at = np.minimum(np.searchsorted(self.source, factors.source), len(self.source) - 1)
        known = self.source[at] == factors.source
        return np.where(known, self.colour[at], 0.0), known


@dataclass(frozen=True, slots=True, eq=False)
class ColourTerms:
    """Shifts by colour of n exposures.

    Parameters
    ----------
    shift_arcsec : float64, shape (n, 2)
        Where a source redder by one magnitude appears, (east, north) in the component's plane,
        against the median exposure of its component.
    error_arcsec : float64, shape (n, 2)
        Against the mean of the component; infinite where nothing is known.
    """

    shift_arcsec: FloatArray
    error_arcsec: FloatArray

    @property
    def largest_arcsec(self) -> float:
        """The longest shift."""
        return float(np.hypot(*self.shift_arcsec.T).max(initial=0.0))

    def of_exposure(self, index: int) -> ColourTerm:
        """Return the term of one exposure."""
        east, north = (1e3 * self.shift_arcsec[index]).tolist()
        error_east, error_north = (1e3 * self.error_arcsec[index]).tolist()
        return ColourTerm((east, north), (error_east, error_north))

    def taken_off(self, factors: Sequence[Factors], colours: SourceColours) -> Sequence[Factors]:
        """Return factors as if all sources had the median colour.

        A source that appears at ``+k c`` lies so much nearer to, or farther from, the mosaic's
        place: its residual, what is to be added to its position, lacks ``k c``.
        """

        def of_median(index: int, one: Factors) -> Factors:
            moved = colours.of_rows(one)[0][:, None] * self.shift_arcsec[index]
            return replace(one, residual=read_only(one.residual + moved))

        return SeenAs(of_median, factors)


@dataclass(frozen=True, slots=True)
class ColourFitter:
    """Find shifts by colour in the residuals of a joint fit.

    Parameters
    ----------
    solver : LevelSolver
    rounds : int
        Fits of corrections and of colours, one after the other: where an exposure's part of the
        sky has its red stars on one side, the two know of each other. A strip of 24 with a dozen
        stars a joint needs six, a stack two.
    """

    solver: LevelSolver = field(default_factory=LevelSolver)
    rounds: int = 6

    def __call__(
        self,
        factors: Sequence[Factors],
        steps_of: Callable[[Sequence[Factors]], FloatArray],
        colours: SourceColours,
    ) -> ColourTerms:
        """Return the terms.

        Parameters
        ----------
        factors : sequence of Factors, length n
        steps_of : callable
            Fits corrections to factors; returns their steps, shape (n, 6).
        colours : SourceColours
        """
        terms = self.of_residuals(less_steps(factors, steps_of(factors)), colours)
        for _ in range(self.rounds - 1):
            steps = steps_of(terms.taken_off(factors, colours))
            terms = self.of_residuals(less_steps(factors, steps), colours)
        return terms

    def of_residuals(self, left: Sequence[Factors], colours: SourceColours) -> ColourTerms:
        """Return the terms in what corrections leave of the factors' residuals."""
        exposure, source, colour, residual, variance = [], [], [], [], []
        for index, one in enumerate(left):
            of_row, known = colours.of_rows(one)
            rows = np.flatnonzero(one.use & known)
            exposure.append(np.full(len(rows), index))
            source.append(one.source[rows])
            colour.append(of_row[rows])
            residual.append(one.residual[rows])
            variance.append(2.0 / np.trace(one.information[rows], axis1=1, axis2=2))
        rows_of = [np.concatenate(column) for column in (exposure, source, variance, colour)]
        values = np.concatenate(residual)
        axes = [
            self.solver(
                LevelRows(rows_of[0], rows_of[1], -values[:, axis], rows_of[2], rows_of[3]),
                len(left),
            )
            for axis in (0, 1)
        ]
        return ColourTerms(
            np.stack([axis.value for axis in axes], axis=1),
            np.stack([axis.error for axis in axes], axis=1),
        )
