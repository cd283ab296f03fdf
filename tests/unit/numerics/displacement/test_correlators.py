"""The laws of the family: every registered correlator obeys them, present and future."""

import numpy as np
import pytest
from displacement_scenes import gaussian, stars

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.pair import PairCorrelation
from alignsvc.numerics.displacement.splines.spline import PHASES, REACH, TemplateSpline
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack
from alignsvc.numerics.displacement.windows.templates import SplineStack

SIDE, LAG = 28, 4
NORMALISED = ("ncc", "zncc")


@pytest.fixture(params=CORRELATORS.names())
def correlator(request):
    return CORRELATORS.build(request.param, {})


def frame(dx=0.0, dy=0.0, side=SIDE):
    """A star beside a fainter one, so that no symmetry hides a mistake."""
    middle = 0.5 * (side - 1)
    at = Points(np.array([middle + dx, middle + 3 + dx]), np.array([middle + dy, middle - 2 + dy]))
    return stars((side, side), at, np.array([1000.0, 400.0]), 3.5, gaussian).astype(np.float32)


def stack(values, good=None):
    frames = np.asarray(values, np.float32)[None]
    whole = np.ones(frames.shape[:1] + frames.shape[-2:], bool)
    return MaskedStack(frames, whole if good is None else good[None])


def blots(dx=0.0, dy=0.0, side=SIDE + 2 * LAG):
    """A blot at p + phase shows a star at its place minus the phase."""
    return np.stack([frame(dx - px, dy - py, side) for px, py in zip(*PHASES, strict=True)])


def test_identical_frames_peak_at_the_centre(correlator):
    score = correlator(stack(frame()), stack(frame()[None]), LAG)[0, 0]
    assert np.unravel_index(score.argmax(), score.shape) == (LAG, LAG)


@pytest.mark.parametrize("name", NORMALISED)
def test_identical_frames_score_one(name):
    score = CORRELATORS.build(name, {})(stack(frame()), stack(frame()[None] * 7), LAG)[0, 0]
    assert score[LAG, LAG] == pytest.approx(1, abs=1e-5)
    assert score.max() <= 1 + 1e-5


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2), (-1.7, 2.4), (2.5, 0.5)])
def test_a_known_shift_comes_back(correlator, shift):
    found = PairCorrelation(correlator, LAG)(frame(), blots(*shift))
    assert found.flags == DisplacementFlag.GOOD
    assert (found.dx, found.dy) == pytest.approx(shift, abs=1e-3)


def test_swapping_the_frames_negates_the_lag(correlator):
    one, other = frame(0.4, -1.1), frame(-0.6, 0.8)
    forth = correlator(stack(one), stack(other[None]), LAG)
    back = correlator(stack(other), stack(one[None]), LAG)
    np.testing.assert_allclose(forth, back[..., ::-1, ::-1], atol=2e-5)


def test_the_value_of_a_masked_pixel_changes_nothing(correlator):
    image, template = frame(), blots(0.2, 0.1)
    image_good, template_good = np.ones(image.shape, bool), np.ones(template.shape[1:], bool)
    image_good[12, 15], template_good[20, 21] = False, False
    before = correlator(stack(image, image_good), stack(template, template_good), LAG)
    image[12, 15], template[:, 20, 21] = 1e6, -1e6
    after = correlator(stack(image, image_good), stack(template, template_good), LAG)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("lag", [LAG, 16])
def test_blots_of_splines_score_as_the_same_blots_given_as_frames(correlator, lag):
    """Whole templates and one with holes; lags that are summed, and so many that FFTs do it."""
    rng, across = np.random.default_rng(3), SIDE + 2 * lag
    template_good = np.ones((2, across, across), bool)
    template_good[1] = rng.random((across, across)) < 0.9
    wider = rng.normal(size=(2, across + 2 * REACH, across + 2 * REACH)).astype(np.float32)
    splines = SplineStack(TemplateSpline(wider), template_good)
    image_good = rng.random((2, SIDE, SIDE)) < 0.95
    pixels = rng.normal(size=image_good.shape).astype(np.float32)
    image = MaskedStack(pixels, image_good)

    given = correlator(image, MaskedStack(splines.values, template_good), lag)

    np.testing.assert_allclose(correlator(image, splines, lag), given, atol=2e-5)


def test_inputs_are_left_as_they_were(correlator):
    image, template = stack(frame()), stack(blots())
    copies = image.values.copy(), template.values.copy()
    for array in (image.values, image.good, template.values, template.good):
        array.flags.writeable = False
    correlator(image, template, LAG)
    np.testing.assert_array_equal(image.values, copies[0])
    np.testing.assert_array_equal(template.values, copies[1])


def test_an_empty_frame_scores_nothing_and_has_no_peak(correlator):
    found = PairCorrelation(correlator, LAG)(np.zeros((SIDE, SIDE)), blots())
    assert found.flags != DisplacementFlag.GOOD
    assert np.isnan(found.dx)


@pytest.mark.parametrize("name", NORMALISED)
def test_masks_near_the_core_move_no_noise_free_peak(name):
    """A plain sum over good pixels is drawn to the side: true normalisation is not."""
    image, mask = frame(), np.zeros((SIDE, SIDE), bool)
    mask[13:17, 16:19] = True
    found = PairCorrelation(CORRELATORS.build(name, {}), LAG)(image, blots(0.3, 0.2), mask)
    assert (found.dx, found.dy) == pytest.approx((0.3, 0.2), abs=0.01)
    plain = PairCorrelation(CORRELATORS.build("cc", {}), LAG)(image, blots(0.3, 0.2), mask)
    assert abs(plain.dx - 0.3) > 0.05


def test_zncc_does_not_see_a_background():
    zncc = PairCorrelation(CORRELATORS.build("zncc", {}), LAG)
    clean = zncc(frame(), blots(0.3, -0.4))
    lifted = zncc(frame() + 500, blots(0.3, -0.4) - 80)
    assert (lifted.dx, lifted.dy) == pytest.approx((clean.dx, clean.dy), abs=1e-3)


@pytest.mark.parametrize("side", [12, 16, 24])
def test_zncc_is_not_biased_by_a_small_box(side):
    """Subtracting one mean and padding with zeros biases by 0.014 px in 3.8 FWHM (and here)."""
    middle = 0.5 * (side - 1)

    def star(dx, size):
        place = np.array([0.5 * (size - 1) + dx])
        return stars((size, size), Points(place, place), 1.0, 3.5, gaussian)

    phases = zip(*PHASES, strict=True)
    template = np.stack([star(0.0, side + 2 * LAG)] * 4)
    template = np.stack(
        [
            stars(
                template.shape[1:],
                Points(np.array([middle + LAG - px]), np.array([middle + LAG - py])),
                1.0,
                3.5,
                gaussian,
            )
            for px, py in phases
        ]
    )
    found = PairCorrelation(CORRELATORS.build("zncc", {}), LAG)(star(-0.25, side), template)
    assert found.dx == pytest.approx(0.25, abs=5e-4)


def test_a_peak_beyond_the_search_is_an_edge_and_not_a_number(correlator):
    found = PairCorrelation(correlator, LAG)(frame(), blots(4.6, 0.0))
    assert found.flags == DisplacementFlag.PEAK_AT_EDGE
    assert np.isnan(found.dx)
    assert np.isnan(found.dy)


def test_a_quadratic_peak_has_the_bias_that_the_quartic_has_not():
    ncc = CORRELATORS.build("ncc", {})
    quadratic, quartic = (
        PairCorrelation(ncc, LAG, PolynomialPeak(5, degree))(frame(), blots(0.2, 0.0))
        for degree in (2, 4)
    )
    assert abs(quadratic.dx - 0.2) > 1.5e-3
    assert abs(quartic.dx - 0.2) < 5e-4


@pytest.mark.parametrize("degree", [2, 4])
def test_the_peak_of_a_polynomial_is_its_maximum_to_rounding(degree):
    y, x = np.mgrid[-6:7, -6:7].astype(float)
    u, v = x - 2.3, y + 0.8
    surface = 5 - 0.9 * u**2 - 1.3 * v**2 + 0.4 * u * v
    if degree == 4:
        surface -= 0.02 * (u**4 + 2 * v**4 + u**3 * v) + 0.01 * u**2 * v
    peaks = PolynomialPeak(5, degree)(surface.astype(np.float32)[None], spacing_px=1.0)
    assert peaks.flags[0] == DisplacementFlag.GOOD
    assert (peaks.dx[0], peaks.dy[0]) == pytest.approx((2.3, -0.8), abs=1e-5)
    assert peaks.height[0] == pytest.approx(5, abs=1e-5)


def test_a_peak_that_asks_for_more_than_its_samples_is_refused():
    with pytest.raises(ValueError, match="degree 4 on 3 samples"):
        PolynomialPeak(fit_side=3, degree=4)


def test_frames_of_odd_and_even_sides_cannot_lie_centre_on_centre(correlator):
    with pytest.raises(ValueError, match="same parity"):
        correlator(stack(frame()), stack(frame(side=SIDE + 1)[None]), LAG)
