"""Displacements from windowed centroids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.numerics.displacement.fitting.information import Information
from alignsvc.numerics.displacement.fitting.outset import Outset
from alignsvc.numerics.displacement.fitting.refine import Refined, judged
from alignsvc.numerics.displacement.splines.window_moments import (
    centred,
    window_means,
    window_worth,
)
from alignsvc.numerics.displacement.windows.pairs import PairStack

_LEAST_OTHERS = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """Centroids of n sources.

    Parameters
    ----------
    own, theirs : Points, shape (n,)
        In the cutouts and in the templates, pixels of the cutout; NaN where not found.
    information : Information
        Of their differences.
    """

    own: Points
    theirs: Points
    information: Information


@dataclass(frozen=True, slots=True)
class WindowedCentroids:
    """Difference of the windowed centroids of the template and of the cutout.

    The centroid is where ``sum g(p - c) (p - c) f = 0`` with a Gaussian g as wide as the source
    (the XWIN of SExtractor's manual). Both frames have the same window and the same mask: what
    is lopsided in both, a galaxy or a masked pixel, drops out. It does not ask that the profiles
    be alike, and it is no better for it: a sharp exposure is read through the template's width.

    Parameters
    ----------
    tolerance_px : float
        A source is done when both steps are below this.
    max_iterations : int
    reach : float
        A centroid that ends farther from its start than this many widths has left its source.
    """

    tolerance_px: float = 1e-4
    max_iterations: int = 30
    reach: float = 2.0

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return the differences; NO_PEAK and NaN where a centroid is not found."""
        found = self.centroids(pairs, start)
        own, theirs = found.own, found.theirs
        return judged(
            Points(start.x + theirs.x - own.x, start.y + theirs.y - own.y), found.information
        )

    def centroids(self, pairs: PairStack, start: Points) -> Centroids:
        """Return the centroids in the cutouts and in the templates moved by `start`."""
        good = pairs.common(start)
        outset = Outset.of(pairs, pairs.weight * (good & pairs.aperture(start)), start)
        begin, width = Points(pairs.centre.x - start.x, pairs.centre.y - start.y), outset.width_px
        values = contiguous(pairs.pixels * good), contiguous(outset.template * good)
        own, theirs = (self._found(frame, begin, width) for frame in values)
        at_own, at_theirs = (_rows(_known(point, begin)) for point in (own, theirs))
        own_variance, template_variance = pairs.variances(outset.model, good)
        worth = window_worth(values[0], own_variance, at_own, width)
        of_template = window_worth(values[1], template_variance, at_theirs, width)
        informative = worth.sound & of_template.sound
        seen = of_template.flux > 0
        none = np.full(len(pairs), np.nan)
        information = Information(
            own=np.where(informative[:, None, None], worth.covariance, np.nan),
            template=np.where(informative[:, None, None], of_template.covariance, np.nan),
            flux=np.divide(worth.flux, of_template.flux, out=none, where=seen),
            share=window_means(contiguous(pairs.share), at_own, width),
            informative=informative,
        )
        return Centroids(own, theirs, information)

    def _found(self, values: Float32Array, begin: Points, width_px: FloatArray) -> Points:
        """Return the centroids; NaN where the iteration does not end near its begin."""
        limits = self.tolerance_px, self.reach, self.max_iterations
        return Points(*centred(values, _rows(begin), width_px, limits).T)


@dataclass(frozen=True, slots=True)
class CatalogCentroids:
    """Windowed centroids of the cutouts, against the places that the catalogue gives.

    While exposures are pixels apart the mosaic is smeared, each leave-one-out mosaic in its own
    way, and what is read from it is no longer linear in what is wrong: the second pass of a joint
    solve still moves by a fiftieth of the first. A centroid in the exposure does not know the
    mosaic. The place X of the source is only a common zero, taken up by the source's latent
    offset; so the first pass ends as near as centroids can. The joint solve multiplies a
    displacement by ``1 - share`` for an offset from the mosaic of all; ``X - q`` is that offset
    already, and is divided by it.

    Parameters
    ----------
    centroids : WindowedCentroids
    """

    centroids: WindowedCentroids = field(default_factory=WindowedCentroids)

    def __call__(self, pairs: PairStack, start: Points) -> Refined:
        """Return the displacements; NO_PEAK and NaN where a centroid is not found."""
        found = self.centroids.centroids(pairs, start)
        whole = pairs.whole
        off = on_catalogue(pairs.catalogued, found.own, found.information.share)
        return judged(Points(off.x - whole.x, off.y - whole.y), found.information)


def on_catalogue(catalogue: Points, own: Points, share: FloatArray) -> Points:
    """Return the displacements that a joint solve multiplies to ``catalogue - own``."""
    # Sources with a share near 1 are flagged as dominated, whatever comes out here.
    others = np.maximum(1 - share, _LEAST_OTHERS)
    return Points((catalogue.x - own.x) / others, (catalogue.y - own.y) / others)


def own_places(catalogue: Points, measured: Displacements) -> Points:
    """Return where an exposure has sources whose displacements `on_catalogue` gave."""
    others = np.maximum(1 - measured.weight_share, _LEAST_OTHERS)
    return Points(catalogue.x - measured.dx * others, catalogue.y - measured.dy * others)


def _rows(points: Points) -> FloatArray:
    """Return x and y of points, shape (n, 2)."""
    return np.stack([points.x, points.y], axis=1)


def _known(point: Points, other: Points) -> Points:
    found = np.isfinite(point.x)
    return Points(np.where(found, point.x, other.x), np.where(found, point.y, other.y))
