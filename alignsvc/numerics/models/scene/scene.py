"""A scene: exposures, the sources that they see, and windows of pixels about these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.light.profile import Profile
from alignsvc.numerics.models.parameters import Fixed, Free, Joined, Quantity, Unknown
from alignsvc.numerics.models.scene.geometry import Geometry
from alignsvc.numerics.models.scene.window import WindowStack


class SkyModel(StrEnum):
    """What lies under the sources."""

    NONE = "none"  #: nothing: it was subtracted
    WINDOW = "window"  #: a level for each window
    WINDOW_PLANE = "window_plane"  #: a level and two slopes for each window
    EXPOSURE = "exposure"  #: `ExposureModel.sky`, one for all windows of an exposure


class FluxModel(StrEnum):
    """What share the flux of a source."""

    EXPOSURE = "exposure"  #: each exposure has its own
    BAND = "band"  #: exposures of one band agree, their pixels being calibrated


@dataclass(frozen=True, slots=True)
class ExposureModel:
    """What the model of an exposure depends on.

    Parameters
    ----------
    name : str
        For messages.
    geometry : Geometry
        From the plane to the exposure's pixels.
    placing : Quantity
        The geometry's numbers.
    psf : Profile
        Of stars. Exposures with equal profiles should share the object: their windows are then
        computed together.
    psf_shape : Quantity
        Its k numbers; or 3 k: k numbers in the middle, then their change towards x, then towards
        y, per half size of the field, evaluated where sources are at the start.
    galaxies : tuple of Profile
        What sources of kind 1, 2, ... look like in this exposure, its PSF included.
    sky : Quantity
        One number, or three: the level in the middle and the change towards x and y per half
        size. Only with `SkyModel.EXPOSURE`.
    band : int
        Which exposures share fluxes, with `FluxModel.BAND`.
    middle : tuple of float
        Pixel of the middle of the field.
    half_size : float
        Pixels from there to its edge.
    """

    name: str
    geometry: Geometry
    placing: Quantity
    psf: Profile
    psf_shape: Quantity
    galaxies: tuple[Profile, ...] = ()
    sky: Quantity = field(default_factory=lambda: Fixed(()))
    band: int = 0
    middle: tuple[float, float] = (0.0, 0.0)
    half_size: float = 1.0

    def __post_init__(self) -> None:
        if self.placing.size != self.geometry.size:
            raise ValueError(
                f"exposure {self.name}: placing: {self.geometry.size} numbers wanted, "
                f"found {self.placing.size}"
            )
        k = len(self.psf.parameters)
        if self.psf_shape.size not in (k, 3 * k):
            raise ValueError(
                f"exposure {self.name}: PSF shape: {k} or {3 * k} numbers wanted, "
                f"found {self.psf_shape.size}"
            )
        if self.sky.size not in (0, 1, 3):
            raise ValueError(
                f"exposure {self.name}: sky: 1 or 3 numbers wanted, found {self.sky.size}"
            )

    @property
    def numbers(self) -> Joined:
        """All its numbers: placing, PSF shape, sky."""
        return Joined((self.placing, self.psf_shape, self.sky))

    def profile(self, kind: int) -> Profile:
        """Return what a source of a kind looks like here."""
        return self.psf if kind == 0 else self.galaxies[kind - 1]

    def relative(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return places in the field in half sizes from its middle."""
        return (x - self.middle[0]) / self.half_size, (y - self.middle[1]) / self.half_size


def free_shape(profile: Profile, name: str, start: Sequence[float]) -> Free:
    """Return a profile's shape as unknowns, within its bounds and in its steps.

    Parameters
    ----------
    profile : Profile
    name : str
        Of what it is the shape: unknowns are called by it and by their parameter.
    start : sequence of float
        One number for each of the profile's parameters.
    """
    return Free(
        tuple(
            Unknown(f"{name} {p.name}", value, p.lowest, p.highest, p.step)
            for p, value in zip(profile.parameters, start, strict=True)
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What the exposures see.

    Parameters
    ----------
    place : Points, shape (n,)
        On the plane: where the fit begins.
    held : bool array, shape (n,)
        Whether the place is known and stays.
    kind : int64 array, shape (n,)
        0: a star, whose shape is the exposure's PSF. k > 0: a galaxy, ``galaxies[k - 1]``, with
        a shape of its own, the same in all exposures.
    shape : float64 array, shape (n, m)
        Of galaxies, at the start: ``log_radius, e1, e2`` are an ellipse on the *plane*, in its
        units, which each exposure sees turned and scaled; then the profile's other parameters.
        Columns beyond these mean nothing.
    shape_held : bool array, shape (n, m)
    """

    place: Points
    held: BoolArray
    kind: IntArray
    shape: FloatArray
    shape_held: BoolArray

    @classmethod
    def stars(cls, place: Points) -> Sources:
        """Return stars with free places."""
        n = len(place.x)
        return cls(
            Points(np.asarray(place.x, float), np.asarray(place.y, float)),
            np.zeros(n, bool),
            np.zeros(n, np.int64),
            np.zeros((n, 0)),
            np.zeros((n, 0), bool),
        )

    def __post_init__(self) -> None:
        n = len(self.place.x)
        if not (np.isfinite(self.place.x).all() and np.isfinite(self.place.y).all()):
            raise ValueError("sources: finite places wanted")
        shapes = {len(self.place.y), len(self.held), len(self.kind), len(self.shape)}
        if shapes != {n} or self.shape.shape != self.shape_held.shape:
            raise ValueError(f"sources: {n} places, and columns of other lengths")

    def __len__(self) -> int:
        return len(self.place.x)

    def select(self, which: BoolArray | IntArray) -> Sources:
        """Return the sources named by a mask or by indices."""
        place = Points(self.place.x[which], self.place.y[which])
        return Sources(
            place,
            self.held[which],
            self.kind[which],
            self.shape[which],
            self.shape_held[which],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Windows of one size, each with equally many members. No pixel stands in two windows.

    Parameters
    ----------
    windows : WindowStack, n windows
    exposure : int64 array, shape (n,)
        Whose pixels they are.
    source : int64 array, shape (n, m)
        The members, all different: sources so close that they are fitted together.
    """

    windows: WindowStack
    exposure: IntArray
    source: IntArray

    def __post_init__(self) -> None:
        n = len(self.windows)
        if self.exposure.shape != (n,) or self.source.ndim != 2 or len(self.source) != n:
            raise ValueError(
                f"views: {n} windows, exposures {self.exposure.shape}, sources {self.source.shape}"
            )

    def select(self, which: BoolArray | IntArray) -> Views:
        """Return the views named by a mask or by indices."""
        return Views(self.windows.select(which), self.exposure[which], self.source[which])


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Exposures, sources and windows, and what is shared between them.

    Parameters
    ----------
    exposures : tuple of ExposureModel
    sources : Sources
    views : tuple of Views
    sky : SkyModel
    flux : FluxModel
    group : int64 array, shape (number of sources,), or None
        Sources of one number are solved for together. None: those that stand in one window,
        directly or by others.
    """

    exposures: tuple[ExposureModel, ...]
    sources: Sources
    views: tuple[Views, ...]
    sky: SkyModel = SkyModel.WINDOW
    flux: FluxModel = FluxModel.EXPOSURE
    group: IntArray | None = None

    def __post_init__(self) -> None:
        for views in self.views:
            if len(views.source) and not (
                0 <= views.exposure.min() <= views.exposure.max() < len(self.exposures)
                and 0 <= views.source.min() <= views.source.max() < len(self.sources)
            ):
                raise ValueError("scene: a view names an exposure or a source that is not there")
        if self.group is None:
            object.__setattr__(self, "group", groups_of(self.views, len(self.sources)))
        for kind in range(1, int(self.sources.kind.max(initial=0)) + 1):
            if any(len(exposure.galaxies) < kind for exposure in self.exposures):
                raise ValueError(
                    f"scene: sources of kind {kind}, and an exposure without a profile for them"
                )
            names = [p.name for p in self.exposures[0].profile(kind).parameters[:3]]
            if names != ["log_radius", "e1", "e2"]:
                raise ValueError(
                    f"scene: sources of kind {kind}: a shape of log_radius, e1, e2, ... wanted, "
                    f"found {', '.join(names)}"
                )
            counts = {len(exposure.profile(kind).parameters) for exposure in self.exposures}
            if len(counts) > 1 or max(counts, default=0) > self.sources.shape.shape[1]:
                raise ValueError(
                    f"scene: sources of kind {kind}: profiles with {sorted(counts)} parameters in "
                    f"the exposures, {self.sources.shape.shape[1]} columns in the sources' shape"
                )
        sizes = {exposure.sky.size for exposure in self.exposures}
        wanted = self.sky is SkyModel.EXPOSURE
        if len(sizes) > 1 or (wanted and sizes == {0}) or (not wanted and sizes - {0}):
            raise ValueError(
                f"scene: sky {self.sky.value}, and exposures' skies of {sorted(sizes)} numbers"
            )

    @property
    def n_sky_terms(self) -> int:
        """Columns of a window's sky."""
        if self.sky is SkyModel.EXPOSURE:
            return self.exposures[0].sky.size if self.exposures else 0
        return {SkyModel.NONE: 0, SkyModel.WINDOW: 1, SkyModel.WINDOW_PLANE: 3}[self.sky]

    def of_exposure(self, which: int) -> Scene:
        """Return the windows of one exposure; its blocks and the others' add up to the whole's."""
        views = tuple(views.select(np.flatnonzero(views.exposure == which)) for views in self.views)
        return replace(self, views=views)

    def of_sources(self, which: BoolArray) -> Scene:
        """Return some sources; their *reduced* blocks and the others' add up to the whole's.

        Raises
        ------
        ValueError
            Of sources that are fitted together some are named, some not.
        """
        assert self.group is not None
        if np.intersect1d(self.group[which], self.group[~which]).size:
            raise ValueError("scene: sources that are fitted together cannot be parted")
        new = np.cumsum(which) - 1
        views = []
        for old in self.views:
            mine = np.flatnonzero(which[old.source].all(axis=1))
            views.append(Views(old.windows.select(mine), old.exposure[mine], new[old.source[mine]]))
        sources = self.sources.select(which)
        return replace(self, sources=sources, views=tuple(views), group=self.group[which])

    def with_weights(self, weights: Sequence[FloatArray]) -> Scene:
        """Return the scene with other weights, one array for each of `views`."""
        views = tuple(
            replace(old, windows=old.windows.with_weight(weight))
            for old, weight in zip(self.views, weights, strict=True)
        )
        return replace(self, views=views)


def groups_of(views: Sequence[Views], n_sources: int) -> IntArray:
    """Return the number of the group of each source: those that windows join."""
    first = [np.repeat(v.source[:, :1], v.source.shape[1], axis=1).ravel() for v in views]
    other = [v.source.ravel() for v in views]
    rows = np.concatenate([np.zeros(0, np.int64), *first])
    columns = np.concatenate([np.zeros(0, np.int64), *other])
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n_sources, n_sources))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
