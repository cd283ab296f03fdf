"""How sharp a mosaic is, compared with itself before."""

import numpy as np
import pytest
from source_fields import catalog_at

from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.sources.sharpness import sharpening

N = 60


def catalog(concentration: float, seed: int, ids=range(N), **columns) -> SourceCatalog:
    """Sources of all fluxes whose peaks are a part of them, to a hundredth."""
    shape = np.random.default_rng(3).uniform(0.5, 2.0, N)
    noise = np.random.default_rng(seed).normal(1.0, 0.01, N)
    flux = np.geomspace(10.0, 1e5, N)
    plain = dict(catalog_at(list(range(N)), [0.0] * N).columns())
    given = {
        "id": np.array(list(ids), np.int64),
        "flux": flux,
        "snr": np.full(N, 50.0),
        "peak": flux * shape * concentration * noise,
        "fwhm": 4.0 / np.sqrt(concentration) * np.ones(N),
        "flags": np.zeros(N, np.int64),
    }
    return SourceCatalog(**(plain | given | columns))


def test_sources_that_become_sharper_are_a_gain():
    found = sharpening(catalog(1.0, 1), catalog(1.1, 2))
    assert found.gain == pytest.approx(np.log(1.1), abs=5 * found.error)
    assert found.after_fwhm_px < found.before_fwhm_px
    assert not found.is_loss


def test_sources_that_become_less_sharp_are_a_loss():
    assert sharpening(catalog(1.0, 1), catalog(0.95, 2)).is_loss


def test_the_same_mosaic_measured_again_is_no_news():
    found = sharpening(catalog(1.0, 1), catalog(1.0, 2))
    assert abs(found.gain) < 4 * found.error
    assert not found.is_loss


def test_a_source_is_compared_with_itself_in_any_order_and_number():
    turned = catalog(1.1, 2).select(np.arange(N)[::-1][: N - 20])
    assert sharpening(catalog(1.0, 1), turned).n_sources == N - 20


@pytest.mark.parametrize(
    "columns",
    [{"snr": np.full(N, 5.0)}, {"flags": np.full(N, int(SourceFlag.SATURATED), np.int64)}],
    ids=["faint", "saturated"],
)
def test_sources_that_say_nothing_of_sharpness_are_left_out(columns):
    found = sharpening(catalog(1.0, 1), catalog(0.5, 2, **columns))
    assert not found.is_known
    assert not found.is_loss
