"""What a run has done already it does not do again: skies, contributions, tiles, mosaics."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from durable_runs import content, make_sky, write_config

from alignsvc import api
from alignsvc.domain.chip_sky import SkyModel
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.grid import TileId
from alignsvc.io import journal
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_pixels import read_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import SKIES, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.numerics.sources.skies.mesh import MeshBackground
from alignsvc.run.records import events
from alignsvc.tasks.placed import NO_RAYS_TABLE, RayPixels
from alignsvc.tasks.skies import SkyOfExposure

RAYS: dict[str, dict[str, Any]] = {
    "mosaic": {"reject_cosmic_rays": True},
    "alignment": {"max_iterations": [2, 2]},
}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("once") / "sky", chips=(1, 2), rays=300.0)


def run_of(config: Path) -> tuple[Path, list[events.Event]]:
    heard: list[events.Event] = []
    directory = api.align(config, api.RunOptions(listener=heard.append)).directory
    return Path(str(directory)), heard


def ref_of(sky: Path) -> ExposureRef:
    candidate = find_exposures((f"{sky}/*.fits",), ImageSettings()).candidates[0]
    return inspect_exposure(candidate, ImageSettings()).ref


def test_the_sky_of_a_chip_is_measured_once_in_a_run(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exposures are listed, then drizzled, searched and measured twice, then drizzled again."""
    measured: list[tuple[int, ...]] = []
    measure = MeshBackground.__call__

    def counted(self: MeshBackground, pixels: Any, mask: Any) -> SkyModel:
        measured.append(pixels.shape)
        return measure(self, pixels, mask)

    monkeypatch.setattr(MeshBackground, "__call__", counted)
    run, _ = run_of(write_config(tmp_path / "run.yaml", sky, **RAYS))
    assert len(measured) == 3 * 2
    assert len(list((run / SKIES).iterdir())) == 3


@pytest.mark.parametrize("how", ["cut", "flipped", "gone"])
def test_a_kept_sky_that_is_damaged_is_measured_again(sky: Path, tmp_path: Path, how: str) -> None:
    ref = ref_of(sky)
    skies = SkyOfExposure(ref, ImageSettings(), MeshBackground())
    exposure = read_exposure(ref, ImageSettings())
    first = skies(tmp_path, lambda: exposure)
    file = tmp_path / skies.name
    whole = bytearray(file.read_bytes())
    if how == "gone":
        file.unlink()
    else:
        whole_again = bytes(whole)
        whole[len(whole) // 2] ^= 1
        file.write_bytes(whole_again[:100] if how == "cut" else whole)
    again = skies(tmp_path, lambda: exposure)
    for chip in (0, 1):
        one, other = first.of_chip(chip), again.of_chip(chip)
        assert one.rms == other.rms
        assert one.mesh_level.tobytes() == other.mesh_level.tobytes()
        assert one.mesh_rms.tobytes() == other.mesh_rms.tobytes()
    assert skies(tmp_path, lambda: exposure).rms.tobytes() == first.rms.tobytes()


def test_a_chip_has_its_own_sky(sky: Path, tmp_path: Path) -> None:
    ref = ref_of(sky)
    exposure, estimator = read_exposure(ref, ImageSettings()), MeshBackground(box=32)
    kept = SkyOfExposure(ref, ImageSettings(), estimator)(tmp_path, lambda: exposure)
    for index, chip in enumerate(exposure.chips):
        own, shape = estimator(chip.pixels, chip.mask), (192, 192)
        again = estimator.again(kept.of_chip(index), shape)
        assert again.level.tobytes() == own.level.tobytes()
        assert again.rms == own.rms


def test_no_rays_found_is_as_if_nobody_had_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contributions and the tiles that there are stay what they are."""
    linked: Counter[int] = Counter()
    link = MosaicStore.link_tile

    def counted(self: MosaicStore, source: int, generation: int, tile: TileId) -> None:
        linked[generation] += 1
        link(self, source, generation, tile)

    monkeypatch.setattr(MosaicStore, "link_tile", counted)
    sky = make_sky(tmp_path / "sky", rays=0.0)
    sections: dict[str, dict[str, Any]] = {
        "mosaic": {"reject_cosmic_rays": True},
        "alignment": {"max_iterations": [1, 1]},
    }
    run, _ = run_of(write_config(tmp_path / "run.yaml", sky, **sections))
    tables = {path.name for path in (run / "tables/reject").iterdir()}
    assert tables == {NO_RAYS_TABLE.rpartition("/")[2]}
    stages = [
        one
        for one in Journal(RunLocations(run).objects, lambda: 0.0).events()
        if isinstance(one, journal.StageFinished) and one.pass_number
    ]
    assert [one.n_reused for one in stages if one.stage == "resample"] == [0, 3]
    (n_tiles,) = {one.n_ok for one in stages if one.stage == "merge"}
    assert linked == {2: n_tiles}


def test_rays_change_the_pixels_that_they_reach_and_no_contribution_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole ones are made where exposures have moved; and corrections are what they would be."""
    sky = make_sky(tmp_path / "sky", chips=(1, 2), rays=150.0)
    found: dict[str, tuple[list[bool], np.ndarray]] = {}
    lay_over, write = ContributionStore.lay_over, ContributionStore.write
    for name, most in (("laid_over", 0.01), ("whole", -1.0)):
        made: list[bool] = []

        def counted(self: Any, *given: Any, made: list[bool] = made) -> StoredContribution:
            made.append(True)
            return lay_over(self, *given)

        def written(self: Any, *given: Any, made: list[bool] = made) -> StoredContribution:
            made.append(False)
            return write(self, *given)

        monkeypatch.setattr(ContributionStore, "lay_over", counted)
        monkeypatch.setattr(ContributionStore, "write", written)
        monkeypatch.setattr("alignsvc.tasks.resample._MOST_PATCHED", most)
        sections = {**RAYS, "output": {"mosaic": "none"}, "run": {"keep_mosaics": "none"}}
        run, _ = run_of(write_config(tmp_path / f"{name}.yaml", sky, **sections))
        table = Table.read(run / "corrections.ecsv", format="ascii.ecsv")
        names = ("m11", "m12", "m21", "m22", "shift_x", "shift_y")
        found[name] = made, np.array([table[column] for column in names])
    laid_over, whole = found["laid_over"], found["whole"]
    assert Counter(laid_over[0]) == {False: 2 * 3, True: 3 * 3}
    assert Counter(whole[0]) == {False: 4 * 3}
    np.testing.assert_allclose(laid_over[1], whole[1], rtol=0, atol=1e-9)


def test_rays_are_known_by_their_pixels() -> None:
    none = RayPixels(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    one = RayPixels(np.array([0]), np.array([5]), np.array([np.nan], np.float32))
    assert none.table_name == NO_RAYS_TABLE != one.table_name


def test_a_final_mosaic_is_made_where_one_is_left(sky: Path, tmp_path: Path) -> None:
    """Nothing else depends on it."""
    left: dict[str, dict[str, str]] = {}
    stages: dict[str, set[str]] = {}
    for name, keep in (("with", "last"), ("without", "none")):
        sections: dict[str, dict[str, Any]] = {
            "output": {"mosaic": "none"},
            "run": {"keep_mosaics": keep},
        }
        run, heard = run_of(write_config(tmp_path / f"{name}.yaml", sky, **sections))
        left[name] = {file: digest for file, digest in content(run).items() if "mosaic" not in file}
        stages[name] = {
            one.stage
            for one in heard
            if isinstance(one, events.StageStarted) and one.pass_number == 0
        }
    assert stages["with"] - stages["without"] == {"resample", "merge"}
    assert left["with"].items() >= left["without"].items()
    assert (tmp_path / "with/mosaic.zarr").exists()
    assert not (tmp_path / "without/mosaic.zarr").exists()
