"""The effective PSF of a chip: what it is, how it is found, and which sources it is fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import catalog

from alignsvc.domain.geometry import Points
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.stars.effective_psf import KNOTS, EffectivePsf
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars, PsfFromStars
from alignsvc.numerics.displacement.stars.sharp_stars import SharpStars, seen_by_others
from alignsvc.numerics.displacement.stars.star_fit import StarFit, StarStack
from alignsvc.simulation.profiles import GaussianMixture, moffat_mixture
from alignsvc.simulation.render import star_stamps

SIDE = 15
MIDDLE = SIDE // 2
SHARP_PX = 1.2


def places(n: int, seed: int = 1) -> Points:
    """Places at all phases of the pixel."""
    off = np.random.default_rng(seed).uniform(-0.5, 0.5, (2, n))
    return Points(MIDDLE + off[0], MIDDLE + off[1])


def stamped(profile: GaussianMixture, at: Points) -> np.ndarray:
    """Unit stars in windows that all begin at pixel 0."""
    stamps = star_stamps(profile, at, MIDDLE)
    moved = zip(stamps.values, stamps.row - MIDDLE, stamps.column - MIDDLE, strict=True)
    return np.array([np.roll(light, (y, x), axis=(0, 1)) for light, y, x in moved])


def moffat_stars(at: Points, fwhm: float = SHARP_PX) -> np.ndarray:
    return stamped(moffat_mixture(fwhm, 3.0), at)


def double_stars(at: Points, apart: float = 0.9) -> np.ndarray:
    """Two Gaussians side by side: point-symmetric, and no sum of Gaussians about the middle."""
    one = GaussianMixture(np.ones(1), np.array([0.45]))
    halves = [Points(at.x + s * apart, at.y + s * 0.3) for s in (-0.5, 0.5)]
    return 0.5 * sum(stamped(one, half) for half in halves)


def stack_of(light: np.ndarray, at: Points, electrons: float = 3e4) -> StarStack:
    step = np.arange(SIDE)
    distance = np.hypot((step - at.x[:, None])[:, None, :], (step - at.y[:, None])[:, :, None])
    depth = np.clip(0.5 * (5.0 - distance) + 0.5, 0, 1)
    window = (depth**2 * (3 - 2 * depth)).astype(np.float32)
    weight = np.full(light.shape, 0.01, np.float32)
    return StarStack((electrons * light).astype(np.float32), weight, window, 1.0)


def known(light: np.ndarray, at: Points, error_px: float = 0.005, off: float = 0.0) -> KnownStars:
    """Stars whose places others know to `error_px`, in a frame that is `off` by a shift."""
    rng, n = np.random.default_rng(2), len(at.x)
    error = rng.normal(0, error_px, (2, n))
    theirs = Points(at.x + error[0] + off, at.y + error[1] - off)
    begin = Points(at.x + rng.normal(0, 0.05, n), at.y + rng.normal(0, 0.05, n))
    on_chip = Points(rng.uniform(0, 700, n), rng.uniform(0, 700, n))
    return KnownStars(stack_of(light, begin), begin, theirs, on_chip)


def bias_mpx(psf: EffectivePsf, stars) -> float:
    """rms error of places over all phases, px / 1000, none of the stars a calibrator."""
    at = places(150, seed=9)
    fitted = StarFit()(psf, stack_of(stars(at), at), at)
    error = np.stack([fitted.place.x - at.x, fitted.place.y - at.y])
    return float(1e3 * np.sqrt(np.mean(error**2)))


class TestTheModel:
    PSF = EffectivePsf(
        np.array([0.4, 0.9]),
        np.array([[0.7, 0.3], [0.02, 0.01], [-0.03, 0.02]]),
        np.random.default_rng(3).normal(0, 0.01, (KNOTS, KNOTS)),
    )

    def test_a_star_of_unit_flux_gives_all_its_light_to_the_pixels(self) -> None:
        plain = replace(self.PSF, correction=np.zeros((KNOTS, KNOTS)))
        assert plain.at(places(3), SIDE).value.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-5)

    def test_gaussians_are_integrated_over_the_pixels(self) -> None:
        at, one = places(4), GaussianMixture(np.ones(1), np.array([0.5]))
        psf = EffectivePsf(np.array([0.5]), np.array([[1.0], [0], [0]]), np.zeros((KNOTS, KNOTS)))
        assert psf.at(at, SIDE).value == pytest.approx(stamped(one, at), abs=1e-6)

    @pytest.mark.parametrize("axis", ["x", "y"])
    def test_slopes_are_those_of_the_values(self, axis: str) -> None:
        at, h = places(5), 1e-3
        dx, dy = (h, 0.0) if axis == "x" else (0.0, h)
        up, down = (
            self.PSF.at(Points(at.x - s * dx, at.y - s * dy), SIDE).value.astype(float)
            for s in (1, -1)
        )
        slope = getattr(self.PSF.at(at, SIDE), f"along_{axis}")
        assert slope == pytest.approx((up - down) / (2 * h), abs=2e-4)


class TestFromStars:
    @pytest.mark.parametrize("fwhm", [1.2, 2.0])
    def test_places_do_not_depend_on_the_phase_of_the_pixel(self, fwhm: float) -> None:
        at = places(60)
        psf = PsfFromStars()([known(moffat_stars(at, fwhm), at, off=0.2)], 0.7)
        assert psf is not None
        assert bias_mpx(psf, lambda some: moffat_stars(some, fwhm)) < 1.0

    def test_a_psf_that_is_no_sum_of_gaussians_is_found_with_a_correction(self) -> None:
        at = places(60)
        stars = known(double_stars(at), at)
        free, stiff = PsfFromStars(), PsfFromStars(strengths=(1e-6,))
        bias = [bias_mpx(find([stars], 0.6), double_stars) for find in (free, stiff)]
        assert bias[0] < 3.0
        assert bias[0] < 0.5 * bias[1]

    def test_stars_whose_places_are_known_better_change_the_correction_alone(self) -> None:
        at, build = places(60), PsfFromStars()
        rough = build([known(double_stars(at), at, error_px=0.05)], 0.6)
        stars = known(double_stars(at), at)
        again, anew = build.corrected(rough, [stars]), build([stars], 0.6)
        assert np.array_equal(again.terms, rough.terms)
        bias = [bias_mpx(psf, double_stars) for psf in (rough, again, anew)]
        assert bias[1] < 0.8 * bias[0]
        assert bias[1] < 1.1 * bias[2]

    def test_it_is_point_symmetric(self) -> None:
        at = places(40)
        psf = PsfFromStars()([known(double_stars(at), at)], 0.6)
        middle = Points(np.array([float(MIDDLE)]), np.array([float(MIDDLE)]))
        value = psf.at(middle, SIDE).value[0]
        assert value == pytest.approx(value[::-1, ::-1], abs=1e-7)

    def test_a_star_elsewhere_than_the_others_say_takes_no_part(self) -> None:
        at = places(40)
        stars = known(moffat_stars(at), at)
        moved = Points(stars.known.x + np.where(np.arange(40) == 7, 0.8, 0), stars.known.y)
        psf = PsfFromStars()([replace(stars, known=moved)], 0.5)
        assert bias_mpx(psf, moffat_stars) < 1.5

    def test_values_of_bad_pixels_change_nothing(self) -> None:
        at = places(12)
        stars = known(moffat_stars(at), at)
        weight, pixels = stars.stack.weight.copy(), stars.stack.pixels.copy()
        weight[:, MIDDLE + 2, MIDDLE] = 0
        masked = replace(stars, stack=replace(stars.stack, weight=weight))
        pixels[:, MIDDLE + 2, MIDDLE] = 1e6
        wild = replace(stars, stack=replace(stars.stack, weight=weight, pixels=pixels))
        one, other = (PsfFromStars()([some], 0.5) for some in (masked, wild))
        assert np.array_equal(one.terms, other.terms)
        assert np.array_equal(one.correction, other.correction)

    def test_sources_of_many_shapes_have_no_common_psf(self) -> None:
        at, rng = places(40), np.random.default_rng(6)
        light = np.zeros((40, SIDE, SIDE))
        for _ in range(6):
            knot = Points(at.x + rng.normal(0, 1, 40), at.y + rng.normal(0, 1, 40))
            light += moffat_stars(knot) / 6
        assert PsfFromStars()([known(light, at)], 0.5) is None

    def test_four_stars_are_too_few(self) -> None:
        at = places(4)
        assert PsfFromStars()([known(moffat_stars(at), at)], 0.5) is None


def test_stated_errors_of_fitted_places_are_the_scatter() -> None:
    at, rng = places(400), np.random.default_rng(4)
    some = Points(at.x[:30], at.y[:30])
    psf = PsfFromStars()([known(moffat_stars(some), some)], 0.5)
    stack = stack_of(moffat_stars(at), at, electrons=2000.0)
    variance = 100 + stack.pixels
    noisy = stack.pixels + rng.normal(0, np.sqrt(variance)).astype(np.float32)
    fitted = StarFit()(psf, replace(stack, pixels=noisy), at)
    error = np.stack([fitted.place.x - at.x, fitted.place.y - at.y], axis=1)[fitted.found]
    stated = np.sqrt(np.diagonal(fitted.covariance, axis1=1, axis2=2)[fitted.found])
    assert fitted.found.mean() > 0.99
    assert np.sqrt(np.mean((error / stated) ** 2)) == pytest.approx(1, abs=0.1)


def test_the_others_see_a_star_where_it_is_whatever_the_phase() -> None:
    """A mosaic's star: two thirds of a pixel wider than its light."""
    at = places(64)
    wide = GaussianMixture(np.ones(1), np.array([0.66]))
    template = np.zeros((64, SIDE + 12, SIDE + 12), np.float32)
    template[:, 6:-6, 6:-6] = stamped(wide, at)
    middle = Points(np.full(64, float(MIDDLE)), np.full(64, float(MIDDLE)))
    seen = seen_by_others(TemplateSpline.through(template), SIDE, middle, 0.72)
    error = np.hypot(seen.x - at.x, seen.y - at.y)
    assert np.sqrt(np.mean(error**2)) < 0.004


class TestWhoIsAStar:
    @staticmethod
    def sources(n_stars: int, fwhm: float) -> SourceCatalog:
        """Stars, and as many galaxies of all sizes."""
        rng = np.random.default_rng(5)
        widths = np.concatenate([fwhm * rng.normal(1, 0.02, n_stars), rng.uniform(3, 9, n_stars)])
        at = Points(np.arange(2.0 * n_stars), np.arange(2.0 * n_stars))
        snr = np.full(2 * n_stars, 100.0)
        return replace(catalog(at, 1.0), fwhm=widths, snr=snr)

    def test_those_that_share_one_small_width(self) -> None:
        sources = self.sources(20, 1.9)
        found = SharpStars().among(sources, 1.0)
        assert found is not None
        assert np.array_equal(found.source, sources.id[:20])
        assert np.array_equal(found.calibrators, sources.id[:20])

    def test_nobody_where_stars_are_well_sampled(self) -> None:
        assert SharpStars().among(self.sources(20, 3.5), 1.0) is None

    def test_a_finer_grid_makes_no_star_wide(self) -> None:
        assert SharpStars().among(self.sources(20, 3.5), 0.5) is None
        found = SharpStars().among(self.sources(20, 3.5), 2.0)
        assert found is not None
        assert found.fwhm_px == pytest.approx(1.75, rel=0.02)

    @pytest.mark.parametrize("grid_per_chip_px", [0.5, 1.0, 1.3, 2.0, 9.0])
    def test_a_few_are_told_as_all_are(self, grid_per_chip_px: float) -> None:
        sources = self.sources(20, 1.9)
        few = sources.select(np.array([3, 5, 21, 30]))
        whole = SharpStars().among(sources, grid_per_chip_px)
        found = SharpStars().told_by(sources).among(few, grid_per_chip_px)
        assert (whole is None) == (found is None) == (grid_per_chip_px < 1)
        if whole is not None and found is not None:
            assert set(found.source) == set(whole.source).intersection(few.id)
            assert set(found.calibrators) == set(whole.calibrators).intersection(few.id)
            assert found.fwhm_px == whole.fwhm_px
        # Four stars alone are too few to say so themselves.
        assert SharpStars().among(few, grid_per_chip_px) is None

    def test_nobody_where_stars_are_too_few_to_be_told(self) -> None:
        assert SharpStars().among(self.sources(6, 1.9), 1.0) is None

    def test_blended_stars_are_stars_but_make_no_psf(self) -> None:
        sources = self.sources(20, 1.9)
        flags = sources.flags.copy()
        flags[3] = 1
        found = SharpStars().among(replace(sources, flags=flags), 1.0)
        assert sources.id[3] in found.source
        assert sources.id[3] not in found.calibrators
