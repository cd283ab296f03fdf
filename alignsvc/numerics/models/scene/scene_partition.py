"""A scene cut into parts, each of whole groups of sources, for workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.scene.scene import (
    ExposureModel,
    FluxModel,
    Scene,
    SkyModel,
    Sources,
    Views,
)
from alignsvc.numerics.models.scene.window import WindowStack

#: Pixels of the windows of a part: what a worker holds of them is 64 MB in single precision. Of 64
#: exposures a part costs a fifth more than the pass over its pixels, half as large a third.
PIXELS_PER_PART = 8_000_000


@dataclass(frozen=True, slots=True)
class SceneModels:
    """What the parts of a scene have in common: no pixel.

    Parameters
    ----------
    exposures : tuple of ExposureModel
    sky : SkyModel
    flux : FluxModel
    """

    exposures: tuple[ExposureModel, ...]
    sky: SkyModel
    flux: FluxModel

    @classmethod
    def of(cls, scene: Scene) -> SceneModels:
        """Return those of a scene."""
        return cls(scene.exposures, scene.sky, scene.flux)


@dataclass(frozen=True, slots=True, eq=False)
class PartTable:
    """Sources of a part and their windows, as columns; not the pixels.

    Parameters
    ----------
    x, y : float64 arrays, shape (n,)
        `Sources.place`.
    held, kind, shape, shape_held : arrays
        As in `Sources`.
    group : int64 array, shape (n,)
    side, members, windows : int64 arrays, shape (v,)
        Of each view: pixels along a window, members of each, how many windows.
    is_single : bool array, shape (v,)
        Whether a view's pixels are float32.
    corner : int64 array, shape (windows of all views, 2)
    exposure : int64 array, shape (windows of all views,)
    source : int64 array
        Members of all windows, by their place in this part.
    """

    x: FloatArray
    y: FloatArray
    held: BoolArray
    kind: IntArray
    shape: FloatArray
    shape_held: BoolArray
    group: IntArray
    side: IntArray
    members: IntArray
    windows: IntArray
    is_single: BoolArray
    corner: IntArray
    exposure: IntArray
    source: IntArray

    @classmethod
    def of(cls, part: Scene) -> PartTable:
        """Return the table of a scene that is one part."""
        views, sources = part.views, part.sources
        stacks = [view.windows for view in views]
        assert part.group is not None
        return cls(
            np.asarray(sources.place.x, float),
            np.asarray(sources.place.y, float),
            sources.held,
            sources.kind,
            sources.shape,
            sources.shape_held,
            part.group,
            np.array([stack.side for stack in stacks], np.int64),
            np.array([view.source.shape[1] for view in views], np.int64),
            np.array([len(stack) for stack in stacks], np.int64),
            np.array([stack.pixels.dtype == np.float32 for stack in stacks], bool),
            np.concatenate([np.zeros((0, 2), np.int64), *(stack.corner for stack in stacks)]),
            _joined([view.exposure for view in views], np.int64),
            _joined([view.source for view in views], np.int64),
        )

    def scene(self, models: SceneModels, pixels: PartPixels) -> Scene:
        """Return the part as a scene."""
        sources = Sources(Points(self.x, self.y), self.held, self.kind, self.shape, self.shape_held)
        views = tuple(self._views(pixels))
        return Scene(models.exposures, sources, views, models.sky, models.flux, self.group)

    def _views(self, of: PartPixels) -> Iterator[Views]:
        pixels = np.cumsum([0, *(self.windows * self.side**2)])
        members = np.cumsum([0, *(self.windows * self.members)])
        first = np.cumsum([0, *self.windows])
        for k, (side, count) in enumerate(zip(self.side, self.members, strict=True)):
            at, windows = slice(pixels[k], pixels[k + 1]), slice(first[k], first[k + 1])
            dtype = np.dtype("f4" if self.is_single[k] else "f8")
            stack = WindowStack(
                of.value[at].reshape(-1, side, side).astype(dtype, copy=False),
                of.weight[at].reshape(-1, side, side).astype(dtype, copy=False),
                self.corner[windows],
            )
            source = self.source[members[k] : members[k + 1]].reshape(-1, count)
            yield Views(stack, self.exposure[windows], source)


@dataclass(frozen=True, slots=True, eq=False)
class PartPixels:
    """The pixels of a part's windows, one window after the other, view after view.

    Parameters
    ----------
    value, weight : float arrays
        As in `WindowStack`, flat; float32 if those of all views are.
    """

    value: FloatArray | Float32Array
    weight: FloatArray | Float32Array

    @classmethod
    def of(cls, part: Scene) -> PartPixels:
        """Return the pixels of a scene that is one part."""
        stacks = [view.windows for view in part.views]
        return cls(
            _joined([stack.pixels for stack in stacks], float),
            _joined([stack.weight for stack in stacks], float),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CutPart:
    """A part with its pixels."""

    table: PartTable
    pixels: PartPixels

    @classmethod
    def of(cls, part: Scene) -> CutPart:
        """Return a scene that is one part."""
        return cls(PartTable.of(part), PartPixels.of(part))


def _joined(arrays: Sequence[NDArray[Any]], empty: type) -> NDArray[Any]:
    """Return arrays one after the other, flat; a single one as it is."""
    flat = [np.ravel(array) for array in arrays]
    if len(flat) == 1:
        return flat[0]
    return np.concatenate(flat) if flat else np.zeros(0, empty)


@dataclass(frozen=True, slots=True, eq=False)
class ScenePart:
    """Where the sources and windows of a part stand in the whole scene.

    Parameters
    ----------
    source : int64 array
        Of the part's sources.
    window : tuple of int64 arrays
        Of the part's windows among those of each view.
    """

    source: IntArray
    window: tuple[IntArray, ...]

    @classmethod
    def of(cls, scene: Scene, which: BoolArray) -> ScenePart:
        """Return the part that some sources are; see `Scene.of_sources`."""
        window = tuple(np.flatnonzero(which[view.source].all(axis=1)) for view in scene.views)
        return cls(np.flatnonzero(which), window)


def parts_of(scene: Scene, pixels_per_part: int = PIXELS_PER_PART) -> tuple[BoolArray, ...]:
    """Return which sources make each part: whole groups, parts alike in pixels.

    It depends on the scene alone, never on who works: sums over parts have the same bits on any
    number of workers.

    Parameters
    ----------
    scene : Scene
    pixels_per_part : int
        Of windows, at most, but for a group that has more.
    """
    assert scene.group is not None
    label = np.unique(scene.group, return_inverse=True)[1].ravel()
    cost = np.zeros(int(label.max(initial=-1)) + 1)
    for views in scene.views:
        of = label[views.source[:, 0]]
        cost += np.bincount(of, minlength=len(cost)) * float(views.windows.side**2)
    before = np.cumsum(cost) - cost
    count = max(int(np.ceil(cost.sum() / pixels_per_part)), 1)
    # A group belongs where its middle falls on the way through all pixels.
    part = np.floor((before + 0.5 * cost) * count / max(cost.sum(), 1.0)).astype(np.int64)
    return tuple(part[label] == k for k in np.unique(part))
