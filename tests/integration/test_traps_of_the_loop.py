"""Faults that loops of this kind have had, and that this one must not have.

Those of single measurements, fits and filters are tested with what they belong to; the table at
the end of alignsvc/DESIGN.md says where each is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from durable_runs import make_sky, write_config

from alignsvc import api
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import ExitCode
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

N_EXPOSURES = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full pass and a quick one of four exposures with two chips each."""
    folder = tmp_path_factory.mktemp("traps")
    sky = make_sky(folder / "sky", count=N_EXPOSURES, chips=(1, 2))
    return api.align(write_config(folder / "run.yaml", sky, output={"history": "all"})).directory


def measured(run: Path, number: int) -> Iterator[Displacements]:
    """Yield what each exposure measured in a pass."""
    for n in range(N_EXPOSURES):
        name = f"history/pass-{number:04d}/exp{n:03d}-displacements.npz"
        yield read_table(RunLocations(run).objects, name, Displacements)


@pytest.mark.parametrize("number", [1, 2])
def test_every_chip_of_an_exposure_takes_part_in_its_fit(run: Path, number: int) -> None:
    for displacements in measured(run, number):
        sound = displacements.chip[displacements.flags == 0]
        assert Counter(sound.tolist()).keys() == {0, 1}


def test_every_chip_of_an_exposure_gets_the_new_wcs(run: Path) -> None:
    for file in sorted((run / "wcs").rglob("*.fits")):
        with fits.open(file) as hdus:
            archived = [hdu.header["WCSNAMEA"] for hdu in hdus if hdu.header.get("CTYPE1")]
        assert len(archived) == 2


@pytest.mark.parametrize("number", [1, 2])
def test_in_every_pass_each_exposure_is_compared_with_all_the_others(
    run: Path, number: int
) -> None:
    """Were one never put back into the mosaic, the parts of the others would add up to 4/3.

    Not quite to 1, as a part counts for more where it is the sharper one.
    """
    parts: dict[int, list[float]] = {}
    for displacements in measured(run, number):
        for source, share in zip(displacements.source, displacements.weight_share, strict=True):
            parts.setdefault(int(source), []).append(float(share))
    whole = [sum(shares) for shares in parts.values() if len(shares) == N_EXPOSURES]
    assert len(whole) >= 10
    assert np.median(whole) == pytest.approx(1.0, abs=0.15)


def test_a_pass_drizzles_each_exposure_once_and_not_all_others_for_each(run: Path) -> None:
    done = {kind.name: len(list(kind.iterdir())) for kind in (run / "receipts").iterdir()}
    assert done["measure"] == 2 * N_EXPOSURES
    # Of each pass, of the full one once more without cosmic rays, and of the final mosaic.
    assert done["resample"] <= 4 * N_EXPOSURES


def test_exposures_that_are_aligned_stay_where_they_are(tmp_path: Path) -> None:
    """Without a gauge a set drifts as a whole; a biased estimator takes it away from the truth."""
    settings = {
        "seed": 8,
        "layout": {"name": "stack", "count": 4, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 6.0},
        "camera": {"shape": [192, 192], "scale_arcsec": 0.2},
        "stars": {"density": 60.0},
        "header_errors": {"shift_px": [0.0, 0.0], "rotation_deg": 0.0, "scale": 0.0},
    }
    simulate_to(tmp_path / "sky", sky_settings(settings))
    alignment = {"geometry": "shift", "max_iterations": 6}
    result = api.align(write_config(tmp_path / "run.yaml", tmp_path / "sky", alignment=alignment))
    assert result.exit_code == ExitCode.DONE
    assert len(result.history) <= 3
    assert api.evaluate(result.directory, tmp_path / "sky")["ratio_local"] < 2.0
    totals = [row.correction.shift for row in result.corrections if row.correction is not None]
    assert np.abs(np.mean(totals, axis=0)).max() < 1e-6
