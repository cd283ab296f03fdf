"""How a run stands is told from its store alone; following it ends when it goes on no more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stored_runs import CREATED, ELSEWHERE, NOW_S, ONE_PASS, StoredRun

from alignsvc.domain.outcome import Status
from alignsvc.engine.driver_places import DriverStanding, DriverState
from alignsvc.errors import ResourceError, RunCancelled
from alignsvc.io.codec import sealed
from alignsvc.io.control import Progress, cancel_request, put_progress
from alignsvc.io.driver_record import DriverRecord, write_driver_record
from alignsvc.io.journal import (
    Cancelled,
    DriverStarted,
    ExposureEnded,
    Finished,
    PassStarted,
    Solved,
    StageFinished,
    StageStarted,
)
from alignsvc.io.journal_store import Journal
from alignsvc.io.last_words import LastWords, find_last_words, keep_room, leave_last_words
from alignsvc.io.lease import LeaseOwner, Patience, take_lease
from alignsvc.io.objects import LocalObjects
from alignsvc.io.record_pieces import PieceWriter
from alignsvc.io.worker_samples import SAMPLE_PIECES, WORKER_SAMPLES, WorkerSample, WorkersThen
from alignsvc.run.driving.keeping import Keeper, Kept
from alignsvc.run.records import events
from alignsvc.run.records.journal_view import JournalView
from alignsvc.run.seeing.parts import ShownParts
from alignsvc.run.seeing.picture import RunViewer
from alignsvc.run.status import listing
from alignsvc.run.status.listing import list_runs, run_lines
from alignsvc.run.status.run_status import RunStanding, RunStatus, age_text, status_of
from alignsvc.run.status.submitted_driver import AskingManyBriefly, AskingSeldom
from alignsvc.run.status.watching import Looking, run_status, watched
from alignsvc.run.verbs.attaching import attached
from alignsvc.run.verbs.cancelling import Cancelling, Queue, cancel_run

FAILED = ExposureEnded("b", Status.FAILED, "empty", "exposure b: the file is empty")


def look_at(run: StoredRun, now_s: float = NOW_S) -> RunStatus:
    view = JournalView().read_on(Journal(run.objects, lambda: NOW_S).entries())
    return status_of(run.root, view, now_s)


def test_a_driver_elsewhere_is_alive_for_a_minute_after_its_last_sign(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run")
    assert look_at(run).standing is RunStanding.STOPPED
    run.held_by(ELSEWHERE, NOW_S - 59)
    assert look_at(run).standing is RunStanding.RUNNING
    assert look_at(run).silence_s == 59
    run.held_by(ELSEWHERE, NOW_S - 61)
    found = look_at(run)
    assert found.standing is RunStanding.DEAD
    assert "process 1 on elsewhere, is gone" in found.lines()[0]


def test_a_driver_that_is_gone_from_this_host_is_dead_at_once(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run")
    here = LeaseOwner.this_process()
    run.held_by(here, NOW_S)
    assert look_at(run).owner == here
    run.held_by(LeaseOwner(here.host, here.pid, "long ago"), NOW_S)
    assert look_at(run).standing is RunStanding.DEAD


def test_what_ended_a_driver_is_told_until_another_one_begins(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run")
    run.add(DriverStarted(1, "x"))
    leave_last_words(run.objects, LastWords(1, "the disk is full"))
    assert "its driver ended: the disk is full" in look_at(run).lines()
    run.add(DriverStarted(2, "y"))
    assert look_at(run).why_ended == ""


def test_room_for_last_words_is_kept_while_a_driver_works_and_given_back(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    leave_last_words(objects, LastWords(1, "of an earlier driver"))
    keep_room(objects)
    assert find_last_words(objects) is None
    (room,) = objects.sizes("").values()
    leave_last_words(objects, LastWords(2, "the disk is full"))
    (words,) = objects.sizes("").values()
    assert words < room / 8  # a block of it, and what a file system notes of a file


def test_last_words_that_are_not_whole_are_none(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    leave_last_words(objects, LastWords(1, "the disk is full"))
    (name,) = objects.list("")
    objects.put(name, objects.get(name)[:-3])
    assert find_last_words(objects) is None


def test_a_run_that_was_only_handed_over_has_never_begun(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run", ())
    found = look_at(run)
    assert found.standing is RunStanding.NEVER_BEGUN and found.silence_s is None
    assert "resume" in found.lines()[0]


def test_status_tells_stage_progress_counts_and_movement(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run")
    run.add(PassStarted(2, False), FAILED, StageStarted("measure", 2, 40))
    run.held_by(ELSEWHERE, NOW_S - 3)
    put_progress(run.objects, Progress(1, "measure", 2, 40, n_ended=12, n_failed=1))
    found = look_at(run)
    assert found.doing == "pass 2 measure: 12 of 40 tasks, 1 failed"
    told = found.as_json()
    assert told["exposures"] == {
        **{"going": 1, "aligned": 0, "skipped": 0, "failed": 1},
        "not_aligned": 0,
    }
    assert told["movement_px"] == 0.5 and told["silence_s"] == 3
    assert told["driven_by"] == {"host": "elsewhere", "pid": 1, "lease": 1, "alive": True}
    assert run_status(run.root).eps_shift_px == 0.003
    run.add(StageFinished("measure", 2, 40, 0, 0, 0))
    assert look_at(run).doing == ""


def test_exposures_that_have_not_ended_are_not_aligned_once_nothing_goes_on(tmp_path: Path) -> None:
    """As after too many have failed; the run can be resumed, and then they are going again."""
    run = StoredRun.at(tmp_path / "run")
    run.add(FAILED)
    stopped = look_at(run)
    assert stopped.standing is RunStanding.STOPPED
    assert "exposures: 1 not aligned, 0 skipped, 1 failed" in stopped.lines()
    assert stopped.as_json()["exposures"] == {
        **{"going": 1, "aligned": 0, "skipped": 0, "failed": 1},
        "not_aligned": 1,
    }
    (listed,) = list_runs(tmp_path, now_s=NOW_S)
    assert "1 not aligned, 0 skipped, 1 failed" in run_lines([listed])[0]
    viewer = RunViewer(run.root)
    assert sorted(one.how for one in viewer.look().exposures) == ["failed", "not aligned"]
    shown = ShownParts()
    assert "exposures" in [part.name for part in shown.news(viewer.look())]
    run.held_by(LeaseOwner.this_process(), time.time())
    news = {part.name: part.made(viewer.look()) for part in shown.news(viewer.look())}
    assert sorted(news["exposures"]["exposures"]["status"]) == ["failed", "going"]


def test_progress_of_another_stage_or_driver_is_not_believed(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run", (*ONE_PASS, StageStarted("merge", 2, 9)))
    run.held_by(ELSEWHERE, NOW_S)
    for told in (Progress(1, "merge", 1, 9, 5), Progress(2, "merge", 2, 9, 5)):
        put_progress(run.objects, told)
        assert look_at(run).doing == "pass 2 merge: 9 tasks"


class Meanwhile:
    """A clock that moves when somebody sleeps, and what happens at each of these moments."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self._happens = list(happens)
        self.now_s = NOW_S

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self._happens:
            self._happens.pop(0)()

    def looking(self, clock: Callable[[], float] | None = None) -> Looking:
        now = lambda: self.now_s  # noqa: E731
        return Looking(5.0, self.sleep, clock or now, now)


def test_watching_tells_what_is_new_and_ends_with_the_run(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run", ())
    meanwhile = Meanwhile(
        lambda: (run.held_by(ELSEWHERE, NOW_S), run.add(*ONE_PASS)),
        lambda: run.add(FAILED),
        lambda: None,
        lambda: run.add(Finished(1)),
    )
    looks = list(watched(run.root, meanwhile.looking()))
    assert [one.lines() for one in looks] == [
        [],
        [
            "driven by process 1 on elsewhere",
            "pass 1 (full) begins",
            "pass 1: largest movement 0.5000 px (eps_shift 0.003), 2 exposures",
        ],
        ["failed: exposure b: the file is empty"],
        [],
        ["ended, exit 1"],
    ]
    assert looks[-1].status.standing is RunStanding.FINISHED
    assert looks[1].status.eps_shift_px == 0.003


def test_watching_ends_with_a_cancel_and_with_a_driver_that_gave_the_lease_back(
    tmp_path: Path,
) -> None:
    run = StoredRun.at(tmp_path / "run")
    run.held_by(ELSEWHERE, NOW_S)
    cancel = Meanwhile(lambda: run.add(Cancelled("7", "somebody")))
    assert list(watched(run.root, cancel.looking()))[-1].status.standing is RunStanding.CANCELLED
    run.add(DriverStarted(1, "x"))
    given_back = Meanwhile(lambda: run.objects.delete("lease/00000001.json"))
    assert list(watched(run.root, given_back.looking()))[-1].status.standing is RunStanding.STOPPED


def test_who_watches_is_told_rate_time_left_and_workers_by_the_driver_s_clock(
    tmp_path: Path,
) -> None:
    """The driver's clock is an hour behind; its stage began 100 s before its last sign of life."""
    run = StoredRun.at(tmp_path / "run", (*ONE_PASS, StageStarted("measure", 2, 40)))
    put_progress(run.objects, Progress(1, "measure", 2, 40, 14, n_reused=4, n_places=2))
    samples = PieceWriter(run.objects, WORKER_SAMPLES, 1, SAMPLE_PIECES)
    workers = WorkersThen(2, 2, 2, 10**9, 10**9, 2 * 10**9, 4 * 10**9)
    samples.add(WorkerSample(1, NOW_S - 3, NOW_S - 3, 3 * 10**8, 24, workers))
    samples.flush()
    run.held_by(ELSEWHERE, NOW_S)
    an_hour_later = lambda: NOW_S + 3600.0  # noqa: E731
    seen = next(iter(watched(run.root, Looking(2.0, print, an_hour_later, an_hour_later))))
    stage = seen.status.as_json()["stage"]
    assert isinstance(stage, dict)
    assert (stage["ended"], stage["reused"]) == (14, 4)
    assert stage["rate_per_s"] == pytest.approx(0.1, rel=0.2)
    assert stage["left_s"] == pytest.approx(260.0, rel=0.2)
    told = seen.status.as_json()["workers"]
    assert isinstance(told, dict)
    assert (told["known"], told["highest_bytes"], told["driver_bytes"]) == (2, 2 * 10**9, 3 * 10**8)
    assert "workers 2 of 2 busy, memory 1.00 GB to 2.00 GB of 4.00 GB each" in "".join(
        seen.status.lines()
    )
    (doing,) = [line for line in seen.status.lines() if "14 of 40 tasks" in line]
    assert " exposures/min, " in doing and doing.endswith(" left")


@pytest.mark.parametrize(
    ("epoch", "taken_s"), [(2, NOW_S), (1, NOW_S - 3600.0)], ids=["another driver's", "old"]
)
def test_workers_of_another_driver_or_of_long_ago_are_not_shown(
    tmp_path: Path, epoch: int, taken_s: float
) -> None:
    run = StoredRun.at(tmp_path / "run", (*ONE_PASS, StageStarted("measure", 2, 40)))
    samples = PieceWriter(run.objects, WORKER_SAMPLES, epoch, SAMPLE_PIECES)
    samples.add(WorkerSample(epoch, taken_s, taken_s, 3 * 10**8, 24, WorkersThen(2, 2, 2)))
    samples.flush()
    run.held_by(ELSEWHERE, NOW_S)
    now = lambda: NOW_S  # noqa: E731
    seen = next(iter(watched(run.root, Looking(2.0, print, now, now))))
    assert seen.status.standing is RunStanding.RUNNING and seen.status.workers is None


def test_how_far_a_stage_is_that_another_version_tells_is_not_known(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run", (*ONE_PASS, StageStarted("measure", 2, 40)))
    run.objects.put("lease/progress", sealed({"epoch": 1, "stage": "measure", "more": 3}))
    run.held_by(ELSEWHERE, NOW_S)
    assert look_at(run).doing == "pass 2 measure: 40 tasks"


def test_who_is_attached_hears_of_passes_that_are_solved_from_then_on(tmp_path: Path) -> None:
    run = StoredRun.at(tmp_path / "run")
    run.held_by(ELSEWHERE, NOW_S)
    meanwhile = Meanwhile(
        lambda: run.add(PassStarted(2, False), StageStarted("merge", 2, 4)),
        lambda: run.add(Solved(2, "tables/x", "d", 0.001, 2), Finished(0)),
    )
    told: list[events.Event] = []
    end = attached(run.root, ELSEWHERE, told.append, meanwhile.looking())
    assert end.standing is RunStanding.FINISHED
    plain = [one for one in told if not isinstance(one, events.Begun | events.Recorded)]
    recorded = [one.entry.event for one in told if isinstance(one, events.Recorded)]
    assert [type(one) for one in recorded] == [PassStarted, StageStarted, Solved, Finished]
    assert isinstance(told[1], events.Begun) and len(told[1].entries) == len(ONE_PASS)
    assert plain == [
        events.Note("process 1 on elsewhere drives this run already; attached to it, only reading"),
        events.StageStarted("merge", 2, 4),
        events.PassSolved(2, 0.001, 2, 0, False),
    ]


class Place:
    """Where drivers wait: what is said of them, one answer after the other, and who was removed."""

    def __init__(self, *said: DriverState, refuses: str = "") -> None:
        self._said, self._refuses = list(said), refuses
        self.removed: list[str] = []
        self.n_asked = 0

    def ask(self, run: object, record: DriverRecord) -> DriverState:
        self.n_asked += 1
        return self._said.pop(0) if len(self._said) > 1 else self._said[0]

    def remove(self, run: object, record: DriverRecord) -> None:
        if self._refuses:
            raise ResourceError(self._refuses)
        self.removed.append(record.job)

    @property
    def queue(self) -> Queue:
        return Queue(self.ask, self.remove)


WAITS = DriverState(DriverStanding.WAITS, "PENDING (Resources)")
RUNS = DriverState(DriverStanding.RUNS, "RUNNING")
GONE = DriverState(DriverStanding.GONE)
UNKNOWN = DriverState(DriverStanding.UNKNOWN, "squeue gave no answer")


def submitted(folder: Path) -> StoredRun:
    """Return a run that nobody drives, whose driver was submitted just now."""
    run = StoredRun.at(folder)
    write_driver_record(run.objects, DriverRecord("slurm", "17", "logs", NOW_S + 1))
    return run


@pytest.mark.parametrize("found", [WAITS, RUNS])
def test_a_cancel_removes_a_driver_that_waits_or_only_begins(
    found: DriverState, tmp_path: Path
) -> None:
    run, place = submitted(tmp_path / "run"), Place(found, found, GONE)
    ended = cancel_run(run.root, looking=Meanwhile().looking(), submitted=place.queue)
    assert ended.outcome is Cancelling.WITHDRAWN and "slurm job 17" in ended.line()
    assert place.removed == ["17"]
    assert look_at(run).standing is RunStanding.CANCELLED


def test_a_driver_that_waits_beside_one_that_drives_is_removed_too(tmp_path: Path) -> None:
    """Or it would go on with the run when its turn comes."""
    run, place = submitted(tmp_path / "run"), Place(WAITS, GONE)
    run.held_by(ELSEWHERE, NOW_S)

    def obey() -> None:
        request = cancel_request(run.objects)
        assert request is not None
        run.add(Cancelled(request.id, request.by))

    ended = cancel_run(run.root, looking=Meanwhile(obey).looking(), submitted=place.queue)
    assert ended.outcome is Cancelling.OBEYED
    assert place.removed == ["17"]


@pytest.mark.parametrize(
    ("place", "why"),
    [(Place(WAITS, refuses="scancel: Access denied"), "Access denied"), (Place(UNKNOWN), "squeue")],
)
def test_a_cancel_waits_for_a_driver_that_cannot_be_removed(
    place: Place, why: str, tmp_path: Path
) -> None:
    """Marked as obeyed, it would be forgotten when the batch system starts that driver."""
    run = submitted(tmp_path / "run")
    found = cancel_run(run.root, looking=Meanwhile().looking(), submitted=place.queue)
    assert found.outcome is Cancelling.WAITS
    assert "slurm job 17" in found.line() and why in found.line()
    assert look_at(run).state.cancelled is None
    assert "asked it to stop, which it has not done yet" in "".join(look_at(run).lines())
    lease = take_lease(run.objects, Patience(lambda: NOW_S, print, print))
    with (
        pytest.raises(RunCancelled),
        Keeper(Kept("run", run.objects, lease, look_at(run).state.obeyed)) as driver,
    ):
        driver()


def test_a_driver_that_began_and_is_gone_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    run = submitted(tmp_path / "run")
    write_driver_record(run.objects, DriverRecord("slurm", "17", "logs", NOW_S - 200))
    run.add(DriverStarted(1, "x"))
    ended = cancel_run(run.root, looking=Meanwhile().looking(), submitted=Place(UNKNOWN).queue)
    assert ended.outcome is Cancelling.MARKED


@pytest.mark.parametrize(
    ("state", "standing", "said"),
    [
        (WAITS, RunStanding.QUEUED, "queued as slurm job 17: PENDING (Resources)"),
        (RUNS, RunStanding.QUEUED, "slurm job 17 has begun (RUNNING), and has yet to take up"),
        (GONE, RunStanding.STOPPED, "slurm job 17 is gone, and its driver never began"),
        (UNKNOWN, RunStanding.STOPPED, "slurm job 17 waits for its turn: not known (squeue gave"),
    ],
)
def test_how_a_driver_is_that_was_submitted_is_told_in_its_place_s_words(
    state: DriverState, standing: RunStanding, said: str, tmp_path: Path
) -> None:
    run, place = submitted(tmp_path / "run"), Place(state)
    view = JournalView().read_on(Journal(run.objects, lambda: NOW_S).entries())
    found = status_of(run.root, view, NOW_S, place.ask)
    assert found.standing is standing
    assert said in found.lines()[0]
    run.held_by(ELSEWHERE, NOW_S)
    assert status_of(run.root, view, NOW_S, place.ask).standing is RunStanding.RUNNING
    assert place.n_asked == 1


def test_a_place_that_cannot_be_asked_is_told_and_not_raised(tmp_path: Path) -> None:
    run = submitted(tmp_path / "run")  # whose configuration is of no slurm
    found = run_status(run.root)
    assert found.standing is RunStanding.STOPPED
    assert "it was submitted to slurm, and cluster.backend is now" in found.lines()[0]


def test_who_watches_asks_seldom_and_believes_an_answer_for_a_while(tmp_path: Path) -> None:
    place, now_s = Place(WAITS, UNKNOWN, WAITS, UNKNOWN), [0.0]
    ask, record = AskingSeldom(lambda: now_s[0], place.ask), DriverRecord("slurm", "17", "", 0.0)
    seen = []
    for now_s[0] in range(0, 1000, 2):
        seen.append(ask(tmp_path, record))
    last_known = max(n for n, state in enumerate(seen) if state == WAITS)
    assert seen == [WAITS] * (last_known + 1) + [UNKNOWN] * (len(seen) - last_known - 1)
    assert 600 <= 2 * last_known <= 700
    assert place.n_asked < 40


def test_many_runs_are_asked_for_until_that_takes_too_long(tmp_path: Path) -> None:
    now_s, record = [0.0], DriverRecord("slurm", "17", "", 0.0)

    def slow(run: object, record: DriverRecord) -> DriverState:
        now_s[0] += 15.0
        return WAITS

    ask = AskingManyBriefly(lambda: now_s[0], slow)
    standings = [ask(tmp_path, record).standing for _ in range(4)]
    assert standings == [DriverStanding.WAITS] * 2 + [DriverStanding.UNKNOWN] * 2


@pytest.mark.parametrize("ahead_s", [-5000.0, 5000.0])
def test_whether_a_driver_elsewhere_is_silent_is_told_by_ones_own_clock(
    tmp_path: Path, ahead_s: float
) -> None:
    """Clocks that disagree neither bury a driver that lives nor wait for one that is dead."""
    run = StoredRun.at(tmp_path / "run")
    run.held_by(ELSEWHERE, NOW_S + ahead_s)
    beats = [
        lambda n=n: run.held_by(ELSEWHERE, NOW_S + ahead_s + 5 * n, count=n) for n in range(2, 30)
    ]
    meanwhile = Meanwhile(*beats)
    looks = list(watched(run.root, meanwhile.looking()))
    assert looks[-1].status.standing is RunStanding.DEAD
    assert meanwhile.now_s - NOW_S == pytest.approx(28 * 5 + 65)


def test_a_list_has_every_run_below_whatever_state_it_is_in(tmp_path: Path) -> None:
    StoredRun.at(tmp_path / "a/finished", (*ONE_PASS, FAILED, Finished(1)))
    StoredRun.at(tmp_path / "a/never", ())
    StoredRun.at(tmp_path / "b").held_by(ELSEWHERE, NOW_S - 10)
    StoredRun.at(tmp_path / "c").held_by(ELSEWHERE, NOW_S - 1000)
    StoredRun.at(tmp_path / "d", (CREATED, Cancelled("7", "x")))
    damaged = StoredRun.at(tmp_path / "e")
    damaged.objects.put("journal/00000002.json", b"{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.yaml").write_text("not: ours")
    found = {
        str(one.directory.relative_to(tmp_path)): one for one in list_runs(tmp_path, now_s=NOW_S)
    }
    assert {name: one.standing for name, one in found.items()} == {
        "a/finished": "finished",
        "a/never": "never begun",
        "b": "running",
        "c": "dead",
        "d": "cancelled",
        "e": "unreadable",
    }
    finished, never, running, *_, unreadable = run_lines(list(found.values()))
    assert "is damaged" in unreadable
    assert unreadable.count(str(tmp_path)) == 1
    assert "ab" * 8 in running and "10 s ago" in running
    assert "2 going, 0 skipped, 0 failed" in running
    assert finished.rindex("finished") == never.index("never begun") == running.index("running")
    assert finished.index("aligned") == running.index("going")
    assert found["a/finished"].as_json()["exposures"] == {
        **{"going": 0, "aligned": 1, "skipped": 0, "failed": 1},
        "not_aligned": 0,
    }


def test_a_run_of_another_format_is_listed_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignsvc.io.journal_store.FORMAT_VERSION", 1)
    StoredRun.at(tmp_path / "old")
    monkeypatch.undo()
    assert "is in format 1" in run_lines(list_runs(tmp_path))[0]


def test_what_is_inside_of_a_run_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = StoredRun.at(tmp_path / "run")
    StoredRun.at(run.root / "tables" / "inner")
    walked: list[str] = []
    walk = os.walk

    def noted(top: Path):  # type: ignore[no-untyped-def]
        for found in walk(top):
            walked.append(os.path.relpath(found[0], tmp_path))
            yield found

    monkeypatch.setattr(listing.os, "walk", noted)
    assert [one.directory for one in list_runs(tmp_path)] == [run.root]
    assert not any("tables" in one for one in walked)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (864000, "10 d"),
    ],
)
def test_ages_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
