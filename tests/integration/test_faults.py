"""Faults of tests/README.md's list that no other file has; it says which test shows which."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from durable_runs import content, make_sky, write_config
from small_disks import fill, small_disk
from workplaces import Command

from alignsvc import api
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.errors import ResourceError
from alignsvc.run.records import stored
from alignsvc.run.status.run_status import RunStanding
from alignsvc.tasks.merge import MergeTask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("faults") / "sky", count=4)


@pytest.fixture(scope="module")
def wanted(sky: Path) -> dict[str, str]:
    """What an undisturbed run gives."""
    return content(api.align(write_config(sky.with_name("quiet.yaml"), sky)).directory)


@pytest.mark.parametrize("kilobytes", [20, 700, 1600, 2600])
def test_a_disk_that_is_full_stops_the_run_and_resume_goes_on(
    sky: Path, wanted: dict[str, str], tmp_path: Path, kilobytes: int
) -> None:
    """A tmpfs of 24 MB with so much left: for the journal, or contributions, or a mosaic."""
    with small_disk(tmp_path / "disk", megabytes=24) as disk:
        config = write_config(disk / "run.yaml", sky)
        filler = fill(disk, leave_bytes=1000 * kilobytes)
        command = [sys.executable, "-m", "alignsvc.cli.main", "run", str(config)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 3
        assert "No space left" in ended.stderr or "disk is full" in ended.stderr
        assert "Traceback" not in ended.stderr
        if kilobytes > 100:  # with less there was no room to keep, and the driver is merely gone
            status = api.status(config.with_suffix(""))
            assert status.standing is RunStanding.STOPPED
            assert "disk is full; free some space" in status.why_ended
        filler.unlink()
        assert content(api.align(config).directory) == wanted
        assert not api.status(config.with_suffix("")).why_ended


def test_a_tile_that_does_not_fit_into_memory_stops_the_run_by_what_to_set(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exposure is to blame, and there is no mosaic without it; with more memory it goes on."""
    config = write_config(tmp_path / "run.yaml", sky, alignment={"max_iterations": [1, 1]})
    merge = MergeTask.__call__

    def too_large(task: MergeTask) -> TaskOutcome:
        raise MemoryError("wanted 1 TiB")

    monkeypatch.setattr(MergeTask, "__call__", too_large)
    with pytest.raises(ResourceError, match=r"merge of .*wanted 1 TiB.*mosaic.tile_shape.*resume"):
        api.align(config)
    monkeypatch.setattr(MergeTask, "__call__", merge)
    assert [row.passes for row in api.resume(config.with_suffix("")).corrections] == [1] * 4


_KERNEL = """
    import os, sys
    from pathlib import Path
    from alignsvc import api
    from alignsvc.run.records import events

    def tell(event):
        if isinstance(event, events.TaskEnded):
            print(event.stage, flush=True)

    if __name__ == "__main__":
        cell = "api.align(Path(sys.argv[1]), api.RunOptions(listener=tell))"
        exec(compile(cell, "<cell>", "exec"))
"""


def test_a_notebook_whose_kernel_is_killed_goes_on_where_it_was(
    sky: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    """Its workers end by themselves; the cell, run again, gives the same bits."""
    config = write_config(
        tmp_path / "run.yaml", sky, cluster={"backend": "local", "workers": 2, "dashboard": False}
    )
    script = tmp_path / "kernel.py"
    script.write_text(textwrap.dedent(_KERNEL))
    kernel = subprocess.Popen(
        [sys.executable, str(script), str(config)], stdout=subprocess.PIPE, text=True
    )
    assert kernel.stdout is not None
    while kernel.stdout.readline().strip() != "measure":
        assert kernel.poll() is None
    workers = psutil.Process(kernel.pid).children(recursive=True)
    kernel.kill()
    assert kernel.wait(60) == -signal.SIGKILL
    kernel.stdout.close()
    assert workers
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert stored.state_of(config.with_suffix("")).is_finished is False
    assert content(api.align(config).directory) == wanted


def test_images_that_oscillate_end_as_not_converged_and_no_header_is_written(
    tmp_path: Path, command: Command
) -> None:
    """Two images, each put where the other was, for ever: the loop sees that, and stops."""
    pair = make_sky(tmp_path / "sky", count=2)
    alignment = {"solver": "independent", "update": "batch", "max_iterations": [8, 1]}
    config = write_config(
        tmp_path / "run.yaml", pair, alignment=alignment, output={"write_unconverged": False}
    )
    ended = command("run", config, "--json")
    assert ended.code == 4
    assert ended.json["verdict"] in ("stalled", "diverging")
    assert (ended.json["completion"], ended.json["headers"]) == ("partial", [])
    assert len(ended.json["passes"]) < 8


def test_what_was_needed_is_told_beside_what_was_predicted(sky: Path, tmp_path: Path) -> None:
    """What a worker occupies, within a factor of 1.5; at no stage low by more than 1.2."""
    cluster = {"backend": "local", "workers": 1, "dashboard": False}
    result = api.align(write_config(tmp_path / "run.yaml", sky, cluster=cluster))
    needs = json.loads((result.directory / "report.json").read_text())["needs"]
    compared = {row["stage"]: row for row in needs if row["predicted_memory_bytes"]}
    assert set(compared) >= {"resample", "merge", "background", "detect", "measure"}
    for row in compared.values():
        assert row["predicted_memory_bytes"] > row["memory_bytes"] / 1.2, row["stage"]
    predicted, found = (
        max(row[key] for row in compared.values())
        for key in ("predicted_memory_bytes", "memory_bytes")
    )
    assert predicted < 1.5 * found
    page = (result.directory / "report.html").read_text()
    assert "Work and memory" in page and "disk at the end, before it was tidied up" in page
