"""The catalogue of the mosaic: what is found, what is said of it, and that tiles do not matter."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from scipy.spatial import cKDTree
from source_fields import (
    background_of,
    both,
    detect,
    grid_of,
    mosaic_of,
    one_source,
    random_truth,
    render,
    whole_segmentation,
)

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.numerics.sources.detection import Detector, MosaicCut, WantedSources
from alignsvc.numerics.sources.matching import number_sources
from alignsvc.numerics.sources.mosaic_background import MosaicBackground, MosaicMesh

SIDE = 1024
DETECTOR = Detector()


@pytest.fixture(scope="module")
def field():
    """800 stars and galaxies on two depths, with a hole; noise of 5 and 10."""
    rng = np.random.default_rng(1)
    truth = random_truth(800, SIDE, rng)
    weight = np.full((SIDE, SIDE), 0.04)
    weight[:, : SIDE // 3] = 0.01
    image = 3.0 + render(truth, weight.shape) + rng.normal(size=weight.shape) / np.sqrt(weight)
    weight[300:330, 500:560] = 0.0
    return truth, mosaic_of(image, weight)


def with_final_ids(labels, sources):
    """Return labels as the ids of their sources, -1 where no catalogue has the source."""
    ids = dict(zip(sources.segment.tolist(), sources.catalog.id.tolist(), strict=True))
    found = np.unique(labels[labels != 0])
    final = np.array([0, *(ids.get(label, -1) for label in found.tolist())])
    return final[np.searchsorted(found, labels) + (labels != 0)]


def run(mosaic, tile, detector=DETECTOR):
    grid = grid_of(mosaic.box.shape, tile)
    parts = detect(mosaic, grid, detector, background_of(mosaic, grid, MosaicMesh()))
    sources = number_sources(parts)
    return sources, with_final_ids(whole_segmentation(parts, grid), sources)


@pytest.fixture(scope="module")
def one_tile(field):
    return run(field[1], SIDE)


def quiet(truth, shape=(120, 140), rms=1.0, seed=5):
    """A small mosaic of weight 1 with the given sources, as a cut, and its core."""
    noise = np.random.default_rng(seed).normal(0.0, rms, shape)
    mosaic = mosaic_of(render(truth, shape) + noise, np.ones(shape))
    grid = grid_of(shape, 1000)
    return MosaicCut(grid, mosaic, MosaicBackground.flat()), grid.box


@pytest.mark.parametrize("tile", [512, 300, 256])
def test_the_catalogue_is_the_same_for_any_tiles(field, one_tile, tile):
    sources, segmentation = run(field[1], tile)
    whole, whole_map = one_tile
    assert np.array_equal(sources.segment, whole.segment)
    assert np.array_equal(segmentation, whole_map)
    for name, column in sources.catalog.columns():
        assert np.allclose(column, getattr(whole.catalog, name), rtol=0, atol=1e-9), name


def test_nearly_all_that_is_bright_is_found_and_little_else(field, one_tile):
    truth, _ = field
    catalog = one_tile[0].catalog
    catalog = catalog.select(catalog.snr > 10)
    found = cKDTree(np.column_stack([catalog.x, catalog.y]))
    real = cKDTree(np.column_stack([truth.x, truth.y]))
    bright = truth.flux > 3000
    distance, _ = found.query(np.column_stack([truth.x, truth.y])[bright])
    assert np.mean(distance < 2) > 0.93  # the rest are blends and lie in the hole
    distance, _ = real.query(np.column_stack([catalog.x, catalog.y]))
    assert np.mean(distance > 3) < 0.01


def test_bright_clean_sources_are_measured_well(field, one_tile):
    truth, _ = field
    catalog = one_tile[0].catalog
    catalog = catalog.select((catalog.flags == 0) & (catalog.snr > 50))
    distance, index = cKDTree(np.column_stack([truth.x, truth.y])).query(
        np.column_stack([catalog.x, catalog.y])
    )
    fwhm = 2.3548 * truth.sigma * np.sqrt(0.5 * (1 + truth.ratio**2))
    assert np.median(distance) < 0.02
    assert np.median(catalog.fwhm / fwhm[index]) == pytest.approx(1.0, abs=0.02)
    assert np.median(catalog.flux / truth.flux[index]) == pytest.approx(1.0, abs=0.03)
    assert np.median(catalog.b / catalog.a / truth.ratio[index]) == pytest.approx(1.0, abs=0.03)


def test_flux_errors_are_the_scatter_of_fluxes():
    fluxes, errors = [], []
    for seed in range(40):
        cut, core = quiet(one_source(60.3, 70.6, 400.0), seed=seed)
        catalog = DETECTOR(cut, core).catalog
        best = int(np.argmax(catalog.flux))
        fluxes.append(catalog.flux[best])
        errors.append(catalog.flux_error[best])
    assert np.mean(errors) == pytest.approx(np.std(fluxes), rel=0.5)


def test_noise_alone_holds_no_source():
    cut, core = quiet(one_source(60, 60, 0.0), shape=(300, 300))
    assert len(DETECTOR(cut, core).catalog) == 0


def test_a_mosaic_without_data_has_no_source():
    grid = grid_of((64, 64), 64)
    empty = mosaic_of(np.zeros((64, 64)), np.zeros((64, 64)))
    found = DETECTOR(MosaicCut(grid, empty, MosaicBackground.flat()), grid.box)
    assert len(found.catalog) == 0
    assert not found.segmentation.any()


def test_a_source_is_at_its_place_on_the_sky():
    cut, core = quiet(one_source(60.3, 70.6, 2e4))
    catalog = DETECTOR(cut, core).catalog
    assert len(catalog) == 1
    assert (catalog.x[0], catalog.y[0]) == pytest.approx((60.3, 70.6), abs=0.02)
    sky = cut.grid.sky_from_pixel(Points(catalog.x, catalog.y))
    assert (catalog.ra[0], catalog.dec[0]) == (sky.ra[0], sky.dec[0])
    assert catalog.flags[0] == SourceFlag.GOOD
    assert np.ptp(np.nonzero(DETECTOR(cut, core).segmentation)[1]) <= 2 * catalog.radius[0]


def test_two_close_stars_are_taken_apart_and_said_to_be_blended():
    pair = both(one_source(60.0, 60.0, 2e4), one_source(67.0, 60.0, 1e4))
    cut, core = quiet(pair)
    catalog = DETECTOR(cut, core).catalog
    assert sorted(np.round(catalog.x)) == [60, 67]
    assert (catalog.flags & SourceFlag.BLENDED).all()
    whole = Detector(contrast=1.0)(cut, core).catalog
    assert len(whole) == 1
    assert not whole.flags[0] & SourceFlag.BLENDED


def test_the_limits_of_sep_are_left_as_they_were():
    before = sep.get_extract_pixstack(), sep.get_sub_object_limit()
    cut, core = quiet(both(one_source(60.0, 60.0, 2e4), one_source(67.0, 60.0, 1e4)))
    DETECTOR(cut, core)
    assert (sep.get_extract_pixstack(), sep.get_sub_object_limit()) == before


def test_edges_holes_and_saturation_are_flagged():
    shape = (120, 140)
    three = both(
        both(one_source(1.0, 60.0, 2e4), one_source(60.0, 60.0, 2e4)), one_source(100, 60, 2e4)
    )
    cut, core = quiet(three, shape)
    weight = np.ones(shape)
    weight[64:68, 58:62] = 0.0
    saturated = np.zeros(shape, bool)
    saturated[60, 100] = True
    mosaic = mosaic_of(cut.mosaic.numerator, weight)
    catalog = DETECTOR(MosaicCut(cut.grid, mosaic, cut.background, saturated), core).catalog
    flags = dict(zip(np.round(catalog.x), catalog.flags, strict=True))
    assert flags[1] & SourceFlag.AT_EDGE
    assert flags[60] & SourceFlag.AT_EDGE
    assert flags[100] == SourceFlag.SATURATED


def test_a_source_larger_than_the_halo_is_flagged_and_owned_once():
    shape = (300, 400)
    mosaic = mosaic_of(render(one_source(130.0, 150.0, 3e6, 35.0), shape), np.ones(shape))
    grid = grid_of(shape, 100)
    catalogs = [part.catalog for part in detect(mosaic, grid, DETECTOR, MosaicBackground.flat())]
    catalog = SourceCatalog.concatenate(catalogs)
    assert len(catalog) == 1
    assert catalog.flags[0] & SourceFlag.TRUNCATED


def test_a_centroid_that_a_neighbour_drew_away_is_replaced():
    pair = both(one_source(60.0, 60.0, 300.0, 1.2), one_source(64.5, 60.0, 3e5, 1.2))
    cut, core = quiet(pair, rms=0.3)
    catalog = DETECTOR(cut, core).catalog
    moved = catalog.flags & SourceFlag.NO_CENTROID != 0
    nearest = np.min(np.abs(catalog.x[:, None] - np.array([60.0, 64.5])), axis=1)
    assert (nearest[~moved] < 0.5).all()


def test_the_inputs_and_the_result_cannot_be_written():
    cut, core = quiet(one_source(60.3, 70.6, 2e4))
    numerator = cut.mosaic.numerator.copy()
    found = DETECTOR(cut, core)
    assert np.array_equal(cut.mosaic.numerator, numerator)
    with pytest.raises(ValueError, match="read-only"):
        found.segmentation[0, 0] = 1


def test_a_cut_of_another_size_is_refused():
    cut, core = quiet(one_source(60.3, 70.6, 2e4))
    with pytest.raises(ValueError, match="needs"):
        Detector(halo_px=16)(cut, PixelBox(0, 0, 50, 50))
    assert DETECTOR.box_for(core, cut.grid) == core


@pytest.mark.parametrize(
    "settings", [{"threshold": 0.0}, {"min_area": 0}, {"deblend": 1}, {"contrast": 0.0}]
)
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(ConfigError, match="wanted"):
        Detector(**settings)


def wanted(*places, weight=None):
    x, y = (np.array(c, float) for c in zip(*places, strict=True))
    return WantedSources(Points(x, y), np.ones(len(x)) if weight is None else np.array(weight))


def test_a_users_position_finds_the_source_that_it_lies_on():
    two = both(one_source(60.3, 70.6, 2e4), one_source(30.0, 30.0, 2e4))
    cut, core = quiet(two)
    found = DETECTOR.measure_user_sources(cut, core, wanted((61.0, 70.0), weight=[0.5]))
    detected = DETECTOR(cut, core).catalog
    same = detected.select(np.abs(detected.x - 60.3) < 1)
    assert found.catalog.weight.tolist() == [0.5]
    for name, column in found.catalog.columns():
        assert name == "weight" or np.array_equal(column, getattr(same, name))
    assert np.unique(found.segmentation).size == 3  # the other source is still somebody's pixels


def test_a_users_faint_source_is_measured_where_it_should_be():
    cut, core = quiet(one_source(60.0, 70.0, 12.0))
    assert len(DETECTOR(cut, core).catalog) == 0
    catalog = DETECTOR.measure_user_sources(cut, core, wanted((60.0, 70.0))).catalog
    assert len(catalog) == 1
    assert np.hypot(catalog.x[0] - 60, catalog.y[0] - 70) < 3
    assert catalog.snr[0] < 5
    assert all(np.isfinite(column).all() for _, column in catalog.columns())


def test_users_positions_in_holes_and_off_the_grid_point_to_nothing():
    cut, core = quiet(one_source(60.0, 70.0, 2e4))
    weight = np.ones(cut.box.shape)
    weight[20:30, 20:30] = 0.0
    holed = MosaicCut(cut.grid, mosaic_of(cut.mosaic.numerator, weight), cut.background)
    places = wanted((25, 25), (-40, 3), (np.nan, 5), (60, 70), (61, 70), weight=[1, 1, 1, 2, 3])
    catalog = DETECTOR.measure_user_sources(holed, core, places).catalog
    assert catalog.weight.tolist() == [3.0]
