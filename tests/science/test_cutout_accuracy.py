"""Single sources are measured near the best that their pixels allow.

Nine exposures, each measured against the mosaic of the other eight. Values measured stand in
tests/README.md; limits leave room for the scatter of the sources' number.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from cutout_bench import Scene, accuracy, direct_accuracy, joint_accuracy

from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.fitting.centroids import CatalogCentroids, WindowedCentroids
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement
from alignsvc.numerics.displacement.stars.sharp_stars import SharpStars
from alignsvc.numerics.displacement.windows.psf_matching import PsfMatching
from alignsvc.numerics.displacement.windows.sizes import SizeClasses
from alignsvc.numerics.models.on_chip.model_stars import ModelStars

FITTED = CorrelationMeasurement(
    CORRELATORS.build("ncc", {}),
    TemplateFit(),
    SizeClasses((32,), search_radius_px=3),
    matching=PsfMatching(),
)
SHARP = replace(FITTED, stars=SharpStars())
#: By a profile of the chip's stars, against the catalogue.
MODELS = replace(
    FITTED, refinement=CatalogCentroids(), matching=None, seams=None, stars=ModelStars()
)
CENTROIDS = replace(FITTED, refinement=WindowedCentroids(), matching=None)
#: Seeing of nine exposures that differ.
MIXED_PX = (3.5, 3.8, 4.1, 4.4, 4.7, 5.0, 5.3, 5.6, 6.0)
#: Each of nine exposures is measured: nine times the numbers of one, nearly as good.
EACH = tuple(range(9))


@pytest.mark.parametrize("is_galaxy", [False, True], ids=["star", "galaxy"])
@pytest.mark.parametrize(("snr", "limit"), [(10, 1.15), (100, 1.1)])
def test_few_sources_come_near_the_bound(snr: float, limit: float, is_galaxy: bool) -> None:
    found = accuracy(Scene(snr, is_galaxy=is_galaxy, n_side=6), FITTED, EACH)
    assert found.ratio < limit
    assert found.outliers < 0.05
    assert 0.85 < found.pull_rms < 1.15


@pytest.mark.parametrize("is_galaxy", [False, True], ids=["star", "galaxy"])
def test_a_template_as_faint_as_the_exposure_still_tells_its_width(is_galaxy: bool) -> None:
    """With the slopes' noise in its width, 27 % of the galaxies had no place, pulls were 3.1."""
    found = accuracy(Scene(10, (4.0, 4.0), is_galaxy=is_galaxy, n_side=10), FITTED, (0, 1))
    assert found.ratio < 1.3
    assert found.outliers < 0.08
    assert found.pull_rms < 1.25


@pytest.mark.slow
@pytest.mark.parametrize("is_galaxy", [False, True], ids=["star", "galaxy"])
@pytest.mark.parametrize(("snr", "limit"), [(10, 1.09), (30, 1.04), (100, 1.04)])
def test_many_sources_come_near_the_bound(snr: float, limit: float, is_galaxy: bool) -> None:
    found = accuracy(Scene(snr, is_galaxy=is_galaxy, n_side=18), FITTED, EACH)
    assert found.ratio < limit
    assert found.outliers < 0.03
    assert 0.95 < found.pull_rms < 1.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fwhm_px", "limit_mpx"), [(1.2, 150.0), (2.0, 2.0), (2.5, 0.6), (3.0, 0.4), (4.0, 0.4)]
)
def test_bias_with_the_phase_of_the_pixel(fwhm_px: float, limit_mpx: float) -> None:
    """Below 2.8 px stars are placed by an effective PSF instead: the mosaic is too coarse."""
    scene = Scene(math.inf, (fwhm_px,) * 9, n_side=16)
    assert accuracy(scene, FITTED).rms_mpx < limit_mpx


@pytest.mark.slow
@pytest.mark.parametrize("fwhm_px", [1.2, 2.0, 3.0])
def test_bias_of_galaxies_with_the_phase_of_the_pixel(fwhm_px: float) -> None:
    scene = Scene(math.inf, (fwhm_px,) * 9, n_side=12, is_galaxy=True)
    assert accuracy(scene, FITTED).rms_mpx < 1.0


def test_a_few_sharp_stars_are_placed_whatever_the_phase_of_the_pixel() -> None:
    """Against the mosaic 56 mpx; their places come from an effective PSF of these 36."""
    scene = Scene(math.inf, (1.2,) * 9, n_side=6)
    assert direct_accuracy(scene, SHARP).rms_mpx < 3.0


@pytest.mark.slow
@pytest.mark.parametrize("gaussian", [False, True], ids=["moffat", "gaussian"])
@pytest.mark.parametrize(("fwhm_px", "limit_mpx"), [(1.2, 3.0), (1.6, 1.0), (2.0, 1.0)])
def test_bias_of_sharp_stars_with_the_phase_of_the_pixel(
    fwhm_px: float, limit_mpx: float, gaussian: bool
) -> None:
    scene = Scene(math.inf, (fwhm_px,) * 9, n_side=16, gaussian=gaussian)
    assert direct_accuracy(scene, SHARP).rms_mpx < limit_mpx


@pytest.mark.slow
@pytest.mark.parametrize("fwhm_px", [1.2, 2.0])
@pytest.mark.parametrize(("snr", "limit"), [(10, 1.15), (30, 1.1), (100, 1.1)])
def test_sharp_stars_come_near_the_bound(snr: float, limit: float, fwhm_px: float) -> None:
    scene = Scene(snr, (fwhm_px,) * 9, n_side=18, guides_snr=300.0)
    found = direct_accuracy(scene, SHARP)
    assert found.ratio < limit
    assert found.outliers < 0.02
    assert 0.9 < found.pull_rms < 1.1


@pytest.mark.slow
@pytest.mark.parametrize(("snr", "limit"), [(4, 1.2), (10, 1.1), (30, 1.08), (1000, 1.08)])
def test_stars_placed_by_a_model_come_near_the_bound(snr: float, limit: float) -> None:
    found = direct_accuracy(Scene(snr, n_side=14, guides_snr=300.0), MODELS)
    assert found.ratio < limit
    assert found.outliers < 0.1
    assert 0.9 < found.pull_rms < 1.1


@pytest.mark.slow
def test_galaxies_placed_as_stars_are_where_they_are() -> None:
    assert direct_accuracy(Scene(100, is_galaxy=True, n_side=14), MODELS).ratio < 1.1
    assert direct_accuracy(Scene(math.inf, (4.0,) * 3, True, 8), MODELS).rms_mpx < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("is_galaxy", [False, True], ids=["star", "galaxy"])
@pytest.mark.parametrize(("snr", "limit"), [(10, 1.09), (30, 1.04), (100, 1.1)])
def test_centroids_come_near_the_bound(snr: float, limit: float, is_galaxy: bool) -> None:
    found = accuracy(Scene(snr, is_galaxy=is_galaxy, n_side=18), CENTROIDS, EACH)
    assert found.ratio < limit
    assert found.outliers < 0.03
    assert 0.95 < found.pull_rms < 1.05


@pytest.mark.slow
@pytest.mark.parametrize(("fwhm_px", "limit"), [(MIXED_PX, 1.06), ((4.2, 5.7), 1.1)])
@pytest.mark.parametrize("snr", [30, 100, 1000])
def test_exposures_of_different_seeing_are_placed_near_the_bound(
    snr: float, fwhm_px: tuple[float, ...], limit: float
) -> None:
    """Without matching 1.08 and 1.27, the sharpest of the nine 1.4."""
    scene = Scene(snr, fwhm_px, n_side=18, guides_snr=1000.0)
    found = joint_accuracy(scene, FITTED)
    assert found.mean < limit
    assert all(0.8 < pull < 1.2 for pull in found.pull_rms)
