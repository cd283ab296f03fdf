"""The command line as a user types it: what it prints, what it returns, what it leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from astropy.io import fits
from workplaces import Command, Workplace, digests

import alignsvc
from alignsvc.cli.main import exit_code
from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import (
    AlignError,
    ConfigError,
    DataError,
    HeaderError,
    ResourceError,
    RunStoreError,
    TransientError,
)
from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, take_lease
from alignsvc.io.locations import RunLocations
from alignsvc.reasons import FailureKind


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_sky: Path) -> Workplace:
    """A run that has ended; tests only look at it."""
    place = Workplace(tmp_path_factory.mktemp("finished"))
    shutil.copytree(small_sky, place.inputs, ignore=shutil.ignore_patterns("truth.json"))
    assert exit_code(["run", place.config(), "--json"]) == 0
    return place


# What is asked for wrongly.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "c.yaml", "--frob"], "No such option: --frob"),
        (["run", "c.yaml", "--workers", "many"], "--workers"),
        (["run", "c.yaml", "--workers", "0"], "--workers"),
        (["run", "c.yaml", "--set", "eps"], "--set 'eps'"),
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["apply", "run", "--to", "ftp://host/copies"], "ftp:// is not offered"),
        (["simulate", "nowhere.yaml", "ftp://host/sky"], "ftp:// is not offered"),
        (["check", "."], "cannot be read"),
        (["apply"], "Missing argument"),
        (["apply", "a", "b"], "--from corrections.ecsv FILE"),
        (["apply", "a", "--in-place", "--head"], "--in-place"),
        (["revert"], "Missing argument"),
        (["retry", "run"], "--failed"),
        (["explain", "run"], "Missing argument 'EXPOSURE'"),
        (["list", "nowhere"], "no such directory"),
        (["watch", "run", "--interval", "0"], "--interval"),
        (["simulate", "nowhere.yaml", "x"], "nowhere.yaml"),
        (["submit"], "Missing argument 'CONFIG'"),
    ],
)
def test_a_wrong_request_ends_with_2_and_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("images: {paths: [a.fits]}")
    ended = command(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.sentence
    assert not ended.err.count("\n") > 1


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "--help"]])
def test_help_is_shown(command: Command, words: list[str]) -> None:
    ended = command(*words)
    assert ended.code == 0 and "Usage" in ended.out and not ended.err


@pytest.mark.parametrize(
    "verb", ["status", "report", "resume", "apply", "watch", "cancel", "clean"]
)
@pytest.mark.parametrize("where", ["nowhere", "in", "in/exp000.fits"])
def test_what_is_no_run_directory_is_named(
    work: Workplace, command: Command, verb: str, where: str
) -> None:
    ended = command(verb, work.root / where)
    assert ended.code == 3
    assert "not a run directory" in ended.sentence and where in ended.sentence


def test_a_damaged_journal_ends_with_3(finished: Workplace, command: Command) -> None:
    copy = finished.root / "damaged"
    shutil.copytree(finished.run, copy)
    first = copy / "journal" / "00000001.json"
    first.write_bytes(first.read_bytes()[:-20])
    for verb in ("status", "resume"):
        ended = command(verb, copy)
        assert ended.code == 3 and "is damaged" in ended.sentence


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (RunStoreError("x"), 3),
        (ResourceError("x"), 3),
        (TransientError("x"), 3),
        (HeaderError("x"), 1),
        (DataError(FailureKind.EMPTY, "x"), 1),
        (KeyboardInterrupt(), 130),
        (KeyError("x"), 5),
        (OSError(errno.EBADF, "Bad file descriptor"), 5),
        (OSError(errno.ENOSPC, "No space left on device", "mosaic.fits"), 3),
    ],
)
def test_each_error_has_the_exit_code_of_the_contract(
    finished: Workplace,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    code: int,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # for the traceback

    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("alignsvc.run.driving.plans.make_plan", broken)
    ended = command("run", finished.config())
    assert ended.code == code
    if isinstance(error, AlignError):
        assert ended.sentence == "x"
    if code == 130:  # before there is a run that could be resumed
        assert ended.sentence == "interrupted; the same command again goes on"


def test_what_nobody_foresaw_ends_with_5_and_its_traceback_in_a_file(
    finished: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("alignsvc.run.driving.plans.make_plan", broken)
    ended = command("run", finished.config(), "--json")
    assert ended.code == 5 and ended.out == ""
    assert "internal error: KeyError: 'no such thing'" in ended.sentence
    trace = Path(ended.sentence.rpartition(" ")[2])
    assert "test_command_line.py" in trace.read_text()
    trace.unlink()


# What is printed.


def test_the_table_fits_the_terminal(
    finished: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = command("run", finished.config())
    assert ended.code == 0
    table = ended.out.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table] == ["exposure", "exp000", "exp001", "exp002"]
    assert max(map(len, table)) <= 80
    assert "3 aligned, 0 skipped, 0 failed" in ended.out


def test_json_is_all_that_is_printed(finished: Workplace, command: Command) -> None:
    config = finished.config()
    for words in (["run", config], ["check", config], *([v, finished.run] for v in _LOOKS)):
        ended = command(*words, "--json")
        assert ended.code == 0 and ended.json and not ended.err
    assert command("run", config, "--json").json["counts"]["aligned"] == 3
    assert command("status", finished.run, "--json").json["standing"] == "finished"
    assert command("report", finished.run, "--json").json["verdict"] == "converged"
    assert command("check", config, "--json").json["exposures"] == ["exp000", "exp001", "exp002"]


_LOOKS = ("status", "report", "resume")


@pytest.mark.parametrize("words", ["run", "check", "resume", "status", "watch", "list"])
def test_every_key_of_its_json_is_in_the_page_on_that(
    finished: Workplace, command: Command, words: str
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
    place = {"run": finished.config(), "check": finished.config(), "list": finished.root}
    ended = command(words, place.get(words, finished.run), "--json")
    assert ended.code == 0 and ended.out.count("\n") == 1
    assert ended.json and [key for key in ended.json if f"`{key}`" not in page] == []


def test_quiet_leaves_the_last_lines(finished: Workplace, command: Command) -> None:
    loud, quiet = command("run", finished.config()), command("run", finished.config(), "-q")
    assert loud.out.endswith(quiet.out) and quiet.out.startswith("converged after")
    assert "exp001  " in loud.out and "exp001  " not in quiet.out and not quiet.err
    ended = command("watch", finished.run, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, f"{finished.run}: ended, exit 0\n", "")
    assert "eps_shift" in command("watch", finished.run).out


def test_with_json_an_error_is_all_that_the_standard_error_has(
    work: Workplace, command: Command
) -> None:
    for words in (["run", "nowhere.yaml"], ["watch", "nowhere"], ["list", "nowhere"]):
        ended = command(*words, "--json")
        assert ended.code != 0 and ended.out == "" and ended.err.count("\n") == 1


def test_a_finished_run_is_only_read(finished: Workplace, command: Command) -> None:
    (report, written) = (digests(finished.run / "wcs"), digests(finished.run / "journal"))
    first = command("run", finished.config())
    second = command("resume", finished.run)
    assert first.code == second.code == 0
    assert first.out == second.out
    assert "Traceback" not in first.err and "pass" not in first.err
    assert (report, written) == (digests(finished.run / "wcs"), digests(finished.run / "journal"))


def test_status_tells_a_live_run_from_a_stopped_one(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = work.config()
    monkeypatch.setattr("alignsvc.run.driving.service.finish", _interrupted)
    assert command("run", config).code == 130
    ended = command("status", work.run)
    assert ended.code == 0 and "stopped" in ended.out and "resume" in ended.out
    assert command("report", work.run).code == 2
    assert "has not ended" in command("apply", work.run).sentence
    objects = RunLocations(work.run).objects
    with take_lease(objects, Patience(time.time, time.sleep, print)):
        ended = command("status", work.run, "--json")
        assert ended.json["standing"] == "running"
        assert f"process {os.getpid()}" in command("status", work.run).out
    monkeypatch.undo()
    assert command("resume", work.run).code == 0
    assert "ended, exit 0" in command("status", work.run).out


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


# The same run again.


def test_another_identity_is_refused_and_the_first_difference_named(
    work: Workplace, command: Command
) -> None:
    assert command("run", work.config()).code == 0
    ended = command("run", work.config({"alignment.eps_shift": 0.2}))
    assert ended.code == 2 and "alignment.eps_shift differs" in ended.sentence
    ended = command("run", work.config({"run.seed": 2}))
    assert ended.code == 2 and "run.seed differs" in ended.sentence
    assert command("run", work.config({"output.report": "none"}), "--workers", 2).code == 0
    fits.setval(work.inputs / "exp001.fits", "OBJECT", value="another")
    ended = command("run", work.config())
    assert ended.code == 2 and "exp001" in ended.sentence and "changed" in ended.sentence
    assert command("resume", work.run).code == 0  # it has ended: there is nothing to do
    (work.inputs / "exp001.fits").unlink()
    ended = command("run", work.config())
    assert ended.code == 2 and "exp001" in ended.sentence
    ended = command("run", work.config(), "--new", "--json")
    assert ended.code == 0 and len(ended.json["exposures"]) == 2


def test_a_new_run_does_not_remove_inputs(work: Workplace, command: Command) -> None:
    assert command("run", work.config()).code == 0
    inside = work.run / "mine"
    work.inputs.rename(inside)
    before = digests(inside)
    ended = command("run", work.config({"images.paths": [f"{inside}/*"], "run.seed": 1}), "--new")
    assert ended.code == 2 and "would remove" in ended.sentence
    assert digests(inside) == before


def test_a_run_in_place_again_is_finished(work: Workplace, command: Command) -> None:
    before = work.digests()
    config = work.config({"output.wcs": "in_place"})
    assert command("run", config).code == 0
    edited = work.digests()
    assert all(before[name] != edited[name] for name in before)
    for words in (["run", config], ["resume", work.run], ["run", config, "--new"]):
        ended = command(*words)
        assert ended.code == 0 and "3 aligned" in ended.out and "pass" not in ended.err
    assert work.digests() == edited
    ended = command("run", work.config({"output.wcs": "copy", "run.directory": f"{work.root}/r2"}))
    assert ended.code == 2 and "alignsvc revert" in ended.sentence
    assert command("revert", *sorted(work.inputs.iterdir())).code == 0
    assert work.digests() == before
    assert command("run", config).code == 0


def test_a_driver_that_died_while_it_wrote_in_place_is_made_good(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = work.digests()
    config = work.config({"output.wcs": "in_place"})
    monkeypatch.setattr("alignsvc.run.finishing.writing_headers.journal_edit", _interrupted)
    assert command("run", config).code == 130  # one header is written, and not in the journal
    half = work.digests()
    assert [before[name] == half[name] for name in sorted(half)] == [False, True, True]
    monkeypatch.undo()
    assert command("resume", work.run).code == 0
    events = list(Journal(RunLocations(work.run).objects, time.time).events())
    assert sum(isinstance(event, journal.HeaderReverted) for event in events) == 1
    resumed = {file.name: fits.getheader(file)["CRVAL1"] for file in work.inputs.iterdir()}
    assert command("revert", *sorted(work.inputs.iterdir())).code == 0
    assert work.digests() == before
    assert command("run", work.config({"run.directory": f"{work.root}/whole"})).code == 0
    whole = work.root / "whole" / "wcs"
    assert {file.name: fits.getheader(file)["CRVAL1"] for file in whole.iterdir()} == resumed


# Corrections applied and taken back.


def test_apply_writes_copies_heads_and_in_place_and_revert_restores_the_bytes(
    work: Workplace, command: Command
) -> None:
    before = work.digests()
    assert command("run", work.config()).code == 0
    assert command("apply", work.run, "--to", work.root / "copies").code == 0
    assert digests(work.root / "copies") == digests(work.run / "wcs")
    assert command("apply", work.run, "--head", "--to", work.root / "heads").code == 0
    heads = digests(work.root / "heads")
    assert sorted(heads) == ["exp000.head", "exp001.head", "exp002.head"]
    assert work.digests() == before

    assert command("apply", work.run, "--in-place").code == 0
    edited = work.digests()
    assert edited == digests(work.run / "wcs")
    again = command("apply", work.run, "--in-place")
    assert again.code == 0 and "nothing was written" in again.out
    assert work.digests() == edited
    # From corrected inputs the same copies and heads come, not twice corrected ones.
    assert command("apply", work.run, "--to", work.root / "copies2").code == 0
    assert digests(work.root / "copies2") == edited
    assert command("run", work.config()).code == 0  # still the same run

    reverted = command("revert", *sorted(work.inputs.iterdir()))
    assert reverted.code == 0 and reverted.out.count(".fits") == 3
    assert work.digests() == before
    ended = command("revert", work.inputs / "exp000.fits")
    assert ended.code == 1 and "nothing to revert" in ended.sentence


def test_stored_corrections_go_on_other_files_of_the_same_exposures(
    work: Workplace, command: Command
) -> None:
    assert command("run", work.config()).code == 0
    table = work.run / "corrections.ecsv"
    others = work.root / "others"
    shutil.copytree(work.inputs, others)
    before = digests(others)
    files = sorted(others.iterdir())
    assert command("apply", "--from", table, *files, "--to", work.root / "out").code == 0
    assert digests(work.root / "out") == digests(work.run / "wcs")
    assert command("apply", "--from", table, *files, "--in-place").code == 0
    assert digests(others) == digests(work.run / "wcs")
    assert command("revert", *files).code == 0
    assert digests(others) == before

    moved = work.root / "table.ecsv"
    shutil.copy(table, moved)
    assert command("apply", "--from", moved, files[0], "--in-place").code == 0
    ended = command("apply", "--from", table, files[0], "--in-place")
    assert ended.code == 1 and "alignsvc revert" in ended.sentence
    (others / "exp009.fits").write_bytes(files[1].read_bytes())
    ended = command("apply", "--from", table, files[1], others / "exp009.fits", "--in-place")
    assert ended.code == 2 and "'exp009'" in ended.sentence
    assert digests(others)["exp001.fits"] == before["exp001.fits"]  # refused before it began


@pytest.mark.parametrize("how", [["--to"], ["--head", "--to"]])
def test_a_target_that_cannot_be_written_is_named(
    finished: Workplace, command: Command, how: list[str]
) -> None:
    before = finished.digests()
    blocked = finished.inputs / "exp000.fits"
    ended = command("apply", finished.run, *how, blocked / "below")
    assert ended.code == 1 and "exp000.fits" in ended.sentence
    assert finished.digests() == before


@pytest.mark.parametrize("content", ["", "not a table", "# %ECSV 1.0\n# ---\nid\nexp000\n"])
def test_what_is_no_table_of_corrections_is_named(
    finished: Workplace, command: Command, tmp_path: Path, content: str
) -> None:
    (tmp_path / "t.ecsv").write_text(content)
    ended = command("apply", "--from", tmp_path / "t.ecsv", finished.inputs / "exp000.fits")
    assert ended.code == 3 and "not a table of corrections" in ended.sentence


# Names.


def test_names_with_spaces_brackets_and_letters_of_all_kinds(
    work: Workplace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = work.root / "a folder [of] αβγ"
    files = ["nacht 1/été [1].fits", "nacht 1/100%.fits", "δ=2/exp'002'.fits"]
    for old, new in zip(sorted(work.inputs.iterdir()), files, strict=True):
        (place / "in" / new).parent.mkdir(parents=True, exist_ok=True)
        old.rename(place / "in" / new)
    before = digests(place / "in")
    monkeypatch.chdir(place)
    config = work.config({"images.paths": ["nowhere.fits"], "run.directory": "run [ö]"})
    patterns = json.dumps(["in/**/*.fits"], ensure_ascii=False)
    ended = command("run", config, "--set", f"images.paths={patterns}", "--json")
    assert ended.code == 0
    ids = [name.removesuffix(".fits") for name in sorted(files)]
    assert sorted(row["id"] for row in ended.json["exposures"]) == ids
    assert {row["status"] for row in ended.json["exposures"]} == {"aligned"}
    run = place / "run [ö]"
    assert sorted(digests(run / "wcs")) == sorted(files)
    assert digests(place / "in") == before
    monkeypatch.chdir("/")  # what was relative then means the same now
    assert command("resume", run).code == 0
    assert command("apply", run, "--head", "--to", place / "heads").code == 0
    assert sorted(digests(place / "heads")) == sorted(
        name.replace(".fits", ".head") for name in files
    )


def test_one_path_may_name_a_file_whose_name_is_a_pattern(
    work: Workplace, command: Command
) -> None:
    odd = work.inputs / "exp[0-9]*.fits"
    (work.inputs / "exp001.fits").rename(odd)
    paths = [str(odd), str(work.inputs / "exp000.fits"), str(work.inputs / "exp002.fits")]
    ended = command("check", work.config({"images.paths": paths}), "--json")
    assert ended.code == 0 and len(ended.json["exposures"]) == 3


# Simulations.


def test_a_run_is_judged_by_the_truth(
    finished: Workplace, command: Command, small_sky: Path
) -> None:
    ended = command("simulate", "--evaluate", finished.run, small_sky)
    assert ended.code == 0 and ended.json["n_aligned"] == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layout": {"name": "spiral"}}, "spiral"),
        ({"camra": {}}, "camra"),
        ([1], "holds a list"),
    ],
)
def test_a_wrong_sky_is_named(
    tmp_path: Path, command: Command, settings: object, said: str
) -> None:
    sky = tmp_path / "sky.yaml"
    sky.write_text(yaml.safe_dump(settings))
    ended = command("simulate", sky, tmp_path / "out")
    assert ended.code == 2 and said in ended.sentence


def test_a_sky_cannot_be_written_below_a_file(
    tmp_path: Path, command: Command, small_sky: Path
) -> None:
    ended = command("simulate", small_sky.parent / "sky.yaml", small_sky / "exp000.fits" / "x")
    assert ended.code == 2 and "cannot be written" in ended.sentence


def test_evaluation_without_truth_is_refused(
    finished: Workplace, command: Command, tmp_path: Path
) -> None:
    ended = command("simulate", "--evaluate", finished.run, tmp_path)
    assert ended.code == 2 and "truth.json" in ended.sentence


# Python.


def test_python_users_call_the_same(work: Workplace) -> None:
    result = alignsvc.align(work.config())
    assert result.exit_code is ExitCode.DONE
    assert [row.id for row in result.corrections] == ["exp000", "exp001", "exp002"]
    assert result.verdict.value == "converged" and result.history


# Ctrl-C.


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_ends_with_130_and_leaves_no_process(
    work: Workplace, command: Command, how: signal.Signals
) -> None:
    config = work.config({"cluster.backend": "local", "cluster.workers": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "alignsvc.cli.main", "run", config],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for(lambda: any((work.run / "receipts").glob("*/*")), "the first task")
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: workers get it too
    else:
        process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"interrupted; `alignsvc resume {work.run}` goes on" in said
    _wait_for(lambda: not _members(process.pid), "the end of all workers")
    assert command("status", work.run, "--json").json["standing"] == "stopped"


def _wait_for(fulfilled: object, what: str) -> None:
    end = time.monotonic() + 60
    while not fulfilled():  # type: ignore[operator]
        assert time.monotonic() < end, f"no sign of {what}"
        time.sleep(0.05)


def _members(group: int) -> list[str]:
    """Return the processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found
