"""The size of differential chromatic refraction, by filter and airmass."""

from __future__ import annotations

import pytest

from alignsvc.numerics.sky.refraction import band_um, chromatic_shift_mas, refractivity


def test_the_refractivity_of_air_is_the_usual_one_in_the_yellow() -> None:
    """1.000277 in the sodium lines, at 15 degrees C and one atmosphere."""
    assert refractivity(0.5893) == pytest.approx(2.77e-4, rel=2e-3)


def test_at_the_zenith_colours_do_not_matter() -> None:
    assert chromatic_shift_mas(0.48, 1.0) == 0.0


def test_blue_bands_and_low_stars_suffer_most() -> None:
    g, r, i = (chromatic_shift_mas(wave, 1.414) for wave in (0.48, 0.63, 0.77))
    assert 40.0 < g < 80.0
    assert g > 1.5 * r > 2.0 * i
    assert chromatic_shift_mas(0.48, 2.0) > 1.5 * g


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("g", 0.48), ("r.MP9602", 0.63), ("g DECam SDSS c0001 4720.0 1520.0", 0.48), ("Ks", 2.2),
     ("SDSS-i", 0.77), ("sdss_z", 0.9), ("r'", 0.63), ("Halpha", None), ("", None)],
)  # fmt: skip
def test_a_filter_is_known_by_the_first_word_of_its_name(name: str, wanted: float | None) -> None:
    assert band_um(name) == wanted
