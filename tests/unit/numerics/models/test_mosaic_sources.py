"""Sources modelled first on the mosaic: star or galaxy, and companions that no catalogue has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.models.light.ellipticity import mapped_shapes
from alignsvc.numerics.models.on_chip.chip_profile import ProfileFromStars
from alignsvc.numerics.models.on_chip.model_stars import ModelStars
from alignsvc.numerics.models.on_chip.mosaic_image import PartOfMosaic, mosaic_image
from alignsvc.numerics.models.on_chip.mosaic_sources import MosaicSources
from alignsvc.numerics.models.on_chip.odd_part import OddPartFromStars
from alignsvc.numerics.models.on_chip.source_profiles import KindsOnChip
from alignsvc.numerics.models.on_chip.star_or_galaxy import GalaxyShapes
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.detection import MosaicCut
from alignsvc.numerics.sources.mosaic_background import MosaicBackground
from alignsvc.simulation.profiles import moffat_mixture, sersic_mixture
from alignsvc.simulation.render import GalaxyShape, galaxy_values

SIDE, HALF, SKY_SIGMA, FWHM_PX = 240, 24, 4.0, 4.4
STAR = GalaxyShape(sersic_mixture(0.5), 1e-3 * np.eye(2))
DISC = GalaxyShape(sersic_mixture(1.0), np.diag([3.5, 2.2]))
#: A field of stars a good way apart; the last two are discs.
PLACE = np.array([[30.0 + 45 * (k % 5), 30.0 + 45 * (k // 5)] for k in range(20)]).T
PLACE = PLACE + np.random.default_rng(3).uniform(-0.5, 0.5, PLACE.shape)
FLUX = np.linspace(2e4, 8e4, 20)
#: Beside the star with the id 7, which no catalogue has.
BESIDE, BESIDE_FLUX = np.array([5.2, 3.1]), 2.5e3
#: How far from its star a tail is.
TAIL_PX = (2.8, 1.2)


def light(shape: GalaxyShape, x: float, y: float, flux: float, tail: float) -> np.ndarray:
    """Return the pixels of a source whose light is in a tail by a part."""
    pixels, column, row = np.zeros((SIDE, SIDE)), round(x), round(y)
    psf = moffat_mixture(FWHM_PX, 3.0).with_tail(tail, TAIL_PX)
    stamp = flux * galaxy_values(psf, shape, (x - column, y - row), HALF)
    pixels[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1] = stamp
    return pixels


def mosaic(*, companion: bool = True, tail: float = 0.0) -> CalibratedChip:
    pixels = np.random.default_rng(2).normal(0, SKY_SIGMA, (SIDE, SIDE))
    for k in range(20):
        pixels += light(DISC if k >= 18 else STAR, *PLACE[:, k], FLUX[k], tail)
    if companion:
        pixels += light(STAR, *(PLACE[:, 7] + BESIDE), BESIDE_FLUX, tail)
    weight = np.full(pixels.shape, SKY_SIGMA**-2, np.float32)
    none = np.zeros(pixels.shape, bool)
    return CalibratedChip("mosaic", pixels.astype(np.float32), weight, none, none, None)


def catalogue() -> SourceCatalog:
    """The sources, each a tenth of a pixel off, by the ids 100 and on."""
    n = PLACE.shape[1]
    one, whole = np.ones(n), np.zeros(n, np.int64)
    fwhm = np.where(np.arange(n) < 18, FWHM_PX, 8.0)
    return SourceCatalog(
        id=100 + np.arange(n), component=whole, x=PLACE[0] + 0.1, y=PLACE[1] - 0.1, ra=one,
        dec=one, flux=FLUX, flux_error=one, snr=FLUX / 50, fwhm=fwhm, a=one, b=one, theta=one,
        peak=FLUX / 28, area=whole, radius=12 * one, weight=one, flags=whole,
    )  # fmt: skip


@pytest.fixture(scope="module")
def kinds() -> SourceKinds:
    return MosaicSources(ModelStars(galaxies=GalaxyShapes()))(mosaic(), catalogue())


class TestWhatTheMosaicTells:
    def test_galaxies_and_their_shapes(self, kinds: SourceKinds) -> None:
        assert kinds.id[kinds.is_galaxy].tolist() == [118, 119]
        radius = np.exp(kinds.shape[kinds.is_galaxy, 0])
        # A Gaussian is taken from the PSF, which makes them a little larger.
        np.testing.assert_allclose(radius, np.sqrt(3.5 * 2.2), rtol=0.2)
        assert (kinds.shape[kinds.is_galaxy, 1] > 0.1).all()
        assert np.isnan(kinds.shape[~kinds.is_galaxy]).all()

    def test_a_companion_with_its_place_and_flux(self, kinds: SourceKinds) -> None:
        assert kinds.companion_of.tolist() == [107]
        np.testing.assert_allclose([kinds.companion_x[0], kinds.companion_y[0]], BESIDE, atol=0.1)
        np.testing.assert_allclose(kinds.companion_flux[0], BESIDE_FLUX / FLUX[7], rtol=0.1)
        assert kinds.companion_significance[0] > 10

    def test_where_sources_are_by_their_profiles(self, kinds: SourceKinds) -> None:
        np.testing.assert_allclose(kinds.off_x, -0.1, atol=0.02)
        np.testing.assert_allclose(kinds.off_y, 0.1, atol=0.02)

    def test_nobody_has_a_companion_that_is_not_there(self) -> None:
        found = MosaicSources(ModelStars())(mosaic(companion=False), catalogue())
        assert not len(found.companion_of)
        assert not found.is_galaxy.any()

    def test_a_tail_that_all_stars_have_makes_hardly_companions_and_no_galaxies(self) -> None:
        """Judged by a symmetric PSF each of the stars has a companion in its tail, or two."""
        told = MosaicSources(ModelStars(galaxies=GalaxyShapes()))
        blind = ProfileFromStars(odd=OddPartFromStars(fewest_stars=99))
        symmetric = replace(told, model=replace(told.model, profile=blind))
        seen = mosaic(tail=0.1)
        found, taken_in = told(seen, catalogue()), symmetric(seen, catalogue())
        assert found.id[found.is_galaxy].tolist() == [118, 119]
        made_up = found.companion_of != 107
        assert made_up.sum() <= 2
        assert (found.companion_flux[made_up] < 0.01).all()
        assert len(taken_in.companion_of) > 20

    def test_without_a_bright_star_nothing_is_told(self) -> None:
        sources = catalogue()
        faint = MosaicSources(ModelStars(least_snr=1e9))(mosaic(), sources)
        assert faint.id.tolist() == sources.id.tolist()
        assert not faint.is_galaxy.any()
        assert not faint.off_x.any()

    def test_the_order_of_sources_tells_nothing(self, kinds: SourceKinds) -> None:
        """Only a part of the catalogue is told of: the same is said of it."""
        some = kinds.among(np.array([118, 107, 3]))
        assert some.id.tolist() == [107, 118]
        assert some.companion_of.tolist() == [107]
        both = SourceKinds.joined([some, kinds.among(np.arange(100, 107))])
        assert both.id.tolist() == [*range(100, 108), 118]


class FlippedMap:
    """A chip at half the grid's scale, mirrored in x."""

    def jacobian(self, chip: Points) -> np.ndarray:
        return np.tile(np.diag([-2.0, 2.0]), (len(chip.x), 1, 1))


def test_kinds_are_in_the_pixels_of_a_chip(kinds: SourceKinds) -> None:
    sources = np.array([118, 107, 999])
    one = np.ones(3)
    targets = Targets(sources, Points(50 * one, 60 * one), 4 * one, 6 * one, 99 * one, 2 * one)
    found = KindsOnChip.of(kinds, FlippedMap(), targets)  # type: ignore[arg-type]
    assert found.is_galaxy.tolist() == [True, False, False]
    row = np.searchsorted(kinds.id, 118)
    to_chip = np.diag([-0.5, 0.5])[None]
    wanted = mapped_shapes(kinds.shape[row : row + 1, :3], to_chip).shape[0]
    np.testing.assert_allclose(found.shape[0, :3], wanted)
    np.testing.assert_allclose(found.narrowing_px2, kinds.narrowing_px2[row] / 4)
    np.testing.assert_allclose(found.companions.x, -0.5 * kinds.companion_x)
    np.testing.assert_allclose(found.position.x[:2], [50.05, 50.05], atol=0.02)
    placed = found.placed(targets)
    assert placed.source.tolist() == [118, 107, 999, -1]
    np.testing.assert_allclose(placed.position.x[3], 50.05 - 0.5 * BESIDE[0], atol=0.07)


def test_the_gain_of_a_mean_is_that_of_all_its_exposures_together() -> None:
    box = PixelBox(0, 0, 8, 6)
    weights, gains = (2.0, 4.0), (1.5, 3.0)
    parts = [
        PartOfMosaic(Contribution(box, np.ones(box.shape), np.full(box.shape, w)), g)
        for w, g in zip(weights, gains, strict=True)
    ]
    total = Contribution(box, np.full(box.shape, 12.0), np.full(box.shape, 6.0))
    cut = MosaicCut(None, total, MosaicBackground.flat())  # type: ignore[arg-type]
    image = mosaic_image(cut, parts)
    np.testing.assert_allclose(image.pixels, 2.0)
    # f sum(w^2 / g) / W^2 is the variance of a flux f.
    assert image.gain == pytest.approx(36 / (4 / 1.5 + 16 / 3.0))
    assert mosaic_image(cut, [PartOfMosaic(parts[0].contribution, None)]).gain is None
