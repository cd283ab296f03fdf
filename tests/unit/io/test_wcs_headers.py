"""Headers as they are found: what is read, what is mended with a warning, what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.errors import DataError
from alignsvc.io.wcs_headers import (
    ReadWcs,
    celestial_from_file,
    celestial_from_header,
    image_wcs_from_file,
    names_celestial,
)
from alignsvc.reasons import FailureKind

DATA = Path(__file__).resolve().parents[3] / "../shared/data"
SHAPE = (80, 100)
TAN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
    "CRPIX1": 50.0, "CRPIX2": 40.0, "CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1e-4,
}  # fmt: skip
SIP = {"A_ORDER": 2, "A_2_0": 1e-5, "B_ORDER": 2, "B_0_2": 2e-5}


def header_of(*changes: dict[str, object]) -> fits.Header:
    """The plain TAN header with cards changed; None takes a card out."""
    cards: dict[str, object] = {"NAXIS": 2, "NAXIS1": SHAPE[1], "NAXIS2": SHAPE[0], **TAN}
    for change in changes:
        cards |= change
    header = fits.Header()
    for keyword, value in cards.items():
        if value is not None:
            header[keyword] = value
    return header


def read(*changes: dict[str, object]) -> ReadWcs:
    return celestial_from_header(header_of(*changes), None, SHAPE)


def projected(code: str) -> dict[str, object]:
    return {"CTYPE1": f"RA---{code}", "CTYPE2": f"DEC--{code}"}


def own_sky(wcs: CelestialWcs) -> SkyPoints:
    """Corner-to-corner positions in the header's own frame."""
    return wcs.frame.from_icrs(wcs.sky_from_pixel(wcs.grid(5)))


def astropy_sky(header: fits.Header, wcs: CelestialWcs) -> SkyPoints:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = WCS(header)
        world = oracle.all_pix2world(np.stack(wcs.grid(5), axis=1), 0)
    return SkyPoints(world[:, oracle.wcs.lng], world[:, oracle.wcs.lat])


def largest_px(one: SkyPoints, other: SkyPoints, wcs: CelestialWcs) -> float:
    east = (one.ra - other.ra) * np.cos(np.radians(one.dec))
    apart_deg = np.hypot(east, one.dec - other.dec)
    return float(apart_deg.max() * 3600.0 / wcs.pixel_scale_arcsec)


def assert_same_sky(one: ReadWcs, other: ReadWcs) -> None:
    a, b = (w.wcs.sky_from_pixel(w.wcs.grid(5)) for w in (one, other))
    assert largest_px(a, b, one.wcs) < 1e-8


# What astropy reads is read, and means the same.


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"CD1_1": 1e-4},
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 10.0},
        {**projected("TAN-SIP"), **SIP},
        {**projected("ZPN"), "PV2_1": 1.0, "PV2_3": 44.0},
        projected("SIN"),
        projected("STG"),
        projected("ARC"),
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
        {"CTYPE1": "ELON-CAR", "CTYPE2": "ELAT-CAR"},
        {f"CD{i}_{j}": None for i in (1, 2) for j in (1, 2)}
        | {"CDELT1": -1e-4, "CDELT2": 1e-4, "PC1_1": 0.8, "PC1_2": 0.6, "PC2_1": -0.6}
        | {"PC2_2": 0.8},
        {f"CD{i}_{j}": None for i in (1, 2) for j in (1, 2)}
        | {"CDELT1": -1e-4, "CDELT2": 1e-4, "CROTA2": 30.0},
        {"CRVAL1": 36000.0, "CRVAL2": 72000.0, "CUNIT1": "arcsec", "CUNIT2": "arcsec"}
        | {f"CD{i}_{j}": 0.36 * (i == j) + 0.01 for i in (1, 2) for j in (1, 2)},
        {"CRVAL2": 90.0},
        {"EQUINOX": 1950.0, "RADESYS": "FK4"},
        {"LONPOLE": 150.0},
        {"CTYPE1A": "LINEAR", "CTYPE2A": "LINEAR", "DATE-OBS": "2020-01-01"},
    ],
)
def test_what_astropy_reads_is_read_the_same_without_a_warning(change: dict[str, object]) -> None:
    got = read(change)
    assert got.warnings == ()
    assert largest_px(own_sky(got.wcs), astropy_sky(header_of(change), got.wcs), got.wcs) < 1e-8


def test_either_parity_and_either_order_of_axes() -> None:
    usual, mirrored = read(), read({"CD1_1": 1e-4})
    assert (usual.wcs.parity, mirrored.wcs.parity) == (-1, 1)
    swapped = read(
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 10.0}
        | {"CD1_1": 2e-5, "CD1_2": 1e-4, "CD2_1": -1e-4, "CD2_2": 2e-5}
    )
    assert swapped.wcs.parity == -1
    assert_same_sky(usual, swapped)


def test_an_image_cut_from_a_cube_uses_the_two_celestial_axes() -> None:
    cube = {"WCSAXES": 3, "CTYPE3": "FREQ", "CRVAL3": 1e9, "CRPIX3": 1.0, "CD3_3": 1e6}
    got = read(cube)
    assert got.warnings == ()
    assert_same_sky(got, read())


@pytest.mark.parametrize("axes", [None, 2, 3])
def test_a_third_axis_that_nothing_is_said_of_is_nothing_to_the_sky(axes: int | None) -> None:
    got = read({"NAXIS": 3, "NAXIS3": 1, "WCSAXES": axes})
    assert got.warnings == ()
    assert_same_sky(got, read())


@pytest.mark.parametrize(
    ("change", "system"),
    [
        ({}, "ICRS"),
        ({"EQUINOX": 2000.0}, "FK5"),
        ({"EQUINOX": 1950.0}, "FK4"),
        ({"EPOCH": 1950.0}, "FK4"),
        ({"RADECSYS": "FK5"}, "FK5"),
        ({"RADESYS": "icrs ", "EQUINOX": 1950.0}, "ICRS"),
    ],
)
def test_the_frame_follows_the_defaults_of_the_standard(
    change: dict[str, object], system: str
) -> None:
    assert_same_sky(read(change), read({"RADESYS": system, "EQUINOX": change.get("EQUINOX", 1950.0)}
                                       if system == "FK4" else {"RADESYS": system}))  # fmt: skip
    assert read(change).warnings == ()


def test_look_up_tables_are_found_in_the_file(tmp_path: Path) -> None:
    header = header_of({"CPDIS1": "LOOKUP", "CPDIS2": "LOOKUP"})
    for axis in (1, 2):
        for name, value in (("EXTVER", float(axis)), ("AXIS.1", 1.0), ("AXIS.2", 2.0)):
            header[f"DP{axis}.{name}"] = value
        header[f"DP{axis}.NAXES"] = 2.0
    tables = []
    for axis in (1, 2):
        table = fits.ImageHDU(np.full((9, 11), 0.5 * axis, np.float32), name="WCSDVARR", ver=axis)
        for keyword, value in (("CRPIX", 0.0), ("CRVAL", 0.0), ("CDELT", 10.0)):
            table.header[f"{keyword}1"] = table.header[f"{keyword}2"] = value
        tables.append(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "a.fits"
        image = fits.ImageHDU(np.zeros(SHAPE, np.float32), header)
        fits.HDUList([fits.PrimaryHDU(), image, *tables]).writeto(path)
    with fits.open(path) as hdus:
        got = celestial_from_header(hdus[1].header, hdus, SHAPE)
    assert got.wcs.has_distortion and got.warnings == ()
    moved = got.wcs.sky_from_pixel(Points(np.array([30.0]), np.array([20.0])))
    plain = read().wcs.sky_from_pixel(Points(np.array([30.5]), np.array([21.0])))
    assert largest_px(moved, plain, got.wcs) < 1e-6


# TPV.

TPV_PV = {"PV1_0": 1e-5, "PV1_1": 1.01, "PV1_2": 0.002, "PV1_4": 0.1, "PV2_0": -1e-5} | {
    "PV2_1": 0.99, "PV2_2": -0.003, "PV2_5": 0.2, "PV2_10": 0.5, "PV1_39": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("change", [TPV_PV, {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_3": 0.2}])
def test_tpv_means_what_it_means_to_astropy(change: dict[str, object]) -> None:
    tpv = projected("TPV") | change
    got = read(tpv)
    assert got.wcs.projection == "TPV" and got.warnings == ()
    assert largest_px(own_sky(got.wcs), astropy_sky(header_of(tpv), got.wcs), got.wcs) < 1e-8


def test_a_tpv_header_without_pv_is_tan_with_a_warning() -> None:
    got = read(projected("TPV"))
    assert "no PV coefficients" in got.warnings[0]
    assert got.wcs.projection == "TAN"
    assert_same_sky(got, read())


def test_an_absent_linear_tpv_coefficient_is_one() -> None:
    # As the convention has it; the reader underneath takes it for 0, which collapses the axis.
    assert_same_sky(read(projected("TPV"), {"PV1_1": 1.0}), read())
    full = {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 0.1}
    assert_same_sky(read(projected("TPV"), {"PV1_4": 0.1}), read(projected("TPV"), full))


def test_tan_with_polynomial_pv_is_tpv_with_a_warning() -> None:
    got = read(TPV_PV)
    assert "read as TPV" in got.warnings[0]
    assert_same_sky(got, read(projected("TPV"), TPV_PV))


# SIP.


def test_sip_counts_only_where_ctype_says_so() -> None:
    got = read(SIP)
    assert "not used" in got.warnings[0]
    assert not got.wcs.has_distortion
    assert_same_sky(got, read())
    empty = read(projected("TAN-SIP"))
    assert "no SIP coefficients" in empty.warnings[0]
    assert_same_sky(empty, read())


def test_sip_wins_over_pv() -> None:
    got = read(projected("TAN-SIP"), SIP, TPV_PV)
    assert "SIP was used" in got.warnings[0]
    assert_same_sky(got, read(projected("TAN-SIP"), SIP))


# Mended, with a warning.


@pytest.mark.parametrize(
    ("change", "same_as", "said"),
    [
        ({"CRVAL1": "10.0", "CD1_1": "-1D-4"}, {}, "read as the number"),
        ({"CTYPE1": "ra---tan", "CTYPE2": "dec--tan"}, {}, None),
        ({"PC1_1": 0.7, "PC2_2": 0.7, "CDELT1": 3.0}, {}, "CD was used"),
        ({"EQUINOX": "J2000"}, {"EQUINOX": 2000.0}, "read as 2000"),
        ({"RADESYS": "J2000"}, {"RADESYS": "FK5"}, "read as FK5"),
        ({"CUNIT1": "DEGREES", "CUNIT2": "DEGREES"}, {}, "mended"),
    ],
)
def test_small_faults_are_mended(
    change: dict[str, object], same_as: dict[str, object], said: str | None
) -> None:
    got = read(change)
    assert_same_sky(got, read(same_as))
    assert got.warnings == () if said is None else said in " ".join(got.warnings)


def test_the_header_given_is_not_changed() -> None:
    header = header_of(projected("TPV"), {"CRVAL1": "10.0"})
    before = header.tostring()
    celestial_from_header(header, None, SHAPE)
    assert header.tostring() == before


# Refused.


@pytest.mark.parametrize(
    "change",
    [
        {"CTYPE1": None, "CTYPE2": None},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE2": None},
        {"CTYPE1": "PIXEL"},
    ],
)
def test_a_header_without_two_celestial_axes_has_no_wcs(change: dict[str, object]) -> None:
    assert not names_celestial(header_of(change))
    with pytest.raises(DataError, match="no celestial WCS") as caught:
        read(change)
    assert caught.value.kind is FailureKind.NO_WCS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1e-4}, "."),
        ({"CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1.000000001e-4}, "no area"),
        ({f"CD{i}_{j}": 0.0 for i in (1, 2) for j in (1, 2)}, "is zero"),
        ({"CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "is zero"),
        ({f"CD{i}_{j}": None for i in (1, 2) for j in (1, 2)}, "no scale"),
        ({"CRVAL2": None}, "CRVAL2 is absent"),
        ({"CRVAL1": "north"}, "where a number is wanted"),
        ({"CRVAL1": "nan"}, "where a number is wanted"),
        ({"CTYPE2": "DEC--SIN"}, "."),
        ({"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"}, "."),
        ({"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}, "."),
        ({"RADESYS": "GAPPT"}, "GAPPT"),
        ({"EQUINOX": "now"}, "where a year is wanted"),
        ({"CRPIX1": 1e9} | projected("SIN"), "no place on the sky"),
        ({"CRVAL2": 120.0}, "."),
        ({"PV1_40": 1.0} | projected("TPV"), "PV1_40"),
        ({"A_ORDER": 2, "A_2_0": 1e-5} | projected("TAN-SIP"), "B_ORDER"),
        ({"CTYPE3": "DEC--TAN", "CTYPE2": "FREQ", "WCSAXES": 3}, "is axis 3"),
        (projected("TNX") | {"WAT1_001": 'lngcor = "1. 2. 3. "'}, "3 numbers"),
    ],
)
def test_a_wcs_that_maps_nothing_is_refused_with_the_reason(
    change: dict[str, object], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(change)
    assert caught.value.kind is FailureKind.BAD_WCS
    assert "the header's WCS cannot be used: " in str(caught.value)
    assert "\n" not in str(caught.value)


# Whole files.


def test_a_fits_file_or_a_header_kept_as_text_gives_the_same_wcs(tmp_path: Path) -> None:
    header = header_of()
    table, text = tmp_path / "a.fits", tmp_path / "a.head"
    image = fits.ImageHDU(np.zeros(SHAPE, np.float32), header)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(table)
    cards = "COMMENT by Émile\n" + header.tostring(sep="\n") + "\nEND     \nCRVAL1  = 3.0\n"
    text.write_text(cards, encoding="latin-1")
    for path in (table, text):
        got = celestial_from_file(str(path))
        assert got.shape == SHAPE
        assert_same_sky(ReadWcs(got), read())


def test_a_text_header_without_a_size_has_crpix_at_its_centre(tmp_path: Path) -> None:
    header = header_of({"NAXIS1": None, "NAXIS2": None})
    (tmp_path / "a.head").write_text(header.tostring(sep="\n"))
    assert celestial_from_file(str(tmp_path / "a.head")).shape == (80, 100)


def test_a_text_that_is_no_header_is_an_error_and_no_row_of_warnings(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("run: {directory: runs/first}\nimages: {paths: [a]}\n")
    for read in (celestial_from_file, image_wcs_from_file):
        with pytest.raises(DataError, match=r"run\.yaml"):
            read(str(tmp_path / "run.yaml"))


@pytest.mark.parametrize("extension", [False, True])
def test_the_wcs_and_the_size_of_an_image_need_no_pixels(tmp_path: Path, extension: bool) -> None:
    """SWarp writes such a file with HEADER_ONLY Y: it ends where its pixels should begin."""
    image = fits.ImageHDU(np.zeros(SHAPE, np.float32), header_of())
    plain = fits.PrimaryHDU(image.data, image.header)
    whole, cut = tmp_path / "whole.fits", tmp_path / "cut.fits"
    fits.HDUList([fits.PrimaryHDU(), image] if extension else [plain]).writeto(whole)
    with fits.open(whole) as hdus:
        end = hdus[-1].fileinfo()["datLoc"]
    for n_bytes in (end, end + 5000):
        cut.write_bytes(whole.read_bytes()[:n_bytes])
        got = image_wcs_from_file(str(cut))
        assert got.shape == SHAPE
        assert_same_sky(ReadWcs(got), read())
        with pytest.raises(DataError, match=r"cut\.fits: .*it is cut short"):
            celestial_from_file(str(cut))
    cut.write_bytes(whole.read_bytes()[: end - 100])
    with pytest.raises(DataError, match=r"cut\.fits"):
        image_wcs_from_file(str(cut))


def test_a_file_without_a_wcs_is_named(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros(SHAPE, np.float32)).writeto(tmp_path / "a.fits")
    with pytest.raises(DataError, match=r"a\.fits: .*no celestial WCS"):
        celestial_from_file(str(tmp_path / "a.fits"))


# Real headers.


def real(name: str, hdu: int = 0) -> tuple[fits.Header, ReadWcs]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the folder of real exposures is not there: {DATA}")
    with fits.open(path) as hdus:
        header = hdus[hdu].header
        shape = (header["NAXIS2"], header["NAXIS1"])
        return header, celestial_from_header(header, hdus, shape)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "hdu", "projection", "scale_arcsec"),
    [
        ("wcs_samples/sipsample.fits", 0, "TAN", 1.223),
        ("wcs_samples/tpv.fits", 0, "TPV", 0.259),
        ("wcs_samples/tnx.fits", 0, "TNX", 0.270),
        ("wcs_samples/zpx.fits", 0, "ZPX", 0.253),
        ("vircam_h/image_1.fits", 1, "ZPN", 0.337),
        ("tn_rvi/i.fits", 0, "TAN", 1.254),
        ("decam_offset/DEC-OBS04a.mini.fits", 0, "TPV", 0.263),
    ],
)
def test_real_headers_agree_with_astropy_and_come_back(
    name: str, hdu: int, projection: str, scale_arcsec: float
) -> None:
    header, got = real(name, hdu)
    wcs = got.wcs
    assert got.warnings == () and wcs.projection == projection
    assert wcs.pixel_scale_arcsec == pytest.approx(scale_arcsec, abs=1e-3)
    # The library below reads TNX and ZPX by itself: an oracle for ours.
    assert largest_px(own_sky(wcs), astropy_sky(header, wcs), wcs) < 1e-7
    pixel = wcs.grid(5)
    back = wcs.pixel_from_sky(wcs.sky_from_pixel(pixel))
    np.testing.assert_allclose(back.x, pixel.x, atol=1e-6)
    np.testing.assert_allclose(back.y, pixel.y, atol=1e-6)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "largest"), [("tnx", 20.0), ("zpx", 1.0)])
def test_the_surface_of_a_real_header_is_of_plausible_size(name: str, largest: float) -> None:
    _, got = real(f"wcs_samples/{name}.fits")
    pixel = got.wcs.grid(9)
    moved = got.wcs.undistorted(pixel)
    assert 0.1 < np.hypot(moved.x - pixel.x, moved.y - pixel.y).max() < largest
