"""What is done to a run from outside: cancelled, attached to, tried again, explained, cleaned."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from durable_runs import LEFT, content, make_sky, write_config
from workplaces import Command

from alignsvc import api
from alignsvc.domain.outcome import ExitCode, Status, TaskOutcome
from alignsvc.errors import AlignError, ConfigError, RunCancelled, RunStoreError
from alignsvc.io.control import CancelRequest, put_cancel_request
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Patience, take_lease
from alignsvc.io.locations import RunLocations
from alignsvc.reasons import FailureKind
from alignsvc.run.driving import keeping, service, wheel
from alignsvc.run.driving.keeping import Keeper
from alignsvc.run.loop import passes
from alignsvc.run.records import events, stored
from alignsvc.run.records.result import RunResult
from alignsvc.run.stages.running import Tools
from alignsvc.run.status.watching import Looking
from alignsvc.run.verbs import attaching
from alignsvc.run.verbs.cancelling import Cancelling, cancel_run
from alignsvc.run.verbs.retrying import retry_failed
from alignsvc.tasks.base import failed

QUICK = Looking(interval_s=0.2, sleep=lambda seconds: time.sleep(0.01))


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("verbs") / "sky")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, sky: Path) -> RunResult:
    """An undisturbed run; tests only look at it."""
    return api.align(write_config(tmp_path_factory.mktemp("whole") / "run.yaml", sky))


@pytest.fixture
def own(whole: RunResult, tmp_path: Path) -> Path:
    """A copy of that run, elsewhere."""
    return Path(shutil.copytree(whole.directory, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever drives or waits looks about a hundred times a second."""
    monkeypatch.setattr(wheel, "Keeper", partial(Keeper, interval_s=0.01))
    monkeypatch.setattr("alignsvc.io.lease._POLL_S", 0.01)
    monkeypatch.setattr(attaching, "watched", partial(_watched_quickly, attaching.watched))


def _watched_quickly(watched: Callable[..., object], run: Path, looking: Looking | None) -> object:
    return watched(run, QUICK)


@dataclass
class After:
    """A listener that does something once, when a pass is solved."""

    number: int
    does: Callable[[], object]

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.PassSolved) and event.pass_number == self.number:
            self.does()


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def stopped_after_first_pass(config: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        api.align(config, api.RunOptions(listener=After(1, interrupted)))
    return config.with_suffix("")


# Cancelled.


def test_a_cancelled_run_stops_says_so_and_resumed_changes_no_bit(
    sky: Path, tmp_path: Path, whole: RunResult, command: Command
) -> None:
    config = write_config(tmp_path / "run.yaml", sky)
    run = config.with_suffix("")

    def cancel() -> None:
        put_cancel_request(RunLocations(run).objects, CancelRequest("7", "somebody", 0.0))
        time.sleep(0.1)  # a heartbeat or ten: it is the next task's end that counts

    with pytest.raises(RunCancelled, match=f"{run}: cancelled, as somebody asked"):
        api.align(config, api.RunOptions(listener=After(1, cancel)))
    state = stored.state_of(run)
    assert state.cancelled is not None and len(state.solved_passes) == 1
    assert command("status", run, "--json").json["standing"] == "cancelled"
    ended = command("watch", run)
    assert ended.code == 130 and "cancelled, as somebody asked" in ended.sentence
    result = api.resume(run)  # the request is still there, and obeyed
    assert content(run) == content(whole.directory)
    assert result.exit_code == whole.exit_code
    assert {path.name for path in run.iterdir()} - {"control"} == LEFT
    assert not any(run.glob("control/*"))


@pytest.mark.slow
def test_a_run_that_nobody_drives_is_marked(
    sky: Path, tmp_path: Path, whole: RunResult, command: Command
) -> None:
    run = stopped_after_first_pass(write_config(tmp_path / "run.yaml", sky))
    assert "stopped" in command("status", run).out
    ended = command("cancel", run, "--json")
    assert (ended.code, ended.json["outcome"]) == (0, "marked")
    assert "nobody was driving it" in command("cancel", run).out
    assert command("status", run, "--json").json["standing"] == "cancelled"
    assert api.resume(run).exit_code == whole.exit_code
    assert content(run) == content(whole.directory)
    assert "has ended already" in command("cancel", run).out


@pytest.mark.slow
def test_a_driver_that_does_not_answer_in_time_stays_asked(sky: Path, tmp_path: Path) -> None:
    run = stopped_after_first_pass(write_config(tmp_path / "run.yaml", sky))
    objects = RunLocations(run).objects
    with take_lease(objects, Patience(time.time, time.sleep, print)):
        asked = cancel_run(run, wait_s=0.05, looking=QUICK)
    assert asked.outcome is Cancelling.ASKED
    assert "asked process" in asked.line()


# The same configuration twice.


class Owner:
    """A run in a thread of its own that waits after its first pass."""

    def __init__(self, config: Path, goes_on: Callable[[], bool]) -> None:
        self.waits, self.may_go_on = threading.Event(), threading.Event()
        self.result: RunResult | BaseException | None = None
        self._config, self._goes_on = config, goes_on
        self._thread = threading.Thread(target=self._run)

    def _ask(self, solved: events.PassSolved) -> bool:
        self.waits.set()
        assert self.may_go_on.wait(60)
        return self._goes_on()

    def _run(self) -> None:
        try:
            self.result = api.align(self._config, api.RunOptions(go_on=self._ask))
        except (AlignError, KeyboardInterrupt) as error:
            self.result = error
        finally:
            self.waits.set()

    def __enter__(self) -> Owner:
        self._thread.start()
        assert self.waits.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.may_go_on.set()
        self._thread.join(60)


def told_to(owner: Owner, told: list[events.Event]) -> events.Listener:
    """Return a listener that lets the owner go on once somebody is attached."""

    def hear(event: events.Event) -> None:
        told.append(event)
        if isinstance(event, events.Note) and "attached" in event.text:
            owner.may_go_on.set()

    return hear


@pytest.mark.slow
def test_the_same_run_again_follows_the_one_that_is_driven_and_ends_as_it_does(
    sky: Path, tmp_path: Path, whole: RunResult
) -> None:
    config, told = write_config(tmp_path / "run.yaml", sky), list[events.Event]()
    with Owner(config, lambda: True) as owner:
        result = api.align(config, api.RunOptions(listener=told_to(owner, told)))
    assert isinstance(owner.result, RunResult)
    assert (result.exit_code, result.verdict) == (owner.result.exit_code, owner.result.verdict)
    assert [row.id for row in result.corrections] == [row.id for row in owner.result.corrections]
    assert [one.pass_number for one in told if isinstance(one, events.PassSolved)] == [2]
    started = Journal(RunLocations(result.directory).objects, time.time).events()
    assert sum(event.kind == "driver_started" for event in started) == 1
    assert content(result.directory) == content(whole.directory)


@pytest.mark.slow
def test_who_is_attached_takes_over_when_the_owner_stops(
    sky: Path, tmp_path: Path, whole: RunResult
) -> None:
    config, told = write_config(tmp_path / "run.yaml", sky), list[events.Event]()

    def stop() -> bool:
        raise KeyboardInterrupt

    with Owner(config, stop) as owner:
        result = api.align(config, api.RunOptions(listener=told_to(owner, told)))
    assert isinstance(owner.result, KeyboardInterrupt)
    assert content(result.directory) == content(whole.directory)


@pytest.mark.slow
def test_a_cancel_ends_the_owner_and_who_is_attached(
    sky: Path, tmp_path: Path, whole: RunResult
) -> None:
    config = write_config(tmp_path / "run.yaml", sky)
    run = config.with_suffix("")

    def cancel() -> bool:
        put_cancel_request(RunLocations(run).objects, CancelRequest("7", "somebody", 0.0))
        time.sleep(0.1)
        return True

    with Owner(config, cancel) as owner, pytest.raises(RunCancelled, match="somebody"):
        api.align(config, api.RunOptions(listener=told_to(owner, [])))
    assert isinstance(owner.result, RunCancelled)


# Tried again.


def results(run: Path) -> dict[str, str]:
    """Return what of `content` has no names of tasks in it, which tell where inputs lie."""
    return {name: bits for name, bits in content(run).items() if not name.startswith("tables/")}


def broken(sky: Path, folder: Path) -> Path:
    """Return a copy of a sky in which one file is cut off."""
    own = Path(shutil.copytree(sky, folder))
    file = own / "exp001.fits"
    file.write_bytes(file.read_bytes()[:1000])
    return own


def test_a_mended_file_tried_again_gives_the_run_that_never_failed(
    sky: Path, tmp_path: Path, whole: RunResult, command: Command
) -> None:
    own = broken(sky, tmp_path / "sky")
    config = write_config(tmp_path / "run.yaml", own)
    run = config.with_suffix("")
    assert api.align(config).counts[Status.FAILED] == 1
    refused = command("retry", run, "--failed")
    assert refused.code == 2 and "of 1 failed exposure none can be read" in refused.sentence
    shutil.copy(sky / "exp001.fits", own)
    ended = command("run", config)
    assert ended.code == 2 and "exp001 had failed" in ended.sentence and "retry" in ended.sentence
    told = command("explain", run, "exp001").out
    assert "failed: unreadable" in told and f"alignsvc retry {run} --failed" in told
    ended = command("retry", run, "--failed", "--json")
    assert ended.code == whole.exit_code, ended.err
    assert ended.json["counts"] == {"aligned": 3, "skipped": 0, "failed": 0}
    assert results(run) == results(whole.directory)
    assert {path.name for path in run.iterdir()} == LEFT
    assert stored.state_of(run).identity == stored.state_of(whole.directory).identity
    assert api.align(config).exit_code == whole.exit_code  # the same run, and finished
    assert "no exposure has failed" in command("retry", run, "--failed").sentence


@pytest.mark.slow
def test_what_a_dead_worker_took_is_tried_again(
    sky: Path, tmp_path: Path, whole: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage = passes.run_stage

    def lose_one(tools: Tools, stage: str, number: int, tasks: object) -> tuple[TaskOutcome, ...]:
        outcomes = run_stage(tools, stage, number, tasks)  # type: ignore[arg-type]
        return tuple(
            failed(one.key, FailureKind.WORKER_LOST, "its worker died")
            if one.key.subject == "exp002"
            else one
            for one in outcomes
        )

    monkeypatch.setattr(passes, "run_stage", lose_one)
    config = write_config(tmp_path / "run.yaml", sky)
    assert api.align(config).exit_code is ExitCode.NOT_CONVERGED
    monkeypatch.setattr(passes, "run_stage", run_stage)
    run = config.with_suffix("")
    assert "worker_lost" in "\n".join(api.explain(run, "exp002").lines())
    api.retry(run)
    assert content(run) == content(whole.directory)


@pytest.mark.slow
def test_nothing_is_tried_again_where_something_else_has_changed(sky: Path, tmp_path: Path) -> None:
    own = broken(sky, tmp_path / "sky")
    config = write_config(tmp_path / "run.yaml", own)
    run = config.with_suffix("")
    api.align(config)
    before = stored.state_of(run)
    shutil.copy(sky / "exp001.fits", own)
    other = own / "exp000.fits"
    other.write_bytes(other.read_bytes().replace(b"EXPTIME ", b"EXPTIMF ", 1))
    with pytest.raises(ConfigError, match="exposure exp000 differs"):
        retry_failed(run, api.RunOptions())
    assert stored.state_of(run) == before


@pytest.mark.slow
def test_a_driver_that_dies_while_it_tries_again_is_followed_by_one_that_goes_on(
    sky: Path, tmp_path: Path, whole: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = broken(sky, tmp_path / "sky")
    config = write_config(tmp_path / "run.yaml", own, output={"wcs": "in_place"})
    run = config.with_suffix("")
    api.align(config)
    shutil.copy(sky / "exp001.fits", own)
    for moment in ("forget_loop", "bootstrapped", "run_loop"):
        monkeypatch.setattr(service, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            api.retry(run) if moment == "forget_loop" else api.resume(run)
        monkeypatch.undo()
    api.resume(run)
    assert results(run)["corrections.ecsv"] == results(whole.directory)["corrections.ecsv"]
    written = {file.name: file.read_bytes() for file in own.glob("*.fits")}
    assert written == {file.name: file.read_bytes() for file in whole.directory.glob("wcs/*")}


# Explained.


def test_what_reading_the_headers_took_is_told_apart(whole: RunResult, command: Command) -> None:
    for verb in ("status", "report"):
        told = command(verb, whole.directory, "--json").json["planned"]
        assert (told["headers_read"], told["headers_unchanged"]) == (3, 0)
        assert told["reading_s"] > 0 and told["planning_s"] > 0
        assert "headers: 3 exposures read" in command(verb, whole.directory).out


def test_an_explanation_has_file_chips_passes_and_verdict(
    whole: RunResult, command: Command
) -> None:
    told = command("explain", whole.directory, "exp001", "--json").json
    assert told["status"] == "aligned" and told["reason"] == "" and told["verdict"]
    assert [Path(file).name for file in told["files"]] == ["exp001.fits"]
    assert told["fingerprint"] and len(told["chips"]) == 1 and told["files_now"] == ""
    assert [one["number"] for one in told["passes"]] == [1, 2]
    assert all(0 < one["n_used"] <= one["n_sources"] for one in told["passes"])
    assert told["passes"][0]["movement_px"] > told["passes"][1]["movement_px"]
    counted = ("n_used", "n_held_out", "n_rejected")
    assert all(sum(one[n] for n in counted) == one["n_sources"] for one in told["passes"])
    # What the passes hold out joins the last solve: both numbers are told, and which is which.
    reported = command("report", whole.directory, "--json").json["exposures"]
    (row,) = [one for one in reported if one["id"] == "exp001"]
    assert told["final"] == {name: row[name] for name in ("n_sources", *counted)}
    assert sum(row[n] for n in counted) == row["n_sources"]
    text = command("explain", whole.directory, "exp001").out
    words = (
        f"{row['n_used']} used in the fit, {row['n_held_out']} held out, {row['n_rejected']} "
        f"rejected, of {row['n_sources']}"
    )
    assert f"in the end: sources {words};" in text
    cells = "".join(f"<td>{row[n]}</td>" for n in (*counted, "n_sources"))
    assert cells in (whole.directory / "report.html").read_text(encoding="utf-8")
    assert "exp001: aligned" in text and "pass 2" in text and "192 x 192 px" in text


def test_an_unknown_exposure_is_answered_with_the_nearest(
    whole: RunResult, command: Command
) -> None:
    ended = command("explain", whole.directory, "exp01")
    assert ended.code == 2
    assert "no exposure 'exp01' among 3" in ended.sentence and "exp001" in ended.sentence


# Cleaned.


def test_a_cleaned_run_answers_as_before_and_has_nothing_left_to_clean(
    own: Path, whole: RunResult, tmp_path: Path, command: Command
) -> None:
    before = {verb: command(verb, own, "--json").json for verb in ("report", "resume")}
    explained = command("explain", own, "exp000").out
    kept = command("clean", own, "--keep-mosaic", "--json").json
    assert kept["objects"] == 0 and (own / "mosaic.zarr").is_dir()
    (own / "tables" / ".partial-x").write_bytes(b"left by a killed writer")
    freed = command("clean", own, "--json").json
    assert freed["bytes"] > 100_000 and not freed["begins_anew"]
    assert not (own / "mosaic.zarr").exists() and not list(own.rglob(".partial-*"))
    assert command("clean", own, "--json").json["objects"] == 0
    assert {verb: command(verb, own, "--json").json for verb in before} == before
    assert command("explain", own, "exp000").out == explained
    assert command("status", own, "--json").json["standing"] == "finished"
    assert command("apply", own, "--to", tmp_path / "copies").code == 0
    for name in ("journal", "config.yaml", "corrections.ecsv", "report.json", "wcs"):
        assert (own / name).exists()


@pytest.mark.slow
def test_a_cleaned_run_that_had_not_ended_begins_anew_and_ends_the_same(
    sky: Path, tmp_path: Path, whole: RunResult, command: Command
) -> None:
    run = stopped_after_first_pass(write_config(tmp_path / "run.yaml", sky))
    kept = command("clean", run, "--keep-mosaic").out
    assert "0 objects" in kept and "anew" not in kept
    assert len(stored.state_of(run).solved_passes) == 1
    assert "begins its loop anew" in command("clean", run).out
    assert not (run / "contributions").exists() and not (run / "mosaic.zarr").exists()
    assert command("clean", run, "--json").json["objects"] == 0
    api.resume(run)
    assert content(run) == content(whole.directory)
    assert {path.name for path in run.iterdir()} == LEFT


def test_a_run_that_is_driven_is_not_cleaned(own: Path) -> None:
    with (
        take_lease(RunLocations(own).objects, Patience(time.time, time.sleep, print)),
        pytest.raises(RunStoreError, match="is driving it; `alignsvc cancel"),
    ):
        api.clean(own)
    assert (own / "mosaic.zarr").is_dir()


def test_runs_below_a_directory_are_listed(whole: RunResult, command: Command) -> None:
    (found,) = command("list", whole.directory.parent, "--json").json["runs"]
    assert found["directory"] == str(whole.directory) and found["standing"] == "finished"
    assert found["exposures"]["aligned"] == 3 and found["passes"] == 2
    assert str(whole.directory) in command("list", whole.directory.parent).out


def test_a_heartbeat_is_a_few_seconds() -> None:
    assert keeping.HEARTBEAT_S <= 5.0
