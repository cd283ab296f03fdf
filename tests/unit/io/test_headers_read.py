"""Headers that a run keeps: the same to the bit as if read again, and never of a changed file."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from exposure_samples import (
    PLAIN,
    candidate,
    image,
    inspected,
    pixels_of,
    sidecar_settings,
    write,
)
from object_servers import http_site

from alignsvc.domain.digest import digest_of
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.headers_read import (
    find_headers,
    has_headers_so_far,
    keep_headers,
    keep_headers_so_far,
)
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.locations import HEADERS_READ
from alignsvc.io.objects import LocalObjects

SIP = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2, "A_2_0": 1e-5, "B_ORDER": 2, "B_0_2": 2e-5,
}  # fmt: skip
TPV = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.01, "PV1_0": -0.0, "PV2_4": 0.1}


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "run", is_scratch=True)


def kept(
    objects: LocalObjects, path: Path, settings: ImageSettings = PLAIN
) -> ExposureHeader | None:
    """Return what the run knows of a file, having kept nothing of it since."""
    one = candidate(path)
    return find_headers(objects, settings).unchanged_among(one.files).header_of(one)


def bits_of(header: ExposureHeader) -> str:
    """Return a digest of all of a header, and of where its WCS put some pixels."""
    values = [getattr(header, f.name) for f in fields(header) if f.name != "wcs"]
    places = [np.stack(wcs.sky_from_pixel(wcs.grid(7))) for wcs in header.wcs]
    back = [np.stack(wcs.pixel_from_sky(wcs.centre())) for wcs in header.wcs]
    scales = [(wcs.shape, wcs.projection, wcs.pixel_scale_arcsec) for wcs in header.wcs]
    return digest_of(tuple(values), tuple(places), tuple(back), tuple(scales))


@pytest.mark.parametrize(
    "cards",
    [
        {},
        SIP,
        TPV,
        {"RADESYS": "FK5", "EQUINOX": 1975.0, "LONPOLE": 170.0},
        {"CTYPE1": "GLON-ZPN", "CTYPE2": "GLAT-ZPN", "PV2_1": 1.0, "PV2_3": 0.1},
        {"EXPTIME": 30.0, "FILTER": "r", "DATE-OBS": "2020-01-01T00:00:00", "GAIN": "much"},
    ],
)
def test_a_kept_header_is_the_header_to_the_bit(
    tmp_path: Path, objects: LocalObjects, cards: dict[str, object]
) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of(), **cards), image(pixels_of(), **cards))
    header = inspected(path)
    keep_headers(objects, [header], PLAIN)
    again = kept(objects, path)
    assert again is not None and bits_of(again) == bits_of(header)


def change_a_card(path: Path) -> None:
    fits.setval(path, "CRVAL1", value=10.5, ext=1)


def append_an_hdu(path: Path) -> None:
    fits.append(path, pixels_of())


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def replace_by_noise(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def take_away(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    "change", [change_a_card, append_an_hdu, cut_short, replace_by_noise, take_away]
)
def test_a_changed_file_is_not_believed_whatever_its_time_stamp_says(
    tmp_path: Path, objects: LocalObjects, change: object
) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of()))
    before = path.stat()
    keep_headers(objects, [inspected(path)], PLAIN)
    assert callable(change)
    change(path)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept(objects, path) is None


def test_a_new_time_stamp_alone_changes_nothing(tmp_path: Path, objects: LocalObjects) -> None:
    path = write(tmp_path / "a.fits.gz", image(pixels_of()))
    keep_headers(objects, [inspected(path)], PLAIN)
    os.utime(path, (1.0, 1.0))
    assert kept(objects, path) is not None


def test_a_sidecar_is_looked_at_too(tmp_path: Path, objects: LocalObjects) -> None:
    path = write(tmp_path / "a_i.fits", image(pixels_of()))
    weight = write(tmp_path / "a_w.fits", image(pixels_of()))
    settings = sidecar_settings()
    keep_headers(objects, [inspect_exposure(candidate(path), settings)], settings)
    assert kept(objects, path, settings) is not None
    fits.setval(weight, "NOTE", value="another", ext=1)
    assert kept(objects, path, settings) is None


def test_look_up_tables_are_data_so_their_headers_are_read_again(
    tmp_path: Path, objects: LocalObjects
) -> None:
    chip, tables = image(pixels_of(), "SCI"), []
    for axis in (1, 2):
        chip.header[f"CPDIS{axis}"] = "LOOKUP"
        for name, value in {"EXTVER": axis, "NAXES": 2, "AXIS.1": 1, "AXIS.2": 2}.items():
            chip.header[f"DP{axis}.{name}"] = float(value)
        table = fits.ImageHDU(np.full((4, 4), 0.5, np.float32), name="WCSDVARR", ver=axis)
        for name, value in {"CRPIX": 0.0, "CRVAL": 0.0, "CDELT": 5.0}.items():
            table.header[f"{name}1"] = table.header[f"{name}2"] = value
        tables.append(table)
    path = write(tmp_path / "a.fits", chip, *tables)
    header = inspected(path)
    assert header.wcs[0].has_tables
    keep_headers(objects, [header], PLAIN)
    assert kept(objects, path) is None


def test_other_settings_read_all_again_and_say_so(tmp_path: Path, objects: LocalObjects) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of()))
    keep_headers(objects, [inspected(path)], PLAIN)
    found = find_headers(objects, ImageSettings(gain="EGAIN"))
    assert not found.entries and "other settings" in found.note


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 1}', b"\xff"])
def test_what_is_damaged_is_not_used_and_a_note_says_so(
    tmp_path: Path, objects: LocalObjects, damage: bytes
) -> None:
    path = write(tmp_path / "a.fits", image(pixels_of()))
    keep_headers(objects, [inspected(path)], PLAIN)
    title, line = objects.get(HEADERS_READ).split(b"\n")
    for content in (damage, title, title + b"\n" + damage, title + b"\n" + line[:-9] + b"0" * 9):
        objects.put(HEADERS_READ, content)
        found = find_headers(objects, PLAIN)
        assert not found.entries and HEADERS_READ in found.note


def test_a_run_that_keeps_nothing_has_nothing_to_say(objects: LocalObjects) -> None:
    found = find_headers(objects, PLAIN)
    assert not found.entries and found.note == ""


def test_what_a_stopped_reading_kept_counts_until_all_is_kept_in_one(
    tmp_path: Path, objects: LocalObjects
) -> None:
    paths = [write(tmp_path / f"{name}.fits", image(pixels_of(), X=name)) for name in "abc"]
    candidates = [ExposureCandidate(path.stem, (str(path),)) for path in paths]
    headers = [inspect_exposure(one, PLAIN) for one in candidates]

    def known() -> list[bool]:
        found = find_headers(objects, PLAIN).unchanged_among([str(path) for path in paths])
        return [found.header_of(one) is not None for one in candidates]

    keep_headers_so_far(objects, headers[:1], PLAIN)
    keep_headers_so_far(objects, headers[1:2], PLAIN)
    assert has_headers_so_far(objects) and known() == [True, True, False]
    keep_headers(objects, headers, PLAIN)
    assert not has_headers_so_far(objects) and known() == [True, True, True]


def test_files_behind_urls_are_believed_as_long_as_they_are_what_they_were(
    tmp_path: Path, objects: LocalObjects
) -> None:
    with http_site() as site:
        urls = [f"{site.address}/{name}.fits" for name in "ab"]
        for url in urls:
            site.files[f"/{url[-6:]}"] = write(tmp_path / url[-6:], image(pixels_of())).read_bytes()
        candidates = [ExposureCandidate(url[-6:-5], (url,)) for url in urls]
        keep_headers(objects, [inspect_exposure(one, PLAIN) for one in candidates], PLAIN)
        known = find_headers(objects, PLAIN)
        same = known.unchanged_among(urls)
        assert same.group_ids() == {url: url[-6:-5] for url in urls}
        assert all(same.header_of(one) is not None for one in candidates)
        changed = write(tmp_path / "c.fits", image(pixels_of(), OBSERVER="another"))
        site.files["/b.fits"] = changed.read_bytes()
        found = [known.unchanged_among(urls).header_of(one) for one in candidates]
        assert [one is not None for one in found] == [True, False]
