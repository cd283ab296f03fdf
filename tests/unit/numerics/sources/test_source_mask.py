"""Parts of the sky whose sources are not used."""

import numpy as np
import pytest
from astropy.wcs import WCS

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.numerics.sources.source_mask import SourceMask


@pytest.fixture
def mask() -> SourceMask:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [10.0, 20.0], [3.0, 2.0], [-1e-4, 1e-4]
    hidden = np.zeros((4, 6), bool)
    hidden[1, 2] = True
    return SourceMask(hidden, CelestialWcs(wcs, hidden.shape))


def test_what_lies_in_a_hidden_pixel_is_hidden_to_its_edges(mask: SourceMask) -> None:
    x, y = np.array([2.0, 2.49, 1.51, 2.51, 2.0]), np.array([1.0, 1.49, 0.51, 1.0, 1.51])
    sky = mask.wcs.sky_from_pixel(Points(x, y))
    assert mask.hides(sky).tolist() == [True, True, True, False, False]


def test_beside_the_mask_and_behind_the_sky_nothing_is_hidden(mask: SourceMask) -> None:
    sky = SkyPoints(np.array([11.0, 190.0, np.nan]), np.array([20.0, -20.0, 3.0]))
    assert mask.hides(sky).tolist() == [False, False, False]


def test_a_mask_needs_a_wcs_of_its_size(mask: SourceMask) -> None:
    with pytest.raises(ValueError, match="source mask"):
        SourceMask(np.zeros((3, 3), bool), mask.wcs)
