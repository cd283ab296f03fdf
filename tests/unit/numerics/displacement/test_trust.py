"""A source loses its weight by degrees: where its pixels end, and where the mosaic's do."""

import numpy as np
import pytest
from displacement_scenes import AffineMap, catalog, reference_of, stars, view_of

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag as Flag
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.windows.circumstances import Found, not_another, not_dominated

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


def found_among_nine(dx, flux):
    """Nine sources where they should be, and one that was found elsewhere, at (dx, 0)."""
    nine, one = np.zeros(9), np.ones(9)
    weight = np.ones(10)
    return Found(np.append(nine, dx), np.zeros(10), np.append(one, flux), weight)


def test_a_source_found_far_off_with_little_of_its_flux_is_another():
    judged = not_another(found_among_nine(6.0, 0.3), np.full(10, FWHM))
    assert judged.flags.tolist() == [0] * 9 + [int(Flag.OTHER_SOURCE)]
    assert judged.trust.tolist() == [1.0] * 9 + [0.0]


@pytest.mark.parametrize(("dx", "flux"), [(6.0, 0.9), (0.3, 0.3), (6.0, 3.0)])
def test_neither_colour_nor_distance_alone_makes_another_source(dx, flux):
    judged = not_another(found_among_nine(dx, flux), np.full(10, FWHM))
    assert judged.trust.tolist() == [1.0] * 10


def test_what_all_are_off_by_and_all_lack_is_the_exposures_own():
    all_off = Found(np.full(10, 6.0), np.zeros(10), np.full(10, 0.2), np.ones(10))
    assert not not_another(all_off, np.full(10, FWHM)).flags.any()


@pytest.mark.parametrize("axis", ["dx", "flux"])
def test_trust_in_what_was_found_falls_without_an_edge(axis):
    way = np.linspace(0.0, 6.0, 2000) if axis == "dx" else np.linspace(0.1, 1.0, 2000)
    trust = [
        not_another(
            found_among_nine(*((at, 0.3) if axis == "dx" else (6.0, at))), np.full(10, FWHM)
        ).trust[-1]
        for at in way
    ]
    assert {trust[0], trust[-1]} == {0.0, 1.0}
    assert np.abs(np.diff(trust)).max() < 0.01


def test_a_chip_without_sources_is_no_mistake():
    none = np.zeros(0)
    assert not len(not_another(Found(none, none, none, none), none).flags)
