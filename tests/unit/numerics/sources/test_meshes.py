"""Robust cells, and the surface through them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import truncnorm

from alignsvc.numerics.sources.meshes import (
    clipped_statistics,
    extrapolated,
    interpolated,
    median_filtered,
    mended,
)

PLANE = 3.0 + 0.5 * np.arange(6)[:, None] - 0.25 * np.arange(5)[None, :]


def test_clipping_finds_the_sky_below_sources():
    rng = np.random.default_rng(1)
    values = rng.normal(20.0, 2.0, 20000)
    values[:1500] += rng.exponential(100.0, 1500)
    cell = clipped_statistics(values)
    assert cell.level == pytest.approx(20.0, abs=0.1)
    assert cell.rms == pytest.approx(2.0, rel=0.04)
    assert cell.count == 20000


@pytest.mark.parametrize("clip_sigma", [2.0, 3.0, 5.0])
def test_the_rms_of_clean_noise_does_not_depend_on_the_cut(clip_sigma):
    values = np.random.default_rng(2).normal(0.0, 1.0, 100_000)
    assert clipped_statistics(values, clip_sigma).rms == pytest.approx(1.0, rel=0.01)


def plainly_clipped(values, clip_sigma):
    """Level and rms by sorting, cut after cut, as the notes of `clipped_statistics` have it."""
    from_centre = np.sort(values).astype(np.float64)
    centre = from_centre[len(values) // 2]
    from_centre -= centre
    lower = max(
        -from_centre[int(part * len(values))] / k for part, k in ((0.15866, 1), (0.02275, 2))
    )
    narrowing = truncnorm(-clip_sigma, clip_sigma).std()
    kept, median, rms = np.zeros(0), 0.0, lower
    for _ in range(20):
        within = from_centre[np.abs(from_centre - median) <= clip_sigma * max(rms, lower)]
        if len(within) in (0, len(kept)):
            break
        kept, median = within, np.median(within)
        rms = kept.std() / narrowing
    mean = kept.mean()
    mode = 2.5 * median - 1.5 * mean if abs(mean - median) < 0.3 * rms else median
    return centre + mode, rms


@pytest.mark.parametrize("precision", [np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 500, 4096])
@pytest.mark.parametrize("kind", ["noise", "sources", "integers", "constant"])
def test_statistics_are_those_of_plain_cuts(kind, n, precision):
    values = np.random.default_rng(n).normal(20.0, 2.0, n)
    if kind == "sources":
        values[: n // 10] += 30.0
    if kind in ("integers", "constant"):
        values = np.rint(values / (1.0 if kind == "integers" else 1e3))
    values = values.astype(precision)
    cell = clipped_statistics(values)
    level, rms = plainly_clipped(values, 3.0)
    assert cell.level == pytest.approx(level, rel=1e-9)
    assert cell.rms == pytest.approx(rms, rel=1e-6, abs=1e-9)


def test_no_pixels_have_no_statistics():
    cell = clipped_statistics(np.zeros(0))
    assert np.isnan(cell.level)
    assert cell.count == 0


@given(st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(0.1, 100.0))
@settings(max_examples=20, deadline=None)
def test_statistics_follow_a_change_of_zero_and_of_unit(seed, zero, unit):
    values = np.random.default_rng(seed).normal(0.0, 1.0, 500)
    plain, moved = clipped_statistics(values), clipped_statistics(zero + unit * values)
    assert moved.level == pytest.approx(zero + unit * plain.level, rel=1e-6, abs=1e-6 * unit)
    assert moved.rms == pytest.approx(unit * plain.rms, rel=1e-6)


@pytest.mark.parametrize("shape", [(6, 5), (2, 2), (1, 4), (1, 1)])
def test_the_median_filter_keeps_a_plane(shape):
    plane = PLANE[: shape[0], : shape[1]]
    assert np.allclose(median_filtered(plane, 3), plane)


def test_the_median_filter_removes_a_lone_cell_even_in_a_corner():
    for place in ((3, 2), (0, 0), (5, 4)):
        mesh = PLANE.copy()
        mesh[place] += 100.0
        assert np.abs(median_filtered(mesh, 3) - PLANE).max() < 1.5


def test_an_empty_cell_continues_the_gradient_beside_it():
    trusted = np.ones(PLANE.shape, bool)
    trusted[0], trusted[3, 3] = False, False
    assert np.allclose(mended(np.where(trusted, PLANE, np.nan), trusted), PLANE)


def test_a_mesh_without_trusted_cells_stays_as_it_is():
    assert mended(PLANE, np.zeros(PLANE.shape, bool)) is PLANE


def test_the_surface_goes_through_the_cells_and_is_exact_for_a_plane():
    rows, columns = np.linspace(-1, 6, 57), np.linspace(-1, 5, 49)
    expected = 3.0 + 0.5 * rows[:, None] - 0.25 * columns[None, :]
    assert np.allclose(interpolated(PLANE, rows, columns), expected, atol=1e-5)
    rough = np.random.default_rng(3).normal(size=(6, 5))
    assert np.allclose(interpolated(rough, np.arange(6.0), np.arange(5.0)), rough, atol=1e-6)


@given(st.integers(0, 40), st.integers(1, 17), st.integers(0, 40), st.integers(1, 17))
@settings(max_examples=30, deadline=None)
def test_a_pixel_has_the_same_bits_in_every_box(y0, ny, x0, nx):
    mesh = np.random.default_rng(4).normal(size=(6, 5))
    rows, columns = (np.arange(57) + 0.5) / 10 - 0.5, (np.arange(57) + 0.5) / 12 - 0.5
    whole = interpolated(mesh, rows, columns)
    part = interpolated(mesh, rows[y0 : y0 + ny], columns[x0 : x0 + nx])
    assert np.array_equal(part, whole[y0 : y0 + ny, x0 : x0 + nx])


@given(st.integers(0, 2**20), st.integers(1, 5), st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_pixel_is_four_lines_weighted_and_added_in_their_order(seed, n_rows, n_columns, n):
    """Keys's kernel, first along x in double precision, then along y in single."""
    rng = np.random.default_rng(seed)
    mesh = rng.normal(100.0, 5.0, (n_rows, n_columns))
    y, x = (rng.uniform(-0.9, size - 0.1, n) for size in mesh.shape)
    found, padded = interpolated(mesh, np.sort(y), x), extrapolated(mesh, 3)
    for row, place in zip(found, np.sort(y), strict=True):
        first, weights = keys_taps(place)
        lines = []
        for line in padded[first : first + 4]:
            taps = [keys_taps(one) for one in x]
            sums = [sum(w * v for w, v in zip(ws, line[k : k + 4], strict=True)) for k, ws in taps]
            lines.append(np.array(sums, np.float32))
        expected = np.float32(weights[0]) * lines[0]
        for weight, line in zip(weights[1:], lines[1:], strict=True):
            expected = expected + np.float32(weight) * line
        np.testing.assert_array_equal(row, expected)


def keys_taps(place):
    """Return the first of four taps in a mesh padded by 3, and their weights."""
    below = int(np.floor(place))
    t = place - below
    return below + 2, (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def test_continuing_a_single_cell_repeats_it():
    assert np.array_equal(extrapolated(np.array([[4.0]]), 2), np.full((5, 5), 4.0))
