"""Headers of runs that have ended: written late, half, where they may not be, or not any more."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from astropy.io import fits
from workplaces import Command, Workplace, digests

import alignsvc
from alignsvc.cli.main import exit_code
from alignsvc.io import whole_files
from alignsvc.run.verbs import applying


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_sky: Path) -> Workplace:
    """A run that has ended; tests get its inputs back as they were."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    shutil.copytree(small_sky, place.inputs, ignore=shutil.ignore_patterns("truth.json"))
    assert exit_code(["run", place.config(), "--json"]) == 0
    return place


@pytest.fixture
def ended_run(finished: Workplace, small_sky: Path) -> Iterator[Workplace]:
    """The finished run, whose inputs a test may spoil."""
    yield finished
    shutil.rmtree(finished.inputs, ignore_errors=True)
    shutil.copytree(small_sky, finished.inputs, ignore=shutil.ignore_patterns("truth.json"))


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Let the disk refuse to take files whose path ends in some text."""

    def begin(ending: str, error: int) -> None:
        whole = whole_files._replaced_on_disk

        def refusing(path: Path, mode: int) -> object:
            if str(path).endswith(ending):
                raise OSError(error, os.strerror(error))
            return whole(path, mode)

        monkeypatch.setattr(whole_files, "_replaced_on_disk", refusing)

    return begin


def test_one_file_that_holds_no_correction_does_not_keep_the_others_from_reverting(
    ended_run: Workplace, command: Command
) -> None:
    before = ended_run.digests()
    assert command("apply", ended_run.run, "--in-place").code == 0
    files = sorted(ended_run.inputs.iterdir())
    assert command("revert", files[0]).code == 0
    (ended_run.inputs / "notes.txt").write_text("seeing was bad")

    ended = command("revert", *sorted(ended_run.inputs.iterdir()))
    assert ended.code == 1
    assert "exp000.fits: no header holds a correction" in ended.sentence
    assert "notes.txt: not FITS" in ended.sentence
    assert ended.out.split() == [str(file) for file in files[1:]]
    (ended_run.inputs / "notes.txt").unlink()
    assert ended_run.digests() == before


def test_headers_that_the_disk_does_not_take_are_written_when_it_does(
    work: Workplace,
    command: Command,
    refuse: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = work.config()
    with monkeypatch.context():
        refuse("wcs/exp001.fits", errno.ENOSPC)
        ended = command("run", config)
        assert ended.code == 3
        assert "exp001.fits" in ended.sentence and f"resume {work.run}" in ended.sentence
    monkeypatch.undo()
    ended = command("resume", work.run, "--json")
    assert ended.code == 0 and ended.json["counts"]["aligned"] == 3
    assert sorted(digests(work.run / "wcs")) == ["exp000.fits", "exp001.fits", "exp002.fits"]


def test_inputs_that_may_not_be_replaced_are_named_before_anything_runs(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path) != work.inputs and may(path, mode)
    )
    for verb in ("check", "run"):
        ended = command(verb, work.config({"output.wcs": "in_place"}))
        assert ended.code == 2
        assert "exp000.fits" in ended.sentence and "output.wcs: copy" in ended.sentence
    assert not work.run.exists()


def test_an_apply_in_place_that_was_killed_is_made_good_by_the_next(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = work.digests()
    assert command("run", work.config()).code == 0

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(applying, "journal_edit", killed)
        assert command("apply", work.run, "--in-place").code == 130
    assert work.digests() != before  # the first is written, and the journal does not know

    ended = command("apply", work.run, "--to", work.root / "copies")
    assert ended.code == 2
    assert "--in-place" in ended.sentence and "alignsvc revert" in ended.sentence
    assert command("apply", work.run, "--in-place").code == 0
    assert work.digests() == digests(work.run / "wcs")
    assert command("revert", *sorted(work.inputs.iterdir())).code == 0
    assert work.digests() == before


def test_python_users_apply_and_revert_as_the_command_line_does(ended_run: Workplace) -> None:
    before = ended_run.digests()
    copies = alignsvc.apply(str(ended_run.run))
    assert copies == tuple(sorted((ended_run.run / "wcs").iterdir()))
    files = [str(file) for file in sorted(ended_run.inputs.iterdir())]
    table = str(ended_run.run / "corrections.ecsv")
    alignsvc.apply_from(table, files, alignsvc.destination(in_place=True))
    assert ended_run.digests() == digests(ended_run.run / "wcs")
    assert [str(file) for file in alignsvc.revert(files)] == files
    assert ended_run.digests() == before


def test_a_finished_run_answers_resume_when_its_inputs_are_gone(
    ended_run: Workplace, command: Command
) -> None:
    before = command("resume", ended_run.run, "--json")
    shutil.rmtree(ended_run.inputs)
    leases = digests(ended_run.run / "lease")
    assert command("resume", ended_run.run, "--json").json == before.json
    assert digests(ended_run.run / "lease") == leases  # nothing was done


def test_what_a_driver_left_that_was_killed_while_it_tidied_goes(
    ended_run: Workplace, command: Command
) -> None:
    (ended_run.run / "contributions/0a1b").mkdir(parents=True)
    (ended_run.run / ".partial-0a1b").write_text("half a report")
    assert command("resume", ended_run.run).code == 0
    assert not (ended_run.run / "contributions").exists()
    assert not (ended_run.run / ".partial-0a1b").exists()


def test_what_was_aligned_and_is_not_there_any_more_is_named(
    ended_run: Workplace, command: Command
) -> None:
    with fits.open(ended_run.inputs / "exp001.fits", mode="update") as hdus:
        hdus[0].header["OBSERVER"] = "somebody"
    ended = command("apply", ended_run.run)
    assert ended.code == 2 and "exp001" in ended.sentence
    assert "--new" not in ended.sentence and "apply --from" in ended.sentence
    (ended_run.inputs / "exp001.fits").unlink()
    ended = command("apply", ended_run.run)
    assert ended.code == 2 and "exp001" in ended.sentence and "apply --from" in ended.sentence


def test_what_is_asked_of_a_run_when_it_has_ended_is_said_to_be_too_late(
    ended_run: Workplace, command: Command
) -> None:
    ended = command("run", ended_run.config({"output.wcs": "head", "output.report": "none"}))
    assert ended.code == 0
    assert "output.wcs: head comes too late" in ended.out and "alignsvc apply" in ended.out
    assert "output.report" not in ended.out
    assert "too late" not in command("run", ended_run.config()).out
