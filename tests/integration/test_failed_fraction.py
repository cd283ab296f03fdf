"""A run of which too many exposures fail ends early, says why, and can go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workplaces import Command, Workplace

from alignsvc import api
from alignsvc.run.records import events


def test_too_many_bad_files_end_a_run_before_a_pixel_is_read_and_fewer_do_not(
    work: Workplace, command: Command
) -> None:
    for name in ("cloud.fits", "moon.fits"):
        (work.inputs / name).write_bytes(b"no FITS")
    ended = command(
        "run", work.config({"run.max_failed_fraction": 0.2, "alignment.eps_shift": 50.0})
    )
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert "failed: 2 of 5 exposures failed, more than run.max_failed_fraction: 0.2" in ended.out
    assert "  failed 2  unreadable  the file is not readable as FITS: cloud, moon" in lines
    assert not (work.run / "contributions").exists()
    report = command("report", work.run, "--json").json
    assert (report["completion"], report["counts"]["aligned"]) == ("failed", 0)
    assert [row["exposures"] for row in report["reasons"]] == [["cloud", "moon"]]
    page = (work.run / "report.html").read_text()
    assert "<h1>failed, exit 1</h1>" in page
    assert "Nothing to use: the run ended before its loop did, no headers are written." in page
    # Two of five may fail: the same directory goes on.
    settings = {"run.max_failed_fraction": 0.4, "alignment.eps_shift": 50.0}
    again = command("run", work.config(settings), "--json")
    assert (again.code, again.json["completion"]) == (1, "partial")
    assert again.json["counts"] == {"aligned": 3, "skipped": 0, "failed": 2}


@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_fraction_is_between_0_and_1(work: Workplace, command: Command, verb: str) -> None:
    ended = command(verb, work.config({"run.max_failed_fraction": 20}))
    assert ended.code == 2
    assert "run.max_failed_fraction" in ended.sentence


def test_a_run_ends_within_the_pass_in_which_too_many_fail(work: Workplace) -> None:
    lost = work.inputs / "exp002.fits"

    def lose(event: events.Event) -> None:
        if isinstance(event, events.StageStarted) and event.stage == "resample":
            lost.unlink(missing_ok=True)

    config = work.config({"run.max_failed_fraction": 0.0, "alignment.bootstrap": False})
    result = api.align(Path(config), api.RunOptions(listener=lose))
    assert "1 of 3 exposures failed" in result.ended_early
    assert (result.exit_code, result.history) == (1, ())
    report = json.loads((work.run / "report.json").read_text())
    assert [row["reason"] for row in report["reasons"]] == ["missing"]
