"""Catalogues as files."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.catalogs import read_user_catalog, write_catalog

POSITIONS = {"ra": [10.0, 359.5, -0.5], "dec": [-45.0, 0.0, 89.9]}


def random_catalog(n=20):
    rng = np.random.default_rng(1)
    columns = {
        name: rng.integers(0, 2**62, n) if column.dtype.kind == "i" else rng.normal(size=n) * 1e-7
        for name, column in SourceCatalog.empty().columns()
    }
    return SourceCatalog(**columns)


@pytest.fixture
def table_file(tmp_path):
    """Write a table and return its path; the suffix tells the format."""

    def write(columns, name="user.ecsv"):
        path = tmp_path / name
        suffix = name.removesuffix(".gz").rpartition(".")[2]
        formats = {"ecsv": "ascii.ecsv", "csv": "ascii.csv", "fits": "fits"}
        Table(columns).write(path, format=formats[suffix])
        return path

    return write


@pytest.mark.parametrize("catalog", [random_catalog(), SourceCatalog.empty()])
def test_a_written_catalogue_comes_back_bit_for_bit(tmp_path, catalog):
    path = tmp_path / "sources.ecsv"
    write_catalog(SourceCatalog.empty(), path)
    write_catalog(catalog, path)
    back = Table.read(path, format="ascii.ecsv")
    for name, column in catalog.columns():
        assert np.array_equal(column, back[name]), name
        assert column.dtype == back[name].dtype or not len(catalog)
    assert [p.name for p in tmp_path.iterdir()] == ["sources.ecsv"]


@pytest.mark.parametrize("name", ["user.ecsv", "user.csv", "user.fits", "user.fits.gz"])
def test_every_format_gives_the_same_catalogue(table_file, name):
    path = table_file({**POSITIONS, "mag": [20, 21, 22], "w": [1.0, 0.0, 2.5]}, name)
    catalog = read_user_catalog(path, "w")
    assert catalog.sky.ra.tolist() == [10.0, 359.5, 359.5]
    assert catalog.sky.dec.tolist() == [-45.0, 0.0, 89.9]
    assert catalog.weight.tolist() == [1.0, 0.0, 2.5]
    assert catalog.names == ("ra", "dec", "mag", "w")
    assert dict(catalog.columns())["mag"].tolist() == [20.0, 21.0, 22.0]


@pytest.mark.parametrize(
    ("ra", "dec"),
    [("ra", "dec"), ("RA", "DEC"), ("ALPHA_J2000", "DELTA_J2000"), ("RAJ2000", "DEJ2000")],
)
def test_positions_are_found_under_their_usual_names(table_file, ra, dec):
    catalog = read_user_catalog(table_file({"id": [7], ra: [150.0], dec: [2.0]}))
    assert (catalog.sky.ra[0], catalog.sky.dec[0], catalog.weight[0]) == (150.0, 2.0, 1.0)


def test_units_are_respected(table_file):
    table = Table({"ra": [1.0] * units.rad, "dec": [3600.0] * units.arcsec})
    catalog = read_user_catalog(table_file(table))
    assert catalog.sky.ra[0] == pytest.approx(np.degrees(1.0))
    assert catalog.sky.dec[0] == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="wanted degrees"):
        read_user_catalog(table_file({"ra": [1.0] * units.m, "dec": [1.0]}, "metres.ecsv"))


def test_a_missing_number_is_nan_and_text_is_no_column(table_file):
    mag = MaskedColumn([20.0, 21.0, 22.0], mask=[False, True, False])
    catalog = read_user_catalog(table_file({**POSITIONS, "mag": mag, "name": ["a", "b", "c"]}))
    assert catalog.names == ("ra", "dec", "mag")
    assert np.isnan(dict(catalog.columns())["mag"]).tolist() == [False, True, False]


def test_selected_rows_keep_all_their_columns(table_file):
    catalog = read_user_catalog(table_file({**POSITIONS, "mag": [20, 21, 22]}))
    chosen = catalog.select(np.array([2, 0]))
    assert len(chosen) == 2
    assert chosen.sky.dec.tolist() == [89.9, -45.0]
    assert dict(chosen.columns())["mag"].tolist() == [22.0, 20.0]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"x": [1.0], "y": [2.0]}, "pixels say nothing about the sky"),
        ({"lon": [1.0], "lat": [2.0]}, "has columns lon, lat; wanted ra, dec"),
        ({"ra": ["10:00:00"], "dec": [2.0]}, "ra holds no numbers"),
        ({"ra": [1.0, 400.0], "dec": [0.0, 0.0]}, "1 row, the first of them row 2"),
        ({"ra": [1.0], "dec": [91.0]}, "dec from -90 to 90"),
        ({"ra": [np.nan], "dec": [1.0]}, "ra from 0 to 360"),
        ({"ra": [1.0], "dec": [1.0], "w": [-1.0]}, "w of 0 or more"),
        ({"ra": [1.0], "dec": [1.0], "weight": [1.0]}, "set detection.weight_column"),
    ],
)
def test_a_catalogue_that_cannot_be_used_says_why(table_file, columns, says):
    weight = "w" if "w" in columns or "weight" in columns else None
    with pytest.raises(ConfigError, match=says):
        read_user_catalog(table_file(columns), weight)


def test_a_file_that_is_none_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="the file does not exist"):
        read_user_catalog(tmp_path / "absent.ecsv")
    (tmp_path / "user.dat").write_text("1 2\n")
    with pytest.raises(ConfigError, match="suffix tells no format"):
        read_user_catalog(tmp_path / "user.dat")
    for name in ("bad.fits", "bad.ecsv"):
        (tmp_path / name).write_text("not a table")
        with pytest.raises(ConfigError, match="not readable"):
            read_user_catalog(tmp_path / name)


def test_a_fits_image_is_no_catalogue(tmp_path):
    from astropy.io import fits

    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ConfigError, match="holds no table"):
        read_user_catalog(tmp_path / "image.fits")


def test_parquet_without_its_libraries_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "user.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs pyarrow and pandas.*alignsvc\[parquet\]"):
        read_user_catalog(tmp_path / "user.parquet")
