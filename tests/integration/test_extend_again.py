"""Night after night: chains of runs, headers written in place, headers far off, frames at odds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from durable_runs import content, tell
from extended_runs import make_strip, tasks_done, write_config
from workplaces import digests

from alignsvc import api
from alignsvc.domain.outcome import Convergence, Status
from alignsvc.domain.result import ExposureResult
from alignsvc.errors import ConfigError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore

pytestmark = pytest.mark.slow

#: Corrections of a hundredth of a pixel.
MORE = {"geometry": "shift", "eps_shift": 0.01, "bootstrap": False}


def rows_of(run: Path) -> dict[str, ExposureResult]:
    return {row.id: row for row in read_corrections(run / "corrections.ecsv")}


def shifts(run: Path) -> np.ndarray:
    rows = [row.correction for row in rows_of(run).values()]
    return np.array([row.shift for row in rows if row is not None])


def weight(run: Path) -> np.ndarray:
    store = MosaicStore(RunLocations(run).path(MOSAIC_STORE))
    generation = store.current()
    assert generation is not None
    return np.asarray(store.read(generation, 0, store.grid(generation, 0).box).weight)


@pytest.mark.parametrize("freeze", [False, True], ids=["free", "frozen"])
def test_extending_gives_what_a_run_of_all_gives(tmp_path: Path, freeze: bool) -> None:
    files = make_strip(tmp_path / "sky", side_px=160, count=8)
    api.align(write_config(tmp_path / "sofar.yaml", files[:6], alignment=MORE))
    config = write_config(tmp_path / "tonight.yaml", files[6:], alignment=MORE)
    tonight = api.align(config, extend=tmp_path / "sofar", freeze=freeze)
    whole = api.align(write_config(tmp_path / "whole.yaml", files, alignment=MORE))
    assert tonight.verdict is whole.verdict is Convergence.CONVERGED
    assert len(tonight.history) <= len(whole.history) + 1
    found, wanted = (api.evaluate(one.directory, tmp_path / "sky") for one in (tonight, whole))
    assert found["n_aligned"] == wanted["n_aligned"] == 8
    assert found["false_success"] == []
    assert float(str(found["local_rms_px"])) < 1.3 * float(str(wanted["local_rms_px"])) + 0.005
    if freeze:
        assert tasks_done(tonight.directory).total() < 0.8 * tasks_done(whole.directory).total()
    else:  # the mean of all corrections since the headers holds both
        assert np.abs(shifts(tmp_path / "tonight") - shifts(tmp_path / "whole")).max() < 0.03 * 0.2


def test_a_chain_of_extensions_knows_the_first_run_s_exposures(tmp_path: Path) -> None:
    """The grid grows with each night; tiles of the first are in the mosaic of the third."""
    files = make_strip(tmp_path / "sky", count=7)
    api.align(write_config(tmp_path / "first.yaml", files[:5]))
    config = write_config(tmp_path / "second.yaml", [files[5]])
    api.align(config, extend=tmp_path / "first", freeze=True)
    before = digests(tmp_path / "second")
    config = write_config(tmp_path / "third.yaml", [files[6]])
    third = api.align(config, extend=tmp_path / "second", freeze=True)
    assert digests(tmp_path / "second") == before
    first, last = rows_of(tmp_path / "first"), rows_of(tmp_path / "third")
    assert len(last) == 7
    assert {row.status for row in last.values()} == {Status.ALIGNED}
    for name, row in first.items():
        assert row.correction is not None and last[name].correction is not None
        assert last[name].correction.parameters.tolist() == row.correction.parameters.tolist()
    assert any("6 old (frozen, 3 of them not read), 1 new" in note for note in third.notes)
    assert api.evaluate(tmp_path / "third", tmp_path / "sky")["false_success"] == []
    # Every pixel has the weight that all seven give it: nothing is missing, nothing twice.
    together = write_config(
        tmp_path / "together.yaml", files, alignment={"bootstrap": False, "geometry": "shift"}
    )
    api.align(together)
    assert weight(tmp_path / "third").sum() == pytest.approx(
        weight(tmp_path / "together").sum(), rel=0.01
    )


@pytest.mark.parametrize("freeze", [False, True], ids=["free", "frozen"])
def test_headers_written_in_place_are_not_corrected_twice(tmp_path: Path, freeze: bool) -> None:
    files = make_strip(tmp_path / "sky")
    in_place = {"output": {"wcs": "in_place"}}
    api.align(write_config(tmp_path / "sofar.yaml", files[:5], **in_place))
    written = digests(tmp_path / "sky")
    plain = write_config(tmp_path / "tonight.yaml", files[5:])
    tonight = api.align(plain, extend=tmp_path / "sofar", freeze=freeze)
    assert digests(tmp_path / "sky") == written
    rows = rows_of(tonight.directory)
    old = [rows[f"exp{k:03d}"].correction for k in range(5)]
    moved = [one is not None and not one.is_identity for one in old]
    assert not any(moved) if freeze else all(moved)
    for one in old:
        assert one is not None
        assert np.abs(one.shift).max() < 0.3  # what is left, not what was taken before
    found = api.evaluate(tonight.directory, tmp_path / "sky")
    assert float(str(found["local_rms_px"])) < 0.05
    if freeze:
        again = write_config(tmp_path / "written.yaml", files[5:], **in_place)
        api.align(again, extend=tmp_path / "sofar", freeze=True)
        assert fits.getheader(files[5])["ALIGNRUN"] != fits.getheader(files[0])["ALIGNRUN"]
    else:
        again = write_config(tmp_path / "refused.yaml", files[5:], **in_place)
        with pytest.raises(ConfigError, match=r"holds the correction of run .* already"):
            api.align(again, extend=tmp_path / "sofar")


def test_a_new_header_that_is_far_off_is_found_by_the_old_exposures_sources(
    tmp_path: Path,
) -> None:
    files = make_strip(tmp_path / "sky")
    api.align(write_config(tmp_path / "sofar.yaml", files[:5], alignment={"bootstrap": "auto"}))
    with fits.open(files[5], mode="update") as opened:
        opened[-1].header["CRPIX1"] += 40.0
        opened[-1].header["CRPIX2"] -= 25.0
    config = write_config(tmp_path / "tonight.yaml", files[5:], alignment={"bootstrap": "auto"})
    tonight = api.align(config, extend=tmp_path / "sofar", freeze=True)
    row = rows_of(tonight.directory)["exp005"]
    assert row.status is Status.ALIGNED
    assert row.correction is not None
    assert np.hypot(*row.correction.shift) > 8.0
    assert api.evaluate(tonight.directory, tmp_path / "sky")["false_success"] == []


def test_without_a_kept_mosaic_every_tile_is_made_again(tmp_path: Path) -> None:
    files = make_strip(tmp_path / "sky")
    keep = {"directory": str(tmp_path / "sofar"), "keep_mosaics": "none"}
    api.align(write_config(tmp_path / "sofar.yaml", files[:5], run=keep))
    config = write_config(tmp_path / "tonight.yaml", files[5:])
    tonight = api.align(config, extend=tmp_path / "sofar", freeze=True)
    assert any("kept no mosaic: every tile is made again" in note for note in tonight.notes)
    assert tasks_done(tonight.directory)["resample"] >= 6
    assert {row.status for row in tonight.corrections} == {Status.ALIGNED}
    assert (weight(tonight.directory).sum(axis=0) > 0).sum() > 5 * 64


def test_frames_that_nobody_compared_cannot_both_be_frozen(tmp_path: Path) -> None:
    files = make_strip(tmp_path / "sky", count=7)
    apart = [*files[:3], *files[5:]]
    api.align(write_config(tmp_path / "sofar.yaml", apart))
    config = write_config(tmp_path / "tonight.yaml", files[3:5])
    with pytest.raises(ConfigError, match="join components 0 and 1"):
        api.align(config, extend=tmp_path / "sofar", freeze=True)
    free = api.align(config, extend=tmp_path / "sofar")
    assert {row.status for row in free.corrections} == {Status.ALIGNED}
    assert {row.component for row in free.corrections} == {0}


def test_kills_at_many_moments_change_no_bit(tmp_path: Path) -> None:
    """Some of them while the earlier run is copied."""
    files = make_strip(tmp_path / "sky")
    api.align(write_config(tmp_path / "sofar.yaml", files[:5]))
    extension = {"extend": str(tmp_path / "sofar"), "freeze": True}

    def configured(name: str) -> Path:
        run = {"directory": str(tmp_path / name), **extension}
        return write_config(tmp_path / f"{name}.yaml", files[5:], run=run)

    (whole,) = tell([{"config": str(configured("whole")), "kills": []}])
    last = whole["moments"]
    created = next(moment for kind, moment in whole["events"] if kind == "run_created")
    kills = [created // 8, created // 2, created - 1, created + 2]
    kills += np.linspace(created + 20, 0.9 * last, 4).astype(int).tolist()
    told = tell(
        [{"config": str(configured(f"killed{n}")), "kills": [kill]} for n, kill in enumerate(kills)]
    )
    wanted = content(tmp_path / "whole")
    for n, one in enumerate(told):
        assert one["codes"] == [9, 0]
        assert content(tmp_path / f"killed{n}") == wanted
