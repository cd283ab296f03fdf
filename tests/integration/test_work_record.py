"""A run leaves what its tasks and workers did: resumed, on workers, and where the store refuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from durable_runs import content, make_sky, write_config

from alignsvc.api import align, resume
from alignsvc.errors import ResourceError, RunInterrupted
from alignsvc.io.objects import LocalObjects
from alignsvc.io.run_logs import LogKind, log_lines
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records import events
from alignsvc.run.seeing.parts import picture_json
from alignsvc.run.seeing.picture import RunPicture, RunViewer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("work") / "sky")


@pytest.fixture(scope="module")
def whole(sky: Path) -> Path:
    config = write_config(sky.with_name("whole.yaml"), sky)
    align(config)
    return config.with_suffix("")


class Stop:
    """Ctrl-C when a stage of the second pass begins."""

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.pass_number == 2:
            raise KeyboardInterrupt


def ended(picture: RunPicture) -> Counter[tuple[str, int]]:
    return Counter((one.stage, one.pass_number) for one in picture.tasks.records)


def test_two_drivers_leave_their_records_one_after_the_other(
    sky: Path, whole: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.yaml", sky)
    with pytest.raises(RunInterrupted):
        align(config, RunOptions(listener=Stop()))
    run = config.with_suffix("")
    first = RunViewer(run).look()
    resume(run)
    both = RunViewer(run).look()
    assert {one.epoch for one in first.samples.records} == {1}
    assert sorted({one.epoch for one in both.samples.records}) == [1, 2]
    assert both.tasks.records[: len(first.tasks.records)] == first.tasks.records
    assert set(ended(both)) == set(ended(RunViewer(whole).look()))
    samples = picture_json(both)["workers"]["samples"]["time"]
    assert samples.count(None) == 1  # between the two nobody knows
    assert content(run) == content(whole)


def test_a_store_that_refuses_the_record_changes_no_bit_and_a_note_says_so(
    sky: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalObjects.put

    def refuses(self: LocalObjects, name: str, data: bytes) -> None:
        if name.startswith(("logs/tasks", "logs/workers")):
            raise ResourceError("the disk is full")
        put(self, name, data)

    monkeypatch.setattr(LocalObjects, "put", refuses)
    config = write_config(tmp_path / "run.yaml", sky)
    align(config)
    run = config.with_suffix("")
    assert content(run) == content(whole)
    notes = [line.text for line in log_lines(LocalObjects(run)) if line.what is LogKind.NOTE]
    assert notes == ["the record of tasks and workers has gaps: the disk is full"]
    picture = RunViewer(run).look()
    assert (picture.tasks.records, picture.samples.records) == ((), ())


def test_workers_are_told_of_by_name_and_with_their_memory(
    sky: Path, whole: Path, tmp_path: Path
) -> None:
    cluster = {"backend": "local", "workers": 2, "memory_limit": "2 GiB"}
    config = write_config(tmp_path / "run.yaml", sky, cluster=cluster)
    align(config)
    run = config.with_suffix("")
    picture = RunViewer(run).look()
    assert ended(picture) == ended(RunViewer(whole).look())
    hosts = {one.worker.rpartition("/")[0] for one in picture.tasks.records}
    assert len(hosts) == 1
    assert {one.worker.rpartition("/")[2] for one in picture.tasks.records} <= {"0", "1"}
    known = [one.workers for one in picture.samples.records if one.workers is not None]
    assert known
    assert {one.n_known for one in known} == {2}
    assert all(5e7 < one.lowest_bytes <= one.highest_bytes <= one.limit_bytes for one in known)
    assert {one.limit_bytes for one in known} == {2 << 30}
    assert picture.samples.records[-1].workers is None  # they are ended
    assert content(run) == content(whole)
