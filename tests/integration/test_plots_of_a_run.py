"""What a run has for figures is what its store holds, and every figure can be drawn of it."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from durable_runs import write_config

import alignsvc
from alignsvc import plots
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.errors import ConfigError
from alignsvc.run.records.result import RunResult
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run of three exposures, with sources enough to hold some out, two passes long."""
    folder = tmp_path_factory.mktemp("plots")
    sky = {
        "seed": 4,
        "layout": {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 6.0},
        "camera": {"shape": [160, 160], "scale_arcsec": 0.2},
        "stars": {"density": 400.0},
        "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
    }
    simulate_to(folder / "sky", sky_settings(sky))
    return alignsvc.align(write_config(folder / "run.yaml", folder / "sky"))


@pytest.fixture
def run(result: RunResult) -> Path:
    assert isinstance(result.directory, Path)
    return result.directory


def test_every_figure_of_a_run_can_be_drawn(result: RunResult, run: Path) -> None:
    picture, pulls = alignsvc.look(run), alignsvc.pulls(run)
    correction = result.corrections[0].correction
    assert pulls is not None and correction is not None
    figures = (
        plots.plot_convergence(picture),
        plots.plot_footprints(picture),
        plots.plot_footprints(picture, colour="shift"),
        plots.plot_corrections(picture, error_times=3),
        plots.plot_stages(picture),
        plots.plot_pulls(pulls),
        plots.plot_exposure_residuals(alignsvc.residuals(run, "exp000")),
        plots.plot_correction_correlations(correction),
        plots.plot_mosaic(alignsvc.read_mosaic(run)),
    )
    for figure in figures:
        figure.savefig(io.BytesIO(), format="pdf")
        assert [text.get_text() for text in figure.axes[0].texts if "no " in text.get_text()] == []


def test_residuals_are_those_that_the_monitor_shows(run: Path) -> None:
    found, kept = alignsvc.residuals(run, "exp001"), alignsvc.detail(run, "exp001")
    assert kept.residuals is not None
    np.testing.assert_array_equal(found.residual_px, kept.residuals.residual_px)
    assert kept.pass_number == 2
    assert (found.flags == DisplacementFlag.HELD_OUT).any()
    assert len(plots.plot_cutouts(kept, n_sources=3).axes) == 3 * 4


def test_an_exposure_of_no_run_is_refused_by_name(run: Path) -> None:
    with pytest.raises(ConfigError, match="no exposure nobody"):
        alignsvc.residuals(run, "nobody")


def test_a_part_of_the_mosaic_is_that_of_its_file(run: Path) -> None:
    whole = alignsvc.read_mosaic(run)
    with fits.open(run / "mosaic.fits") as hdus:
        pixels, weight, wcs = hdus[0].data, hdus["WEIGHT"].data, WCS(hdus[0].header)
        np.testing.assert_array_equal(whole.pixels.astype(np.float32), pixels)
        np.testing.assert_array_equal(whole.weight.astype(np.float32), weight)
        ra, dec = wcs.all_pix2world(100.0, 80.0, 0)
        part = alignsvc.read_mosaic(run, alignsvc.SkySquare(float(ra), float(dec), 4.0))
        assert part.box.shape == (21, 21)  # of 0.2 arcsec
        np.testing.assert_array_equal(part.pixels.astype(np.float32), pixels[70:91, 90:111])


def test_a_mosaic_where_there_is_none_is_refused_by_name(run: Path) -> None:
    with pytest.raises(ConfigError, match="has no pixel of component 0"):
        alignsvc.read_mosaic(run, alignsvc.SkySquare(10.0, -60.0, 4.0))
    with pytest.raises(ConfigError, match="component 3 of the mosaic wanted, it has 1"):
        alignsvc.read_mosaic(run, component=3)


def test_a_cleaned_run_says_what_it_has_no_more(run: Path, tmp_path: Path) -> None:
    cleaned = tmp_path / "run"
    shutil.copytree(run, cleaned)
    alignsvc.clean(cleaned)
    for gone in (alignsvc.pulls, alignsvc.read_mosaic):
        with pytest.raises(ConfigError, match="alignsvc clean"):
            gone(cleaned)
    assert len(plots.plot_convergence(alignsvc.look(cleaned)).axes[0].lines) > 1
