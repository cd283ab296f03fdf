"""Interlaced correlation maps of exposures with half-pixel blots, and their peaks."""

from __future__ import annotations

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.displacement.correlation.peak import Peaks, PolynomialPeak, interlaced
from alignsvc.numerics.displacement.correlators import Correlator
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack, middles
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.sizes import Sides
from alignsvc.numerics.displacement.windows.templates import SplineStack


def correlated(
    correlator: Correlator, pairs: PairStack, sides: Sides, peak: PolynomialPeak
) -> Peaks:
    """Return the peaks of the interlaced maps of four half-pixel blots."""
    return peak(correlation_maps(correlator, pairs, sides))


def correlation_maps(correlator: Correlator, pairs: PairStack, sides: Sides) -> Float32Array:
    """Return the interlaced maps of four half-pixel blots, shape (n, map side, map side).

    The sources should lie in the middles of the boxes, by the present WCS.
    """
    # Boxes have room for the soft edge of a fit; here apertures end where they end.
    sides = sides.holding(float(pairs.aperture_px.max()))
    good = middles(pairs.template_good, sides.correlated)
    image = MaskedStack(middles(pairs.pixels, sides.box), middles(pairs.searched, sides.box))
    return interlaced(correlator(image, SplineStack(pairs.spline, good), sides.max_lag))
