"""The joint solve with the offsets of chips: robust, as they are outliers to a fit without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.chip_offsets import ChipDesign, ChipStep, chip_step
from alignsvc.numerics.solve.displaced_chips import (
    DisplacedChip,
    DisplacementTest,
    without_chips,
)
from alignsvc.numerics.solve.gauge import Footprint
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.numerics.solve.sums import apply_each

#: Solutions with outliers trusted less, before the first rejection.
_N_STARTS = 6
#: Fits whose weights follow from the offsets of the fit before; two are enough as a rule.
_N_FITS = 4
#: Offsets that change by less than this (px) change no weight.
_STILL_PX = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class ChipFit:
    """A joint fit with offsets of chips.

    Parameters
    ----------
    fit : JointFit
        Steps and covariances of the exposures, the offsets being unknown too.
    chips : ChipStep
        With the whole offsets since the factors were measured.
    """

    fit: JointFit
    chips: ChipStep


@dataclass(frozen=True, slots=True, eq=False)
class ChipStart:
    """Exposures and chips as a fit has them that rejects nothing and trusts outliers little.

    Parameters
    ----------
    steps : array, shape (n, 6)
    chips : ChipStep
    is_solved : bool array, shape (n,)
    """

    steps: FloatArray
    chips: ChipStep
    is_solved: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class JointChipFitter:
    """Solve for exposures and chips at once.

    Parameters
    ----------
    fitter : JointFitter

    Notes
    -----
    The sources that tell of a chip's offset are those that another chip sees in another exposure:
    all of them stand out of a fit without offsets, together, and rejection would take them all.
    So offsets are found first by weights that fall off with the residuals about the *joint*
    solution; then factors without these offsets are fitted as usual, and what is still left of
    the offsets is solved for with that fit's weights.
    """

    fitter: JointFitter

    def __call__(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        chips: ChipDesign,
        catalog: CatalogOffsets | None = None,
    ) -> ChipFit:
        """Return steps of exposures and offsets of chips.

        Parameters
        ----------
        factors, footprints, catalog
            As of `JointFitter`.
        chips : ChipDesign
        """
        total = np.array(self.start(factors, footprints, chips, catalog).chips.offset)
        for _ in range(_N_FITS):
            fit = self.fitter(chips.taken_off(factors, total), footprints, catalog)
            found = chip_step(fit.solved, chips, len(factors))
            total = total + found.offset
            if np.abs(found.offset).max(initial=0.0) < _STILL_PX:
                break
        whole = replace(found, offset=read_only(total))
        return ChipFit(_with_offsets(fit, found), whole)

    def start(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        chips: ChipDesign,
        catalog: CatalogOffsets | None = None,
    ) -> ChipStart:
        """Return a first solution that no outlier bends much; arguments as of a call."""
        problem = self.fitter.problem(factors, footprints, catalog)
        trust = problem.usable.astype(float)
        total = np.zeros((chips.n_chips, 2))
        for _ in range(_N_STARTS):
            solved = problem.solve(trust, ())
            found = chip_step(solved, chips, len(factors))
            total = total + found.offset
            factors = chips.taken_off(factors, found.offset)
            problem = self.fitter.problem(factors, footprints, catalog)
            solved = problem.solve(trust, solved.selection.not_solved)
            trust = problem.trust_by_length(solved)
        steps = np.zeros((len(factors), 6))
        steps[solved.movers] = apply_each(solved.to_parameters, solved.phi)
        is_solved = solved.selection.label[: len(factors)] >= 0
        return ChipStart(steps, replace(found, offset=read_only(total)), is_solved)


def _with_offsets(fit: JointFit, found: ChipStep) -> JointFit:
    """Return the fit with its exposures' response to offsets that were found after it."""
    steps = fit.steps + found.response @ found.offset.ravel()
    by_chips = found.response @ found.covariance @ np.swapaxes(found.response, 1, 2)
    return replace(fit, steps=read_only(steps), covariances=read_only(fit.covariances + by_chips))


@dataclass(frozen=True, slots=True, eq=False)
class MultiChipFit:
    """A joint fit of exposures with several chips.

    Parameters
    ----------
    fit : JointFit
    chips : ChipStep
        What the sources say of offsets that all exposures share, whether the fit has them or not.
    displaced : tuple of DisplacedChip
        Chips that stand apart from the rest of their exposure; their sources took no part.
    factors : tuple of Factors
        As they were fitted: without the chips' offsets, if the fit has them.
    """

    fit: JointFit
    chips: ChipStep
    displaced: tuple[DisplacedChip, ...]
    factors: tuple[Factors, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MultiChipFitter:
    """Fit exposures of several chips: no displaced chip bends the correction of its exposure.

    Parameters
    ----------
    fitter : JointFitter
    chips : ChipDesign
    has_offsets : bool
        Whether the fit has an offset for each chip, common to all exposures of the camera.
    test : DisplacementTest
    """

    fitter: JointFitter
    chips: ChipDesign
    has_offsets: bool
    test: DisplacementTest = field(default_factory=DisplacementTest)

    def __call__(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        catalog: CatalogOffsets | None = None,
    ) -> MultiChipFit:
        """Return the fit; arguments as of `JointFitter`."""
        joint, every = JointChipFitter(self.fitter), factors
        displaced: tuple[DisplacedChip, ...] = ()
        while True:
            start = joint.start(factors, footprints, self.chips, catalog)
            found = self._standing_apart(factors, footprints, start, displaced)
            if not found:
                break
            displaced += found
            factors = without_chips(every, displaced)
        if self.has_offsets:
            both = joint(factors, footprints, self.chips, catalog)
            fit, chips, steps = both.fit, both.chips, both.fit.steps
        else:
            fit, chips = self.fitter(factors, footprints, catalog), start.chips
            steps = start.steps
        less = self.chips.taken_off(every, chips.offset)
        again = self.test.offsets_of(less, steps, self.chips, displaced)
        fitted = self.chips.taken_off(factors, chips.offset) if self.has_offsets else factors
        return MultiChipFit(fit, chips, again, tuple(fitted))

    def _standing_apart(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        start: ChipStart,
        known: Sequence[DisplacedChip],
    ) -> tuple[DisplacedChip, ...]:
        """Return chips that stand apart; more than half of an exposure's cannot."""
        less = self.chips.taken_off(factors, start.chips.offset)
        less = tuple(
            one if solved else replace(one, use=read_only(np.zeros_like(one.use)))
            for one, solved in zip(less, start.is_solved, strict=True)
        )
        found: list[DisplacedChip] = []
        geometries = [footprint.geometry for footprint in footprints]
        apart = self.test(less, start.steps, self.chips, geometries)
        for one in sorted(apart, key=_by_significance):
            n_chips = len(np.unique(factors[one.exposure].chip))
            n_out = sum(each.exposure == one.exposure for each in known)
            if n_out < max(1, n_chips // 2) and not _is_mirrored(factors, one, found):
                found.append(one)
        return tuple(found)


def _by_significance(one: DisplacedChip) -> float:
    return -one.length_px / one.error_px


def _is_mirrored(
    factors: Sequence[Factors], one: DisplacedChip, found: Sequence[DisplacedChip]
) -> bool:
    """Whether most of a chip's sources are on chips found before: those stand apart from it."""
    own = _sources(factors, one)
    theirs = [_sources(factors, each) for each in found]
    shared = int(np.isin(own, np.concatenate([*theirs, np.zeros(0, np.int64)])).sum())
    return shared > 0.5 * one.n_sources


def _sources(factors: Sequence[Factors], one: DisplacedChip) -> IntArray:
    of_exposure = factors[one.exposure]
    rows = np.flatnonzero(of_exposure.use & (of_exposure.chip == one.chip))
    return np.asarray(of_exposure.source[rows], np.int64)
