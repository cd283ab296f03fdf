"""A scene as a least-squares problem: one pass over the pixels gives chi2 and the blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.blocks import BlockStep, Elimination, Freedom, NormalBlocks
from alignsvc.numerics.models.least_squares import Step
from alignsvc.numerics.models.scene.scene import FluxModel, Scene, SkyModel
from alignsvc.numerics.models.scene.scene_layout import Batch, SceneLayout
from alignsvc.numerics.models.scene.scene_windows import (
    SceneState,
    WindowPass,
    pass_over,
    place_members,
    shifted,
)
from alignsvc.numerics.models.scene.window_sums import LinearValues

#: No source moves farther than this in one step: one without light would go anywhere.
_LONGEST_STEP_PX = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class SceneEquations:
    """A scene, linearised.

    Parameters
    ----------
    state : SceneState
        Values in which the model is linear are at their best.
    blocks : NormalBlocks
    freedom : Freedom
    chi2 : float
    n_pixels : int
        With a weight.
    n_own : int
        Fluxes and skies of windows that were eliminated.
    rounding : float
        Of chi2.
    passes : tuple of WindowPass, one for each batch
    """

    state: SceneState
    blocks: NormalBlocks
    freedom: Freedom
    chi2: float
    n_pixels: int
    n_own: int
    rounding: float
    passes: tuple[WindowPass, ...]

    @property
    def degrees_of_freedom(self) -> int:
        """Pixels less unknowns."""
        own = int(np.count_nonzero(self.blocks.layout.diagonal(self.blocks.group_matrix)))
        return self.n_pixels - self.n_own - own - len(self.blocks.gradient)

    def eliminated(self, damping: float) -> Elimination:
        """Return the equations without the sources: what a worker hands to the reducer."""
        return self.blocks.eliminated(damping, self.freedom)

    def eliminated_linear(self) -> Elimination:
        """Return the equations of shared fluxes and skies alone, fluxes eliminated."""
        free = self.freedom
        only = Freedom(
            free.group_held | ~free.group_linear,
            free.reduced_held | ~free.reduced_linear,
            free.group_linear,
            free.reduced_linear,
        )
        return self.blocks.eliminated(0.0, only)

    def step(self, damping: float) -> Step[BlockStep] | None:
        """Return the step for a damping; None if the reduced matrix is not positive definite."""
        eliminated = self.eliminated(damping)
        solution = eliminated.reduced.solve()
        if solution is None:
            return None
        whole = eliminated.step(solution)
        slope, bending = eliminated.slope(whole), eliminated.bending(whole)
        return Step(whole, 2.0 * slope - bending)


class SceneProblem:
    """A scene for the search: hand it to `LevenbergMarquardt` with a start.

    Parameters
    ----------
    scene : Scene
    """

    def __init__(self, scene: Scene) -> None:
        _keep_freed_memory()
        self.scene = scene
        self.layout = SceneLayout.of(scene)
        finest = _pixels_per_unit(scene, self.layout, self.start())
        self._bounds = _shape_bounds(scene, finest)
        self._longest = _LONGEST_STEP_PX / finest

    def start(self) -> SceneState:
        """Return the state that the scene's own start values make; fluxes and skies 0."""
        sources = self.scene.sources
        linear = tuple(
            LinearValues(
                np.zeros(batch.views.source.shape),
                np.zeros((len(batch.views.exposure), self.scene.n_sky_terms)),
            )
            for batch in self.layout.batches
        )
        return SceneState(
            self.layout.table.start,
            np.stack(sources.place, axis=1).astype(float),
            sources.shape.astype(float),
            np.zeros(self.layout.sources.flux.shape),
            linear,
        )

    def linearise(self, state: SceneState) -> SceneEquations | None:
        """Return the equations at a state; None where a source is mapped to no pixel."""
        here = self.evaluated(state)
        if here is None:
            return None
        if here.freedom.group_linear.any() or here.freedom.reduced_linear.any():
            eliminated = here.eliminated_linear()
            solution = eliminated.reduced.solve()
            return here if solution is None else self.settled(here, eliminated.step(solution))
        return here

    def evaluated(self, state: SceneState) -> SceneEquations | None:
        """Return the equations with shared fluxes and skies as they are; None as `linearise`."""
        placed = [
            place_members(self.scene, self.layout, batch, state) for batch in self.layout.batches
        ]
        if not all(one.is_sound for one in placed):
            return None
        passes = tuple(
            pass_over(self.scene, batch, one, self.linear_values(state, k))
            for k, (batch, one) in enumerate(zip(self.layout.batches, placed, strict=True))
        )
        return self.equations(state, passes)

    def moved(self, state: SceneState, delta: BlockStep) -> SceneState:
        """Return the state after a step, within bounds and cut where it is too long."""
        at = self.layout.sources
        change = np.append(delta.group, 0.0)
        place = np.where(at.place >= 0, change[at.place], 0.0)
        length = np.maximum(np.hypot(*place.T), 1e-300)
        place *= np.minimum(1.0, self._longest / length)[:, None]
        bounds = self._bounds
        shape = np.where(at.shape >= 0, change[at.shape], 0.0)
        shape = state.shape + np.clip(shape, -bounds.step, bounds.step)
        return replace(
            state,
            unknowns=self.layout.table.moved(state.unknowns, delta.reduced),
            place=state.place + place,
            shape=np.clip(shape, bounds.lowest, bounds.highest),
            band_flux=state.band_flux + change[at.flux],
        )

    def linear_values(self, state: SceneState, which: int) -> LinearValues:
        """Return fluxes and skies of a batch: shared ones from what they are shared by."""
        batch, own = self.layout.batches[which], state.linear[which]
        flux, sky = own.flux, own.sky
        if self.scene.flux is FluxModel.BAND:
            flux = state.band_flux[batch.views.source, self._band(batch)[:, None]]
        if self.scene.sky is SkyModel.EXPOSURE:
            sky = np.empty_like(own.sky)
            for e, at in batch.exposures:
                numbers = self.layout.table.values(e, state.unknowns)
                sky[at] = batch.sky[at] @ numbers[len(numbers) - sky.shape[1] :]
        return LinearValues(flux, sky)

    def _band(self, batch: Batch) -> IntArray:
        band = [exposure.band for exposure in self.scene.exposures]
        return np.searchsorted(self.layout.bands, band)[batch.views.exposure].astype(np.int64)

    def equations(self, state: SceneState, passes: tuple[WindowPass, ...]) -> SceneEquations:
        """Return the equations that passes over the windows at a state give."""
        blocks = assemble(self.scene, self.layout, passes)
        batches = self.layout.batches
        return SceneEquations(
            replace(state, linear=tuple(done.values for done in passes)),
            blocks,
            self._freedom(state, blocks),
            float(sum(done.chi2.sum() for done in passes)),
            sum(batch.n_pixels for batch in batches),
            sum(done.n_determined for done in passes),
            float(sum(done.rounding for done in passes)),
            passes,
        )

    def _freedom(self, state: SceneState, blocks: NormalBlocks) -> Freedom:
        """Return what is held: an unknown at a bound that chi2 pushes outwards."""
        table, at, bounds = self.layout.table, self.layout.sources, self._bounds
        push = np.append(blocks.group_gradient, 0.0)[at.shape]
        stopped = ((state.shape >= bounds.highest) & (push > 0)) | (
            (state.shape <= bounds.lowest) & (push < 0)
        )
        held = np.zeros(self.layout.groups.n_unknowns + 1, bool)
        held[at.shape[stopped & (at.shape >= 0)]] = True
        reduced = table.stopped(state.unknowns, blocks.gradient)
        return Freedom(held[:-1], reduced, self.layout.group_linear, table.linear)

    def settled(self, here: SceneEquations, step: BlockStep) -> SceneEquations:
        """Return the equations after a step in shared fluxes and skies: without the pixels."""
        state = self.moved(here.state, step)
        passes = []
        for k, (batch, done) in enumerate(zip(self.layout.batches, here.passes, strict=True)):
            before, after = self.linear_values(here.state, k), self.linear_values(state, k)
            change = LinearValues(after.flux - before.flux, after.sky - before.sky)
            passes.append(shifted(self.scene, batch, done, change))
        return self.equations(state, tuple(passes))


def _keep_freed_memory() -> None:
    """Let the allocator keep what a pass frees for the next pass.

    By default glibc hands it back and takes it anew, zeroed page by page, which is half the time
    of a pass over a small scene. The largest block freed so far sets what it keeps (mallopt(3),
    "dynamic mmap threshold"): this one is more than a chunk of windows needs, never touched.
    """
    np.empty(2**20)


def assemble(scene: Scene, layout: SceneLayout, passes: tuple[WindowPass, ...]) -> NormalBlocks:
    """Return the normal equations that passes over the windows give: the chain rule, summed."""
    groups, r = layout.groups, len(layout.table)
    square, gradient = np.zeros(groups.n_elements + 1), np.zeros(groups.n_unknowns + 1)
    coupling = np.zeros(len(layout.coupling_indices) + 1)
    matrix, reduced = np.zeros((r + 1, r + 1)), np.zeros(r + 1)
    for batch, done in zip(layout.batches, passes, strict=True):
        local, pull = _local_equations(scene, batch, done)
        chain = _chain(scene, batch, done)
        block = chain.swapaxes(1, 2) @ (local @ chain)
        slope = np.einsum("nla,nl->na", chain, pull)
        a = batch.group_column.shape[1]
        square += _summed(batch.square, block[:, :a, :a], len(square))
        gradient += _summed(batch.group_column, slope[:, :a], len(gradient))
        coupling += _summed(batch.coupled, block[:, :a, a:], len(coupling))
        for _, at in batch.exposures:
            column = batch.reduced_column[at.start]
            # An unknown that an exposure has twice, by its name, stands twice in the column.
            np.add.at(matrix, np.ix_(column, column), block[at, a:, a:].sum(axis=0))
            np.add.at(reduced, column, slope[at, a:].sum(axis=0))
    return NormalBlocks(
        groups,
        square[:-1],
        gradient[:-1],
        csr_matrix(
            (coupling[:-1], layout.coupling_indices, layout.coupling_indptr),
            shape=(groups.n_unknowns, r),
        ),
        matrix[:r, :r],
        reduced[:r],
    )


def _summed(index: IntArray, values: FloatArray, length: int) -> FloatArray:
    return np.asarray(np.bincount(index.ravel(), weights=values.ravel(), minlength=length), float)


def _local_equations(scene: Scene, batch: Batch, done: WindowPass) -> tuple[FloatArray, FloatArray]:
    """Return each window's matrix and gradient in its own terms, profiles times fluxes."""
    kept = batch.kept
    scale = np.ones((len(done.gram), len(kept)))
    counts = np.array([2 + k for k in batch.n_shape])
    scale[:, : batch.n_columns] = np.repeat(done.values.flux, counts, axis=1)
    local = done.gram[:, kept[:, None], kept] * scale[:, :, None] * scale[:, None, :]
    return local, done.gram[:, kept, -1] * scale


def _chain(scene: Scene, batch: Batch, done: WindowPass) -> FloatArray:
    """Return the derivatives of a window's own terms by group and exposure unknowns."""
    placed, (n, m) = done.placed, batch.views.source.shape
    a, b = batch.group_column.shape[1], batch.reduced_column.shape[1]
    chain = np.zeros((n, len(batch.kept), a + b))
    row = column = 0
    for k, count in enumerate(batch.n_shape):
        chain[:, row : row + 2, column : column + 2] = placed.by_place[:, k]
        chain[:, row : row + 2, a:] = placed.by_unknown[:, k]
        row, column = row + 2, column + 2
        chain[:, row : row + count, a:] = placed.shape_by_unknown[k]
        if not batch.is_star[k]:
            chain[:, row : row + count, column : column + count] = placed.shape_by_own[k]
            column += count
        row += count
    if scene.flux is FluxModel.BAND:
        chain[:, row : row + m, column : column + m] = np.eye(m)
        row += m
    if scene.sky is SkyModel.EXPOSURE:
        chain[:, row:, a:] = placed.sky_by_unknown
    return chain


@dataclass(frozen=True, slots=True, eq=False)
class _ShapeBounds:
    """Bounds and longest steps of the shapes of sources, each of shape (sources, m)."""

    lowest: FloatArray
    highest: FloatArray
    step: FloatArray


def _shape_bounds(scene: Scene, pixels_per_unit: FloatArray) -> _ShapeBounds:
    sources = scene.sources
    lowest = np.full(sources.shape.shape, -np.inf)
    highest, step = np.full_like(lowest, np.inf), np.full_like(lowest, np.inf)
    for kind in np.unique(sources.kind[sources.kind > 0]):
        mine, profile = sources.kind == kind, scene.exposures[0].profile(int(kind))
        for k, parameter in enumerate(profile.parameters):
            lowest[mine, k], highest[mine, k] = parameter.lowest, parameter.highest
            step[mine, k] = parameter.step
        # A profile's radius is in pixels, a galaxy's in units of the plane.
        lowest[mine, 0] -= np.log(pixels_per_unit[mine])
        highest[mine, 0] -= np.log(pixels_per_unit[mine])
    return _ShapeBounds(lowest, highest, step)


def _pixels_per_unit(scene: Scene, layout: SceneLayout, start: SceneState) -> FloatArray:
    """Return how many of the finest pixels that see each source make a unit of the plane."""
    pixels = np.zeros(len(scene.sources))
    for batch in layout.batches:
        for e, at in batch.exposures:
            exposure, of = scene.exposures[e], batch.views.source[at].ravel()
            placing = layout.table.values(e, start.unknowns)[: exposure.placing.size]
            by = exposure.geometry(Points(*start.place[of].T), placing).by_place
            scale = np.sqrt(np.abs(by[:, 0, 0] * by[:, 1, 1] - by[:, 0, 1] * by[:, 1, 0]))
            finite = np.isfinite(scale)
            np.maximum.at(pixels, of[finite], scale[finite])
    return np.where(pixels > 0, pixels, 1.0)
