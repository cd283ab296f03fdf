"""From measurements to corrections: the reducer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.correction import N_PARAMETERS, Correction, Geometry
from alignsvc.domain.geometry import SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Factors
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import FitQuality
from alignsvc.domain.task import TableRef
from alignsvc.errors import NothingToMeasure
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.solve.colour_terms import ColourFitter, SourceColours
from alignsvc.numerics.solve.error_floor import ErrorFloor
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import (
    FixedGauge,
    Footprint,
    GaugeKind,
    MeanGauge,
    footprint_of,
    hold_mean,
)
from alignsvc.numerics.solve.joint_chips import MultiChipFitter
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.numerics.solve.motions import DriftTest, less_steps, without_sources
from alignsvc.numerics.solve.movement import chip_samples, movement_px
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.numerics.solve.steps import stepped
from alignsvc.reasons import SkipReason
from alignsvc.run import events
from alignsvc.run.cameras import Cameras, cameras_of
from alignsvc.run.chips import ChipsSolved, empty_among, notes_on_chips, totals_of
from alignsvc.run.plan import PlannedExposure
from alignsvc.run.reference import STILL_PX, GridReference, years_of
from alignsvc.run.stages import Tools

#: How often a fit is tested for sources that move: strong drifts hide weak ones at first.
_DRIFT_ROUNDS = 2
#: Points per side of a chip at which a gauge is held: a linear map needs no more.
_SAMPLES_PER_SIDE = 3
#: Steps that change residuals by less than this part of their errors are no news: measuring the
#: same pixels again, a little beside, gives numbers that differ by some hundredths of an error, by
#: 0.18 in a strip of 24 whose bright stars' half mpx comes and goes with the phase of the pixel.
#: Not taking them adds 2 % to the error at most.
_LEAST_SIGNIFICANT = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """An exposure with its factors, in the store.

    Parameters
    ----------
    exposure : PlannedExposure
    factors : TableRef
    chips : ChipShifts or None
        Where its chips stood when it was measured, if chips have offsets.
    with_held_out : bool
        Whether sources that were kept out of the fit, to test it, serve it after all.
    levels : str
        Name of the table of its `MeasuredLevels`; empty if there is none.
    """

    exposure: PlannedExposure
    factors: TableRef
    chips: ChipShifts | None = None
    with_held_out: bool = False
    levels: str = ""

    def read(self, objects: ObjectStore, index: int) -> Factors:
        """Return the factors, as those of exposure `index` of a solve."""
        found = read_table(objects, self.factors.name, Factors, self.factors.checksum)
        found = replace(found, exposure=index)
        return found.with_held_out() if self.with_held_out else found


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a solve says of the exposures that took part.

    Parameters
    ----------
    corrections : mapping of exposure id to Correction
        The new totals.
    quality : mapping of exposure id to FitQuality
    moves_px : mapping of exposure id to float
        Largest movement anywhere in the footprint, whatever the gauge did.
    component : mapping of exposure id to int
        By the sources really shared.
    ended : tuple of ExposureEnded
        Exposures that could not be solved.
    moving : tuple of int
        Ids of sources that move, and were left out for it.
    chips : mapping of exposure id to ChipShifts
        Where chips have offsets.
    chip_notes : tuple of str
        What was found of single chips.
    """

    corrections: Mapping[str, Correction]
    quality: Mapping[str, FitQuality]
    moves_px: Mapping[str, float]
    component: Mapping[str, int]
    ended: tuple[ExposureEnded, ...]
    moving: tuple[int, ...] = ()
    chips: Mapping[str, ChipShifts] = field(default_factory=dict)
    chip_notes: tuple[str, ...] = ()

    def joined(self, other: Solution) -> Solution:
        """Return both; of exposures in both, what `other` says."""
        return Solution(
            {**self.corrections, **other.corrections},
            {**self.quality, **other.quality},
            {**self.moves_px, **other.moves_px},
            {**self.component, **other.component},
            (*self.ended, *other.ended),
            (*self.moving, *other.moving),
            {**self.chips, **other.chips},
            (*self.chip_notes, *other.chip_notes),
        )


NOTHING_SOLVED = Solution({}, {}, {}, {}, ())


def solve(
    tools: Tools,
    measured: Sequence[Measured],
    corrections: Mapping[str, Correction],
    references: Mapping[int, GridReference],
    choice: GeometryChoice | None,
) -> Solution:
    """Return the new corrections of all measured exposures, grid by grid.

    Parameters
    ----------
    tools : Tools
    measured : sequence of Measured
        In order of exposure id.
    corrections : mapping of exposure id to Correction
        The totals so far.
    references : mapping of component to GridReference
        What a reference catalogue says of the mosaic's sources; empty without one.
    choice : GeometryChoice or None
        None: every correction stays as free as it is.
    """
    one_by_one = tools.plan.config.alignment.solver == "independent"
    solution = NOTHING_SOLVED
    for grid in tools.plan.grids:
        group = _group(tools, grid, measured, corrections)
        if not group.members:
            continue
        found = (
            _solved_independently(tools, group)
            if one_by_one
            else _solved_jointly(tools, group, references.get(grid.component), choice)
        )
        n_known = len(set(solution.component.values()))
        renumbered = {name: n_known + k for name, k in found.component.items()}
        solution = solution.joined(replace(found, component=renumbered))
    return solution


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The exposures of one grid, with all that the solve needs of each."""

    grid: MosaicGrid
    members: tuple[PlannedExposure, ...]
    factors: tuple[Factors, ...]
    footprints: tuple[Footprint, ...]
    totals: tuple[Correction, ...]
    chips: tuple[ChipShifts | None, ...]

    def as_free_as(self, geometries: Sequence[Geometry]) -> _Group:
        """Return the group with footprints whose further steps have these geometries."""
        footprints = [
            replace(footprint, geometry=geometry)
            for footprint, geometry in zip(self.footprints, geometries, strict=True)
        ]
        return replace(self, footprints=tuple(footprints))

    def stepped(self, index: int, step: FloatArray, covariance: FloatArray) -> Correction:
        """Return the total correction of an exposure after one more step."""
        one, total = self.members[index], self.totals[index]
        geometry = self.footprints[index].geometry
        if one.start is None or geometry is total.geometry:
            return stepped(total, step, covariance, geometry)
        # What a stiffer geometry cannot express goes, but not what matching put before the loop.
        return stepped(one.since_start(total), step, covariance, geometry).after(one.start)


def _group(
    tools: Tools,
    grid: MosaicGrid,
    measured: Sequence[Measured],
    corrections: Mapping[str, Correction],
) -> _Group:
    objects = RunLocations(tools.run).objects
    own = [one for one in measured if one.exposure.component == grid.component]
    factors = [one.read(objects, index) for index, one in enumerate(own)]
    if not tools.plan.config.alignment.use_weights:
        factors = [equally_weighted(each) for each in factors]
    totals = tuple(corrections[one.exposure.id] for one in own)
    footprints = tuple(
        _footprint(one.exposure, total, grid) for one, total in zip(own, totals, strict=True)
    )
    members, chips = tuple(one.exposure for one in own), tuple(one.chips for one in own)
    return _Group(grid, members, tuple(factors), footprints, totals, chips)


def _footprint(exposure: PlannedExposure, total: Correction, grid: MosaicGrid) -> Footprint:
    found = footprint_of(_samples(exposure), exposure.since_start(total), grid.plane)
    if exposure.is_frozen:  # nothing of its total is ever to be undone
        found = replace(found, departure=np.zeros(N_PARAMETERS))
    return found


def _samples(exposure: PlannedExposure) -> SkyPoints:
    """Return points over all chips of an exposure, where the loop began."""
    each = [
        wcs.sky_from_pixel(chip_samples(wcs.shape, _SAMPLES_PER_SIDE)) for wcs in exposure.start_wcs
    ]
    return SkyPoints(
        np.concatenate([sky.ra for sky in each]), np.concatenate([sky.dec for sky in each])
    )


def equally_weighted(factors: Factors) -> Factors:
    """Return factors that all have the mean information of those in use, in every direction."""
    used = factors.information[factors.use]
    mean = 0.5 * float(np.trace(used, axis1=1, axis2=2).mean()) if len(used) else 0.0
    information = np.where(factors.use[:, None, None], mean * np.eye(2), 0.0)
    return replace(factors, information=information)


def _solved_jointly(
    tools: Tools, group: _Group, reference: GridReference | None, choice: GeometryChoice | None
) -> Solution:
    fitted = _jointly_fitted(tools, group, reference, choice)
    fit = fitted.fit
    group = group.as_free_as(fit.geometries)
    if choice is not None:
        free = [
            geometry
            for one, geometry in zip(group.members, fit.geometries, strict=True)
            if not one.is_frozen
        ]
        tools.listener(events.Note(f"geometries chosen: {_counted(free)}"))
    inflation = _inflation(fit)
    failed = {end.exposure: end for end in fit.not_solved if end.exposure < len(group.members)}
    solved = [i for i in range(len(group.members)) if i not in failed]
    steps = _steps_worth_taking(tools, group, fit)
    has_offsets, chips = tools.plan.config.images.chip_offsets, fitted.chips
    chips = chips.worth_taking(_LEAST_SIGNIFICANT) if chips is not None and has_offsets else None
    moving = _without_common_motion(tools, group, replace(fit, steps=steps))
    corrections, quality, moves, component = {}, {}, {}, {}
    shifts: dict[str, ChipShifts] = {}
    for i in solved:
        one = group.members[i]
        component[one.id] = int(fit.component[i])
        if one.is_frozen:
            continue
        covariance = inflation * fit.covariances[i]
        corrections[one.id] = group.stepped(i, steps[i], covariance)
        quality[one.id] = FitQuality(
            len(group.factors[i]),
            int(fit.n_used[i]),
            float(fit.rmse_arcsec[i]) / one.header.wcs[0].pixel_scale_arcsec,
            float(fit.mae_arcsec[i]) / one.header.wcs[0].pixel_scale_arcsec,
        )
        if chips is not None and chips.cameras.first_column[i] >= 0:
            shifts[one.id] = chips.shifts_of(i, group.chips[i], corrections[one.id])
        old, new = group.chips[i], shifts.get(one.id)
        moves[one.id] = _movement(
            one,
            totals_of(one, group.totals[i], old),
            totals_of(one, group.stepped(i, moving[i], covariance), new),
        )
    ended = tuple(
        _ended(group.members[i].id, end.reason, end.message)
        for i, end in sorted(failed.items())
        if not group.members[i].is_frozen
    )
    notes = (
        ()
        if fitted.chips is None
        else notes_on_chips(fitted.chips, shifts if has_offsets else None)
    )
    return Solution(corrections, quality, moves, component, ended, fitted.moving, shifts, notes)


def _counted(geometries: Sequence[Geometry]) -> str:
    """Return how many exposures have each geometry, as in '3 shift, 1 rscale'."""
    counts = {geometry: geometries.count(geometry) for geometry in Geometry}
    return ", ".join(f"{n} {geometry}" for geometry, n in counts.items() if n)


def _error_floor(tools: Tools) -> ErrorFloor | None:
    """Return what estimates an error floor; weights that a user gave are no errors to level."""
    return None if tools.plan.config.detection.weight_column else ErrorFloor()


def _steps_worth_taking(tools: Tools, group: _Group, fit: JointFit) -> FloatArray:
    """Return the steps without those of components where all that is left is noise of measuring.

    A chain of thin overlaps can bend by half a pixel with no source speaking against it: there
    a thousandth of a pixel in each source, another one in each pass, is many `eps_shift` at the
    ends, and the loop would follow it for ever.
    """
    steps = np.array(fit.steps)
    eps_px = tools.plan.config.alignment.eps_shift
    for label, kind in enumerate(fit.gauges):
        members = np.flatnonzero(fit.component == label)
        left_px = max((_largest_px(group, i, steps[i]) for i in members.tolist()), default=0.0)
        if any(_is_to_stiffen(group, i) for i in members.tolist()):
            continue  # what a stiffer geometry cannot express must go
        if left_px < eps_px or fit.significance[members].max() >= _LEAST_SIGNIFICANT:
            continue
        still = np.zeros_like(steps[members])
        if kind is GaugeKind.MEAN:  # exposures that left may have taken the mean with them
            still = hold_mean(still, [group.footprints[i] for i in members])
        steps[members] = still
        tools.listener(
            events.Note(
                f"what is left to move, {left_px:.4f} px, is "
                f"{fit.significance[members].max():.2f} of its error at most: not followed"
            )
        )
    return steps


def _is_to_stiffen(group: _Group, index: int) -> bool:
    """Return whether an exposure that moves is less free from now on."""
    geometry = group.footprints[index].geometry
    return not group.members[index].is_frozen and geometry is not group.totals[index].geometry


def _largest_px(group: _Group, index: int, step: FloatArray) -> float:
    """Return how far a step moves an exposure's footprint at most, in its pixels."""
    moved = group.footprints[index].jacobian @ step
    scale = group.members[index].header.wcs[0].pixel_scale_arcsec
    return float(np.hypot(moved[:, 0], moved[:, 1]).max()) / scale


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A joint fit, what was fitted, who was left out for moving, and what chips do."""

    fit: JointFit
    factors: Sequence[Factors]
    moving: tuple[int, ...]
    chips: ChipsSolved | None


def _jointly_fitted(
    tools: Tools, group: _Group, reference: GridReference | None, choice: GeometryChoice | None
) -> _Fitted:
    """Fit all exposures of a group; sources that turn out to move are left out, then again."""
    algorithms = tools.plan.algorithms
    held = [i for i, one in enumerate(group.members) if one.id in tools.plan.held]
    fitter = JointFitter(
        clipping=algorithms.clipping,
        gauge=FixedGauge(tuple(held)) if held else MeanGauge(),
        prior=algorithms.prior,
        shared=algorithms.shared,
        choice=choice,
        stiffens=algorithms.choice is not None,
        seed=tools.plan.config.run.seed,
        error_floor=_error_floor(tools),
    )
    offsets = None if reference is None else reference.offsets
    factors = (
        group.factors if reference is None else reference.taken_off(group.factors, group.members)
    )
    drifts = DriftTest(limit_arcsec=STILL_PX * group.grid.scale_arcsec)
    if reference is not None and reference.colours is not None:
        factors = _without_colours(
            tools, factors, reference.colours, lambda some: fitter(some, group.footprints, offsets)
        )
    cameras = cameras_of(group.members)
    fitted = _fitted_once(tools, group, cameras, (fitter, factors, offsets))
    moving: list[int] = []
    for _ in range(_DRIFT_ROUNDS):
        left = less_steps(fitted.factors, fitted.fit.steps)
        found = drifts(left, years_of(group.members), fitted.fit.floor_arcsec)
        if not len(found):
            break
        moving += found.tolist()
        factors = without_sources(factors, found)
        fitted = _fitted_once(tools, group, cameras, (fitter, factors, offsets))
    return replace(fitted, moving=tuple(sorted(moving)))


def _fitted_once(
    tools: Tools,
    group: _Group,
    cameras: Cameras,
    how: tuple[JointFitter, Sequence[Factors], CatalogOffsets | None],
) -> _Fitted:
    """Fit all exposures of a group; chips are looked at where exposures have several."""
    fitter, factors, offsets = how
    if cameras.are_single:
        return _Fitted(fitter(factors, group.footprints, offsets), factors, (), None)
    design = cameras.design(factors, group.totals)
    both = MultiChipFitter(fitter, design, tools.plan.config.images.chip_offsets)(
        factors, group.footprints, offsets
    )
    empty = empty_among(cameras, group.factors)
    chips = ChipsSolved(cameras, both.chips, both.displaced, empty, _inflation(both.fit))
    return _Fitted(both.fit, both.factors, (), chips)


def _inflation(fit: JointFit) -> float:
    """Return by which factor variances are larger than the measurements' errors have them."""
    return max(1.0, fit.chi2 / fit.dof) if fit.dof > 0 else 1.0


def _without_colours(
    tools: Tools,
    factors: Sequence[Factors],
    colours: SourceColours,
    fit: Callable[[Sequence[Factors]], JointFit],
) -> tuple[Factors, ...]:
    """Return factors without what refraction does to sources of other colours."""
    terms = ColourFitter()(factors, lambda some: fit(some).steps, colours)
    longest = 1e3 * terms.largest_arcsec
    tools.listener(events.Note(f"colour terms: {longest:.1f} mas a magnitude at most"))
    return terms.taken_off(factors, colours)


def _without_common_motion(tools: Tools, group: _Group, fit: JointFit) -> FloatArray:
    """Return the steps without what all exposures of a component do together.

    Where the mean holds the frame, exposures that join or leave shift all others by a common
    motion: that is a change of gauge, not of alignment.
    """
    steps = np.array(fit.steps)
    for label, kind in enumerate(fit.gauges):
        members = np.flatnonzero(fit.component == label)
        if kind is GaugeKind.MEAN and len(members):
            footprints = [group.footprints[i].unmoved() for i in members]
            steps[members] = hold_mean(steps[members], footprints)
    return steps


def _solved_independently(tools: Tools, group: _Group) -> Solution:
    """Fit each exposure by itself; nobody holds the frame yet (see `frame_held`)."""
    algorithms = tools.plan.algorithms
    fitter = LinearFitter(algorithms.geometry, algorithms.clipping, _error_floor(tools))
    corrections, quality, ended = {}, {}, []
    for one, factors, total in zip(group.members, group.factors, group.totals, strict=True):
        try:
            fit = fitter(factors)
        except NothingToMeasure as nothing:
            ended.append(_ended(one.id, nothing.reason, str(nothing)))
            continue
        step = np.zeros(6) if one.id == tools.plan.reference else fit.step
        inflation = max(1.0, fit.chi2 / fit.dof) if fit.dof > 0 else 1.0
        covariance = inflation * fit.covariance
        corrections[one.id] = stepped(total, step, covariance, total.geometry)
        scale = one.header.wcs[0].pixel_scale_arcsec
        quality[one.id] = FitQuality(len(factors), fit.n_used, fit.rmse / scale, fit.mae / scale)
    return Solution(corrections, quality, {}, dict.fromkeys(corrections, 0), tuple(ended))


def frame_held(
    tools: Tools,
    exposures: Sequence[PlannedExposure],
    before: Mapping[str, Correction],
    solution: Solution,
) -> Solution:
    """Return an independent solution in the mean's frame, with its movements since `before`.

    Without it the whole set drifts, a little every pass, for as long as one lets it. A
    reference image holds the frame by not moving.
    """
    corrections, held = dict(solution.corrections), tools.plan.held
    solved = [one for one in exposures if one.id in corrections]
    for grid in tools.plan.grids:
        members = [one for one in solved if one.component == grid.component]
        still_there = [one for one in exposures if one.component == grid.component]
        if not members or any(one.id in held for one in still_there):
            continue
        footprints = [
            footprint_of(_samples(one), one.since_start(corrections[one.id]), grid.plane)
            for one in members
        ]
        still = np.zeros((len(members), N_PARAMETERS))
        back = hold_mean(still, footprints)
        for one, step in zip(members, back, strict=True):
            total = corrections[one.id]
            corrections[one.id] = stepped(total, step, total.covariance, total.geometry)
    moves = {
        one.id: _movement(
            one, *(totals_of(one, total[one.id], None) for total in (before, corrections))
        )
        for one in solved
    }
    return replace(solution, corrections=corrections, moves_px=moves)


def _movement(
    exposure: PlannedExposure, old: Sequence[Correction], new: Sequence[Correction]
) -> float:
    """Return the largest movement over all chips, each with its correction, in their pixels."""
    return max(
        movement_px(corrected(wcs, before), corrected(wcs, after), wcs.shape)
        for wcs, before, after in zip(exposure.header.wcs, old, new, strict=True)
    )


def _ended(exposure: str, reason: SkipReason, message: str) -> ExposureEnded:
    return ExposureEnded(exposure, Status.SKIPPED, reason.value, f"exposure {exposure}: {message}")
