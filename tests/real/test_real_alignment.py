"""Real exposures, aligned with the configurations of `configs/` and judged by other means."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from real_judge import Offsets, offsets, seen, written_wcs

from alignsvc.api import RunOptions, RunResult, align
from alignsvc.config.build import image_settings
from alignsvc.config.load import load_config
from alignsvc.domain.agreement import Agreement
from alignsvc.domain.outcome import Convergence, Status

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT / "../shared/data"
CONFIGS = PROJECT / "configs"
NO_SIDECARS = ("images.weight=null", "images.mask=null")

pytestmark = pytest.mark.real_data

#: Without a folder of exposures there is nothing to align.
Aligned = Callable[..., "Run"]


@dataclass(frozen=True)
class Run:
    """A finished run, with the pattern of its inputs and the overrides of its configuration."""

    result: RunResult
    config: Path
    pattern: Path
    overrides: tuple[str, ...]

    def each_against_the_first(self, *, corrected: bool, **settings: float) -> dict[str, Offsets]:
        config = load_config(self.config, self.overrides)
        exposures = seen(self.pattern, image_settings(config.images), **settings)
        wcs = written_wcs(self.result.directory) if corrected else {}
        return {one.id: offsets(exposures[0], one, wcs) for one in exposures[1:]}


@pytest.fixture
def aligned(tmp_path: Path) -> Aligned:
    def run(folder: str | Path, config: str, files: str = "*.fits", *more: str) -> Run:
        pattern = (folder if isinstance(folder, Path) else folder_of(folder)) / files
        overrides = (
            f"images.paths={json.dumps([str(pattern)])}",
            f"run.directory={tmp_path / 'run'}",
            "cluster={backend: serial}",
            "output={mosaic: none, report: none}",
            *more,
        )
        result = align(CONFIGS / config, RunOptions(overrides=overrides))
        assert result.verdict is Convergence.CONVERGED
        return Run(result, CONFIGS / config, pattern, overrides)

    return run


def folder_of(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"the folder of real exposures is not there: {DATA / name}")
    return DATA / name


def middles(name: str, folder: Path) -> Path:
    """Write the middle quarter of each exposure of a set: what the fast suite has time for."""
    for file in sorted(folder_of(name).glob("*.fits")):
        with fits.open(file) as hdus:
            image = next(hdu for hdu in hdus if hdu.data is not None)
            y, x = (side // 4 for side in image.data.shape)
            image.header["CRPIX1"] -= x
            image.header["CRPIX2"] -= y
            part = fits.ImageHDU(image.data[y:-y, x:-x], image.header)
            # Not all of their cards are of the standard.
            with warnings.catch_warnings(action="ignore", category=VerifyWarning):
                cut = fits.HDUList([fits.PrimaryHDU(), part])
                cut.writeto(folder / file.name, output_verify="silentfix")
    return folder


def judged(run: Run) -> tuple[float, float]:
    """Return the worst exposure's and axis's scatter before and after, pixels."""
    before = run.each_against_the_first(corrected=False)
    after = run.each_against_the_first(corrected=True)
    assert min(one.matched for one in after.values()) >= 0.3
    worst = [max(one.scatter_px for one in each.values()) for each in (before, after)]
    print(f"worst exposure and axis: {worst[0]:.4f} px before, {worst[1]:.4f} px after")
    return worst[0], worst[1]


def test_the_middle_of_a_zpn_chip_comes_to_what_its_centroids_can_tell(
    aligned: Aligned, tmp_path: Path
) -> None:
    before, after = judged(aligned(middles("vircam_h", tmp_path), "single_chip_zpn.yaml"))
    assert before == pytest.approx(0.081, rel=0.03)
    assert after <= 0.050


@pytest.mark.slow
def test_a_zpn_chip_comes_to_what_its_centroids_can_tell(aligned: Aligned) -> None:
    before, after = judged(aligned("vircam_h", "single_chip_zpn.yaml"))
    assert before == pytest.approx(0.107, rel=0.03)
    assert after <= 0.050


def test_the_middles_of_three_bands_one_upside_down_come_together(
    aligned: Aligned, tmp_path: Path
) -> None:
    before, after = judged(aligned(middles("tn_rvi", tmp_path), "amateur_bands.yaml"))
    assert before == pytest.approx(0.102, rel=0.03)
    assert after <= 0.090


@pytest.mark.slow
def test_three_bands_one_upside_down_come_together(aligned: Aligned) -> None:
    before, after = judged(aligned("tn_rvi", "amateur_bands.yaml"))
    assert before == pytest.approx(0.162, rel=0.03)
    assert after <= 0.090


def test_galaxies_in_stamps_that_fit_already_are_not_made_worse(aligned: Aligned) -> None:
    """Half of the offsets is the shape of galaxies: one judge's choice of them moves it by 0.01."""
    run = aligned("nircam_f200w", "stamps_with_noise.yaml", "*_stamp.fits")
    each = [
        [
            max(one.scatter_px for one in run.each_against_the_first(
                corrected=corrected, least_area=area, threshold=threshold).values())
            for threshold in (3.0, 5.0, 10.0) for area in (8, 15, 30)
        ]
        for corrected in (False, True)
    ]  # fmt: skip
    before, after = np.mean(each, axis=1)
    print(f"mean of nine judges: {before:.4f} px before, {after:.4f} px after")
    assert before == pytest.approx(0.157, rel=0.03)
    assert after <= before


@pytest.mark.slow
def test_two_groups_half_a_pixel_apart_under_one_header_come_together(aligned: Aligned) -> None:
    run = aligned("decam_offset", "decam_sidecars.yaml", "*.fits", *NO_SIDECARS)
    apart = {}
    for corrected in (False, True):
        against = run.each_against_the_first(corrected=corrected, least_area=5)
        # The first exposure is of the first group, and its own offset is zero.
        medians = {"DEC-OBS04a.mini": np.zeros(2)}
        medians |= {name: one.median_px for name, one in against.items()}
        groups = [
            np.mean([m for name, m in medians.items() if name.startswith(start)], axis=0)
            for start in ("DEC-OBS04", "DEC-OBS18")
        ]
        apart[corrected] = float(np.hypot(*(groups[1] - groups[0])))
    print(f"groups: {apart[False]:.3f} px apart before, {apart[True]:.3f} px after")
    assert apart[False] > 0.4
    assert apart[True] < 0.1


@pytest.mark.slow
def test_half_a_dozen_stars_align_an_exposure_or_skip_it_with_a_reason(aligned: Aligned) -> None:
    run = aligned("decam_sparse", "decam_sidecars.yaml", "*_ooi_*.fits")
    assert len(run.result.corrections) == 9
    for row in run.result.corrections:
        assert row.status in (Status.ALIGNED, Status.SKIPPED)
        assert row.status is Status.ALIGNED or (row.reason and row.message)
    assert run.result.exit_code == 0


def test_frames_without_a_wcs_end_in_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    paths = json.dumps([str(folder_of("stargate_nowcs") / "*.fit")])
    command = [sys.executable, "-m", "alignsvc.cli.main", "run"]
    command += [str(CONFIGS / "amateur_bands.yaml"), "--set", f"images.paths={paths}"]
    command += ["--set", f"run.directory={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no usable exposure" in done.stderr and "astrometry" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "config", "files", "more", "farthest_px"),
    [
        ("vircam_h", "single_chip_zpn.yaml", "*.fits", (), 0.012),
        ("tn_rvi", "amateur_bands.yaml", "*.fits", (), 0.008),
        ("nircam_f200w", "stamps_with_noise.yaml", "*_stamp.fits", (), 0.025),
        ("decam_offset", "decam_sidecars.yaml", "*.fits", NO_SIDECARS, 0.040),
        ("decam_sparse", "decam_sidecars.yaml", "*_ooi_*.fits", (), 0.10),
    ],
)
def test_the_model_says_what_the_correlation_says(
    aligned: Aligned,
    folder: str,
    config: str,
    files: str,
    more: tuple[str, ...],
    farthest_px: float,
) -> None:
    """How far they are apart, and why, is in tests/README.md: PSFs that are lopsided."""
    result = aligned(folder, config, files, "alignment.method={name: both}", *more).result
    compared = [row for row in result.agreement if row.verdict is not Agreement.NOT_COMPARED]
    for row in result.agreement:
        print(row)
    assert len(compared) == sum(row.status is Status.ALIGNED for row in result.corrections)
    assert max(row.largest_px for row in compared) < farthest_px
    assert all(row.verdict is Agreement.AGREE for row in compared)
    assert not result.warnings
