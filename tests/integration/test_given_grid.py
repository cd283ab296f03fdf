"""A mosaic on somebody else's grid of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from alignsvc import api
from alignsvc.config.load import parse_config
from alignsvc.errors import ConfigError
from alignsvc.reasons import SkipReason
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.result import RunResult
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

SKY = {
    "seed": 7,
    "layout": {"name": "stack", "count": 4, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 4.0},
    "camera": {"shape": [256, 256], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 1.5], "rotation_deg": 0.01},
}


@dataclass(frozen=True)
class Pointing:
    """How a test's grid lies on the sky."""

    angle_deg: float = 0.0
    parity: int = -1
    scale_arcsec: float = 0.2
    offset_deg: float = 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    simulate_to(folder, sky_settings(SKY))
    return folder


def header_of(pointing: Pointing) -> fits.Header:
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": 340, "NAXIS2": 330})
    turn = np.radians(pointing.angle_deg)
    cd = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    cd = cd @ np.diag([pointing.parity, 1.0]) * pointing.scale_arcsec / 3600.0
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CUNIT1="deg", CUNIT2="deg", RADESYS="ICRS")
    header.update(CRPIX1=171.25, CRPIX2=160.75)
    header.update(CRVAL1=150.1003 + pointing.offset_deg, CRVAL2=2.2002)
    header.update(CD1_1=cd[0, 0], CD1_2=cd[0, 1], CD2_1=cd[1, 0], CD2_2=cd[1, 1])
    return header


def written(path: Path, pointing: Pointing = Pointing(), **cards: object) -> Path:
    header = header_of(pointing)
    header.update(cards)
    path.write_text(header.tostring(sep="\n", endcard=True, padding=False) + "\n")
    return path


def settings(folder: Path, *overrides: str) -> tuple[str, str, tuple[str, ...]]:
    text = f"images: {{paths: ['{folder}/*.fits']}}\ncluster: {{backend: serial}}"
    return text, "test", ("alignment.geometry=rshift", "output.wcs=none", *overrides)


def aligned(folder: Path, run: Path, *overrides: str) -> RunResult:
    return api.align(parse_config(*settings(folder, f"run.directory={run}", *overrides)))


def mosaic_of(folder: Path, run: Path, *overrides: str) -> Path:
    """Return the mosaic of one pass: where its pixels lie is not a question of convergence."""
    once = ("alignment.max_iterations=[1, 1]", "output.write_unconverged=true")
    (mosaic,) = aligned(folder, run, *once, *overrides).mosaic
    return mosaic


def planned(folder: Path, grid: Path) -> Plan:
    return make_plan(parse_config(*settings(folder, f"mosaic.grid={grid}")))


def shifts(result: RunResult) -> np.ndarray:
    return np.array([row.correction.shift for row in result.corrections if row.correction])


@pytest.mark.parametrize("pointing", [Pointing(), Pointing(-120.0, parity=1)])
def test_the_mosaic_has_the_wcs_and_the_size_that_were_given(
    folder: Path, tmp_path: Path, pointing: Pointing
) -> None:
    grid = written(tmp_path / "grid.hdr", pointing)
    mosaic = mosaic_of(folder, tmp_path / "run", f"mosaic.grid={grid}")
    made, wanted = fits.getheader(mosaic), header_of(pointing)
    assert [made[f"NAXIS{i}"] for i in (1, 2)] == [wanted[f"NAXIS{i}"] for i in (1, 2)]
    for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        assert made[key] == pytest.approx(wanted[key], rel=1e-12, abs=1e-18)
    corners = [[0.0, 0.0], [339.0, 0.0], [0.0, 329.0], [339.0, 329.0]]
    there = WCS(wanted).wcs_pix2world(corners, 0)
    np.testing.assert_allclose(WCS(made).wcs_world2pix(there, 0), corners, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_corrections_do_not_depend_on_the_grid(folder: Path, tmp_path: Path) -> None:
    automatic = aligned(folder, tmp_path / "auto", "output.mosaic=none")
    grid = written(tmp_path / "grid.hdr", Pointing(35.0, parity=1))
    given = aligned(folder, tmp_path / "given", f"mosaic.grid={grid}", "output.mosaic=none")
    assert given.verdict == automatic.verdict
    assert np.abs(shifts(given) - shifts(automatic)).max() < 0.004 * 0.2  # arcsec
    assert np.abs(shifts(given)).max() > 0.05


def test_the_mosaic_of_one_run_is_the_grid_of_another(folder: Path, tmp_path: Path) -> None:
    first = mosaic_of(folder, tmp_path / "first")
    (second,) = planned(folder, first).grids
    (own,) = make_plan(parse_config(*settings(folder))).grids
    assert (second.shape, second.plane) == (own.shape, own.plane)
    assert second.scale_arcsec == pytest.approx(own.scale_arcsec, rel=1e-14)


def test_an_exposure_beside_the_grid_is_skipped_and_says_why(folder: Path, tmp_path: Path) -> None:
    plan = planned(folder, written(tmp_path / "grid.hdr", Pointing(offset_deg=1.0)))
    assert {end.reason for end in plan.ended} == {SkipReason.OUTSIDE_GRID.value}
    assert "falls on the mosaic's grid" in plan.ended[0].message
    assert not plan.exposures


def test_the_grid_is_part_of_the_run_by_what_it_says(folder: Path, tmp_path: Path) -> None:
    one = planned(folder, written(tmp_path / "a.hdr"))
    same = planned(folder, written(tmp_path / "b.hdr", OBJECT="another name"))
    other = planned(folder, written(tmp_path / "c.hdr", Pointing(angle_deg=1.0)))
    assert one.identity == same.identity
    assert one.identity != other.identity


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, "projection SIN"),
        ({"RADESYS": "FK5"}, "a frame that is not ICRS"),
        (
            {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 2.2, "CRVAL2": 150.1},
            "declination as the first axis",
        ),
        ({"LONPOLE": 10.0}, "LONPOLE = 10"),
        ({"CD1_1": 1e-4}, "pixels that are not square"),
        ({"NAXIS1": 0}, "NAXIS1, NAXIS2 = 0, 330"),
        ({"CTYPE1": "X", "CTYPE2": "Y"}, "no celestial WCS"),
    ],
)
def test_what_is_no_grid_is_refused_with_what_was_found(
    folder: Path, tmp_path: Path, cards: dict[str, object], found: str
) -> None:
    with pytest.raises(ConfigError, match=rf"mosaic\.grid: .*{found}"):
        planned(folder, written(tmp_path / "grid.hdr", Pointing(), **cards))


def test_a_grid_and_a_scale_are_too_much(folder: Path, tmp_path: Path) -> None:
    grid = written(tmp_path / "grid.hdr")
    with pytest.raises(ConfigError, match="leave out one of them"):
        parse_config(*settings(folder, f"mosaic.grid={grid}", "mosaic.scale=0.1"))


def test_a_grid_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mosaic\.grid: .*nowhere\.fits"):
        planned(folder, tmp_path / "nowhere.fits")
