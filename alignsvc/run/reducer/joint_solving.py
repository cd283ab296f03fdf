"""The joint fit of a grid's exposures: its gauge, sources that move, colours and chips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from alignsvc.domain.measurement import Factors
from alignsvc.io.scratch_rows import ScratchRows
from alignsvc.numerics.solve.colour_terms import ColourFitter, ColourTerms, SourceColours
from alignsvc.numerics.solve.error_floor import ErrorFloor
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import FixedGauge, MeanGauge
from alignsvc.numerics.solve.joint_chips import MultiChipFitter
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter
from alignsvc.numerics.solve.motions import DriftTest, less_steps, without_sources
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.run.records import events
from alignsvc.run.reducer.cameras import Cameras, cameras_of
from alignsvc.run.reducer.chips import ChipsSolved, empty_among
from alignsvc.run.reducer.solve_group import SolveGroup
from alignsvc.run.stages.reference import STILL_PX, GridReference, years_of
from alignsvc.run.stages.running import Tools

#: How often a fit is tested for sources that move: strong drifts hide weak ones at first.
_DRIFT_ROUNDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A joint fit, what was fitted, who was left out for moving, what chips do, and colours."""

    fit: JointFit
    factors: Sequence[Factors]
    moving: tuple[int, ...]
    chips: ChipsSolved | None
    colours: ColourTerms | None = None


def jointly_fitted(
    tools: Tools, group: SolveGroup, reference: GridReference | None, choice: GeometryChoice | None
) -> Fitted:
    """Fit all exposures of a group; sources that turn out to move are left out, then again."""
    algorithms = tools.plan.algorithms
    names = tools.plan.held
    held = [i for i, one in enumerate(group.members) if one.id in names]
    fitter = JointFitter(
        clipping=algorithms.clipping,
        gauge=FixedGauge(tuple(held)) if held else MeanGauge(),
        prior=algorithms.prior,
        shared=algorithms.shared,
        choice=choice,
        stiffens=algorithms.choice is not None,
        seed=tools.plan.config.run.seed,
        error_floor=error_floor(tools, max(group.floors_arcsec)),
    )
    offsets = None if reference is None else reference.offsets
    factors = (
        group.factors if reference is None else reference.taken_off(group.factors, group.members)
    )
    drifts = DriftTest(limit_arcsec=STILL_PX * group.grid.scale_arcsec)
    terms = None
    if reference is not None and reference.colours is not None:
        terms = _colour_terms(
            tools, factors, reference.colours, lambda some: fitter(some, group.footprints, offsets)
        )
        factors = terms.taken_off(factors, reference.colours)
    cameras = cameras_of(group.members)
    fitted = _fitted_once(tools, group, cameras, (fitter, factors, offsets))
    moving: list[int] = []
    for _ in range(_DRIFT_ROUNDS):
        left = less_steps(fitted.factors, fitted.fit.steps)
        found = drifts(left, years_of(group.members), fitted.fit.floor_arcsec)
        if not len(found):
            break
        moving += found.tolist()
        factors = ScratchRows(without_sources(factors, found))
        fitted = _fitted_once(tools, group, cameras, (fitter, factors, offsets))
    return replace(fitted, moving=tuple(sorted(moving)), colours=terms)


def _fitted_once(
    tools: Tools,
    group: SolveGroup,
    cameras: Cameras,
    how: tuple[JointFitter, Sequence[Factors], CatalogOffsets | None],
) -> Fitted:
    """Fit all exposures of a group; chips are looked at where exposures have several."""
    fitter, factors, offsets = how
    if cameras.are_single:
        return Fitted(fitter(factors, group.footprints, offsets), factors, (), None)
    design = cameras.design(factors, group.totals)
    both = MultiChipFitter(fitter, design, tools.plan.config.images.chip_offsets)(
        factors, group.footprints, offsets
    )
    empty = empty_among(cameras, group.factors)
    chips = ChipsSolved(cameras, both.chips, both.displaced, empty, both.fit.inflation)
    return Fitted(both.fit, both.factors, (), chips)


def _colour_terms(
    tools: Tools,
    factors: Sequence[Factors],
    colours: SourceColours,
    fit: Callable[[Sequence[Factors]], JointFit],
) -> ColourTerms:
    """Return what refraction does to sources of other colours."""
    terms = ColourFitter()(factors, lambda some: fit(some).steps, colours)
    longest = 1e3 * terms.largest_arcsec
    tools.listener(events.Note(f"colour terms: {longest:.1f} mas a magnitude at most"))
    return terms


def error_floor(tools: Tools, before_arcsec: float) -> ErrorFloor | None:
    """Return what estimates an error floor, given the one that the pass before found.

    Weights that a user gave are no errors to level.
    """
    return None if tools.plan.config.detection.weight_column else ErrorFloor(before=before_arcsec)
