"""Sources whose cores overlap are fitted together, and unknown companions with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.star_fit import StarStack
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.close_sources import (
    CloseSources,
    PlacedTogether,
    SkyOfChip,
    SourcesOnChip,
)
from alignsvc.numerics.models.on_chip.companions import CompanionSearch
from alignsvc.numerics.models.on_chip.group_fit import FittedGroups, GroupFit, StarGroups
from alignsvc.numerics.models.on_chip.neighbours import Neighbours
from alignsvc.numerics.models.on_chip.source_profiles import Companions, SourceProfiles
from alignsvc.numerics.models.profiles.gaussian import Gaussian
from alignsvc.numerics.models.profiles.moffat import Moffat
from alignsvc.numerics.resampling.calibrate import CalibratedChip

SIDE = 25
FWHM_PX = 4.0
SKY_SIGMA = 10.0
MOFFAT = ChipProfile(
    Moffat(elliptical=True, nodes=12), np.array([np.log(FWHM_PX), 0.04, -0.03, 0.3])
)


def pairs_of_stars(
    n: int, apart_px: float, flux: tuple[float, float], seed: int, *, noise: bool = True
) -> StarGroups:
    """Windows about two stars each, at all phases of the pixel and in all directions."""
    rng = np.random.default_rng(seed)
    x, y = 12 + rng.uniform(-0.5, 0.5, (2, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    place = Points(
        np.stack([x, x + apart_px * np.cos(angle)], axis=1),
        np.stack([y, y + apart_px * np.sin(angle)], axis=1),
    )
    light = sum(
        f * MOFFAT.at(Points(place.x[:, k], place.y[:, k]), SIDE).value for k, f in enumerate(flux)
    )
    if noise:
        light = light + rng.normal(0, SKY_SIGMA, light.shape)
    weight = np.full(light.shape, SKY_SIGMA**-2, np.float32)
    stack = StarStack(light.astype(np.float32), weight, np.ones_like(weight), None)
    expected = np.broadcast_to(np.array(flux), (n, 2)).copy()
    own = np.zeros((n, 2), np.int64)
    return StarGroups(stack, place, expected, np.zeros(n, bool), 0.25 * FWHM_PX, own)


def from_elsewhere(groups: StarGroups, off_px: float) -> StarGroups:
    """The same windows, but the fit begins off the truth."""
    x, y = groups.place.x + off_px, groups.place.y - off_px
    return replace(groups, place=Points(x, y))


def pulls(fitted: FittedGroups, truth: Points) -> np.ndarray:
    """Errors of the first stars' places in their stated errors, both axes: unit normal."""
    first = fitted.first
    error = np.stack([first.place.x - truth.x[:, 0], first.place.y - truth.y[:, 0]], axis=1)
    lower = np.linalg.cholesky(first.covariance)
    return np.linalg.solve(lower, error[:, :, None]).ravel()


class TestStarsFittedTogether:
    @pytest.mark.parametrize("apart_fwhm", [0.4, 1.0, 2.0])
    def test_without_noise_they_are_where_they_are(self, apart_fwhm: float) -> None:
        groups = pairs_of_stars(10, apart_fwhm * FWHM_PX, (2e4, 1e4), seed=1, noise=False)
        fitted = GroupFit()(MOFFAT, from_elsewhere(groups, 0.15))
        np.testing.assert_allclose(fitted.first.place.x, groups.place.x[:, 0], atol=5e-3)
        np.testing.assert_allclose(fitted.first.place.y, groups.place.y[:, 0], atol=5e-3)
        np.testing.assert_allclose(fitted.flux[:, 0], 2e4, rtol=0.02)

    def test_two_others_at_one_place_have_no_answer_and_stop_no_other_window(self) -> None:
        """What cannot be told apart is not: of three stars two coincide in the first windows."""
        pairs = pairs_of_stars(8, FWHM_PX, (2e4, 1e4), seed=3)
        x, y = (np.concatenate([axis, axis[:, 1:]], axis=1) for axis in pairs.place)
        x[4:, 2] += 2 * FWHM_PX
        flux = np.concatenate([pairs.flux, pairs.flux[:, 1:]], axis=1)
        own = np.zeros((8, 3), np.int64)
        groups = StarGroups(pairs.stack, Points(x, y), flux, pairs.is_faint, 1e9, own)
        found = GroupFit()(MOFFAT, groups).first.found
        assert not found[:4].any()
        assert found[4:].any()

    @pytest.mark.parametrize("flux", [(2e4, 1e4), (5e3, 2e4)], ids=["the brighter", "the fainter"])
    def test_errors_are_as_stated_one_width_apart(self, flux: tuple[float, float]) -> None:
        groups = pairs_of_stars(200, FWHM_PX, flux, seed=2)
        found = pulls(GroupFit()(MOFFAT, groups), groups.place)
        assert abs(found.mean()) < 0.16
        assert 0.9 < found.std() < 1.1

    def test_what_is_not_known_of_the_other_makes_errors_larger(self) -> None:
        near, far = (pairs_of_stars(10, d * FWHM_PX, (2e4, 2e4), seed=3) for d in (0.7, 3.0))
        area = [np.linalg.det(GroupFit()(MOFFAT, g).first.covariance) ** 0.5 for g in (near, far)]
        assert (area[0] > 1.5 * area[1]).all()

    def test_a_faint_one_is_one_step_away_and_errs_as_stated(self) -> None:
        groups = pairs_of_stars(200, FWHM_PX, (800.0, 1e4), seed=4)
        begun = from_elsewhere(groups, 0.05)
        faint = replace(begun, is_faint=np.ones(200, bool))
        found = pulls(GroupFit()(MOFFAT, faint), groups.place)
        assert abs(found.mean()) < 0.16
        assert 0.9 < found.std() < 1.1


def chip_of(x: np.ndarray, y: np.ndarray, flux: np.ndarray, seed: int) -> CalibratedChip:
    light = sum(
        f * MOFFAT.profile(Places(np.array([a]), np.array([b]), 200), MOFFAT.shape).value[0]
        for a, b, f in zip(x, y, flux, strict=True)
    )
    pixels = light + np.random.default_rng(seed).normal(0, SKY_SIGMA, light.shape)
    weight = np.full(pixels.shape, SKY_SIGMA**-2, np.float32)
    none = np.zeros(pixels.shape, bool)
    return CalibratedChip("chip", pixels.astype(np.float32), weight, none, none, None)


def together(
    chip: CalibratedChip, x: np.ndarray, y: np.ndarray, flux: np.ndarray, order: np.ndarray
) -> PlacedTogether:
    """What becomes of the catalogue's sources, named in an order; rows by source."""
    n = len(x)
    one = np.ones(n)
    targets = Targets(np.arange(n), Points(x, y), 4 * one, 8 * one, 99 * one, one)
    stars = SourceProfiles.stars(MOFFAT, n)
    near = Neighbours.of(stars, chip, targets, FWHM_PX)
    sky = SkyOfChip.of(chip, near, (targets, Companions.none()), 2 * FWHM_PX)
    faint = flux[order] < 2e3
    sources = SourcesOnChip(order, flux[order], faint, np.full(n, 3 * FWHM_PX), (0.0, 0.0))
    found = CloseSources()(sky, sources, FWHM_PX)
    by_source = np.argsort(order[found.row])
    at = (found.off.x[by_source], found.off.y[by_source])
    return PlacedTogether(
        order[found.row][by_source],
        Points(*at),
        found.flux[by_source],
        found.background[by_source],
        found.covariance[by_source],
    )


class TestSourcesOfAChip:
    x = np.array([40.2, 44.1, 100.3, 150.8, 151.9, 155.6])
    y = np.array([40.1, 41.5, 99.6, 60.3, 64.2, 59.0])
    flux = np.array([3e4, 1e4, 5e4, 2e4, 1.5e3, 8e3])

    def test_those_that_overlap_are_found_by_the_catalogue(self) -> None:
        chip = chip_of(self.x, self.y, self.flux, seed=5)
        found = together(chip, self.x, self.y, self.flux, np.arange(6))
        assert found.row.tolist() == [0, 1, 3, 4, 5]
        sigma = np.sqrt(found.covariance[:, [0, 1], [0, 1]])
        assert (np.abs(np.stack(found.off, axis=1)) < 4 * sigma).all()

    def test_the_order_of_sources_changes_no_bit(self) -> None:
        chip = chip_of(self.x, self.y, self.flux, seed=6)
        one = together(chip, self.x, self.y, self.flux, np.arange(6))
        other = together(chip, self.x, self.y, self.flux, np.array([4, 2, 5, 0, 3, 1]))
        assert one.row.tolist() == other.row.tolist()
        np.testing.assert_array_equal(np.stack(one.off), np.stack(other.off))
        np.testing.assert_array_equal(one.covariance, other.covariance)


class TestTheSearchForCompanions:
    def searched(self, light: np.ndarray, seed: int) -> np.ndarray:
        """Fluxes of companions of stars whose light is given; NaN: none."""
        n = len(light)
        noise = np.random.default_rng(seed).normal(0, SKY_SIGMA, light.shape)
        weight = np.full(light.shape, SKY_SIGMA**-2, np.float32)
        stack = StarStack((light + noise).astype(np.float32), weight, np.ones_like(weight), None)
        middle = np.full((n, 1), 12.0)
        flux = light.sum(axis=(1, 2))[:, None].astype(float)
        own = np.zeros((n, 1), np.int64)
        groups = StarGroups(stack, Points(middle, middle), flux, np.zeros(n, bool), 1.0, own)
        return CompanionSearch()(MOFFAT, groups, GroupFit()(MOFFAT, groups), 2.8).flux

    def test_noise_is_no_companion(self) -> None:
        at = Points(np.full(50, 12.2), np.full(50, 11.7))
        assert np.isnan(self.searched(5e4 * MOFFAT.at(at, SIDE).value, seed=8)).all()

    def test_neither_is_what_a_wrong_profile_or_a_galaxy_leaves_on_both_sides(self) -> None:
        at = Points(np.full(10, 12.2), np.full(10, 11.7))
        gaussian = ChipProfile(Gaussian(True, 12), np.array([np.log(FWHM_PX), 0.0, 0.0]))
        drawn_out = ChipProfile(MOFFAT.profile, np.array([np.log(5.0), 0.3, 0.1, 0.3]))
        for profile in (gaussian, drawn_out):
            assert np.isnan(self.searched(5e4 * profile.at(at, SIDE).value, seed=9)).all()

    def test_a_companion_is_found_with_its_flux(self) -> None:
        at = Points(np.full(10, 12.2), np.full(10, 11.7))
        beside = Points(np.full(10, 18.0), np.full(10, 14.0))
        light = 5e4 * MOFFAT.at(at, SIDE).value + 2e3 * MOFFAT.at(beside, SIDE).value
        np.testing.assert_allclose(self.searched(light, seed=10), 2e3, rtol=0.3)
