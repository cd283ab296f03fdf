"""Galaxies told from stars by the mosaic, and placed in an exposure by the shape they have there.

Galaxies are rendered by the simulation, which knows nothing of the fit: Sersic profiles as other
sums of Gaussians, integrated over pixels in another way.
"""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.star_fit import FittedStars, Psf, StarFit, StarStack
from alignsvc.numerics.displacement.windows.noise import NoiseTexture
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.models.galaxies.sersic import Sersic
from alignsvc.numerics.models.light.mixtures import mixture_of
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.light.shape_fit import ExpectedShape, Pixels, ShapeFit
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile, ProfileFromStars
from alignsvc.numerics.models.on_chip.galaxies_on_chip import GalaxiesOnChip
from alignsvc.numerics.models.on_chip.model_on_chip import inflated
from alignsvc.numerics.models.on_chip.source_profiles import SourceProfiles, narrowed
from alignsvc.numerics.models.on_chip.star_or_galaxy import GalaxyShapes, Windows
from alignsvc.numerics.models.profiles.convolved import Convolved
from alignsvc.numerics.models.profiles.moffat import Moffat
from alignsvc.simulation.profiles import moffat_mixture, sersic_mixture
from alignsvc.simulation.render import GalaxyShape, galaxy_values

#: Windows of the exposure, and how much larger templates are on each side.
SIDE, MARGIN = 31, 6
MIDDLE = SIDE // 2
#: Of stars in the exposure, and in the mosaic as it is given the exposure's seeing.
FWHM_PX = 4.4
SKY_SIGMA, MOSAIC_SIGMA = 10.0, 4.0
#: No larger than a thousandth of a pixel.
STAR = GalaxyShape(sersic_mixture(0.5), 1e-3 * np.eye(2))
EXPECTED = ExpectedShape(np.tile([0.5, 0.0, 0.0, 1.8], (2, 1)), np.array([1.0, 0.3, 0.3, 1.2]))


def galaxies(n: int, radius_px: tuple[float, float] = (1.5, 4.0)) -> list[GalaxyShape]:
    """Sersic indices 1 to 4, axis ratios 0.5 to 1, any position angle."""
    rng, shapes = np.random.default_rng(5), []
    for index in np.linspace(1.0, 4.0, n):
        radius, ratio, angle = rng.uniform(*radius_px), rng.uniform(0.5, 1.0), rng.uniform(0, 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        axes = np.diag([ratio**-0.5, ratio**0.5])
        shapes.append(GalaxyShape(sersic_mixture(float(index)), radius * turn @ axes))
    return shapes


def light(fwhm_px: float, shapes: list[GalaxyShape], off: np.ndarray, half: int) -> np.ndarray:
    """Sources of unit flux, `off` (2, n) the middles of windows."""
    psf = moffat_mixture(fwhm_px, 3.0)
    each = zip(shapes, *off, strict=True)
    return np.array([galaxy_values(psf, shape, (x, y), half) for shape, x, y in each])


def offsets(n: int) -> np.ndarray:
    """Places at all phases of the pixel."""
    return np.random.default_rng(1).uniform(-0.5, 0.5, (2, n))


def pairs_of(
    shapes: list[GalaxyShape], flux: float, noise: float = 1.0, beside: float = 0.0
) -> PairStack:
    """Sources in the exposure, beside its pixels' middles, and in the mosaic, in the middle.

    Each has a star 1.5 FWHM to the right, of a flux `beside`.
    """
    n, rng, none = len(shapes), np.random.default_rng(7), np.zeros(len(shapes))
    seen = flux * light(FWHM_PX, shapes, offsets(n), MIDDLE)
    theirs = flux * light(FWHM_PX, shapes, np.zeros((2, n)), MIDDLE + MARGIN)
    if beside:
        away = np.array([[1.5 * FWHM_PX], [0.0]])
        seen += beside * light(FWHM_PX, [STAR] * n, offsets(n) + away, MIDDLE)
        theirs += beside * light(FWHM_PX, [STAR] * n, np.zeros((2, n)) + away, MIDDLE + MARGIN)
    seen += rng.normal(0, noise * SKY_SIGMA, seen.shape)
    theirs += rng.normal(0, noise * MOSAIC_SIGMA, theirs.shape)
    full = np.ones((n, SIDE, SIDE), np.float32)
    return PairStack(
        pixels=seen.astype(np.float32),
        weight=full * np.float32(SKY_SIGMA**-2),
        good=full > 0,
        spline=TemplateSpline.through(theirs.astype(np.float32)),
        template_good=np.ones(theirs.shape, bool),
        template_variance=full * np.float32(MOSAIC_SIGMA**2),
        texture=NoiseTexture(np.zeros((n, 2)), np.zeros((n, 2))),
        share=0 * full,
        centre=Points(none + MIDDLE, none + MIDDLE),
        whole=Points(none, none),
        aperture_px=np.full(n, 13.0),
        gain=None,
    )


def taught_by(shapes: list[GalaxyShape]) -> ChipProfile:
    """The profile that sources without noise to speak of teach a chip."""
    pairs = pairs_of(shapes, 3e4)
    none = Points(np.zeros(len(pairs)), np.zeros(len(pairs)))
    off = Points(*(MIDDLE + offsets(len(pairs))))
    profile = ProfileFromStars()([KnownStars(StarStack.of(pairs, none), off, off, off)], 4.0)
    assert profile is not None
    return profile


def told(star: ChipProfile, pairs: PairStack, least_evidence: float = 1.0) -> SourceProfiles:
    """What sources are by a mosaic in the exposure's seeing, as the exposure shows them."""
    galaxy = GalaxyShapes().galaxy(star)
    assert galaxy is not None
    stack = StarStack.of_templates(pairs)
    alone = Windows(stack, stack, np.zeros(len(pairs), np.int64), star)
    found = GalaxyShapes(least_evidence)(galaxy, alone, star.fwhm_px, pairs.catalogued)
    return SourceProfiles(star, galaxy, found.is_galaxy, found.shape)


@pytest.fixture(scope="module")
def by_stars() -> ChipProfile:
    return taught_by([STAR] * 10)


@pytest.fixture(scope="module")
def by_galaxies() -> ChipProfile:
    """Of a field without a star: its small galaxies, no two of them alike."""
    return taught_by(galaxies(10, (0.8, 1.6)))


def placed(profile: Psf, pairs: PairStack) -> FittedStars:
    """Sources as a chip places them, errors as chi2 has them."""
    none = Points(np.zeros(len(pairs)), np.zeros(len(pairs)))
    stack = StarStack.of(pairs, none)
    return inflated(profile, stack, StarFit()(profile, stack, pairs.centre))


def errors_px(fitted: FittedStars) -> np.ndarray:
    """Errors of places, shape (2, n)."""
    return np.array([fitted.place.x, fitted.place.y]) - MIDDLE - offsets(len(fitted.flux))


class TestStarsAndGalaxies:
    def test_evidence_tells_them_apart(self, by_stars: ChipProfile) -> None:
        pairs = pairs_of([STAR] * 10 + galaxies(10), 3e4)
        is_galaxy = told(by_stars, pairs).is_galaxy
        assert not is_galaxy[:10].any()
        assert is_galaxy[10:].all()

    def test_what_is_too_faint_to_tell_is_a_star_unless_galaxies_are_asked_for(
        self, by_stars: ChipProfile
    ) -> None:
        pairs = pairs_of(galaxies(20), 400.0)
        unless, always = (told(by_stars, pairs, one).is_galaxy.sum() for one in (1.0, 0.0))
        assert unless < always

    def test_nobody_is_told_where_the_mosaic_is_coarser_than_stars(self) -> None:
        sharp = ChipProfile(Moffat(), np.array([np.log(2.0), 1 / 3]))
        assert GalaxyShapes().galaxy(sharp) is None


class TestPlacesOfGalaxies:
    @pytest.mark.parametrize("teachers", ["by_stars", "by_galaxies"])
    def test_galaxies_are_placed_without_bias(
        self, teachers: str, request: pytest.FixtureRequest
    ) -> None:
        pairs = pairs_of(galaxies(24), 1e5, noise=0.0)
        profile = told(request.getfixturevalue(teachers), pairs)
        assert (
            profile.is_galaxy.mean() > 0.8
        )  # small ones are within 6 % of what galaxies teach to be a star
        rms_mpx = 1e3 * np.sqrt(np.mean(errors_px(placed(profile, pairs)) ** 2))
        assert rms_mpx < 0.5

    @pytest.mark.parametrize("flux", [3e4, 6e3], ids=["bright", "faint"])
    def test_errors_are_as_stated(self, by_stars: ChipProfile, flux: float) -> None:
        pairs = pairs_of(galaxies(150), flux)
        fitted = placed(told(by_stars, pairs), pairs)
        pull = errors_px(fitted) / np.sqrt(
            np.array([fitted.covariance[:, 0, 0], fitted.covariance[:, 1, 1]])
        )
        assert abs(np.nanmean(pull)) < 0.2
        assert 0.85 < np.nanstd(pull) < 1.15

    def test_chi2_tells_a_galaxy_that_is_taken_for_a_star(self, by_stars: ChipProfile) -> None:
        pairs = pairs_of(galaxies(12), 3e4)
        right, wrong = (
            placed(one, pairs).covariance[:, 0, 0] for one in (told(by_stars, pairs), by_stars)
        )
        assert np.median(wrong / right) > 3.0

    def test_a_profile_of_each_goes_with_its_source(self, by_stars: ChipProfile) -> None:
        pairs = pairs_of([STAR, *galaxies(5)], 3e4)
        profile, some = told(by_stars, pairs), np.array([4, 0])
        at = Points(*(MIDDLE + offsets(6)))
        whole, part = profile.at(at, SIDE), profile.select(some)
        alone = part.at(Points(at.x[some], at.y[some]), SIDE)
        np.testing.assert_array_equal(alone.planes, whole.planes[some])


class TestGalaxiesAgainstTheirTemplates:
    def test_what_both_show_beside_a_galaxy_moves_it_in_neither(
        self, by_stars: ChipProfile
    ) -> None:
        """A neighbour of 3 % on the flank, seen through the same PSF by both."""
        shapes = galaxies(24)
        clean = pairs_of(shapes, 1e5, noise=0.1)
        profiles = told(by_stars, clean)
        moved_mpx = []
        crowded = pairs_of(shapes, 1e5, noise=0.1, beside=3e3)
        for pairs in (clean, crowded):
            found = GalaxiesOnChip.of(profiles, pairs, pairs.catalogued, StarFit())
            fitted = placed(profiles, found.put_in(pairs))
            off = found.off(Points(fitted.place.x, fitted.place.y), fitted.place)
            error = np.array([off.x, off.y]) + offsets(len(pairs))
            moved_mpx.append(1e3 * np.sqrt(np.mean(error[:, profiles.is_galaxy] ** 2)))
        alone = placed(profiles, crowded)
        in_exposure_mpx = 1e3 * np.sqrt(np.mean(errors_px(alone)[:, profiles.is_galaxy] ** 2))
        assert in_exposure_mpx > 15
        assert moved_mpx[1] < 0.2 * in_exposure_mpx

    def test_stars_keep_their_displacements(self, by_stars: ChipProfile) -> None:
        pairs = pairs_of([STAR] * 4, 3e4)
        profiles = SourceProfiles.stars(by_stars, 4)
        found = GalaxiesOnChip.of(profiles, pairs, pairs.catalogued, StarFit())
        off = Points(np.arange(4.0), np.ones(4))
        same = found.off(off, pairs.centre)
        assert same.x.tolist() == [0, 1, 2, 3]
        assert found.put_in(pairs).pixels.tolist() == pairs.pixels.tolist()


class TestFitsOfShapes:
    def test_a_shape_that_the_profile_can_have_comes_back(self) -> None:
        profile = sersic_behind(3.5)
        truth = np.array([[1.1, 0.2, -0.1, 1.3], [0.6, -0.1, 0.3, 3.0]])
        at = Points(*(MIDDLE + offsets(2)))
        value = 1e5 * surface_of(profile, truth, at) + 30.0
        weight = np.full_like(value, 1.0)
        found = ShapeFit()(profile, Pixels(value, weight), Points(at.x + 0.3, at.y - 0.2), EXPECTED)
        np.testing.assert_allclose(found.shape, truth, atol=0.03)
        np.testing.assert_allclose(found.place.x, at.x, atol=1e-3)
        np.testing.assert_allclose(found.flux, 1e5, rtol=0.01)

    def test_pixels_that_say_nothing_leave_what_was_expected(self) -> None:
        value = np.zeros((2, SIDE, SIDE), np.float32)
        weight = np.zeros_like(value)
        weight[1] = 1.0
        at = Points(np.full(2, 15.0), np.full(2, 15.0))
        found = ShapeFit()(sersic_behind(3.5), Pixels(value, weight), at, EXPECTED)
        np.testing.assert_allclose(found.shape, EXPECTED.mean)
        assert not (found.flux > 0).any()

    def test_one_source_has_no_part_in_the_fit_of_another(self) -> None:
        profile, shapes = sersic_behind(3.5), galaxies(2)
        value = (1e4 * light(3.5, shapes, np.zeros((2, 2)), MIDDLE)).astype(np.float32)
        value[1] = np.random.default_rng(2).normal(0, 1e4, value[1].shape)
        at = Points(np.full(2, 15.0), np.full(2, 15.0))
        both = ShapeFit()(profile, Pixels(value, np.ones_like(value)), at, EXPECTED)
        first = Points(at.x[:1], at.y[:1])
        one = ShapeFit()(
            profile,
            Pixels(value[:1], np.ones_like(value[:1])),
            first,
            EXPECTED.select(np.array([0])),
        )
        np.testing.assert_allclose(one.shape[0], both.shape[0], rtol=1e-5)


def test_what_is_taken_from_a_psf_and_put_back_makes_it_whole() -> None:
    psf = sersic_behind(4.0).psf
    less = narrowed(psf, 0.5)
    back = less.covariance + np.array([0.5, 0.0, 0.5])
    np.testing.assert_allclose(back, psf.covariance)
    eigenvalues = narrowed(psf, 100.0).covariance[:, [0, 2]]
    assert (eigenvalues > 0).all()


def sersic_behind(fwhm_px: float) -> Convolved:
    star = ChipProfile(Moffat(), np.array([np.log(fwhm_px), 1 / 3]))
    return Convolved(Sersic(8), mixture_of(star.profile, star.shape, 3))


def surface_of(profile: Convolved, shape: np.ndarray, at: Points) -> np.ndarray:
    return profile(Places(at.x, at.y, SIDE), shape).value.astype(np.float32)
