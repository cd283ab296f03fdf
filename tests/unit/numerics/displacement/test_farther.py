"""Sources are looked for nearby once exposures are aligned; those that went astray, farther."""

import math
from dataclasses import replace

import numpy as np
import pytest
from displacement_scenes import catalog, positions, reference_of, stars, view_of
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag as Flag
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.farther import FartherSearch, search_after
from alignsvc.numerics.displacement.fitting.refine import TemplateFit
from alignsvc.numerics.displacement.measure import CorrelationMeasurement

NEAR, FAR = 3, 8
METHOD = CorrelationMeasurement(CORRELATORS.build("ncc", {}), TemplateFit())
FWHM = 4.0


def scene(moved_px, flux=3e3, seed=0):
    """A chip that lies elsewhere, the mosaic, and 49 stars."""
    rng = np.random.default_rng(seed)
    at, shape = positions(49, rng)
    there = stars(shape, Points(at.x - moved_px, at.y), flux, FWHM)
    view = view_of(there + rng.normal(size=shape))
    # What 8 exposures and this one promise, for a noise of 1.
    snr = np.full(49, 3 * flux / (2.0 * FWHM))
    return view, reference_of(stars(shape, at, flux, FWHM)), replace(catalog(at, FWHM), snr=snr)


def measured(moved_px, search_px, flux=3e3):
    """Displacements and catalogue of such a chip."""
    view, reference, sources = scene(moved_px, flux)
    return METHOD.searching(search_px)(view, reference, sources), sources


def searched(moved_px):
    """What the chip measures, searched farther if need be, and how often it was measured."""
    view, reference, sources = scene(moved_px)
    radii = []

    def by(method):
        radii.append(method.sizes.search_radius_px)
        return method.on_chip(view, reference, sources)

    return FartherSearch(FAR)(by, METHOD.searching(NEAR), sources), radii


@given(st.floats(0, 100), st.integers(1, 20))
def test_no_pass_looks_farther_than_headers_may_be_wrong(movement_px, largest_px):
    search = search_after(movement_px, largest_px)
    assert 1 <= search.radius_px <= largest_px
    assert search.farther is None or search.farther.radius_px == largest_px > search.radius_px


def test_the_first_pass_looks_as_far_as_headers_may_be_wrong():
    assert search_after(math.inf, FAR).radius_px == FAR


def test_later_passes_look_as_far_as_what_may_still_be_wrong():
    radii = [search_after(movement_px, FAR).radius_px for movement_px in (0.004, 1.5, 7.0)]
    assert radii == [2, 3, 3]


@pytest.mark.parametrize("moved_px", [0.0, 1.4, -2.6])
def test_a_chip_within_reach_is_measured_once(moved_px):
    found, radii = searched(moved_px)
    assert radii == [NEAR]
    assert found.searched_px == NEAR


@pytest.mark.parametrize("moved_px", [3.5, -5.0, 7.4])
def test_a_chip_that_went_astray_is_looked_for_farther_and_found(moved_px):
    found, radii = searched(moved_px)
    assert radii == [NEAR, FAR]
    assert found.searched_px == FAR
    displacements = found.displacements
    sound = displacements.flags == 0
    assert sound.sum() > 40
    assert np.median(displacements.dx[sound]) == pytest.approx(moved_px, abs=0.02)


def test_a_chip_beyond_every_search_keeps_what_the_near_one_found():
    found, radii = searched(13.0)
    assert radii == [NEAR, FAR]
    assert found.searched_px == NEAR
    assert (found.displacements.flags == 0).sum() <= 2


def test_faint_sources_that_a_search_misses_ask_for_no_other():
    """A third of their peaks of noise lies at the edge of each search, be it near or wide."""
    found, sources = measured(0.0, NEAR, flux=6.0)
    missed = (found.flags & int(Flag.PEAK_AT_EDGE | Flag.NO_PEAK)) > 0
    assert missed.mean() > FartherSearch(FAR).part
    assert not FartherSearch(FAR).is_wanted(found, sources)


def test_a_wide_search_that_finds_sources_no_farther_away_does_not_stand():
    again, sources = measured(0.2, FAR)
    assert not FartherSearch(FAR).is_right(again, sources, NEAR)


def test_an_exposure_without_sources_is_not_looked_for_farther():
    found, sources = measured(0.0, NEAR)
    none = found.select(np.zeros(0, np.int64))
    assert not FartherSearch(FAR).is_wanted(none, sources)
    assert not FartherSearch(FAR).is_right(none, sources, NEAR)
