"""Windowed centroids where there is nothing to be found."""

from __future__ import annotations

import numpy as np
import pytest
from displacement_scenes import random_phases

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.centroids import WindowedCentroids
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.pairs import PairStack

SIDE, MARGIN = 22, 6


def pair_of_stars(centre_px: float) -> PairStack:
    """A star in the middle of a cutout and of its template, sought about a place."""
    step = np.arange(SIDE + 2 * MARGIN) - 0.5 * (SIDE + 2 * MARGIN - 1)
    star = 100 * np.exp(-0.25 * (step**2 + step[:, None] ** 2))[None].astype(np.float32)
    one = np.ones((1, SIDE, SIDE), np.float32)
    middle = np.full(1, centre_px)
    return PairStack(
        pixels=star[:, MARGIN:-MARGIN, MARGIN:-MARGIN],
        weight=one,
        good=one > 0,
        spline=TemplateSpline.through(star),
        template_good=np.ones(star.shape, bool),
        template_variance=1e-8 * one,
        texture=random_phases(1),
        share=0.1 * one,
        centre=Points(middle, middle),
        whole=Points(np.zeros(1), np.zeros(1)),
        aperture_px=np.full(1, 9.0),
        gain=None,
    )


def test_a_source_sought_outside_of_its_cutout_is_not_found_and_nothing_is_warned_of() -> None:
    """A smeared first mosaic sends the search there."""
    still = Points(np.zeros(1), np.zeros(1))
    found = WindowedCentroids()(pair_of_stars(0.5 * (SIDE - 1)), still)
    assert abs(found.dx[0]) < 1e-3
    assert found.information.share[0] == pytest.approx(0.1)
    lost = WindowedCentroids()(pair_of_stars(-400.0), still)
    assert np.isnan(lost.dx[0])
    assert np.isnan(lost.information.share[0])
