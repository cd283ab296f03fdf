"""Sources of the mosaic as tasks read them: those near, kept by a process for the task after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import LabelledSources
from alignsvc.domain.task import TableRef
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.table_cells import CellIndex, read_index
from alignsvc.io.tables import read_table
from alignsvc.numerics.sources.filters import within

T = TypeVar("T")

#: Parts that are asked for at once where each answer takes its time.
_AT_ONCE = 8
#: Bytes of parts that a process keeps: a hundred thousand sources.
_MOST_BYTES = 16e6
#: Parts and indices by their names and checksums, which are those of their content.
_PARTS: KeptInMemory[TableRef, Any] = KeptInMemory(lambda: _MOST_BYTES)


def sources_near(run: Place, table: TableRef, component: int, box: PixelBox) -> LabelledSources:
    """Return the sources whose nearest pixel lies in a box of a component's grid, by their ids.

    Parameters
    ----------
    run : Place
    table : TableRef
        Of `LabelledSources` in cells.
    component : int
    box : PixelBox
        Not cut to the grid.
    """
    found = LabelledSources.concatenate(_near(run, table, (component, box), LabelledSources))
    found = within(found, box)
    return found.select(np.argsort(found.id))


def kinds_near(run: Place, table: TableRef, component: int, box: PixelBox) -> SourceKinds:
    """Return what is known of the sources in a box of a component's grid, and some beyond."""
    return SourceKinds.joined(_near(run, table, (component, box), SourceKinds))


def all_sources(run: Place, table: TableRef) -> LabelledSources:
    """Return the sources of all cells, by their ids; nothing is kept."""
    objects = RunLocations(run).objects
    parts = read_index(objects, table).all_parts(table.name)
    found = LabelledSources.concatenate(_read(objects, parts, LabelledSources))
    return found.select(np.argsort(found.id))


def all_kinds(run: Place, table: TableRef) -> SourceKinds:
    """Return what is known of the sources of all cells; nothing is kept."""
    objects = RunLocations(run).objects
    parts = read_index(objects, table).all_parts(table.name)
    return SourceKinds.joined(_read(objects, parts, SourceKinds))


def _near(run: Place, table: TableRef, where: tuple[int, PixelBox], type_: type[T]) -> list[T]:
    objects = RunLocations(run).products
    index: CellIndex | None = _PARTS.find(table)
    if index is None:
        index = read_index(objects, table)
        _keep(table, index)
    parts = index.parts_near(table.name, *where)
    found: dict[TableRef, T | None] = {part: _PARTS.find(part) for part in parts}
    missing = [part for part, value in found.items() if value is None]
    for part, value in zip(missing, _read(objects, missing, type_), strict=True):
        found[part] = value
        _keep(part, value)
    return [value for value in found.values() if value is not None]


def _read(objects: ObjectStore, parts: Sequence[TableRef], type_: type[T]) -> list[T]:
    def one(part: TableRef) -> T:
        return read_table(objects, part.name, type_, part.checksum)

    return [*objects.each(one, parts, _AT_ONCE)]


def _keep(table: TableRef, value: Any) -> None:
    _PARTS.keep(table, value, sum(getattr(value, field.name).nbytes for field in fields(value)))
