"""Binning: the weighted mean of what is covered, whichever tiles it comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.showing.binning import added, binned, binned_shape, factor_for, shown

sides = st.integers(1, 23)
factors = st.integers(1, 9)


def mosaic(ny: int, nx: int, seed: int) -> Contribution:
    """Return sums of which a third is not covered, and some pixels are no numbers."""
    random = np.random.default_rng(seed)
    weight = random.uniform(0.1, 3.0, (ny, nx)) * (random.random((ny, nx)) > 0.3)
    numerator = random.normal(5.0, 2.0, (ny, nx)) * weight
    numerator[random.random((ny, nx)) < 0.1] = np.nan
    return Contribution(PixelBox(0, 0, nx, ny), numerator, weight)


@given(sides, sides, factors, st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_each_square_is_the_weighted_mean_of_its_covered_pixels(
    ny: int, nx: int, factor: int, seed: int
) -> None:
    sums = mosaic(ny, nx, seed)
    found = binned(sums, factor)
    assert found.box.shape == binned_shape((ny, nx), factor)
    value = np.divide(
        sums.numerator, sums.weight, out=np.full((ny, nx), np.nan), where=sums.weight > 0
    )
    for row, column in np.ndindex(found.box.shape):
        square = np.s_[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        good = np.isfinite(value[square])
        if good.any():
            mean = np.average(value[square][good], weights=sums.weight[square][good])
            assert shown(found)[row, column] == pytest.approx(mean)
        else:
            assert np.isnan(shown(found)[row, column])
        assert found.weight[row, column] == pytest.approx(sums.weight[square][good].sum())


@given(sides, sides, st.integers(1, 8), st.integers(1, 8), factors, st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_binned_tiles_add_up_to_the_binned_mosaic(
    ny: int, nx: int, tile_y: int, tile_x: int, factor: int, seed: int
) -> None:
    sums = mosaic(ny, nx, seed)
    grid = MosaicGrid(0, TangentPlane(0.0, 0.0), 1.0, 0.0, 0.0, (ny, nx), (tile_y, tile_x))
    parts = (binned(sums.cut(grid.tile_box(tile)), factor) for tile in grid.tiles())
    together, whole = added(parts, binned_shape((ny, nx), factor)), binned(sums, factor)
    np.testing.assert_allclose(together.numerator, whole.numerator, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(together.weight, whole.weight, rtol=1e-12, atol=1e-12)


@given(sides, sides, st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_binning_twice_is_binning_by_the_product(
    ny: int, nx: int, first: int, second: int, seed: int
) -> None:
    sums = mosaic(ny, nx, seed)
    twice, once = binned(binned(sums, first), second), binned(sums, first * second)
    assert twice.box == once.box
    np.testing.assert_allclose(twice.numerator, once.numerator, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(twice.weight, once.weight, rtol=1e-12, atol=1e-12)


def test_a_factor_leaves_no_side_longer_than_asked_for() -> None:
    assert [factor_for((ny, 10), 1600) for ny in (1, 1600, 1601, 100_000)] == [1, 1, 2, 63]
    assert binned_shape((100_000, 10), 63) == (1588, 1)


def test_nothing_and_factors_below_one() -> None:
    assert binned(Contribution.empty(PixelBox(3, 3, 3, 3)), 2).is_empty
    with pytest.raises(ValueError, match="factor of 1 or more, got 0"):
        binned(mosaic(2, 2, 0), 0)
