"""A Gaia-like table, in every format and with every fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from object_servers import http_site

from alignsvc.errors import ConfigError
from alignsvc.io.places import place_of
from alignsvc.io.reference_catalogs import DEFAULT_ERROR_MAS, read_reference_catalog

GAIA = {
    "source_id": [1, 2],
    "ra": [150.0, 150.1],
    "dec": [2.0, 2.1],
    "ra_error": [0.1, 0.2],
    "dec_error": [0.3, 0.4],
    "pmra": [5.0, np.nan],
    "pmdec": [-7.0, np.nan],
    "pmra_error": [0.01, np.nan],
    "pmdec_error": [0.02, np.nan],
    "ref_epoch": [2016.0, 2016.0],
    "ra_dec_corr": [0.5, 0.0],
    "parallax": [1.0, 2.0],
}
FORMATS = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits", "parquet": "parquet"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(columns: Table | dict[str, object], suffix: str = "ecsv") -> Path:
        path = tmp_path / f"gaia.{suffix}"
        Table(columns).write(path, format=FORMATS[suffix])
        return path

    return to_file


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_stars(write: Write, suffix: str) -> None:
    found = read_reference_catalog(write(GAIA, suffix))
    assert found.sky.ra.tolist() == GAIA["ra"] and found.sky.dec.tolist() == GAIA["dec"]
    assert found.has_motion and found.epoch.tolist() == [2016.0, 2016.0]
    assert found.motion_mas[0].tolist() == [5.0, -7.0] and np.isnan(found.motion_mas[1]).all()
    assert np.diagonal(found.covariance[0]) == pytest.approx(
        [0.1**2, 0.3**2, 0.01**2, 0.02**2], rel=1e-12
    )
    assert found.covariance[0, 0, 1] == found.covariance[0, 1, 0] == pytest.approx(0.015)
    assert any("parallaxes are not used" in note for note in found.notes)


@pytest.mark.parametrize("suffix", [*FORMATS, "csv.gz"])
def test_a_catalogue_behind_a_url_is_what_it_is_on_a_disk(write: Write, suffix: str) -> None:
    path = write(GAIA, suffix.removesuffix(".gz"))
    content = path.read_bytes()
    with http_site() as site:
        site.files[f"/gaia.{suffix}"] = gzip.compress(content) if "gz" in suffix else content
        found = read_reference_catalog(place_of(f"{site.address}/gaia.{suffix}"))
        with pytest.raises(ConfigError, match=rf"catalogue {site.address}/none.csv: .* \(404\)"):
            read_reference_catalog(place_of(f"{site.address}/none.csv"))
    there = read_reference_catalog(path)
    np.testing.assert_array_equal(found.sky.ra, there.sky.ra)
    np.testing.assert_array_equal(found.motion_mas, there.motion_mas)
    np.testing.assert_array_equal(found.covariance, there.covariance)


def test_units_are_those_of_the_table(write: Write) -> None:
    table = Table(GAIA)
    table["pmra"] = np.array([0.005, 0.0]) * units.arcsec / units.yr
    table["ra_error"] = np.array([1e-4, 2e-4]) * units.arcsec
    found = read_reference_catalog(write(table))
    assert found.motion_mas[0, 0] == pytest.approx(5.0)
    assert found.covariance[1, 0, 0] == pytest.approx(0.2**2)


def test_vizier_has_other_names_for_the_same(write: Write) -> None:
    names = {
        "ra": "RA_ICRS", "dec": "DE_ICRS", "ra_error": "e_RA_ICRS", "dec_error": "e_DE_ICRS",
        "pmra": "pmRA", "pmdec": "pmDE", "pmra_error": "e_pmRA", "pmdec_error": "e_pmDE",
    }  # fmt: skip
    table = Table(GAIA)
    own = read_reference_catalog(write(table))
    table.rename_columns(list(names), list(names.values()))
    theirs = read_reference_catalog(write(table, "fits"))
    np.testing.assert_array_equal(own.covariance, theirs.covariance)
    np.testing.assert_array_equal(own.motion_mas, theirs.motion_mas)


def test_a_bare_table_of_positions_will_do_and_says_what_is_assumed(write: Write) -> None:
    found = read_reference_catalog(write({"ra": [1.0], "dec": [2.0]}))
    assert not found.has_motion and found.motion_mas.tolist() == [[0.0, 0.0]]
    assert found.place_covariance[0, 0, 0] == pytest.approx((DEFAULT_ERROR_MAS / 1e3) ** 2)
    assert len(found.notes) == 2
    assert all(note.startswith("reference.catalog: gaia.ecsv: ") for note in found.notes)


@pytest.mark.parametrize(
    ("without", "changed", "says"),
    [
        (["ra"], {}, "wanted ra, dec"),
        (["pmdec", "pmdec_error"], {}, "has pmra but no pmdec"),
        (["ref_epoch"], {}, "no ref_epoch; wanted that column.*2016.0 for Gaia DR3"),
        ([], {"ref_epoch": [57388.5, 57388.5]}, "wanted Julian years from 1800 to 2200"),
        ([], {"pmra": [1.0, 2.0] * units.deg}, "column pmra is in deg; wanted mas / yr"),
        ([], {"ra_error": [1.0, 2.0] * units.s}, "column ra_error is in s; wanted mas"),
        ([], {"pmra": ["fast", "slow"]}, "column pmra holds no numbers"),
        ([], {"ra_error": [0.0, 1.0]}, "1 row, the first of them row 1, have no position error"),
        ([], {"ra_dec_corr": [2.0, 0.0]}, "ra_dec_corr has values beyond -1 to 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    write: Write, without: list[str], changed: dict[str, object], says: str
) -> None:
    columns = {name: value for name, value in GAIA.items() if name not in without}
    with pytest.raises(ConfigError, match=says):
        read_reference_catalog(write({**columns, **changed}))
