"""An exposure seen from near says what its tables say, and what is not there it says why."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durable_runs import make_sky, write_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "io"))
from object_servers import objects_in, s3_bucket

from alignsvc import api
from alignsvc.dashboard.monitor import RunMonitor
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.errors import ResourceError, RunInterrupted, RunStoreError, TransientError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.objects import LocalObjects
from alignsvc.io.run_logs import LogKind, log_lines
from alignsvc.io.tables import read_table
from alignsvc.numerics.displacement import measure
from alignsvc.numerics.displacement.worst_sources import MOST_SOURCES
from alignsvc.run.loop import passes
from alignsvc.run.seeing.detail_json import detail_json
from alignsvc.run.seeing.exposure_detail import (
    HELD_OUT,
    IN_THE_FIT,
    REJECTED,
    ExposureDetail,
    find_exposure_detail,
)
from alignsvc.run.seeing.picture import RunViewer
from alignsvc.tasks import measure as task_of_measure
from alignsvc.tasks.diagnostics import told_as_missing


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("detail") / "sky")


@pytest.fixture(scope="module")
def run(sky: Path) -> Path:
    return Path(api.align(write_config(sky.with_name("run.yaml"), sky)).directory)


@pytest.fixture(scope="module")
def by_model(sky: Path) -> Path:
    alignment = {"max_iterations": [2, 1], "method": "model"}
    config = write_config(sky.with_name("model.yaml"), sky, alignment=alignment)
    return Path(api.align(config).directory)


def detail_of(run: Path, exposure: str = "exp001") -> ExposureDetail:
    found = find_exposure_detail(LocalObjects(run), exposure)
    assert found is not None
    return found


def test_residuals_are_displacements_less_what_the_pass_corrected(run: Path) -> None:
    found = detail_of(run)
    assert (found.pass_number, found.is_solved, found.missing) == (2, True, ())
    left = found.residuals
    assert left is not None
    kept = read_table(
        LocalObjects(run), "history/pass-0002/exp001-displacements.npz", Displacements
    )
    assert (left.measured_px[:, 0] == kept.dx)[np.isfinite(kept.dx)].all()
    # Between the totals of two passes lies what the second one corrected, arcsec at 0.2 a pixel.
    one, two = (
        next(
            row.correction
            for row in read_corrections(run / f"history/pass-000{k}/corrections.ecsv")
            if row.id == "exp001"
        )
        for k in (1, 2)
    )
    assert one is not None
    assert two is not None
    step = two.after(one.inverse())
    # East is left and north is up in these exposures, to the 0.02 degrees of their headers.
    place = Points(-0.2 * (left.x - 95.5), 0.2 * (left.y - 95.5))
    now = one.apply(place)
    end = step.apply(now)
    wanted = np.stack([now.x - end.x, end.y - now.y], axis=1) / 0.2
    assert np.abs(wanted).max() > 1e-3
    assert left.fitted_px == pytest.approx(wanted, abs=5e-5)
    known = np.isfinite(left.measured_px)
    assert (left.residual_px == left.measured_px - left.fitted_px)[known].all()


def test_what_became_of_each_source_is_told(run: Path) -> None:
    found = detail_of(run)
    left = found.residuals
    assert left is not None
    fate = left.fate
    assert set(fate) <= {IN_THE_FIT, HELD_OUT, REJECTED}
    assert found.n_used is not None
    assert 5 < found.n_used <= fate.count(IN_THE_FIT)
    for row, one in enumerate(fate):
        assert bool(left.reasons(row)) == (one == REJECTED)


def test_the_dipole_goes_away(run: Path) -> None:
    before, after = [], []
    for name in ("exp000", "exp001", "exp002"):
        found = detail_of(run, name)
        assert found.residuals is not None
        for one in found.cutouts:
            is_bright = found.residuals.snr[one.row] > 150
            if is_bright and found.residuals.fate[one.row] != REJECTED:
                # What is odd about the middle is what the header is off.
                before.append(_odd(one.exposure - one.before))
                after.append(_odd(one.exposure - one.after))
    assert len(before) >= 4
    assert (np.array(after) < np.array(before)).all()
    assert np.median(after) < 0.5 * np.median(before)


def test_the_worst_come_first(run: Path) -> None:
    found = detail_of(run)
    assert 5 < len(found.cutouts) <= MOST_SOURCES
    left = found.residuals
    assert left is not None
    sound = [one.row for one in found.cutouts if left.fate[one.row] != REJECTED]
    sigma = left.sigma[sound]
    assert (np.diff(sigma) <= 0).all()
    assert [one.row for one in found.cutouts[: len(sound)]] == sound
    everyone = [row for row, fate in enumerate(left.fate) if fate != REJECTED]
    assert np.nanargmax(left.sigma[everyone]) == everyone.index(sound[0])


@pytest.mark.slow
def test_a_model_is_shown_with_what_it_leaves(by_model: Path) -> None:
    found = detail_of(by_model)
    modelled = [one for one in found.cutouts if one.model is not None]
    assert len(modelled) > 3
    assert any("the catalogue's places" in one for one in found.missing)
    # What all exposures see off alike is not this one's residual.
    left = found.residuals
    assert left is not None
    used = np.array(left.fate) == IN_THE_FIT
    assert np.nanmax(np.abs(left.shared_px[used])) > 0.01
    pulls = left.residual_px[used] / left.error_px[used]
    assert 0.6 < np.sqrt(np.nanmean(pulls**2)) < 1.5
    for one in modelled:
        assert one.model is not None
        if float(np.nanmax(one.exposure)) > 30:
            assert np.nanstd(one.exposure - one.model) < 0.25 * np.nanstd(one.exposure)
    told = detail_json(found)
    assert any(one["model"] and one["residual"] for one in told["cutouts"])


@pytest.mark.slow
def test_by_both_methods_the_correlation_s_is_shown_as_the_run_is_its_own(
    sky: Path, run: Path, tmp_path: Path
) -> None:
    alignment = {"max_iterations": [2, 1], "method": "both"}
    both = Path(api.align(write_config(tmp_path / "run.yaml", sky, alignment=alignment)).directory)
    assert detail_json(detail_of(both)) == detail_json(detail_of(run))


def test_as_json_it_is_small_and_says_the_same(run: Path) -> None:
    found = detail_of(run)
    text = json.dumps(detail_json(found), allow_nan=False)
    assert len(text) < 600_000
    told = json.loads(text)
    left = found.residuals
    assert left is not None
    assert told["sources"]["id"] == left.source.tolist()
    assert told["chips"] == [{"width": 192, "height": 192}]
    for one, cutout in zip(told["cutouts"], found.cutouts, strict=True):
        grid = one["after"]
        if grid is None:  # the mosaic of the others has a hole there
            assert np.isnan(cutout.exposure - cutout.after).all()
            continue
        levels = np.frombuffer(base64.b64decode(grid["bytes"]), np.uint8).astype(float)
        levels = levels.reshape(grid["side"], grid["side"])
        known = levels < 255
        values = grid["low"] + (grid["high"] - grid["low"]) * levels / 254
        wanted = cutout.exposure - cutout.after
        assert (known == np.isfinite(wanted)).all()
        assert np.abs(values - wanted)[known].max() <= (grid["high"] - grid["low"]) / 500
    assert len(detail_json(found, most_cutouts=2)["cutouts"]) == 2


def test_what_is_kept_stays_within_its_budget_and_changes_no_number(
    sky: Path, run: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky, output={"diagnostics_mb": 0.2})
    small = Path(api.align(config).directory)
    taken = sum(one.stat().st_size for one in (small / "history").rglob("*-pixels.npz"))
    assert 0 < taken <= 200_000
    assert 0 < len(detail_of(small).cutouts) < len(detail_of(run).cutouts)
    assert (small / "corrections.ecsv").read_bytes() == (run / "corrections.ecsv").read_bytes()


@pytest.mark.slow
def test_a_run_whose_budget_changes_goes_on(
    sky: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for first, then in ((0, 200), (200, 0)):
        folder = tmp_path / str(first)
        with monkeypatch.context() as patched:
            patched.setattr(passes, "solve", die)
            with pytest.raises(KeyboardInterrupt):
                api.align(write_config(folder / "run.yaml", sky, output={"diagnostics_mb": first}))
        # Measured and not solved: nothing is taken off yet.
        begun = detail_of(folder / "run")
        assert (begun.pass_number, begun.is_solved) == (1, False)
        assert any("no solution yet" in one for one in begun.missing)
        assert bool(begun.cutouts) == bool(first)
        config = write_config(folder / "run.yaml", sky, output={"diagnostics_mb": then})
        again = Path(api.align(config).directory)
        assert (again / "corrections.ecsv").read_bytes() == (run / "corrections.ecsv").read_bytes()
        assert bool(detail_of(again).cutouts) == bool(then)
    assert any("diagnostics_mb" in one for one in detail_of(again).missing)


@pytest.mark.slow
def test_pixels_that_cannot_be_made_cost_no_exposure(
    sky: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no picture today")

    monkeypatch.setattr(measure, "pictured", fail)
    again = Path(api.align(write_config(tmp_path / "run.yaml", sky)).directory)
    assert (again / "corrections.ecsv").read_bytes() == (run / "corrections.ecsv").read_bytes()
    found = detail_of(again)
    assert found.residuals is not None
    assert not found.cutouts
    assert "not made" in found.missing[0]


def test_pixels_that_cannot_be_written_cost_no_exposure_and_are_told(
    sky: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, stem: str, *__: object) -> None:
        if stem.endswith("exp001"):
            raise ValueError("no archive today")

    monkeypatch.setattr(task_of_measure, "write_pixels", fail)
    again = Path(api.align(write_config(tmp_path / "run.yaml", sky)).directory)
    assert (again / "corrections.ecsv").read_bytes() == (run / "corrections.ecsv").read_bytes()
    notes = [one.text for one in log_lines(LocalObjects(again)) if one.what is LogKind.NOTE]
    told = [text for text in notes if "no archive today" in text]
    assert [text.partition(":")[0] for text in told] == ["pass 1", "pass 2"]
    assert all("1 exposure (exp001)" in text for text in told)
    found = detail_of(again)
    assert found.residuals is not None
    assert not found.cutouts


@pytest.mark.parametrize(
    "error",
    [ResourceError("full"), TransientError("lost"), RunStoreError("gone"), RunInterrupted("r")],
)
def test_what_stops_a_run_stops_it_where_things_are_kept_for_people_too(
    error: BaseException,
) -> None:
    with pytest.raises(type(error)), told_as_missing():
        raise error


def test_a_monitor_answers_for_the_exposure_that_is_asked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(RunMonitor, "send", lambda _, content, **__: sent.append(content))

    async def ask(*questions: dict[str, str]) -> None:
        shown = RunMonitor(run)
        for question in questions:
            shown._on_message(shown, {"ask": "exposure", **question}, [])
        async with asyncio.timeout(60):
            while len(sent) < len(questions):
                await asyncio.sleep(0.01)

    asyncio.run(ask({"id": "exp001", "number": "a"}, {"id": "nobody", "number": "b"}))
    answers = {one["answer"]: one["detail"] for one in sent}
    assert answers == {"a": detail_json(detail_of(run)), "b": None}

    def broken(*_: object) -> None:
        raise RunStoreError("the bucket is gone")

    monkeypatch.setattr(RunViewer, "detail", broken)
    asyncio.run(ask({"id": "exp001", "number": "c"}, {"id": "exp000"}, {}))
    assert {"answer": "c", "detail": None, "trouble": "the bucket is gone"} in sent


@pytest.mark.cluster
def test_a_run_in_a_bucket_is_seen_from_near_as_well(run: Path) -> None:
    here = LocalObjects(run)
    with s3_bucket() as bucket:
        objects = objects_in(bucket)
        for name in here.list(""):
            if name.startswith(("journal/", "history/pass-0002/", "tables/solved/")):
                objects.put(name, here.get(name))
        found = find_exposure_detail(objects, "exp001")
        objects.delete_below("")
    assert found is not None
    assert detail_json(found) == detail_json(detail_of(run))


def test_what_is_not_there_says_why(run: Path, tmp_path: Path) -> None:
    assert find_exposure_detail(LocalObjects(run), "exp999") is None
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    kept = copy / "history" / "pass-0002"
    (kept / "exp000-pixels.npz").write_bytes(b"not an archive")
    (kept / "exp001-places.npz").unlink()
    (kept / "exp002-displacements.npz").unlink()
    viewer = RunViewer(copy)
    viewer.look()
    found = {name: viewer.detail(name) for name in ("exp000", "exp001", "exp002")}
    assert all(one is not None for one in found.values())
    assert "cannot be read" in found["exp000"].missing[0]
    assert found["exp000"].residuals is not None
    assert (
        "earlier" in found["exp001"].missing[0] or "another version" in found["exp001"].missing[0]
    )
    assert found["exp001"].residuals is None
    assert "not under history/" in found["exp002"].missing[0]
    told = json.dumps(detail_json(found["exp002"]), allow_nan=False)
    assert json.loads(told)["sources"] is None


def _odd(plane: np.ndarray) -> float:
    """Return the rms of the odd part of the middle of a plane."""
    side = plane.shape[-1]
    core = plane[side // 2 - 6 : side // 2 + 6, side // 2 - 6 : side // 2 + 6]
    odd = core - core[::-1, ::-1]
    return float(np.sqrt(np.nanmean(odd**2)))
