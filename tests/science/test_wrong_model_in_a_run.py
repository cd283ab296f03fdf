"""Runs that place stars by a profile which they do not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from stars_of_any_law import READ_NOISE, SCALE, Law, airy, box, core_and_halo, header, image

from alignsvc import api
from alignsvc.domain.outcome import ExitCode

#: Of the exposures, px: all phases of the pixel.
SHIFTS = np.array([[0.0, 0.0], [0.37, -0.23], [-0.21, 0.5], [0.62, 0.29]])
SIDE = 264
SKY = 100.0


def written(folder: Path, law: Law, fwhm_px: float) -> str:
    """Write exposures of one header, each shifted, of 36 bright stars; return their paths."""
    folder.mkdir()
    random = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.arange(6), np.arange(6))).reshape(2, -1)
    at = (grid + 0.5) * (SIDE / 6) + random.uniform(-4, 4, (2, 36))
    flux = 1e6 * random.uniform(0.3, 1.0, 36)
    for number, shift in enumerate(SHIFTS):
        truth = image(at + shift[:, None], flux, law, fwhm_px, SIDE, SKY)
        pixels = random.poisson(truth) + random.normal(0, READ_NOISE, truth.shape)
        file = fits.PrimaryHDU(pixels.astype(np.float32), header(SIDE).to_header())
        file.header["GAIN"], file.header["EXPTIME"] = 1.0, 1.0
        file.writeto(folder / f"exp{number:03d}.fits")
    return f"{folder}/*.fits"


@pytest.mark.slow
@pytest.mark.parametrize("source", ["moffat", "gaussian"])
@pytest.mark.parametrize("fwhm_px", [2.0, 3.0])
@pytest.mark.parametrize("law", [airy, core_and_halo, box], ids=lambda law: law.__name__)
def test_a_wrong_model_shifts_less_than_2_mpx_and_chi2_tells(
    tmp_path: Path, law: Law, fwhm_px: float, source: str
) -> None:
    settings = {
        "run": {"directory": str(tmp_path / "run")},
        "images": {"paths": [written(tmp_path / "in", law, fwhm_px)]},
        "alignment": {"geometry": "shift", "method": {"name": "model", "source": source}},
        "output": {"wcs": "none", "mosaic": "none", "report": "none"},
        "cluster": {"backend": "serial"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    result = api.align(tmp_path / "config.yaml")
    assert result.exit_code == ExitCode.DONE
    found, stated = [], []
    for row in result.corrections:
        assert row.correction is not None
        # East is to the left.
        found.append(np.array([1, -1]) * row.correction.shift / SCALE)
        stated.append(np.sqrt(np.diagonal(row.correction.covariance)[:2]) / SCALE)
    # What all have in common is the frame's.
    error = (np.array(found) - np.mean(found, axis=0)) - (SHIFTS - SHIFTS.mean(axis=0))
    assert (np.abs(error) < 0.002).all()
    # chi2 of stars this bright says that the profile is wrong, and stated errors grow with it.
    assert (np.abs(error) < np.array(stated)).all()
    photons = 0.6 * fwhm_px / np.sqrt(36 * 0.65e6)
    assert (np.array(stated) > 4 * photons).all()
