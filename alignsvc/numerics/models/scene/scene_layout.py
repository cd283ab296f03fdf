"""Where everything of a scene stands in its normal equations: worked out once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.groups import GroupLayout
from alignsvc.numerics.models.light.profile import Profile
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.scene import FluxModel, Scene, SkyModel, Views


@dataclass(frozen=True, slots=True, eq=False)
class SourceUnknowns:
    """Which unknown of its group each number of a source is; -1: it is not free.

    Parameters
    ----------
    place : int64 array, shape (n, 2)
    shape : int64 array, shape (n, m)
    flux : int64 array, shape (n, bands)
        With `FluxModel.BAND`, else without columns.
    group : int64 array, shape (n,)
        In the order of `GroupLayout`.
    """

    place: IntArray
    shape: IntArray
    flux: IntArray
    group: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Windows that are computed together: one size, one profile for each member.

    Parameters
    ----------
    views : Views
        In order of exposure.
    origin : int
        Index of the views of the scene from which they come.
    index : int64 array, shape (n,)
        Their places among these.
    profiles : tuple of Profile, one for each member
    is_star : tuple of bool
    basis : float64 array, shape (n, m, 3)
        1 and the place in the field, for numbers that vary over it.
    sky : float64 array, shape (n, t, t)
        A window's sky by its exposure's.
    group_column : int64 array, shape (n, a)
        The groups' unknowns that each window depends on; the number of all for none.
    square : int64 array, shape (n, a, a)
        Where their products stand among the elements of the groups' matrices.
    reduced_column : int64 array, shape (n, b)
        The exposures' unknowns; the number of all for none.
    coupled : int64 array, shape (n, a, b)
        Where products of both stand in the coupling's data.
    own : slice
        The columns of a window's sums that are eliminated at once: fluxes and skies of its own.
    kept : int64 array
        The columns that stay in the normal equations; the residual is neither.
    exposures : tuple of (int, slice)
        Each exposure and where its windows stand.
    n_pixels : int
        With a weight, in all windows.
    """

    views: Views
    origin: int
    index: IntArray
    profiles: tuple[Profile, ...]
    is_star: tuple[bool, ...]
    basis: FloatArray
    sky: FloatArray
    group_column: IntArray
    square: IntArray
    reduced_column: IntArray
    coupled: IntArray
    own: slice
    kept: IntArray
    exposures: tuple[tuple[int, slice], ...]
    n_pixels: int

    @property
    def n_shape(self) -> tuple[int, ...]:
        """Shape parameters of each member."""
        return tuple(len(profile.parameters) for profile in self.profiles)

    @property
    def n_columns(self) -> int:
        """Columns x, y and shape of all members."""
        return sum(2 + k for k in self.n_shape)


@dataclass(frozen=True, slots=True, eq=False)
class SceneLayout:
    """The unknowns of a scene and where its windows' blocks go.

    Parameters
    ----------
    table : ParameterTable
        Of the exposures.
    groups : GroupLayout
    sources : SourceUnknowns
    batches : tuple of Batch
    coupling_indptr, coupling_indices : int64 arrays
        Structure of the coupling.
    bands : int64 array
        The bands of the exposures, sorted.
    """

    table: ParameterTable
    groups: GroupLayout
    sources: SourceUnknowns
    batches: tuple[Batch, ...]
    coupling_indptr: IntArray
    coupling_indices: IntArray
    bands: IntArray

    @classmethod
    def of(cls, scene: Scene) -> SceneLayout:
        """Return the layout of a scene."""
        table = ParameterTable([exposure.numbers for exposure in scene.exposures])
        bands = _bands(scene)
        sources, groups = _source_unknowns(scene, len(bands))
        parts = [
            _Part.of(scene, at, which, sources, table)
            for at, views in enumerate(scene.views)
            for which in _alike(scene, views)
        ]
        keys = [part.keys(groups.n_unknowns, len(table)) for part in parts]
        pattern = _each_once([key.ravel() for key in keys])
        pattern = pattern[pattern >= 0]
        width = max(len(table), 1)
        indptr = np.searchsorted(pattern, np.arange(groups.n_unknowns + 1) * width)
        batches = tuple(
            part.batch(scene, groups, table, np.where(key < 0, len(pattern), _find(pattern, key)))
            for part, key in zip(parts, keys, strict=True)
        )
        return cls(table, groups, sources, batches, indptr.astype(np.int64), pattern % width, bands)

    @property
    def group_linear(self) -> BoolArray:
        """Which unknowns of groups the model is linear in."""
        linear = np.zeros(self.groups.n_unknowns + 1, bool)
        linear[self.sources.flux.ravel()] = True
        return linear[:-1]


def _bands(scene: Scene) -> IntArray:
    return np.unique([exposure.band for exposure in scene.exposures]).astype(np.int64)


def _each_once(keys: list[IntArray]) -> IntArray:
    """Return all keys, sorted, each once: numpy's own way is by a table, ten times as long."""
    found = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
    return found[np.diff(found, prepend=found[:1] - 1) > 0]


def _find(pattern: IntArray, key: IntArray) -> IntArray:
    return np.searchsorted(pattern, key).astype(np.int64)


def _source_unknowns(scene: Scene, n_bands: int) -> tuple[SourceUnknowns, GroupLayout]:
    sources = scene.sources
    n, m = sources.shape.shape
    n_flux = n_bands if scene.flux is FluxModel.BAND else 0
    free = np.zeros((n, 2 + m + n_flux), bool)
    free[:, :2] = ~sources.held[:, None]
    for kind in np.unique(sources.kind[sources.kind > 0]):
        k = len(scene.exposures[0].profile(int(kind)).parameters)
        mine = sources.kind == kind
        free[mine, 2 : 2 + k] = ~sources.shape_held[mine, :k]
    free[:, 2 + m :] = True
    assert scene.group is not None
    _, label = np.unique(scene.group, return_inverse=True)
    size = np.bincount(label, weights=free.sum(axis=1)).astype(np.int64)
    order = np.argsort(size, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group = rank[label].astype(np.int64)
    # Unknowns are numbered group by group, in a group source by source.
    unknown = np.full(free.shape, -1, np.int64)
    by_group = np.argsort(group, kind="stable")
    count = free[by_group]
    numbered = np.where(count, np.cumsum(count).reshape(count.shape) - 1, -1)
    unknown[by_group] = numbered
    found = SourceUnknowns(unknown[:, :2], unknown[:, 2 : 2 + m], unknown[:, 2 + m :], group)
    return found, GroupLayout(size[order])


def _alike(scene: Scene, views: Views) -> Iterator[IntArray]:
    """Yield indices of windows whose members have the same profiles, in order of exposure."""
    if not len(views.exposure):
        return
    kinds = scene.sources.kind[views.source]
    most = int(scene.sources.kind.max(initial=0)) + 1
    ids: dict[int, int] = {}
    profile = np.array(
        [
            [ids.setdefault(id(exposure.profile(kind)), len(ids)) for kind in range(most)]
            for exposure in scene.exposures
        ]
    )
    used = profile[views.exposure[:, None], kinds]
    # A star's and a galaxy's window differ in where the shape comes from, whatever the profile.
    signature = np.concatenate([used, kinds > 0], axis=1)
    _, label = np.unique(signature, axis=0, return_inverse=True)
    label = label.ravel()
    for one in range(int(label.max()) + 1):
        which = np.flatnonzero(label == one)
        yield which[np.argsort(views.exposure[which], kind="stable")].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A batch in the making."""

    views: Views
    origin: int
    index: IntArray
    profiles: tuple[Profile, ...]
    is_star: tuple[bool, ...]
    group: IntArray
    group_column: IntArray
    reduced_column: IntArray

    @classmethod
    def of(
        cls,
        scene: Scene,
        origin: int,
        which: IntArray,
        sources: SourceUnknowns,
        table: ParameterTable,
    ) -> _Part:
        views = scene.views[origin]
        if not np.array_equal(which, np.arange(len(views.exposure))):
            views = views.select(which)
        first = scene.exposures[int(views.exposure[0])]
        kinds = scene.sources.kind[views.source[0]]
        profiles = tuple(first.profile(int(kind)) for kind in kinds)
        columns = []
        for m, (kind, profile) in enumerate(zip(kinds, profiles, strict=True)):
            mine = views.source[:, m]
            columns.append(sources.place[mine])
            if kind > 0:
                columns.append(sources.shape[mine][:, : len(profile.parameters)])
        if scene.flux is FluxModel.BAND:
            band = np.searchsorted(_bands(scene), [exposure.band for exposure in scene.exposures])
            columns.append(sources.flux[views.source, band[views.exposure][:, None]])
        width = max((len(index) for index in table.index), default=0)
        reduced = np.full((len(table.index), width), -1, np.int64)
        for e, index in enumerate(table.index):
            reduced[e, : len(index)] = index
        return cls(
            views,
            origin,
            which,
            profiles,
            tuple(bool(kind == 0) for kind in kinds),
            sources.group[views.source[:, 0]],
            np.concatenate(columns, axis=1),
            reduced[views.exposure],
        )

    def keys(self, n_group: int, n_reduced: int) -> IntArray:
        """Return row times width plus column of each coupled pair; -1 for none: (n, a, b)."""
        row, column = self.group_column[:, :, None], self.reduced_column[:, None, :]
        none = (row < 0) | (column < 0)
        return np.where(none, -1, row * max(n_reduced, 1) + column).astype(np.int64)

    def batch(
        self, scene: Scene, groups: GroupLayout, table: ParameterTable, coupled: IntArray
    ) -> Batch:
        size, offset = groups.size[self.group], groups.start[self.group]
        within = self.group_column - offset[:, None]
        square = groups.square_start[self.group][:, None, None]
        square = square + within[:, :, None] * size[:, None, None] + within[:, None, :]
        none = self.group_column < 0
        own = self._own_columns(scene)
        count = sum(2 + len(profile.parameters) for profile in self.profiles)
        every = np.arange(count + len(self.profiles) + scene.n_sky_terms)
        square[none[:, :, None] | none[:, None, :]] = groups.n_elements
        return Batch(
            self.views,
            self.origin,
            self.index,
            self.profiles,
            self.is_star,
            _field_basis(scene, self.views, table),
            _sky_by_exposure(scene, self.views),
            np.where(none, groups.n_unknowns, self.group_column),
            square,
            np.where(self.reduced_column < 0, len(table), self.reduced_column),
            coupled,
            own,
            every[(every < own.start) | (every >= own.stop)],
            tuple(_stretches(self.views.exposure)),
            int(self.views.windows.n_pixels.sum()),
        )

    def _own_columns(self, scene: Scene) -> slice:
        fluxes = sum(2 + len(profile.parameters) for profile in self.profiles)
        skies = fluxes + len(self.profiles)
        first = fluxes if scene.flux is FluxModel.EXPOSURE else skies
        last = skies if scene.sky is SkyModel.EXPOSURE else skies + scene.n_sky_terms
        return slice(first, last)


def _stretches(exposure: IntArray) -> Iterator[tuple[int, slice]]:
    """Yield each number of a sorted array and where it stands."""
    found, first = np.unique(exposure, return_index=True)
    ends = [*first[1:], len(exposure)]
    for e, start, end in zip(found, first, ends, strict=True):
        yield int(e), slice(int(start), int(end))


def _field_basis(scene: Scene, views: Views, table: ParameterTable) -> FloatArray:
    """Return 1 and where members are in the field at the start, in half sizes: (n, m, 3)."""
    basis = np.zeros((*views.source.shape, 3))
    basis[:, :, 0] = 1.0
    place = scene.sources.place
    for e in np.unique(views.exposure):
        exposure, mine = scene.exposures[e], views.exposure == e
        if exposure.psf_shape.size == len(exposure.psf.parameters):
            continue
        of = views.source[mine]
        placing = table.values(int(e), table.start)[: exposure.placing.size]
        placed = exposure.geometry(Points(place.x[of.ravel()], place.y[of.ravel()]), placing)
        at = exposure.relative(placed.pixel.x, placed.pixel.y)
        basis[mine, :, 1:] = np.stack(at, axis=1).reshape(*of.shape, 2)
    return basis


def _sky_by_exposure(scene: Scene, views: Views) -> FloatArray:
    """Return a window's level and slopes by those of its exposure, shape (n, t, t)."""
    terms = scene.n_sky_terms if scene.sky is SkyModel.EXPOSURE else 0
    by = np.zeros((len(views.exposure), terms, terms))
    by[:, :1, :1] = 1.0
    if terms == 3:
        middle = np.array([exposure.middle for exposure in scene.exposures])[views.exposure]
        half = np.array([exposure.half_size for exposure in scene.exposures])[views.exposure]
        reach = 0.5 * (views.windows.side - 1)
        by[:, 0, 1:] = (views.windows.corner + reach - middle) / half[:, None]
        by[:, 1, 1] = by[:, 2, 2] = reach / half
    return by
