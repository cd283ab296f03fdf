"""Rules that integrate a smooth function over a pixel: a few nodes, all pixels alike.

A rule that looks at where the star is (a finer one in the core, say) makes chi^2 jump as it moves,
and fits stall; so the rule is chosen once, by the width, and is a field of the profile.

The rules of few nodes are fully symmetric: a square's middle, points on its axes, points on its
diagonals. Those of 8 and 12 nodes are right for all polynomials of degree 5 and 7 (Stroud 1971,
Approximate Calculation of Multiple Integrals, C2 5-2 and 7-1), those of 25 and 49 are products of
Gauss's, of degree 9 and 13. That of 5 nodes is of degree 3 and right for the isotropic part of
degree 4, all that a round star has at its centre: what remains goes as the cosine of four times
the angle. The usual value at the middle with its Laplacian / 24 errs by 2e-3 of the peak at FWHM
3 px, this one by 2e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss

from alignsvc.domain.arrays import FloatArray, hold_read_only
from alignsvc.errors import ConfigError

#: Nodes of each rule, and the smallest FWHM [px] of a round star for which it is right to 1e-4 of
#: the peak: a Moffat of index 1.7, which has the sharpest core.
NARROWEST = {5: 3.7, 8: 2.6, 12: 1.6, 25: 1.0, 49: 0.65}
#: An ellipse of |e| = 0.28, the corner of the bounds of stars, is as sharp as its short axis.
_SHORT_AXIS = 0.76
#: How much wider a star is when its rule is chosen: a fit may yet narrow it.
_MARGIN = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class PixelRule:
    """Where to evaluate a function, and how to weigh the values.

    Parameters
    ----------
    x, y : float64 array, shape (m,)
        Nodes, px from the middle of the pixel.
    weight : float64 array, shape (m,)
        In all 1.
    """

    x: FloatArray
    y: FloatArray
    weight: FloatArray

    def __post_init__(self) -> None:
        hold_read_only(self, "x", "y", "weight")


def nodes_for(fwhm_px: float, *, elliptical: bool) -> int:
    """Return the nodes to integrate stars of about this width with: 49 for the sharpest."""
    enough = (n for n in NARROWEST if fwhm_px >= _MARGIN * narrowest(n, elliptical=elliptical))
    return next(enough, max(NARROWEST))


def narrowest(nodes: int, *, elliptical: bool) -> float:
    """Return the smallest FWHM [px] for which `nodes` integrate to 1e-4 of the peak.

    Raises
    ------
    ConfigError
        There is no rule of as many.
    """
    if nodes not in NARROWEST:
        known = ", ".join(map(str, NARROWEST))
        raise ConfigError(f"profile: {nodes} nodes in a pixel, wanted one of {known}")
    return NARROWEST[nodes] / (_SHORT_AXIS if elliptical else 1)


def pixel_rule(nodes: int) -> PixelRule:
    """Return the rule of as many nodes, one of `NARROWEST`."""
    if nodes == 5:
        return _symmetric(2 / 7, [], [(math.sqrt(7 / 60), 5 / 28)])
    if nodes == 8:
        return _symmetric(
            0.0, [(math.sqrt(7 / 15) / 2, 10 / 49)], [(math.sqrt(7 / 9) / 2, 9 / 196)]
        )
    if nodes == 12:
        root = 3 * math.sqrt(583)
        inner, outer = ((114 + sign * root) / 287 for sign in (-1, 1))
        # The weights that make degrees 0 and 2 right beside those on the axes.
        on_axes = 49 / 810
        total, second = 1 / 4 - on_axes, 1 / 12 - on_axes * (6 / 7) / 2
        at_outer = (second - total * inner) / (outer - inner)
        return _symmetric(
            0.0,
            [(math.sqrt(6 / 7) / 2, on_axes)],
            [
                (math.sqrt(inner) / 2, total - at_outer),
                (math.sqrt(outer) / 2, at_outer),
            ],
        )
    place, weight = leggauss(math.isqrt(nodes))
    x, y = np.meshgrid(place / 2, place / 2)
    return PixelRule(x.ravel(), y.ravel(), np.outer(weight, weight).ravel() / 4)


def _symmetric(
    middle: float, axes: list[tuple[float, float]], diagonals: list[tuple[float, float]]
) -> PixelRule:
    """Return a rule from the weight of the middle, and distance and weight of fours of nodes."""
    nodes = [(0.0, 0.0, middle)] if middle else []
    for r, weight in axes:
        nodes += [(r, 0.0, weight), (-r, 0.0, weight), (0.0, r, weight), (0.0, -r, weight)]
    for r, weight in diagonals:
        nodes += [(r, r, weight), (r, -r, weight), (-r, r, weight), (-r, -r, weight)]
    return PixelRule(*np.array(nodes).T)
