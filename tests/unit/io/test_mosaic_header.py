"""The mosaic's file: what other programs find in it, without a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from mosaic_samples import mosaic_facts, mosaic_inputs

from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.mosaic_fits import MosaicSource, export_mosaic
from alignsvc.io.mosaic_header import MosaicFacts
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.numerics.resampling.coadd import Contribution

GRID = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.2, 20.25, 15.0, (30, 45), (16, 20))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MosaicSource:
    store = MosaicStore(tmp_path_factory.mktemp("mosaic") / "m")
    store.create(1, [GRID])
    random = np.random.default_rng(5)
    for tile in GRID.tiles():
        box = GRID.tile_box(tile)
        weight = random.uniform(0.0, 2.0, box.shape) * (random.random(box.shape) > 0.2)
        sums = Contribution(box, random.normal(size=box.shape) * weight, weight)
        store.write_tile(1, tile, sums)
    return MosaicSource(store, 1, 0)


def exported(source: MosaicSource, folder: Path, facts: MosaicFacts) -> Path:
    path = folder / "mosaic.fits"
    export_mosaic(source, facts, path)
    return path


def header(source: MosaicSource, folder: Path, facts: MosaicFacts, hdu: int = 0) -> fits.Header:
    return fits.getheader(exported(source, folder, facts), hdu)


def test_every_checksum_is_right_and_nothing_is_to_be_mended(
    source: MosaicSource, tmp_path: Path
) -> None:
    # Warnings are errors here: a checksum that is wrong is one.
    with fits.open(exported(source, tmp_path, mosaic_facts()), checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["SCI", "WEIGHT", "INPUTS"]
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
        assert hdus[0].verify_checksum() == hdus[0].verify_datasum() == 1
        for hdu in hdus[:2]:
            wcs = WCS(hdu.header)
            assert wcs.wcs.radesys == "ICRS"
            assert wcs.proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(0.2)


def test_a_byte_that_changes_is_seen(source: MosaicSource, tmp_path: Path) -> None:
    path = exported(source, tmp_path, mosaic_facts())
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with (
        pytest.warns(UserWarning, match="verification failed"),
        fits.open(path, checksum=True) as hdus,
    ):
        assert [hdu.data is not None for hdu in hdus]


def test_the_header_says_what_the_exposures_have_in_common(
    source: MosaicSource, tmp_path: Path
) -> None:
    found = header(source, tmp_path, mosaic_facts())
    assert (found["TELESCOP"], found["INSTRUME"], found["FILTER"]) == ("VST", "OMEGACAM", "r")
    assert (found["NCOMBINE"], found["EXPTIME"], found["GAIN"]) == (3, 600.0, 900.0)
    assert found["BUNIT"] == "adu/s"
    assert found["VERDICT"] == "converged"
    assert found["ALIGNRUN"] == "0123456789abcdef"
    assert found["EPSSHIFT"] == 0.003
    assert header(source, tmp_path, mosaic_facts(), 1)["BUNIT"] == "s2/adu2"


def test_what_they_do_not_have_in_common_or_nobody_knows_is_left_out(
    source: MosaicSource, tmp_path: Path
) -> None:
    unknown = np.full(3, np.nan)
    inputs = mosaic_inputs(
        filter_name=np.array(["r", "r", "i"]),
        mid_time_mjd=np.array([60000.0, np.nan, 60000.2]),
        exposure_time_s=unknown,
        gain=unknown,
    )
    found = header(source, tmp_path, mosaic_facts(inputs, telescope="", units="ADU"))
    absent = {"FILTER", "TELESCOP", "EXPTIME", "GAIN", "DATE-OBS", "MJD-AVG", "BUNIT", "MAGZERO"}
    assert absent.isdisjoint(found)
    assert found["NCOMBINE"] == 3


def test_times_are_those_of_the_whole_set(source: MosaicSource, tmp_path: Path) -> None:
    found = header(source, tmp_path, mosaic_facts())
    second = 1 / 86400
    assert found["MJD-BEG"] == pytest.approx(60000.1 - 50 * second, abs=1e-8)
    assert found["MJD-END"] == pytest.approx(60000.3 + 150 * second, abs=1e-8)
    assert found["MJD-AVG"] == pytest.approx((60000.1 + 2 * 60000.2 + 3 * 60000.3) / 6, abs=1e-8)
    assert found["DATE-OBS"] == found["DATE-BEG"]
    for name in ("OBS", "BEG", "AVG", "END"):
        assert Time(found[f"DATE-{name}"], scale="utc").mjd == found[f"MJD-{name}"]


@pytest.mark.parametrize(
    ("facts", "unit", "weight_unit"),
    [
        ({"units": "ELECTRONS/S"}, "electron/s", "s2/electron2"),
        ({"units": "counts"}, "count/s", "s2/count2"),
        ({"units": "Jy"}, "Jy", "Jy-2"),
        ({"units": "MJy/sr"}, None, None),
        ({"units": "furlong"}, None, None),
        ({"units": ""}, None, None),
        ({"units": "ADU", "has_zero_points": True}, None, None),
    ],
)
def test_units_are_stated_where_they_are_known(
    source: MosaicSource,
    tmp_path: Path,
    facts: dict[str, Any],
    unit: str | None,
    weight_unit: str | None,
) -> None:
    path = exported(source, tmp_path, mosaic_facts(**facts))
    assert fits.getheader(path).get("BUNIT") == unit
    assert fits.getheader(path, "WEIGHT").get("BUNIT") == weight_unit
    assert fits.getheader(path).get("MAGZERO") == (25.0 if "has_zero_points" in facts else None)


def test_the_table_lists_the_exposures(source: MosaicSource, tmp_path: Path) -> None:
    path = exported(source, tmp_path, mosaic_facts())
    table = fits.getdata(path, "INPUTS")
    assert table["EXPOSURE"].tolist() == ["a", "night/b", "\\xfc"]
    assert table["EXPTIME"].tolist() == [100.0, 200.0, 300.0]
    assert table["DX_EAST"].tolist() == [0.1, -0.2, 0.1]


def test_the_same_mosaic_is_the_same_file(source: MosaicSource, tmp_path: Path) -> None:
    first = exported(source, tmp_path, mosaic_facts()).read_bytes()
    assert exported(source, tmp_path, mosaic_facts()).read_bytes() == first


def test_text_that_is_no_ascii_or_too_long_spoils_no_header(
    source: MosaicSource, tmp_path: Path
) -> None:
    facts = mosaic_facts(telescope="Téléscope\n" + 200 * "x", instrument="it's" + 40 * "'")
    found = header(source, tmp_path, facts)
    assert found["TELESCOP"].startswith("T\\xe9l\\xe9scope?x")
    assert found["INSTRUME"].startswith("it's''")
