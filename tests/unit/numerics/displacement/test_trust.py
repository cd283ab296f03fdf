"""A source loses its weight by degrees: where its pixels end, and where the mosaic's do."""

import numpy as np
import pytest
from displacement_scenes import AffineMap, catalog, reference_of, stars, view_of

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag as Flag
from alignsvc.numerics.displacement.circumstances import not_dominated
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.refine import TemplateFit

FITTED = CorrelationMeasurement(CORRELATORS.build("ncc", {}), TemplateFit())
FWHM = 4.0
SIDE = 96


def information(found):
    """What a fit may use of each source."""
    return np.where(found.flags == Flag.GOOD, 1 / found.own_covariance[:, 0], 0.0)


def star_at(x, y=48.0):
    at = Points(np.array([x]), np.array([y]))
    return at, stars((SIDE, SIDE), at, 1e4, FWHM)


def measured_at(x, mask=None, weight=8.0):
    at, image = star_at(x)
    view = view_of(image, mask=mask)
    return FITTED(view, reference_of(image, weight), catalog(at, FWHM))


def bad_column(column):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, column] = True
    return mask


def hole_from(column):
    weight = np.full((SIDE, SIDE), 8.0)
    weight[:, column:] = 0
    return weight


@pytest.mark.parametrize(
    ("around", "start"),
    [
        pytest.param({}, 2.0, id="chip's edge"),
        pytest.param({"mask": bad_column(42)}, 43.5, id="bad pixels"),
        pytest.param({"weight": hole_from(52)}, 45.5, id="hole of the template"),
    ],
)
def test_a_source_that_moves_a_hundredth_of_a_pixel_keeps_nearly_its_weight(around, start):
    """Else it comes and goes with each pass: a grid of 36 went to and fro by 0.005 px for ever."""
    steps = np.arange(start, start + 3.0, 0.1)
    kept = np.concatenate([information(measured_at(x, **around)) for x in steps])
    assert kept.min() == 0
    assert kept.max() > 0
    assert np.abs(np.diff(kept)).max() < 0.25 * kept.max()


def test_rows_of_pixels_that_come_and_go_at_an_edge_move_nothing():
    """The mosaic ends with the chip, 8 px from a star that is sharper than it shows.

    With an aperture cut off on one side it looks 2 mpx displaced, 4 with one row more.
    """
    at = Points(np.array([48.3]), np.array([SIDE - 9.0]))
    image = stars((SIDE, SIDE), at, 1e6, 4.6)
    found = []
    for phase in (0.4, 0.6):
        there = Points(at.x, at.y + phase)
        mosaic = stars((SIDE + 40, SIDE + 40), there, 1e6, 5.4)
        weight = np.full(mosaic.shape, 8.0)
        weight[int(np.ceil(SIDE + phase - 0.5)) :] = 0
        reference = reference_of(np.where(weight > 0, mosaic, 0), weight)
        view = view_of(image, AffineMap(np.eye(2), (0.0, phase)))
        found.append(FITTED(view, reference, catalog(there, 5.0, radius=14.0)).dy[0])
    assert np.abs(found).max() < 1.6e-3
    assert np.ptp(found) < 0.6e-3


def test_the_share_of_the_mosaic_takes_weight_by_degrees():
    judged = not_dominated(np.array([0.5, 0.91, 0.935, 0.949, 0.951, np.nan]))
    assert judged.trust[:2] == pytest.approx(1)
    assert judged.trust[2] == pytest.approx(0.5)
    assert 0 < judged.trust[3] < 0.05
    assert judged.trust[4] == 0
    assert (judged.flags != 0).tolist() == [False] * 4 + [True, False]
