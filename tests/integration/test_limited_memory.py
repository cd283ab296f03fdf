"""A run whose mosaic is larger than the memory that its process may have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS

from alignsvc.io.corrections_table import read_corrections
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

RUNNER = Path(__file__).with_name("runs_under_a_limit.py")
ALLOWED_MB = 1024
SCALE = 0.2
#: Few passes do.
EPS_PX = 0.02
#: One plane of it, float32, is more than is allowed, and so are the sums of a row of its tiles.
SHAPE = (3800, 72_000)
#: Of the middle of that strip of sky, four degrees long, and of the exposures near one end of it.
RA, FIELD_RA, DEC = 150.1, 151.9, 2.2


@dataclass(frozen=True)
class Limited:
    """What a process with a limit made, and what it told."""

    folder: Path
    told: dict[str, Any]

    def corrections(self, run: str) -> bytes:
        return (self.folder / run / "corrections.ecsv").read_bytes()

    def shifts(self, run: str) -> np.ndarray:
        rows = read_corrections(self.folder / run / "corrections.ecsv")
        return np.array([row.correction.shift for row in rows if row.correction])


def strip_header() -> str:
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 2})
    header.update(NAXIS1=SHAPE[1], NAXIS2=SHAPE[0], CTYPE1="RA---TAN", CTYPE2="DEC--TAN")
    header.update(CUNIT1="deg", CUNIT2="deg", RADESYS="ICRS", CRVAL1=RA, CRVAL2=DEC)
    header.update(CRPIX1=SHAPE[1] / 2 + 0.5, CRPIX2=SHAPE[0] / 2 + 0.5)
    header.update(CD1_1=-SCALE / 3600, CD1_2=0.0, CD2_1=0.0, CD2_2=SCALE / 3600)
    return header.tostring(sep="\n", endcard=True, padding=False) + "\n"


def simulate(folder: Path) -> None:
    layout = {"name": "stack", "count": 4, "ra": FIELD_RA, "dec": DEC, "jitter_arcsec": 2.0}
    camera = {"shape": [160, 160], "scale_arcsec": SCALE}
    simulate_to(folder / "in", sky_settings({"seed": 10, "layout": layout, "camera": camera}))


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    folder = tmp_path_factory.mktemp("strip")
    simulate(folder)
    (folder / "strip.hdr").write_text(strip_header())
    config = {
        "images": {"paths": [f"{folder}/in/*.fits"]},
        "cluster": {"backend": "serial"},
        "output": {"wcs": "none"},
        "alignment": {"max_iterations": [5, 1], "eps_shift": EPS_PX},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    strip = {**config, "mosaic": {"grid": str(folder / "strip.hdr")}}
    (folder / "large.yaml").write_text(yaml.safe_dump(strip))
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
    ended = subprocess.run(
        [sys.executable, str(RUNNER), str(folder), str(ALLOWED_MB)],
        env={**os.environ, **one},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    yield Limited(folder, json.loads(ended.stdout.splitlines()[-1]))
    shutil.rmtree(folder)  # two gigabytes


@pytest.mark.slow
def test_a_run_ends_whose_mosaic_is_larger_than_its_memory(limited: Limited) -> None:
    """Plan, tasks, solve, mosaic.fits, pictures and report, all in the process with the limit."""
    assert SHAPE[0] * SHAPE[1] * 4 > ALLOWED_MB << 20
    assert limited.told["can_hold_mb"] == [64]  # the limit is one
    assert limited.told["verdicts"]["large"] == "converged"
    # Not only just: no plane of the mosaic is held, nor a row of its tiles.
    assert limited.told["used_mb"] < 0.75 * ALLOWED_MB, limited.told
    run = limited.folder / "large"
    with fits.open(run / "mosaic.fits") as hdus:
        assert hdus["SCI"].shape == SHAPE
        at = WCS(hdus["WEIGHT"].header).world_to_pixel_values(FIELD_RA, DEC)
        x, y = (round(float(one)) for one in at)
        there = np.s_[y - 40 : y + 40, x - 40 : x + 40]
        assert np.isfinite(hdus["SCI"].section[there]).mean() > 0.99
        assert np.isnan(hdus["SCI"].section[:10, :]).all()
        assert not hdus["WEIGHT"].section[:, :10].any()
    assert (run / "preview.png").exists() and (run / "report.html").exists()


@pytest.mark.slow
def test_a_limit_of_memory_changes_no_bit(limited: Limited) -> None:
    assert limited.corrections("limited") == limited.corrections("free")
    free, held = (limited.folder / run / "mosaic.fits" for run in ("free", "limited"))
    assert np.array_equal(fits.getdata(free), fits.getdata(held), equal_nan=True)


@pytest.mark.slow
def test_corrections_on_a_grid_too_large_to_hold_are_those_on_their_own(limited: Limited) -> None:
    free, large = limited.shifts("free"), limited.shifts("large")
    # Phases of the pixels differ; a correction is known to 3 mpx.
    assert np.abs(large - free).max() < EPS_PX * SCALE
    assert np.abs(free).max() > 0.05
