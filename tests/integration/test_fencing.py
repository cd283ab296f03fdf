"""A driver that slept while another one took its run over wakes up and writes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from durable_runs import content, make_sky, write_config
from workplaces import digests

from alignsvc import api
from alignsvc.run.records.result import RunResult

#: After each of these the driver would next replace or remove something, in this order: a pointer,
#: old generations, a table of corrections, headers and tables of the end.
MOMENTS = [
    ("stage_finished", 3),
    ("published", 1),
    ("sources_found", 0),
    ("solved", 1),
    ("loop_ended", 0),
    ("published", 2),
    ("header_applied", 0),
]


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("fencing") / "sky")


def prepared(sky: Path, folder: Path) -> tuple[Path, Path]:
    """Return a configuration of a run in place, and its own copies of the inputs."""
    own = Path(shutil.copytree(sky, folder / "sky"))
    return write_config(folder / "run.yaml", own, output={"wcs": "in_place"}), own


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sky: Path) -> tuple[RunResult, dict[str, str]]:
    config, own = prepared(sky, tmp_path_factory.mktemp("whole"))
    return api.align(config), digests(own)


@pytest.mark.parametrize(
    ("kind", "which"),
    [
        pytest.param(*moment, marks=() if moment == ("loop_ended", 0) else pytest.mark.slow)
        for moment in MOMENTS
    ],
)
def test_a_driver_that_slept_writes_nothing(
    tmp_path: Path,
    sky: Path,
    whole: tuple[RunResult, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    which: int,
) -> None:
    config, own = prepared(sky, tmp_path)
    run = config.with_suffix("")
    program = str(Path(__file__).with_name("sleepers.py"))
    sleeper = subprocess.Popen(
        [sys.executable, program, str(config), kind, str(which)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert sleeper.stdout is not None and sleeper.stdout.readline() == "stopping\n"
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr("alignsvc.io.lease.PATIENCE_S", 0.1)  # a minute, for whoever has time
        monkeypatch.setattr("alignsvc.io.lease._POLL_S", 0.05)
        result = api.align(config)
        assert result.exit_code == whole[0].exit_code
        left = digests(run), digests(own)
        sleeper.send_signal(signal.SIGCONT)
        _, said = sleeper.communicate(timeout=120)
    finally:
        sleeper.kill()
        sleeper.communicate()
    assert sleeper.returncode == 3, said
    assert "another driver" in said and "this one stops" in said
    now = digests(run), digests(own)
    assert without_own_log(now[0]) == without_own_log(left[0])
    assert now[1] == left[1] == whole[1]
    assert "corrections.ecsv" in content(run)


def without_own_log(files: dict[str, str]) -> dict[str, str]:
    """Return files but the sleeper's own pieces of logs, where it says what it did till then."""
    own = tuple(f"logs/{kind}-00000001" for kind in ("driver", "tasks", "workers"))
    return {name: bits for name, bits in files.items() if not any(one in name for one in own)}
