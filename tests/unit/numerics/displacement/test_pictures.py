"""Planes that people look at: templates read beside their pixels, profiles with flux and sky."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.displacement.pictured import with_flux_and_sky
from alignsvc.numerics.displacement.splines.shifted_planes import shifted_plane


def star(x: float, y: float, side: int = 24) -> np.ndarray:
    row, column = np.mgrid[:side, :side]
    return np.exp(-((column - x) ** 2 + (row - y) ** 2) / 8).astype(np.float32)


def test_a_plane_is_read_where_it_is_asked_for() -> None:
    # What is read at pixel + shift has the star by so much nearer to the origin.
    found = shifted_plane(star(12.0, 11.0), (1.3, -0.6))
    wanted = star(12.0 - 1.3, 11.0 + 0.6)
    known = np.isfinite(found)
    assert known[4:-4, 4:-4].all()
    assert np.abs(found - wanted)[known].max() < 2e-3


def test_no_shift_changes_nothing() -> None:
    plane = star(12.0, 11.0)
    plane[3, 5] = np.nan
    assert shifted_plane(plane, (0.0, 0.0)) == pytest.approx(plane, abs=1e-5, nan_ok=True)


def test_what_is_not_known_is_not_made_up() -> None:
    plane = star(12.0, 11.0)
    plane[:, :4] = np.nan
    found = shifted_plane(plane, (-2.5, 0.0))  # looks to the left
    assert np.isnan(found[:, :6]).all()
    assert np.isfinite(found[:, 7:]).all()
    assert np.isnan(shifted_plane(plane, (100.0, 0.0))).all()
    assert np.isnan(shifted_plane(plane, (np.nan, 0.0))).all()
    assert np.isnan(shifted_plane(np.full((8, 8), np.nan, np.float32), (0.0, 0.0))).all()


def test_flux_and_sky_are_those_of_the_pixels_that_count() -> None:
    light = star(11.5, 12.0)[None]
    pixels = 40 * light + 3
    weight = np.ones_like(pixels)
    pixels[0, 2, 2], weight[0, 2, 2] = 1e6, 0
    model = with_flux_and_sky(light, pixels, weight)
    assert model == pytest.approx(40 * light + 3, abs=1e-3)


def test_without_pixels_there_is_no_model() -> None:
    light = star(11.5, 12.0)[None]
    assert np.isnan(with_flux_and_sky(light, light, np.zeros_like(light))).all()
