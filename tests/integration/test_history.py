"""What a run keeps of its passes, and what it does not keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from durable_runs import make_sky, write_config

from alignsvc import api
from alignsvc.domain.measurement import Displacements
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.locations import RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.tables import read_table
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.worst_sources import MOST_SOURCES
from alignsvc.run.loop import passes


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("history") / "sky")


@pytest.fixture(scope="module")
def runs(sky: Path) -> dict[str, Path]:
    """A run for each way to keep history; all else is the same."""
    found = {}
    for kept in ("all", "last", "none"):
        config = write_config(
            sky.with_name(f"{kept}.yaml"),
            sky,
            output={"history": kept},
            run={"directory": str(sky.with_name(kept)), "keep_mosaics": kept},
        )
        found[kept] = api.align(config).directory
    return found


def kept_files(run: Path) -> set[str]:
    files = (run / "history").rglob("*")
    return {str(file.relative_to(run / "history")) for file in files if file.is_file()}


def of_exposures(number: int) -> set[str]:
    kinds = ("displacements", "pixels", "places")
    return {f"pass-{number:04d}/exp00{n}-{kind}.npz" for n in range(3) for kind in kinds}


def test_corrections_of_every_pass_are_kept_and_pixels_as_asked(runs: dict[str, Path]) -> None:
    corrections = {f"pass-{number:04d}/corrections.ecsv" for number in (1, 2)}
    assert kept_files(runs["all"]) == corrections | of_exposures(1) | of_exposures(2)
    assert kept_files(runs["last"]) == corrections | of_exposures(2)
    assert kept_files(runs["none"]) == corrections


def test_what_is_kept_changes_no_number(runs: dict[str, Path]) -> None:
    tables = {kept: (run / "corrections.ecsv").read_bytes() for kept, run in runs.items()}
    assert tables["all"] == tables["last"] == tables["none"]


def test_the_last_pass_holds_the_totals_of_the_run(runs: dict[str, Path]) -> None:
    run = runs["all"]
    last = read_corrections(run / "history/pass-0002/corrections.ecsv")
    final = read_corrections(run / "corrections.ecsv")
    for one, other in zip(last, final, strict=True):
        assert one.correction is not None
        assert other.correction is not None
        assert (one.correction.parameters == other.correction.parameters).all()


def test_cutouts_blots_and_maps_tell_the_displacement(runs: dict[str, Path]) -> None:
    objects = RunLocations(runs["all"]).objects
    stem = "history/pass-0001/exp001"
    pixels = read_table(objects, f"{stem}-pixels.npz", SourcePixels)
    measured = read_table(objects, f"{stem}-displacements.npz", Displacements)
    assert 5 < len(pixels) <= MOST_SOURCES
    assert np.isin(pixels.source, measured.source).all()
    row_of = {int(source): row for row, source in enumerate(measured.source)}
    rows = [(n, row_of[int(source)]) for n, source in enumerate(pixels.source)]
    # Of fainter ones the peak of the map is noise's.
    clear = [(n, row) for n, row in rows if not measured.flags[row] and measured.peak[row] > 0.7]
    assert len(clear) > 4
    for n, row in clear:
        # The cutout lies about the source ...
        middle = pixels.cutout.shape[-1] / 2
        assert abs(pixels.corner_x[n] + middle - measured.x[row]) <= 1.5
        # ... and its map has its peak, in half pixels, where the displacement says.
        score = pixels.correlation[n]
        y, x = np.unravel_index(np.nanargmax(score), score.shape)
        lag = (np.array([x, y]) - (score.shape[-1] - 1) / 2) / 2
        assert np.abs(lag - [measured.dx[row], measured.dy[row]]).max() < 0.75
        # Cutout and blot show one star.
        both = np.isfinite(pixels.cutout[n]) & np.isfinite(pixels.blot[n])
        assert np.corrcoef(pixels.cutout[n][both], pixels.blot[n][both])[0, 1] > 0.3


def test_history_that_is_asked_for_later_is_written_though_the_numbers_are_there(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    solve = passes.solve
    monkeypatch.setattr(passes, "solve", die)
    with pytest.raises(KeyboardInterrupt):
        api.align(write_config(tmp_path / "run.yaml", sky, output={"history": "none"}))
    monkeypatch.setattr(passes, "solve", solve)
    result = api.align(write_config(tmp_path / "run.yaml", sky, output={"history": "all"}))
    assert of_exposures(1) <= kept_files(result.directory)


def test_mosaics_are_kept_as_asked(runs: dict[str, Path]) -> None:
    generations = {
        kept: MosaicStore(run / "mosaic.zarr").generations() for kept, run in runs.items()
    }
    assert generations == {"all": (1, 2, 3, 4), "last": (4,), "none": ()}
    assert not (runs["none"] / "mosaic.zarr").exists()
    assert all((run / "mosaic.fits").is_file() for run in runs.values())
    assert not any((run / "contributions").exists() for run in runs.values())
