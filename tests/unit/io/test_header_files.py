"""Corrected headers: what changes, what does not, and the way back."""

from __future__ import annotations

import gzip
import string
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry, rotation_matrix
from alignsvc.domain.geometry import TangentPlane
from alignsvc.errors import HeaderError
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.header_cards import HeaderCards, new_card, value_of
from alignsvc.io.header_files import (
    NamedHdu,
    correction_run,
    hdus_with_same_wcs,
    revert,
    update_image_wcs,
    write_copy,
    write_in_place,
)
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.scamp_head import head_text, write_head
from alignsvc.io.wcs_edit import HeaderUpdate, Provenance, edited, restored
from alignsvc.io.wcs_headers import celestial_from_header
from alignsvc.numerics.sky.corrected import corrected

RUN = Provenance("run-7", "0.1", "aligned", 0.0123, 41, (0.0012, 0.0034))
SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
PIXELS = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
ROTATION = 0.02


def base_header() -> fits.Header:
    header = fits.Header()
    header["OBJECT"] = ("field 3", "what was looked at")
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = (150.1, "[deg] here"), 2.2
    header["CRPIX1"], header["CRPIX2"] = 20.5, 15.5
    header["RADESYS"] = "ICRS"
    return header


def cd_header() -> fits.Header:
    header = base_header()
    header["CD1_1"], header["CD1_2"], header["CD2_2"] = -7e-5, 1e-6, 7e-5
    return header


def pc_header() -> fits.Header:
    header = base_header()
    header["CDELT1"], header["CDELT2"] = -7e-5, 7e-5
    header["PC1_2"], header["PC2_1"] = 0.01, -0.01
    return header


def crota_header() -> fits.Header:
    header = base_header()
    header["CDELT1"], header["CDELT2"], header["CROTA2"] = -7e-5, 7e-5, 12.0
    return header


def sip_header() -> fits.Header:
    header = cd_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header["A_ORDER"], header["B_ORDER"], header["A_2_0"], header["B_1_1"] = 2, 2, 3e-4, -2e-4
    return header


def tpv_header() -> fits.Header:
    header = cd_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    header["PV1_2"], header["PV1_4"], header["PV2_7"], header["PV1_3"] = 0.01, 0.3, 2.0, 0.0
    return header


def bare_tpv_header() -> fits.Header:
    header = cd_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    return header


def declination_first_header() -> fits.Header:
    header = cd_header()
    header["CTYPE1"], header["CTYPE2"] = "DEC--TAN", "RA---TAN"
    header["CRVAL1"], header["CRVAL2"] = 2.2, 150.1
    return header


def car_header() -> fits.Header:
    header = cd_header()
    header["CTYPE1"], header["CTYPE2"] = "GLON-CAR", "GLAT-CAR"
    return header


def arcsec_header() -> fits.Header:
    header = base_header()
    header["CUNIT1"], header["CUNIT2"] = "arcsec", "arcsec"
    header["CRVAL1"], header["CRVAL2"] = 150.1 * 3600, 2.2 * 3600
    header["CDELT1"], header["CDELT2"] = -0.25, 0.25
    return header


HEADERS = {
    "cd": cd_header,
    "pc": pc_header,
    "crota": crota_header,
    "sip": sip_header,
    "tpv": tpv_header,
    "tpv without polynomials": bare_tpv_header,
    "declination first": declination_first_header,
    "galactic car": car_header,
    "arcsec": arcsec_header,
}


@pytest.fixture(params=sorted(HEADERS))
def header(request: pytest.FixtureRequest) -> fits.Header:
    return HEADERS[request.param]()


def written(path: Path, header: fits.Header, checksum: bool = False) -> Path:
    fits.PrimaryHDU(PIXELS, header).writeto(path, checksum=checksum)
    return path


def read_wcs(path: Path, hdu: int = 0) -> CelestialWcs:
    with fits.open(path) as hdus:
        return celestial_from_header(hdus[hdu].header, None, hdus[hdu].shape).wcs


def moved(wcs: CelestialWcs, shift: float = 0.4) -> CelestialWcs:
    centre = wcs.centre()
    plane = TangentPlane(float(centre.ra), float(centre.dec))
    values = (rotation_matrix(ROTATION), np.array([shift, -0.2]), Geometry.RSHIFT)
    return corrected(wcs, Correction(plane, *values, np.zeros((6, 6))))


def updates(path: Path, hdu: int = 0, shift: float = 0.4) -> list[HeaderUpdate]:
    return [HeaderUpdate(hdu, moved(read_wcs(path, hdu), shift), "ALIGNSVC", RUN)]


def difference_px(first: CelestialWcs, second: CelestialWcs) -> float:
    grid = first.grid(4)
    back = second.pixel_from_sky(first.sky_from_pixel(grid))
    return float(np.hypot(back.x - grid.x, back.y - grid.y).max())


def test_a_copy_reads_back_as_the_new_wcs(tmp_path: Path, header: fits.Header) -> None:
    source = written(tmp_path / "in.fits", header)
    [update] = updates(source)
    write_copy(source, tmp_path / "out" / "in.fits", [update])
    assert difference_px(update.wcs, read_wcs(tmp_path / "out" / "in.fits")) < 1e-7


def test_the_old_wcs_is_kept_under_a_letter(tmp_path: Path, header: fits.Header) -> None:
    source = written(tmp_path / "in.fits", header)
    write_copy(source, tmp_path / "out.fits", updates(source))
    new = fits.getheader(tmp_path / "out.fits")
    assert (new["WCSNAME"], new["WCSNAMEA"]) == ("ALIGNSVC", "INPUT")
    for keyword in ("CTYPE1", "CRVAL1", "CRVAL2", "CRPIX2"):
        assert new[keyword + "A"] == header[keyword]


def test_revert_brings_back_every_byte(tmp_path: Path, header: fits.Header) -> None:
    path = written(tmp_path / "in.fits", header)
    before = path.read_bytes()
    write_in_place(path, updates(path))
    assert path.read_bytes() != before
    assert revert(path) == 1
    assert path.read_bytes() == before


def test_pixels_and_other_cards_keep_their_bytes(tmp_path: Path, header: fits.Header) -> None:
    source = written(tmp_path / "in.fits", header)
    write_copy(source, tmp_path / "out.fits", updates(source))
    old, new = source.read_bytes(), (tmp_path / "out.fits").read_bytes()
    assert new.endswith(PIXELS.astype(">f4").tobytes().ljust(5760, b"\0"))
    card = next(old[i : i + 80] for i in range(0, 2880, 80) if old[i:].startswith(b"OBJECT"))
    assert card in new
    for keyword in ("CTYPE1", "CRPIX1", "A_2_0", "CDELT2"):
        if keyword in header:
            assert fits.getheader(tmp_path / "out.fits")[keyword] == header[keyword]


def test_the_same_correction_twice_is_once(tmp_path: Path, header: fits.Header) -> None:
    path = written(tmp_path / "in.fits", header)
    todo = updates(path)
    write_in_place(path, todo)
    once, when = path.read_bytes(), path.stat().st_mtime_ns
    write_in_place(path, todo)
    assert path.read_bytes() == once
    assert path.stat().st_mtime_ns == when


def test_a_second_correction_is_refused_and_names_the_first(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    todo = updates(path)
    write_in_place(path, todo)
    once = path.read_bytes()
    for other in (updates(path), [replace(todo[0], provenance=replace(RUN, run="run-8"))]):
        with pytest.raises(HeaderError, match="ALIGNRUN = 'run-7'"):
            write_in_place(path, other)
    assert path.read_bytes() == once
    assert correction_run(path) == "run-7"


def test_the_matrix_keeps_the_form_of_the_header(tmp_path: Path) -> None:
    for name, header in (("pc", pc_header()), ("crota", crota_header()), ("cd", cd_header())):
        path = written(tmp_path / f"{name}.fits", header)
        write_in_place(path, updates(path))
        new = fits.getheader(path)
        assert ("CD1_1" in new) == (name == "cd")
        assert ("PC1_1" in new) == (name != "cd")
        assert "CROTA2" not in new
        if name != "cd":
            assert new["CDELT1"] == header["CDELT1"]


def test_redundant_angles_and_steps_follow(tmp_path: Path) -> None:
    header = cd_header()
    header["ORIENTAT"], header["PA_APER"], header["CROTA2"] = 10.0, 350.0, -10.0
    header["CDELT1"], header["S_REGION"] = -7e-5, "POLYGON ICRS 1 2 3 4"
    path = written(tmp_path / "in.fits", header)
    said = write_in_place(path, updates(path))
    new = fits.getheader(path)
    assert new["ORIENTAT"] == pytest.approx(10.0 + ROTATION, abs=1e-5)
    assert new["PA_APER"] == pytest.approx(350.0 + ROTATION, abs=1e-5)
    assert new["CROTA2"] == pytest.approx(-10.0 - ROTATION, abs=1e-5)
    assert new["CDELT1"] == pytest.approx(-7e-5, rel=1e-6)
    assert len(said) == 1 and "S_REGION" in said[0]
    revert(path)
    assert fits.getheader(path)["ORIENTAT"] == 10.0


def test_provenance_stands_in_the_header(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    write_in_place(path, updates(path))
    new = fits.getheader(path)
    assert (new["ALIGNRUN"], new["ALIGNVER"], new["ALIGNSTA"]) == ("run-7", "0.1", "aligned")
    assert (new["ALIGNRMS"], new["ALIGNNSR"]) == (0.0123, 41)
    assert new["CRDER1"] == pytest.approx(0.0012 / 3600.0)
    assert len(new["HISTORY"]) == 1 and "run-7" in new["HISTORY"][0]


def test_a_header_that_grew_by_a_block_shrinks_again(tmp_path: Path) -> None:
    header = tpv_header()
    for i in range(28):
        header[f"KEY{i}"] = i
    path = written(tmp_path / "in.fits", header)
    before = path.read_bytes()
    write_in_place(path, updates(path))
    assert path.stat().st_size > len(before)
    revert(path)
    assert path.read_bytes() == before


def test_blank_cards_before_the_end_stay_where_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    raw = path.read_bytes()
    end = raw.index(b"END     ")
    path.write_bytes((raw[:end].ljust(4000) + b"END").ljust(5760) + raw[2880:])
    before = path.read_bytes()
    write_in_place(path, updates(path))
    revert(path)
    assert path.read_bytes() == before


def test_checksums_are_renewed_and_come_back(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header(), checksum=True)
    before = path.read_bytes()
    write_in_place(path, updates(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            assert hdus[0].verify_checksum() == 1
            assert hdus[0].verify_datasum() == 1
    revert(path)
    assert path.read_bytes() == before


def test_a_gzip_file_keeps_its_pixels_and_has_no_time_in_it(tmp_path: Path) -> None:
    plain = written(tmp_path / "in.fits", cd_header())
    path = tmp_path / "in.fits.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    write_copy(path, tmp_path / "a.fits.gz", updates(plain))
    write_copy(path, tmp_path / "b.fits.gz", updates(plain))
    assert (tmp_path / "a.fits.gz").read_bytes() == (tmp_path / "b.fits.gz").read_bytes()
    write_copy(plain, tmp_path / "c.fits", updates(plain))
    unzipped = gzip.decompress((tmp_path / "a.fits.gz").read_bytes())
    assert unzipped == (tmp_path / "c.fits").read_bytes()
    revert(tmp_path / "a.fits.gz")
    assert gzip.decompress((tmp_path / "a.fits.gz").read_bytes()) == plain.read_bytes()


def test_a_gzip_file_taken_back_is_known_as_what_it_was(tmp_path: Path) -> None:
    """Though it was compressed by somebody else, to another size."""
    plain = written(tmp_path / "in.fits", cd_header())
    path = tmp_path / "in.fits.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=1))
    size = path.stat().st_size

    def known_as() -> str:
        found = inspect_exposure(ExposureCandidate("in", (str(path),)), ImageSettings())
        return found.ref.fingerprint

    before = known_as()
    write_in_place(path, updates(plain))
    assert known_as() != before
    revert(path)
    assert path.stat().st_size != size
    assert known_as() == before


def test_tile_compressed_pixels_keep_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "in.fits.fz"
    hdu = fits.CompImageHDU(PIXELS, cd_header(), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)
    before = path.read_bytes()
    write_copy(path, tmp_path / "out.fits.fz", updates(path, 1))
    with (
        fits.open(path, disable_image_compression=True) as old,
        fits.open(tmp_path / "out.fits.fz", disable_image_compression=True) as new,
    ):
        assert old[1].data.tobytes() == new[1].data.tobytes()
    assert difference_px(updates(path, 1)[0].wcs, read_wcs(tmp_path / "out.fits.fz", 1)) < 1e-7
    revert(tmp_path / "out.fits.fz")
    assert (tmp_path / "out.fits.fz").read_bytes() == before


def test_all_hdus_with_the_same_wcs_can_be_found_and_corrected(tmp_path: Path) -> None:
    other = cd_header()
    other["CRVAL1"] = 150.2
    hdus = [fits.PrimaryHDU()]
    hdus += [
        fits.ImageHDU(PIXELS, h, name=n)
        for n, h in (("SCI", cd_header()), ("ERR", cd_header()), ("DQ", other))
    ]
    path = tmp_path / "in.fits"
    fits.HDUList(hdus).writeto(path)
    before = path.read_bytes()
    assert hdus_with_same_wcs(path, 1) == (NamedHdu(2, "ERR"),)
    [first] = updates(path, 1)
    write_in_place(path, [first, replace(first, hdu=2)])
    assert difference_px(read_wcs(path, 1), read_wcs(path, 2)) < 1e-8
    assert fits.getheader(path, 3)["CRVAL1"] == 150.2
    assert revert(path) == 2
    assert path.read_bytes() == before


def test_the_next_free_letter_is_taken_until_there_is_none(tmp_path: Path) -> None:
    header = cd_header()
    for letter in "AB":
        header[f"CTYPE1{letter}"] = "LINEAR"
    path = written(tmp_path / "in.fits", header)
    write_in_place(path, updates(path))
    assert "CRVAL1C" in fits.getheader(path)
    for letter in string.ascii_uppercase:
        header[f"WCSNAME{letter}"] = "other"
    full = written(tmp_path / "full.fits", header)
    before = full.read_bytes()
    with pytest.raises(HeaderError, match="A to Z are taken"):
        write_in_place(full, updates(full))
    assert full.read_bytes() == before


def test_a_card_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    todo = updates(path)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"OBJECT  =", b"CRVAL1  =").replace(b"'field 3 '", b"     150.1"))
    with pytest.raises(HeaderError, match="2 times"):
        write_in_place(path, todo)


def test_revert_refuses_a_header_that_others_have_changed(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    with pytest.raises(HeaderError, match="nothing to revert"):
        revert(path)
    write_in_place(path, updates(path))
    path.write_bytes(path.read_bytes().replace(b"field 3", b"field 4"))
    changed = path.read_bytes()
    with pytest.raises(HeaderError, match="other hands"):
        revert(path)
    assert path.read_bytes() == changed


def test_a_failed_write_leaves_the_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    todo, before = updates(path), path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HeaderError, match="no space left"):
        write_in_place(path, todo)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["in.fits"]


@pytest.mark.parametrize("cut", [100, 2880, 4000])
def test_a_file_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    todo = updates(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(HeaderError, match="cut short"):
        write_copy(path, tmp_path / "out.fits", todo)
    assert not (tmp_path / "out.fits").exists()


def test_a_wcs_of_another_projection_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    alien = CelestialWcs(WCS(sip_header()), PIXELS.shape)
    with pytest.raises(HeaderError, match="would read"):
        write_in_place(path, [HeaderUpdate(0, moved(alien))])


def test_a_file_with_gwcs_is_copied_with_a_warning_but_not_changed_in_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.fits"
    table = fits.BinTableHDU(np.zeros(2, dtype=[("ASDF_METADATA", "u1")]), name="ASDF")
    fits.HDUList([fits.PrimaryHDU(PIXELS, cd_header()), table]).writeto(path)
    with pytest.raises(HeaderError, match="ASDF"):
        write_in_place(path, updates(path))
    assert "ASDF" in write_copy(path, tmp_path / "out.fits", updates(path))[0]


@pytest.mark.parametrize("ext", [1, "SCI", ("SCI", 1)])
def test_an_image_can_be_updated_by_path_or_open(
    tmp_path: Path, ext: int | str | tuple[str, int]
) -> None:
    path = tmp_path / "in.fits"
    hdu = fits.ImageHDU(PIXELS, crota_header(), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    before = path.read_bytes()
    wcs = moved(read_wcs(path, 1))
    with fits.open(path) as hdus:
        update_image_wcs(hdus, ext, wcs, "MINE")
        in_memory = celestial_from_header(hdus[1].header, None, PIXELS.shape).wcs
        hdus.writeto(tmp_path / "memory.fits")
    assert difference_px(wcs, in_memory) < 1e-7
    update_image_wcs(path, ext, wcs, "MINE")
    assert difference_px(wcs, read_wcs(path, 1)) < 1e-7
    assert fits.getheader(path, 1)["WCSNAME"] == "MINE"
    revert(path)
    assert path.read_bytes() == before
    revert(tmp_path / "memory.fits")
    assert (tmp_path / "memory.fits").read_bytes() == before


def test_an_extension_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "in.fits", cd_header())
    with pytest.raises(HeaderError, match="'WHT'"):
        update_image_wcs(path, "WHT", moved(read_wcs(path)))


@settings(deadline=None, max_examples=60)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12))
def test_a_number_comes_back_to_the_last_bit(value: float) -> None:
    image = new_card("KEYWORD", value, "a comment")
    assert len(image) == 80
    assert value_of(image) == value
    assert fits.Card.fromstring(image).value == value


def test_texts_with_quotes_and_odd_cards_survive_the_way_back() -> None:
    header = cd_header()
    header["ORIENTAT"] = (5.0, "the observer's 'angle', at /length/ here too")
    cards = HeaderCards(tuple(str(c).encode() for c in header.cards))
    wcs = celestial_from_header(header, None, PIXELS.shape).wcs
    result = edited(cards, HeaderUpdate(0, moved(wcs)))
    assert restored(result.cards).to_bytes() == cards.to_bytes()


# .head files


def heads(text: str) -> list[fits.Header]:
    blocks = text.split("END\n")[:-1]
    return [fits.Header.fromstring(block, sep="\n") for block in blocks]


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_a_head_file_says_the_same_to_a_reader_without_sip(name: str) -> None:
    wcs = moved(celestial_from_header(HEADERS[name](), None, PIXELS.shape).wcs)
    [head] = heads(head_text([wcs], RUN))
    assert head["CTYPE1"] in {"RA---TAN", "RA---TPV"}
    again = CelestialWcs(WCS(head), PIXELS.shape)
    assert difference_px(wcs, again) < 1e-3


def test_each_science_hdu_has_a_header_of_its_own_closed_by_end(tmp_path: Path) -> None:
    wcs = moved(celestial_from_header(sip_header(), None, PIXELS.shape).wcs)
    write_head(tmp_path / "deep" / "a.head", head_text([wcs, wcs], RUN))
    text = (tmp_path / "deep" / "a.head").read_text("ascii")
    assert text.count("\nEND\n") == 2 and text.endswith("END\n")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert len(heads(text)) == 2


# Real exposures

REAL = {
    "wcs_samples/sipsample.fits": 0,
    "wcs_samples/tpv.fits": 0,
    "wcs_samples/tnx.fits": 0,
    "wcs_samples/zpx.fits": 0,
    "vircam_h/image_1.fits": 1,
    "tn_rvi/i.fits": 0,
    "decam_offset/DEC-OBS04a.mini.fits": 0,
    "decam_sparse/c4d_150411_035242_ooi_z_ls9.N3.fits": 1,
}


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(REAL))
def test_real_headers_are_corrected_and_restored(tmp_path: Path, name: str) -> None:
    source = SHARED / name
    if not source.exists():
        pytest.skip(f"no real exposures at {SHARED}")
    hdu = REAL[name]
    with fits.open(source) as hdus:
        wcs = celestial_from_header(hdus[hdu].header, None, hdus[hdu].shape).wcs
    new, path = moved(wcs), tmp_path / "copy.fits"
    write_copy(source, path, [HeaderUpdate(hdu, new, "ALIGNSVC", RUN)])
    with fits.open(path) as hdus, fits.open(source) as before:
        again = celestial_from_header(hdus[hdu].header, None, hdus[hdu].shape).wcs
        np.testing.assert_array_equal(hdus[hdu].data, before[hdu].data)
    assert difference_px(new, again) < 1e-6
    [head] = heads(head_text([new], RUN))
    assert difference_px(new, CelestialWcs(WCS(head), wcs.shape)) < 1e-3
    revert(path)
    assert path.read_bytes() == source.read_bytes()


def test_a_place_that_cannot_be_written_is_the_one_named(tmp_path: Path) -> None:
    source = tmp_path / "in.fits"
    fits.PrimaryHDU(np.zeros((4, 4), np.float32)).writeto(source)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HeaderError, match=r"file/out\.fits: cannot be written: .+"):
        write_copy(source, tmp_path / "file" / "out.fits", [])


def test_a_file_that_is_not_there_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeaderError, match=r"none\.fits: cannot be read: No such file"):
        revert(tmp_path / "none.fits")
