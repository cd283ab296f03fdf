"""Quality flags of sources and displacements: each bit, its name and its text, once."""

from __future__ import annotations

from enum import IntFlag


class SourceFlag(IntFlag):
    """What is doubtful about a source in the catalogue."""

    GOOD = 0
    BLENDED = 1  #: was deblended from a neighbour
    AT_EDGE = 2  #: touches the edge of the mosaic or a hole in it
    SATURATED = 4  #: holds saturated pixels in some exposure
    TRUNCATED = 8  #: its isophote was cut by the reach of the tile's halo
    NO_CENTROID = 16  #: the windowed centroid did not converge; the barycentre stands
    MOVING = 32  #: its place changes between the exposures


class DisplacementFlag(IntFlag):
    """Why a displacement is degraded; any flag but GOOD keeps it out of the fit."""

    GOOD = 0
    OUTSIDE = 1  #: less than a FWHM from an edge of the chip
    MASKED_CORE = 2  #: bad pixels in the exposure within the source's core
    MASKED_MANY = 4  #: more than half of the cutout's pixels are bad
    TEMPLATE_HOLE = 8  #: the mosaic of the others has holes at the source
    DOMINATED = 16  #: this exposure carries more than 0.95 of the weight at the source
    PEAK_AT_EDGE = 32  #: the correlation peaks at the edge of the search window
    NO_PEAK = 64  #: the correlation has no maximum, or is not positive there
    NO_INFORMATION = 128  #: the template has no gradient: the covariance is not finite
    SATURATED = 256  #: saturated pixels within the cutout
    CLIPPED = 512  #: rejected by the fit's clipping
    HELD_OUT = 1024  #: kept out of the fit on purpose, to test it
    OTHER_SOURCE = 2048  #: far from where the others are, and by its flux another source


FLAG_TEXT: dict[SourceFlag | DisplacementFlag, str] = {
    SourceFlag.BLENDED: "deblended from a neighbour",
    SourceFlag.AT_EDGE: "touches the edge of the mosaic or a hole in it",
    SourceFlag.SATURATED: "holds saturated pixels",
    SourceFlag.TRUNCATED: "isophote cut by the reach of the tile's halo",
    SourceFlag.NO_CENTROID: "windowed centroid did not converge",
    SourceFlag.MOVING: "moves between the exposures",
    DisplacementFlag.OUTSIDE: "at an edge of the chip",
    DisplacementFlag.MASKED_CORE: "bad pixels in the source's core",
    DisplacementFlag.MASKED_MANY: "more than half of the cutout is bad",
    DisplacementFlag.TEMPLATE_HOLE: "the mosaic of the others has holes here",
    DisplacementFlag.DOMINATED: "this exposure carries nearly all the weight here",
    DisplacementFlag.PEAK_AT_EDGE: "correlation peaks at the edge of the search window",
    DisplacementFlag.NO_PEAK: "correlation has no positive maximum",
    DisplacementFlag.NO_INFORMATION: "template without gradient",
    DisplacementFlag.SATURATED: "saturated pixels in the cutout",
    DisplacementFlag.CLIPPED: "rejected by clipping",
    DisplacementFlag.HELD_OUT: "held out to test the fit",
    DisplacementFlag.OTHER_SOURCE: "found another source's peak",
}
