"""Sources placed by a profile that the chip's own stars have taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.star_fit import ExpectedStep, StarFit, StarStack
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile, ProfileFromStars
from alignsvc.numerics.models.on_chip.model_on_chip import inflated
from alignsvc.numerics.models.on_chip.model_stars import ModelStars
from alignsvc.numerics.models.on_chip.neighbours import Neighbours
from alignsvc.numerics.models.on_chip.source_profiles import SourceProfiles
from alignsvc.numerics.models.profiles.gaussian import Gaussian
from alignsvc.numerics.models.profiles.moffat import Moffat
from alignsvc.numerics.resampling.calibrate import CalibratedChip

SIDE = 21
MIDDLE = SIDE // 2
FWHM_PX = 4.0
MOFFAT = ChipProfile(
    Moffat(elliptical=True, nodes=12), np.array([np.log(FWHM_PX), 0.04, -0.03, 0.3])
)
SKY_SIGMA = 10.0


def places(n: int, seed: int = 1) -> Points:
    """Places at all phases of the pixel."""
    off = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, n))
    return Points(MIDDLE + off[0], MIDDLE + off[1])


def stack_of(light: np.ndarray, at: Points, seed: int | None = None) -> StarStack:
    """Stars on a sky of noise (None: of none), seen through an aperture of 1.8 FWHM."""
    step = np.arange(light.shape[-1])
    distance = np.hypot((step - at.x[:, None])[:, None, :], (step - at.y[:, None])[:, :, None])
    depth = np.clip(0.5 * (1.8 * FWHM_PX - distance) + 0.5, 0, 1)
    noise = 0.0
    if seed is not None:
        noise = np.random.default_rng(seed).normal(0, SKY_SIGMA, light.shape)
    weight = np.full(light.shape, SKY_SIGMA**-2, np.float32)
    window = (depth**2 * (3 - 2 * depth)).astype(np.float32)
    return StarStack((light + noise).astype(np.float32), weight, window, None)


def stars_of(profile: ChipProfile, at: Points, flux: float) -> np.ndarray:
    return flux * profile.at(at, SIDE).value


def other_than(family: str, fwhm_px: float) -> ChipProfile:
    """Gaussian stars instead of Moffat's, or the other way round."""
    profile = Gaussian(True, 25) if family == "moffat" else Moffat(True, 25)
    shape = [np.log(fwhm_px), 0.0, 0.0, 0.3][: len(profile.parameters)]
    return ChipProfile(profile, np.array(shape))


def known(stack: StarStack, at: Points) -> KnownStars:
    rng = np.random.default_rng(3)
    begin = Points(*(one + rng.normal(0, 0.1, len(one)) for one in (at.x, at.y)))
    return KnownStars(stack, begin, at, Points(100.0 * np.arange(len(at.x)), at.y))


def bias_mpx(profile: ChipProfile, truth: ChipProfile) -> float:
    """rms error of places along an axis, over all phases and without noise, px / 1000."""
    at = places(100, seed=9)
    fitted = StarFit()(profile, stack_of(stars_of(truth, at, 1e4), at), at)
    return float(
        1e3 * np.sqrt(np.mean((fitted.place.x - at.x) ** 2 + (fitted.place.y - at.y) ** 2))
    )


class TestTheProfileOfAChip:
    def test_stars_without_noise_give_their_own_profile_and_places_without_bias(self) -> None:
        at = places(12)
        profile = ProfileFromStars()([known(stack_of(stars_of(MOFFAT, at, 1e5), at), at)], 5.0)
        assert profile is not None
        np.testing.assert_allclose(profile.shape, MOFFAT.shape, atol=2e-3)
        assert bias_mpx(profile, MOFFAT) < 0.1

    @pytest.mark.parametrize(("family", "fwhm_px"), [("moffat", 2.0), ("gaussian", 3.0)])
    def test_a_wrong_profile_moves_stars_by_less_than_two_thousandths_of_a_pixel(
        self, family: str, fwhm_px: float
    ) -> None:
        """A free width makes up for it: of stars that are known as what they are not."""
        truth = other_than(family, fwhm_px)
        at = places(12)
        stack = stack_of(stars_of(truth, at, 1e5), at)
        profile = ProfileFromStars((family,))([known(stack, at)], fwhm_px)
        assert profile is not None
        assert bias_mpx(profile, truth) < 2.0

    def test_chi2_tells_a_wrong_profile_where_it_moves_stars_by_more(self) -> None:
        """Moffat stars of FWHM 2 px as Gaussians: 2.5 mpx."""
        truth = other_than("gaussian", 2.0)
        at = places(12)
        stack = stack_of(stars_of(truth, at, 1e5), at, seed=8)
        profile = ProfileFromStars(("gaussian",))([known(stack, at)], 2.0)
        assert profile is not None
        assert bias_mpx(profile, truth) > 2.0
        fitted = StarFit()(profile, stack, at)
        growth = inflated(profile, stack, fitted).covariance / fitted.covariance
        assert growth[:, 0, 0].min() > 3.0

    def test_the_stars_choose_among_families(self) -> None:
        at = places(12)
        gaussian = ChipProfile(Gaussian(True, 12), np.array([np.log(FWHM_PX), 0.0, 0.0]))
        for truth in (gaussian, MOFFAT):
            stack = stack_of(stars_of(truth, at, 1e5), at, seed=5)
            found = ProfileFromStars(("moffat", "gaussian"))([known(stack, at)], 4.5)
            assert found is not None
            assert type(found.profile) is type(truth.profile)

    def test_a_double_star_does_not_count(self) -> None:
        at = places(12)
        light = stars_of(MOFFAT, at, 1e5)
        light[0] += stars_of(MOFFAT, Points(at.x + 4.0, at.y), 5e4)[0]
        profile = ProfileFromStars()([known(stack_of(light, at, seed=4), at)], 5.0)
        assert profile is not None
        np.testing.assert_allclose(profile.shape, MOFFAT.shape, atol=0.02)

    def test_too_few_stars_give_none(self) -> None:
        at = places(2)
        assert ProfileFromStars()([known(stack_of(stars_of(MOFFAT, at, 1e5), at), at)], 5.0) is None
        assert ProfileFromStars()([], 5.0) is None


class TestPlacesAndTheirErrors:
    @pytest.mark.parametrize("flux", [1500.0, 400.0], ids=["S/N 20", "S/N 5"])
    def test_one_step_with_the_expected_flux_errs_as_it_says(self, flux: float) -> None:
        at = places(1500, seed=2)
        stack = stack_of(stars_of(MOFFAT, at, flux), at, seed=6)
        begin = Points(at.x + 0.1, at.y - 0.1)
        found = ExpectedStep()(MOFFAT, stack, begin, np.full(1500, flux))
        assert found.found.mean() > 0.99
        sigma = np.sqrt(found.covariance[:, 0, 0])
        pull = ((found.place.x - at.x) / sigma)[found.found]
        assert abs(pull.mean()) < 0.12
        assert 0.92 < pull.std() < 1.08

    def test_nothing_has_a_place_where_no_flux_is_expected(self) -> None:
        at = places(3)
        stack = stack_of(stars_of(MOFFAT, at, 1e4), at)
        found = ExpectedStep()(MOFFAT, stack, at, np.array([1e4, 0.0, -5.0])).found
        assert found.tolist() == [True, False, False]

    def test_errors_grow_with_light_that_the_model_does_not_know_and_not_with_noise(self) -> None:
        at = places(300)
        light = stars_of(MOFFAT, at, 2e4)
        light[:50] += stars_of(MOFFAT, Points(at.x + 3.0, at.y), 4e3)[:50]
        stack = stack_of(light, at, seed=7)
        fitted = StarFit()(MOFFAT, stack, at)
        growth = (inflated(MOFFAT, stack, fitted).covariance / fitted.covariance)[:, 0, 0]
        assert (growth[:50] > 1.5).all()
        assert (growth[50:] == 1).mean() > 0.98
        assert growth[50:].max() < 1.5


def chip_of(pixels: np.ndarray) -> CalibratedChip:
    weight = np.full(pixels.shape, SKY_SIGMA**-2, np.float32)
    none = np.zeros(pixels.shape, bool)
    return CalibratedChip("chip", pixels.astype(np.float32), weight, none, none, None)


def test_what_neighbours_leave_in_a_window_is_what_a_source_has_alone() -> None:
    x, y = np.array([20.3, 26.1, 41.0, 2.2]), np.array([20.1, 23.7, 40.4, 30.6])
    flux = np.array([1e4, 3e4, 2e4, 1e4])
    each = [
        f * MOFFAT.profile(Places(np.array([a]), np.array([b]), 64), MOFFAT.shape).value[0]
        for f, a, b in zip(flux, x, y, strict=True)
    ]
    chip = chip_of(np.sum(each, axis=0))
    one = np.ones(4)
    targets = Targets(np.array([4, 2, 9, 5]), Points(x, y), 4 * one, 8 * one, 99 * one, one)
    found = Neighbours.of(SourceProfiles.stars(MOFFAT, 4), chip, targets, FWHM_PX)
    np.testing.assert_allclose(found.flux, flux[[1, 0, 3, 2]], rtol=0.01)
    corner = 12
    place = Points(x[:1] - corner, y[:1] - corner)
    light = found.around(np.array([4]), place, SIDE)[0]
    wanted = np.sum(each[1:], axis=0)[corner : corner + SIDE, corner : corner + SIDE]
    np.testing.assert_allclose(light, wanted, atol=0.01 * each[1].max())


def test_saturated_and_wide_sources_are_no_calibrators() -> None:
    n = 12
    one, whole = np.ones(n), np.zeros(n, np.int64)
    fwhm, flags = 4 * one, whole.copy()
    fwhm[0], flags[1] = 9.0, int(SourceFlag.SATURATED)
    snr = np.full(n, 100.0)
    snr[2] = 15.0
    catalog = SourceCatalog(
        id=np.arange(n), component=whole, x=one, y=one, ra=one, dec=one, flux=one, flux_error=one,
        snr=snr, fwhm=fwhm, a=one, b=one, theta=one, peak=one, area=whole, radius=one, weight=one,
        flags=flags,
    )  # fmt: skip
    chosen = ModelStars().among(catalog, 2.0)
    assert chosen is not None
    assert chosen.calibrators.tolist() == list(range(3, n))
    assert chosen.fwhm_px == 2.0
    assert ModelStars().among(replace(catalog, snr=one), 2.0) is None
    # One that is given alone is what it is among all.
    told = ModelStars().told_by(catalog)
    for one_of_them in range(n):
        found = told.among(catalog.select(np.array([one_of_them])), 2.0)
        assert found is not None
        assert found.calibrators.tolist() == ([one_of_them] if one_of_them > 2 else [])
        assert (found.fwhm_px, found.spread_px) == (chosen.fwhm_px, chosen.spread_px)
    assert ModelStars().told_by(replace(catalog, snr=one)).among(catalog, 2.0) is None
