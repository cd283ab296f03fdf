"""What headers say of an exposure, and where it is looked up."""

from __future__ import annotations

from pathlib import Path

import pytest
from exposure_samples import PLAIN, image, inspected, pixels_of, write

from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings


def test_keywords_are_looked_up_in_the_chip_then_in_the_primary_header(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits",
        image(pixels_of(), "SCI", SATURATE=500.0, BUNIT="ADU"),
        EXPTIME=20.0, SATURATE=9.0, FILTER="r", GAIN=3.0, **{"MJD-OBS": 59000.0},
    )  # fmt: skip
    header = inspected(path)
    assert header.warnings == ()
    assert (header.exposure_time_s, header.flux_scale, header.filter_name) == (20.0, 0.05, "r")
    assert (header.chips[0].saturation, header.chips[0].gain) == (500.0, 3.0)
    assert header.mid_time_mjd == pytest.approx(59000.0 + 10.0 / 86400.0)
    exposure = read_exposure(header.ref, PLAIN)
    assert exposure.flux_scale == 0.05 and exposure.chips[0].gain == 3.0


def test_settings_name_other_keywords_or_give_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of(), MYTIME=50.0, ZP=27.5), DATE="x")
    settings = ImageSettings(
        exposure_time="MYTIME", zero_point="ZP", saturation=600.0, gain=4.0, mid_time=60000.5,
        units="adu",
    )  # fmt: skip
    header = inspected(path, settings)
    assert header.flux_scale == pytest.approx(0.002)
    assert header.zero_point == 27.5 and header.mid_time_mjd == 60000.5
    assert (header.chips[0].saturation, header.chips[0].gain) == (600.0, 4.0)


def test_a_keyword_that_is_asked_for_and_not_there_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of(), EXPTIME=1.0))
    assert inspected(path).warnings == ()
    said = inspected(path, ImageSettings(gain="EGAIN", saturation="FULLWELL")).warnings
    assert [text.partition(": ")[2] for text in said] == [
        "no gain EGAIN in its header; it counts as not known",
        "no saturation FULLWELL in its header; it counts as not known",
    ]


@pytest.mark.parametrize("value", [0.0, -5.0, "soon", True])
def test_an_exposure_time_that_is_none_counts_as_one_second_with_a_warning(
    tmp_path: Path, value: object
) -> None:
    header = inspected(write(tmp_path / "a.fits", image(pixels_of(), EXPTIME=value)))
    assert (header.exposure_time_s, header.flux_scale) == (1.0, 1.0)
    assert any("EXPTIME" in text and "a.fits" in text for text in header.warnings)


def test_the_mid_time_is_taken_from_a_date_where_there_is_no_mjd(tmp_path: Path) -> None:
    date = {"DATE-OBS": "2020-05-31T00:00:00", "EXPTIME": 172.8}
    assert inspected(write(tmp_path / "a.fits", image(pixels_of(), **date))).mid_time_mjd == (
        pytest.approx(59000.001)
    )
    bare = {"DATE-OBS": "2020-05-31"}
    assert inspected(write(tmp_path / "b.fits", image(pixels_of(), **bare))).mid_time_mjd is None


@pytest.mark.parametrize(
    "cards",
    [
        {"MJD-AVG": 59000.25, "MJD-OBS": 1.0},
        {"DATE-AVG": "2020-05-31T06:00:00", "MJD-OBS": 1.0, "EXPTIME": 100.0},
    ],
)
def test_an_average_time_goes_before_a_start(tmp_path: Path, cards: dict[str, object]) -> None:
    header = inspected(write(tmp_path / "a.fits", image(pixels_of(), **cards)))
    assert header.mid_time_mjd == pytest.approx(59000.25)


@pytest.mark.parametrize(
    ("value", "wanted"), [(59000.25, 59000.25), ("2020-05-31T06:00:00", 59000.25), ("soon", None)]
)
def test_a_mid_time_may_stand_under_another_keyword(
    tmp_path: Path, value: object, wanted: float | None
) -> None:
    cards = {"MIDTIME": value, "MJD-OBS": 1.0, "EXPTIME": 1.0}
    path = write(tmp_path / "a.fits", image(pixels_of(), **cards))
    header = inspected(path, ImageSettings(mid_time="MIDTIME"))
    assert header.mid_time_mjd == (None if wanted is None else pytest.approx(wanted))
    assert any("no mid time MIDTIME" in text for text in header.warnings) == (wanted is None)


def test_a_guess_about_the_wcs_is_told_with_its_place(tmp_path: Path) -> None:
    tpv = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "EXPTIME": 1.0}
    (text,) = inspected(write(tmp_path / "a.fits", image(pixels_of(), "SCI", **tpv))).warnings
    assert "a.fits SCI,1: " in text and "read as TAN" in text
