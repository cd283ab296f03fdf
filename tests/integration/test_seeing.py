"""A picture of a run says what its store says: live, dead, ended, or begun by an older version."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from durable_runs import make_sky, write_config

from alignsvc.api import align, monitor
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points
from alignsvc.domain.outcome import Status
from alignsvc.errors import RunStoreError
from alignsvc.io.codec import sealed, unsealed
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.journal import DriverStarted, StageStarted
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import FORMAT_VERSION
from alignsvc.io.objects import LocalObjects
from alignsvc.io.run_logs import LogKind, LogLine, LogSize, LogWriter, last_log_lines, log_lines
from alignsvc.run.planning.outlines import OUTLINES
from alignsvc.run.seeing.parts import picture_json
from alignsvc.run.seeing.picture import RunPicture, RunViewer
from alignsvc.run.seeing.picture_json import _column, pass_json
from alignsvc.run.status.run_status import RunStanding


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three exposures and an empty file, to its end."""
    folder = tmp_path_factory.mktemp("seeing")
    sky = make_sky(folder / "sky")
    (sky / "none.fits").touch()
    align(write_config(folder / "run.yaml", sky))
    return folder / "run"


@pytest.fixture
def picture(ended: Path) -> RunPicture:
    return RunViewer(ended).look()


def test_every_exposure_is_in_it_with_its_end(picture: RunPicture) -> None:
    assert [(one.id, one.status, one.reason) for one in picture.exposures] == [
        ("exp000", Status.ALIGNED, ""),
        ("exp001", Status.ALIGNED, ""),
        ("exp002", Status.ALIGNED, ""),
        ("none", Status.FAILED, "empty"),
    ]
    assert "none.fits" in picture.exposures[3].message


def test_the_last_pass_is_what_the_table_of_corrections_says(
    ended: Path, picture: RunPicture
) -> None:
    rows = {row.id: row for row in read_corrections(ended / "corrections.ecsv")}
    told = json.loads(json.dumps(picture_json(picture), allow_nan=False))
    last = picture.passes[-1]
    assert last.movement_px == picture.status.movement_px
    for k, name in enumerate(last.id):
        row = rows[name]
        assert row.correction is not None
        assert last.move_px[k] == row.last_move_px
        assert last.rotation_deg[k] == pytest.approx(row.correction.rotation_deg)
        assert told["passes"][-1]["used"][k] == row.quality.n_used
        assert told["passes"][-1]["east_error_mas"][k] == pytest.approx(
            1e3 * np.sqrt(row.correction.covariance[0, 0]), rel=1e-5
        )
        # Planes are about the middles, where a rotation moves nothing.
        assert told["passes"][-1]["east_mas"][k] == pytest.approx(
            1e3 * row.correction.shift[0], abs=1e-3
        )
    assert [one[3] for one in (told["passes"][0]["move_px"], told["exposures"]["ra"])] == [None] * 2
    assert told["held_out"]["verdict"][:3] == [rows[name].verdict.value for name in last.id]


def test_an_exposure_that_no_source_measured_has_no_error_rather_than_one_of_0(
    picture: RunPicture,
) -> None:
    last = picture.passes[-1]
    unmeasured, errors = last.n_used.copy(), last.error_arcsec.copy()
    unmeasured[1], errors[1] = 0, 0.0
    columns = replace(last, n_used=unmeasured, error_arcsec=errors)
    told = pass_json(columns, picture.outlines, [one.id for one in picture.exposures])
    assert told["east_error_mas"][1] is None and told["north_error_mas"][1] is None
    assert told["east_error_mas"][0] > 0.0


def test_a_displacement_is_that_of_the_whole_map(picture: RunPicture) -> None:
    last = picture.passes[-1]
    at = Points(np.array([30.0, -40.0, 5.0]), np.array([10.0, 20.0, -60.0]))
    found = last.displacement_arcsec(at)
    for k in range(3):
        parameters = np.concatenate([last.shift_arcsec[k], last.matrix[k].ravel()])
        exposure = read_corrections(picture.status.directory / "corrections.ecsv")[k]
        assert exposure.correction is not None
        whole = Correction.from_parameters(
            exposure.correction.plane, parameters, exposure.correction.geometry
        )
        moved = whole.apply(Points(at.x[k], at.y[k]))
        assert (found.x[k], found.y[k]) == pytest.approx((moved.x - at.x[k], moved.y - at.y[k]))


def test_outlines_lie_about_their_exposures(picture: RunPicture) -> None:
    outlines = picture.outlines
    assert outlines.id.tolist() == ["exp000", "exp001", "exp002"]
    assert outlines.owner.tolist() == [0, 1, 2]
    for row in range(3):
        points = slice(outlines.first[row], outlines.first[row + 1])
        ra, dec = outlines.ra[points], outlines.dec[points]
        assert np.ptp(dec) * 3600 == pytest.approx(192 * 0.2, rel=0.01)
        assert outlines.middle_dec[row] == pytest.approx((dec.min() + dec.max()) / 2, abs=1e-6)
        assert outlines.middle_ra[row] == pytest.approx((ra.min() + ra.max()) / 2, abs=1e-6)


def test_stages_tell_when_and_how_much(picture: RunPicture) -> None:
    measured = [one for one in picture.stages if one.stage == "measure"]
    assert [one.pass_number for one in measured] == [1, 2]
    for one in picture.stages:
        assert one.ended_s is not None
        assert one.ended_s >= one.began_s
        assert not one.is_lost
    assert all(one.n_tasks == 3 and one.work_s > 0 for one in measured)


def test_every_task_is_told_of_with_its_time_and_the_driver_with_its_memory(
    picture: RunPicture,
) -> None:
    counts = Counter((one.stage, one.pass_number) for one in picture.tasks.records)
    wanted: Counter[tuple[str, int]] = Counter()
    for stage in picture.stages:
        wanted[stage.stage, stage.pass_number] += stage.n_tasks
    assert counts == +wanted
    for one in picture.tasks.records:
        within = [
            stage
            for stage in picture.stages
            if (stage.stage, stage.pass_number) == (one.stage, one.pass_number)
            and stage.began_s - 0.1 <= one.began_s <= one.ended_s <= (stage.ended_s or 0.0) + 0.1
        ]
        assert within
        assert one.worker.endswith("/driver")
    samples = picture.samples.records
    assert samples
    assert all(one.driver_bytes > 50e6 for one in samples)


def test_a_second_look_reads_no_table_again(ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = RunViewer(ended)
    first = viewer.look()
    monkeypatch.setattr("alignsvc.run.seeing.pass_columns.read_table", None)
    second = viewer.look()
    assert [one.number for one in second.passes] == [1, 2]
    assert all(one is other for one, other in zip(first.passes, second.passes, strict=True))


def test_a_run_that_stopped_in_a_stage_is_shown_as_far_as_it_came(
    ended: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ended, run)
    book = Journal(LocalObjects(run), time.time)
    last = max(
        entry.sequence
        for entry in book.entries()
        if isinstance(entry.event, StageStarted) and entry.event.pass_number == 2
    )
    for name in LocalObjects(run).list("journal/")[last:]:
        (run / name).unlink()
    found = RunViewer(run).look()
    assert found.status.standing is RunStanding.STOPPED
    assert [one.number for one in found.passes] == [1]
    assert (found.stages[-1].stage, found.stages[-1].ended_s) == ("measure", None)
    assert [one.status for one in found.exposures] == [None, None, None, Status.FAILED]
    # The next driver makes an end of what the last one left.
    book = Journal(LocalObjects(run), time.time)
    list(book.entries())
    book.append(DriverStarted(2, "somebody"))
    assert RunViewer(run).look().stages[-1].is_lost


def test_a_run_without_outlines_has_an_empty_map(ended: Path) -> None:
    kept = (ended / OUTLINES).read_bytes()
    try:
        (ended / OUTLINES).unlink()
        told = picture_json(RunViewer(ended).look())
    finally:
        (ended / OUTLINES).write_bytes(kept)
    assert told["exposures"]["outlines"] == []
    assert told["exposures"]["ra"] == [None] * 4
    assert len(told["passes"]) == 2


def test_a_damaged_table_hides_its_pass_and_nothing_else(ended: Path) -> None:
    table = ended / "tables/solved/pass-0001.npz"
    kept = table.read_bytes()
    try:
        table.write_bytes(kept[:-40])
        found = RunViewer(ended).look()
    finally:
        table.write_bytes(kept)
    assert [one.number for one in found.passes] == [2]
    assert len(found.status.state.solved_passes) == 2


def test_what_is_no_run_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(RunStoreError, match="not a run directory"):
        RunViewer(tmp_path)


def test_a_monitor_has_the_picture_and_nothing_to_press_on_an_ended_run(ended: Path) -> None:
    shown = monitor(ended)
    assert shown.moment["status"]["exit_code"] == 4
    assert len(shown.passes["passes"]) == 2
    assert shown.exposures["exposures"]["id"][-1] == "none"
    assert shown.tasks["tasks"]["kinds"]
    before = (shown.passes, shown.tasks, shown.workers)
    shown.refresh()
    after = (shown.passes, shown.tasks, shown.workers)
    assert all(one is other for one, other in zip(before, after, strict=True))
    shown.close()


def test_a_run_of_another_format_is_told_of_instead_of_a_stack_trace(
    ended: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ended, run)
    for file in (run / "journal").iterdir():
        file.write_bytes(sealed({**unsealed(file.read_bytes()), "format": FORMAT_VERSION - 1}))
    with pytest.raises(RunStoreError, match="resume with the version that began the run"):
        RunViewer(run).look()
    shown = monitor(run)
    assert f"in format {FORMAT_VERSION - 1}, this version" in shown.moment["trouble"]
    assert "exposures" not in shown.exposures
    shown.close()


def test_what_comes_before_a_damaged_event_is_shown_with_what_is_wrong(
    ended: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ended, run)
    names = LocalObjects(run).list("journal/")
    (run / names[-1]).write_bytes((run / names[-1]).read_bytes()[:50])
    (run / "journal/.partial-abc").write_bytes(b"half of an eve")
    viewer = RunViewer(run)
    for _ in range(2):
        found = viewer.look()
        assert f"{names[-1]} is damaged" in found.trouble
        assert [one.number for one in found.passes] == [1, 2]
        assert found.status.standing is not RunStanding.FINISHED
    (run / names[-1]).write_bytes((ended / names[-1]).read_bytes())
    assert viewer.look().trouble == ""
    assert viewer.look().status.standing is RunStanding.FINISHED


def test_the_last_lines_of_a_log_are_read_from_its_end(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    log = LogWriter(objects, 1, LogSize(piece_bytes=400))
    for k in range(30):
        log.add(LogLine(float(k), LogKind.NOTE, text=f"note {k}"))
    log.flush()
    assert last_log_lines(objects, 7) == tuple(log_lines(objects))[-7:]
    assert last_log_lines(objects, 100) == tuple(log_lines(objects))
    last = tmp_path / objects.list("logs/")[-1]
    last.write_bytes(last.read_bytes() + b"{half a li")
    assert [line.text for line in last_log_lines(objects, 3)] == ["note 27", "note 28", "note 29"]


def test_numbers_have_as_many_digits_as_eyes_need() -> None:
    values = np.array([0.0, 1.23456789e-7, -123456.789, 1234567.89, 2 / 3, np.nan, np.inf, 1e-300])
    wanted = [0.0, 1.23457e-7, -123457.0, 1.23457e6, 0.666667, None, None, 1e-300]
    assert _column(values, np.arange(8), 8) == wanted
