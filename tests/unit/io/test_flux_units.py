"""From units to one flux scale, and to electrons."""

from __future__ import annotations

import pytest

from alignsvc.io.flux_units import electrons_per_unit, flux_scale, pixel_units


@pytest.mark.parametrize(
    ("units", "time", "zero_point", "scale"),
    [
        ("adu", 10.0, None, 0.1),
        ("DN", 10.0, None, 0.1),
        ("electron", 10.0, None, 0.1),
        ("", 10.0, None, 0.1),
        ("furlong", 10.0, None, 0.1),
        ("", None, None, 1.0),
        ("ELECTRONS/S", 10.0, None, 1.0),
        ("counts s-1", 10.0, None, 1.0),
        ("adu / sec", 10.0, None, 1.0),
        ("MJy/sr", 10.0, None, 1.0),
        ("nJy", 10.0, None, 1.0),
        ("erg/s/cm^2/Angstrom", 10.0, None, 1.0),
        ("adu", 10.0, 27.5, 0.01),
        ("adu/s", 10.0, 27.5, 0.1),
        ("nanomaggies", 10.0, 22.5, 10.0),
    ],
)
def test_fluxes_of_one_source_agree_whatever_the_units(
    units: str, time: float | None, zero_point: float | None, scale: float
) -> None:
    assert flux_scale(pixel_units(units), time, zero_point) == pytest.approx(scale)


@pytest.mark.parametrize(
    ("units", "gain", "time", "wanted"),
    [
        ("adu", 2.0, 10.0, 2.0),
        ("", 2.0, 10.0, 2.0),
        ("electron", 2.0, 10.0, 1.0),
        ("electron/s", None, 10.0, 10.0),
        ("adu/s", 2.0, 10.0, 20.0),
        ("adu/s", 2.0, None, None),
        ("adu", None, 10.0, None),
        ("MJy/sr", 2.0, 10.0, None),
    ],
)
def test_the_gain_is_that_of_one_unit_of_the_pixels(
    units: str, gain: float | None, time: float | None, wanted: float | None
) -> None:
    assert electrons_per_unit(pixel_units(units), gain, time) == wanted
