"""The instruments of faint templates: a Gaussian, and what noise leaves of the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import random_phases

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.information import Equations
from alignsvc.numerics.displacement.fitting.instruments import FaintInstruments
from alignsvc.numerics.displacement.fitting.outset import Outset
from alignsvc.numerics.displacement.splines.gaussians import fill_gaussian, wider
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel

SIDE, MARGIN = 22, 6
#: Of a Gaussian that is no circle and lies askew, px and px^2.
CENTRE, COVARIANCE = (0.3, -0.2), (5.0, 1.2, 3.5)


def gaussian(add: float = 0.0) -> np.ndarray:
    """An elliptical Gaussian of flux 100 about the template's middle plus `CENTRE`."""
    side = SIDE + 2 * MARGIN
    x, y = 0.5 * (side - 1) + np.array(CENTRE)
    xx, xy, yy = COVARIANCE
    profile = np.empty((1, side, side), np.float32)
    fill_gaussian(wider((x, y, xx, xy, yy), add), profile[0])
    return 100 * profile


def equations_of(template: np.ndarray, smoothing_px: float) -> Equations:
    """Equations of one pair with a given template, its noise far below it."""
    one, margin = np.ones((1, SIDE, SIDE), np.float32), 2 * MARGIN
    spline = TemplateSpline.through(template.astype(np.float32))
    middle = np.full(1, 0.5 * (SIDE - 1))
    pairs = PairStack(
        pixels=one,
        weight=one,
        good=one > 0,
        spline=spline,
        template_good=np.ones((1, SIDE + margin, SIDE + margin), bool),
        template_variance=1e-8 * one,
        texture=random_phases(1),
        share=0.1 * one,
        centre=Points(middle, middle),
        whole=Points(np.zeros(1), np.zeros(1)),
        aperture_px=np.full(1, 9.0),
        gain=None,
    )
    sigma = np.full(1, smoothing_px)
    factors = random_phases(1).factors(sigma, MatchingKernel(), Points(np.zeros(1), np.zeros(1)))
    return Equations.of(pairs, spline.smoothed(sigma), one, factors)


def exchanged(equations: Equations, smoothing_px: float, slope_noise: float) -> Equations:
    """Equations with instruments for templates with so much noise."""
    start = Points(np.zeros(1), np.zeros(1))
    outset = Outset.of(equations.pairs, equations.weight, start)
    outset = replace(outset, slope_noise=np.full(1, slope_noise))
    return FaintInstruments()(equations, np.full(1, smoothing_px), outset, start)


def seen(spline: TemplateSpline) -> np.ndarray:
    return spline.shifted(Points(np.zeros(1), np.zeros(1)), SIDE).value[0]


def test_a_profile_holds_its_light_and_has_its_covariance() -> None:
    profile = gaussian()[0] / 100
    step = np.arange(len(profile)) - 0.5 * (len(profile) - 1)
    x, y = step - CENTRE[0], (step - CENTRE[1])[:, None]
    assert profile.sum() == pytest.approx(1.0, abs=1e-4)
    moments = [(profile * product).sum() for product in (x**2, x * y, y**2)]
    np.testing.assert_allclose(moments, COVARIANCE, rtol=2e-3)


@pytest.mark.parametrize("slope_noise", [0.1, 1.0, 10.0])
def test_what_is_a_gaussian_comes_out_of_the_smoothing_as_it_was(slope_noise: float) -> None:
    equations = equations_of(gaussian(), 1.2)
    found = exchanged(equations, 1.2, slope_noise)
    assert np.abs(seen(equations.instrument) - gaussian_seen()).max() > 0.5  # smoothed
    np.testing.assert_allclose(seen(found.instrument), gaussian_seen(), atol=0.03)


def gaussian_seen() -> np.ndarray:
    return gaussian()[0, MARGIN:-MARGIN, MARGIN:-MARGIN]


def test_a_bright_template_stays_what_it_is() -> None:
    equations = equations_of(gaussian(), 0.4)
    assert exchanged(equations, 0.4, 0.009) is equations


def test_what_a_template_has_beyond_the_gaussian_goes_with_its_noise() -> None:
    lopsided = gaussian() + 0.3 * np.roll(gaussian(), 4, axis=2)
    equations = equations_of(lopsided, 1.0)
    beyond = []
    for slope_noise in (0.05, 0.3, 3.0):
        found = exchanged(equations, 1.0, slope_noise)
        value = seen(found.instrument)
        beyond.append(np.abs(value - value[::-1, ::-1]).sum())
        kept = 0.3 / (slope_noise + 0.3)
        np.testing.assert_allclose(found.factors.slope, kept * equations.factors.slope)
    assert beyond[0] > beyond[1] > beyond[2]


def test_a_template_without_light_has_no_gaussian() -> None:
    equations = equations_of(-gaussian(), 1.0)
    found = exchanged(equations, 1.0, 1.0)
    np.testing.assert_array_equal(found.instrument.coefficients, equations.instrument.coefficients)


def test_the_width_of_a_template_that_is_all_noise_comes_from_its_aperture() -> None:
    """1.8 FWHM of a Gaussian are 4.2 of its sigma; the template's slopes would say 1 px."""
    noise = np.random.default_rng(3).normal(0, 1, gaussian().shape)
    equations = equations_of(0.02 * gaussian() + noise, 0.0)
    pairs = replace(equations.pairs, template_variance=np.ones((1, SIDE, SIDE), np.float32))
    outset = Outset.of(pairs, equations.weight, Points(np.zeros(1), np.zeros(1)))
    assert 0.5 * 9 / 4 < outset.width_px[0] <= 2 * 9 / 4
