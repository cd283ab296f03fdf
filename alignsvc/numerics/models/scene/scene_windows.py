"""One pass over the pixels of a scene: models of windows, their sums, their derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.ellipticity import mapped_shapes
from alignsvc.numerics.models.light.profile import Places, ProfileColumns
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.scene import ExposureModel, FluxModel, Scene, SkyModel
from alignsvc.numerics.models.scene.scene_layout import Batch, SceneLayout
from alignsvc.numerics.models.scene.window_sums import LinearValues, sky_terms, sweep, window_gram

#: Bytes of columns of windows at a time: more would leave the cache that cores share, and of fewer
#: the calls cost as much as the pixels.
_CHUNK_BYTES = 1 << 22
#: chi2 of thousands of pixels is wrong by some tens of units in the last place, as measured.
_ROUNDINGS = 64
#: A place farther than this from its window is none: its square must be a number.
_FARTHEST_PX = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class SceneState:
    """Values of everything that a scene's model depends on.

    Parameters
    ----------
    unknowns : float64 array, shape (r,)
        Of the exposures, in the order of `ParameterTable`.
    place : float64 array, shape (sources, 2)
        On the plane.
    shape : float64 array, shape (sources, m)
        Of galaxies.
    band_flux : float64 array, shape (sources, bands)
        With `FluxModel.BAND`, else without columns.
    linear : tuple of LinearValues, one for each batch
        Fluxes and skies of windows.
    """

    unknowns: FloatArray
    place: FloatArray
    shape: FloatArray
    band_flux: FloatArray
    linear: tuple[LinearValues, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBatch:
    """Members of a batch's windows at a state.

    Parameters
    ----------
    x, y : float64 arrays, shape (n, m)
        Pixels of the window.
    by_place : float64 array, shape (n, m, 2, 2)
    by_unknown : float64 array, shape (n, m, 2, b)
        Derivatives of the pixel.
    shape : tuple of float64 arrays, shape (n, k), one for each member
        On the pixels.
    shape_by_own : tuple of float64 arrays, shape (n, k, k)
        Derivatives by the shape of a galaxy on the plane; for stars without meaning.
    shape_by_unknown : tuple of float64 arrays, shape (n, k, b)
    sky_by_unknown : float64 array, shape (n, t, b)
    """

    x: FloatArray
    y: FloatArray
    by_place: FloatArray
    by_unknown: FloatArray
    shape: tuple[FloatArray, ...]
    shape_by_own: tuple[FloatArray, ...]
    shape_by_unknown: tuple[FloatArray, ...]
    sky_by_unknown: FloatArray

    @property
    def is_sound(self) -> bool:
        """Whether every member has a place, not out of all bounds, and a shape."""
        return bool(
            (np.abs(self.x) < _FARTHEST_PX).all()
            and (np.abs(self.y) < _FARTHEST_PX).all()
            and all(np.isfinite(shape).all() for shape in self.shape)
        )


def place_members(
    scene: Scene, layout: SceneLayout, batch: Batch, state: SceneState
) -> PlacedBatch:
    """Return where a batch's members are and what they look like."""
    n, m = batch.views.source.shape
    width = batch.reduced_column.shape[1]
    pixel, by_place = np.empty((2, n, m)), np.empty((n, m, 2, 2))
    by_unknown = np.zeros((n, m, 2, width))
    shape = [np.full((n, k), np.nan) for k in batch.n_shape]
    shape_own = [np.zeros((n, k, k)) for k in batch.n_shape]
    shape_by = [np.zeros((n, k, width)) for k in batch.n_shape]
    sky_by = np.zeros((n, batch.sky.shape[1], width))
    for e, at in batch.exposures:
        exposure = scene.exposures[e]
        now = _Present.of(layout.table, e, exposure, state.unknowns)
        of, own = batch.views.source[at].ravel(), now.by_placing.shape[1]
        placed = exposure.geometry(Points(*state.place[of].T), now.placing)
        pixel[:, at] = np.stack(placed.pixel).reshape(2, -1, m)
        by_place[at] = placed.by_place.reshape(-1, m, 2, 2)
        moved = placed.by_value @ now.by_placing
        by_unknown[at, :, :, :own] = moved.reshape(len(of) // m, m, 2, own)
        if not np.isfinite(placed.by_place).all():
            continue
        for k, count in enumerate(batch.n_shape):
            if batch.is_star[k]:
                found = _star_shape(batch.basis[at, k], now, count)
            else:
                given = state.shape[batch.views.source[at, k], :count]
                turning = exposure.geometry.turning(placed, now.placing) @ now.by_placing
                found = _galaxy_shape(given, by_place[at, k], turning[k::m])
            shape[k][at], shape_own[k][at] = found.value, found.by_own
            shape_by[k][at, :, :own] = found.by_unknown
        if batch.sky.shape[1]:
            sky_by[at, :, :own] = batch.sky[at] @ now.by_sky
    corner = batch.views.windows.corner
    return PlacedBatch(
        pixel[0] - corner[:, :1],
        pixel[1] - corner[:, 1:],
        by_place,
        by_unknown,
        tuple(shape),
        tuple(shape_own),
        tuple(shape_by),
        sky_by,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _SeenShape:
    """Shapes (n, k) on pixels, and derivatives by galaxies' own and the exposure's unknowns."""

    value: FloatArray
    by_own: FloatArray
    by_unknown: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Present:
    """An exposure's numbers at a state, and their derivatives by its unknowns."""

    placing: FloatArray
    psf: FloatArray
    by_placing: FloatArray
    by_psf: FloatArray
    by_sky: FloatArray

    @classmethod
    def of(
        cls, table: ParameterTable, which: int, exposure: ExposureModel, unknowns: FloatArray
    ) -> _Present:
        numbers, by = table.values(which, unknowns), table.jacobian(which, unknowns)
        first = exposure.placing.size
        last = first + exposure.psf_shape.size
        return cls(numbers[:first], numbers[first:last], by[:first], by[first:last], by[last:])


def _star_shape(basis: FloatArray, now: _Present, count: int) -> _SeenShape:
    n, own = len(basis), now.by_psf.shape[1]
    terms = len(now.psf) // count if count else 1
    value = basis[:, :terms] @ now.psf.reshape(terms, count)
    by_unknown = np.tensordot(basis[:, :terms], now.by_psf.reshape(terms, count, own), (1, 0))
    return _SeenShape(value, np.zeros((n, count, count)), by_unknown)


def _galaxy_shape(given: FloatArray, by_place: FloatArray, turning: FloatArray) -> _SeenShape:
    """Return how galaxies look whose ellipses on the plane are given (n, k)."""
    n, count = given.shape
    by_own = np.tile(np.eye(count), (n, 1, 1))
    by_unknown = np.zeros((n, count, turning.shape[-1]))
    seen = mapped_shapes(given[:, :3], by_place)
    by_own[:, :3, :3] = seen.by_shape
    by_unknown[:, :3] = seen.by_jacobian.reshape(n, 3, 4) @ turning.reshape(n, 4, turning.shape[-1])
    return _SeenShape(np.concatenate([seen.shape, given[:, 3:]], axis=1), by_own, by_unknown)


def member_profiles(batch: Batch, placed: PlacedBatch, at: slice) -> tuple[ProfileColumns, ...]:
    """Return the profiles of the members of some windows.

    A shape outside the bounds of its profile is put on them, and its column is 0.
    """
    found = []
    for m, profile in enumerate(batch.profiles):
        lowest = np.array([parameter.lowest for parameter in profile.parameters])
        highest = np.array([parameter.highest for parameter in profile.parameters])
        asked = placed.shape[m][at]
        shape = np.clip(asked, lowest, highest)
        places = Places(placed.x[at, m], placed.y[at, m], batch.views.windows.side)
        columns = profile(places, shape)
        if (shape != asked).any():
            inside = (shape == asked)[:, :, None, None]
            columns = replace(columns, d_shape=np.where(inside, columns.d_shape, 0))
        found.append(columns)
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class WindowPass:
    """What a pass over the pixels of a batch gave.

    Parameters
    ----------
    placed : PlacedBatch
    gram : float64 array, shape (n, c, c)
        Swept of the windows' own linear columns; profiles of unit flux.
    values : LinearValues
        The best ones, given the others.
    n_determined : int
        Own linear values that the data determine.
    rounding : float
        Of chi2.
    """

    placed: PlacedBatch
    gram: FloatArray
    values: LinearValues
    n_determined: int
    rounding: float

    @property
    def chi2(self) -> FloatArray:
        """Of each window."""
        return self.gram[:, -1, -1]


def pass_over(scene: Scene, batch: Batch, placed: PlacedBatch, values: LinearValues) -> WindowPass:
    """Return a batch's sums, its own fluxes and skies eliminated."""
    windows = batch.views.windows
    n, own = len(windows), batch.own
    count = batch.n_columns + len(batch.profiles) + scene.n_sky_terms + 1
    gram = np.empty((n, count, count))
    per = max(_CHUNK_BYTES // (windows.pixels.itemsize * windows.side**2 * count), 1)
    precision = np.finfo(windows.pixels.dtype).eps
    for first in range(0, n, per):
        at = slice(first, first + per)
        profiles = member_profiles(batch, placed, at)
        mine = LinearValues(values.flux[at], values.sky[at])
        part = windows if per >= n else windows.select(at)
        gram[at] = window_gram(part, profiles, mine)
        for profile in profiles:
            precision = min(precision, np.finfo(profile.value.dtype).eps)
    swept = sweep(gram, own.start, own.stop)
    best = _own_values(scene, batch, swept.gram[:, own, -1])
    return WindowPass(
        placed,
        swept.gram,
        LinearValues(values.flux + best.flux, values.sky + best.sky),
        int(swept.determined.sum()),
        float(_ROUNDINGS * precision * gram[:, -1, -1].sum()),
    )


def shifted(scene: Scene, batch: Batch, done: WindowPass, change: LinearValues) -> WindowPass:
    """Return the same pass after shared fluxes and skies changed: no pixel is looked at."""
    first, members = batch.n_columns, len(batch.profiles)
    move = np.zeros(done.gram.shape[:2])
    if scene.flux is FluxModel.BAND:
        move[:, first : first + members] = change.flux
    if scene.sky is SkyModel.EXPOSURE:
        move[:, first + members : -1] = change.sky
    gram = done.gram.copy()
    pull = np.einsum("nij,nj->ni", done.gram, move)
    gram[:, :, -1] -= pull
    gram[:, -1, :] = gram[:, :, -1]
    square = np.einsum("ni,ni->n", move, pull)
    gram[:, -1, -1] = done.chi2 - 2.0 * np.einsum("ni,ni->n", move, done.gram[:, :, -1]) + square
    own = _own_values(scene, batch, -pull[:, batch.own])
    flux = done.values.flux + change.flux + own.flux
    sky = done.values.sky + change.sky + own.sky
    return replace(done, gram=gram, values=LinearValues(flux, sky))


def _own_values(scene: Scene, batch: Batch, found: FloatArray) -> LinearValues:
    """Return what was found for eliminated columns; 0 for what is shared, not a window's own."""
    n_flux = len(batch.profiles) if scene.flux is FluxModel.EXPOSURE else 0
    flux = np.zeros(batch.views.source.shape)
    flux[:, :n_flux] = found[:, :n_flux]
    sky = np.zeros((len(flux), scene.n_sky_terms))
    if scene.sky is not SkyModel.EXPOSURE:
        sky[:] = found[:, n_flux:]
    return LinearValues(flux, sky)


@dataclass(frozen=True, slots=True, eq=False)
class WindowModel:
    """The model's pixels in windows, shape (n, side, side) each.

    Parameters
    ----------
    sources : float64 array
    sky : float64 array
    """

    sources: FloatArray
    sky: FloatArray

    @property
    def total(self) -> FloatArray:
        """What the pixels should be."""
        return np.asarray(self.sources + self.sky)


def window_models(scene: Scene, layout: SceneLayout, state: SceneState) -> tuple[WindowModel, ...]:
    """Return the model of each of the scene's views; `state` as equations hold it."""
    models = [WindowModel(*np.zeros((2, *views.windows.pixels.shape))) for views in scene.views]
    for batch, values in zip(layout.batches, state.linear, strict=True):
        placed = place_members(scene, layout, batch, state)
        model, terms = models[batch.origin], values.sky.shape[1]
        model.sky[batch.index] = np.tensordot(
            values.sky, sky_terms(batch.views.windows.side, terms), (1, 0)
        )
        for m, profile in enumerate(member_profiles(batch, placed, slice(None))):
            model.sources[batch.index] += values.flux[:, m, None, None] * profile.value
    return tuple(models)
