"""A table in cells: what lies in a box is found in few parts, and never in others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import LabelledSources
from alignsvc.domain.task import TableRef
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import LocalObjects
from alignsvc.io.table_cells import CELL_PX, Cells, read_index, tables_of, write_cells
from alignsvc.numerics.sources.filters import within
from alignsvc.tasks.sources_at_hand import all_kinds, all_sources, kinds_near, sources_near

NAME = "tables/sources/some.npz"


def some_sources(seed: int, n: int, side: float = 3.5 * CELL_PX) -> LabelledSources:
    """Sources all over two components, as far as below zero, some between two pixels of cells."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.random(n) for name, _ in LabelledSources.empty().columns()}
    whole = np.zeros(n, np.int64)
    columns |= {"area": whole, "flags": whole, "segment": rng.permutation(n)}
    columns |= {"id": np.sort(rng.permutation(3 * n)[:n]), "component": rng.integers(0, 2, n)}
    for axis in ("x", "y"):
        columns[axis] = rng.uniform(-0.4 * CELL_PX, side, n)
        at_edge = rng.random(n) < 0.2
        columns[axis][at_edge] = CELL_PX * rng.integers(0, 3, at_edge.sum()) - 0.5
    return LabelledSources(**columns)


def written(run: Path, sources: LabelledSources) -> TableRef:
    cells = Cells.of(sources.component, sources.x, sources.y)
    parts = [sources.select(rows) for rows in cells.members()]
    return write_cells(LocalObjects(run), NAME, cells, parts)


def assert_same(found: LabelledSources, wanted: LabelledSources) -> None:
    for name, column in wanted.columns():
        np.testing.assert_array_equal(getattr(found, name), column, err_msg=name)


class TestReading:
    @settings(deadline=None, max_examples=30)
    @given(
        seed=st.integers(0, 2**32 - 1),
        corner=st.tuples(*[st.integers(-CELL_PX, 3 * CELL_PX)] * 2),
        side=st.tuples(*[st.integers(0, 2 * CELL_PX)] * 2),
        component=st.integers(0, 2),
    )
    def test_in_a_box_are_those_that_all_of_them_have_there(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        seed: int,
        corner: tuple[int, int],
        side: tuple[int, int],
        component: int,
    ) -> None:
        run = tmp_path_factory.mktemp("run")
        sources = some_sources(seed, 60)
        table = written(run, sources)
        box = PixelBox(*corner, corner[0] + side[0], corner[1] + side[1])
        here = within(sources.select(sources.component == component), box)
        assert_same(sources_near(run, table, component, box), here)

    def test_all_come_back_bit_for_bit(self, tmp_path: Path) -> None:
        sources = some_sources(1, 200)
        assert_same(all_sources(tmp_path, written(tmp_path, sources)), sources)

    def test_a_table_may_have_no_source(self, tmp_path: Path) -> None:
        table = written(tmp_path, some_sources(1, 0))
        assert len(all_sources(tmp_path, table)) == 0
        assert len(sources_near(tmp_path, table, 0, PixelBox(0, 0, 9, 9))) == 0

    def test_only_parts_near_are_read(self, tmp_path: Path) -> None:
        sources = some_sources(2, 300, 40.0 * CELL_PX)
        table = written(tmp_path, sources)
        box = PixelBox(9 * CELL_PX, 9 * CELL_PX, 10 * CELL_PX + 1, 10 * CELL_PX)
        index = read_index(LocalObjects(tmp_path), table)
        near = index.parts_near(NAME, 0, box)
        assert len(near) <= 2
        for part in set(index.all_parts(NAME)) - set(near):
            (tmp_path / part.name).unlink()
        here = within(sources.select(sources.component == 0), box)
        assert_same(sources_near(tmp_path, table, 0, box), here)


class TestDamage:
    def test_a_part_that_is_lost_is_named(self, tmp_path: Path) -> None:
        table = written(tmp_path, some_sources(3, 50))
        index, *parts = tables_of(LocalObjects(tmp_path), table)
        assert index == table
        (tmp_path / parts[0].name).unlink()
        with pytest.raises(DamagedProduct, match=parts[0].name):
            all_sources(tmp_path, table)

    def test_a_part_of_another_writing_is_none_of_the_table(self, tmp_path: Path) -> None:
        table = written(tmp_path, some_sources(4, 50))
        written(tmp_path, some_sources(5, 50))
        with pytest.raises(DamagedProduct, match="not what was written"):
            all_sources(tmp_path, table)

    def test_of_a_table_without_an_index_nothing_else_is_known(self, tmp_path: Path) -> None:
        table = written(tmp_path, some_sources(6, 50))
        (tmp_path / NAME).unlink()
        assert tables_of(LocalObjects(tmp_path), table) == (table,)


def test_checksums_of_a_table_say_whether_any_source_differs(tmp_path: Path) -> None:
    first, again, other = (written(tmp_path, some_sources(seed, 50)) for seed in (7, 7, 8))
    assert first == again
    assert first.checksum != other.checksum


def test_kinds_lie_with_their_sources(tmp_path: Path) -> None:
    sources = some_sources(9, 80)
    n, rng = len(sources), np.random.default_rng(9)
    parent = np.sort(rng.choice(sources.id, 30))
    real = [rng.random(n) for _ in range(3)]
    beside = [rng.random(len(parent)) for _ in range(4)]
    kinds = SourceKinds(
        sources.id, *real[:2], rng.random(n) < 0.5, rng.random((n, 4)), real[2], parent, *beside
    )
    cells = Cells.of(sources.component, sources.x, sources.y)
    parts = kinds.parted(sources.id, cells.number, len(cells.place))
    table = write_cells(LocalObjects(tmp_path), NAME, cells, parts)
    box = PixelBox(0, 0, CELL_PX, CELL_PX)
    here = within(sources.select(sources.component == 1), box).id
    for found, wanted in (
        (all_kinds(tmp_path, table), kinds),
        (kinds_near(tmp_path, table, 1, box).among(here), kinds.among(here)),
    ):
        assert len(wanted) > 0
        for name in ("id", "off_x", "is_galaxy", "shape", "companion_of", "companion_flux"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
