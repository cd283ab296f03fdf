"""What a task of each stage needs, by the sizes of what it allocates: memory and time.

A worker occupies four things. Its *libraries*: the same for all sizes. What its earlier tasks
left in its *heap*: small arrays come and go, and the holes between them stay (arrays of 32 MB and
more do not count in that: `engine.heap`). Tiles of the mosaic that it *keeps*
(`tasks.tiles_at_hand`: an eighth of what it may occupy at the most, and none where a task needs
the room). And the *planes* that this task holds, so many bytes for each pixel of exposure, grid and
tile; files behind URLs, which no system maps into memory, on top of these, and what was read ahead
of the next exposure (`tasks.inputs_ahead`). All constants were measured (tests/README.md), in
fields of about 900 sources a megapixel; `tests/integration/test_predictions.py` compares them with
what runs need, and fails when the code has grown. Time is `MEASURED_PACES`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignsvc.tasks.inputs_ahead import MOST_AHEAD_BYTES
from alignsvc.tasks.tiles_at_hand import MOST_BYTES

#: Of the fields in which all was measured: sparse ones need less time (a measurement nearly in
#: proportion), and up to a third less memory.
SOURCES_PER_MPIX = 900
#: Predicted seconds over measured ones: for slower cores, files that no cache holds, and neighbours
#: on the machine.
SECONDS_MARGIN = 1.3
#: A worker with all its libraries (the compiler of loops takes 110 MB of it, 65 MB of which
#: workers of one machine share), and one that has listed sources only.
LIBRARIES_BYTES, FIRST_LIBRARIES_BYTES = 310e6, 250e6
#: What is left in the heap, for a pixel of the grid's box around an exposure, and at the most.
_LEFT, _MOST_LEFT = 370.0, 235e6
#: Of a plane behind a URL as it is stored, a pixel: float32, as most are.
_FAR = 4.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Pixels that a task of an exposure, or of a tile, deals with.

    Parameters
    ----------
    read : float
        Of all chips.
    chip : float
        Of the largest chip, or of the grid under it if that has more.
    area : float
        Of the grid's box around all chips; of a tile's tasks that of the largest exposure, which
        the same process may have worked on.
    tile : float
        Of a whole tile, which is what is read and decompressed.
    cut : float
        Of a tile and its halo, within the grid.
    mosaic : float
        Of all tiles, whole ones: a process keeps some of those that it has read.
    far : float
        Of all planes that lie behind URLs, weights and masks too.
    """

    read: float = 0.0
    chip: float = 0.0
    area: float = 0.0
    tile: float = 0.0
    cut: float = 0.0
    mosaic: float = 0.0
    far: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of any task of a stage, and of a megapixel of it, on one core of 2023."""

    start_s: float
    mpix_s: float


#: Medians of tasks, 2026-11-23: four exposures of 256^2, 1024^2 and 2048^2 px, 900 sources a
#: megapixel, three passes, loops compiled before. Both methods: the mean of one and the other.
MEASURED_PACES: Mapping[str, Pace] = {
    "list_sources": Pace(0.01, 0.055),
    "match_sources": Pace(0.005, 0.018),
    "resample": Pace(0.01, 0.024),
    "reject": Pace(0.008, 0.06),
    "measure": Pace(0.06, 0.15),
    "measure by model": Pace(0.42, 2.7),
    # Each exposure by both methods.
    "compare": Pace(0.24, 1.4),
    "merge": Pace(0.006, 0.04),
    "background": Pace(0.006, 0.02),
    "detect": Pace(0.014, 0.14),
    "tell": Pace(0.5, 12.0),
    "preview": Pace(0.01, 0.05),
}


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """What a task of a stage needs.

    Parameters
    ----------
    pace : str
        Its key in `MEASURED_PACES`.
    read, chip, area, tile, cut : float
        Bytes for each of these pixels.
    libraries : float
        Bytes.
    left, most_left : float
        Bytes that earlier tasks have left in the heap, for a pixel of `area` and at the most.
    kept : float
        Bytes of what is kept of the mosaic, for each of its pixels, up to `MOST_BYTES`.
    """

    pace: str
    read: float = 0.0
    chip: float = 0.0
    area: float = 0.0
    tile: float = 0.0
    cut: float = 0.0
    libraries: float = LIBRARIES_BYTES
    left: float = _LEFT
    most_left: float = _MOST_LEFT
    kept: float = 24.0

    def memory_bytes(self, sizes: Sizes) -> float:
        """Return what the worker of a task of these sizes occupies."""
        planes = (
            self.read * sizes.read
            + self.chip * sizes.chip
            + self.area * sizes.area
            + self.tile * sizes.tile
            + self.cut * sizes.cut
        )
        left = min(self.most_left, self.left * sizes.area)
        kept = min(MOST_BYTES, self.kept * sizes.mosaic)
        far = _FAR * sizes.far if self.read else 0.0
        return self.libraries + left + kept + planes + far + min(MOST_AHEAD_BYTES, far)

    def seconds(self, sizes: Sizes) -> float:
        """Return how long a task of these sizes takes, on one core of 2023."""
        pace = MEASURED_PACES[self.pace]
        return SECONDS_MARGIN * (pace.start_s + pace.mpix_s * max(sizes.read, sizes.cut) / 1e6)


#: Of exposures, each stage in the order of a run.
OF_EXPOSURES: Mapping[str, TaskNeeds] = {
    "list_sources": TaskNeeds(
        "list_sources", read=12, chip=38, libraries=FIRST_LIBRARIES_BYTES, left=0, kept=0
    ),
    # Of what lists of sources left, and of their lists.
    "match_sources": TaskNeeds(
        "match_sources", libraries=FIRST_LIBRARIES_BYTES + 15e6, left=48, most_left=100e6, kept=0
    ),
    "resample": TaskNeeds("resample", read=9, chip=10, area=17),
    "reject": TaskNeeds("reject", read=12, chip=91, tile=10),
    "measure": TaskNeeds("measure", read=12, chip=48, tile=10),
    "compare": TaskNeeds("compare", read=12, chip=85, tile=10),
}
#: Of exposures whose sources a model places.
MEASURED_BY_MODEL = TaskNeeds("measure by model", read=12, chip=85, tile=10)
#: Of tiles.
OF_TILES: Mapping[str, TaskNeeds] = {
    "merge": TaskNeeds("merge", tile=16, cut=24),
    "background": TaskNeeds("background", tile=8, cut=24),
    "detect": TaskNeeds("detect", tile=8, cut=60),
    "tell": TaskNeeds("tell", tile=8, cut=85),
    # A row of tiles, one in memory at a time.
    "preview": TaskNeeds("preview", tile=16, cut=64),
}
