"""Which tiles of an earlier run's mosaic stay as they are, and who is read to make the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import ConfigError
from alignsvc.numerics.sky.footprints import Footprint, MosaicLayout, grown
from alignsvc.run.planning.earlier_run import EarlierRun, KnownExposure
from alignsvc.tasks.measure import REACH_PX


class Role(Enum):
    """What a run does with an exposure."""

    MOVES = auto()  #: it is aligned
    MEASURED = auto()  #: it stays, and sees sources of one that moves
    PLACED = auto()  #: it stays, and is read only for tiles that are made again
    IDLE = auto()  #: it stays, and nobody reads it


@dataclass(frozen=True, slots=True)
class KeptTile:
    """A tile of the earlier run's mosaic: which one it was there, and its checksum."""

    there: TileId
    checksum: str


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """An exposure: where it lies, and what the earlier run knows of it."""

    area: Footprint
    known: KnownExposure | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """A layout on the grids of an earlier run.

    Parameters
    ----------
    layout : MosaicLayout
    kept : mapping of TileId to KeptTile
        Tiles that nothing touches.
    roles : tuple of Role
        Of each exposure.
    """

    layout: MosaicLayout
    kept: Mapping[TileId, KeptTile]
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """Puts a layout on the grids of an earlier run.

    Parameters
    ----------
    earlier : EarlierRun
    margin_px : int
        How wrong the headers of new exposures may be.
    may_grow : bool
        Whether grids grow where new exposures reach beyond them; one that was given does not.
    """

    earlier: EarlierRun
    margin_px: int
    may_grow: bool

    def __call__(self, layout: MosaicLayout, members: Sequence[Member]) -> Extended:
        """Return the layout on the earlier grids.

        Parameters
        ----------
        layout : MosaicLayout
            Of all members, on grids of their own.
        members : sequence of Member
            In order of id.

        Raises
        ------
        ConfigError
            Frozen exposures of two components, whose frames nobody has compared, are joined by
            new ones.
        """
        grids = list(layout.grids)
        kept: dict[TileId, KeptTile] = {}
        roles = [
            Role.PLACED if self.earlier.is_frozen and one.known is not None else Role.MOVES
            for one in members
        ]
        for k, there in self._components(layout, members).items():
            own = [i for i, component in enumerate(layout.component_of) if component == k]
            if there is not None:
                grids[k] = self._grid(there, k, [members[i].area for i in own])
            movers = [members[i].area for i in own if roles[i] is Role.MOVES]
            if there is not None and self.earlier.is_frozen:
                kept |= self._kept(grids[k], there, movers)
            reach = [box.expand(self.margin_px) for box in _boxes(movers, grids[k])]
            unmade = {tile.there for tile in kept.values()}
            for i in own:
                known = members[i].known
                if roles[i] is not Role.PLACED or known is None:
                    continue
                if _meets(members[i].area, grids[k], reach):
                    roles[i] = Role.MEASURED
                elif there is not None and unmade.issuperset(known.tiles):
                    roles[i] = Role.IDLE
        return Extended(replace(layout, grids=tuple(grids)), kept, tuple(roles))

    def _components(
        self, layout: MosaicLayout, members: Sequence[Member]
    ) -> dict[int, MosaicGrid | None]:
        """Return the earlier grid of each component; None if it has no single one of its own."""
        mosaic = self.earlier.mosaic
        found: dict[int, set[int]] = {k: set() for k in range(len(layout.grids))}
        for component, one in zip(layout.component_of, members, strict=True):
            if component is not None and one.known is not None:
                found[component] |= {tile.component for tile in one.known.tiles}
        for there in found.values():
            if len(there) > 1 and self.earlier.is_frozen:
                names = " and ".join(map(str, sorted(there)))
                raise ConfigError(
                    f"--freeze: new exposures join components {names} of {self.earlier.directory},"
                    " which were aligned each by itself; run without --freeze"
                )
        shared = [number for there in found.values() for number in there]
        grids = mosaic.grids if mosaic is not None else ()
        return {
            k: grids[min(there)] if len(there) == 1 and shared.count(min(there)) == 1 else None
            for k, there in found.items()
        }

    def _grid(self, there: MosaicGrid, component: int, areas: Sequence[Footprint]) -> MosaicGrid:
        grid = grown(there, areas, self.margin_px) if self.may_grow else there
        return replace(grid, component=component)

    def _kept(
        self, grid: MosaicGrid, there: MosaicGrid, movers: Sequence[Footprint]
    ) -> dict[TileId, KeptTile]:
        """Return the tiles of a grid that neither new exposures touch nor lost ones have left."""
        assert self.earlier.mosaic is not None
        checksums = dict(self.earlier.mosaic.checksums)
        touched = {
            tile
            for box in _boxes(movers, grid)
            for tile in grid.tiles_touching(box.expand(self.margin_px + REACH_PX))
        }
        left = {tile for lost in self.earlier.lost for tile in lost.tiles}
        kept = {}
        for tile in grid.tiles():
            was = tile_there(grid, tile, there)
            if tile in touched or was is None or was in left:
                continue
            kept[tile] = KeptTile(was, checksums[was])
        return kept


def tile_there(grid: MosaicGrid, tile: TileId, there: MosaicGrid) -> TileId | None:
    """Return which tile of another grid has the very pixels of a tile; None if none has.

    Both grids have the same pixels and tiles, one has more of them.
    """
    ny, nx = grid.tile_shape
    same = TileId(
        there.component,
        tile.row - round((grid.origin_y - there.origin_y) / ny),
        tile.column - round((grid.origin_x - there.origin_x) / nx),
    )
    rows, columns = there.n_tiles
    if not (0 <= same.row < rows and 0 <= same.column < columns):
        return None
    return same if there.tile_box(same).shape == grid.tile_box(tile).shape else None


def is_part_of(there: MosaicGrid, grid: MosaicGrid) -> bool:
    """Return whether a grid has the pixels and tiles of another, and perhaps more."""
    left, below = grid.origin_x - there.origin_x, grid.origin_y - there.origin_y
    ny, nx = grid.tile_shape
    same = replace(
        there,
        component=grid.component,
        origin_x=grid.origin_x,
        origin_y=grid.origin_y,
        shape=grid.shape,
    )
    return same == grid and left % nx == 0 and below % ny == 0


def _boxes(areas: Sequence[Footprint], grid: MosaicGrid) -> list[PixelBox]:
    """Return a box around each chip of some exposures."""
    return [PixelBox.around(grid.pixel_from_sky(chip)) for area in areas for chip in area.outlines]


def _meets(area: Footprint, grid: MosaicGrid, boxes: Sequence[PixelBox]) -> bool:
    own = _boxes([area], grid)
    return any(not box.intersect(one).is_empty for box in boxes for one in own)
