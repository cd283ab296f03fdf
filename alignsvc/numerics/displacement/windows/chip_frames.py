"""The sources of a chip cut out beside their blots, as many together as make least work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.blots import Reference, blot
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.displacement.windows.chunks import chunks_of_least_work
from alignsvc.numerics.displacement.windows.circumstances import (
    CORE_FWHM,
    Circumstances,
    Surroundings,
)
from alignsvc.numerics.displacement.windows.cutouts import cut
from alignsvc.numerics.displacement.windows.frames import Frames
from alignsvc.numerics.displacement.windows.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.windows.pairs import SOFT_EDGE_PX
from alignsvc.numerics.displacement.windows.sizes import Sides, SizeClasses


class Chunk(NamedTuple):
    """Sources of one size class that are measured together.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        Which of the chip's targets they are.
    targets : Targets, n of them
    sides : Sides
        Of their windows.
    """

    rows: IntArray
    targets: Targets
    sides: Sides


@dataclass(frozen=True, slots=True, eq=False)
class ChipFrames:
    """Cuts sources out of a chip, and blots the reference beside them.

    Parameters
    ----------
    view : ChipView
    reference : Reference
        Its box should hold the chip's footprint.
    sizes : SizeClasses
    aperture_fwhm : float
        Radius of apertures, in FWHM, where neither isophote nor search reaches farther.
    """

    view: ChipView
    reference: Reference
    sizes: SizeClasses
    aperture_fwhm: float

    def chunks(self, targets: Targets) -> Iterator[Chunk]:
        """Yield all targets, those that are measured together.

        Those of a size class come by their apertures: a chunk's work is that of its widest.
        """
        classes = self.sizes.of(targets.fwhm_px, targets.radius_px)
        for index in np.unique(classes):
            sides = self.sizes.windows(int(index))
            members = np.flatnonzero(classes == index)
            radius_px = self._aperture(targets, sides)[members] + 0.5 * SOFT_EDGE_PX
            for some in chunks_of_least_work(sides.templates(radius_px)):
                rows = members[some]
                held = sides.holding(float(radius_px[some].max()))
                yield Chunk(rows, targets.select(rows), held)

    def of(self, chunk: Chunk) -> Frames:
        """Return cutouts of a chunk's targets, and blots."""
        targets, sides, chip = chunk.targets, chunk.sides, self.view.chip
        cutouts = cut(chip, targets.position, sides.cutout)
        outside = (sides.template - sides.cutout) // 2
        windows = Windows(cutouts.corner_x - outside, cutouts.corner_y - outside, sides.template)
        local_map = LocalMap.expand(self.view.pixel_map, targets.position, 0.5 * sides.template)
        blots = blot(self.reference, local_map, targets.source, windows)
        centre = Points(
            targets.position.x - cutouts.corner_x, targets.position.y - cutouts.corner_y
        )
        around = Surroundings(cutouts, blots, centre, targets.fwhm_px, chip.shape)
        return Frames(
            cutouts,
            blots,
            TemplateSpline.through(blots.values),
            centre,
            around.clear_aperture(self._aperture(targets, sides), _reached(targets, sides)),
            sides,
            chip.gain,
        )

    def whole(self, chunk: Chunk) -> Frames:
        """Return the same, all of the cutout compared."""
        return self.of(chunk._replace(sides=replace(chunk.sides, compared=None)))

    def circumstances(self, targets: Targets, frames: Frames, shift: Points) -> Circumstances:
        """Return what speaks against targets that are displaced by `shift` in their frames."""
        place = Points(frames.centre.x - shift.x, frames.centre.y - shift.y)
        shape = self.view.chip.shape
        around = Surroundings(frames.cutouts, frames.blots, place, targets.fwhm_px, shape)
        return around.judged(frames.aperture_px)

    def _aperture(self, targets: Targets, sides: Sides) -> FloatArray:
        """Return the radius of each target's aperture where nothing ends nearby, chip pixels."""
        wanted = np.maximum(self.aperture_fwhm * targets.fwhm_px, targets.radius_px)
        radius: FloatArray = np.minimum(
            np.maximum(wanted, _reached(targets, sides)), 0.5 * sides.cutout
        )
        return radius


def _reached(targets: Targets, sides: Sides) -> FloatArray:
    """Return apertures within which the core lies wherever the search may find it."""
    radius: FloatArray = sides.search_radius_px + CORE_FWHM * targets.fwhm_px
    return radius
